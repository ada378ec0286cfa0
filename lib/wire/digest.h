/*
 * digest: content digests (image-spec: descriptor.md, Digests) and the hashes behind them.
 * SHA-256 runs on the processor's own instructions where it has them.
 */
#ifndef WIRE_DIGEST_H
#define WIRE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { SHA256_LEN = 32, SHA512_LEN = 64, SHA256_BLOCK = 64 };

/* Works blocks of SHA256_BLOCK bytes into the state. */
typedef void sha256_blocks_fn(uint32_t state[8], const uint8_t *p, size_t blocks);

/* A running SHA-256 (FIPS 180-4); plain bytes, may be copied to fork the computation. */
struct sha256 {
	sha256_blocks_fn *blocks;
	uint32_t state[8];
	uint64_t n; /* bytes so far */
	uint8_t block[SHA256_BLOCK];
};

void sha256_init(struct sha256 *s);
void sha256_update(struct sha256 *s, const void *data, size_t n);
void sha256_final(struct sha256 *s, uint8_t ret[SHA256_LEN]);

/* The same without the processor's help: for tests and measurements. */
void sha256_init_generic(struct sha256 *s);

/* One call for data that is in memory. */
void sha256_of(const void *data, size_t n, uint8_t ret[SHA256_LEN]);

enum digest_algo { DIGEST_NONE, DIGEST_SHA256, DIGEST_SHA512 };

struct digest {
	enum digest_algo algo; /* DIGEST_NONE: no digest; {0} is that */
	uint8_t bytes[SHA512_LEN];
};

/* Length of the hash in bytes. */
size_t digest_len(const struct digest *d);

/*
 * The whole of s as "sha256:<64 lower-case hex digits>" or "sha512:<128>". Anything else is
 * ERR_INVALID: nothing that was not read here may become part of a path or a URL.
 */
int digest_parse(const char *s, struct digest *ret, struct err *err);

/* The reverse; "" for DIGEST_NONE. */
enum { DIGEST_TEXT = 7 + 2 * SHA512_LEN + 1 };
void digest_format(char dst[DIGEST_TEXT], const struct digest *d);

/* Only the hex digits: names of files. */
enum { DIGEST_HEX = 2 * SHA512_LEN + 1 };
void digest_hex(char dst[DIGEST_HEX], const struct digest *d);

bool digest_equal(const struct digest *a, const struct digest *b);

/* Hashing with the algorithm of a digest that is expected. */
struct hasher {
	enum digest_algo algo;
	union {
		struct sha256 sha256;
		uint64_t sha512[32]; /* BearSSL's context */
	} u;
};

void hasher_init(struct hasher *h, enum digest_algo algo);
void hasher_update(struct hasher *h, const void *data, size_t n);
void hasher_final(struct hasher *h, struct digest *ret);

/* SHA-256 of data as a digest. */
void digest_of(const void *data, size_t n, struct digest *ret);

/*
 * ERR_CORRUPT "WHAT: digest is X, expected Y" unless data has the digest. 0 or -1.
 */
int digest_check(const char *what, const void *data, size_t n, const struct digest *want,
		 struct err *err);

/*
 * Chain id of a layer (image-spec: config.md, Layer ChainID): the diff id itself for the
 * lowest layer (parent NULL), else the SHA-256 of "<parent's chain id> <diff id>".
 */
void digest_chain(const struct digest *parent, const struct digest *diff_id,
		  struct digest *ret);

#endif
