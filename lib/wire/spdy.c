#include "wire/spdy.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/num.h"
#include "base/str.h"

enum { VERSION = 3, CONTROL_BIT = 0x80 };

/*
 * What zlib has seen before the first header (2.6.10.1): 1423 bytes whose
 * Adler-32 is e3c6a7c2. Each word has its length before it, in 32 bits.
 */
static const char dictionary[] =
	"\0\0\0\007options\0\0\0\004head\0\0\0\004post\0\0\0\003put"
	"\0\0\0\006delete\0\0\0\005trace\0\0\0\006accept\0\0\0\016accept-charset"
	"\0\0\0\017accept-encoding\0\0\0\017accept-language"
	"\0\0\0\015accept-ranges\0\0\0\003age\0\0\0\005allow"
	"\0\0\0\015authorization\0\0\0\015cache-control\0\0\0\012connection"
	"\0\0\0\014content-base\0\0\0\020content-encoding"
	"\0\0\0\020content-language\0\0\0\016content-length"
	"\0\0\0\020content-location\0\0\0\013content-md5\0\0\0\015content-range"
	"\0\0\0\014content-type\0\0\0\004date\0\0\0\004etag\0\0\0\006expect"
	"\0\0\0\007expires\0\0\0\004from\0\0\0\004host\0\0\0\010if-match"
	"\0\0\0\021if-modified-since\0\0\0\015if-none-match\0\0\0\010if-range"
	"\0\0\0\023if-unmodified-since\0\0\0\015last-modified\0\0\0\010location"
	"\0\0\0\014max-forwards\0\0\0\006pragma\0\0\0\022proxy-authenticate"
	"\0\0\0\023proxy-authorization\0\0\0\005range\0\0\0\007referer"
	"\0\0\0\013retry-after\0\0\0\006server\0\0\0\002te\0\0\0\007trailer"
	"\0\0\0\021transfer-encoding\0\0\0\007upgrade\0\0\0\012user-agent"
	"\0\0\0\004vary\0\0\0\003via\0\0\0\007warning\0\0\0\020www-authenticate"
	"\0\0\0\006method\0\0\0\003get\0\0\0\006status\0\0\0\006200 OK"
	"\0\0\0\007version\0\0\0\010HTTP/1.1\0\0\0\003url\0\0\0\006public"
	"\0\0\0\012set-cookie\0\0\0\012keep-alive\0\0\0\006origin"
	"100101201202205206300302303304305306307402405406407408409410411412413414"
	"415416417502504505203 Non-Authoritative Information204 No Content301 Mov"
	"ed Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found5"
	"00 Internal Server Error501 Not Implemented503 Service UnavailableJan Fe"
	"b Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, "
	"Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,applic"
	"ation/xml,application/xhtml+xml,text/plain,text/javascript,publicprivate"
	"max-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";
_Static_assert(sizeof(dictionary) - 1 == 1423, "the dictionary is fixed");

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
