/*
 * remotecommand over SPDY/3.1: the client opens a stream for each of error,
 * stdin, stdout, stderr and resize, and names it in the header "streamtype"
 * (Kubernetes: apimachinery/pkg/util/httpstream/spdy, client-go/tools/remotecommand).
 */
#include "rpc/stream-int.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"
#include "base/str.h"
#include "wire/spdy.h"

enum { MAX_STREAMS = 10, MAX_OUT = 32 << 10, MAX_RESIZE = 256, PONG_HIGH = 80 << 10 };

enum kind { KIND_ERROR, KIND_STDIN, KIND_STDOUT, KIND_STDERR, KIND_RESIZE, KINDS };

static const char *const kind_names[KINDS] = {"error", "stdin", "stdout", "stderr",
					      "resize"};

/* The client's first choice that we know; the older ones differ in the status. */
static const struct version {
	const char *name;
	bool json;
} versions[] = {
	{"v4.channel.k8s.io", true},
	{"v3.channel.k8s.io", false},
	{"v2.channel.k8s.io", false},
	{"channel.k8s.io", false},
};
static const struct version unnamed = {NULL, false};

struct spdy_state {
	const struct version *version;
	struct spdy_reader reader;
	struct spdy_inflate *inflate;
	struct buf headers;
	uint32_t ids[KINDS]; /* 0: not open yet, or no more */
	bool closed[KINDS];
	uint32_t last_id;
	unsigned nstreams;
	struct buf early[KINDS]; /* output for a stream that is not open yet */
	bool finishing;
	struct buf status;
	struct buf resize; /* the beginning of a JSON object */
	bool stdin_fin;	   /* to be told when nothing is stuck */
};

/* --- the handshake ----------------------------------------------------------------- */

static const struct version *choose(const struct http1_head *req)
{
	bool any = false;

	for (unsigned i = 0; i < req->nfields; i++) {
		const char *list = req->fields[i].value;

		if (strcasecmp(req->fields[i].name, "X-Stream-Protocol-Version") != 0)
			continue;
		while (*(list += strspn(list, ", \t"))) {
			size_t n = strcspn(list, ", \t");

			any = true;
			for (size_t k = 0; k < ARRAY_LEN(versions); k++)
				if (strlen(versions[k].name) == n &&
				    memcmp(versions[k].name, list, n) == 0)
					return &versions[k];
			list += n;
		}
	}
	return any ? NULL : &unnamed;
}

static int start(struct stream_session *s, const struct http1_head *req,
		 unsigned *ret_http, const char **ret_extra, struct err *err)
{
	const struct version *version = choose(req);
	struct spdy_state *w;

	if (!http1_head_has(req, "Connection", "Upgrade"))
		return err_set(err, ERR_INVALID, "not an upgrade to SPDY/3.1");
	if (!version) {
		*ret_http = 403;
		*ret_extra = "X-Accepted-Stream-Protocol-Versions: v4.channel.k8s.io\r\n";
		return err_set(err, ERR_INVALID,
			       "none of the stream protocols is supported");
	}
	w = s->state = xcalloc(1, sizeof(*w));
	w->version = version;
	w->inflate = spdy_inflate_new();
	buf_add_str(&s->out, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
			     "Upgrade: SPDY/3.1\r\n");
	if (version->name)
		buf_add_fmt(&s->out, "X-Stream-Protocol-Version: %s\r\n", version->name);
	buf_add_str(&s->out, "\r\n");
	return 0;
}

/* --- output ------------------------------------------------------------------------ */

static void add_data(struct stream_session *s, uint32_t id, const uint8_t *p, size_t n)
{
	while (n) {
		size_t part = MIN(n, (size_t)MAX_OUT);

		spdy_add_data(&s->out, id, 0, part);
		buf_add(&s->out, p, part);
		p += part;
		n -= part;
	}
}

static void output(struct stream_session *s, enum stream_channel channel,
		   const void *data, size_t n)
{
	struct spdy_state *w = s->state;
	enum kind kind = channel == STREAM_STDOUT ? KIND_STDOUT : KIND_STDERR;

	if (w->ids[kind]) {
		add_data(s, w->ids[kind], data, n);
	} else if (!w->closed[kind]) {
		buf_add(&w->early[kind], data, n);
		s->held += n;
	}
}

/* The streams that the client is going to open. */
static bool expected(const struct stream_session *s, enum kind kind)
{
	switch (kind) {
	case KIND_ERROR:
		return true;
	case KIND_STDIN:
		return s->params.in;
	case KIND_STDOUT:
		return s->params.out;
	case KIND_STDERR:
		return s->params.err;
	case KIND_RESIZE:
	case KINDS:
	default:
		return false; /* it may or may not come; nothing waits for it */
	}
}

static void close_stream(struct stream_session *s, enum kind kind, const struct buf *last)
{
	struct spdy_state *w = s->state;

	if (!w->ids[kind])
		return;
	spdy_add_data(&s->out, w->ids[kind], SPDY_FIN, last->len);
	buf_add(&s->out, last->data, last->len);
	w->ids[kind] = 0;
	w->closed[kind] = true;
}

/* The last words, once there is a stream for each of them. */
static void try_finish(struct stream_session *s)
{
	static const struct buf none;
	struct spdy_state *w = s->state;

	if (!w->finishing)
		return;
	for (enum kind k = KIND_ERROR; k <= KIND_STDERR; k++)
		if (expected(s, k) && !w->ids[k] && !w->closed[k])
			return;
	close_stream(s, KIND_STDOUT, &none);
	close_stream(s, KIND_STDERR, &none);
	close_stream(s, KIND_ERROR, &w->status);
	s->hold = false;
}

static void finish(struct stream_session *s, const struct stream_status *status)
{
	struct spdy_state *w = s->state;

	stream_status_text(status, w->version->json, &w->status);
	w->finishing = true;
	s->hold = true;
	try_finish(s);
}

/* --- input ------------------------------------------------------------------------- */

static void opened(struct stream_session *s, enum kind kind, uint32_t id)
{
	struct spdy_state *w = s->state;

	w->ids[kind] = id;
	add_data(s, id, w->early[kind].data, w->early[kind].len);
	s->held -= w->early[kind].len;
	buf_done(&w->early[kind]);
	try_finish(s);
}

static int on_syn_stream(struct stream_session *s, const struct spdy_piece *p,
			 struct err *err)
{
	struct spdy_state *w = s->state;
	const char *type;
	uint32_t id;
	size_t len;

	if (p->n < 10)
		return err_set(err, ERR_INVALID, "SPDY: SYN_STREAM is too short");
	id = get_be32(p->data) & 0x7fffffff;
	/* also of a stream that is refused: the compression has one context */
	if (spdy_headers(w->inflate, p->data + 10, p->n - 10, &w->headers, err) < 0)
		return -1;
	if (!(id & 1) || id <= w->last_id)
		return err_set(err, ERR_INVALID, "SPDY: a stream id that cannot be");
	w->last_id = id;
	if (w->nstreams == MAX_STREAMS) {
		spdy_add_reset(&s->out, id, SPDY_REFUSED_STREAM);
		return 0;
	}
	spdy_add_reply(&s->out, id, w->nstreams++ == 0);
	type = spdy_header(&w->headers, "streamtype", &len);
	for (enum kind k = KIND_ERROR; type && k < KINDS; k++) {
		if (strlen(kind_names[k]) != len || memcmp(kind_names[k], type, len) != 0)
			continue;
		if (w->ids[k] || w->closed[k])
			return err_set(err, ERR_INVALID, "SPDY: a second stream for %s",
				       kind_names[k]);
		opened(s, k, id);
		if (k == KIND_STDIN && p->flags & SPDY_FIN)
			w->stdin_fin = true;
	}
	return 0;
}

/* Objects one after the other, in pieces of any size. */
static void on_resize(struct stream_session *s, const uint8_t *data, size_t n)
{
	struct spdy_state *w = s->state;

	for (size_t i = 0; i < n; i++) {
		if (w->resize.len == MAX_RESIZE)
			buf_reset(&w->resize); /* not ours to read */
		buf_add(&w->resize, data + i, 1);
		if (data[i] == '}') {
			stream_deliver_resize(s, w->resize.data, w->resize.len);
			buf_reset(&w->resize);
		}
	}
}

static void on_data(struct stream_session *s, const struct spdy_piece *p)
{
	struct spdy_state *w = s->state;

	if (p->stream == w->ids[KIND_STDIN]) {
		if (p->last && p->flags & SPDY_FIN)
			w->stdin_fin = true;
		stream_deliver(s, p->data, p->n);
	} else if (p->stream == w->ids[KIND_RESIZE]) {
		on_resize(s, p->data, p->n);
	}
}

static void on_reset(struct stream_session *s, uint32_t id)
{
	struct spdy_state *w = s->state;

	for (enum kind k = KIND_ERROR; id && k < KINDS; k++) {
		if (w->ids[k] != id)
			continue;
		w->ids[k] = 0;
		w->closed[k] = true;
		w->stdin_fin = w->stdin_fin || k == KIND_STDIN;
	}
	try_finish(s);
}

static int on_control(struct stream_session *s, const struct spdy_piece *p,
		      struct err *err)
{
	struct spdy_state *w = s->state;

	switch (p->type) {
	case SPDY_SYN_STREAM:
		return on_syn_stream(s, p, err);
	case SPDY_SYN_REPLY:
	case SPDY_HEADERS:
		if (p->n < 4)
			return err_set(err, ERR_INVALID, "SPDY: HEADERS is too short");
		return spdy_headers(w->inflate, p->data + 4, p->n - 4, &w->headers, err);
	case SPDY_RST_STREAM:
		if (p->n >= 4)
			on_reset(s, get_be32(p->data) & 0x7fffffff);
		return 0;
	case SPDY_PING:
		/* one of the client's; not for one that does not read the answers */
		if (p->n == 4 && p->data[3] & 1 && s->out.len - s->out_sent < PONG_HIGH) {
			spdy_add_control(&s->out, SPDY_PING, 0, 4);
			buf_add(&s->out, p->data, 4);
		}
		return 0;
	case SPDY_GOAWAY:
		if (s->phase != STREAM_OPEN && !s->hold)
			stream_goodbye(s);
		return 0;
	case SPDY_DATA:
	case SPDY_SETTINGS:
	case SPDY_WINDOW_UPDATE:
	default:
		return 0;
	}
}

static int input(struct stream_session *s, struct err *err)
{
	struct spdy_state *w = s->state;

	while (s->phase != STREAM_ENDED && !s->nstuck) {
		struct spdy_piece piece;
		size_t used;
		int r;

		if (w->stdin_fin) {
			w->stdin_fin = false;
			stream_deliver_close(s);
			continue;
		}
		r = spdy_read(&w->reader, s->in.data + s->in_at, s->in.len - s->in_at,
			      &used, &piece, err);
		s->in_at += used;
		if (r <= 0)
			return r;
		if (piece.type == SPDY_DATA)
			on_data(s, &piece);
		else if (on_control(s, &piece, err) < 0)
			return -1;
	}
	return 0;
}

static void spdy_free(struct stream_session *s)
{
	struct spdy_state *w = s->state;

	if (!w)
		return;
	spdy_reader_done(&w->reader);
	spdy_inflate_free(w->inflate);
	buf_done(&w->headers);
	buf_done(&w->status);
	buf_done(&w->resize);
	for (size_t k = 0; k < KINDS; k++)
		buf_done(&w->early[k]);
	free(w);
	s->state = NULL;
}

const struct stream_protocol stream_spdy = {start, input, output, finish, spdy_free};
