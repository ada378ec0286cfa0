#include "cri/json-int.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include "base/str.h"

void json_at_add(const struct json_at *at, struct buf *out)
{
	if (!at || (!at->key && !at->up))
		return;
	json_at_add(at->up, out);
	if (!at->key)
		buf_add_fmt(out, "[%zu]", at->index);
	else if (out->len)
		buf_add_fmt(out, ".%s", at->key);
	else
		buf_add_str(out, at->key);
}

int json_at_err(const struct json_at *at, struct err *err, const char *fmt, ...)
{
	BUF_AUTO text = {0};
	va_list ap;

	json_at_add(at, &text);
	if (text.len)
		buf_add_str(&text, ": ");
	va_start(ap, fmt);
	buf_add_vfmt(&text, fmt, ap);
	va_end(ap);
	return err_set(err, ERR_INVALID, "%s", buf_str(&text));
}

bool json_bytes_are_text(const ProtobufCMessageDescriptor *d,
			 const ProtobufCFieldDescriptor *f, unsigned flags)
{
	return flags & CRI_JSON_GO && str_eq(d->short_name, "KeyValue") &&
	       str_eq(f->name, "value");
}

size_t json_size_of(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_ENUM:
		return sizeof(int32_t);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return sizeof(int64_t);
	case PROTOBUF_C_TYPE_FLOAT:
		return sizeof(float);
	case PROTOBUF_C_TYPE_DOUBLE:
		return sizeof(double);
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_STRING:
		return sizeof(char *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(ProtobufCMessage *);
	}
	return 0;
}
