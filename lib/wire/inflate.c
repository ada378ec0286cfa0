#define ZLIB_CONST
#include "wire/inflate.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/num.h"

enum {
	MAGIC = 4,
	WINDOW_LOG_MAX = 27,
	/* empty members and frames cost time and give nothing: far beyond what tools write */
	EMPTY_MAX = 1024
};

struct inflate {
	enum inflate_kind kind;
	uint64_t limit, total;
	uint8_t head
		[MAGIC]; /* the first bytes, until the kind is known; then fed first */
	size_t head_n, head_used;
	bool inside; /* a gzip member or zstd frame has begun and not ended */
	bool ended;  /* at least one has ended */
	unsigned empty;
	uint64_t member_start; /* total when it began */
	z_stream gz;
	ZSTD_DStream *zs;
};

struct inflate *inflate_new(uint64_t limit)
{
	struct inflate *z = xcalloc(1, sizeof(*z));

	z->limit = limit;
	return z;
}

void inflate_free(struct inflate *z)
{
	if (!z)
		return;
	if (z->kind == INFLATE_GZIP)
		inflateEnd(&z->gz);
	ZSTD_freeDStream(z->zs);
	free(z);
}

enum inflate_kind inflate_kind(const struct inflate *z)
{
	return z->kind;
}

static bool is_zstd(const uint8_t *p)
{
	uint32_t magic = get_le32(p);

	return magic == ZSTD_MAGICNUMBER || (magic & 0xfffffff0) == 0x184d2a50;
}

static int begin(struct inflate *z, struct err *err)
{
	const uint8_t *p = z->head;

	if (z->head_n == MAGIC && p[0] == 0x1f && p[1] == 0x8b) {
		if (inflateInit2(&z->gz, 16 + MAX_WBITS) != Z_OK)
			return err_set(err, ERR_EXHAUSTED, "gzip: out of memory");
		z->kind = INFLATE_GZIP;
	} else if (z->head_n == MAGIC && is_zstd(p)) {
		z->zs = ZSTD_createDStream();
		if (!z->zs)
			return err_set(err, ERR_EXHAUSTED, "zstd: out of memory");
		ZSTD_DCtx_setParameter(z->zs, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
		z->kind = INFLATE_ZSTD;
	} else {
		z->kind = INFLATE_PLAIN;
	}
	return 0;
}

/* A member or frame has ended. */
static int member_end(struct inflate *z, struct err *err)
{
	z->inside = false;
	z->ended = true;
	if (z->total == z->member_start && ++z->empty > EMPTY_MAX + z->total / 4096)
		return err_set(err, ERR_EXHAUSTED, "too many empty parts");
	return 0;
}

static const char *what_is_wrong(const struct inflate *z)
{
	if (z->ended && z->member_start == z->total)
		return "trailing garbage, or damaged data";
	return z->kind == INFLATE_ZSTD ? "damaged data, or a window over 128 MiB"
				       : "damaged data";
}

static long step_plain(const uint8_t **in, size_t *in_n, uint8_t *out, size_t out_n)
{
	size_t n = MIN(*in_n, out_n);

	memcpy(out, *in, n);
	*in += n;
	*in_n -= n;
	return (long)n;
}

static long step_gzip(struct inflate *z, const uint8_t **in, size_t *in_n, uint8_t *out,
		      size_t out_n, struct err *err)
{
	size_t before = MIN(*in_n, 1U << 30);
	size_t got;
	int r;

	if (!z->inside) {
		if (z->ended && inflateReset(&z->gz) != Z_OK)
			return err_set(err, ERR_INTERNAL, "gzip: reset");
		z->inside = true;
		z->member_start = z->total;
	}
	z->gz.next_in = *in;
	z->gz.avail_in = (uInt)before;
	z->gz.next_out = out;
	z->gz.avail_out = (uInt)MIN(out_n, 1U << 30);
	r = inflate(&z->gz, Z_NO_FLUSH);
	*in += before - z->gz.avail_in;
	*in_n -= before - z->gz.avail_in;
	got = (size_t)(z->gz.next_out - out);
	z->total += got;
	if (r == Z_STREAM_END && member_end(z, err) < 0)
		return -1;
	if (r == Z_MEM_ERROR)
		return err_set(err, ERR_EXHAUSTED, "gzip: out of memory");
	if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR)
		return err_set(err, ERR_CORRUPT, "gzip: %s", what_is_wrong(z));
	return (long)got;
}

static long step_zstd(struct inflate *z, const uint8_t **in, size_t *in_n, uint8_t *out,
		      size_t out_n, struct err *err)
{
	ZSTD_inBuffer i = {*in, *in_n, 0};
	ZSTD_outBuffer o = {out, out_n, 0};
	size_t r;

	if (!z->inside) {
		z->inside = true;
		z->member_start = z->total;
	}
	r = ZSTD_decompressStream(z->zs, &o, &i);
	if (ZSTD_isError(r))
		return err_set(err, ERR_CORRUPT, "zstd: %s", what_is_wrong(z));
	*in += i.pos;
	*in_n -= i.pos;
	z->total += o.pos;
	if (r == 0 && member_end(z, err) < 0)
		return -1;
	return (long)o.pos;
}

static long step(struct inflate *z, const uint8_t **in, size_t *in_n, uint8_t *out,
		 size_t out_n, struct err *err)
{
	switch (z->kind) {
	case INFLATE_GZIP:
		return step_gzip(z, in, in_n, out, out_n, err);
	case INFLATE_ZSTD:
		return step_zstd(z, in, in_n, out, out_n, err);
	case INFLATE_PLAIN:
	case INFLATE_UNKNOWN:
		break;
	}
	z->total += MIN(*in_n, out_n);
	return step_plain(in, in_n, out, out_n);
}

/* Output that waits without input: a decoder holds back what did not fit. */
static bool pending(const struct inflate *z)
{
	return z->inside && (z->kind == INFLATE_GZIP || z->kind == INFLATE_ZSTD);
}

/* Steps until there is output, or no progress is made. */
static long run(struct inflate *z, const uint8_t **in, size_t *in_n, uint8_t *out,
		size_t out_n, struct err *err)
{
	long got = 0;

	while (got == 0) {
		const uint8_t *head = z->head + z->head_used;
		size_t left = z->head_n - z->head_used, was;

		if (left) { /* what was kept back to tell the kind */
			was = left;
			got = step(z, &head, &left, out, out_n, err);
			z->head_used = z->head_n - left;
		} else if (*in_n || pending(z)) {
			was = left = *in_n;
			got = step(z, in, in_n, out, out_n, err);
			left = *in_n;
		} else {
			break;
		}
		if (got == 0 && left == was)
			break;
	}
	if (got >= 0 && z->total > z->limit)
		return err_set(err, ERR_EXHAUSTED, "more than %llu bytes uncompressed",
			       (unsigned long long)z->limit);
	return got;
}

long inflate_step(struct inflate *z, const uint8_t **in, size_t *in_n, uint8_t *out,
		  size_t out_n, struct err *err)
{
	if (z->kind == INFLATE_UNKNOWN) {
		while (z->head_n < MAGIC && *in_n) {
			z->head[z->head_n++] = *(*in)++;
			--*in_n;
		}
		if (z->head_n < MAGIC)
			return 0;
		if (begin(z, err) < 0)
			return -1;
	}
	return run(z, in, in_n, out, out_n, err);
}

long inflate_end(struct inflate *z, uint8_t *out, size_t out_n, struct err *err)
{
	const uint8_t *in = z->head;
	size_t none = 0;
	long got;

	if (z->kind == INFLATE_UNKNOWN && begin(z, err) < 0)
		return -1;
	got = run(z, &in, &none, out, out_n, err);
	if (got != 0)
		return got;
	if (z->inside)
		return err_set(err, ERR_CORRUPT, "%s: cut short",
			       z->kind == INFLATE_GZIP ? "gzip" : "zstd");
	return 0;
}
