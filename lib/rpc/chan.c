#include "rpc/chan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "os/fd.h"
#include "os/sock.h"

enum { MAGIC = 0x63726201, HEADER = 24, READ_SIZE = 16384, MAX_QUEUED_FDS = 16 };

/* A frame that waits to be sent. */
struct out {
	struct list node;
	uint8_t *data;
	size_t len, sent;
	int fds[CHAN_MAX_FDS];
	unsigned nfds; /* not sent yet */
};

struct chan {
	struct loop_fd src;
	struct loop *loop;
	const struct chan_ops *ops;
	void *arg;
	struct buf in;
	int fds[MAX_QUEUED_FDS]; /* received, not yet claimed by a frame */
	unsigned nfds;
	struct list out;
	size_t pending;
	bool ended;
	struct loop_later end; /* tells the owner about a failed send */
	struct err end_err;
	bool busy, dead; /* chan_free in a callback: freed after it */
};

void chan_msg_done(struct chan_msg *m)
{
	json_free(&m->doc);
	free(m->blob);
	for (unsigned i = 0; i < m->nfds; i++)
		fd_close(&m->fds[i]);
	*m = (struct chan_msg){0};
}

struct header {
	uint32_t type, serial, json_len, blob_len, nfds;
};

static int parse_header(const uint8_t *p, struct header *h, struct err *err)
{
	*h = (struct header){get_be32(p + 4), get_be32(p + 8), get_be32(p + 12),
			     get_be32(p + 16), get_be32(p + 20)};
	if (get_be32(p) != MAGIC || h->type < CHAN_REQUEST || h->type > CHAN_EVENT ||
	    h->json_len > CHAN_MAX_JSON || h->blob_len > CHAN_MAX_BLOB ||
	    h->nfds > CHAN_MAX_FDS)
		return err_set(err, ERR_INTERNAL, "peer sent a malformed frame");
	return 0;
}

/* Fills everything but the fds from a frame's body. */
static int parse_body(const struct header *h, const uint8_t *body, struct chan_msg *m,
		      struct err *err)
{
	*m = (struct chan_msg){.type = (enum chan_type)h->type, .serial = h->serial};
	if (h->json_len) {
		m->doc = json_parse(body, h->json_len, err);
		if (!m->doc)
			return err_wrap(err, "message from peer");
		m->json = yyjson_doc_get_root(m->doc);
		if (!yyjson_is_obj(m->json)) {
			json_free(&m->doc);
			return err_set(err, ERR_INTERNAL, "message is not an object");
		}
	}
	if (h->blob_len) {
		m->blob = xmalloc((size_t)h->blob_len + 1);
		memcpy(m->blob, body + h->json_len, h->blob_len);
		m->blob[h->blob_len] = 0;
		m->blob_len = h->blob_len;
	}
	return 0;
}

/* Appends a frame. 0, or -1 if it is larger than a peer takes. */
static int build(struct buf *b, enum chan_type type, uint32_t serial,
		 const yyjson_mut_doc *json, const void *blob, size_t blob_len,
		 unsigned nfds)
{
	size_t start = b->len, json_len;

	if (blob_len > CHAN_MAX_BLOB || nfds > CHAN_MAX_FDS)
		return -1;

	buf_add_be32(b, MAGIC);
	buf_add_be32(b, type);
	buf_add_be32(b, serial);
	buf_add_be32(b, 0);
	buf_add_be32(b, (uint32_t)blob_len);
	buf_add_be32(b, nfds);
	if (json)
		json_write(json, false, b);
	json_len = b->len - start - HEADER;
	if (json_len > CHAN_MAX_JSON)
		return -1;
	put_be32(b->data + start + 12, (uint32_t)json_len);
	buf_add(b, blob, blob_len);
	return 0;
}

static void out_free(struct chan *c, struct out *o)
{
	list_del(&o->node);
	c->pending -= o->len - o->sent;
	for (unsigned i = 0; i < o->nfds; i++)
		fd_close(&o->fds[i]);
	free(o->data);
	free(o);
}

static void end(struct chan *c, const struct err *e)
{
	if (c->ended)
		return;
	c->ended = true;
	loop_fd_del(&c->src);
	c->ops->on_end(c->arg, c, e);
}

static void end_later(struct loop_later *l)
{
	struct chan *c = container_of(l, struct chan, end);
	struct err e = c->end_err; /* the owner may free the channel and then read it */

	end(c, &e);
}

/* Sends what the socket takes. */
static void flush(struct chan *c)
{
	while (!list_empty(&c->out) && !c->ended) {
		struct out *o = container_of(c->out.next, struct out, node);
		ssize_t n = sock_send_fds(c->src.fd, o->data + o->sent, o->len - o->sent,
					  o->fds, o->nfds);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			err_sys(&c->end_err, errno, "send to peer");
			loop_later_add(c->loop, &c->end);
			return;
		}
		for (unsigned i = 0; i < o->nfds; i++)
			fd_close(&o->fds[i]);
		o->nfds = 0;
		o->sent += (size_t)n;
		c->pending -= (size_t)n;
		if (o->sent == o->len)
			out_free(c, o);
	}
	loop_fd_set(&c->src, list_empty(&c->out) ? LOOP_IN : LOOP_IN | LOOP_OUT);
}

/* Hands one complete frame to the owner: 1; 0 if there is none; -1 on failure. */
static int deliver(struct chan *c, struct err *err)
{
	struct header h;
	struct chan_msg m;
	size_t total;

	if (c->in.len < HEADER)
		return 0;
	if (parse_header(c->in.data, &h, err) < 0)
		return -1;
	total = (size_t)HEADER + h.json_len + h.blob_len;
	if (c->in.len < total) {
		buf_reserve(&c->in, total - c->in.len);
		return 0;
	}
	if (h.nfds > c->nfds)
		return err_set(err, ERR_INTERNAL, "peer announced fds and sent none");
	if (parse_body(&h, c->in.data + HEADER, &m, err) < 0)
		return -1;
	m.nfds = h.nfds;
	memcpy(m.fds, c->fds, h.nfds * sizeof(int));
	c->nfds -= h.nfds;
	memmove(c->fds, c->fds + h.nfds, c->nfds * sizeof(int));
	buf_shift(&c->in, total);
	if (!c->in.len && c->in.cap > READ_SIZE)
		buf_done(&c->in);
	c->ops->on_msg(c->arg, c, &m);
	chan_msg_done(&m);
	return 1;
}

static ssize_t receive(struct chan *c)
{
	size_t nfds = MAX_QUEUED_FDS - c->nfds;
	size_t room = MAX(c->in.cap - c->in.len, (size_t)READ_SIZE);
	ssize_t n = sock_recv_fds(c->src.fd, buf_reserve(&c->in, room), room,
				  c->fds + c->nfds, &nfds);

	c->nfds += (unsigned)nfds;
	if (n > 0)
		c->in.len += (size_t)n;
	return n;
}

/* Receives once and delivers; true if there may be more. Else c may be freed. */
static bool pump(struct chan *c)
{
	struct err err = {0};
	ssize_t n = receive(c);
	int r;

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n < 0)
		err_sys(&err, errno, "receive from peer");
	c->busy = true;
	do {
		r = n > 0 ? deliver(c, &err) : 0;
	} while (r > 0 && !c->ended && !c->dead);
	c->busy = false;
	if (c->dead) {
		chan_free(c);
		return false;
	}
	if (n <= 0 || r < 0) {
		end(c, &err);
		return false;
	}
	if (!c->in.len)
		buf_done(&c->in); /* an idle channel holds no memory */
	return !c->ended;
}

static void on_event(struct loop_fd *src, unsigned events)
{
	struct chan *c = container_of(src, struct chan, src);

	if (events & LOOP_OUT)
		flush(c);
	if (events & (LOOP_IN | LOOP_HUP) && !c->ended)
		pump(c);
}

void chan_drain(struct chan *c)
{
	while (!c->ended && pump(c))
		;
}

struct chan *chan_new(struct loop *l, int fd_taken, const struct chan_ops *ops, void *arg,
		      struct err *err)
{
	struct chan *c = xcalloc(1, sizeof(*c));

	c->loop = l;
	c->ops = ops;
	c->arg = arg;
	c->src = (struct loop_fd){.fn = on_event, .fd = fd_taken};
	c->end.fn = end_later;
	list_init(&c->out);
	if (fd_set_nonblock(fd_taken, true) < 0) {
		err_sys(err, errno, "set a socket non-blocking");
		chan_free(c);
		return NULL;
	}
	if (loop_fd_add(l, &c->src, LOOP_IN, err) < 0) {
		chan_free(c);
		return NULL;
	}
	return c;
}

void chan_free(struct chan *c)
{
	if (!c)
		return;
	if (c->busy) {
		c->dead = true;
		return;
	}
	loop_fd_del(&c->src);
	loop_later_del(&c->end);
	while (!list_empty(&c->out))
		out_free(c, container_of(c->out.next, struct out, node));
	for (unsigned i = 0; i < c->nfds; i++)
		fd_close(&c->fds[i]);
	fd_close(&c->src.fd);
	buf_done(&c->in);
	free(c);
}

int chan_send(struct chan *c, enum chan_type type, uint32_t serial,
	      const yyjson_mut_doc *json, const void *blob, size_t blob_len,
	      const int *fds_taken, unsigned nfds)
{
	struct out *o;
	struct buf b = {0};

	if (build(&b, type, serial, json, blob, blob_len, nfds) < 0) {
		buf_done(&b);
		for (unsigned i = 0; i < nfds; i++)
			close(fds_taken[i]);
		return -1;
	}
	o = xcalloc(1, sizeof(*o));
	o->data = b.data;
	o->len = b.len;
	for (unsigned i = 0; i < nfds; i++)
		o->fds[i] = fds_taken[i];
	o->nfds = nfds;
	list_add(&c->out, &o->node);
	c->pending += o->len;
	if (!c->ended)
		flush(c);
	return 0;
}

static yyjson_mut_doc *error_json(const struct err *e)
{
	yyjson_mut_doc *d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d);
	BUF_AUTO text = {0};

	str_escape(&text, e->msg, strlen(e->msg));
	json_add_u64(d, root, "code", err_grpc_status(e->code));
	json_add_str(d, root, "message", buf_str(&text));
	return d;
}

void chan_send_error(struct chan *c, uint32_t serial, const struct err *e)
{
	JSON_MUT_AUTO d = error_json(e);

	chan_send(c, CHAN_ERROR, serial, d, NULL, 0, NULL, 0);
}

size_t chan_pending(const struct chan *c)
{
	return c->pending;
}

void chan_msg_error(const struct chan_msg *m, struct err *err)
{
	const char *text = json_str(m->json, "message");
	uint64_t code = json_u64(m->json, "code", 2);

	err_set(err, err_of_grpc_status((unsigned)MIN(code, UINT64_C(16))), "%s",
		text ? text : "unknown error");
}

int chan_write(int fd, enum chan_type type, uint32_t serial, const yyjson_mut_doc *json,
	       const void *blob, size_t blob_len, const int *fds, unsigned nfds,
	       struct err *err)
{
	BUF_AUTO b = {0};
	ssize_t n;

	if (build(&b, type, serial, json, blob, blob_len, nfds) < 0)
		return err_set(err, ERR_EXHAUSTED, "the message is too large");
	n = sock_send_fds(fd, b.data, b.len, fds, nfds);
	while (n >= 0 && (size_t)n < b.len) {
		ssize_t more = send(fd, b.data + n, b.len - (size_t)n, MSG_NOSIGNAL);

		if (more < 0 && errno == EINTR)
			continue;
		n = more < 0 ? -1 : n + more;
	}
	return n < 0 ? err_sys(err, errno, "send to peer") : 0;
}

int chan_write_error(int fd, uint32_t serial, const struct err *e, struct err *err)
{
	JSON_MUT_AUTO d = error_json(e);

	return chan_write(fd, CHAN_ERROR, serial, d, NULL, 0, NULL, 0, err);
}

int chan_read(int fd, struct chan_msg *ret, struct err *err)
{
	uint8_t head[HEADER];
	struct header h;
	BUF_AUTO body = {0};
	struct chan_msg m;
	int fds[CHAN_MAX_FDS];
	size_t nfds = CHAN_MAX_FDS, body_len;
	ssize_t n = sock_recv_fds(fd, head, sizeof(head), fds, &nfds);

	if (n == 0)
		return 0;
	if (n > 0 && n < HEADER) {
		ssize_t more = fd_read_full(fd, head + n, (size_t)(HEADER - n));

		n = more < 0 ? -1 : n + more;
	}
	if (n != HEADER) {
		err_sys(err, n < 0 ? errno : ECONNRESET, "receive from peer");
		goto fail;
	}
	if (parse_header(head, &h, err) < 0)
		goto fail;
	body_len = (size_t)h.json_len + h.blob_len;
	if (fd_read_full(fd, buf_reserve(&body, body_len), body_len) !=
	    (ssize_t)body_len) {
		err_set(err, ERR_UNAVAILABLE, "receive from peer: it broke off");
		goto fail;
	}
	if (parse_body(&h, body.data, &m, err) < 0)
		goto fail;
	m.nfds = (unsigned)nfds;
	memcpy(m.fds, fds, nfds * sizeof(int));
	*ret = m;
	return 1;
fail:
	for (size_t i = 0; i < nfds; i++)
		fd_close(&fds[i]);
	return -1;
}
