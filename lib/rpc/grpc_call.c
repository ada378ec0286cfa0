/* Calls: requests as they come in, answers as they go out. */
#include "rpc/grpc-int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "wire/grpc.h"

struct grpc_call *grpc_call_new(struct grpc_conn *c, int32_t stream)
{
	struct grpc_call *call = xcalloc(1, sizeof(*call));

	call->server = c->server;
	call->conn = c;
	call->stream = stream;
	call->when = -1;
	call->pid = c->pid;
	call->uid = c->uid;
	list_init(&call->event);
	list_add(&c->calls, &call->node);
	c->ncalls++;
	/* the connection is now the busiest of all */
	list_del(&c->node);
	list_add(&c->server->conns, &c->node);
	return call;
}

static void drop_in(struct grpc_call *call)
{
	call->server->queued -= call->in.len;
	buf_done(&call->in);
}

static void drop_out(struct grpc_call *call)
{
	call->server->queued -= call->out.len - call->out_sent;
	call->out_sent = 0;
	buf_done(&call->out);
}

void grpc_call_free(struct grpc_call *call)
{
	loop_timer_del(&call->deadline);
	list_del(&call->event);
	list_del(&call->node);
	if (call->conn)
		call->conn->ncalls--;
	drop_in(call);
	drop_out(call);
	free(call->message);
	free(call);
}

/* --- telling the owner ------------------------------------------------------------- */

static void event(struct grpc_call *call, unsigned what)
{
	struct grpc_server *s = call->server;

	if (!call->events)
		list_add(&s->events, &call->event);
	call->events |= what;
	loop_later_add(s->loop, &s->tell);
}

static void tell_call(struct grpc_call *call)
{
	struct grpc_server *s = call->server;

	call->told = true;
	s->ops->on_call(s->arg, call, call->path, call->in.data + GRPC_PREFIX,
			call->in.len - GRPC_PREFIX);
}

/* Each callback may end the call, which is then out of the list. */
void grpc_call_tell(struct loop_later *l)
{
	struct grpc_server *s = container_of(l, struct grpc_server, tell);

	while (!list_empty(&s->events)) {
		struct grpc_call *call =
			container_of(s->events.next, struct grpc_call, event);
		unsigned what = call->events & -call->events;

		call->events &= ~what;
		if (!call->events)
			list_del(&call->event);
		if (what == EVENT_CALL)
			tell_call(call);
		else if (what == EVENT_CANCEL && s->ops->on_cancel)
			s->ops->on_cancel(s->arg, call);
		else if (what == EVENT_WRITABLE && s->ops->on_writable)
			s->ops->on_writable(s->arg, call);
	}
}

/* The handler is done with it, or was never asked. */
static void release(struct grpc_call *call)
{
	if (call->state == CALL_RUNNING)
		call->server->ncalls--;
	call->state = CALL_ENDED;
	call->events = 0;
	list_del(&call->event);
	loop_timer_del(&call->deadline);
	drop_in(call);
	if (call->conn)
		grpc_conn_wake(call->conn);
	if (!call->stream)
		grpc_call_free(call);
}

/* Nobody waits for the answer any more. May free the call. */
static void cancel(struct grpc_call *call)
{
	loop_timer_del(&call->deadline);
	if (call->cancelled)
		return;
	call->cancelled = true;
	if (call->told)
		event(call, EVENT_CANCEL);
	else
		release(call); /* the handler has not heard of it */
}

void grpc_call_stream_closed(struct grpc_call *call)
{
	call->stream = 0;
	drop_out(call);
	if (call->state == CALL_RUNNING)
		cancel(call);
	else
		grpc_call_free(call);
}

void grpc_call_conn_gone(struct grpc_call *call)
{
	call->conn = NULL;
	list_del(&call->node);
	list_add(&call->server->orphans, &call->node);
	grpc_call_stream_closed(call);
}

/* --- the answer -------------------------------------------------------------------- */

#define NV(n, v) field(n, v, strlen(v))

static nghttp2_nv field(const char *name, const void *value, size_t len)
{
	return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
			    .value = (uint8_t *)(uintptr_t)value,
			    .namelen = strlen(name),
			    .valuelen = len};
}

/* The fields of "Trailers" into nv, at most 2 of them. */
static size_t status_fields(const struct grpc_call *call, char number[4],
			    struct buf *text, nghttp2_nv *nv)
{
	snprintf(number, 4, "%u", call->status % 100);
	nv[0] = NV("grpc-status", number);
	if (str_empty(call->message))
		return 1;
	grpc_message_encode(text, call->message);
	nv[1] = field("grpc-message", text->data, text->len);
	return 2;
}

static void submit_trailers(struct grpc_call *call)
{
	BUF_AUTO text = {0};
	char number[4];
	nghttp2_nv nv[2];
	size_t n = status_fields(call, number, &text, nv);

	nghttp2_submit_trailer(call->conn->session, call->stream, nv, n);
}

static nghttp2_ssize read_out(nghttp2_session *session, int32_t stream, uint8_t *dst,
			      size_t room, uint32_t *flags, nghttp2_data_source *source,
			      void *arg)
{
	struct grpc_call *call = source->ptr;
	size_t n = MIN(room, call->out.len - call->out_sent);

	(void)session;
	(void)stream;
	(void)arg;
	if (!n && !call->eof) {
		call->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	if (n) {
		memcpy(dst, call->out.data + call->out_sent, n);
		call->out_sent += n;
		call->server->queued -= n;
	}
	if (call->out_sent == call->out.len) {
		buf_reset(&call->out);
		call->out_sent = 0;
		if (call->eof)
			*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (call->eof && !call->plain) {
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
			submit_trailers(call);
		}
	}
	if (call->full && call->out.len - call->out_sent <= SEND_LOW) {
		call->full = false;
		event(call, EVENT_WRITABLE);
	}
	return (nghttp2_ssize)n;
}

/* Submits the response's headers if that was not done yet, or wakes the stream. */
static void push(struct grpc_call *call)
{
	nghttp2_session *session = call->conn->session;
	nghttp2_data_provider2 provider = {.source = {.ptr = call},
					   .read_callback = read_out};
	nghttp2_nv nv[] = {NV(":status", "200"), NV("content-type", "application/grpc")};

	if (!call->responded) {
		call->responded = true;
		nghttp2_submit_response2(session, call->stream, nv, ARRAY_LEN(nv),
					 &provider);
	} else if (call->deferred) {
		call->deferred = false;
		nghttp2_session_resume_data(session, call->stream);
	}
	grpc_conn_wake(call->conn);
}

static void reset(struct grpc_call *call, uint32_t code)
{
	nghttp2_submit_rst_stream(call->conn->session, NGHTTP2_FLAG_NONE, call->stream,
				  code);
	grpc_conn_wake(call->conn);
}

/*
 * After an answer before the request's end, the rest of it is not wanted (RFC
 * 9113 8.1). nghttp2 forgets what is queued for a stream that is reset, so that
 * this has to wait.
 */
void grpc_call_answered(struct grpc_call *call)
{
	if (!call->half_closed)
		reset(call, NGHTTP2_NO_ERROR);
}

/* "Trailers-Only": the whole answer is one block of headers. */
static void submit_trailers_only(struct grpc_call *call)
{
	BUF_AUTO text = {0};
	char number[4];
	nghttp2_nv nv[5] = {NV(":status", "200"), NV("content-type", "application/grpc")};
	size_t n = 2;

	n += status_fields(call, number, &text, nv + n);
	if (call->status == err_grpc_status(ERR_UNIMPLEMENTED) && call->grpc_encoding)
		nv[n++] = NV("grpc-accept-encoding", "identity");
	call->responded = true;
	nghttp2_submit_response2(call->conn->session, call->stream, nv, n, NULL);
	grpc_conn_wake(call->conn);
}

/* To something that is not gRPC at all: plain HTTP. */
static void submit_http_status(struct grpc_call *call, const char *status,
			       const char *text)
{
	nghttp2_data_provider2 provider = {.source = {.ptr = call},
					   .read_callback = read_out};
	nghttp2_nv nv[] = {NV(":status", status), NV("content-type", "text/plain")};

	buf_add_str(&call->out, text);
	call->server->queued += call->out.len;
	call->responded = call->eof = call->plain = true;
	nghttp2_submit_response2(call->conn->session, call->stream, nv, ARRAY_LEN(nv),
				 &provider);
	grpc_conn_wake(call->conn);
	call->state = CALL_ENDED;
	drop_in(call);
}

/* Sends the status: behind what was queued, or alone. */
static void answer(struct grpc_call *call, enum err_code code, const char *text)
{
	if (!call->stream || call->eof || call->cancelled)
		return;
	call->status = err_grpc_status(code);
	call->message = xstrdup(text);
	call->eof = true;
	if (call->responded || call->out.len)
		push(call);
	else
		submit_trailers_only(call);
}

/* Answers a request that the handler does not get to see. */
static void fail(struct grpc_call *call, enum err_code code, const char *text)
{
	answer(call, code, text);
	call->state = CALL_ENDED;
	loop_timer_del(&call->deadline);
	drop_in(call);
}

static void on_deadline(struct loop_timer *t)
{
	struct grpc_call *call = container_of(t, struct grpc_call, deadline);
	static const char text[] = "deadline exceeded";

	if (call->state == CALL_RECEIVING) {
		fail(call, ERR_TIMEOUT, text);
	} else if (call->state == CALL_RUNNING) {
		if (call->out.len) /* in the middle of a message */
			reset(call, NGHTTP2_CANCEL);
		else
			answer(call, ERR_TIMEOUT, text);
		cancel(call);
	}
}

/* --- the request ------------------------------------------------------------------- */

static bool name_is(const uint8_t *name, size_t n, const char *want)
{
	return n == strlen(want) && memcmp(name, want, n) == 0;
}

static void on_path(struct grpc_call *call, const uint8_t *value, size_t n)
{
	/* what does not fit is unknown anyway; NUL does not get here (RFC 9113 8.2.1) */
	if (n > MAX_PATH)
		return;
	memcpy(call->path, value, n);
	call->path[n] = 0;
}

static void on_timeout(struct grpc_call *call, const uint8_t *value, size_t n)
{
	int64_t ns, now = time_mono();

	call->bad_timeout = grpc_timeout_parse((const char *)value, n, &ns) < 0;
	if (!call->bad_timeout)
		call->when = ns > INT64_MAX - now ? INT64_MAX : now + ns;
}

void grpc_call_header(struct grpc_call *call, const uint8_t *name, size_t name_len,
		      const uint8_t *value, size_t value_len)
{
	if (call->state != CALL_RECEIVING)
		return;
	call->field_bytes += name_len + value_len + 32;
	if (++call->nfields > MAX_HEADER_FIELDS || call->field_bytes > MAX_HEADER_BYTES) {
		reset(call, NGHTTP2_ENHANCE_YOUR_CALM);
		call->state = CALL_ENDED;
		drop_in(call);
	} else if (name_is(name, name_len, ":path")) {
		on_path(call, value, value_len);
	} else if (name_is(name, name_len, ":method")) {
		call->post = name_is(value, value_len, "POST");
	} else if (name_is(name, name_len, "content-type")) {
		call->content_type = grpc_content_type((const char *)value, value_len);
	} else if (name_is(name, name_len, "grpc-timeout")) {
		on_timeout(call, value, value_len);
	} else if (name_is(name, name_len, "grpc-encoding")) {
		call->grpc_encoding = !name_is(value, value_len, "identity");
	}
}

void grpc_call_headers_done(struct grpc_call *call)
{
	if (call->state != CALL_RECEIVING)
		return;
	if (!call->post || !call->content_type)
		return; /* answered at its end */
	if (!call->path[0])
		fail(call, ERR_UNIMPLEMENTED, "unknown method");
	else if (call->bad_timeout)
		fail(call, ERR_INVALID, "malformed grpc-timeout");
	else if (call->server->queued > MAX_QUEUED)
		fail(call, ERR_EXHAUSTED, "too many bytes are in flight");
	else if (call->when >= 0) {
		call->deadline.fn = on_deadline;
		loop_timer_set(call->server->loop, &call->deadline, call->when);
	}
}

/* Checks the prefix as soon as it is there. */
static void check_prefix(struct grpc_call *call)
{
	size_t len = get_be32(call->in.data + 1);

	if (call->in.data[0] & GRPC_COMPRESSED) {
		call->grpc_encoding = true;
		fail(call, ERR_UNIMPLEMENTED, "compressed messages are not supported");
	} else if (call->in.data[0]) {
		fail(call, ERR_INVALID, "malformed message prefix");
	} else if (len > GRPC_MAX_MESSAGE) {
		fail(call, ERR_EXHAUSTED, "request of more than 16 MiB");
	} else if (call->in.len > GRPC_PREFIX + len) {
		fail(call, ERR_INVALID, "more than one request message");
	}
}

void grpc_call_body(struct grpc_call *call, const uint8_t *data, size_t n)
{
	if (call->state != CALL_RECEIVING)
		return;
	if (call->server->queued > MAX_QUEUED) {
		fail(call, ERR_EXHAUSTED, "too many bytes are in flight");
		return;
	}
	if (!call->post || !call->content_type)
		return;
	buf_add(&call->in, data, n);
	call->server->queued += n;
	if (call->in.len >= GRPC_PREFIX)
		check_prefix(call);
}

void grpc_call_request_done(struct grpc_call *call)
{
	if (call->state != CALL_RECEIVING)
		return;
	if (!call->post) {
		submit_http_status(call, "405", "a gRPC server wants POST\n");
		return;
	}
	if (!call->content_type) {
		submit_http_status(call, "415",
				   "a gRPC server wants content-type application/grpc\n");
		return;
	}
	if (call->in.len < GRPC_PREFIX ||
	    call->in.len - GRPC_PREFIX != get_be32(call->in.data + 1)) {
		fail(call, ERR_INVALID, "incomplete request message");
		return;
	}
	call->state = CALL_RUNNING;
	call->server->ncalls++;
	event(call, EVENT_CALL);
}

/* --- what the handler calls -------------------------------------------------------- */

static bool queue(struct grpc_call *call, const void *msg, size_t len)
{
	if (!call->stream || call->cancelled || call->eof)
		return false;
	if (len > GRPC_MAX_MESSAGE) {
		answer(call, ERR_EXHAUSTED, "response of more than 16 MiB");
		return false;
	}
	if (call->server->queued > MAX_QUEUED) {
		answer(call, ERR_EXHAUSTED, "too many bytes are in flight");
		return false;
	}
	if (call->out_sent > SEND_HIGH) {
		buf_shift(&call->out, call->out_sent);
		call->out_sent = 0;
	}
	buf_reserve(&call->out, len + GRPC_PREFIX);
	grpc_prefix_put(&call->out, len);
	buf_add(&call->out, msg, len);
	call->server->queued += len + GRPC_PREFIX;
	return true;
}

void grpc_reply(struct grpc_call *call, const void *msg, size_t len)
{
	if (queue(call, msg, len))
		answer(call, ERR_NONE, "");
	release(call);
}

bool grpc_send(struct grpc_call *call, const void *msg, size_t len)
{
	if (!queue(call, msg, len))
		return false;
	push(call);
	call->full = call->out.len - call->out_sent >= SEND_HIGH;
	return !call->full;
}

void grpc_finish(struct grpc_call *call, const struct err *err)
{
	if (err && err->code != ERR_NONE)
		answer(call, err->code, err->msg);
	else
		answer(call, ERR_NONE, "");
	release(call);
}

void grpc_fail(struct grpc_call *call, const struct err *err)
{
	answer(call, err->code == ERR_NONE ? ERR_UNKNOWN : err->code, err->msg);
	release(call);
}

bool grpc_call_cancelled(const struct grpc_call *call)
{
	return call->cancelled;
}

int64_t grpc_call_deadline(const struct grpc_call *call)
{
	return call->when;
}

const char *grpc_call_path(const struct grpc_call *call)
{
	return call->path;
}

void grpc_call_set_data(struct grpc_call *call, void *data)
{
	call->data = data;
}

void *grpc_call_data(const struct grpc_call *call)
{
	return call->data;
}

void grpc_call_peer(const struct grpc_call *call, pid_t *ret_pid, uid_t *ret_uid)
{
	*ret_pid = call->pid;
	*ret_uid = call->uid;
}
