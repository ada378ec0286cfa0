/* fill: messages with every field set, for tests that must not miss one. */
#ifndef TEST_CRI_FILL_H
#define TEST_CRI_FILL_H

#include "base/arena.h"
#include "cri/json-int.h"
#include "cri/pb.h"
#include "unit.h"

static inline void *fill_message(const ProtobufCMessageDescriptor *d, struct arena *a,
				 unsigned *seed);

/* A value that is not the default, at p. Enums get their last value. */
static inline void fill_value(const ProtobufCFieldDescriptor *f, void *p, struct arena *a,
			      unsigned *seed)
{
	const ProtobufCEnumDescriptor *e = f->descriptor;
	unsigned n = ++*seed;
	ProtobufCBinaryData bytes;
	const void *pointer;
	int64_t number = 1000 + n;
	double real = n + 0.25;

	switch ((int)f->type) {
	case PROTOBUF_C_TYPE_ENUM:
		memcpy(p, &e->values[e->n_values - 1].value, 4);
		return;
	case PROTOBUF_C_TYPE_DOUBLE:
		memcpy(p, &real, sizeof(real));
		return;
	case PROTOBUF_C_TYPE_BOOL:
		*(protobuf_c_boolean *)p = 1;
		return;
	case PROTOBUF_C_TYPE_STRING:
		pointer = arena_fmt(a, "s\xc3\xa9\"<%06u>\n", n);
		memcpy(p, &pointer, sizeof(pointer));
		return;
	case PROTOBUF_C_TYPE_BYTES:
		bytes.data = (uint8_t *)arena_fmt(a, "b%u", n);
		bytes.len = strlen((char *)bytes.data);
		memcpy(p, &bytes, sizeof(bytes));
		return;
	case PROTOBUF_C_TYPE_MESSAGE:
		pointer = fill_message(f->descriptor, a, seed);
		memcpy(p, &pointer, sizeof(pointer));
		return;
	default:
		break;
	}
	if (json_size_of(f->type) == 8)
		number = n % 2 || f->type == PROTOBUF_C_TYPE_UINT64 ? INT64_MAX - n
								    : INT64_MIN + n;
	else if (f->type == PROTOBUF_C_TYPE_INT32)
		number = -number;
	if (json_size_of(f->type) == 8)
		memcpy(p, &number, 8);
	else
		memcpy(p, &(uint32_t){(uint32_t)number}, 4);
}

static inline void *fill_message(const ProtobufCMessageDescriptor *d, struct arena *a,
				 unsigned *seed)
{
	char *msg = pb_new(d, a);

	for (unsigned i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = d->fields + i;
		size_t size = json_size_of(f->type), n = 2;
		char *items;

		if (f->label != PROTOBUF_C_LABEL_REPEATED) {
			fill_value(f, msg + f->offset, a, seed);
			continue;
		}
		items = arena_array(a, n, size);
		fill_value(f, items, a, seed);
		fill_value(f, items + size, a, seed);
		memcpy(msg + f->offset, &items, sizeof(items));
		memcpy(msg + f->quantifier_offset, &n, sizeof(n));
	}
	return msg;
}

#endif
