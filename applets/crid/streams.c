/*
 * streams: exec, attach and port-forward sessions begin as a URL that can be
 * used once, within a minute. The loopback port is there only while such a
 * URL is; the connection goes to the pod's shim with what was read from it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"
#include "crid/crid.h"
#include "os/fd.h"
#include "os/proc.h"

enum { TOKEN_BYTES = 16, MAX_TOKENS = 256, TOKEN_SECONDS = 60 };

struct token {
	struct list node; /* oldest first */
	char text[TOKEN_BYTES * 2 + 1];
	const char *kind; /* "exec" */
	int64_t expires;
	struct cri_stream stream;
};

struct streams {
	struct crid *crid;
	struct http_server *http;
	struct list tokens;
	unsigned ntokens;
	struct loop_timer timer;
	uint16_t port; /* 0: not listening */
};

static void token_free(struct streams *s, struct token *t)
{
	list_del(&t->node);
	s->ntokens--;
	buf_done(&t->stream.request);
	free(t);
	if (!s->ntokens) {
		http_server_unlisten(s->http);
		s->port = 0;
		loop_timer_del(&s->timer);
	}
}

static void on_timer(struct loop_timer *timer)
{
	struct streams *s = container_of(timer, struct streams, timer);
	int64_t now = time_mono();

	list_each (n, &s->tokens) {
		struct token *t = container_of(n, struct token, node);

		if (t->expires > now) {
			loop_timer_set(s->crid->loop, timer, t->expires);
			return;
		}
		token_free(s, t);
	}
}

static struct token *find(struct streams *s, const char *target)
{
	list_each (n, &s->tokens) {
		struct token *t = container_of(n, struct token, node);
		size_t len = strlen(t->kind);
		unsigned differ = 0;

		if (strncmp(target + 1, t->kind, len) != 0 || target[len + 1] != '/' ||
		    strlen(target + len + 2) != sizeof(t->text) - 1)
			continue;
		for (size_t i = 0; i < sizeof(t->text) - 1; i++) /* constant time */
			differ |= (unsigned)(target[len + 2 + i] ^ t->text[i]);
		if (!differ)
			return t;
	}
	return NULL;
}

static void on_request(void *arg, struct http_conn *c, const struct http1_head *req)
{
	struct streams *s = arg;
	struct token *t = find(s, req->target);
	BUF_AUTO raw = {0};
	struct err err;
	int fd;

	if (!t) {
		http_conn_reply(c, 404, "no such session, or it was used before", 0);
		return;
	}
	if (!str_eq(req->method, "GET") && !str_eq(req->method, "POST")) {
		http_conn_reply(c, 405, "only GET and POST", 0);
		return;
	}
	fd = http_conn_take(c, &raw);
	if (cri_stream_start(s->crid->svc, &t->stream, fd, &raw, &err) < 0)
		log_warn(&s->crid->log, "%s session: %s", t->kind, err.msg);
	token_free(s, t);
}

static const struct http_server_ops ops = {.on_request = on_request};

struct streams *streams_new(struct crid *d)
{
	struct streams *s = xcalloc(1, sizeof(*s));

	s->crid = d;
	s->timer.fn = on_timer;
	list_init(&s->tokens);
	s->http = http_server_new(d->loop, &ops, s);
	return s;
}

void streams_free(struct streams *s)
{
	if (!s)
		return;
	list_each (n, &s->tokens)
		token_free(s, container_of(n, struct token, node));
	http_server_free(s->http);
	free(s);
}

static int listen_loopback(struct streams *s, struct err *err)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(addr);
	FD_AUTO fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(fd, 16) < 0 || getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
		return err_sys(err, errno, "listen on 127.0.0.1");
	if (http_server_listen(s->http, fd_take(&fd), err) < 0)
		return -1;
	s->port = ntohs(addr.sin_port);
	return 0;
}

int streams_url(void *arg, struct cri_stream *stream, const char *kind,
		struct buf *ret_url, struct err *err)
{
	struct crid *d = arg;
	struct streams *s = d->streams;
	unsigned char bytes[TOKEN_BYTES];
	struct token *t;

	if (s->ntokens >= MAX_TOKENS)
		return err_set(err, ERR_EXHAUSTED,
			       "%d sessions wait for their client already", MAX_TOKENS);
	if (!s->port && listen_loopback(s, err) < 0)
		return -1;
	t = xcalloc(1, sizeof(*t));
	proc_random(bytes, sizeof(bytes));
	str_hex(t->text, bytes, sizeof(bytes));
	t->kind = kind;
	t->expires = time_mono() + TOKEN_SECONDS * NS_PER_SEC;
	t->stream = *stream;
	stream->request = (struct buf){0};
	if (!s->ntokens++)
		loop_timer_set(d->loop, &s->timer, t->expires);
	list_add(&s->tokens, &t->node);
	buf_add_fmt(ret_url, "http://127.0.0.1:%u/%s/%s", s->port, kind, t->text);
	return 0;
}
