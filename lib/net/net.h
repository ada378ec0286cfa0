/*
 * net: byte streams to other machines: TCP with name resolution, and TLS 1.2
 * on top. Calls block, each until a deadline of its own; they are for the
 * fetcher, a process that does nothing else. Deadlines are time_mono() values.
 *
 * Errors: ERR_UNAVAILABLE when the peer cannot be reached or broke off,
 * ERR_TIMEOUT at the deadline, ERR_DENIED when TLS says that the peer is not
 * who it should be; the text names the reason.
 */
#ifndef NET_NET_H
#define NET_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

struct net_stream;
struct net_tls;

/*
 * Connects to host (a name, or an IPv4 or IPv6 address) and port. Up to 16
 * addresses are tried, the next one 250 ms after the last (RFC 8305). With
 * tls not NULL (it must outlive the stream), also the TLS handshake. NULL on
 * failure: "connect to HOST port PORT: why", with sys set if it is not TLS.
 */
struct net_stream *net_connect(const char *host, uint16_t port, struct net_tls *tls,
			       int64_t deadline, struct err *err);

/* TLS on a connection that is there, e.g. through a proxy. Consumes s_taken, also on failure. */
struct net_stream *net_start_tls(struct net_stream *s_taken, const char *host,
				 struct net_tls *tls, int64_t deadline, struct err *err);

/* Closes and frees; NULL is allowed. */
void net_close(struct net_stream *s);

/* Reads what is there, at most n bytes. Their number, 0 at the end, or -1. */
ssize_t net_read(struct net_stream *s, void *data, size_t n, int64_t deadline,
		 struct err *err);

/* Waits until there is something to read, or the end. 0 or -1 (ERR_TIMEOUT). */
int net_wait_readable(struct net_stream *s, int64_t deadline, struct err *err);

/* Writes all n bytes. 0 or -1. */
int net_write(struct net_stream *s, const void *data, size_t n, int64_t deadline,
	      struct err *err);

/*
 * Moves up to n bytes into a pipe without copying them, blocking while the
 * pipe is full; only waiting for the network counts against the deadline.
 * Their number; 0 at the end; -1 (sys EPIPE: the pipe's reader has gone); or
 * NET_NO_SPLICE: this stream cannot, because of TLS.
 */
enum { NET_NO_SPLICE = -2 };
ssize_t net_splice(struct net_stream *s, int pipe, size_t n, int64_t deadline,
		   struct err *err);

/* How a TLS client judges its peers, and shows itself. All texts are PEM. */
struct net_tls_config {
	const struct buf *ca[2]; /* trusted issuers; NULL: none */
	bool skip_verify;
	const struct buf *cert, *key; /* a certificate chain of our own, or NULL */
};

/*
 * Borrows the buffers of the config, which are decoded at the first handshake;
 * what is wrong in them is reported then.
 */
struct net_tls *net_tls_new(const struct net_tls_config *config);
void net_tls_free(struct net_tls *t);

#endif
