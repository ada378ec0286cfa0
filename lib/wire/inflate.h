/*
 * inflate: streaming decompression of layers: gzip (RFC 1952, several members), zstd
 * (RFC 8878, several and skippable frames, windows up to 128 MiB), or plain bytes, told
 * apart by their first bytes (image-spec: layer.md, media types).
 */
#ifndef WIRE_INFLATE_H
#define WIRE_INFLATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct inflate;

enum inflate_kind { INFLATE_UNKNOWN, INFLATE_PLAIN, INFLATE_GZIP, INFLATE_ZSTD };

/* limit: bytes of output; one more is ERR_EXHAUSTED. Heap-allocated, never NULL. */
struct inflate *inflate_new(uint64_t limit);
void inflate_free(struct inflate *z);

/* INFLATE_UNKNOWN until four bytes have been seen. */
enum inflate_kind inflate_kind(const struct inflate *z);

/*
 * Takes input from *in (moved on, *in_n made smaller) and writes up to out_n bytes. Returns
 * the number of bytes written; 0: all input is taken, give more. -1: ERR_CORRUPT damaged or
 * trailing bytes, ERR_EXHAUSTED beyond a limit.
 */
long inflate_step(struct inflate *z, const uint8_t **in, size_t *in_n, uint8_t *out,
		  size_t out_n, struct err *err);

/*
 * The input has ended. As long as this returns more than 0, that many bytes were written to
 * out (input of less than four bytes is plain). 0: a proper end. -1: ERR_CORRUPT, cut short.
 */
long inflate_end(struct inflate *z, uint8_t *out, size_t out_n, struct err *err);

#endif
