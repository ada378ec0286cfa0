#include "cri/pb.h"

#include <stdint.h>
#include <string.h>

#include "base/str.h"

/* Deeper than any message type of ours; bounds the recursion on types that recurse. */
enum { MAX_DEPTH = 32 };

enum wire_type { WIRE_VARINT, WIRE_64, WIRE_BYTES, WIRE_GROUP, WIRE_END, WIRE_32 };

/* protobuf-c's allocator over an arena, with a budget: NULL when it is used up. */
struct budget {
	struct arena *arena;
	size_t left;
};

static void *budget_alloc(void *data, size_t size)
{
	struct budget *b = data;

	if (size > b->left) {
		b->left = 0;
		return NULL;
	}
	b->left -= size;
	return arena_alloc(b->arena, size);
}

static void budget_free(void *data, void *p)
{
	(void)data;
	(void)p;
}

/* Makes an address of what is at a place of a table, if it is not NULL. */
static void fix(const void *at)
{
	char *place = (char *)(uintptr_t)at;
	uintptr_t distance;

	memcpy(&distance, place, sizeof(distance));
	if (distance)
		distance += (uintptr_t)place;
	memcpy(place, &distance, sizeof(distance));
}

/* A table whose addresses are right says so in a place that is reserved. */
static bool fix_once(void *const *reserved)
{
	const void *const mark = reserved;

	if (*reserved)
		return false;
	memcpy((char *)(uintptr_t)reserved, &mark, sizeof(mark));
	return true;
}

const ProtobufCEnumDescriptor *pb_link_enum(const ProtobufCEnumDescriptor *d)
{
	if (!fix_once(&d->reserved1))
		return d;
	fix(&d->name);
	fix(&d->short_name);
	fix(&d->c_name);
	fix(&d->package_name);
	fix(&d->values);
	fix(&d->values_by_name);
	fix(&d->value_ranges);
	for (unsigned i = 0; i < d->n_values; i++) {
		fix(&d->values[i].name);
		fix(&d->values[i].c_name);
	}
	for (unsigned i = 0; i < d->n_value_names; i++)
		fix(&d->values_by_name[i].name);
	return d;
}

static void link_field(const ProtobufCFieldDescriptor *f)
{
	fix(&f->name);
	fix(&f->descriptor);
	fix(&f->default_value);
	if (f->type == PROTOBUF_C_TYPE_MESSAGE)
		pb_link(f->descriptor);
	else if (f->type == PROTOBUF_C_TYPE_ENUM)
		pb_link_enum(f->descriptor);
}

const ProtobufCMessageDescriptor *pb_link(const ProtobufCMessageDescriptor *d)
{
	if (!fix_once(&d->reserved1))
		return d;
	fix(&d->name);
	fix(&d->short_name);
	fix(&d->c_name);
	fix(&d->package_name);
	fix(&d->fields);
	fix(&d->fields_sorted_by_name);
	fix(&d->field_ranges);
	for (unsigned i = 0; i < d->n_fields; i++)
		link_field(d->fields + i);
	return d;
}

void *pb_new(const ProtobufCMessageDescriptor *d, struct arena *a)
{
	char *msg = arena_alloc(a, pb_link(d)->sizeof_message);

	memset(msg, 0, d->sizeof_message);
	((ProtobufCMessage *)(void *)msg)->descriptor = d;
	/* proto3 has no other defaults than zero, and "" */
	for (unsigned i = 0; i < d->n_fields; i++)
		if (d->fields[i].default_value &&
		    d->fields[i].label != PROTOBUF_C_LABEL_REPEATED)
			memcpy(msg + d->fields[i].offset, &d->fields[i].default_value,
			       sizeof(void *));
	return msg;
}

/* Takes a base-128 number off the front. 0, or -1 if it is cut or longer than 64 bits. */
static int take_varint(const uint8_t **p, const uint8_t *end, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64 && *p < end; shift += 7) {
		uint8_t b = *(*p)++;

		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80)) {
			*ret = v;
			return 0;
		}
	}
	return -1;
}

/* Takes n bytes off the front. 0, or -1 if there are fewer. */
static int take(const uint8_t **p, const uint8_t *end, uint64_t n, const uint8_t **ret)
{
	if (n > (uint64_t)(end - *p))
		return -1;
	*ret = *p;
	*p += n;
	return 0;
}

/* Takes the payload of a field off the front; only that of WIRE_BYTES is of use. */
static int take_payload(const uint8_t **p, const uint8_t *end, enum wire_type type,
			const uint8_t **ret, uint64_t *ret_n)
{
	*ret_n = 0;
	*ret = *p;
	switch (type) {
	case WIRE_VARINT:
		return take_varint(p, end, ret_n);
	case WIRE_64:
		return take(p, end, 8, ret);
	case WIRE_32:
		return take(p, end, 4, ret);
	case WIRE_BYTES:
		return take_varint(p, end, ret_n) < 0 ? -1 : take(p, end, *ret_n, ret);
	case WIRE_GROUP:
	case WIRE_END:
		return -1;
	}
	return -1;
}

static int check(const ProtobufCMessageDescriptor *d, const uint8_t *p, size_t n,
		 unsigned depth, struct err *err);

static int check_bytes(const ProtobufCFieldDescriptor *f, const uint8_t *p, size_t n,
		       unsigned depth, struct err *err)
{
	if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
		if (check(f->descriptor, p, n, depth + 1, err) < 0)
			return err_wrap(err, "%s", f->name);
		return 0;
	}
	if (f->type != PROTOBUF_C_TYPE_STRING)
		return 0;
	if (memchr(p, 0, n))
		return err_set(err, ERR_INVALID, "%s: a string holds a NUL", f->name);
	if (!str_is_utf8((const char *)p, n))
		return err_set(err, ERR_INVALID, "%s: a string is not UTF-8", f->name);
	return 0;
}

/*
 * Walks the encoded message and checks what protobuf-c does not: strings, and depth. It is
 * done on the bytes because a decoded string has lost its length.
 */
static int check(const ProtobufCMessageDescriptor *d, const uint8_t *p, size_t n,
		 unsigned depth, struct err *err)
{
	const uint8_t *end = p + n, *payload;
	const ProtobufCFieldDescriptor *f;
	uint64_t tag, len;

	if (depth > MAX_DEPTH)
		return err_set(err, ERR_INVALID, "nested too deep");
	while (p < end) {
		if (take_varint(&p, end, &tag) < 0 || tag > UINT32_MAX || tag < 8 ||
		    take_payload(&p, end, tag & 7, &payload, &len) < 0)
			return err_set(err, ERR_INVALID, "malformed protobuf");
		f = protobuf_c_message_descriptor_get_field(d, (unsigned)(tag >> 3));
		if (f && (tag & 7) == WIRE_BYTES &&
		    check_bytes(f, payload, (size_t)len, depth, err) < 0)
			return -1;
	}
	return 0;
}

int pb_unpack(const ProtobufCMessageDescriptor *d, const void *bytes, size_t len,
	      struct arena *a, ProtobufCMessage **ret_msg, struct err *err)
{
	struct budget budget = {.arena = a, .left = PB_MAX_DECODED};
	ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
	ProtobufCMessage *msg;

	pb_link(d);
	if (len > PB_MAX_WIRE)
		return err_set(err, ERR_EXHAUSTED,
			       "%s: message of %zu bytes, limit is %d", d->short_name,
			       len, PB_MAX_WIRE);
	if (!bytes)
		bytes = "";
	if (check(d, bytes, len, 0, err) < 0)
		return err_wrap(err, "%s", d->short_name);
	msg = protobuf_c_message_unpack(d, &allocator, len, bytes);
	if (!msg && budget.left == 0)
		return err_set(err, ERR_EXHAUSTED, "%s: needs more than %d bytes decoded",
			       d->short_name, PB_MAX_DECODED);
	if (!msg)
		return err_set(err, ERR_INVALID, "%s: malformed protobuf", d->short_name);
	*ret_msg = msg;
	return 0;
}

size_t pb_size(const ProtobufCMessage *msg)
{
	pb_link(msg->descriptor);
	return protobuf_c_message_get_packed_size(msg);
}

int pb_pack(const ProtobufCMessage *msg, struct buf *out, struct err *err)
{
	size_t n = pb_size(msg);

	if (n > PB_MAX_WIRE)
		return err_set(err, ERR_EXHAUSTED,
			       "%s: message of %zu bytes, limit is %d",
			       msg->descriptor->short_name, n, PB_MAX_WIRE);
	protobuf_c_message_pack(msg, buf_reserve(out, n + 1));
	out->len += n;
	return 0;
}

int pb_copy(const ProtobufCMessage *msg, struct arena *a, ProtobufCMessage **ret_msg,
	    struct err *err)
{
	BUF_AUTO wire = {0};

	if (pb_pack(msg, &wire, err) < 0)
		return -1;
	return pb_unpack(msg->descriptor, wire.data, wire.len, a, ret_msg, err);
}

const ProtobufCFieldDescriptor *pb_field(const ProtobufCMessageDescriptor *d,
					 const char *name)
{
	return protobuf_c_message_descriptor_get_field_by_name(pb_link(d), name);
}

int pb_is_map(const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f)
{
	const ProtobufCMessageDescriptor *entry = f->descriptor;
	size_t n = strlen(d->name);

	if (f->label != PROTOBUF_C_LABEL_REPEATED || f->type != PROTOBUF_C_TYPE_MESSAGE)
		return 0;
	return strncmp(entry->name, d->name, n) == 0 && entry->name[n] == '.' &&
	       str_ends(entry->name, "Entry") && entry->n_fields == 2 &&
	       entry->fields[0].type == PROTOBUF_C_TYPE_STRING &&
	       str_eq(entry->fields[0].name, "key") &&
	       str_eq(entry->fields[1].name, "value");
}

static const char *string_at(const ProtobufCMessage *msg, unsigned field)
{
	const char *s;

	pb_link(msg->descriptor);
	memcpy(&s, (const char *)msg + msg->descriptor->fields[field].offset, sizeof(s));
	return str_or_empty(s);
}

const char *pb_map_get(const void *entries, size_t n, const char *key)
{
	const ProtobufCMessage *entry;

	while (n--) {
		memcpy(&entry, (const char *)entries + n * sizeof(entry), sizeof(entry));
		if (str_eq(string_at(entry, 0), key))
			return string_at(entry, 1);
	}
	return NULL;
}

bool pb_map_holds(const void *have, size_t m, const void *want, size_t n)
{
	const ProtobufCMessage *entry;

	while (n--) {
		const char *v;

		memcpy(&entry, (const char *)want + n * sizeof(entry), sizeof(entry));
		v = pb_map_get(have, m, string_at(entry, 0));
		if (!v || !str_eq(v, string_at(entry, 1)))
			return false;
	}
	return true;
}
