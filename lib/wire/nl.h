/*
 * nl: netlink messages (RFC 3549 section 2; netlink(7)): headers and attributes in the
 * byte order of the machine, everything aligned to 4. A pure codec: it appends requests
 * to a buffer and walks the bytes of replies.
 */
#ifndef WIRE_NL_H
#define WIRE_NL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/*
 * Building. nl_begin and nl_nest return the place of the header, which the matching end
 * completes with the length. The sequence number of a message is its place in the buffer
 * plus 1. Attributes of more than 65 kB are a caller's error.
 */
size_t nl_begin(struct buf *b, uint16_t type, uint16_t flags);
void nl_end(struct buf *b, size_t at);

/* The fixed part behind a header (struct ifinfomsg, ...), padded. */
void nl_put(struct buf *b, const void *data, size_t n);

void nl_attr(struct buf *b, uint16_t type, const void *data, size_t n);
void nl_attr_str(struct buf *b, uint16_t type, const char *s); /* with its NUL */
void nl_attr_u8(struct buf *b, uint16_t type, uint8_t v);
void nl_attr_u16(struct buf *b, uint16_t type, uint16_t v);
void nl_attr_u32(struct buf *b, uint16_t type, uint32_t v);
void nl_attr_be16(struct buf *b, uint16_t type, uint16_t v);
void nl_attr_be32(struct buf *b, uint16_t type, uint32_t v);
void nl_attr_be64(struct buf *b, uint16_t type, uint64_t v);
size_t nl_nest(struct buf *b, uint16_t type);
void nl_nest_end(struct buf *b, size_t at);

/* A stretch of bytes that is walked; borrowed. */
struct nl_view {
	const uint8_t *data;
	size_t len;
};

struct nl_msg {
	uint16_t type, flags;
	uint32_t seq;
	struct nl_view body;
};

/* Takes the next message off the view. False at the end and at damage. */
bool nl_next(struct nl_view *v, struct nl_msg *ret);

/*
 * Takes the fixed part of n bytes (and padding) off a message's body. NULL if it is shorter;
 * the bytes have no alignment.
 */
const uint8_t *nl_take(struct nl_view *v, size_t n);

/*
 * The attributes of a view in a table by type: entries [0, max) are set, with data NULL
 * for what is missing; types beyond are passed over. Of a repeated one the last counts.
 */
void nl_attrs(struct nl_view v, struct nl_view *table, size_t max);

/* One by one: the next attribute and its type without flags. False at the end. */
bool nl_attr_next(struct nl_view *v, uint16_t *ret_type, struct nl_view *ret);

/* Values of attributes; 0 and "" when the attribute is missing or too short. */
uint8_t nl_u8(struct nl_view a);
uint32_t nl_u32(struct nl_view a);
uint32_t nl_be32(struct nl_view a);
uint64_t nl_be64(struct nl_view a);
/* A string that ends with NUL within the attribute (or ""). */
const char *nl_str(struct nl_view a);

/* An integer of the machine's byte order at any address. */
uint16_t nl_host16(const void *p);
uint32_t nl_host32(const void *p);

#endif
