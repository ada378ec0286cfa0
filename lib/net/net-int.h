/* net-int: between the stream and its TLS. */
#ifndef NET_NET_INT_H
#define NET_NET_INT_H

#include "net/net.h"

/* Waits for POLLIN or POLLOUT on a socket. 0 or -1 (ERR_TIMEOUT). */
int net_wait(int fd, short events, int64_t deadline, struct err *err);

/* Reads and writes on the non-blocking socket itself. */
ssize_t net_raw_read(int fd, void *data, size_t n, int64_t deadline, struct err *err);
ssize_t net_raw_write(int fd, const void *data, size_t n, int64_t deadline,
		      struct err *err);

struct tls_conn;

/* The handshake over fd, which is borrowed. NULL on failure. */
struct tls_conn *tls_start(struct net_tls *t, int fd, const char *host, int64_t deadline,
			   struct err *err);
void tls_free(struct tls_conn *c);
ssize_t tls_read(struct tls_conn *c, void *data, size_t n, int64_t deadline,
		 struct err *err);
/* True if a read would find plain text at once. */
bool tls_has_data(const struct tls_conn *c);
int tls_write(struct tls_conn *c, const void *data, size_t n, int64_t deadline,
	      struct err *err);

#endif
