/* What nghttp2 tells, and what is too much of it. */
#include "rpc/grpc-int.h"

#include <string.h>

#include "base/num.h"
#include "base/time.h"

/*
 * Cheap frames: 2000 at once, 500 a second, and more in proportion to the
 * work that is done on a connection: clients ping and open windows as data
 * flows (grpc-go and C core measure the bandwidth-delay product that way).
 */
enum { CONTROL_BURST = 2000, CONTROL_RATE = 500, EARN_CALL = 16, EARN_DATA = 8 };

/* Streams reset by either side: cancelling all 100 calls twice is within it. */
enum { RESET_BURST = 200, RESET_RATE = 50 };

enum { COST_FRAME = 1, COST_SETTINGS = 20, MIN_DATA = 256 };

void grpc_h2_calm(struct grpc_conn *c)
{
	nghttp2_session_terminate_session(c->session, NGHTTP2_ENHANCE_YOUR_CALM);
	grpc_conn_wake(c);
}

static void spend(struct grpc_conn *c, struct budget *b, int64_t cost, int64_t burst,
		  int64_t rate)
{
	int64_t now = time_mono();
	int64_t earned =
		MIN(now - b->when, NS_PER_SEC * burst / rate) * rate / NS_PER_SEC;

	if (earned > 0) {
		b->tokens = MIN(b->tokens + earned, burst);
		b->when = now;
	}
	b->tokens -= cost;
	if (b->tokens < 0)
		grpc_h2_calm(c);
}

static void spend_control(struct grpc_conn *c, int64_t cost)
{
	spend(c, &c->control, cost, CONTROL_BURST, CONTROL_RATE);
}

static void spend_reset(struct grpc_conn *c)
{
	spend(c, &c->resets, 1, RESET_BURST, RESET_RATE);
}

void grpc_h2_earn(struct grpc_conn *c, int64_t tokens)
{
	c->control.tokens = MIN(c->control.tokens + tokens, (int64_t)CONTROL_BURST);
}

static void note_reset(struct grpc_conn *c, int32_t stream)
{
	if (!c->reset)
		c->reset = xcalloc(RESET_RING, sizeof(*c->reset));
	c->reset[c->nreset++ % RESET_RING] = stream;
}

static bool was_reset(const struct grpc_conn *c, int32_t stream)
{
	for (uint32_t i = 0; c->reset && i < RESET_RING; i++)
		if (c->reset[i] == stream)
			return true;
	return false;
}

/*
 * HEADERS and DATA on a stream that has closed, or that can no longer be
 * opened, are connection errors (RFC 9113 5.1, 5.1.1), but for one that we have
 * reset the client may just not know yet. nghttp2 ignores all of them, because
 * it cannot know; to remember closed streams in it would cost 25 KB a connection.
 */
static void check_stream(struct grpc_conn *c, const nghttp2_frame_hd *hd)
{
	bool holes = c->opened != ((uint32_t)c->last_stream + 1) / 2;

	if (hd->stream_id > c->last_stream) {
		if (hd->type == NGHTTP2_HEADERS && hd->stream_id & 1) {
			c->last_stream = hd->stream_id;
			c->opened++;
		}
		return;
	}
	if (!(hd->stream_id & 1) || c->server->shutdown || was_reset(c, hd->stream_id) ||
	    nghttp2_session_find_stream(c->session, hd->stream_id))
		return;
	nghttp2_session_terminate_session(c->session, holes && hd->type == NGHTTP2_HEADERS
							      ? NGHTTP2_PROTOCOL_ERROR
							      : NGHTTP2_STREAM_CLOSED);
	grpc_conn_wake(c);
}

/*
 * Every frame, before nghttp2 sees it: it has no callback for those that it
 * ignores. Headers are counted before anything is decoded.
 */
static void on_frame(struct grpc_conn *c, const nghttp2_frame_hd *hd)
{
	if (hd->type == NGHTTP2_HEADERS || hd->type == NGHTTP2_DATA)
		check_stream(c, hd);
	switch (hd->type) {
	case NGHTTP2_HEADERS:
	case NGHTTP2_CONTINUATION:
		if (hd->type == NGHTTP2_HEADERS)
			c->header_bytes = 0;
		c->header_bytes += hd->length;
		if (c->header_bytes > MAX_HEADER_BYTES)
			grpc_h2_calm(c);
		break;
	case NGHTTP2_DATA:
		if (hd->length < MIN_DATA && !(hd->flags & NGHTTP2_FLAG_END_STREAM))
			spend_control(c, COST_FRAME);
		else if (hd->length >= MIN_DATA)
			grpc_h2_earn(c, EARN_DATA);
		break;
	case NGHTTP2_RST_STREAM:
		spend_reset(c);
		break;
	case NGHTTP2_SETTINGS:
		spend_control(c, COST_SETTINGS);
		break;
	default: /* PRIORITY, PING, GOAWAY, WINDOW_UPDATE, unknown ones */
		spend_control(c, COST_FRAME);
	}
}

/* The bytes up to the end of a frame, or to where the next one's header is complete. */
static size_t next_part(struct grpc_conn *c, const uint8_t *data, size_t n)
{
	nghttp2_frame_hd hd = {0};
	size_t take;

	if (!c->left) {
		take = MIN(n, (size_t)(FRAME_HEADER - c->nheader));
		memcpy(c->header + c->nheader, data, take);
		c->nheader += (unsigned)take;
		if (c->nheader < FRAME_HEADER)
			return take;
		c->nheader = 0;
		hd.length = get_be32(c->header) >> 8;
		hd.type = c->header[3];
		hd.flags = c->header[4];
		hd.stream_id = (int32_t)(get_be32(c->header + 5) & 0x7fffffff);
		on_frame(c, &hd);
		c->left = take + hd.length;
	}
	take = MIN(n, c->left);
	c->left -= take;
	return take;
}

int grpc_h2_receive(struct grpc_conn *c, const uint8_t *data, size_t n)
{
	while (n) {
		size_t part = next_part(c, data, n);
		nghttp2_ssize r = nghttp2_session_mem_recv2(c->session, data, part);

		if (r < 0) {
			nghttp2_session_terminate_session(
				c->session,
				r == NGHTTP2_ERR_FLOODED ||
						r == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS
					? NGHTTP2_ENHANCE_YOUR_CALM
					: NGHTTP2_PROTOCOL_ERROR);
			return -1;
		}
		data += part;
		n -= part;
	}
	return 0;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame,
			    void *arg)
{
	struct grpc_conn *c = arg;
	struct grpc_call *call;

	if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0; /* trailers */
	if (c->ncalls >= GRPC_MAX_STREAMS || c->server->ncalls >= GRPC_MAX_CALLS) {
		/* cancelled calls count until their handlers are done */
		nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
					  NGHTTP2_REFUSED_STREAM);
		return 0;
	}
	call = grpc_call_new(c, frame->hd.stream_id);
	nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, call);
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame,
		     const uint8_t *name, size_t name_len, const uint8_t *value,
		     size_t value_len, uint8_t flags, void *arg)
{
	struct grpc_call *call =
		nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

	(void)flags;
	(void)arg;
	if (call)
		grpc_call_header(call, name, name_len, value, value_len);
	return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream,
			 const uint8_t *data, size_t n, void *arg)
{
	struct grpc_conn *c = arg;
	struct grpc_call *call = nghttp2_session_get_stream_user_data(session, stream);

	(void)flags;
	c->progress = time_mono();
	if (call)
		grpc_call_body(call, data, n);
	return 0;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct grpc_conn *c = arg;
	struct grpc_call *call;

	if (frame->hd.type == NGHTTP2_SETTINGS)
		c->greeted = true;
	if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
		return 0;
	call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	if (!call)
		return 0;
	call->half_closed = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
	if (frame->hd.type == NGHTTP2_HEADERS &&
	    frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
		c->progress = time_mono();
		grpc_call_headers_done(call);
	}
	if (call->half_closed)
		grpc_call_request_done(call);
	return 0;
}

static void on_headers_sent(struct grpc_conn *c, const nghttp2_frame *frame)
{
	struct grpc_call *call =
		nghttp2_session_get_stream_user_data(c->session, frame->hd.stream_id);

	c->progress = time_mono();
	grpc_h2_earn(c, EARN_CALL);
	if (call && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		grpc_call_answered(call);
}

/* A stream error of the client's making costs as much as a reset by itself. */
static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct grpc_conn *c = arg;

	(void)session;
	if (frame->hd.type == NGHTTP2_HEADERS) {
		on_headers_sent(c, frame);
	} else if (frame->hd.type == NGHTTP2_DATA) {
		c->progress = time_mono();
		grpc_h2_earn(c, EARN_DATA);
	} else if (frame->hd.type == NGHTTP2_RST_STREAM) {
		note_reset(c, frame->hd.stream_id);
		if (frame->rst_stream.error_code != NGHTTP2_NO_ERROR)
			spend_reset(c);
	}
	return 0;
}

/* Among others a stream beyond the limit, which nghttp2 never opens and then resets. */
static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame,
			    int code, void *arg)
{
	(void)session;
	(void)code;
	note_reset(arg, frame->hd.stream_id);
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream, uint32_t code,
			   void *arg)
{
	struct grpc_call *call = nghttp2_session_get_stream_user_data(session, stream);

	(void)code;
	(void)arg;
	if (call)
		grpc_call_stream_closed(call);
	return 0;
}

int grpc_h2_init(struct grpc_server *s, struct err *err)
{
	nghttp2_session_callbacks *cb;

	if (nghttp2_session_callbacks_new(&s->callbacks) != 0 ||
	    nghttp2_option_new(&s->option) != 0)
		return err_set(err, ERR_EXHAUSTED, "out of memory in nghttp2");
	cb = s->callbacks;
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb,
								     on_invalid_frame);
	/* closed streams are otherwise kept for the dependency tree */
	nghttp2_option_set_no_closed_streams(s->option, 1);
	nghttp2_option_set_max_continuations(s->option, MAX_CONTINUATIONS);
	return 0;
}

int grpc_h2_start(struct grpc_conn *c, struct err *err)
{
	static const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, GRPC_MAX_STREAMS},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, MAX_HEADER_BYTES},
	};
	int64_t now = time_mono();

	c->control = (struct budget){CONTROL_BURST, now};
	c->resets = (struct budget){RESET_BURST, now};
	c->left = NGHTTP2_CLIENT_MAGIC_LEN;
	if (nghttp2_session_server_new2(&c->session, c->server->callbacks, c,
					c->server->option) != 0)
		return err_set(err, ERR_EXHAUSTED, "out of memory in nghttp2");
	nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings,
				sizeof(settings) / sizeof(settings[0]));
	return 0;
}
