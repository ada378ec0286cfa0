#include "wire/ws.h"

#include <bearssl_hash.h>
#include <string.h>

#include "base/num.h"
#include "wire/base64.h"

enum { FIN = 0x80, RESERVED = 0x70, MASKED = 0x80, LEN16 = 126, LEN64 = 127 };
enum { UTF8_START = 0, UTF8_BAD = UINT32_MAX };

void ws_reader_init(struct ws_reader *r, bool masked, uint64_t max)
{
	*r = (struct ws_reader){.masked = masked, .max = max};
}

/*
 * Checks UTF-8 that comes in pieces (RFC 3629). The state between two bytes:
 * how many continuation bytes are to come (low byte), and the range of the
 * next one where that is not 80..BF (bytes 2 and 1).
 */
static uint32_t utf8_lead(uint8_t c)
{
	if (c < 0x80)
		return UTF8_START;
	if (c >= 0xc2 && c <= 0xdf)
		return 0x80bf01;
	if (c >= 0xe0 && c <= 0xef)
		return c == 0xe0 ? 0xa0bf02 : c == 0xed ? 0x809f02 : 0x80bf02;
	if (c >= 0xf0 && c <= 0xf4)
		return c == 0xf0 ? 0x90bf03 : c == 0xf4 ? 0x808f03 : 0x80bf03;
	return UTF8_BAD;
}

static uint32_t utf8_check(uint32_t state, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n && state != UTF8_BAD; i++) {
		if (state == UTF8_START)
			state = utf8_lead(p[i]);
		else if (p[i] < state >> 16 || p[i] > (state >> 8 & 0xff))
			state = UTF8_BAD;
		else
			state = (state & 0xff) == 1 ? UTF8_START
						    : 0x80bf00 | ((state & 0xff) - 1);
	}
	return state;
}

static int fail(struct err *err, unsigned *ret_status, unsigned status, const char *what)
{
	*ret_status = status;
	return err_set(err, status == WS_TOO_LARGE ? ERR_EXHAUSTED : ERR_INVALID,
		       "WebSocket: %s", what);
}

static bool is_control(enum ws_opcode o)
{
	return (o & 8) != 0;
}

/* Bytes of header that the first two announce. */
static unsigned header_size(const uint8_t *h)
{
	unsigned len = h[1] & 0x7f;

	return 2 +
	       (len == LEN16   ? 2U
		: len == LEN64 ? 8U
			       : 0U) +
	       (h[1] & MASKED ? 4U : 0U);
}

/* What the frame's first byte may not be (section 5.2, 5.4, 5.5). NULL: fine. */
static const char *bad_opcode(const struct ws_reader *r)
{
	switch (r->opcode) {
	case WS_CONTINUATION:
		return r->message == WS_CONTINUATION ? "a continuation of nothing" : NULL;
	case WS_TEXT:
	case WS_BINARY:
		return r->message != WS_CONTINUATION ? "a message within a message"
						     : NULL;
	case WS_CLOSE:
	case WS_PING:
	case WS_PONG:
		return r->fin ? NULL : "a fragmented control frame";
	default:
		return "an unknown opcode";
	}
}

static int parse_header(struct ws_reader *r, unsigned *ret_status, struct err *err)
{
	const uint8_t *h = r->header;
	unsigned len = h[1] & 0x7f;
	const char *bad;

	r->fin = h[0] & FIN;
	r->opcode = (enum ws_opcode)(h[0] & 0x0f);
	r->left = len == LEN16 ? get_be16(h + 2) : len == LEN64 ? get_be64(h + 2) : len;
	bad = bad_opcode(r);
	if (!bad && h[0] & RESERVED)
		bad = "a reserved bit is set";
	if (!bad && (h[1] & MASKED) != (r->masked ? MASKED : 0))
		bad = r->masked ? "the client does not mask" : "the server masks";
	if (!bad && is_control(r->opcode) && len > WS_MAX_CONTROL)
		bad = "a control frame is too long";
	if (!bad && ((len == LEN16 && r->left < LEN16) ||
		     (len == LEN64 && (r->left <= UINT16_MAX || r->left >> 63))))
		bad = "a length that is not in its shortest form";
	if (bad)
		return fail(err, ret_status, WS_PROTOCOL_ERROR, bad);
	if (r->left > r->max)
		return fail(err, ret_status, WS_TOO_LARGE, "the frame is too large");
	if (r->masked)
		memcpy(r->mask, h + r->nheader - 4, 4);
	r->mask_at = 0;
	r->ncontrol = 0;
	r->in_frame = true;
	r->nheader = 0;
	if (r->opcode == WS_TEXT || r->opcode == WS_BINARY) {
		r->message = r->opcode;
		r->begun = false;
		r->utf8 = UTF8_START;
	}
	return 0;
}

/* Collects a header. 1: it is complete, 0: more is needed, -1. */
static int read_header(struct ws_reader *r, const uint8_t *data, size_t n, size_t *used,
		       unsigned *ret_status, struct err *err)
{
	for (;;) {
		unsigned need = r->nheader < 2 ? 2 : header_size(r->header);
		size_t take = MIN(n - *used, (size_t)(need - r->nheader));

		if (r->nheader >= 2 && r->nheader == need)
			return parse_header(r, ret_status, err) < 0 ? -1 : 1;
		if (!take)
			return 0;
		memcpy(r->header + r->nheader, data + *used, take);
		r->nheader += (unsigned)take;
		*used += take;
	}
}

/* Section 7.4: what may stand in a close frame. */
static bool close_code_valid(unsigned code)
{
	return (code >= 1000 && code <= 1011 && code != 1004 && code != WS_NO_STATUS &&
		code != 1006) ||
	       (code >= 3000 && code <= 4999);
}

static int control_piece(struct ws_reader *r, struct ws_piece *ret, unsigned *ret_status,
			 struct err *err)
{
	r->in_frame = false;
	*ret = (struct ws_piece){.opcode = r->opcode,
				 .first = true,
				 .last = true,
				 .data = r->control,
				 .n = r->ncontrol,
				 .status = WS_NO_STATUS};
	if (r->opcode != WS_CLOSE || !r->ncontrol)
		return 1;
	if (r->ncontrol < 2)
		return fail(err, ret_status, WS_PROTOCOL_ERROR, "half a close code");
	ret->status = get_be16(r->control);
	ret->data += 2;
	ret->n -= 2;
	if (!close_code_valid(ret->status))
		return fail(err, ret_status, WS_PROTOCOL_ERROR, "an invalid close code");
	if (utf8_check(UTF8_START, ret->data, ret->n) != UTF8_START)
		return fail(err, ret_status, WS_BAD_DATA, "a close reason is not UTF-8");
	return 1;
}

static int data_piece(struct ws_reader *r, uint8_t *data, size_t n, struct ws_piece *ret,
		      unsigned *ret_status, struct err *err)
{
	bool last = !r->left && r->fin;

	*ret = (struct ws_piece){.opcode = r->message,
				 .first = !r->begun,
				 .last = last,
				 .data = data,
				 .n = n};
	if (r->message == WS_TEXT) {
		r->utf8 = utf8_check(r->utf8, data, n);
		if (r->utf8 == UTF8_BAD || (last && r->utf8 != UTF8_START))
			return fail(err, ret_status, WS_BAD_DATA, "text is not UTF-8");
	}
	r->begun = r->begun || n;
	if (!r->left)
		r->in_frame = false;
	if (last)
		r->message = WS_CONTINUATION;
	return n || last;
}

int ws_read(struct ws_reader *r, uint8_t *data, size_t n, size_t *ret_used,
	    struct ws_piece *ret, unsigned *ret_status, struct err *err)
{
	size_t take, used = 0;
	int got = 0;

	while (!got && (used < n || (r->in_frame && !r->left))) {
		if (!r->in_frame) {
			got = read_header(r, data, n, &used, ret_status, err);
			if (got <= 0)
				break;
			got = 0;
		}
		take = (size_t)MIN((uint64_t)(n - used), r->left);
		if (!take && r->left)
			break;
		if (r->masked)
			ws_mask(data + used, take, r->mask, r->mask_at);
		r->mask_at = (r->mask_at + (unsigned)(take & 3)) & 3;
		r->left -= take;
		if (!is_control(r->opcode)) {
			got = data_piece(r, data + used, take, ret, ret_status, err);
		} else {
			memcpy(r->control + r->ncontrol, data + used, take);
			r->ncontrol += (unsigned)take;
			if (!r->left)
				got = control_piece(r, ret, ret_status, err);
		}
		used += take;
	}
	*ret_used = used;
	return got;
}

void ws_frame_header(struct buf *out, enum ws_opcode opcode, size_t n,
		     const uint8_t mask[4])
{
	uint8_t bit = mask ? MASKED : 0;

	buf_add_char(out, (char)(FIN | opcode));
	if (n < LEN16) {
		buf_add_char(out, (char)(bit | n));
	} else if (n <= UINT16_MAX) {
		buf_add_char(out, (char)(bit | LEN16));
		buf_add_be16(out, (uint16_t)n);
	} else {
		buf_add_char(out, (char)(bit | LEN64));
		buf_add_be32(out, (uint32_t)((uint64_t)n >> 32));
		buf_add_be32(out, (uint32_t)n);
	}
	if (mask)
		buf_add(out, mask, 4);
}

void ws_mask(uint8_t *data, size_t n, const uint8_t mask[4], size_t at)
{
	for (size_t i = 0; i < n; i++)
		data[i] ^= mask[(at + i) & 3];
}

void ws_accept(char ret[WS_ACCEPT], const char *key)
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	BUF_AUTO text = {0};
	uint8_t sum[br_sha1_SIZE];
	br_sha1_context sha1;

	br_sha1_init(&sha1);
	br_sha1_update(&sha1, key, strlen(key));
	br_sha1_update(&sha1, guid, sizeof(guid) - 1);
	br_sha1_out(&sha1, sum);
	base64_encode(&text, sum, sizeof(sum));
	memcpy(ret, text.data, WS_ACCEPT - 1);
	ret[WS_ACCEPT - 1] = 0;
}

bool ws_key_valid(const char *key)
{
	BUF_AUTO b = {0};

	return strlen(key) == 24 && base64_decode(&b, key, 24) == 0 && b.len == 16;
}
