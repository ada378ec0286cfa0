/* HTTP/1.1 requests over connections that are kept alive */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <errno.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "os/fd.h"
#include "registry/registry-int.h"

enum {
	MAX_HEAD = 64 << 10,
	MAX_INTERIM = 5,      /* 1xx responses before the real one */
	CHUNK = 256 << 10,    /* read at once */
	SPLICE = 1 << 20,     /* moved at once */
	MAX_DRAIN = 64 << 10, /* read to keep a connection */
};

struct http_conn {
	struct url origin; /* target is not used */
	const struct net_tls *tls;
	const struct proxy *proxy; /* that it goes through, or NULL */
	struct net_stream *s;
	struct buf in; /* received: at .. len is not used yet */
	size_t at;
	bool reused;
};

static void conn_free(struct http_conn *c)
{
	net_close(c->s);
	url_done(&c->origin);
	buf_done(&c->in);
	free(c);
}

void http_pool_done(struct http_pool *p)
{
	for (unsigned i = 0; i < HTTP_IDLE; i++)
		if (p->idle[i])
			conn_free(p->idle[i]);
	memset(p->idle, 0, sizeof(p->idle));
}

static struct http_conn *take_idle(struct http_pool *p, const struct http_request *req)
{
	for (unsigned i = 0; i < HTTP_IDLE; i++) {
		struct http_conn *c = p->idle[i];

		if (!c || !url_same_origin(&c->origin, req->url) ||
		    (req->url->tls && c->tls != req->tls))
			continue;
		p->idle[i] = NULL;
		c->reused = true;
		return c;
	}
	return NULL;
}

static struct http_conn *conn_open(const struct http_pool *p,
				   const struct http_request *req, struct err *err)
{
	const struct url *u = req->url;
	const struct proxy *proxy = proxy_for(&p->proxies, u);
	int64_t deadline = time_mono() + req->connect_timeout;
	struct net_stream *s;
	struct http_conn *c;

	if (proxy)
		s = proxy_connect(proxy, u, req->tls, deadline, err);
	else
		s = net_connect(u->host, u->port, u->tls ? req->tls : NULL, deadline,
				err);
	if (!s)
		return NULL;
	c = xcalloc(1, sizeof(*c));
	c->s = s;
	c->tls = req->tls;
	c->proxy = proxy;
	url_copy(&c->origin, u);
	return c;
}

/* Reads more into c->in. Bytes, 0 at the end, or -1. */
static ssize_t fill(struct http_conn *c, size_t n, int64_t deadline, struct err *err)
{
	ssize_t got;

	if (c->at == c->in.len) {
		buf_reset(&c->in);
		c->at = 0;
	}
	got = net_read(c->s, buf_reserve(&c->in, n), n, deadline, err);
	if (got > 0)
		c->in.len += (size_t)got;
	return got;
}

static int write_request(struct http_pool *p, struct http_conn *c,
			 const struct http_request *req, int64_t deadline,
			 struct err *err)
{
	BUF_AUTO out = {0};
	int r;

	buf_add_fmt(&out, "%s ", req->method);
	if (c->proxy && !req->url->tls) {
		buf_add_str(&out, "http://");
		url_add_host(&out, req->url);
	}
	buf_add_fmt(&out, "%s HTTP/1.1\r\nHost: ", req->url->target);
	url_add_host(&out, req->url);
	if (c->proxy && !req->url->tls && c->proxy->authorization)
		buf_add_fmt(&out, "\r\nProxy-Authorization: %s", c->proxy->authorization);
	buf_add_fmt(&out, "\r\nUser-Agent: %s\r\nAccept-Encoding: identity\r\n",
		    p->user_agent);
	buf_add_str(&out, str_or_empty(req->headers));
	if (req->body)
		buf_add_fmt(&out,
			    "Content-Type: application/x-www-form-urlencoded\r\n"
			    "Content-Length: %zu\r\n",
			    strlen(req->body));
	buf_add_str(&out, "\r\n");
	buf_add_str(&out, str_or_empty(req->body));
	r = net_write(c->s, out.data, out.len, deadline, err);
	explicit_bzero(out.data, out.len);
	return r;
}

/* Reads one head. *ret_any: something came. */
static int read_head(struct http_conn *c, int64_t deadline, struct http1_head *ret,
		     bool *ret_any, struct err *err)
{
	size_t seen = 0, n;
	ssize_t got;

	for (;;) {
		n = http1_head_length(c->in.data + c->at, c->in.len - c->at, &seen);
		if (n)
			break;
		if (c->in.len - c->at > MAX_HEAD)
			return err_set(err, ERR_INVALID,
				       "the head of the response is longer than 64 KiB");
		got = fill(c, CHUNK / 16, deadline, err);
		if (got < 0)
			return -1;
		if (got == 0)
			return err_set(err, ERR_UNAVAILABLE,
				       "the server closed the connection without an "
				       "answer");
		*ret_any = true;
	}
	if (http1_head_response(ret, c->in.data + c->at, n, err) < 0)
		return -1;
	c->at += n;
	return 0;
}

static int exchange(struct http_pool *p, struct http_conn *c,
		    const struct http_request *req, struct http_response *ret,
		    bool *ret_any, struct err *err)
{
	int64_t deadline = time_mono() + req->answer_timeout;
	struct http1_head head = {0};

	if (write_request(p, c, req, deadline, err) < 0)
		return -1;
	for (unsigned i = 0; i <= MAX_INTERIM; i++) {
		if (read_head(c, deadline, &head, ret_any, err) < 0)
			return -1;
		if (head.status >= 200) {
			if (http1_body_init(&ret->body, &head,
					    str_eq(req->method, "HEAD"), err) < 0) {
				http1_head_done(&head);
				return -1;
			}
			ret->head = head;
			ret->conn = c;
			return 0;
		}
		http1_head_done(&head);
		if (head.status == 101)
			break;
	}
	return err_set(err, ERR_INVALID, "no real answer comes after 1xx answers");
}

int http_send(struct http_pool *p, const struct http_request *req,
	      struct http_response *ret, struct err *err)
{
	struct http_conn *c = take_idle(p, req);

	for (;;) {
		bool any = false;
		bool reused = c;

		if (!c)
			c = conn_open(p, req, err);
		if (!c)
			return -1;
		if (exchange(p, c, req, ret, &any, err) == 0)
			return 0;
		conn_free(c);
		c = NULL;
		/* an idle connection may have been closed meanwhile: once more */
		if (!reused || any || err->code == ERR_TIMEOUT)
			return -1;
	}
}

/* Puts what is buffered of the body at *ret. Its length, 0 at the end, or -1. */
static ssize_t next_piece(struct http_response *r, size_t max, int64_t deadline,
			  const uint8_t **ret, struct err *err)
{
	struct http_conn *c = r->conn;
	size_t skip, take;

	while (!r->body.done) {
		size_t have = c->in.len - c->at;
		ssize_t got;

		if (have) {
			if (http1_body_step(&r->body, c->in.data + c->at, MIN(have, max),
					    &skip, &take, err) < 0)
				return -1;
			*ret = c->in.data + c->at + skip;
			c->at += skip + take;
			if (take)
				return (ssize_t)take;
			continue;
		}
		got = fill(c, CHUNK, deadline, err);
		if (got < 0 || (got == 0 && http1_body_end(&r->body, err) < 0))
			return -1;
	}
	return 0;
}

int http_read_all(struct http_response *r, size_t max, int64_t timeout, struct buf *out,
		  struct err *err)
{
	int64_t deadline = time_mono() + timeout;
	const uint8_t *piece;
	size_t before = out->len;

	for (;;) {
		ssize_t n = next_piece(r, CHUNK, deadline, &piece, err);

		if (n <= 0)
			return (int)n;
		if (out->len - before + (size_t)n > max)
			return err_set(err, ERR_INVALID,
				       "the answer is longer than %zu bytes", max);
		buf_add(out, piece, (size_t)n);
	}
}

/* The body's bytes go straight from the socket into the pipe. */
static ssize_t splice_piece(struct http_response *r, int pipe, uint64_t max,
			    int64_t deadline, struct err *err)
{
	size_t want = (size_t)MIN(MIN(r->body.left, max), (uint64_t)SPLICE);
	ssize_t n = net_splice(r->conn->s, pipe, want, deadline, err);

	if (n == 0)
		return http1_body_end(&r->body, err);
	if (n > 0) {
		r->body.left -= (uint64_t)n;
		r->body.done = !r->body.left;
	}
	return n;
}

ssize_t http_to_pipe(struct http_response *r, int pipe, uint64_t max, int64_t stall,
		     int64_t *waited, struct err *err)
{
	struct http_conn *c = r->conn;
	int64_t start = time_mono(), deadline = start + stall - *waited;
	const uint8_t *piece;
	ssize_t n;

	if (r->body.done)
		return 0;
	if (c->at == c->in.len) {
		if (net_wait_readable(c->s, deadline, err) < 0)
			return -1;
		*waited += time_mono() - start;
		if (pipe >= 0 && r->body.framing == HTTP1_LENGTH) {
			n = splice_piece(r, pipe, max, deadline, err);
			if (n != NET_NO_SPLICE)
				return n;
		}
		start = time_mono();
	}
	n = next_piece(r, (size_t)MIN(max, (uint64_t)CHUNK), deadline, &piece, err);
	*waited += time_mono() - start;
	if (n > 0 && pipe >= 0 && fd_write_all(pipe, piece, (size_t)n) < 0)
		return err_sys(err, errno, "the reader has gone");
	return n;
}

static bool keep_alive(const struct http_response *r)
{
	return r->body.done && r->body.framing != HTTP1_TO_END && !r->head.http10 &&
	       !http1_head_has(&r->head, "Connection", "close") &&
	       /* a server that sends what nobody asked for is out of step */
	       r->conn->at == r->conn->in.len;
}

void http_done(struct http_pool *p, struct http_response *r)
{
	struct http_conn *c = r->conn;
	const uint8_t *piece;
	struct err ignored;

	if (!c)
		return;
	/* the short text of an error: cheaper to read than a new connection */
	if (!r->body.done && r->body.framing == HTTP1_LENGTH && r->body.left <= MAX_DRAIN)
		while (next_piece(r, CHUNK, time_mono() + NS_PER_SEC, &piece, &ignored) >
		       0)
			;
	for (unsigned i = 0; c && i < HTTP_IDLE && keep_alive(r); i++)
		if (!p->idle[i]) {
			p->idle[i] = c;
			c = NULL;
			break;
		}
	if (c)
		conn_free(c);
	http1_head_done(&r->head);
	*r = (struct http_response){0};
}
