/*
 * The parts of stream: the connection, its buffers and states (stream.c), and
 * the protocols on it (stream_ws.c,
 * stream_spdy.c).
 */
#ifndef RPC_STREAM_INT_H
#define RPC_STREAM_INT_H

#include "base/buf.h"
#include "rpc/stream.h"
#include "wire/http1_head.h"

struct stream_protocol {
	/*
	 * Checks the request and appends the answer to s->out: 101, what follows
	 * it, and whatever state is needed to s->state. -1 with *ret_http, the HTTP
	 * status for the client, and extra header lines ("" or each with CRLF).
	 */
	int (*start)(struct stream_session *s, const struct http1_head *req,
		     unsigned *ret_http, const char **ret_extra, struct err *err);
	/*
	 * Parses s->in from s->in_at on until it is used up, or stream_deliver says
	 * that stdin is stuck. -1: the client broke the protocol (what to tell it is
	 * in s->out).
	 */
	int (*input)(struct stream_session *s, struct err *err);
	/* Appends output to s->out. n may be more than a frame should have. */
	void (*output)(struct stream_session *s, enum stream_channel channel,
		       const void *data, size_t n);
	/* Appends the status and the goodbye. */
	void (*finish)(struct stream_session *s, const struct stream_status *status);
	/* Frees s->state. */
	void (*free)(struct stream_session *s);
};

enum stream_phase {
	STREAM_OPEN,
	STREAM_FINISHING, /* the status is queued; input is dropped */
	STREAM_LINGERING, /* all is sent; the client has to say goodbye */
	STREAM_ENDED	  /* nothing but on_end is left to do */
};

struct stream_session {
	struct loop *loop;
	const struct stream_protocol *protocol;
	void *state;
	struct loop_fd src;
	struct stream_params params;
	const struct stream_ops *ops;
	void *arg;
	enum stream_phase phase;
	struct buf in;
	size_t in_at;
	struct buf out;
	size_t out_sent;
	size_t held; /* output that the protocol keeps back, */
	bool hold;   /* and the status */
	bool full;   /* stream_send said no */
	const uint8_t
		*stuck; /* stdin that the process has not taken; in s->in or s->state */
	size_t nstuck;
	bool in_closed; /* on_stdin_close was called, or is not wanted */
	bool resized;	/* on_resize is due */
	uint16_t width, height;
	int64_t active;		 /* when something was said last */
	struct loop_timer timer; /* the end of lingering; a look at a stuck client */
	struct loop_later end;
	struct err end_err;
	bool busy;   /* in an event: freeing has to wait */
	bool resume; /* stream_resume was called meanwhile */
	bool freed;
};

/* Hands bytes to stdin; what is not taken gets stuck. data must stay until it is. */
void stream_deliver(struct stream_session *s, const uint8_t *data, size_t n);
void stream_deliver_close(struct stream_session *s);

/* A resize channel's JSON: {"Width": 80, "Height": 24}. Anything else is ignored. */
void stream_deliver_resize(struct stream_session *s, const void *json, size_t n);

/* The client has said goodbye. */
void stream_goodbye(struct stream_session *s);

/*
 * Appends the text of remotecommand's error channel: a metav1.Status as JSON (v4 and
 * later), or plain text (before; nothing for success).
 */
void stream_status_text(const struct stream_status *status, bool json, struct buf *out);

extern const struct stream_protocol stream_ws;
extern const struct stream_protocol stream_spdy;

#endif
