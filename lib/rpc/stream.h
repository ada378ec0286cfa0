/*
 * stream: the server's side of an exec or attach session as the kubelet and
 * crictl speak it, on a connected TCP socket whose request head was already
 * read (http_server). The protocol behind it is chosen by the request:
 * WebSocket (RFC 6455) with the subprotocols v5., v4. and channel.k8s.io and
 * the base64 variants of the latter two, or SPDY/3.1 with the stream protocols
 * v4 to v1, which is what kubectl and crictl speak by default.
 *
 * Everything is non-blocking and bounded in both directions: what the process
 * does not read from stdin stays in the socket, and what the client does not
 * take makes stream_send return false.
 */
#ifndef RPC_STREAM_H
#define RPC_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "loop/loop.h"

struct stream_session;

enum stream_channel { STREAM_STDOUT = 1, STREAM_STDERR = 2 };

/* The standard streams that the session has; the others are ignored. */
struct stream_params {
	bool in;
	bool out;
	bool err; /* false with a terminal */
	bool tty; /* resize requests are passed on */
};

struct stream_ops {
	/*
	 * Bytes for the process (n > 0). Returns how many were taken; if fewer
	 * than n, nothing more is read from the client until stream_resume, which
	 * offers the rest again.
	 */
	size_t (*on_stdin)(void *arg, const uint8_t *data, size_t n);
	/* The client has closed its end of stdin, after all bytes were taken. Once. */
	void (*on_stdin_close)(void *arg);
	/* The terminal's new size, in characters. Only the newest matters. */
	void (*on_resize)(void *arg, uint16_t width, uint16_t height);
	/* After stream_send has returned false: more is wanted. */
	void (*on_writable)(void *arg);
	/*
	 * The session is over: the client has gone or broke the protocol (err says
	 * so), or stream_finish is done (ERR_NONE). Called once, never from within
	 * a stream_ call. The owner calls stream_free now or later.
	 */
	void (*on_end)(void *arg, const struct err *err);
};

/*
 * Starts a session on fd_taken; raw is what was read from it, beginning with
 * the request head. A request that cannot be served is answered (400, 403,
 * 426, 501), the fd is closed and NULL returned with err. ops and arg must
 * outlive the session.
 */
struct stream_session *stream_new(struct loop *l, int fd_taken, const void *raw,
				  size_t raw_len, const struct stream_params *params,
				  const struct stream_ops *ops, void *arg,
				  struct err *err);

/* Closes at once and frees; allowed from any callback. NULL is allowed. */
void stream_free(struct stream_session *s);

/* The process reads stdin again. */
void stream_resume(struct stream_session *s);

/*
 * Queues output (copied, always all of it). Returns whether more is wanted at
 * once; if not, stop reading from the process until on_writable. Output of a
 * channel that the session does not have is dropped.
 */
bool stream_send(struct stream_session *s, enum stream_channel channel, const void *data,
		 size_t n);

/*
 * How a session ended. ERR_NONE with exit_code 0 is success; ERR_NONE with
 * another exit code is "NonZeroExitCode"; otherwise err tells what went wrong
 * (the process could not be started, ...).
 */
struct stream_status {
	int exit_code;
	const struct err *err; /* NULL: none */
};

/*
 * Sends the status after all output, closes gracefully (waiting for the
 * client a few seconds at most) and then calls on_end. No more output after it.
 */
void stream_finish(struct stream_session *s, const struct stream_status *status);

#endif
