#include "unit.h"

#include <zlib.h>

#include "base/buf.h"
#include "base/num.h"
#include "wire/inflate.h"

enum { TEXT = 300000 };
static uint8_t text[TEXT];

static void fill(void)
{
	uint32_t x = 12345;

	for (size_t i = 0; i < TEXT; i++) {
		x = x * 1664525 + 1013904223;
		text[i] = (uint8_t)((uint8_t) "abcdefgh"[x >> 29] +
				    (x >> 24 & 1) * (i / 1000 % 7));
	}
}

static void gzip(struct buf *b, const void *data, size_t n)
{
	z_stream z = {0};
	uLong bound;

	CHECK_INT(deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, 0), Z_OK);
	bound = deflateBound(&z, (uLong)n);
	z.next_in = (Bytef *)(uintptr_t)data;
	z.avail_in = (uInt)n;
	z.next_out = buf_reserve(b, bound);
	z.avail_out = (uInt)bound;
	CHECK_INT(deflate(&z, Z_FINISH), Z_STREAM_END);
	b->len += bound - z.avail_out;
	deflateEnd(&z);
}

/* A zstd frame of raw blocks (RFC 8878, 3.1.1), window of 2^log bytes. */
static void zstd_raw(struct buf *b, const uint8_t *data, size_t n, unsigned log)
{
	uint8_t head[6] = {0x28, 0xb5, 0x2f, 0xfd, 0, (uint8_t)((log - 10) << 3)};

	buf_add(b, head, sizeof(head));
	do {
		size_t take = MIN(n, 65536);
		uint32_t block = (uint32_t)take << 3 | (take == n);
		uint8_t le[4];

		put_le32(le, block);
		buf_add(b, le, 3);
		buf_add(b, data, take);
		data += take;
		n -= take;
	} while (n);
}

static int expand_limit(const struct buf *in, size_t step, size_t room, uint64_t limit,
			struct buf *out, struct err *err)
{
	struct inflate *z = inflate_new(limit);
	size_t at = 0;
	long got = 0;

	while (at < in->len && got >= 0) {
		size_t n = MIN(step, in->len - at);
		const uint8_t *p = in->data + at;

		at += n;
		do {
			got = inflate_step(z, &p, &n, buf_reserve(out, room), room, err);
			if (got > 0)
				out->len += (size_t)got;
		} while (got > 0);
		if (got == 0 && n)
			got = -2;
	}
	while (got >= 0) {
		got = inflate_end(z, buf_reserve(out, room), room, err);
		if (got <= 0)
			break;
		out->len += (size_t)got;
	}
	inflate_free(z);
	return (int)got;
}

static int expand(const struct buf *in, struct buf *out, struct err *err)
{
	return expand_limit(in, 65536, 65536, 1 << 30, out, err);
}

/* What goes in comes out, however it is cut. */
static void round_trip(const struct buf *in, const void *want, size_t n)
{
	static const size_t steps[] = {1, 3, 511, 1 << 20};

	for (size_t i = 0; i < 4; i++) {
		for (size_t k = 0; k < 4; k++) {
			BUF_AUTO out = {0};
			struct err err;
			size_t room = steps[k] == 1 && i == 0 ? 7 : steps[k];

			CHECK_INT(expand_limit(in, steps[i], room, n, &out, &err), 0);
			CHECK_INT(out.len, n);
			if (n)
				CHECK_MEM(out.data, want, n);
		}
	}
}

TEST(gzip_members)
{
	BUF_AUTO b = {0};

	fill();
	gzip(&b, text, 70000);
	round_trip(&b, text, 70000);
	gzip(&b, "", 0);
	gzip(&b, text + 70000, 30000);
	round_trip(&b, text, 100000);
}

TEST(zstd_frames)
{
	BUF_AUTO b = {0};
	static const uint8_t skip[] = {0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3};

	fill();
	buf_add(&b, skip, sizeof(skip));
	zstd_raw(&b, text, 70000, 20);
	buf_add(&b, skip, sizeof(skip));
	zstd_raw(&b, text + 70000, 1000, 27);
	round_trip(&b, text, 71000);
}

TEST(plain)
{
	struct buf b = {text, 5000, 0};
	struct buf small = {text, 3, 0};

	fill();
	round_trip(&b, text, 5000);
	round_trip(&small, text, 3);
	small.len = 0;
	round_trip(&small, text, 0);
}

TEST(limit_is_exact)
{
	struct buf plain = {text, 5000, 0};
	BUF_AUTO gz = {0};
	BUF_AUTO zs = {0};
	BUF_AUTO out = {0};
	struct err err;

	fill();
	gzip(&gz, text, 5000);
	zstd_raw(&zs, text, 5000, 20);
	const struct buf *all[] = {&plain, &gz, &zs};
	for (size_t i = 0; i < 3; i++) {
		CHECK_INT(expand_limit(all[i], 512, 512, 5000, &out, &err), 0);
		CHECK_INT(expand_limit(all[i], 512, 512, 4999, &out, &err), -1);
		CHECK_INT(err.code, ERR_EXHAUSTED);
	}
}

TEST(damage_is_noticed)
{
	BUF_AUTO gz = {0};
	BUF_AUTO zs = {0};
	BUF_AUTO out = {0};
	struct err err;

	fill();
	gzip(&gz, text, 3000);
	zstd_raw(&zs, text, 3000, 20);
	/* cut short anywhere after the magic */
	for (size_t n = 4; n < gz.len; n++) {
		struct buf cut = {gz.data, n, 0};

		CHECK_INT(expand(&cut, &out, &err), -1);
		CHECK_INT(err.code, ERR_CORRUPT);
		CHECK_HAS(err.msg, "cut short");
	}
	for (size_t n = 4; n < zs.len; n++) {
		struct buf cut = {zs.data, n, 0};

		CHECK_INT(expand(&cut, &out, &err), -1);
		CHECK_INT(err.code, ERR_CORRUPT);
	}
	gz.data[gz.len - 6] ^= 1; /* CRC */
	CHECK_INT(expand(&gz, &out, &err), -1);
	CHECK_INT(err.code, ERR_CORRUPT);
}

TEST(trailing_garbage)
{
	BUF_AUTO gz = {0};
	BUF_AUTO zs = {0};
	BUF_AUTO out = {0};
	struct err err;

	fill();
	gzip(&gz, text, 3000);
	buf_add_str(&gz, "x");
	CHECK_INT(expand(&gz, &out, &err), -1);
	CHECK_INT(err.code, ERR_CORRUPT);
	buf_add_str(&gz, "yz and more");
	CHECK_INT(expand(&gz, &out, &err), -1);
	CHECK_INT(err.code, ERR_CORRUPT);
	CHECK_HAS(err.msg, "trailing garbage");
	zstd_raw(&zs, text, 3000, 20);
	buf_add_str(&zs, "not a frame");
	CHECK_INT(expand(&zs, &out, &err), -1);
	CHECK_INT(err.code, ERR_CORRUPT);
}

TEST(zstd_window_and_empty_parts_are_bounded)
{
	BUF_AUTO big = {0};
	BUF_AUTO many = {0};
	BUF_AUTO out = {0};
	struct err err;

	fill();
	zstd_raw(&big, text, 3000, 28);
	CHECK_INT(expand(&big, &out, &err), -1);
	CHECK_INT(err.code, ERR_CORRUPT);
	for (int i = 0; i < 2000; i++)
		gzip(&many, "", 0);
	CHECK_INT(expand(&many, &out, &err), -1);
	CHECK_INT(err.code, ERR_EXHAUSTED);
}
