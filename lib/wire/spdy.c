#include "wire/spdy.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/num.h"
#include "base/str.h"

enum { VERSION = 3, CONTROL_BIT = 0x80 };

/*
 * What zlib has seen before the first header (2.6.10.1): 1423 bytes whose
 * Adler-32 is e3c6a7c2. Each word has its length before it.
 */
#define W(len, word) "\0\0\0" len word
static const char dictionary[] = W("\x07", "options") W("\x04", "head") W(
	"\x04", "post") W("\x03", "put") W("\x06", "delete") W("\x05", "trace")
	W("\x06", "accept") W("\x0e", "accept-charset") W("\x0f", "accept-encoding") W(
		"\x0f",
		"accept-language") W("\x0d",
				     "accept-"
				     "ranges") W("\x03",
						 "age") W("\x05",
							  "allow") W("\x0d",
								     "authorization")
		W("\x0d", "cache-control") W("\x0a", "connection") W("\x0c", "content-"
									     "base") W("\x10", "content-encoding") W(
			"\x10",
			"content-language") W("\x0e",
					      "co"
					      "nt"
					      "en"
					      "t-"
					      "le"
					      "ng"
					      "t"
					      "h") W("\x10",
						     "content-"
						     "location") W("\x0b",
								   "content-md5") W("\x0d", "content-range")
			W("\x0c", "content-type") W("\x04", "date") W("\x04", "etag") W("\x06", "expect") W(
				"\x07",
				"expires") W("\x04",
					     "from") W("\x04",
						       "host") W("\x08",
								 "if-match") W("\x11",
									       "if-"
									       "modified-"
									       "since") W("\x0d", "if-none-match") W("\x08", "if-range")
				W("\x13", "if-unmodified-since") W("\x0d", "last-"
									   "modified") W("\x08", "location") W("\x0c", "max-forwards") W(
					"\x06",
					"pragma") W("\x12",
						    "proxy-"
						    "authenticate") W("\x13",
								      "proxy-"
								      "authorizat"
								      "ion") W("\x05",
									       "r"
									       "a"
									       "n"
									       "g"
									       "e")
					W("\x07", "referer") W("\x0b", "retry-after") W(
						"\x06",
						"server") W("\x02",
							    "te") W("\x07",
								    "t"
								    "r"
								    "a"
								    "i"
								    "l"
								    "e"
								    "r") W("\x11",
									   "trans"
									   "fer-"
									   "encod"
									   "ing")
						W("\x07", "upgrade") W(
							"\x0a",
							"u"
							"s"
							"e"
							"r"
							"-"
							"a"
							"g"
							"e"
							"n"
							"t") W("\x04",
							       "vary") W("\x03",
									 "via") W("\x07", "warning")
							W("\x10",
							  "ww"
							  "w-"
							  "au"
							  "th"
							  "en"
							  "ti"
							  "ca"
							  "t"
							  "e") W("\x06",
								 "method") W("\x03",
									     "ge"
									     "t") W("\x06", "status")
								W("\x06", "200 OK") W(
									"\x07",
									"versio"
									"n") W("\x08",
									       "HTT"
									       "P/"
									       "1."
									       "1") W("\x03",
										      "u"
										      "r"
										      "l")
									W("\x06",
									  "publi"
									  "c") W("\x0a",
										 "set-"
										 "cookie") W("\x0a",
											     "keep-alive")
										W("\x06",
										  "origi"
										  "n") "1"
										       "0"
										       "0"
										       "1"
										       "0"
										       "1"
										       "2"
										       "0"
										       "1"
										       "2"
										       "0"
										       "2"
										       "2"
										       "0"
										       "5"
										       "2"
										       "0"
										       "6"
										       "3"
										       "0"
										       "0"
										       "3"
										       "0"
										       "2"
										       "3"
										       "0"
										       "3"
										       "3"
										       "0"
										       "4"
										       "3"
										       "0"
										       "5"
										       "3"
										       "0"
										       "6"
										       "3"
										       "0"
										       "7"
										       "4"
										       "0"
										       "2"
										       "4"
										       "0"
										       "5"
										       "4"
										       "0"
										       "6"
										       "4"
										       "0"
										       "7"
										       "4"
										       "0"
										       "8"
										       "4"
										       "0"
										       "9"
										       "4"
										       "1"
										       "0"
										       "4"
										       "1"
										       "1"
										       "4"
										       "1"
										       "2"
										       "4"
										       "1"
										       "3"
										       "4"
										       "1"
										       "4"
										       "4"
										       "1"
										       "5"
										       "4"
										       "1"
										       "6"
										       "4"
										       "1"
										       "7"
										       "5"
										       "0"
										       "2"
										       "5"
										       "0"
										       "4"
										       "5"
										       "0"
										       "5"
										       "2"
										       "0"
										       "3"
										       " "
										       "N"
										       "o"
										       "n"
										       "-"
										       "A"
										       "u"
										       "t"
										       "h"
										       "o"
										       "r"
										       "i"
										       "t"
										       "a"
										       "t"
										       "i"
										       "v"
										       "e"
										       " "
										       "I"
										       "n"
										       "f"
										       "o"
										       "r"
										       "m"
										       "a"
										       "t"
										       "i"
										       "o"
										       "n"
										       "2"
										       "0"
										       "4"
										       " "
										       "N"
										       "o"
										       " "
										       "C"
										       "o"
										       "n"
										       "t"
										       "e"
										       "n"
										       "t"
										       "3"
										       "0"
										       "1"
										       " "
										       "M"
										       "o"
										       "v"
										       "e"
										       "d"
										       " "
										       "P"
										       "e"
										       "r"
										       "m"
										       "a"
										       "n"
										       "e"
										       "n"
										       "t"
										       "l"
										       "y"
										       "4"
										       "0"
										       "0"
										       " "
										       "B"
										       "a"
										       "d"
										       " "
										       "R"
										       "e"
										       "q"
										       "u"
										       "e"
										       "s"
										       "t"
										       "4"
										       "0"
										       "1"
										       " "
										       "U"
										       "n"
										       "a"
										       "u"
										       "t"
										       "h"
										       "o"
										       "r"
										       "i"
										       "z"
										       "e"
										       "d"
										       "4"
										       "0"
										       "3"
										       " "
										       "F"
										       "o"
										       "r"
										       "b"
										       "i"
										       "d"
										       "d"
										       "e"
										       "n"
										       "4"
										       "0"
										       "4"
										       " "
										       "N"
										       "o"
										       "t"
										       " "
										       "F"
										       "o"
										       "u"
										       "n"
										       "d"
										       "5"
										       "0"
										       "0"
										       " "
										       "I"
										       "n"
										       "t"
										       "e"
										       "r"
										       "n"
										       "a"
										       "l"
										       " "
										       "S"
										       "e"
										       "r"
										       "v"
										       "e"
										       "r"
										       " "
										       "E"
										       "r"
										       "r"
										       "o"
										       "r"
										       "5"
										       "0"
										       "1"
										       " "
										       "N"
										       "o"
										       "t"
										       " "
										       "I"
										       "m"
										       "p"
										       "l"
										       "e"
										       "m"
										       "e"
										       "n"
										       "t"
										       "e"
										       "d"
										       "5"
										       "0"
										       "3"
										       " "
										       "S"
										       "e"
										       "r"
										       "v"
										       "i"
										       "c"
										       "e"
										       " "
										       "U"
										       "n"
										       "a"
										       "v"
										       "a"
										       "i"
										       "l"
										       "a"
										       "b"
										       "l"
										       "e"
										       "J"
										       "a"
										       "n"
										       " "
										       "F"
										       "e"
										       "b"
										       " "
										       "M"
										       "a"
										       "r"
										       " "
										       "A"
										       "p"
										       "r"
										       " "
										       "M"
										       "a"
										       "y"
										       " "
										       "J"
										       "u"
										       "n"
										       " "
										       "J"
										       "u"
										       "l"
										       " "
										       "A"
										       "u"
										       "g"
										       " "
										       "S"
										       "e"
										       "p"
										       "t"
										       " "
										       "O"
										       "c"
										       "t"
										       " "
										       "N"
										       "o"
										       "v"
										       " "
										       "D"
										       "e"
										       "c"
										       " "
										       "0"
										       "0"
										       ":"
										       "0"
										       "0"
										       ":"
										       "0"
										       "0"
										       " "
										       "M"
										       "o"
										       "n"
										       ","
										       " "
										       "T"
										       "u"
										       "e"
										       ","
										       " "
										       "W"
										       "e"
										       "d"
										       ","
										       " "
										       "T"
										       "h"
										       "u"
										       ","
										       " "
										       "F"
										       "r"
										       "i"
										       ","
										       " "
										       "S"
										       "a"
										       "t"
										       ","
										       " "
										       "S"
										       "u"
										       "n"
										       ","
										       " "
										       "G"
										       "M"
										       "T"
										       "c"
										       "h"
										       "u"
										       "n"
										       "k"
										       "e"
										       "d"
										       ","
										       "t"
										       "e"
										       "x"
										       "t"
										       "/"
										       "h"
										       "t"
										       "m"
										       "l"
										       ","
										       "i"
										       "m"
										       "a"
										       "g"
										       "e"
										       "/"
										       "p"
										       "n"
										       "g"
										       ","
										       "i"
										       "m"
										       "a"
										       "g"
										       "e"
										       "/"
										       "j"
										       "p"
										       "g"
										       ","
										       "i"
										       "m"
										       "a"
										       "g"
										       "e"
										       "/"
										       "g"
										       "i"
										       "f"
										       ","
										       "a"
										       "p"
										       "p"
										       "l"
										       "i"
										       "c"
										       "a"
										       "t"
										       "i"
										       "o"
										       "n"
										       "/"
										       "x"
										       "m"
										       "l"
										       ","
										       "a"
										       "p"
										       "p"
										       "l"
										       "i"
										       "c"
										       "a"
										       "t"
										       "i"
										       "o"
										       "n"
										       "/"
										       "x"
										       "h"
										       "t"
										       "m"
										       "l"
										       "+"
										       "x"
										       "m"
										       "l"
										       ","
										       "t"
										       "e"
										       "x"
										       "t"
										       "/"
										       "p"
										       "l"
										       "a"
										       "i"
										       "n"
										       ","
										       "t"
										       "e"
										       "x"
										       "t"
										       "/"
										       "j"
										       "a"
										       "v"
										       "a"
										       "s"
										       "c"
										       "r"
										       "i"
										       "p"
										       "t"
										       ","
										       "p"
										       "u"
										       "b"
										       "l"
										       "i"
										       "c"
										       "p"
										       "r"
										       "i"
										       "v"
										       "a"
										       "t"
										       "e"
										       "m"
										       "a"
										       "x"
										       "-"
										       "a"
										       "g"
										       "e"
										       "="
										       "g"
										       "z"
										       "i"
										       "p"
										       ","
										       "d"
										       "e"
										       "f"
										       "l"
										       "a"
										       "t"
										       "e"
										       ","
										       "s"
										       "d"
										       "c"
										       "h"
										       "c"
										       "h"
										       "a"
										       "r"
										       "s"
										       "e"
										       "t"
										       "="
										       "u"
										       "t"
										       "f"
										       "-"
										       "8"
										       "c"
										       "h"
										       "a"
										       "r"
										       "s"
										       "e"
										       "t"
										       "="
										       "i"
										       "s"
										       "o"
										       "-"
										       "8"
										       "8"
										       "5"
										       "9"
										       "-"
										       "1"
										       ","
										       "u"
										       "t"
										       "f"
										       "-"
										       ","
										       "*"
										       ","
										       "e"
										       "n"
										       "q"
										       "="
										       "0"
										       ".";

void spdy_reader_done(struct spdy_reader *r)
{
	buf_done(&r->control);
}

static int bad(struct err *err, const char *what)
{
	return err_set(err, ERR_INVALID, "SPDY: %s", what);
}

static int parse_header(struct spdy_reader *r, struct err *err)
{
	const uint8_t *h = r->header;
	bool control = h[0] & CONTROL_BIT;

	r->flags = h[4];
	r->left = get_be32(h + 4) & 0xffffff;
	r->stream = get_be32(h) & 0x7fffffff;
	r->type = control ? (enum spdy_type)get_be16(h + 2) : SPDY_DATA;
	if (control && ((get_be16(h) & 0x7fff) != VERSION || r->type == SPDY_DATA))
		return bad(err, "not a frame of version 3");
	if (!control && !r->stream)
		return bad(err, "data on stream 0");
	if (r->left > (control ? (uint32_t)SPDY_MAX_CONTROL : (uint32_t)SPDY_MAX_DATA))
		return bad(err, "the frame is too large");
	r->in_frame = true;
	r->nheader = 0;
	buf_reset(&r->control);
	return 0;
}

/* Takes what there is of a frame. 1 with a piece, 0: nothing to say yet. */
static int take(struct spdy_reader *r, const uint8_t *data, size_t n,
		struct spdy_piece *ret)
{
	r->left -= (uint32_t)n;
	*ret = (struct spdy_piece){.type = r->type,
				   .flags = r->flags,
				   .stream = r->stream,
				   .last = !r->left,
				   .data = data,
				   .n = n};
	r->in_frame = r->left > 0;
	if (r->type == SPDY_DATA)
		return n || ret->last;
	buf_add(&r->control, data, n);
	ret->stream = 0;
	ret->data = r->control.data;
	ret->n = r->control.len;
	return ret->last;
}

int spdy_read(struct spdy_reader *r, const uint8_t *data, size_t n, size_t *ret_used,
	      struct spdy_piece *ret, struct err *err)
{
	size_t used = 0, part;
	int got = 0;

	while (!got && (used < n || (r->in_frame && !r->left))) {
		if (!r->in_frame) {
			part = MIN(n - used, (size_t)(SPDY_HEADER - r->nheader));
			memcpy(r->header + r->nheader, data + used, part);
			r->nheader += (unsigned)part;
			used += part;
			if (r->nheader == SPDY_HEADER && parse_header(r, err) < 0)
				got = -1;
			continue;
		}
		part = MIN(n - used, (size_t)r->left);
		got = take(r, data + used, part, ret);
		used += part;
	}
	*ret_used = used;
	return got;
}

/* --- header blocks ----------------------------------------------------------------- */

struct spdy_inflate {
	z_stream z;
};

struct spdy_inflate *spdy_inflate_new(void)
{
	struct spdy_inflate *z = xcalloc(1, sizeof(*z));

	if (inflateInit(&z->z) != Z_OK)
		err_oom(sizeof(*z));
	return z;
}

void spdy_inflate_free(struct spdy_inflate *z)
{
	if (!z)
		return;
	inflateEnd(&z->z);
	free(z);
}

/* Number of pairs, then length and text of each name and value. */
static bool block_valid(const struct buf *b)
{
	size_t at = 4;
	uint32_t pairs;

	if (b->len < 4)
		return false;
	pairs = get_be32(b->data);
	/* 2 * pairs strings of at least 4 bytes each */
	if (pairs > b->len / 8)
		return false;
	for (uint32_t i = 0; i < 2 * pairs; i++) {
		if (b->len - at < 4 || get_be32(b->data + at) > b->len - at - 4)
			return false;
		at += 4 + get_be32(b->data + at);
	}
	return at == b->len;
}

int spdy_headers(struct spdy_inflate *z, const void *data, size_t n, struct buf *out,
		 struct err *err)
{
	int r;

	buf_reset(out);
	z->z.next_in = (Bytef *)(uintptr_t)data;
	z->z.avail_in = (uInt)n;
	z->z.next_out = buf_reserve(out, SPDY_MAX_CONTROL + 1);
	z->z.avail_out = SPDY_MAX_CONTROL + 1;
	r = inflate(&z->z, Z_SYNC_FLUSH);
	if (r == Z_NEED_DICT && inflateSetDictionary(&z->z, (const Bytef *)dictionary,
						     sizeof(dictionary) - 1) == Z_OK)
		r = inflate(&z->z, Z_SYNC_FLUSH);
	if (r == Z_MEM_ERROR)
		err_oom(n);
	out->len = SPDY_MAX_CONTROL + 1 - z->z.avail_out;
	if (out->len > SPDY_MAX_CONTROL)
		return err_set(err, ERR_EXHAUSTED, "SPDY: the headers are too large");
	if ((r != Z_OK && r != Z_BUF_ERROR) || z->z.avail_in)
		return bad(err, "headers that zlib cannot read");
	if (!block_valid(out))
		return bad(err, "malformed headers");
	return 0;
}

const char *spdy_header(const struct buf *block, const char *name, size_t *ret_len)
{
	uint32_t pairs = get_be32(block->data);
	const uint8_t *p = block->data + 4;
	size_t want = strlen(name);

	while (pairs--) {
		uint32_t name_len = get_be32(p);
		const uint8_t *value = p + 4 + name_len;
		uint32_t value_len = get_be32(value);

		if (name_len == want && memcmp(p + 4, name, want) == 0) {
			*ret_len = value_len;
			return (const char *)value + 4;
		}
		p = value + 4 + value_len;
	}
	return NULL;
}

/* --- writing ----------------------------------------------------------------------- */

void spdy_add_data(struct buf *out, uint32_t stream, uint8_t flags, size_t n)
{
	buf_add_be32(out, stream);
	buf_add_be32(out, (uint32_t)flags << 24 | (uint32_t)n);
}

void spdy_add_control(struct buf *out, enum spdy_type type, uint8_t flags, size_t n)
{
	buf_add_be16(out, CONTROL_BIT << 8 | VERSION);
	buf_add_be16(out, (uint16_t)type);
	buf_add_be32(out, (uint32_t)flags << 24 | (uint32_t)n);
}

void spdy_add_reply(struct buf *out, uint32_t stream, bool first)
{
	/*
	 * An empty block needs no compressor: zlib's header, a stored piece with
	 * the number 0, and an empty one, which is what a flush looks like.
	 */
	static const uint8_t block[] = {0x78, 0x01, 0, 4, 0, 0xfb, 0xff, 0,
					0,    0,    0, 0, 0, 0,	   0xff, 0xff};
	size_t skip = first ? 0 : 2;

	spdy_add_control(out, SPDY_SYN_REPLY, 0, 4 + sizeof(block) - skip);
	buf_add_be32(out, stream);
	buf_add(out, block + skip, sizeof(block) - skip);
}

void spdy_add_reset(struct buf *out, uint32_t stream, uint32_t status)
{
	spdy_add_control(out, SPDY_RST_STREAM, 0, 8);
	buf_add_be32(out, stream);
	buf_add_be32(out, status);
}
