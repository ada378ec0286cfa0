/*
 * http1_body: where the body of an HTTP/1.1 response begins and ends
 * (RFC 9112 6 and 7). The bytes stay in the caller's buffer: each step says how
 * many of them are framing and how many are content.
 */
#ifndef WIRE_HTTP1_BODY_H
#define WIRE_HTTP1_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "wire/http1_head.h"

enum http1_framing {
	HTTP1_LENGTH, /* `left` bytes, also 0 */
	HTTP1_CHUNKED,
	HTTP1_TO_END /* until the connection ends */
};

struct http1_body {
	enum http1_framing framing;
	bool done;
	uint64_t left;	  /* HTTP1_LENGTH: bytes to come; HTTP1_CHUNKED: of this chunk */
	unsigned state;	  /* private */
	unsigned digits;  /* private: of a chunk's size */
	unsigned line;	  /* private: bytes of a line that is being skipped */
	unsigned trailer; /* private: bytes of all trailers */
};

/*
 * Reads the framing from a response's head; to_head: it answers a HEAD
 * request. A message with two ideas of its length is ERR_INVALID.
 */
int http1_body_init(struct http1_body *b, const struct http1_head *h, bool to_head,
		    struct err *err);

/*
 * Looks at n bytes: the first *ret_skip are framing, the next *ret_take are
 * content. Both are consumed; call again with what follows until b->done or
 * nothing is left. 0 or -1 (ERR_INVALID).
 */
int http1_body_step(struct http1_body *b, const void *data, size_t n, size_t *ret_skip,
		    size_t *ret_take, struct err *err);

/* The connection has ended. 0 if the body is complete now, -1 if not (ERR_UNAVAILABLE). */
int http1_body_end(struct http1_body *b, struct err *err);

#endif
