#include "rpc/stream-int.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "os/fd.h"
#include "wire/json.h"

enum {
	READ_SIZE = 16 << 10,
	SEND_HIGH = 64 << 10, /* bytes queued: from here stream_send says no, */
	SEND_LOW = 16 << 10   /* until they have sunk to this */
};

/* For the client: to say goodbye, and to take what is left before that. */
static const int64_t LINGER_NS = 3 * NS_PER_SEC;
static const int64_t FINISH_NS = 600 * NS_PER_SEC;
/* For the client: to open the streams that the status waits for. */
static const int64_t OPENING_NS = 30 * NS_PER_SEC;
/* Sessions in which nothing is said for this long are ended, as by the peers' default. */
static const int64_t IDLE_NS = 4 * 3600 * NS_PER_SEC;
/* A client that is not read from is looked at this often. */
static const int64_t LOOK_NS = 2 * NS_PER_SEC;

static void session_free(struct stream_session *s)
{
	s->protocol->free(s);
	loop_fd_del(&s->src);
	loop_timer_del(&s->timer);
	loop_later_del(&s->end);
	fd_close(&s->src.fd);
	buf_done(&s->in);
	buf_done(&s->out);
	free(s);
}

void stream_free(struct stream_session *s)
{
	if (!s)
		return;
	s->freed = true;
	s->phase = STREAM_ENDED;
	if (!s->busy)
		session_free(s);
}

static void on_end(struct loop_later *l)
{
	struct stream_session *s = container_of(l, struct stream_session, end);

	s->ops->on_end(s->arg, &s->end_err);
}

/* The connection is over; the owner hears of it from the loop. */
static void end(struct stream_session *s, const struct err *err)
{
	if (s->phase == STREAM_ENDED)
		return;
	s->phase = STREAM_ENDED;
	s->end_err = err ? *err : (struct err){0};
	loop_fd_del(&s->src);
	loop_timer_del(&s->timer);
	loop_later_add(s->loop, &s->end);
}

/* After a status was queued a client that goes is no error. */
static void gone(struct stream_session *s, int sys)
{
	struct err err;

	if (s->phase == STREAM_LINGERING) {
		end(s, NULL);
		return;
	}
	if (sys)
		err_sys(&err, sys, "the client has gone");
	else
		err_set(&err, ERR_CANCELLED, "the client has gone");
	err.code = ERR_CANCELLED;
	end(s, &err);
}

/* --- output ------------------------------------------------------------------------ */

static size_t pending(const struct stream_session *s)
{
	return s->out.len - s->out_sent;
}

static void watch(struct stream_session *s)
{
	loop_fd_set(&s->src, (s->nstuck ? 0U : LOOP_IN) | (pending(s) ? LOOP_OUT : 0U));
}

static void on_timer(struct loop_timer *t);

static void set_timer(struct stream_session *s, int64_t ns)
{
	s->timer.fn = on_timer;
	loop_timer_set(s->loop, &s->timer, time_mono() + ns);
}

/* Sends what the socket takes. */
static void flush(struct stream_session *s)
{
	while (s->phase != STREAM_ENDED && pending(s)) {
		ssize_t n = send(s->src.fd, s->out.data + s->out_sent, pending(s),
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			gone(s, errno);
			return;
		}
		s->out_sent += (size_t)n;
	}
	if (!pending(s)) {
		/* an idle session keeps no buffer */
		buf_done(&s->out);
		s->out_sent = 0;
	} else if (s->out_sent > SEND_HIGH) {
		buf_shift(&s->out, s->out_sent);
		s->out_sent = 0;
	}
	if (s->phase == STREAM_FINISHING && !pending(s) && !s->hold) {
		s->phase = STREAM_LINGERING;
		set_timer(s, LINGER_NS);
	}
	watch(s);
}

void stream_goodbye(struct stream_session *s)
{
	struct err err;

	flush(s); /* our answer to it */
	if (s->phase == STREAM_OPEN) {
		err_set(&err, ERR_CANCELLED, "the client has closed the session");
		end(s, &err);
	} else {
		end(s, NULL);
	}
}

bool stream_send(struct stream_session *s, enum stream_channel channel, const void *data,
		 size_t n)
{
	if (s->phase != STREAM_OPEN)
		return false;
	if (!n || !(channel == STREAM_STDOUT ? s->params.out : s->params.err))
		return !s->full;
	s->protocol->output(s, channel, data, n);
	s->active = time_mono();
	flush(s);
	s->full = pending(s) + s->held >= SEND_HIGH;
	return !s->full;
}

void stream_finish(struct stream_session *s, const struct stream_status *status)
{
	if (s->phase != STREAM_OPEN)
		return;
	s->phase = STREAM_FINISHING;
	s->nstuck = 0;
	s->full = false;
	s->protocol->finish(s, status);
	set_timer(s, s->hold ? OPENING_NS : FINISH_NS);
	flush(s);
}

/* --- input ------------------------------------------------------------------------- */

void stream_deliver(struct stream_session *s, const uint8_t *data, size_t n)
{
	size_t took;

	if (!n || s->phase != STREAM_OPEN || s->in_closed)
		return;
	took = s->ops->on_stdin(s->arg, data, n);
	if (s->phase != STREAM_OPEN)
		return; /* freed or finished in the callback */
	s->stuck = data + took;
	s->nstuck = n - took;
}

void stream_deliver_close(struct stream_session *s)
{
	if (s->phase != STREAM_OPEN || s->in_closed)
		return;
	s->in_closed = true;
	s->ops->on_stdin_close(s->arg);
}

void stream_deliver_resize(struct stream_session *s, const void *json, size_t n)
{
	struct err ignored;
	JSON_AUTO doc = json_parse(json, n, &ignored);
	uint64_t width, height;

	if (!doc || !s->params.tty)
		return;
	width = json_u64(yyjson_doc_get_root(doc), "Width", 0);
	height = json_u64(yyjson_doc_get_root(doc), "Height", 0);
	if (!width || !height || width > UINT16_MAX || height > UINT16_MAX)
		return;
	s->resized = true;
	s->width = (uint16_t)width;
	s->height = (uint16_t)height;
}

/* Only the newest of the sizes that have come together. */
static void tell_resize(struct stream_session *s)
{
	if (s->resized && s->phase == STREAM_OPEN)
		s->ops->on_resize(s->arg, s->width, s->height);
	s->resized = false;
}

static void parse(struct stream_session *s)
{
	struct err err;

	if (s->protocol->input(s, &err) < 0) {
		flush(s);
		end(s, &err);
		return;
	}
	if (!s->nstuck) {
		s->in_at = 0;
		/* an idle session keeps no buffer */
		buf_done(&s->in);
	}
	tell_resize(s);
}

static void receive(struct stream_session *s)
{
	ssize_t n =
		recv(s->src.fd, buf_reserve(&s->in, READ_SIZE), READ_SIZE, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		gone(s, n < 0 ? errno : 0);
		return;
	}
	s->in.len += (size_t)n;
	parse(s);
}

/* Offers what is stuck again, then goes on where the parser has stopped. */
static void resume(struct stream_session *s)
{
	s->resume = false;
	if (!s->nstuck)
		return;
	stream_deliver(s, s->stuck, s->nstuck);
	if (s->phase != STREAM_ENDED && !s->nstuck)
		parse(s);
}

static void writable(struct stream_session *s)
{
	if (s->full && pending(s) + s->held <= SEND_LOW && s->phase == STREAM_OPEN) {
		s->full = false;
		s->ops->on_writable(s->arg);
	}
}

/* The end of every event: what had to wait for it. */
static void leave(struct stream_session *s)
{
	while (s->resume && s->phase != STREAM_ENDED)
		resume(s);
	s->active = time_mono();
	if (s->phase == STREAM_OPEN && s->nstuck && s->timer.when > s->active + LOOK_NS)
		set_timer(s, LOOK_NS);
	s->busy = false;
	if (s->freed)
		session_free(s);
	else if (s->phase != STREAM_ENDED)
		watch(s);
}

static void on_event(struct loop_fd *src, unsigned events)
{
	struct stream_session *s = container_of(src, struct stream_session, src);

	s->busy = true;
	if (events & LOOP_OUT) {
		flush(s);
		writable(s);
	}
	if (s->phase != STREAM_ENDED && !s->nstuck && events & (LOOP_IN | LOOP_HUP)) {
		receive(s);
		flush(s); /* pongs */
		writable(s);
	} else if (s->phase != STREAM_ENDED && events & LOOP_HUP) {
		gone(s, 0);
	}
	leave(s);
}

/*
 * While stdin is stuck the socket is not read, and its end not seen: TCP's own
 * state tells of it.
 */
static bool peer_closed(const struct stream_session *s)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	return getsockopt(s->src.fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	       info.tcpi_state != TCP_ESTABLISHED;
}

static void on_timer(struct loop_timer *t)
{
	struct stream_session *s = container_of(t, struct stream_session, timer);
	int64_t quiet = time_mono() - s->active;
	struct err err;

	if (s->phase == STREAM_LINGERING) {
		end(s, NULL);
	} else if (s->phase == STREAM_FINISHING || (s->nstuck && peer_closed(s))) {
		gone(s, 0);
	} else if (quiet >= IDLE_NS) {
		err_set(&err, ERR_TIMEOUT, "the session was idle for 4 hours");
		end(s, &err);
	} else {
		set_timer(s, s->nstuck ? LOOK_NS : IDLE_NS - quiet);
	}
}

void stream_resume(struct stream_session *s)
{
	s->resume = true;
	if (s->busy)
		return;
	s->busy = true;
	leave(s);
}

/* --- the beginning ----------------------------------------------------------------- */

static const struct stream_protocol *choose(const struct http1_head *req)
{
	if (http1_head_has(req, "Upgrade", "websocket"))
		return &stream_ws;
	return http1_head_has(req, "Upgrade", "SPDY/3.1") ? &stream_spdy : NULL;
}

/* Answers a request that cannot be served; the socket is fresh and takes it. */
static void refuse(int fd, unsigned http, const char *extra, const char *text)
{
	const char *reason = http == 501   ? "Not Implemented"
			     : http == 426 ? "Upgrade Required"
			     : http == 403 ? "Forbidden"
					   : "Bad Request";
	BUF_AUTO b = {0};

	buf_add_fmt(&b,
		    "HTTP/1.1 %u %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
		    "Content-Length: %zu\r\nConnection: close\r\n%s\r\n%s\n",
		    http, reason, strlen(text) + 1, extra, text);
	(void)!send(fd, b.data, b.len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* What came with the request is input, too, but not before the owner has the session. */
static void on_begin(struct loop_later *l)
{
	struct stream_session *s = container_of(l, struct stream_session, end);

	s->end.fn = on_end;
	if (s->phase == STREAM_ENDED) {
		loop_later_add(s->loop, &s->end); /* it did not take long */
		return;
	}
	s->busy = true;
	if (s->in.len > s->in_at)
		parse(s);
	leave(s);
}

/* 0, or -1 with what to tell the client. */
static int start(struct stream_session *s, const void *raw, size_t raw_len,
		 unsigned *ret_http, const char **ret_extra, struct err *err)
{
	struct http1_head req;
	size_t seen = 0;
	size_t head = http1_head_length(raw, raw_len, &seen);
	int r;

	*ret_http = 400;
	*ret_extra = "";
	if (!head)
		return err_set(err, ERR_INVALID, "the request is incomplete");
	if (http1_head_request(&req, raw, head, err) < 0)
		return -1;
	s->protocol = choose(&req);
	if (s->protocol) {
		r = s->protocol->start(s, &req, ret_http, ret_extra, err);
	} else {
		*ret_http = 501;
		r = err_set(err, ERR_UNIMPLEMENTED, "%s is not supported",
			    str_or_empty(http1_head_get(&req, "Upgrade"))[0]
				    ? http1_head_get(&req, "Upgrade")
				    : "a request without Upgrade");
	}
	http1_head_done(&req);
	if (r == 0)
		buf_add(&s->in, (const uint8_t *)raw + head, raw_len - head);
	return r;
}

struct stream_session *stream_new(struct loop *l, int fd_taken, const void *raw,
				  size_t raw_len, const struct stream_params *params,
				  const struct stream_ops *ops, void *arg,
				  struct err *err)
{
	struct stream_session *s = xcalloc(1, sizeof(*s));
	const char *extra;
	unsigned http;
	int one = 1;

	*s = (struct stream_session){
		.loop = l, .params = *params, .ops = ops, .arg = arg};
	s->src = (struct loop_fd){.fn = on_event, .fd = fd_taken};
	s->in_closed = !params->in;
	if (start(s, raw, raw_len, &http, &extra, err) < 0) {
		refuse(fd_taken, http, extra, err->msg);
	} else if (loop_fd_add(l, &s->src, LOOP_IN, err) == 0) {
		/* keystrokes and echoes go out at once; not on a test's unix socket */
		setsockopt(fd_taken, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		s->end.fn = on_begin;
		loop_later_add(l, &s->end);
		s->active = time_mono();
		set_timer(s, IDLE_NS);
		flush(s);
		return s;
	}
	if (s->protocol)
		s->protocol->free(s);
	fd_close(&s->src.fd);
	buf_done(&s->in);
	buf_done(&s->out);
	free(s);
	return NULL;
}

/* --- the status -------------------------------------------------------------------- */

static void add_cause(yyjson_mut_doc *d, yyjson_mut_val *root, const char *reason,
		      const char *message)
{
	yyjson_mut_val *details = json_add_obj(d, root, "details");
	yyjson_mut_val *causes = json_add_arr(d, details, "causes");
	yyjson_mut_val *cause = yyjson_mut_arr_add_obj(d, causes);

	json_add_str(d, cause, "reason", reason);
	json_add_str(d, cause, "message", message);
}

void stream_status_text(const struct stream_status *status, bool json, struct buf *out)
{
	const struct err *err =
		status->err && status->err->code != ERR_NONE ? status->err : NULL;
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d);
	BUF_AUTO text = {0};
	BUF_AUTO cause = {0};

	if (err)
		buf_add_fmt(&text, "Internal error occurred: %s", err->msg);
	else if (status->exit_code)
		buf_add_fmt(&text,
			    "command terminated with non-zero exit code: exit code %d",
			    status->exit_code);
	if (!json) {
		buf_add(out, text.data, text.len);
		return;
	}
	json_add_obj(d, root, "metadata");
	json_add_str(d, root, "status", text.len ? "Failure" : "Success");
	if (!text.len) {
		json_write(d, false, out);
		return;
	}
	json_add_str(d, root, "message", buf_str(&text));
	json_add_str(d, root, "reason", err ? "InternalError" : "NonZeroExitCode");
	buf_add_fmt(&cause, "%d", status->exit_code);
	add_cause(d, root, err ? NULL : "ExitCode", err ? err->msg : buf_str(&cause));
	if (err)
		json_add_i64(d, root, "code", 500);
	json_write(d, false, out);
}
