/*
 * grpc_server: gRPC over HTTP/2 on unix sockets, for methods with one request
 * message and one or more responses (unary, server streaming). It knows
 * nothing of protobuf: messages are bytes. Specs: gRPC over HTTP2
 * (grpc/doc/PROTOCOL-HTTP2.md), RFC 9113.
 *
 * A call lives from on_call until its handler ends it with exactly one of
 * grpc_reply, grpc_finish and grpc_fail, also when on_cancel has told that
 * nobody waits any more: the limits count handlers, not streams, so that a
 * client cannot start work without bound by cancelling. A call may be ended
 * from within on_call or on_cancel. Ending it frees it.
 *
 * Limits: 100 calls a connection, GRPC_MAX_CALLS in all, 16 MiB a message,
 * 16 KiB and 64 fields of header. Floods of cheap frames end a connection with
 * ENHANCE_YOUR_CALM; beyond GRPC_MAX_CONNS the one that was idle longest goes.
 * An idle server has no timer.
 */
#ifndef RPC_GRPC_SERVER_H
#define RPC_GRPC_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "loop/loop.h"

enum {
	GRPC_MAX_MESSAGE = 16 << 20, /* bytes, either way */
	GRPC_MAX_STREAMS = 100,	     /* calls of one connection */
	GRPC_MAX_CALLS = 1000,	     /* calls of all connections */
	GRPC_MAX_CONNS = 512
};

struct grpc_server;
struct grpc_call;

struct grpc_server_ops {
	/*
	 * A request is complete. path is that of HTTP/2, e.g.
	 * "/runtime.v1.RuntimeService/Version"; an unknown one is answered by
	 * grpc_fail with ERR_UNIMPLEMENTED. msg (len bytes, not NULL) is valid
	 * during this call only: decode or copy it.
	 */
	void (*on_call)(void *arg, struct grpc_call *call, const char *path,
			const uint8_t *msg, size_t len);
	/*
	 * The client has reset the call or gone, or the deadline has passed (the
	 * client has then been answered DEADLINE_EXCEEDED). Called at most once
	 * a call. The handler still ends the call, now or later; what it answers
	 * is dropped. May be NULL.
	 */
	void (*on_cancel)(void *arg, struct grpc_call *call);
	/*
	 * After grpc_send has returned false: the client has taken what was
	 * queued. May be NULL.
	 */
	void (*on_writable)(void *arg, struct grpc_call *call);
};

/* ops and arg must outlive the server. NULL on failure (out of memory in nghttp2). */
struct grpc_server *grpc_server_new(struct loop *l, const struct grpc_server_ops *ops,
				    void *arg, struct err *err);

/* Accepts on a listening stream socket (non-blocking), any number of them. Takes the fd. */
int grpc_server_listen(struct grpc_server *s, int fd_taken, struct err *err);

/*
 * Stops accepting, sends GOAWAY and lets running calls finish; each connection
 * is closed when its last one has. on_idle (may be NULL) is called once, when
 * no connection is left.
 */
void grpc_server_shutdown(struct grpc_server *s, void (*on_idle)(void *arg), void *arg);

/*
 * Closes everything. Calls that have not ended are cancelled (on_cancel) and
 * then freed: their pointers are dead afterwards. Not from within a callback
 * of a call; from on_idle it is allowed. NULL is allowed.
 */
void grpc_server_free(struct grpc_server *s);

/* What is there now: connections, and calls whose handlers have not ended them. */
unsigned grpc_server_conns(const struct grpc_server *s);
unsigned grpc_server_calls(const struct grpc_server *s);

/* Ends a unary call with its response (copied). More than 16 MiB is RESOURCE_EXHAUSTED. */
void grpc_reply(struct grpc_call *call, const void *msg, size_t len);

/*
 * Queues one response of a streaming call (copied). Returns whether more is
 * wanted at once; if not, wait for on_writable. After a cancel it drops the
 * message and returns false.
 */
bool grpc_send(struct grpc_call *call, const void *msg, size_t len);

/* Ends a streaming call after what was queued: err NULL or ERR_NONE is success. */
void grpc_finish(struct grpc_call *call, const struct err *err);

/* Ends a call with an error; the message of err becomes grpc-message. */
void grpc_fail(struct grpc_call *call, const struct err *err);

/* True after on_cancel: nobody waits for the answer. */
bool grpc_call_cancelled(const struct grpc_call *call);

/* The deadline that the client has set (time_mono), or -1. */
int64_t grpc_call_deadline(const struct grpc_call *call);

/* The path given to on_call; lives as long as the call. */
const char *grpc_call_path(const struct grpc_call *call);

/* A pointer of the handler's own. */
void grpc_call_set_data(struct grpc_call *call, void *data);
void *grpc_call_data(const struct grpc_call *call);

/* Who has connected (SO_PEERCRED when the connection was accepted); 0 and -1 if unknown. */
void grpc_call_peer(const struct grpc_call *call, pid_t *ret_pid, uid_t *ret_uid);

#endif
