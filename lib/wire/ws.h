/*
 * ws: the frames of WebSocket (RFC 6455) without I/O, for both sides. No
 * extensions.
 */
#ifndef WIRE_WS_H
#define WIRE_WS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum ws_opcode {
	WS_CONTINUATION = 0,
	WS_TEXT = 1,
	WS_BINARY = 2,
	WS_CLOSE = 8,
	WS_PING = 9,
	WS_PONG = 10
};

/* Status codes of a close frame (section 7.4.1). */
enum {
	WS_NORMAL = 1000,
	WS_GOING_AWAY = 1001,
	WS_PROTOCOL_ERROR = 1002,
	WS_NO_STATUS = 1005, /* never on the wire: the frame was empty */
	WS_BAD_DATA = 1007,
	WS_POLICY = 1008,
	WS_TOO_LARGE = 1009,
	WS_INTERNAL = 1011
};

enum { WS_MAX_CONTROL = 125, WS_MAX_HEADER = 14, WS_ACCEPT = 29 };

/* Reads a stream of frames. Set up with ws_reader_init; owns nothing. */
struct ws_reader {
	bool masked;  /* what the peer must do: clients mask, servers do not */
	uint64_t max; /* bytes of one frame */
	uint8_t header[WS_MAX_HEADER];
	unsigned nheader;
	bool in_frame;
	bool fin;
	enum ws_opcode opcode;	/* of the frame */
	enum ws_opcode message; /* of the message; WS_CONTINUATION: none is open */
	bool begun;		/* a piece of the message was returned */
	uint64_t left;		/* bytes of the frame to come */
	uint8_t mask[4];
	unsigned mask_at;
	uint8_t control[WS_MAX_CONTROL];
	unsigned ncontrol;
	uint32_t utf8; /* state of the check of text messages (section 8.1) */
};

/* A piece of a data message, or a whole control frame. */
struct ws_piece {
	enum ws_opcode opcode; /* WS_TEXT, WS_BINARY, or a control frame's */
	bool first, last;      /* of the message; both for control frames */
	uint8_t *data;	       /* in the caller's buffer, or in the reader */
	size_t n;
	unsigned status; /* WS_CLOSE: the code, data is then the reason */
};

void ws_reader_init(struct ws_reader *r, bool masked, uint64_t max);

/*
 * Reads from data, unmasking in place; *ret_used bytes of n are consumed.
 * Returns 1 with a piece (it may be empty, if first or last is set), 0 when
 * all is consumed without one, or -1: the peer broke the protocol, and *ret_status is
 * what to close with.
 */
int ws_read(struct ws_reader *r, uint8_t *data, size_t n, size_t *ret_used,
	    struct ws_piece *ret, unsigned *ret_status, struct err *err);

/*
 * Appends a frame's header for n bytes of payload, FIN set. mask is NULL for a
 * server's frames; a client masks the payload with ws_mask.
 */
void ws_frame_header(struct buf *out, enum ws_opcode opcode, size_t n,
		     const uint8_t mask[4]);

/* XORs n bytes with the mask, beginning `at` bytes into the payload. */
void ws_mask(uint8_t *data, size_t n, const uint8_t mask[4], size_t at);

/* Sec-WebSocket-Accept for a Sec-WebSocket-Key (section 4.2.2). */
void ws_accept(char ret[WS_ACCEPT], const char *key);

/* True if the text is base64 of 16 bytes, as Sec-WebSocket-Key has to be. */
bool ws_key_valid(const char *key);

#endif
