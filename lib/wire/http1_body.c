#include "wire/http1_body.h"

#include <strings.h>

#include "base/num.h"
#include "base/str.h"

enum { MAX_LINE = 4096, MAX_TRAILER = 16384, MAX_DIGITS = 15 };

enum {
	SIZE,	   /* in the digits of a chunk's size */
	EXTENSION, /* behind them, until the line ends */
	SIZE_LF,   /* a CR was seen */
	DATA,
	DATA_CR,
	DATA_LF,
	TRAILER, /* at the start of a trailer line */
	TRAILER_LINE,
	TRAILER_LF,
	LAST_LF /* the CR of the empty line was seen */
};

static bool equal(const char *a, const char *b)
{
	return strcasecmp(a, b) == 0;
}

/* All Content-Length fields must agree. Returns 1, 0 if there is none, or -1. */
static int content_length(const struct http1_head *h, uint64_t *ret, struct err *err)
{
	int found = 0;

	for (unsigned i = 0; i < h->nfields; i++) {
		uint64_t v;

		if (!equal(h->fields[i].name, "Content-Length"))
			continue;
		if (num_u64(h->fields[i].value, 0, INT64_MAX, &v) < 0)
			return err_set(err, ERR_INVALID, "malformed Content-Length");
		if (found && v != *ret)
			return err_set(err, ERR_INVALID, "two different Content-Lengths");
		*ret = v;
		found = 1;
	}
	return found;
}

int http1_body_init(struct http1_body *b, const struct http1_head *h, bool to_head,
		    struct err *err)
{
	uint64_t length = 0;
	int known = content_length(h, &length, err);
	bool chunked = false;

	if (known < 0)
		return -1;
	for (unsigned i = 0; i < h->nfields; i++) {
		if (!equal(h->fields[i].name, "Transfer-Encoding"))
			continue;
		if (chunked || !equal(h->fields[i].value, "chunked"))
			return err_set(err, ERR_INVALID, "unknown Transfer-Encoding");
		chunked = true;
	}
	/* RFC 9112 6.3: a sign of an attempt to smuggle */
	if (chunked && known)
		return err_set(err, ERR_INVALID,
			       "both Content-Length and Transfer-Encoding");
	*b = (struct http1_body){0};
	if (to_head || h->status < 200 || h->status == 204 || h->status == 304) {
		b->done = true;
	} else if (chunked) {
		b->framing = HTTP1_CHUNKED;
	} else if (known) {
		b->left = length;
		b->done = length == 0;
	} else {
		b->framing = HTTP1_TO_END;
	}
	return 0;
}

static int size_digit(struct http1_body *b, uint8_t c, struct err *err)
{
	unsigned digit;

	if (c >= '0' && c <= '9')
		digit = c - '0';
	else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		digit = (c | 0x20u) - 'a' + 10;
	else if (!b->digits)
		return err_set(err, ERR_INVALID, "malformed chunk size");
	else if (c == '\r') {
		b->state = SIZE_LF;
		return 0;
	} else if (c == ';' || c == ' ' || c == '\t') {
		b->state = EXTENSION;
		b->line = 0;
		return 0;
	} else
		return err_set(err, ERR_INVALID, "malformed chunk size");
	if (++b->digits > MAX_DIGITS)
		return err_set(err, ERR_INVALID, "chunk size out of range");
	b->left = b->left << 4 | digit;
	return 0;
}

static int want_lf(uint8_t c, struct err *err)
{
	return c == '\n' ? 0 : err_set(err, ERR_INVALID, "malformed chunk");
}

static int skip_line(struct http1_body *b, uint8_t c, unsigned next, struct err *err)
{
	if (c == '\n')
		return err_set(err, ERR_INVALID, "malformed chunk");
	if (++b->line > MAX_LINE || ++b->trailer > MAX_TRAILER)
		return err_set(err, ERR_INVALID, "line too long in a chunked body");
	if (c == '\r')
		b->state = next;
	return 0;
}

/* One byte of framing. */
static int frame_byte(struct http1_body *b, uint8_t c, struct err *err)
{
	switch (b->state) {
	case SIZE:
		return size_digit(b, c, err);
	case EXTENSION:
		/* extensions of many small chunks must not add up */
		b->trailer = 0;
		return skip_line(b, c, SIZE_LF, err);
	case SIZE_LF:
		b->state = b->left ? DATA : TRAILER;
		return want_lf(c, err);
	case DATA_CR:
		b->state = DATA_LF;
		return c == '\r' ? 0 : want_lf(0, err);
	case DATA_LF:
		b->state = SIZE;
		b->digits = 0;
		return want_lf(c, err);
	case TRAILER:
		b->line = 0;
		b->state = c == '\r' ? LAST_LF : TRAILER_LINE;
		return c == '\r' ? 0 : skip_line(b, c, TRAILER_LF, err);
	case TRAILER_LINE:
		return skip_line(b, c, TRAILER_LF, err);
	case TRAILER_LF:
		b->state = TRAILER;
		return want_lf(c, err);
	default:
		b->done = true;
		return want_lf(c, err);
	}
}

static int step_chunked(struct http1_body *b, const uint8_t *data, size_t n, size_t *skip,
			size_t *take, struct err *err)
{
	while (*skip < n && b->state != DATA && !b->done)
		if (frame_byte(b, data[(*skip)++], err) < 0)
			return -1;
	if (b->state != DATA)
		return 0;
	*take = (size_t)MIN((uint64_t)(n - *skip), b->left);
	b->left -= *take;
	if (!b->left)
		b->state = DATA_CR;
	return 0;
}

int http1_body_step(struct http1_body *b, const void *data, size_t n, size_t *ret_skip,
		    size_t *ret_take, struct err *err)
{
	size_t skip = 0, take = 0;

	if (b->done) {
		/* nothing is ours */
	} else if (b->framing == HTTP1_TO_END) {
		take = n;
	} else if (b->framing == HTTP1_LENGTH) {
		take = (size_t)MIN((uint64_t)n, b->left);
		b->left -= take;
		b->done = !b->left;
	} else if (step_chunked(b, data, n, &skip, &take, err) < 0) {
		return -1;
	}
	*ret_skip = skip;
	*ret_take = take;
	return 0;
}

int http1_body_end(struct http1_body *b, struct err *err)
{
	if (b->framing == HTTP1_TO_END)
		b->done = true;
	if (b->done)
		return 0;
	return err_set(err, ERR_UNAVAILABLE, "the connection ended in the middle");
}
