/*
 * http_server: reads the head of one HTTP/1.1 request a connection and then
 * either answers it with a short response and closes, or gives the connection
 * away (to a shim, with the bytes that were read). For crid's streaming server
 * on loopback. It has no timer while no connection is being read.
 *
 * Limits: HTTP_SERVER_MAX_HEAD bytes of head, 10 seconds to send it,
 * HTTP_SERVER_MAX_CONNS connections (beyond them: 503 and closed).
 */
#ifndef RPC_HTTP_SERVER_H
#define RPC_HTTP_SERVER_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "loop/loop.h"
#include "wire/http1_head.h"

enum { HTTP_SERVER_MAX_HEAD = 16 << 10, HTTP_SERVER_MAX_CONNS = 64 };

struct http_server;
struct http_conn;

struct http_server_ops {
	/*
	 * A head is complete (RFC 9112 2.1); req->method, req->target ("/exec/TOKEN")
	 * and http1_head_get(req, "Upgrade") are valid until the handler ends the
	 * connection with http_conn_reply or http_conn_take, now or later.
	 * The method is any token, the target begins with '/'.
	 */
	void (*on_request)(void *arg, struct http_conn *c, const struct http1_head *req);
};

/* ops and arg must outlive the server. */
struct http_server *http_server_new(struct loop *l, const struct http_server_ops *ops,
				    void *arg);

/* Accepts on a listening stream socket (non-blocking). Takes the fd. */
int http_server_listen(struct http_server *s, int fd_taken, struct err *err);

/* Stops accepting and closes the listening sockets; connections go on. */
void http_server_unlisten(struct http_server *s);

/* Closes everything. */
void http_server_free(struct http_server *s);

/*
 * Answers with a status (e.g. 404) and a line of plain text, closes after it
 * was sent. retry_after: seconds for a Retry-After header, or 0. Ends c.
 */
void http_conn_reply(struct http_conn *c, unsigned status, const char *text,
		     unsigned retry_after);

/*
 * Gives the connection away: returns the fd (owned by the caller,
 * non-blocking) and all bytes that were read from it, the head first. Ends c.
 */
int http_conn_take(struct http_conn *c, struct buf *ret_raw);

/* The fd, borrowed, e.g. to look up the peer. */
int http_conn_fd(const struct http_conn *c);

#endif
