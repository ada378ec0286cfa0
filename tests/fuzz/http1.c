/* an HTTP/1.1 response: its head, then its body in pieces of a size that the input chooses */
#include <stdlib.h>

#include "base/num.h"
#include "wire/http1_body.h"
#include "wire/http1_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void body(struct http1_body *b, const uint8_t *data, size_t n, size_t piece)
{
	struct err err;

	for (size_t at = 0; at < n && !b->done;) {
		size_t have = MIN(n - at, piece), skip, take;

		if (http1_body_step(b, data + at, have, &skip, &take, &err) < 0)
			return;
		/* it never takes what is not there, and always takes something */
		if (skip + take > have || skip + take == 0)
			abort();
		at += skip + take;
	}
	(void)http1_body_end(b, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http1_head h;
	struct http1_body b;
	struct err err;
	size_t seen = 0, n;

	if (!size)
		return 0;
	n = http1_head_length(data + 1, size - 1, &seen);
	if (!n || http1_head_response(&h, data + 1, n, &err) < 0)
		return 0;
	if (http1_body_init(&b, &h, data[0] & 0x80, &err) == 0)
		body(&b, data + 1 + n, size - 1 - n, 1u + (data[0] & 0x7f));
	http1_head_done(&h);
	return 0;
}
