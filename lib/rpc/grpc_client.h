/*
 * grpc_client: a blocking gRPC client on a unix socket, for command-line
 * tools. Unary calls and server streaming; several streams of one connection
 * may be open at a time. Messages are bytes, at most GRPC_CLIENT_MAX_MESSAGE.
 */
#ifndef RPC_GRPC_CLIENT_H
#define RPC_GRPC_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum { GRPC_CLIENT_MAX_MESSAGE = 64 << 20 };

struct grpc_client;
struct grpc_stream;

/*
 * Connects to "unix:///PATH", "unix:PATH" or an absolute path and waits until
 * the server has answered as an HTTP/2 server does, at most timeout_ns (-1: no
 * limit). NULL on failure: ERR_INVALID (address), ERR_UNAVAILABLE (nobody
 * answers), ERR_TIMEOUT. The server's address is in the message.
 */
struct grpc_client *grpc_client_new(const char *address, int64_t timeout_ns,
				    struct err *err);
void grpc_client_free(struct grpc_client *c); /* NULL is allowed */

/*
 * Calls a unary method. timeout_ns (-1: none) is sent as grpc-timeout and kept
 * here too. The response is put into *ret (emptied first). On failure err has
 * the code and the message that the server has answered with.
 */
int grpc_client_call(struct grpc_client *c, const char *path, const void *msg, size_t len,
		     int64_t timeout_ns, struct buf *ret, struct err *err);

/* Starts a server-streaming call. Freed with grpc_stream_free, before the client. */
struct grpc_stream *grpc_stream_new(struct grpc_client *c, const char *path,
				    const void *msg, size_t len, int64_t timeout_ns,
				    struct err *err);

/* The next response into *ret: 1, 0 at the successful end, -1 with the server's error. */
int grpc_stream_next(struct grpc_stream *s, struct buf *ret, struct err *err);

/* Cancels the call if it has not ended. NULL is allowed. */
void grpc_stream_free(struct grpc_stream *s);

#endif
