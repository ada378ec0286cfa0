/*
 * The parts of grpc_server: connections (grpc_server.c), what HTTP/2 says and
 * what is too much of it (grpc_h2.c), calls and answers (grpc_call.c).
 *
 * nghttp2 is a state machine without I/O. Nothing of the owner's runs inside
 * its callbacks: they only note what has happened (grpc_event), and a
 * loop_later tells the owner afterwards.
 */
#ifndef RPC_GRPC_INT_H
#define RPC_GRPC_INT_H

#include <nghttp2/nghttp2.h>

#include "base/buf.h"
#include "base/list.h"
#include "loop/accept.h"
#include "rpc/grpc_server.h"

enum {
	SCRATCH_SIZE = 32 << 10,
	FRAME_HEADER = 9,
	MAX_PATH = 255,
	MAX_HEADER_BYTES = 16 << 10, /* raw, and decoded with 32 a field */
	MAX_HEADER_FIELDS = 64,
	MAX_CONTINUATIONS = 4,
	RESET_RING = 128,
	MAX_QUEUED = 64 << 20, /* bytes of requests and responses, all connections */
	SEND_HIGH = 256 << 10, /* of a streaming call: from here grpc_send says no, */
	SEND_LOW = 64 << 10    /* until it has sunk to this */
};

/* A token bucket: what is not refilled in time is a flood. */
struct budget {
	int64_t tokens;
	int64_t when; /* of the last refill */
};

struct grpc_server {
	struct loop *loop;
	const struct grpc_server_ops *ops;
	void *arg;
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *option;
	struct acceptor acceptor;
	struct list conns;   /* the one that was idle longest first */
	struct list orphans; /* calls whose connection has gone, not their handler */
	struct list events;  /* calls that have something to tell */
	struct loop_later tell;
	struct loop_later idle; /* calls on_idle */
	unsigned nconns;
	unsigned ncalls; /* with a handler */
	size_t queued;
	bool shutdown;
	void (*on_idle)(void *arg);
	void *idle_arg;
	uint8_t scratch[SCRATCH_SIZE]; /* for reading, and for gathering frames */
};

struct grpc_conn {
	struct loop_fd src;
	struct list node;
	struct grpc_server *server;
	nghttp2_session *session;
	struct list calls;
	unsigned ncalls; /* with an open stream, or a handler that is not done */
	struct buf out;	 /* what the socket did not take */
	size_t out_sent;
	struct loop_later flush;
	struct loop_timer stall;      /* the client owes us something */
	int64_t progress;	      /* when it last paid */
	bool greeted;		      /* its SETTINGS have come */
	uint8_t header[FRAME_HEADER]; /* of the frame that is being read */
	unsigned nheader;
	size_t left;	     /* bytes of it to come */
	size_t header_bytes; /* of the header block that is being read */
	struct budget control, resets;
	int32_t last_stream; /* the highest that the client has opened */
	uint32_t opened;     /* how many */
	int32_t *reset; /* ring of the newest RESET_RING that we have reset; or NULL */
	uint32_t nreset;
	pid_t pid;
	uid_t uid;
};

enum call_state {
	CALL_RECEIVING, /* the request is not complete */
	CALL_RUNNING,	/* the handler has it */
	CALL_ENDED	/* the answer is being sent, or the stream has been reset */
};

enum { EVENT_CALL = 1, EVENT_CANCEL = 2, EVENT_WRITABLE = 4 };

struct grpc_call {
	struct list node;  /* in conn->calls, or server->orphans */
	struct list event; /* in server->events */
	struct grpc_server *server;
	struct grpc_conn *conn; /* NULL: gone */
	int32_t stream;		/* 0: closed */
	enum call_state state;
	unsigned events;
	bool told;	  /* on_call was called */
	bool cancelled;	  /* nobody waits */
	bool responded;	  /* response headers were submitted */
	bool eof;	  /* nothing is added to out any more */
	bool deferred;	  /* nghttp2 waits for grpc_call_resume */
	bool full;	  /* grpc_send said no */
	bool half_closed; /* the client's side of the stream is done */
	bool plain;	  /* the answer is no gRPC: it has no trailers */
	bool post, content_type, grpc_encoding, bad_timeout;
	unsigned nfields;
	size_t field_bytes;
	char path[MAX_PATH + 1]; /* "" if it was too long */
	struct buf in;		 /* the request, with its prefix */
	struct buf out;		 /* responses, with their prefixes */
	size_t out_sent;
	unsigned status; /* the end of the call: gRPC number and text */
	char *message;
	struct loop_timer deadline;
	int64_t when; /* of the deadline, or -1 */
	pid_t pid;
	uid_t uid;
	void *data;
};

/* grpc_h2.c */
int grpc_h2_init(struct grpc_server *s, struct err *err);
/* Takes what a client has sent. -1: the connection is over, a GOAWAY is to be sent. */
int grpc_h2_receive(struct grpc_conn *c, const uint8_t *data, size_t n);
int grpc_h2_start(struct grpc_conn *c, struct err *err); /* makes c->session */
/* The client is doing too much of something: GOAWAY ENHANCE_YOUR_CALM. */
void grpc_h2_calm(struct grpc_conn *c);
void grpc_h2_earn(struct grpc_conn *c, int64_t tokens);

/* grpc_call.c */
struct grpc_call *grpc_call_new(struct grpc_conn *c, int32_t stream);
void grpc_call_header(struct grpc_call *call, const uint8_t *name, size_t name_len,
		      const uint8_t *value, size_t value_len);
void grpc_call_headers_done(struct grpc_call *call);
void grpc_call_body(struct grpc_call *call, const uint8_t *data, size_t n);
void grpc_call_request_done(struct grpc_call *call);
/* The last frame of the answer is out. */
void grpc_call_answered(struct grpc_call *call);
/* The stream is gone: the call too, unless its handler has it. */
void grpc_call_stream_closed(struct grpc_call *call);
void grpc_call_conn_gone(struct grpc_call *call);
void grpc_call_free(struct grpc_call *call);
void grpc_call_tell(struct loop_later *l); /* of struct grpc_server */

/* grpc_server.c */
void grpc_conn_wake(struct grpc_conn *c); /* there may be something to send */

#endif
