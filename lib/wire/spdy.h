/*
 * spdy: the frames of SPDY/3.1 (draft-mbelshe-httpbis-spdy-00 with the
 * session window of 3.1) without I/O, as far as a server of remotecommand
 * streams needs them. Its peers do no flow control, and neither do we.
 */
#ifndef WIRE_SPDY_H
#define WIRE_SPDY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum spdy_type {
	SPDY_DATA = 0, /* not a control frame */
	SPDY_SYN_STREAM = 1,
	SPDY_SYN_REPLY = 2,
	SPDY_RST_STREAM = 3,
	SPDY_SETTINGS = 4,
	SPDY_PING = 6,
	SPDY_GOAWAY = 7,
	SPDY_HEADERS = 8,
	SPDY_WINDOW_UPDATE = 9
};

enum { SPDY_FIN = 1 };

/* Status codes of RST_STREAM (2.6.3). */
enum { SPDY_PROTOCOL_ERROR = 1, SPDY_REFUSED_STREAM = 3 };

enum {
	SPDY_HEADER = 8,
	SPDY_MAX_CONTROL =
		16 << 10,	/* bytes of a control frame, and of headers inflated */
	SPDY_MAX_DATA = 1 << 20 /* of a data frame */
};

/* Reads a stream of frames. {0} is a new one; spdy_reader_done frees it. */
struct spdy_reader {
	uint8_t header[SPDY_HEADER];
	unsigned nheader;
	bool in_frame;
	enum spdy_type type;
	uint8_t flags;
	uint32_t stream;
	uint32_t left;
	struct buf control; /* the payload of a control frame */
};

/* A whole control frame, or a piece of a data frame. */
struct spdy_piece {
	enum spdy_type type;
	uint8_t flags;	 /* of the frame: SPDY_FIN counts with the last piece */
	uint32_t stream; /* of a data frame */
	bool last;
	const uint8_t *data; /* in the caller's buffer, or in the reader */
	size_t n;
};

void spdy_reader_done(struct spdy_reader *r);

/*
 * Reads from data; *ret_used bytes of n are consumed. Returns 1 with a piece
 * (an empty one for an empty data frame), 0 when all is consumed without one,
 * or -1: malformed or too large.
 */
int spdy_read(struct spdy_reader *r, const uint8_t *data, size_t n, size_t *ret_used,
	      struct spdy_piece *ret, struct err *err);

/* Header blocks of one direction share one zlib stream. Heap-allocated. */
struct spdy_inflate;
struct spdy_inflate *spdy_inflate_new(void);
void spdy_inflate_free(struct spdy_inflate *z); /* NULL is allowed */

/*
 * Inflates a block of n bytes into out (emptied first) and checks its form
 * (2.6.10). More than SPDY_MAX_CONTROL bytes is ERR_EXHAUSTED. 0 or -1; after
 * an error the connection is of no use.
 */
int spdy_headers(struct spdy_inflate *z, const void *data, size_t n, struct buf *out,
		 struct err *err);

/*
 * A header's value out of a block from spdy_headers; names are in lower case.
 * NULL: not there. The value is not NUL-terminated.
 */
const char *spdy_header(const struct buf *block, const char *name, size_t *ret_len);

/* Appends the header of a data frame with n bytes. */
void spdy_add_data(struct buf *out, uint32_t stream, uint8_t flags, size_t n);

/* Appends the header of a control frame with n bytes of payload. */
void spdy_add_control(struct buf *out, enum spdy_type type, uint8_t flags, size_t n);

/* Appends a SYN_REPLY without headers; first is the first of the connection. */
void spdy_add_reply(struct buf *out, uint32_t stream, bool first);

/* Appends a RST_STREAM. */
void spdy_add_reset(struct buf *out, uint32_t stream, uint32_t status);

#endif
