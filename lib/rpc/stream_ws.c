/*
 * remotecommand over WebSocket: the first byte of each message is a channel
 * (Kubernetes: apimachinery/pkg/util/httpstream/wsstream).
 */
#include "rpc/stream-int.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "wire/base64.h"
#include "wire/ws.h"

enum {
	CHANNEL_STDIN = 0,
	CHANNEL_ERROR = 3,
	CHANNEL_RESIZE = 4,
	CHANNEL_CLOSE = 255, /* v5; its payload is the channel that is closed */
	CHANNEL_NONE = -1,
	MAX_FRAME = 1 << 20,
	MAX_OUT = 32 << 10, /* payload of one frame of ours */
	MAX_SMALL = 256,    /* a message on a channel other than stdin */
	PONG_HIGH = 80 << 10
};

struct protocol {
	const char *name; /* of Sec-WebSocket-Protocol */
	bool base64;	  /* channels are digits, data is base64 */
	bool json;	  /* v4: the status is JSON */
	bool close;	  /* v5: a channel can be closed */
};

static const struct protocol protocols[] = {
	{"v5.channel.k8s.io", false, true, true},
	{"v4.channel.k8s.io", false, true, false},
	{"v4.base64.channel.k8s.io", true, true, false},
	{"channel.k8s.io", false, false, false},
	{"base64.channel.k8s.io", true, false, false},
};

/* A client that names none. */
static const struct protocol unnamed = {NULL, false, false, false};

struct ws_state {
	const struct protocol *protocol;
	struct ws_reader reader;
	int channel;	/* of the message that is being read, or CHANNEL_NONE */
	struct buf msg; /* a small message, or with base64 a whole one */
	bool closing;	/* our close frame is out */
};

/* --- the handshake (RFC 6455 section 4.2) -------------------------------------------- */

/* The client's first choice that we know. NULL: it has none. */
static const struct protocol *choose(const struct http1_head *req)
{
	bool any = false;

	for (unsigned i = 0; i < req->nfields; i++) {
		const char *list = req->fields[i].value;

		if (strcasecmp(req->fields[i].name, "Sec-WebSocket-Protocol") != 0)
			continue;
		while (*(list += strspn(list, ", \t"))) {
			size_t n = strcspn(list, ", \t");

			any = true;
			for (size_t k = 0; k < ARRAY_LEN(protocols); k++)
				if (strlen(protocols[k].name) == n &&
				    memcmp(protocols[k].name, list, n) == 0)
					return &protocols[k];
			list += n;
		}
	}
	return any ? NULL : &unnamed;
}

static void add_frame(struct stream_session *s, int channel, const void *data, size_t n)
{
	const struct ws_state *w = s->state;
	BUF_AUTO text = {0};

	if (w->protocol->base64) {
		base64_encode(&text, data, n);
		data = text.data;
		n = text.len;
	}
	ws_frame_header(&s->out, w->protocol->base64 ? WS_TEXT : WS_BINARY, n + 1, NULL);
	buf_add_char(&s->out, (char)(w->protocol->base64 ? '0' + channel : channel));
	buf_add(&s->out, data, n);
}

static int start(struct stream_session *s, const struct http1_head *req,
		 unsigned *ret_http, const char **ret_extra, struct err *err)
{
	const char *key = http1_head_get(req, "Sec-WebSocket-Key");
	const char *version = http1_head_get(req, "Sec-WebSocket-Version");
	const struct protocol *protocol = choose(req);
	char accept[WS_ACCEPT];
	struct ws_state *w;

	if (!str_eq(req->method, "GET") || !http1_head_has(req, "Connection", "Upgrade"))
		return err_set(err, ERR_INVALID, "not a WebSocket handshake");
	if (!version || !str_eq(version, "13")) {
		*ret_http = 426;
		*ret_extra = "Sec-WebSocket-Version: 13\r\n";
		return err_set(err, ERR_INVALID, "WebSocket version 13 is wanted");
	}
	if (!key || !ws_key_valid(key))
		return err_set(err, ERR_INVALID, "Sec-WebSocket-Key is malformed");
	if (!protocol) {
		*ret_http = 403;
		return err_set(err, ERR_INVALID, "none of the subprotocols is supported");
	}
	w = s->state = xcalloc(1, sizeof(*w));
	w->protocol = protocol;
	ws_reader_init(&w->reader, true, MAX_FRAME);
	ws_accept(accept, key);
	buf_add_fmt(&s->out,
		    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
		    "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n",
		    accept);
	if (protocol->name)
		buf_add_fmt(&s->out, "Sec-WebSocket-Protocol: %s\r\n", protocol->name);
	buf_add_str(&s->out, "\r\n");
	/* an empty message on the lowest channel that we write: the session stands */
	add_frame(s,
		  s->params.out	  ? (int)STREAM_STDOUT
		  : s->params.err ? (int)STREAM_STDERR
				  : CHANNEL_ERROR,
		  NULL, 0);
	return 0;
}

/* --- input ------------------------------------------------------------------------- */

static void add_close(struct stream_session *s, unsigned status)
{
	struct ws_state *w = s->state;

	if (w->closing)
		return;
	w->closing = true;
	ws_frame_header(&s->out, WS_CLOSE, 2, NULL);
	buf_add_be16(&s->out, (uint16_t)status);
}

/* A message of a channel other than stdin is complete. */
static void on_small(struct stream_session *s)
{
	struct ws_state *w = s->state;

	if (w->channel == CHANNEL_RESIZE)
		stream_deliver_resize(s, w->msg.data, w->msg.len);
	else if (w->channel == CHANNEL_CLOSE && w->protocol->close && w->msg.len == 1 &&
		 w->msg.data[0] == CHANNEL_STDIN)
		stream_deliver_close(s);
}

static int keep(struct stream_session *s, const struct ws_piece *p, size_t max,
		struct err *err)
{
	struct ws_state *w = s->state;

	if (w->msg.len + p->n > max) {
		add_close(s, WS_TOO_LARGE);
		return err_set(err, ERR_EXHAUSTED, "WebSocket: the message is too large");
	}
	buf_add(&w->msg, p->data, p->n);
	return 0;
}

/* Text messages: a digit, then base64. Decoded when complete. */
static int on_base64(struct stream_session *s, const struct ws_piece *p, struct err *err)
{
	struct ws_state *w = s->state;
	BUF_AUTO text = {0};

	if (p->first)
		buf_reset(&w->msg);
	if (keep(s, p, MAX_FRAME, err) < 0)
		return -1;
	if (!p->last || !w->msg.len)
		return 0;
	text = w->msg;
	w->msg = (struct buf){0};
	w->channel = text.data[0] - '0';
	if (base64_decode(&w->msg, (const char *)text.data + 1, text.len - 1) < 0) {
		add_close(s, WS_BAD_DATA);
		return err_set(err, ERR_INVALID, "WebSocket: malformed base64");
	}
	if (w->channel == CHANNEL_STDIN)
		stream_deliver(s, w->msg.data, w->msg.len);
	else
		on_small(s);
	return 0;
}

/* Binary messages: stdin goes on as it comes, whatever the size of the message. */
static int on_binary(struct stream_session *s, struct ws_piece *p, struct err *err)
{
	struct ws_state *w = s->state;

	if (p->first) {
		w->channel = CHANNEL_NONE;
		buf_done(&w->msg);
	}
	if (w->channel == CHANNEL_NONE && p->n) {
		w->channel = *p->data++;
		p->n--;
	}
	if (w->channel == CHANNEL_STDIN) {
		stream_deliver(s, p->data, p->n);
	} else if (w->channel == CHANNEL_RESIZE || w->channel == CHANNEL_CLOSE) {
		if (keep(s, p, MAX_SMALL, err) < 0)
			return -1;
		if (p->last)
			on_small(s);
	}
	return 0; /* other channels are ours to write */
}

static int on_piece(struct stream_session *s, struct ws_piece *p, struct err *err)
{
	const struct ws_state *w = s->state;

	switch (p->opcode) {
	case WS_PING:
		/* a client that pings and does not read gets no more pongs */
		if (s->out.len - s->out_sent < PONG_HIGH && !w->closing) {
			ws_frame_header(&s->out, WS_PONG, p->n, NULL);
			buf_add(&s->out, p->data, p->n);
		}
		return 0;
	case WS_CLOSE:
		add_close(s, p->status == WS_NO_STATUS ? WS_NORMAL : p->status);
		return 1;
	case WS_TEXT:
	case WS_BINARY:
		return w->protocol->base64 ? on_base64(s, p, err) : on_binary(s, p, err);
	case WS_CONTINUATION:
	case WS_PONG:
	default:
		return 0;
	}
}

static int input(struct stream_session *s, struct err *err)
{
	struct ws_state *w = s->state;

	while (s->phase != STREAM_ENDED && !s->nstuck) {
		struct ws_piece piece;
		unsigned status;
		size_t used;
		int r = ws_read(&w->reader, s->in.data + s->in_at, s->in.len - s->in_at,
				&used, &piece, &status, err);

		s->in_at += used;
		if (r < 0)
			add_close(s, status);
		if (r <= 0)
			return r;
		r = on_piece(s, &piece, err);
		if (r < 0)
			return -1;
		if (r > 0)
			stream_goodbye(s);
	}
	return 0;
}

/* --- output ------------------------------------------------------------------------ */

static void output(struct stream_session *s, enum stream_channel channel,
		   const void *data, size_t n)
{
	const uint8_t *p = data;

	while (n) {
		size_t part = MIN(n, (size_t)MAX_OUT);

		add_frame(s, (int)channel, p, part);
		p += part;
		n -= part;
	}
}

static void finish(struct stream_session *s, const struct stream_status *status)
{
	const struct ws_state *w = s->state;
	BUF_AUTO text = {0};

	stream_status_text(status, w->protocol->json, &text);
	if (text.len)
		add_frame(s, CHANNEL_ERROR, text.data, text.len);
	add_close(s, WS_NORMAL);
}

static void ws_free(struct stream_session *s)
{
	struct ws_state *w = s->state;

	if (!w)
		return;
	buf_done(&w->msg);
	free(w);
	s->state = NULL;
}

const struct stream_protocol stream_ws = {start, input, output, finish, ws_free};
