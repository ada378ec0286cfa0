/* Listening sockets and connections. */
#include "rpc/grpc-int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/num.h"
#include "base/time.h"
#include "os/fd.h"
#include "os/sock.h"

/* How much of one connection is served before the others get their turn. */
enum { READS_PER_TURN = 4, MAX_FRAME = 16384 + 9 };

/* For the client: to say hello, and to take or give what is due. */
static const int64_t GREETING_NS = 10 * NS_PER_SEC;
static const int64_t STALL_NS = 60 * NS_PER_SEC;

static void on_idle(struct loop_later *l)
{
	struct grpc_server *s = container_of(l, struct grpc_server, idle);

	if (s->on_idle)
		s->on_idle(s->idle_arg);
}

static void conn_free(struct grpc_conn *c)
{
	struct grpc_server *s = c->server;

	list_each (n, &c->calls)
		grpc_call_conn_gone(container_of(n, struct grpc_call, node));
	nghttp2_session_del(c->session);
	loop_later_del(&c->flush);
	loop_timer_del(&c->stall);
	loop_fd_del(&c->src);
	fd_close(&c->src.fd);
	buf_done(&c->out);
	free(c->reset);
	list_del(&c->node);
	free(c);
	s->nconns--;
	if (s->shutdown && !s->nconns)
		loop_later_add(s->loop, &s->idle);
}

/* --- output ------------------------------------------------------------------------ */

/*
 * Sends n bytes, after what is left of earlier ones; keeps what the socket
 * does not take. 1: all is sent, 0: the socket is full, -1: it is broken.
 */
static int send_out(struct grpc_conn *c, const uint8_t *data, size_t n)
{
	bool kept = c->out.len > 0;

	if (kept) {
		data = c->out.data + c->out_sent;
		n = c->out.len - c->out_sent;
	}
	while (n) {
		ssize_t sent = send(c->src.fd, data, n, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno != EAGAIN)
			return -1;
		if (sent < 0)
			break;
		data += sent;
		n -= (size_t)sent;
		c->out_sent += kept ? (size_t)sent : 0;
	}
	if (n && !kept)
		buf_add(&c->out, data, n);
	if (!n && kept) {
		buf_done(&c->out);
		c->out_sent = 0;
	}
	return n == 0;
}

/* Several frames go out in one piece. Bytes gathered, or -1. */
static ssize_t gather(struct grpc_conn *c)
{
	uint8_t *scratch = c->server->scratch;
	size_t used = 0;

	while (used + MAX_FRAME <= SCRATCH_SIZE) {
		const uint8_t *data;
		nghttp2_ssize n = nghttp2_session_mem_send2(c->session, &data);

		if (n < 0)
			return -1;
		if (n == 0)
			break;
		if ((size_t)n > SCRATCH_SIZE - used)
			return -1; /* larger than any frame of ours */
		memcpy(scratch + used, data, (size_t)n);
		used += (size_t)n;
	}
	return (ssize_t)used;
}

/* Sends what there is. 0, or -1: the connection is over. */
static int flush(struct grpc_conn *c)
{
	int r = send_out(c, NULL, 0);

	while (r > 0) {
		ssize_t n = gather(c);

		if (n < 0)
			return -1;
		if (n == 0)
			break;
		r = send_out(c, c->server->scratch, (size_t)n);
	}
	if (r < 0)
		return -1;
	loop_fd_set(&c->src, r ? LOOP_IN : LOOP_IN | LOOP_OUT);
	if (r && !nghttp2_session_want_read(c->session) &&
	    !nghttp2_session_want_write(c->session))
		return -1;
	return 0;
}

/* True if the client has to do something before anything goes on. */
static bool owes(const struct grpc_conn *c)
{
	if (!c->greeted || c->out.len)
		return true;
	list_each (n, &c->calls) {
		const struct grpc_call *call = container_of(n, struct grpc_call, node);

		if (call->stream &&
		    (call->state != CALL_RUNNING || call->out.len > call->out_sent))
			return true;
	}
	return false;
}

static void watch_stall(struct grpc_conn *c)
{
	if (!owes(c)) {
		loop_timer_del(&c->stall);
	} else if (!c->stall.loop) {
		c->progress = time_mono();
		loop_timer_set(c->server->loop, &c->stall,
			       c->progress + (c->greeted ? STALL_NS : GREETING_NS));
	}
}

/* Sends what there is; frees the connection if it is over. */
static void serve_out(struct grpc_conn *c)
{
	if (flush(c) < 0)
		conn_free(c);
	else
		watch_stall(c);
}

static void on_flush(struct loop_later *l)
{
	serve_out(container_of(l, struct grpc_conn, flush));
}

void grpc_conn_wake(struct grpc_conn *c)
{
	loop_later_add(c->server->loop, &c->flush);
}

/* A last word, as far as the socket takes it, and the end. */
static void conn_close(struct grpc_conn *c, uint32_t code)
{
	nghttp2_session_terminate_session(c->session, code);
	flush(c);
	conn_free(c);
}

static void on_stall(struct loop_timer *t)
{
	struct grpc_conn *c = container_of(t, struct grpc_conn, stall);
	int64_t now = time_mono();

	if (!owes(c))
		return;
	if (!c->greeted || now - c->progress >= STALL_NS)
		conn_close(c, NGHTTP2_ENHANCE_YOUR_CALM);
	else
		loop_timer_set(c->server->loop, &c->stall, c->progress + STALL_NS);
}

/* --- input ------------------------------------------------------------------------- */

/* 0, or -1: the connection is over. */
static int receive(struct grpc_conn *c)
{
	uint8_t *scratch = c->server->scratch;

	for (int i = 0; i < READS_PER_TURN; i++) {
		ssize_t n;

		/* after a GOAWAY nothing that it says matters, nor whether it reads */
		if (!nghttp2_session_want_read(c->session)) {
			flush(c);
			return -1;
		}
		n = recv(c->src.fd, scratch, SCRATCH_SIZE, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0)
			return -1;
		if (grpc_h2_receive(c, scratch, (size_t)n) < 0) {
			flush(c);
			return -1;
		}
		if (n < SCRATCH_SIZE)
			return 0;
	}
	return 0;
}

static void on_conn(struct loop_fd *src, unsigned events)
{
	struct grpc_conn *c = container_of(src, struct grpc_conn, src);

	if (events & (LOOP_IN | LOOP_HUP) && receive(c) < 0)
		conn_free(c);
	else
		serve_out(c);
}

/* Makes room by closing the connection that was idle longest. */
static bool evict(struct acceptor *a)
{
	struct grpc_server *s = container_of(a, struct grpc_server, acceptor);

	list_each (n, &s->conns) {
		struct grpc_conn *c = container_of(n, struct grpc_conn, node);

		if (!c->ncalls) {
			conn_close(c, NGHTTP2_NO_ERROR);
			return true;
		}
	}
	return false;
}

static void conn_new(struct acceptor *a, int fd)
{
	struct grpc_server *s = container_of(a, struct grpc_server, acceptor);
	struct grpc_conn *c;
	struct err ignored;

	if (s->nconns >= GRPC_MAX_CONNS && !evict(a)) {
		close(fd);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	c->server = s;
	c->src = (struct loop_fd){.fn = on_conn, .fd = fd};
	c->flush.fn = on_flush;
	c->stall.fn = on_stall;
	list_init(&c->calls);
	list_add(&s->conns, &c->node);
	s->nconns++;
	if (sock_peer(fd, &c->pid, &c->uid, &ignored) < 0) {
		c->pid = 0;
		c->uid = (uid_t)-1;
	}
	if (grpc_h2_start(c, &ignored) < 0 ||
	    loop_fd_add(s->loop, &c->src, LOOP_IN, &ignored) < 0)
		conn_free(c);
	else
		serve_out(c);
}

/* --- the server -------------------------------------------------------------------- */

struct grpc_server *grpc_server_new(struct loop *l, const struct grpc_server_ops *ops,
				    void *arg, struct err *err)
{
	struct grpc_server *s = xcalloc(1, sizeof(*s));

	s->loop = l;
	s->ops = ops;
	s->arg = arg;
	s->tell.fn = grpc_call_tell;
	s->idle.fn = on_idle;
	acceptor_init(&s->acceptor, l, conn_new);
	s->acceptor.make_room = evict;
	list_init(&s->conns);
	list_init(&s->orphans);
	list_init(&s->events);
	if (grpc_h2_init(s, err) < 0) {
		grpc_server_free(s);
		return NULL;
	}
	return s;
}

int grpc_server_listen(struct grpc_server *s, int fd_taken, struct err *err)
{
	return acceptor_listen(&s->acceptor, fd_taken, err);
}

void grpc_server_shutdown(struct grpc_server *s, void (*idle)(void *arg), void *arg)
{
	s->shutdown = true;
	s->on_idle = idle;
	s->idle_arg = arg;
	acceptor_close(&s->acceptor);
	list_each (n, &s->conns) {
		struct grpc_conn *c = container_of(n, struct grpc_conn, node);

		nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE,
				      nghttp2_session_get_last_proc_stream_id(c->session),
				      NGHTTP2_NO_ERROR, NULL, 0);
		grpc_conn_wake(c);
	}
	if (!s->nconns)
		loop_later_add(s->loop, &s->idle);
}

void grpc_server_free(struct grpc_server *s)
{
	if (!s)
		return;
	acceptor_close(&s->acceptor);
	list_each (n, &s->conns)
		conn_free(container_of(n, struct grpc_conn, node));
	/* the owners of running calls hear of it, once */
	grpc_call_tell(&s->tell);
	list_each (n, &s->orphans)
		grpc_call_free(container_of(n, struct grpc_call, node));
	loop_later_del(&s->tell);
	loop_later_del(&s->idle);
	nghttp2_option_del(s->option);
	nghttp2_session_callbacks_del(s->callbacks);
	free(s);
}

unsigned grpc_server_conns(const struct grpc_server *s)
{
	return s->nconns;
}

unsigned grpc_server_calls(const struct grpc_server *s)
{
	return s->ncalls;
}
