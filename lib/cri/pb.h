/*
 * pb: protobuf messages (proto3 wire format) in arenas, over protobuf-c. The one place
 * that includes <protobuf-c/protobuf-c.h> and calls its pack and unpack.
 *
 * A message is one of the structs in cri/types.h (Cri__Mount), generated from
 * proto/cri.proto, and begins with a ProtobufCMessage named base. Its descriptor
 * (cri__mount__descriptor) drives all that is here. In a message:
 *  - a string is never NULL after pb_new or pb_unpack; unset is "";
 *  - a message field is NULL when unset; a repeated field is n_x and an array x;
 *  - a map is a repeated field of entry messages with key and value, see pb_map_get.
 */
#ifndef CRI_PB_H
#define CRI_PB_H

#include <stdbool.h>
#include <stddef.h>
#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum {
	/* The longest message that is read or written, bytes: kubelet's own limit. */
	PB_MAX_WIRE = 16 << 20,
	/* The most memory that one message may take when decoded, bytes. */
	PB_MAX_DECODED = 128 << 20,
};

/*
 * The generated tables come with distances in place of addresses (arch/relative.awk), so
 * that they cost nothing in processes that never look at them. This makes addresses of those
 * of d and all that it refers to, once. The functions here and in cri/json.h do it
 * themselves; others that look into a descriptor call it first. Returns d.
 */
const ProtobufCMessageDescriptor *pb_link(const ProtobufCMessageDescriptor *d);
const ProtobufCEnumDescriptor *pb_link_enum(const ProtobufCEnumDescriptor *d);

/* A new message in the arena with every field at its default. */
void *pb_new(const ProtobufCMessageDescriptor *d, struct arena *a);

/*
 * Decodes len bytes. The message and all that it points to live in the arena; nothing
 * points into bytes. Beyond what protobuf-c checks, a string must be UTF-8 (a peer written
 * in Go refuses a whole answer that has one that is not) and hold no NUL (C would cut it).
 * Unknown fields are kept in base.unknown_fields. Errors: ERR_INVALID for malformed input,
 * with the field's path; ERR_EXHAUSTED beyond PB_MAX_WIRE or PB_MAX_DECODED.
 */
int pb_unpack(const ProtobufCMessageDescriptor *d, const void *bytes, size_t len,
	      struct arena *a, ProtobufCMessage **ret_msg, struct err *err);

/* Appends the encoded message to out. ERR_EXHAUSTED beyond PB_MAX_WIRE. */
int pb_pack(const ProtobufCMessage *msg, struct buf *out, struct err *err);

/* The length of the encoded message, bytes: for a writer that splits long lists. */
size_t pb_size(const ProtobufCMessage *msg);

/* A deep copy of msg in the arena. Errors as pb_unpack and pb_pack. */
int pb_copy(const ProtobufCMessage *msg, struct arena *a, ProtobufCMessage **ret_msg,
	    struct err *err);

/* The field of that name in the .proto file ("log_path"), or NULL. */
const ProtobufCFieldDescriptor *pb_field(const ProtobufCMessageDescriptor *d,
					 const char *name);

/*
 * Whether field f of message d is a map<string, V>: a repeated message of d's own that
 * protoc made up, with fields key and value.
 */
int pb_is_map(const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f);

/*
 * The value of key in a map<string, string>, given as its n entries (c->labels,
 * c->n_labels), or NULL. Of entries with the same key the last one counts, as on the wire.
 */
const char *pb_map_get(const void *entries, size_t n, const char *key);

/*
 * Whether every entry of the n in want, a map<string, string> of any message, is among the m
 * in have: a label selector.
 */
bool pb_map_holds(const void *have, size_t m, const void *want, size_t n);

#endif
