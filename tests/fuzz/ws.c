/*
 * Frames of WebSocket: what is read in one piece and byte by byte must be the
 * same. The first byte says whether the peer masks.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "wire/http1_head.h"
#include "wire/ws.h"

enum { MAX_FRAME = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* All that the reader says, as text. */
static void read_all(const uint8_t *data, size_t size, size_t step, bool masked,
		     struct buf *out)
{
	uint8_t *copy = xmalloc(size + 1);
	struct ws_reader r;
	size_t at = 0;

	memcpy(copy, data, size);
	ws_reader_init(&r, masked, MAX_FRAME);
	while (at < size) {
		size_t n = size - at < step ? size - at : step;
		struct ws_piece p;
		unsigned status;
		struct err err;
		size_t used = 0;
		int got = ws_read(&r, copy + at, n, &used, &p, &status, &err);

		if (used > n || (got == 0 && used != n))
			abort();
		at += used;
		if (got < 0) {
			buf_add_fmt(out, "error %u", status);
			break;
		}
		if (got == 0)
			continue;
		if (p.opcode >= WS_CLOSE)
			buf_add_fmt(out, "[%u %u]", (unsigned)p.opcode, p.status);
		else if (p.first && (p.n || p.last))
			buf_add_fmt(out, "<%u>", (unsigned)p.opcode);
		buf_add(out, p.data, p.n);
		if (p.last)
			buf_add_char(out, ';');
	}
	free(copy);
}

static void head(const uint8_t *data, size_t size)
{
	struct http1_head h;
	struct err err;
	size_t seen = 0;
	size_t n = http1_head_length(data, size, &seen);

	if (n && http1_head_request(&h, data, n, &err) == 0) {
		(void)http1_head_has(&h, "Connection", "Upgrade");
		http1_head_done(&h);
	}
	if (n && http1_head_response(&h, data, n, &err) == 0)
		http1_head_done(&h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	BUF_AUTO whole = {0};
	BUF_AUTO bytes = {0};

	if (!size)
		return 0;
	head(data + 1, size - 1);
	read_all(data + 1, size - 1, SIZE_MAX, data[0] & 1, &whole);
	read_all(data + 1, size - 1, 1, data[0] & 1, &bytes);
	/* text that turns out wrong in its middle is told of at different times */
	if (whole.len && memmem(whole.data, whole.len, "error 1007", 10))
		return 0;
	if (whole.len != bytes.len ||
	    (whole.len && memcmp(whole.data, bytes.data, whole.len) != 0))
		abort();
	return 0;
}
