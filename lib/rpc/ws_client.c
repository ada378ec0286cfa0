#include "rpc/ws.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "os/fd.h"
#include "os/proc.h"
#include "wire/base64.h"
#include "wire/http1_head.h"
#include "wire/json.h"
#include "wire/url.h"
#include "wire/ws.h"

enum {
	READ_SIZE = 32 << 10,
	MAX_HEAD = 16 << 10,
	MAX_FRAME = 16 << 20,
	MAX_STATUS = 64 << 10,
	MAX_OUT = 32 << 10, /* payload of one frame of ours */
	SEND_HIGH = 64 << 10,
	SEND_LOW = 16 << 10,
	KEY_SIZE = 16
};

enum { STDIN = 0, ERROR = 3, RESIZE = 4, CLOSE = 255, NONE = -1 };

/* For the server: to close the connection after the status. */
static const int64_t LINGER_NS = 3 * NS_PER_SEC;

struct ws_client {
	struct loop *loop;
	struct loop_fd src;
	const struct ws_client_ops *ops;
	void *arg;
	bool v5;
	struct ws_reader reader;
	int channel;	   /* of the message that is being read */
	struct buf status; /* what came on the error channel */
	bool have_status;
	struct buf in; /* what came behind the response's head */
	struct buf out;
	size_t out_sent;
	bool full, stdin_closed, ended;
	struct loop_timer linger;
	struct loop_later end;
	int exit_code;
	struct err err;
	bool busy, freed;
};

static void client_free(struct ws_client *c)
{
	loop_fd_del(&c->src);
	loop_timer_del(&c->linger);
	loop_later_del(&c->end);
	fd_close(&c->src.fd);
	buf_done(&c->status);
	buf_done(&c->in);
	buf_done(&c->out);
	free(c);
}

void ws_client_free(struct ws_client *c)
{
	if (!c)
		return;
	c->freed = c->ended = true;
	if (!c->busy)
		client_free(c);
}

/* --- the end ----------------------------------------------------------------------- */

/* The exit code in the details of a "NonZeroExitCode". 0 or -1. */
static int exit_code_of(yyjson_val *status, int *ret)
{
	yyjson_val *cause;
	int64_t code;

	json_each (cause, json_arr(json_obj(status, "details"), "causes")) {
		if (str_eq(str_or_empty(json_str(cause, "reason")), "ExitCode") &&
		    num_i64(str_or_empty(json_str(cause, "message")), INT32_MIN,
			    INT32_MAX, &code) == 0) {
			*ret = (int)code;
			return 0;
		}
	}
	return -1;
}

/* What a metav1.Status says. */
static int read_status(const struct buf *text, int *ret_code, struct err *err)
{
	struct err bad;
	JSON_AUTO doc = json_parse(text->data, text->len, &bad);
	yyjson_val *root = doc ? yyjson_doc_get_root(doc) : NULL;
	const char *status = str_or_empty(json_str(root, "status"));
	const char *reason = str_or_empty(json_str(root, "reason"));
	const char *message = str_or_empty(json_str(root, "message"));

	if (str_eq(status, "Success")) {
		*ret_code = 0;
		return 0;
	}
	if (!str_eq(status, "Failure"))
		return err_set(err, ERR_INTERNAL, "the server sent a malformed status");
	if (str_eq(reason, "NonZeroExitCode") && exit_code_of(root, ret_code) == 0)
		return 0;
	return err_set(err, ERR_UNKNOWN, "%s",
		       *message ? message : "the server gave no reason");
}

static void on_end(struct loop_later *l)
{
	struct ws_client *c = container_of(l, struct ws_client, end);

	c->ops->on_end(c->arg, c->exit_code, &c->err);
}

/* The connection is over. With a status it does not matter why. */
static void end(struct ws_client *c, const struct err *err)
{
	if (c->ended)
		return;
	c->ended = true;
	c->err = (struct err){0};
	if (c->have_status)
		read_status(&c->status, &c->exit_code, &c->err);
	else
		c->err = *err;
	loop_fd_del(&c->src);
	loop_timer_del(&c->linger);
	loop_later_add(c->loop, &c->end);
}

static void lost(struct ws_client *c, int sys)
{
	struct err err;

	if (sys)
		err_sys(&err, sys, "the connection broke");
	else
		err_set(&err, ERR_UNAVAILABLE,
			"the server closed the connection before the process ended");
	err.code = ERR_UNAVAILABLE;
	end(c, &err);
}

static void on_linger_over(struct loop_timer *t)
{
	lost(container_of(t, struct ws_client, linger), 0);
}

/* --- output ------------------------------------------------------------------------ */

static size_t pending(const struct ws_client *c)
{
	return c->out.len - c->out_sent;
}

static void flush(struct ws_client *c)
{
	while (!c->ended && pending(c)) {
		ssize_t n = send(c->src.fd, c->out.data + c->out_sent, pending(c),
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			/* the status may be waiting to be read */
			c->out_sent = c->out.len;
			break;
		}
		c->out_sent += (size_t)n;
	}
	if (!pending(c)) {
		buf_done(&c->out);
		c->out_sent = 0;
	}
	loop_fd_set(&c->src, LOOP_IN | (pending(c) ? LOOP_OUT : 0U));
}

static void add_frame(struct ws_client *c, enum ws_opcode opcode, int channel,
		      const void *data, size_t n)
{
	uint8_t mask[4], first = (uint8_t)channel;
	size_t at;

	proc_random(mask, sizeof(mask));
	ws_frame_header(&c->out, opcode, n + (channel != NONE), mask);
	at = c->out.len;
	if (channel != NONE)
		buf_add(&c->out, &first, 1);
	buf_add(&c->out, data, n);
	ws_mask(c->out.data + at, c->out.len - at, mask, 0);
}

bool ws_client_stdin(struct ws_client *c, const void *data, size_t n)
{
	const uint8_t *p = data;

	if (c->ended || c->stdin_closed)
		return false;
	while (n) {
		size_t part = MIN(n, (size_t)MAX_OUT);

		add_frame(c, WS_BINARY, STDIN, p, part);
		p += part;
		n -= part;
	}
	flush(c);
	c->full = pending(c) >= SEND_HIGH;
	return !c->full;
}

bool ws_client_stdin_close(struct ws_client *c)
{
	static const uint8_t channel = STDIN;

	if (c->ended || c->stdin_closed || !c->v5)
		return false;
	c->stdin_closed = true;
	add_frame(c, WS_BINARY, CLOSE, &channel, 1);
	flush(c);
	return true;
}

void ws_client_resize(struct ws_client *c, uint16_t width, uint16_t height)
{
	BUF_AUTO json = {0};

	if (c->ended)
		return;
	buf_add_fmt(&json, "{\"Width\":%u,\"Height\":%u}", width, height);
	add_frame(c, WS_BINARY, RESIZE, json.data, json.len);
	flush(c);
}

/* --- input ------------------------------------------------------------------------- */

static void on_data(struct ws_client *c, struct ws_piece *p)
{
	if (p->first)
		c->channel = NONE;
	if (c->channel == NONE && p->n) {
		c->channel = *p->data++;
		p->n--;
	}
	if (c->channel == STREAM_STDOUT || c->channel == STREAM_STDERR) {
		if (p->n)
			c->ops->on_output(c->arg, (enum stream_channel)c->channel,
					  p->data, p->n);
	} else if (c->channel == ERROR && c->status.len + p->n <= MAX_STATUS) {
		buf_add(&c->status, p->data, p->n);
		if (p->last && c->status.len && !c->have_status) {
			c->have_status = true;
			c->linger.fn = on_linger_over;
			loop_timer_set(c->loop, &c->linger, time_mono() + LINGER_NS);
		}
	}
}

static void on_close(struct ws_client *c, const struct ws_piece *p)
{
	uint8_t code[2];
	struct err err;

	put_be16(code, (uint16_t)(p->status == WS_NO_STATUS ? WS_NORMAL : p->status));
	add_frame(c, WS_CLOSE, NONE, code, sizeof(code));
	flush(c);
	if (p->n)
		err_set(&err, ERR_UNAVAILABLE, "the server closed the session: %.*s",
			(int)p->n, (const char *)p->data);
	else
		err_set(&err, ERR_UNAVAILABLE,
			"the server closed the session before the process ended");
	end(c, &err);
}

static void input(struct ws_client *c, uint8_t *data, size_t n)
{
	struct ws_piece piece;
	unsigned status;
	struct err err;
	size_t used;

	while (!c->ended) {
		int r = ws_read(&c->reader, data, n, &used, &piece, &status, &err);

		data += used;
		n -= used;
		if (r < 0)
			end(c, &err);
		if (r <= 0)
			return;
		if (piece.opcode == WS_PING)
			add_frame(c, WS_PONG, NONE, piece.data, piece.n);
		else if (piece.opcode == WS_CLOSE)
			on_close(c, &piece);
		else if (piece.opcode == WS_TEXT || piece.opcode == WS_BINARY)
			on_data(c, &piece);
	}
}

static void leave(struct ws_client *c)
{
	c->busy = false;
	if (c->freed)
		client_free(c);
	else if (!c->ended)
		flush(c);
}

static void on_event(struct loop_fd *src, unsigned events)
{
	struct ws_client *c = container_of(src, struct ws_client, src);
	uint8_t data[READ_SIZE];

	c->busy = true;
	if (events & LOOP_OUT)
		flush(c);
	if (c->full && pending(c) <= SEND_LOW) {
		c->full = false;
		if (c->ops->on_writable)
			c->ops->on_writable(c->arg);
	}
	if (!c->ended && events & (LOOP_IN | LOOP_HUP)) {
		ssize_t n = recv(src->fd, data, sizeof(data), MSG_DONTWAIT);

		if (n > 0)
			input(c, data, (size_t)n);
		else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			lost(c, n < 0 ? errno : 0);
	}
	leave(c);
}

/* What came with the response, once the caller has the client in hand. */
static void on_begin(struct loop_later *l)
{
	struct ws_client *c = container_of(l, struct ws_client, end);

	c->end.fn = on_end;
	if (c->ended) {
		loop_later_add(c->loop, &c->end);
		return;
	}
	c->busy = true;
	input(c, c->in.data, c->in.len);
	buf_done(&c->in);
	leave(c);
}

/* --- connecting -------------------------------------------------------------------- */

/* Waits for an event on the socket until the deadline (-1: for ever). */
static int wait_for(int fd, short events, int64_t deadline, struct err *err)
{
	for (;;) {
		struct pollfd p = {.fd = fd, .events = events};
		int64_t left = deadline < 0 ? -1 : deadline - time_mono();
		int r;

		if (deadline >= 0 && left <= 0)
			return err_set(err, ERR_TIMEOUT, "no answer in time");
		r = poll(&p, 1,
			 left < 0 ? -1
				  : (int)MIN(left / NS_PER_MS + 1, INT64_C(86400000)));
		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return err_sys(err, errno, "poll");
	}
}

static int address_of(const struct url *u, struct sockaddr_in6 *v6,
		      struct sockaddr_in *v4, struct err *err)
{
	const char *host = str_eq(u->host, "localhost") ? "127.0.0.1" : u->host;

	*v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(u->port)};
	*v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(u->port)};
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1)
		return AF_INET;
	if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1)
		return AF_INET6;
	return err_set(err, ERR_INVALID, "%s: not an IP address", host);
}

static int tcp_connect(const struct url *u, int64_t deadline, struct err *err)
{
	struct sockaddr_in6 v6;
	struct sockaddr_in v4;
	int family = address_of(u, &v6, &v4, err);
	FD_AUTO fd = -1;
	socklen_t len = sizeof(int);
	int sys = 0, one = 1;

	if (family < 0)
		return -1;
	fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(err, errno, "socket");
	if (connect(fd, family == AF_INET ? (void *)&v4 : (void *)&v6,
		    family == AF_INET ? sizeof(v4) : sizeof(v6)) < 0)
		sys = errno;
	if (sys == EINPROGRESS) {
		if (wait_for(fd, POLLOUT, deadline, err) < 0)
			return -1;
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &sys, &len) < 0)
			sys = errno;
	}
	if (sys) {
		err_sys(err, sys, "connect to %s:%u", u->host, u->port);
		err->code = ERR_UNAVAILABLE;
		return -1;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd_take(&fd);
}

static int send_request(int fd, const struct url *u, const char *key, struct err *err)
{
	BUF_AUTO b = {0};

	buf_add_fmt(&b, "GET %s HTTP/1.1\r\nHost: ", u->target);
	url_add_host(&b, u);
	buf_add_fmt(
		&b,
		"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n"
		"Sec-WebSocket-Protocol: v5.channel.k8s.io, v4.channel.k8s.io\r\n\r\n",
		key);
	/* a fresh socket takes it */
	if (send(fd, b.data, b.len, MSG_NOSIGNAL) != (ssize_t)b.len)
		return err_set(err, ERR_UNAVAILABLE, "the request could not be sent");
	return 0;
}

/* Section 4.1: what the server has to answer. */
static int check_response(struct ws_client *c, const struct http1_head *h,
			  const char *key, const uint8_t *body, size_t n, struct err *err)
{
	const char *protocol = str_or_empty(http1_head_get(h, "Sec-WebSocket-Protocol"));
	const char *accept = str_or_empty(http1_head_get(h, "Sec-WebSocket-Accept"));
	char want[WS_ACCEPT];

	if (h->status != 101) {
		while (n && (body[n - 1] == '\n' || body[n - 1] == '\r'))
			n--;
		return err_set(err, h->status == 404 ? ERR_NOT_FOUND : ERR_UNAVAILABLE,
			       "the server answered %u %s%s%.*s", h->status, h->reason,
			       n ? ": " : "", (int)MIN(n, (size_t)200),
			       (const char *)body);
	}
	ws_accept(want, key);
	if (!http1_head_has(h, "Upgrade", "websocket") ||
	    !http1_head_has(h, "Connection", "Upgrade") || !str_eq(accept, want))
		return err_set(err, ERR_UNAVAILABLE,
			       "the server does not speak WebSocket");
	c->v5 = str_eq(protocol, "v5.channel.k8s.io");
	if (!c->v5 && !str_eq(protocol, "v4.channel.k8s.io"))
		return err_set(err, ERR_UNIMPLEMENTED,
			       "the server does not speak v4.channel.k8s.io");
	return 0;
}

/* Reads the response; what is behind its head stays in c->in. */
static int read_response(struct ws_client *c, const char *key, int64_t deadline,
			 struct err *err)
{
	size_t seen = 0, len;
	struct http1_head head;
	ssize_t n;
	int r;

	while (!(len = http1_head_length(c->in.data, c->in.len, &seen))) {
		if (c->in.len > MAX_HEAD)
			return err_set(err, ERR_UNAVAILABLE,
				       "the response head is too large");
		if (wait_for(c->src.fd, POLLIN, deadline, err) < 0)
			return -1;
		n = recv(c->src.fd, buf_reserve(&c->in, MAX_HEAD), MAX_HEAD,
			 MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			return err_set(err, ERR_UNAVAILABLE,
				       "the server closed the connection");
		c->in.len += (size_t)n;
	}
	if (http1_head_response(&head, c->in.data, len, err) < 0)
		return -1;
	r = check_response(c, &head, key, c->in.data + len, c->in.len - len, err);
	http1_head_done(&head);
	buf_shift(&c->in, len);
	return r;
}

static int handshake(struct ws_client *c, const struct url *u, int64_t deadline,
		     struct err *err)
{
	uint8_t nonce[KEY_SIZE];
	BUF_AUTO key = {0};

	proc_random(nonce, sizeof(nonce));
	base64_encode(&key, nonce, sizeof(nonce));
	if (send_request(c->src.fd, u, buf_str(&key), err) < 0)
		return -1;
	return read_response(c, buf_str(&key), deadline, err);
}

/* "ws://" is "http://" with another name. */
static int parse_url(const char *url, struct url *ret, struct err *err)
{
	STR_AUTO http = NULL;

	if (str_starts(url, "ws://")) {
		http = xasprintf("http%s", url + strlen("ws"));
		url = http;
	}
	if (url_parse(url, ret, err) < 0)
		return -1;
	if (!ret->tls)
		return 0;
	url_done(ret);
	return err_set(err, ERR_UNIMPLEMENTED, "streams over TLS are not supported");
}

struct ws_client *ws_client_new(struct loop *l, const char *url, int64_t timeout_ns,
				const struct ws_client_ops *ops, void *arg,
				struct err *err)
{
	int64_t deadline = timeout_ns < 0 ? -1 : time_mono() + timeout_ns;
	struct ws_client *c = xcalloc(1, sizeof(*c));
	struct url u = {0};

	c->loop = l;
	c->ops = ops;
	c->arg = arg;
	c->channel = NONE;
	c->src = (struct loop_fd){.fn = on_event, .fd = -1};
	c->end.fn = on_begin;
	ws_reader_init(&c->reader, false, MAX_FRAME);
	if (parse_url(url, &u, err) == 0) {
		c->src.fd = tcp_connect(&u, deadline, err);
		if (c->src.fd >= 0 && handshake(c, &u, deadline, err) == 0 &&
		    loop_fd_add(l, &c->src, LOOP_IN, err) == 0) {
			url_done(&u);
			loop_later_add(l, &c->end);
			return c;
		}
		url_done(&u);
	}
	/* the token in the URL's path is a secret for a minute: it is not shown */
	err_wrap(err, "exec session");
	client_free(c);
	return NULL;
}
