/* Messages to JSON, and what both directions share. */
#include "cri/json-int.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "wire/base64.h"

/* --- what reading needs too ------------------------------------------------------------ */

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

/* --- writing --------------------------------------------------------------------------- */

struct writer {
	yyjson_mut_doc *doc;
	unsigned flags;
	struct err *err; /* code ERR_NONE until something fails */
};

static yyjson_mut_val *message(struct writer *w, const ProtobufCMessage *msg,
			       const struct json_at *at);

/* yyjson says false when there is no memory. */
static void must(bool ok)
{
	if (!ok)
		err_oom(0);
}

/* The text of a double that JSON has no number for, or NULL. */
static const char *odd_double(double v)
{
	if (isnan(v))
		return "NaN";
	if (isinf(v))
		return v < 0 ? "-Infinity" : "Infinity";
	return NULL;
}

/* Whole numbers without ".0", as Go prints them. */
static yyjson_mut_val *number(struct writer *w, double v)
{
	const char *odd = odd_double(v);

	if (odd)
		return yyjson_mut_str(w->doc, odd);
	if (fabs(v) < 1e15 && floor(v) >= v)
		return yyjson_mut_sint(w->doc, (int64_t)v);
	return yyjson_mut_real(w->doc, v);
}

/* A 64-bit integer: text in protobuf's form, since JavaScript has 53 bits. */
static yyjson_mut_val *integer(struct writer *w, uint64_t v, bool is_signed)
{
	char text[24];

	if (w->flags & CRI_JSON_GO)
		return is_signed ? yyjson_mut_sint(w->doc, (int64_t)v)
				 : yyjson_mut_uint(w->doc, v);
	if (is_signed)
		snprintf(text, sizeof(text), "%lld", (long long)(int64_t)v);
	else
		snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	return yyjson_mut_strcpy(w->doc, text);
}

static yyjson_mut_val *enum_value(struct writer *w, const ProtobufCEnumDescriptor *d,
				  int32_t v)
{
	const ProtobufCEnumValue *known = NULL;

	if (!(w->flags & CRI_JSON_GO))
		known = protobuf_c_enum_descriptor_get_value(d, v);
	return known ? yyjson_mut_str(w->doc, known->name) : yyjson_mut_sint(w->doc, v);
}

static yyjson_mut_val *string(struct writer *w, const char *s, const struct json_at *at)
{
	size_t n;

	s = str_or_empty(s);
	n = strlen(s);
	if (!str_is_utf8(s, n)) {
		json_at_err(at, w->err, "not UTF-8");
		return NULL;
	}
	return yyjson_mut_strn(w->doc, s, n);
}

/* The bytes as text, U+FFFD for each that is NUL or not UTF-8. */
static void add_text(struct buf *out, const char *s, size_t n)
{
	while (n) {
		size_t len = 1;

		while (len < 4 && len < n && !str_is_utf8(s, len))
			len++;
		if (*s && str_is_utf8(s, len)) {
			buf_add(out, s, len);
		} else {
			buf_add_str(out, "\xef\xbf\xbd");
			len = 1;
		}
		s += len;
		n -= len;
	}
}

static yyjson_mut_val *bytes(struct writer *w, const ProtobufCBinaryData *b, bool text)
{
	BUF_AUTO out = {0};

	if (text)
		add_text(&out, (const char *)b->data, b->len);
	else
		base64_encode(&out, b->data, b->len);
	return yyjson_mut_strncpy(w->doc, buf_str(&out), out.len);
}

/* A number, boolean or enum at p. */
static yyjson_mut_val *scalar(struct writer *w, const ProtobufCFieldDescriptor *f,
			      const void *p)
{
	union {
		int32_t i32;
		uint32_t u32;
		uint64_t u64;
		float f;
		double d;
		protobuf_c_boolean b;
	} v;

	memcpy(&v, p, json_size_of(f->type));
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		return yyjson_mut_sint(w->doc, v.i32);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return yyjson_mut_uint(w->doc, v.u32);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return integer(w, v.u64, true);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return integer(w, v.u64, false);
	case PROTOBUF_C_TYPE_FLOAT:
		return number(w, (double)v.f);
	case PROTOBUF_C_TYPE_DOUBLE:
		return number(w, v.d);
	case PROTOBUF_C_TYPE_BOOL:
		return yyjson_mut_bool(w->doc, v.b != 0);
	case PROTOBUF_C_TYPE_ENUM:
		return enum_value(w, f->descriptor, v.i32);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		break;
	}
	return NULL;
}

/* One value at p, of field f in a message of type d. NULL on error. */
static yyjson_mut_val *value(struct writer *w, const ProtobufCMessageDescriptor *d,
			     const ProtobufCFieldDescriptor *f, const void *p,
			     const struct json_at *at)
{
	const void *pointer;
	ProtobufCBinaryData data;

	if (f->type == PROTOBUF_C_TYPE_BYTES) {
		memcpy(&data, p, sizeof(data));
		return bytes(w, &data, json_bytes_are_text(d, f, w->flags));
	}
	if (f->type != PROTOBUF_C_TYPE_STRING && f->type != PROTOBUF_C_TYPE_MESSAGE)
		return scalar(w, f, p);
	memcpy(&pointer, p, sizeof(pointer));
	if (f->type == PROTOBUF_C_TYPE_STRING)
		return string(w, pointer, at);
	return message(w, pointer, at);
}

static yyjson_mut_val *list(struct writer *w, const ProtobufCMessageDescriptor *d,
			    const ProtobufCFieldDescriptor *f, const char *items,
			    size_t n, const struct json_at *at)
{
	yyjson_mut_val *arr = yyjson_mut_arr(w->doc), *v;
	size_t size = json_size_of(f->type);

	for (size_t i = 0; i < n; i++) {
		struct json_at here = {.up = at, .index = i};

		v = value(w, d, f, items + i * size, &here);
		if (!v)
			return NULL;
		must(yyjson_mut_arr_append(arr, v));
	}
	return arr;
}

static const char *key_of(const ProtobufCMessage *entry)
{
	const char *key;

	memcpy(&key, (const char *)entry + entry->descriptor->fields[0].offset,
	       sizeof(key));
	return str_or_empty(key);
}

/* By key, and then by place: of entries with the same key the last one counts. */
static int compare_entries(const void *a, const void *b)
{
	const ProtobufCMessage *const *x = *(const ProtobufCMessage *const *const *)a;
	const ProtobufCMessage *const *y = *(const ProtobufCMessage *const *const *)b;
	int r = strcmp(key_of(*x), key_of(*y));

	return r ? r : (x > y) - (x < y);
}

static int add_entries(struct writer *w, const ProtobufCMessage *const **sorted, size_t n,
		       yyjson_mut_val *obj, const struct json_at *at)
{
	for (size_t i = 0; i < n; i++) {
		const ProtobufCMessage *e = *sorted[i];
		const ProtobufCFieldDescriptor *f = e->descriptor->fields + 1;
		struct json_at here = {.up = at, .key = key_of(e)};
		yyjson_mut_val *k, *v;

		if (i + 1 < n && str_eq(here.key, key_of(*sorted[i + 1])))
			continue;
		k = string(w, here.key, &here);
		v = k ? value(w, e->descriptor, f, (const char *)e + f->offset, &here)
		      : NULL;
		if (!v)
			return -1;
		must(yyjson_mut_obj_add(obj, k, v));
	}
	return 0;
}

static yyjson_mut_val *map(struct writer *w, const ProtobufCMessage *const *entries,
			   size_t n, const struct json_at *at)
{
	yyjson_mut_val *obj = yyjson_mut_obj(w->doc);
	const ProtobufCMessage *const **sorted;
	int r;

	if (n == 0)
		return obj;
	sorted = xcalloc(n, sizeof(*sorted));
	for (size_t i = 0; i < n; i++)
		sorted[i] = &entries[i];
	qsort(sorted, n, sizeof(*sorted), compare_entries);
	r = add_entries(w, sorted, n, obj, at);
	free(sorted);
	return r < 0 ? NULL : obj;
}

/* The JSON name: "log_path" is logPath, "CDI_devices" CDIDevices (ProtoJSON, "Names"). */
static yyjson_mut_val *name(struct writer *w, const char *proto)
{
	BUF_AUTO out = {0};
	bool up = false;

	if (w->flags & CRI_JSON_GO || !strchr(proto, '_'))
		return yyjson_mut_str(w->doc, proto);
	for (; *proto; proto++) {
		bool lower = *proto >= 'a' && *proto <= 'z';

		if (*proto != '_')
			buf_add_char(&out, up && lower ? (char)(*proto - 32) : *proto);
		up = *proto == '_';
	}
	return yyjson_mut_strncpy(w->doc, buf_str(&out), out.len);
}

/* Whether the bytes of a scalar at p are all zero: its default. */
static bool is_zero(const char *p, size_t n)
{
	while (n && !p[n - 1])
		n--;
	return n == 0;
}

/* Whether a field with one value, at p, is left out. */
static bool skip(const struct writer *w, const ProtobufCFieldDescriptor *f, const char *p)
{
	const char *s;
	ProtobufCBinaryData data;

	if (f->type == PROTOBUF_C_TYPE_MESSAGE)
		return is_zero(p, sizeof(s));
	if (!(w->flags & CRI_JSON_GO))
		return false;
	if (f->type == PROTOBUF_C_TYPE_STRING) {
		memcpy(&s, p, sizeof(s));
		return str_empty(s);
	}
	if (f->type == PROTOBUF_C_TYPE_BYTES) {
		memcpy(&data, p, sizeof(data));
		return data.len == 0;
	}
	return is_zero(p, json_size_of(f->type));
}

/* Adds one field of msg to obj. */
static int member(struct writer *w, const ProtobufCMessage *msg,
		  const ProtobufCFieldDescriptor *f, yyjson_mut_val *obj,
		  const struct json_at *at)
{
	const ProtobufCMessageDescriptor *d = msg->descriptor;
	const char *p = (const char *)msg + f->offset;
	struct json_at here = {.up = at, .key = f->name};
	yyjson_mut_val *v;
	const void *items;
	size_t n;

	if (f->label != PROTOBUF_C_LABEL_REPEATED) {
		if (skip(w, f, p))
			return 0;
		v = value(w, d, f, p, &here);
	} else {
		memcpy(&n, (const char *)msg + f->quantifier_offset, sizeof(n));
		memcpy(&items, p, sizeof(items));
		if (n == 0 && w->flags & CRI_JSON_GO)
			return 0;
		v = pb_is_map(d, f) ? map(w, items, n, &here)
				    : list(w, d, f, items, n, &here);
	}
	if (!v)
		return -1;
	must(yyjson_mut_obj_add(obj, name(w, f->name), v));
	return 0;
}

static yyjson_mut_val *message(struct writer *w, const ProtobufCMessage *msg,
			       const struct json_at *at)
{
	yyjson_mut_val *obj = yyjson_mut_obj(w->doc);

	for (unsigned i = 0; i < msg->descriptor->n_fields; i++)
		if (member(w, msg, msg->descriptor->fields + i, obj, at) < 0)
			return NULL;
	return obj;
}

int cri_json_write(const ProtobufCMessage *msg, unsigned flags, yyjson_mut_doc *doc,
		   yyjson_mut_val **ret_val, struct err *err)
{
	struct err local = {0};
	struct writer w = {.doc = doc, .flags = flags, .err = &local};
	yyjson_mut_val *v;

	pb_link(msg->descriptor);
	v = message(&w, msg, NULL);
	must(v || local.code != ERR_NONE);
	if (!v) {
		*err = local;
		return err_wrap(err, "%s", msg->descriptor->short_name);
	}
	*ret_val = v;
	return 0;
}
