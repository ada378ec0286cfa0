#include "rpc/http_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/num.h"
#include "base/time.h"
#include "loop/accept.h"
#include "os/fd.h"

enum { READ_SIZE = 4096, MAX_DRAIN = 256 << 10 };

static const int64_t HEAD_NS = 10 * NS_PER_SEC;
static const int64_t LINGER_NS = 2 * NS_PER_SEC;

struct http_server {
	struct loop *loop;
	const struct http_server_ops *ops;
	void *arg;
	struct acceptor acceptor;
	struct list conns;
	unsigned nconns;
};

struct http_conn {
	struct loop_fd src;
	struct loop_timer timer;
	struct list node;
	struct http_server *server;
	struct buf in;
	size_t seen; /* of in, searched for the end of the head */
	size_t drained;
	struct http1_head head;
};

static void conn_free(struct http_conn *c)
{
	loop_fd_del(&c->src);
	loop_timer_del(&c->timer);
	fd_close(&c->src.fd);
	buf_done(&c->in);
	http1_head_done(&c->head);
	list_del(&c->node);
	c->server->nconns--;
	free(c);
}

static const char *reason(unsigned status)
{
	switch (status) {
	case 400:
		return "Bad Request";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 408:
		return "Request Timeout";
	case 429:
		return "Too Many Requests";
	case 431:
		return "Request Header Fields Too Large";
	case 500:
		return "Internal Server Error";
	case 501:
		return "Not Implemented";
	case 503:
		return "Service Unavailable";
	case 505:
		return "HTTP Version Not Supported";
	default:
		return "";
	}
}

static void on_linger_over(struct loop_timer *t)
{
	conn_free(container_of(t, struct http_conn, timer));
}

/*
 * Closing a TCP socket that has unread bytes resets it, and the client may
 * lose the answer: what it still sends is read away for a moment.
 */
static void on_linger(struct loop_fd *src, unsigned events)
{
	struct http_conn *c = container_of(src, struct http_conn, src);
	char sink[READ_SIZE];
	ssize_t n = recv(src->fd, sink, sizeof(sink), 0);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		c->drained += (size_t)n;
	if (n <= 0 || c->drained > MAX_DRAIN)
		conn_free(c);
}

void http_conn_reply(struct http_conn *c, unsigned status, const char *text,
		     unsigned retry_after)
{
	BUF_AUTO b = {0};
	struct err ignored;

	buf_add_fmt(&b,
		    "HTTP/1.1 %u %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
		    "Content-Length: %zu\r\nConnection: close\r\n",
		    status, reason(status), strlen(text) + 1);
	if (retry_after)
		buf_add_fmt(&b, "Retry-After: %u\r\n", retry_after);
	buf_add_fmt(&b, "\r\n%s\n", text);
	/* a fresh socket takes a few hundred bytes; one that does not is broken */
	if (send(c->src.fd, b.data, b.len, MSG_NOSIGNAL) != (ssize_t)b.len ||
	    shutdown(c->src.fd, SHUT_WR) < 0) {
		conn_free(c);
		return;
	}
	c->src.fn = on_linger;
	c->timer.fn = on_linger_over;
	if (!c->src.loop && loop_fd_add(c->server->loop, &c->src, LOOP_IN, &ignored) < 0)
		conn_free(c);
	else
		loop_timer_set(c->server->loop, &c->timer, time_mono() + LINGER_NS);
}

int http_conn_take(struct http_conn *c, struct buf *ret_raw)
{
	int fd = c->src.fd;

	loop_fd_del(&c->src);
	c->src.fd = -1;
	*ret_raw = c->in;
	c->in = (struct buf){0};
	conn_free(c);
	return fd;
}

int http_conn_fd(const struct http_conn *c)
{
	return c->src.fd;
}

static void on_late(struct loop_timer *t)
{
	http_conn_reply(container_of(t, struct http_conn, timer), 408,
			"the request took too long", 0);
}

static void on_head(struct http_conn *c, size_t len)
{
	struct err err;

	if (http1_head_request(&c->head, c->in.data, len, &err) < 0) {
		http_conn_reply(c, err.code == ERR_UNIMPLEMENTED ? 505 : 400, err.msg, 0);
		return;
	}
	/* from here on it is the owner's: nothing more is read */
	loop_fd_del(&c->src);
	loop_timer_del(&c->timer);
	c->server->ops->on_request(c->server->arg, c, &c->head);
}

static void on_conn(struct loop_fd *src, unsigned events)
{
	struct http_conn *c = container_of(src, struct http_conn, src);
	size_t len;
	ssize_t n = recv(src->fd, buf_reserve(&c->in, READ_SIZE), READ_SIZE, 0);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		conn_free(c);
		return;
	}
	c->in.len += (size_t)n;
	len = http1_head_length(c->in.data, c->in.len, &c->seen);
	if (len > HTTP_SERVER_MAX_HEAD || (!len && c->in.len > HTTP_SERVER_MAX_HEAD))
		http_conn_reply(c, 431, "the request head is too large", 0);
	else if (len)
		on_head(c, len);
}

static void conn_new(struct acceptor *a, int fd)
{
	struct http_server *s = container_of(a, struct http_server, acceptor);
	struct http_conn *c = xcalloc(1, sizeof(*c));
	struct err ignored;

	c->server = s;
	c->src = (struct loop_fd){.fn = on_conn, .fd = fd};
	c->timer.fn = on_late;
	list_add(&s->conns, &c->node);
	if (s->nconns++ >= HTTP_SERVER_MAX_CONNS) {
		/* no lingering here: it is what the limit is against */
		static const char busy[] =
			"HTTP/1.1 503 Service Unavailable\r\n"
			"Content-Length: 0\r\nConnection: close\r\n\r\n";

		(void)!send(fd, busy, sizeof(busy) - 1, MSG_NOSIGNAL);
		conn_free(c);
	} else if (loop_fd_add(s->loop, &c->src, LOOP_IN, &ignored) < 0) {
		conn_free(c);
	} else {
		loop_timer_set(s->loop, &c->timer, time_mono() + HEAD_NS);
	}
}

struct http_server *http_server_new(struct loop *l, const struct http_server_ops *ops,
				    void *arg)
{
	struct http_server *s = xcalloc(1, sizeof(*s));

	s->loop = l;
	s->ops = ops;
	s->arg = arg;
	acceptor_init(&s->acceptor, l, conn_new);
	list_init(&s->conns);
	return s;
}

int http_server_listen(struct http_server *s, int fd_taken, struct err *err)
{
	return acceptor_listen(&s->acceptor, fd_taken, err);
}

void http_server_unlisten(struct http_server *s)
{
	acceptor_close(&s->acceptor);
}

void http_server_free(struct http_server *s)
{
	if (!s)
		return;
	http_server_unlisten(s);
	list_each (n, &s->conns)
		conn_free(container_of(n, struct http_conn, node));
	free(s);
}
