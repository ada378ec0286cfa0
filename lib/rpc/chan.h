/*
 * chan: framed messages between our own processes over a unix stream socket:
 * crid and a pod's shim, crid and a pull worker.
 *
 * A frame is a header of 24 bytes, six big-endian 32-bit words: magic "crb\1",
 * type, serial, length of the JSON part, length of the blob, number of fds;
 * then the JSON object (it may be empty: no object), then the blob. The fds
 * travel as SCM_RIGHTS with the frame's first byte. Unknown JSON members are
 * ignored, so that releases N and N-1 understand each other; a change that is
 * not of that kind changes the magic's last byte.
 */
#ifndef RPC_CHAN_H
#define RPC_CHAN_H

#include <stdint.h>

#include "base/err.h"
#include "loop/loop.h"
#include "wire/json.h"

enum chan_type {
	CHAN_REQUEST = 1, /* "op" names the operation; answered by one of the next two */
	CHAN_REPLY = 2,	  /* same serial as the request */
	CHAN_ERROR = 3,	  /* {"code": gRPC status number, "message": text} */
	CHAN_EVENT = 4	  /* "event" names it; no answer */
};

enum {
	CHAN_MAX_JSON = 20 << 20,
	CHAN_MAX_BLOB = 40 << 20, /* two streams of an ExecSync */
	CHAN_MAX_FDS = 4
};

struct chan_msg {
	enum chan_type type;
	uint32_t serial;
	yyjson_doc *doc;  /* NULL if the JSON part is empty */
	yyjson_val *json; /* root of doc, an object, or NULL */
	uint8_t *blob; /* blob_len bytes and a NUL behind them; NULL if there are none */
	size_t blob_len;
	int fds[CHAN_MAX_FDS];
	unsigned nfds;
};

/* Frees what is left in a message: take what should live (doc, blob, fds) out first. */
void chan_msg_done(struct chan_msg *m);

struct chan;

struct chan_ops {
	/* A frame has arrived. What is left in m is freed after the call. */
	void (*on_msg)(void *arg, struct chan *c, struct chan_msg *m);
	/*
	 * The peer has gone or broke the protocol (err says which; ERR_NONE: an
	 * orderly end). Called once; the owner calls chan_free now or later.
	 */
	void (*on_end)(void *arg, struct chan *c, const struct err *err);
};

/* Takes fd_taken, a connected unix stream socket. ops must outlive the channel. */
struct chan *chan_new(struct loop *l, int fd_taken, const struct chan_ops *ops, void *arg,
		      struct err *err);

/* Closes and frees; allowed from its own callbacks. Unsent frames are lost. */
void chan_free(struct chan *c);

/*
 * Queues a frame and sends what the socket takes. json may be NULL (none);
 * the blob is copied if it cannot be sent at once; fds are taken. 0, or -1 if
 * the frame is larger than the peer would take: it is not sent.
 */
int chan_send(struct chan *c, enum chan_type type, uint32_t serial,
	      const yyjson_mut_doc *json, const void *blob, size_t blob_len,
	      const int *fds_taken, unsigned nfds);

/* Answers a request with an error. */
void chan_send_error(struct chan *c, uint32_t serial, const struct err *e);

/* Delivers what has arrived by now; the channel may be freed by its callbacks. */
void chan_drain(struct chan *c);

/* Bytes that wait to be sent. */
size_t chan_pending(const struct chan *c);

/* The struct err that a CHAN_ERROR message carries. */
void chan_msg_error(const struct chan_msg *m, struct err *err);

/*
 * The same without a loop, on a blocking socket. chan_read returns 1, 0 at
 * the end of the stream, or -1.
 */
int chan_write(int fd, enum chan_type type, uint32_t serial, const yyjson_mut_doc *json,
	       const void *blob, size_t blob_len, const int *fds, unsigned nfds,
	       struct err *err);
int chan_write_error(int fd, uint32_t serial, const struct err *e, struct err *err);
int chan_read(int fd, struct chan_msg *ret, struct err *err);

#endif
