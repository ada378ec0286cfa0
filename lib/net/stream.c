/* TCP connections: resolving, connecting, reading, writing */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "net/net-int.h"
#include "os/fd.h"

enum { MAX_ADDRESSES = 16 };

/* RFC 8305 5: Connection Attempt Delay */
static const int64_t ATTEMPT_DELAY = 250 * NS_PER_MS;

struct net_stream {
	int fd;
	struct tls_conn *tls; /* NULL: plain */
};

/* Milliseconds for poll, rounded up. */
static int until(int64_t deadline)
{
	int64_t left = deadline - time_mono();

	if (left <= 0)
		return 0;
	return (int)MIN((left + NS_PER_MS - 1) / NS_PER_MS, INT32_MAX);
}

int net_wait(int fd, short events, int64_t deadline, struct err *err)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		int r = poll(&p, 1, until(deadline));

		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return err_sys(err, errno, "poll");
		if (r == 0 && time_mono() >= deadline)
			return err_set(err, ERR_TIMEOUT, "the server does not answer");
	}
}

static int broken(int sys, struct err *err)
{
	err_sys(err, sys, "the connection broke");
	err->code = ERR_UNAVAILABLE;
	return -1;
}

ssize_t net_raw_read(int fd, void *data, size_t n, int64_t deadline, struct err *err)
{
	for (;;) {
		ssize_t got = recv(fd, data, n, 0);

		if (got >= 0)
			return got;
		if (errno != EAGAIN && errno != EINTR)
			return broken(errno, err);
		if (errno == EAGAIN && net_wait(fd, POLLIN, deadline, err) < 0)
			return -1;
	}
}

ssize_t net_raw_write(int fd, const void *data, size_t n, int64_t deadline,
		      struct err *err)
{
	for (;;) {
		ssize_t sent = send(fd, data, n, MSG_NOSIGNAL);

		if (sent >= 0)
			return sent;
		if (errno != EAGAIN && errno != EINTR)
			return broken(errno, err);
		if (errno == EAGAIN && net_wait(fd, POLLOUT, deadline, err) < 0)
			return -1;
	}
}

static struct addrinfo *resolve(const char *host, uint16_t port, struct err *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *list = NULL;
	char service[8];
	int r;

	snprintf(service, sizeof(service), "%u", (unsigned)port);
	r = getaddrinfo(host, service, &hints, &list);
	if (r == 0)
		return list;
	if (r == EAI_NONAME)
		err_set(err, ERR_UNAVAILABLE, "there is no host of this name");
	else if (r == EAI_AGAIN)
		err_set(err, ERR_UNAVAILABLE, "the name servers do not answer");
	else
		err_set(err, ERR_UNAVAILABLE, "resolving the name failed: %s",
			gai_strerror(r));
	err->sys = EHOSTUNREACH;
	return NULL;
}

/* Sockets that are being connected, oldest first. */
struct attempts {
	struct pollfd p[MAX_ADDRESSES];
	nfds_t n;
	int sys; /* the last failure */
};

static void attempt(struct attempts *at, const struct addrinfo *ai)
{
	int one = 1;
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0) {
		at->sys = errno;
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, ai->ai_addr, ai->ai_addrlen) < 0 && errno != EINPROGRESS) {
		at->sys = errno;
		close(fd);
		return;
	}
	at->p[at->n++] = (struct pollfd){.fd = fd, .events = POLLOUT};
}

/* Looks at the sockets that poll reported: a connected one, or -1. */
static int collect(struct attempts *at)
{
	nfds_t kept = 0;
	int won = -1;

	for (nfds_t i = 0; i < at->n; i++) {
		int sys = 0;
		socklen_t len = sizeof(sys);

		if (!at->p[i].revents || won >= 0) {
			at->p[kept++] = at->p[i];
			continue;
		}
		if (getsockopt(at->p[i].fd, SOL_SOCKET, SO_ERROR, &sys, &len) < 0)
			sys = errno;
		if (!sys) {
			won = at->p[i].fd;
			continue;
		}
		at->sys = sys;
		close(at->p[i].fd);
	}
	at->n = kept;
	return won;
}

static int connect_any(const struct addrinfo *list, int64_t deadline, struct err *err)
{
	const struct addrinfo *next = list;
	struct attempts at = {0};
	unsigned started = 0;
	int won = -1;

	while (won < 0 && (next || at.n)) {
		int64_t wait = deadline;

		if (next) {
			attempt(&at, next);
			next = ++started < MAX_ADDRESSES ? next->ai_next : NULL;
			if (!at.n)
				continue;
			if (next)
				wait = MIN(deadline, time_mono() + ATTEMPT_DELAY);
		}
		if (poll(at.p, at.n, until(wait)) > 0)
			won = collect(&at);
		else if (time_mono() >= deadline) {
			at.sys = ETIMEDOUT;
			break;
		}
	}
	for (nfds_t i = 0; i < at.n; i++)
		close(at.p[i].fd);
	if (won < 0) {
		err_set(err, ERR_UNAVAILABLE, "%s", strerror(at.sys ? at.sys : EIO));
		err->sys = at.sys;
	}
	return won;
}

struct net_stream *net_connect(const char *host, uint16_t port, struct net_tls *tls,
			       int64_t deadline, struct err *err)
{
	struct addrinfo *list = resolve(host, port, err);
	struct net_stream *s;
	int fd = -1;

	if (list) {
		fd = connect_any(list, deadline, err);
		freeaddrinfo(list);
	}
	if (fd < 0) {
		err_wrap(err, "connect to %s port %u", host, (unsigned)port);
		return NULL;
	}
	s = xcalloc(1, sizeof(*s));
	s->fd = fd;
	return tls ? net_start_tls(s, host, tls, deadline, err) : s;
}

struct net_stream *net_start_tls(struct net_stream *s, const char *host,
				 struct net_tls *tls, int64_t deadline, struct err *err)
{
	s->tls = tls_start(tls, s->fd, host, deadline, err);
	if (s->tls)
		return s;
	net_close(s);
	err_wrap(err, "TLS with %s", host);
	return NULL;
}

void net_close(struct net_stream *s)
{
	if (!s)
		return;
	tls_free(s->tls);
	fd_close(&s->fd);
	free(s);
}

ssize_t net_read(struct net_stream *s, void *data, size_t n, int64_t deadline,
		 struct err *err)
{
	if (s->tls)
		return tls_read(s->tls, data, n, deadline, err);
	return net_raw_read(s->fd, data, n, deadline, err);
}

int net_wait_readable(struct net_stream *s, int64_t deadline, struct err *err)
{
	if (s->tls && tls_has_data(s->tls))
		return 0;
	return net_wait(s->fd, POLLIN, deadline, err);
}

int net_write(struct net_stream *s, const void *data, size_t n, int64_t deadline,
	      struct err *err)
{
	const uint8_t *p = data;

	if (s->tls)
		return tls_write(s->tls, data, n, deadline, err);
	while (n) {
		ssize_t sent = net_raw_write(s->fd, p, n, deadline, err);

		if (sent < 0)
			return -1;
		p += sent;
		n -= (size_t)sent;
	}
	return 0;
}

ssize_t net_splice(struct net_stream *s, int pipe, size_t n, int64_t deadline,
		   struct err *err)
{
	if (s->tls)
		return NET_NO_SPLICE;
	for (;;) {
		/* EAGAIN may mean the pipe too: wait for the network before */
		ssize_t got;

		if (net_wait(s->fd, POLLIN, deadline, err) < 0)
			return -1;
		got = splice(s->fd, NULL, pipe, NULL, n, SPLICE_F_MOVE | SPLICE_F_MORE);
		if (got >= 0)
			return got;
		if (errno == EPIPE)
			return err_sys(err, EPIPE, "the reader has gone");
		if (errno != EAGAIN && errno != EINTR)
			return broken(errno, err);
	}
}
