/*
 * ws: the client's side of an exec or attach session over WebSocket
 * (RFC 6455), for ctl. Offers v5.channel.k8s.io and v4.channel.k8s.io.
 * Driven by the caller's loop.
 */
#ifndef RPC_WS_H
#define RPC_WS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "loop/loop.h"
#include "rpc/stream.h"

struct ws_client;

struct ws_client_ops {
	/* Output of the process. Blocking in here is back-pressure. */
	void (*on_output)(void *arg, enum stream_channel channel, const uint8_t *data,
			  size_t n);
	/* After ws_client_stdin has returned false: more is wanted. May be NULL. */
	void (*on_writable)(void *arg);
	/*
	 * The session is over. err is ERR_NONE if the process has run, and
	 * exit_code is its exit code; otherwise err is what the server said or what
	 * broke. Called once, never from within a ws_client_ call; the owner calls
	 * ws_client_free.
	 */
	void (*on_end)(void *arg, int exit_code, const struct err *err);
};

/*
 * Connects to a URL "http://HOST:PORT/PATH" or "ws://..." (HOST an IP address
 * or "localhost", as CRI's Exec answers it) and does the handshake; blocking,
 * at most timeout_ns (-1: no limit). NULL on failure; a status other than 101 is named in
 * the message.
 */
struct ws_client *ws_client_new(struct loop *l, const char *url, int64_t timeout_ns,
				const struct ws_client_ops *ops, void *arg,
				struct err *err);
void ws_client_free(struct ws_client *c); /* NULL is allowed */

/* Queues input (copied, all of it). Returns whether more is wanted at once. */
bool ws_client_stdin(struct ws_client *c, const void *data, size_t n);

/*
 * Ends stdin. Only v5 can say so on the wire; with v4 the process does not
 * notice (returns false).
 */
bool ws_client_stdin_close(struct ws_client *c);

/* Tells the size of the terminal, in characters. */
void ws_client_resize(struct ws_client *c, uint16_t width, uint16_t height);

#endif
