/*
 * dbus: messages of D-Bus (D-Bus Specification, "Message Format" and "Type System"). A
 * pure codec: a message is built in a buffer of its own, and read where it lies. Both
 * byte orders are written and read.
 */
#ifndef WIRE_DBUS_H
#define WIRE_DBUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum dbus_type { DBUS_CALL = 1, DBUS_RETURN, DBUS_ERROR, DBUS_SIGNAL };
enum { DBUS_NO_REPLY = 1, DBUS_NO_AUTO_START = 2 };

/* The longest message that is accepted: well below the specification's 128 MiB. */
enum { DBUS_MAX = 1 << 20 };

/* --- reading ------------------------------------------------------------------------ */

/*
 * Values that are read one after the other; borrowed. Alignment counts from the message's
 * start, which is `data`. Once something is damaged, or is not what was asked for, `bad`
 * is set, every further value is 0 or "", and reading ends.
 */
struct dbus_view {
	const uint8_t *data;
	size_t at, end; /* what is left: [at, end) */
	bool big, bad;
};

/* A message. Strings are NULL where the header has no such field, and lie in the bytes. */
struct dbus_msg {
	enum dbus_type type;
	uint8_t flags;
	uint32_t serial, reply_serial;
	const char *path, *interface, *member, *error, *destination, *sender;
	const char *signature; /* "" if there is none */
	struct dbus_view body;
};

/*
 * The length of the message that begins with these bytes: 0 as long as fewer than 16 are
 * there. Or -1: ERR_INVALID, it is none, or is longer than DBUS_MAX.
 */
int dbus_length(const uint8_t *data, size_t n, size_t *ret, struct err *err);

/*
 * Parses one message of exactly n bytes (dbus_length). The header is checked whole; the
 * body must be what the signature says. 0 or -1 with ERR_INVALID.
 */
int dbus_parse(const uint8_t *data, size_t n, struct dbus_msg *ret, struct err *err);

/* The next value of a body, an array or a struct, by its type's letter. */
uint8_t dbus_get_u8(struct dbus_view *v);      /* y */
bool dbus_get_bool(struct dbus_view *v);       /* b */
uint16_t dbus_get_u16(struct dbus_view *v);    /* q, n */
uint32_t dbus_get_u32(struct dbus_view *v);    /* u, i, h */
uint64_t dbus_get_u64(struct dbus_view *v);    /* t, x, d */
const char *dbus_get_str(struct dbus_view *v); /* s, o */
const char *dbus_get_sig(
	struct dbus_view *v); /* g, and a variant's type: its value follows */
void dbus_get_struct(struct dbus_view *v); /* ( and {: the members follow */

/* An array whose elements have this type: its own view. It is behind v afterwards. */
struct dbus_view dbus_get_array(struct dbus_view *v, char type);

/* True if there are more values (elements of the array), and nothing was bad. */
bool dbus_more(const struct dbus_view *v);

/* Goes past one complete value of the type that *sig begins with, and *sig past that. */
void dbus_skip(struct dbus_view *v, const char **sig);

/* --- building ----------------------------------------------------------------------- */

/* A message under construction. The buffer is empty when it begins. */
struct dbus_out {
	struct buf *buf;
	bool big;    /* byte order; little-endian if false */
	size_t body; /* private: where it begins */
};

/*
 * Writes the header of what m says (its body is not looked at; serial must not be 0).
 * The values of m->signature follow. dbus_end completes the message.
 */
void dbus_begin(struct dbus_out *o, const struct dbus_msg *m);
void dbus_end(struct dbus_out *o);

void dbus_put_u8(struct dbus_out *o, uint8_t v);
void dbus_put_bool(struct dbus_out *o, bool v);
void dbus_put_u16(struct dbus_out *o, uint16_t v);
void dbus_put_u32(struct dbus_out *o, uint32_t v);
void dbus_put_u64(struct dbus_out *o, uint64_t v);
void dbus_put_str(struct dbus_out *o, const char *s);
void dbus_put_sig(struct dbus_out *o, const char *sig);
void dbus_put_struct(struct dbus_out *o);

/* An array of this type; the result is what dbus_array_end takes. */
size_t dbus_array(struct dbus_out *o, char type);
void dbus_array_end(struct dbus_out *o, size_t at, char type);

/* --- names -------------------------------------------------------------------------- */

/*
 * Appends a name as the last part of an object's path, as systemd and others write it:
 * what is no letter or digit becomes _xx ("a-1.scope" is "a_2d1_2escope"; "" is "_").
 */
void dbus_label(struct buf *out, const char *name);

/*
 * The first path of a unix socket in a bus's address ("unix:path=/run/x,guid=..;tcp:.."),
 * unescaped, into ret. Abstract sockets are passed over. 0, or -1 if there is none.
 */
int dbus_address(const char *address, struct buf *ret);

#endif
