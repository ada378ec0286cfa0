/*
 * http1_head: the head of an HTTP/1.1 message (RFC 9112 2 to 5) in one piece:
 * requests that a small server gets, responses that a WebSocket client gets.
 * Strict: CRLF line ends, no folding, no control characters, bounded.
 */
#ifndef WIRE_HTTP1_HEAD_H
#define WIRE_HTTP1_HEAD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum { HTTP1_HEAD_MAX_FIELDS = 64 };

struct http1_field {
	const char *name;  /* as it was sent; compare without case */
	const char *value; /* without white space around it */
};

struct http1_head {
	const char *method; /* request: a token, e.g. "GET" */
	const char *target; /* request: origin form, begins with '/' */
	unsigned status;    /* response: 100 to 599 */
	const char *reason; /* response: may be "" */
	bool http10;	    /* response: HTTP/1.0; the connection ends with it */
	struct http1_field fields[HTTP1_HEAD_MAX_FIELDS];
	unsigned nfields;
	char *text; /* private: what all of these point into */
};

/*
 * The length of the head at the beginning of n bytes, its empty line included,
 * or 0 if it is not complete. Start with *seen = 0: what was searched is
 * remembered there, so that a slow sender costs nothing.
 */
size_t http1_head_length(const void *data, size_t n, size_t *seen);

/*
 * Parses a head of exactly n bytes. Owns its memory: http1_head_done. 0 or -1
 * (ERR_INVALID; ERR_UNIMPLEMENTED for another version than HTTP/1.1, in
 * responses also 1.0: proxies answer so).
 */
int http1_head_request(struct http1_head *h, const void *data, size_t n, struct err *err);
int http1_head_response(struct http1_head *h, const void *data, size_t n,
			struct err *err);
void http1_head_done(struct http1_head *h);

/* The value of a field, the name without case; NULL if it is missing. The first one if several. */
const char *http1_head_get(const struct http1_head *h, const char *name);

/*
 * True if a field's value, a comma-separated list (all fields of that name),
 * has the token, without case: "Connection: keep-alive, Upgrade".
 */
bool http1_head_has(const struct http1_head *h, const char *name, const char *token);

#endif
