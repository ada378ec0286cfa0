#include "wire/digest.h"

#include <bearssl_hash.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "wire/digest-int.h"

const uint32_t sha256_k[64] __attribute__((aligned(16))) = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
	0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
	0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
	0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
	0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
	0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
	0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

/* BearSSL's code, through its calls that save and restore a state. */
static void generic_blocks(uint32_t state[8], const uint8_t *p, size_t blocks)
{
	br_sha256_context ctx;
	uint8_t text[SHA256_LEN];

	for (size_t i = 0; i < 8; i++)
		put_be32(text + 4 * i, state[i]);
	br_sha256_init(&ctx);
	br_sha256_set_state(&ctx, text, 0);
	br_sha256_update(&ctx, p, blocks * SHA256_BLOCK);
	br_sha256_state(&ctx, text);
	for (size_t i = 0; i < 8; i++)
		state[i] = get_be32(text + 4 * i);
}

void sha256_init_generic(struct sha256 *s)
{
	static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
					  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

	s->blocks = generic_blocks;
	memcpy(s->state, start, sizeof(start));
	s->n = 0;
}

void sha256_init(struct sha256 *s)
{
	sha256_blocks_fn *fast = arch_sha256();

	sha256_init_generic(s);
	if (fast)
		s->blocks = fast;
}

void sha256_update(struct sha256 *s, const void *data, size_t n)
{
	const uint8_t *p = data;
	size_t have = s->n % SHA256_BLOCK;

	s->n += n;
	if (have) {
		size_t take = MIN(n, SHA256_BLOCK - have);

		memcpy(s->block + have, p, take);
		if (have + take < SHA256_BLOCK)
			return;
		s->blocks(s->state, s->block, 1);
		p += take;
		n -= take;
	}
	if (n >= SHA256_BLOCK) {
		s->blocks(s->state, p, n / SHA256_BLOCK);
		p += n - n % SHA256_BLOCK;
		n %= SHA256_BLOCK;
	}
	if (n)
		memcpy(s->block, p, n);
}

void sha256_final(struct sha256 *s, uint8_t ret[SHA256_LEN])
{
	uint8_t tail[2 * SHA256_BLOCK] = {0x80};
	uint64_t bits = s->n * 8;
	size_t pad = SHA256_BLOCK - (s->n + 8) % SHA256_BLOCK;

	put_be64(tail + pad, bits);
	sha256_update(s, tail, pad + 8);
	for (size_t i = 0; i < 8; i++)
		put_be32(ret + 4 * i, s->state[i]);
}

void sha256_of(const void *data, size_t n, uint8_t ret[SHA256_LEN])
{
	struct sha256 s;

	sha256_init(&s);
	sha256_update(&s, data, n);
	sha256_final(&s, ret);
}

static const struct {
	const char *name;
	size_t len;
} algos[] = {
	[DIGEST_NONE] = {"", 0},
	[DIGEST_SHA256] = {"sha256:", SHA256_LEN},
	[DIGEST_SHA512] = {"sha512:", SHA512_LEN},
};

size_t digest_len(const struct digest *d)
{
	return algos[d->algo].len;
}

int digest_parse(const char *s, struct digest *ret, struct err *err)
{
	for (unsigned a = DIGEST_SHA256; a < ARRAY_LEN(algos); a++) {
		struct digest d = {.algo = (enum digest_algo)a};
		size_t prefix = strlen(algos[a].name);

		if (!str_starts(s, algos[a].name))
			continue;
		if (strnlen(s + prefix, DIGEST_HEX) != 2 * algos[a].len ||
		    str_unhex(d.bytes, algos[a].len, s + prefix) < 0)
			break;
		*ret = d;
		return 0;
	}
	return err_set(err, ERR_INVALID,
		       "not a digest: \"%.*s\" (sha256: and 64, or sha512: and 128 "
		       "lower-case hexadecimal digits)",
		       140, s);
}

void digest_hex(char dst[DIGEST_HEX], const struct digest *d)
{
	str_hex(dst, d->bytes, digest_len(d));
}

void digest_format(char dst[DIGEST_TEXT], const struct digest *d)
{
	size_t prefix = strlen(algos[d->algo].name);

	memcpy(dst, algos[d->algo].name, prefix);
	digest_hex(dst + prefix, d);
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
	return a->algo == b->algo && memcmp(a->bytes, b->bytes, digest_len(a)) == 0;
}

void hasher_init(struct hasher *h, enum digest_algo algo)
{
	_Static_assert(sizeof(br_sha512_context) <= sizeof(h->u.sha512), "context fits");

	h->algo = algo;
	if (algo == DIGEST_SHA256)
		sha256_init(&h->u.sha256);
	else if (algo == DIGEST_SHA512)
		br_sha512_init((br_sha512_context *)(void *)h->u.sha512);
}

void hasher_update(struct hasher *h, const void *data, size_t n)
{
	if (h->algo == DIGEST_SHA256)
		sha256_update(&h->u.sha256, data, n);
	else if (h->algo == DIGEST_SHA512)
		br_sha512_update((br_sha512_context *)(void *)h->u.sha512, data, n);
}

void hasher_final(struct hasher *h, struct digest *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->algo = h->algo;
	if (h->algo == DIGEST_SHA256)
		sha256_final(&h->u.sha256, ret->bytes);
	else if (h->algo == DIGEST_SHA512)
		br_sha512_out((br_sha512_context *)(void *)h->u.sha512, ret->bytes);
}

static void hash(enum digest_algo algo, const void *data, size_t n, struct digest *ret)
{
	struct hasher h;

	hasher_init(&h, algo);
	hasher_update(&h, data, n);
	hasher_final(&h, ret);
}

void digest_of(const void *data, size_t n, struct digest *ret)
{
	hash(DIGEST_SHA256, data, n, ret);
}

int digest_check(const char *what, const void *data, size_t n, const struct digest *want,
		 struct err *err)
{
	char is[DIGEST_TEXT], expected[DIGEST_TEXT];
	struct digest got;

	hash(want->algo, data, n, &got);
	if (want->algo != DIGEST_NONE && digest_equal(&got, want))
		return 0;
	digest_format(is, &got);
	digest_format(expected, want);
	return err_set(err, ERR_CORRUPT, "%s: digest is %s, expected %s", what, is,
		       expected);
}

void digest_chain(const struct digest *parent, const struct digest *diff_id,
		  struct digest *ret)
{
	char text[2 * DIGEST_TEXT];
	size_t n;

	if (!parent) {
		*ret = *diff_id;
		return;
	}
	digest_format(text, parent);
	n = strlen(text);
	text[n++] = ' ';
	digest_format(text + n, diff_id);
	digest_of(text, strlen(text), ret);
}
