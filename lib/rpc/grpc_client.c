#include "rpc/grpc_client.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/list.h"
#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "os/fd.h"
#include "os/sock.h"
#include "wire/grpc.h"

enum {
	READ_SIZE = 32 << 10,
	WINDOW = 1 << 20, /* of the connection and of each stream */
	NO_STATUS = -1	  /* grpc-status has not come */
};

struct grpc_client {
	int fd;
	char *address;
	nghttp2_session *session;
	struct list streams;
	struct buf out; /* what the socket did not take */
	bool greeted;	/* the server's SETTINGS have come */
	bool broken;	/* the connection is over; why: */
	struct err why;
	uint8_t scratch[READ_SIZE];
};

struct grpc_stream {
	struct list node;
	struct grpc_client *client;
	int32_t id;
	int64_t deadline; /* time_mono, or -1 */
	bool closed;
	uint32_t reset; /* HTTP/2 error code, when closed */
	unsigned http_status;
	int status;
	struct buf message;
	struct buf in;	/* responses with their prefixes */
	struct buf out; /* the request */
	size_t out_sent;
};

/* --- what nghttp2 tells ------------------------------------------------------------ */

static int on_header(nghttp2_session *session, const nghttp2_frame *frame,
		     const uint8_t *name, size_t name_len, const uint8_t *value,
		     size_t value_len, uint8_t flags, void *arg)
{
	struct grpc_stream *s =
		nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	BUF_AUTO text = {0};
	uint64_t number;

	(void)flags;
	(void)arg;
	(void)name_len; /* nghttp2 ends both with NUL */
	if (!s)
		return 0;
	buf_add(&text, value, value_len);
	if (str_eq((const char *)name, ":status") &&
	    num_u64(buf_str(&text), 100, 999, &number) == 0) {
		s->http_status = (unsigned)number;
	} else if (str_eq((const char *)name, "grpc-status")) {
		s->status =
			num_u64(buf_str(&text), 0, 999, &number) == 0 ? (int)number : 2;
	} else if (str_eq((const char *)name, "grpc-message")) {
		buf_reset(&s->message);
		grpc_message_decode(&s->message, (const char *)value, value_len);
	}
	return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id,
			 const uint8_t *data, size_t n, void *arg)
{
	struct grpc_stream *s = nghttp2_session_get_stream_user_data(session, id);

	(void)flags;
	(void)arg;
	if (!s)
		return 0;
	if (s->in.len + n > (size_t)GRPC_CLIENT_MAX_MESSAGE + GRPC_PREFIX + WINDOW) {
		nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id,
					  NGHTTP2_ENHANCE_YOUR_CALM);
		s->status = (int)err_grpc_status(ERR_EXHAUSTED);
		buf_reset(&s->message);
		buf_add_str(&s->message, "the response is too large");
		return 0;
	}
	buf_add(&s->in, data, n);
	return 0;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct grpc_client *c = arg;

	(void)session;
	if (frame->hd.type == NGHTTP2_SETTINGS && !(frame->hd.flags & NGHTTP2_FLAG_ACK))
		c->greeted = true;
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
	struct grpc_stream *s = nghttp2_session_get_stream_user_data(session, id);

	(void)arg;
	if (s) {
		s->closed = true;
		s->reset = code;
	}
	return 0;
}

static nghttp2_ssize read_request(nghttp2_session *session, int32_t id, uint8_t *dst,
				  size_t room, uint32_t *flags,
				  nghttp2_data_source *source, void *arg)
{
	/* the stream may have been freed while its request was being sent */
	struct grpc_stream *s = nghttp2_session_get_stream_user_data(session, id);
	size_t n;

	(void)source;
	(void)arg;
	if (!s)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	n = MIN(room, s->out.len - s->out_sent);
	memcpy(dst, s->out.data + s->out_sent, n);
	s->out_sent += n;
	if (s->out_sent == s->out.len) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		buf_done(&s->out);
		s->out_sent = 0;
	}
	return (nghttp2_ssize)n;
}

/* --- input and output -------------------------------------------------------------- */

/* The connection cannot be used any more. Returns -1. */
static int broken(struct grpc_client *c, int sys, const char *what)
{
	if (!c->broken) {
		c->broken = true;
		if (sys)
			err_sys(&c->why, sys, "%s: %s", c->address, what);
		else
			err_set(&c->why, ERR_UNAVAILABLE, "%s: %s", c->address, what);
		c->why.code = ERR_UNAVAILABLE;
	}
	return -1;
}

/* Sends what the socket takes. 0 or -1. */
static int flush(struct grpc_client *c)
{
	for (;;) {
		ssize_t sent;

		if (!c->out.len) {
			const uint8_t *data;
			nghttp2_ssize n = nghttp2_session_mem_send2(c->session, &data);

			if (n < 0)
				return broken(c, 0, nghttp2_strerror((int)n));
			if (n == 0)
				return 0;
			buf_add(&c->out, data, (size_t)n);
		}
		sent = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return errno == EAGAIN ? 0 : broken(c, errno, "send");
		buf_shift(&c->out, (size_t)sent);
	}
}

static int receive(struct grpc_client *c)
{
	ssize_t n = recv(c->fd, c->scratch, sizeof(c->scratch), MSG_DONTWAIT);
	nghttp2_ssize used;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0)
		return broken(c, errno, "receive");
	if (n == 0)
		return broken(c, 0, "the server has closed the connection");
	used = nghttp2_session_mem_recv2(c->session, c->scratch, (size_t)n);
	if (used < 0)
		return broken(c, 0,
			      c->greeted ? nghttp2_strerror((int)used)
					 : "this is not a gRPC server");
	return 0;
}

/* Waits for something and handles it. 1, 0: the deadline (or -1) has passed, -1: broken. */
static int step(struct grpc_client *c, int64_t deadline)
{
	struct pollfd p = {.fd = c->fd};
	int64_t ms = -1;
	int r;

	if (c->broken || flush(c) < 0)
		return -1;
	/* nghttp2 has said, or been told, GOAWAY */
	if (!nghttp2_session_want_read(c->session) && !c->out.len)
		return broken(c, 0,
			      c->greeted ? "the session is over"
					 : "this is not a gRPC server");
	if (deadline >= 0) {
		int64_t left = deadline - time_mono();

		if (left <= 0)
			return 0;
		ms = MIN((left + NS_PER_MS - 1) / NS_PER_MS, INT64_C(86400000));
	}
	p.events = (short)(POLLIN | (c->out.len ? POLLOUT : 0));
	r = poll(&p, 1, (int)ms);
	if (r < 0 && errno != EINTR)
		return broken(c, errno, "poll");
	if (r > 0 && p.revents & (POLLIN | POLLHUP | POLLERR) && receive(c) < 0)
		return -1;
	return 1;
}

/* --- the connection ---------------------------------------------------------------- */

static nghttp2_session *session_new(struct grpc_client *c)
{
	static const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW},
	};
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_session *session = NULL;

	if (nghttp2_session_callbacks_new(&cb) != 0)
		return NULL;
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	if (nghttp2_session_client_new(&session, cb, c) == 0) {
		nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings,
					ARRAY_LEN(settings));
		nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
						      WINDOW);
	}
	nghttp2_session_callbacks_del(cb);
	return session;
}

static const char *path_of(const char *address)
{
	if (str_starts(address, "unix://"))
		address += strlen("unix://");
	else if (str_starts(address, "unix:"))
		address += strlen("unix:");
	return *address == '/' ? address : NULL;
}

/* A server speaks first, too: its SETTINGS. */
static int greet(struct grpc_client *c, int64_t timeout_ns, struct err *err)
{
	int64_t deadline = timeout_ns < 0 ? -1 : time_mono() + timeout_ns;

	while (!c->greeted) {
		int r = step(c, deadline);

		if (r == 0)
			return err_set(err, ERR_TIMEOUT, "%s: no answer in time",
				       c->address);
		if (r < 0) {
			*err = c->why;
			return -1;
		}
	}
	return 0;
}

struct grpc_client *grpc_client_new(const char *address, int64_t timeout_ns,
				    struct err *err)
{
	const char *path = path_of(address);
	struct grpc_client *c;
	int fd;

	if (!path) {
		err_set(err, ERR_INVALID, "%s: not the address of a unix socket",
			address);
		return NULL;
	}
	fd = sock_connect_unix(path, err);
	if (fd < 0) {
		err->code = ERR_UNAVAILABLE;
		return NULL;
	}
	c = xcalloc(1, sizeof(*c));
	c->fd = fd;
	c->address = xstrdup(address);
	list_init(&c->streams);
	c->session = session_new(c);
	if (!c->session)
		err_set(err, ERR_EXHAUSTED, "out of memory in nghttp2");
	if (!c->session || greet(c, timeout_ns, err) < 0) {
		grpc_client_free(c);
		return NULL;
	}
	return c;
}

void grpc_client_free(struct grpc_client *c)
{
	if (!c)
		return;
	if (c->session && !c->broken) {
		nghttp2_session_terminate_session(c->session, NGHTTP2_NO_ERROR);
		flush(c);
	}
	nghttp2_session_del(c->session);
	buf_done(&c->out);
	fd_close(&c->fd);
	free(c->address);
	free(c);
}

/* --- calls ------------------------------------------------------------------------- */

static nghttp2_nv field(const char *name, const char *value)
{
	return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
			    .value = (uint8_t *)(uintptr_t)value,
			    .namelen = strlen(name),
			    .valuelen = strlen(value)};
}

static int32_t submit(struct grpc_stream *s, const char *path, int64_t timeout_ns)
{
	nghttp2_data_provider2 provider = {.read_callback = read_request};
	char timeout[GRPC_TIMEOUT_TEXT] = "";
	nghttp2_nv nv[] = {
		field(":method", "POST"),
		field(":scheme", "http"),
		field(":path", path),
		field(":authority", "localhost"),
		field("content-type", "application/grpc"),
		field("te", "trailers"),
		field("grpc-timeout", timeout),
	};
	size_t n = ARRAY_LEN(nv) - (timeout_ns < 0);

	if (timeout_ns >= 0) {
		grpc_timeout_format(timeout, MAX(timeout_ns, INT64_C(1)));
		nv[n - 1].valuelen = strlen(timeout);
	}
	return nghttp2_submit_request2(s->client->session, NULL, nv, n, &provider, s);
}

struct grpc_stream *grpc_stream_new(struct grpc_client *c, const char *path,
				    const void *msg, size_t len, int64_t timeout_ns,
				    struct err *err)
{
	struct grpc_stream *s;

	if (c->broken) {
		*err = c->why;
		return NULL;
	}
	if (len > GRPC_CLIENT_MAX_MESSAGE) {
		err_set(err, ERR_EXHAUSTED, "%s: the request is too large", path);
		return NULL;
	}
	s = xcalloc(1, sizeof(*s));
	s->client = c;
	s->status = NO_STATUS;
	s->deadline = timeout_ns < 0 ? -1 : time_mono() + timeout_ns;
	grpc_prefix_put(&s->out, len);
	buf_add(&s->out, msg, len);
	list_init(&s->node);
	s->id = submit(s, path, timeout_ns);
	if (s->id < 0) {
		err_set(err, ERR_UNAVAILABLE, "%s: %s", c->address,
			nghttp2_strerror(s->id));
		s->closed = true;
		grpc_stream_free(s);
		return NULL;
	}
	list_add(&c->streams, &s->node);
	return s;
}

void grpc_stream_free(struct grpc_stream *s)
{
	if (!s)
		return;
	if (!s->closed && !s->client->broken) {
		nghttp2_session_set_stream_user_data(s->client->session, s->id, NULL);
		nghttp2_submit_rst_stream(s->client->session, NGHTTP2_FLAG_NONE, s->id,
					  NGHTTP2_CANCEL);
		flush(s->client);
	}
	list_del(&s->node);
	buf_done(&s->message);
	buf_done(&s->in);
	buf_done(&s->out);
	free(s);
}

/* grpc/doc/http-grpc-status-mapping.md */
static enum err_code code_of_http(unsigned status)
{
	switch (status) {
	case 400:
		return ERR_INTERNAL;
	case 401:
		return ERR_UNAUTHENTICATED;
	case 403:
		return ERR_DENIED;
	case 404:
		return ERR_UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504:
		return ERR_UNAVAILABLE;
	default:
		return ERR_UNKNOWN;
	}
}

static enum err_code code_of_reset(uint32_t reset)
{
	switch (reset) {
	case NGHTTP2_REFUSED_STREAM:
		return ERR_UNAVAILABLE;
	case NGHTTP2_CANCEL:
		return ERR_CANCELLED;
	case NGHTTP2_ENHANCE_YOUR_CALM:
		return ERR_EXHAUSTED;
	default:
		return ERR_INTERNAL;
	}
}

/* How a closed stream has ended. 0: well. */
static int ending(struct grpc_stream *s, struct err *err)
{
	if (s->status == 0 && s->in.len)
		return err_set(err, ERR_INTERNAL, "the last response is incomplete");
	if (s->status == 0)
		return 0;
	if (s->status > 0)
		return err_set(err, err_of_grpc_status((unsigned)s->status), "%s",
			       buf_str(&s->message));
	if (s->http_status && s->http_status != 200)
		return err_set(err, code_of_http(s->http_status), "%s: HTTP status %u",
			       s->client->address, s->http_status);
	return err_set(err, code_of_reset(s->reset), "%s: the call was reset: %s",
		       s->client->address, nghttp2_http2_strerror(s->reset));
}

/* Takes a whole message out of what has come. 1, 0: none yet, -1. */
static int take_message(struct grpc_stream *s, struct buf *ret, struct err *err)
{
	size_t len;

	if (s->in.len < GRPC_PREFIX)
		return 0;
	len = get_be32(s->in.data + 1);
	if (s->in.data[0])
		return err_set(err, ERR_INTERNAL, "the response is compressed");
	if (len > GRPC_CLIENT_MAX_MESSAGE)
		return err_set(err, ERR_EXHAUSTED, "a response of %zu bytes is too large",
			       len);
	if (s->in.len < GRPC_PREFIX + len)
		return 0;
	buf_reset(ret);
	buf_add(ret, s->in.data + GRPC_PREFIX, len);
	buf_shift(&s->in, GRPC_PREFIX + len);
	return 1;
}

int grpc_stream_next(struct grpc_stream *s, struct buf *ret, struct err *err)
{
	for (;;) {
		int r = take_message(s, ret, err);

		if (r)
			return r;
		if (s->closed)
			return ending(s, err);
		r = step(s->client, s->deadline);
		if (r == 0)
			return err_set(err, ERR_TIMEOUT, "%s: deadline exceeded",
				       s->client->address);
		if (r < 0 && !s->closed) {
			*err = s->client->why;
			return -1;
		}
	}
}

int grpc_client_call(struct grpc_client *c, const char *path, const void *msg, size_t len,
		     int64_t timeout_ns, struct buf *ret, struct err *err)
{
	struct grpc_stream *s = grpc_stream_new(c, path, msg, len, timeout_ns, err);
	BUF_AUTO none = {0};
	int r;

	if (!s)
		return -1;
	r = grpc_stream_next(s, ret, err);
	if (r == 0)
		r = err_set(err, ERR_INTERNAL, "%s: no response", c->address);
	else if (r > 0)
		r = grpc_stream_next(s, &none, err);
	if (r > 0)
		r = err_set(err, ERR_INTERNAL, "%s: more than one response", c->address);
	grpc_stream_free(s);
	return r;
}
