/* JSON to messages. */
#include "cri/json-int.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "wire/base64.h"

struct reader {
	struct arena *arena;
	unsigned flags;
	struct buf *unknown; /* paths of keys without a field; NULL: they are errors */
	struct err *err;
};

static int message(struct reader *r, yyjson_val *v, const ProtobufCMessageDescriptor *d,
		   const struct json_at *at, ProtobufCMessage **ret);

static int wrong(struct reader *r, const struct json_at *at, yyjson_val *v,
		 const char *wanted)
{
	return json_at_err(at, r->err, "expected %s, got %s", wanted,
			   yyjson_get_type_desc(v));
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* Whether a key means a field: the same letters and digits, '_' and case aside. */
static bool same_name(const char *key, const char *field)
{
	for (;; key++, field++) {
		while (*key == '_')
			key++;
		while (*field == '_')
			field++;
		if (lower(*key) != lower(*field))
			return false;
		if (!*key)
			return true;
	}
}

static const ProtobufCFieldDescriptor *find(const ProtobufCMessageDescriptor *d,
					    const char *key)
{
	for (unsigned i = 0; i < d->n_fields; i++)
		if (same_name(key, d->fields[i].name))
			return d->fields + i;
	return NULL;
}

/* A double that is a whole number a double can tell from its neighbours. */
static bool is_whole(double v)
{
	return fabs(v) <= 9007199254740992.0 && floor(v) >= v;
}

static int take_signed(struct reader *r, yyjson_val *v, int64_t min, int64_t max,
		       const struct json_at *at, int64_t *ret)
{
	int64_t n;

	if (yyjson_is_str(v)) {
		if (num_i64(yyjson_get_str(v), min, max, ret) == 0)
			return 0;
		return json_at_err(at, r->err, "not an integer in range: \"%s\"",
				   yyjson_get_str(v));
	}
	if (yyjson_is_real(v) && is_whole(yyjson_get_real(v)))
		n = (int64_t)yyjson_get_real(v);
	else if (yyjson_is_sint(v) ||
		 (yyjson_is_uint(v) && yyjson_get_uint(v) <= INT64_MAX))
		n = yyjson_get_sint(v);
	else if (yyjson_is_num(v))
		return json_at_err(at, r->err, "not an integer in range");
	else
		return wrong(r, at, v, "an integer");
	if (n < min || n > max)
		return json_at_err(at, r->err, "%lld is out of range", (long long)n);
	*ret = n;
	return 0;
}

static int take_unsigned(struct reader *r, yyjson_val *v, uint64_t max,
			 const struct json_at *at, uint64_t *ret)
{
	int64_t n;

	if (yyjson_is_str(v) && num_u64(yyjson_get_str(v), 0, max, ret) == 0)
		return 0;
	if (yyjson_is_uint(v) && yyjson_get_uint(v) <= max) {
		*ret = yyjson_get_uint(v);
		return 0;
	}
	if (take_signed(r, v, 0, max > INT64_MAX ? INT64_MAX : (int64_t)max, at, &n) < 0)
		return -1;
	*ret = (uint64_t)n;
	return 0;
}

static int take_double(struct reader *r, yyjson_val *v, const struct json_at *at,
		       double *ret)
{
	const char *s;
	char *end;

	if (yyjson_is_num(v)) {
		*ret = yyjson_get_num(v);
		return 0;
	}
	if (!yyjson_is_str(v))
		return wrong(r, at, v, "a number");
	s = yyjson_get_str(v);
	*ret = strtod(s, &end);
	if (!*s || *end)
		return json_at_err(at, r->err, "not a number: \"%s\"", s);
	return 0;
}

static int take_enum(struct reader *r, yyjson_val *v, const ProtobufCEnumDescriptor *d,
		     const struct json_at *at, int64_t *ret)
{
	const ProtobufCEnumValue *known;
	const char *s = yyjson_get_str(v);

	if (!s || num_i64(s, INT32_MIN, INT32_MAX, ret) == 0)
		return take_signed(r, v, INT32_MIN, INT32_MAX, at, ret);
	known = protobuf_c_enum_descriptor_get_value_by_name(d, s);
	if (!known)
		return json_at_err(at, r->err, "\"%s\" is no %s", s, d->short_name);
	*ret = known->value;
	return 0;
}

/* The shortest text that reads back as v, as Go's 'g' does it. */
static char *double_text(struct arena *a, double v)
{
	char text[40];

	for (int precision = 1; precision <= 17; precision++) {
		snprintf(text, sizeof(text), "%.*g", precision, v);
		if (!islessgreater(strtod(text, NULL), v))
			break;
	}
	return arena_strdup(a, text);
}

/* A string; a number or a boolean becomes its text, as in crictl (sigs.k8s.io/yaml). */
static int take_string(struct reader *r, yyjson_val *v, const struct json_at *at,
		       const char **ret)
{

	if (yyjson_is_bool(v)) {
		*ret = yyjson_get_bool(v) ? "true" : "false";
		return 0;
	}
	if (yyjson_is_sint(v) || yyjson_is_uint(v)) {
		*ret = yyjson_is_sint(v)
			       ? arena_fmt(r->arena, "%lld",
					   (long long)yyjson_get_sint(v))
			       : arena_fmt(r->arena, "%llu",
					   (unsigned long long)yyjson_get_uint(v));
		return 0;
	}
	if (yyjson_is_real(v)) {
		*ret = double_text(r->arena, yyjson_get_real(v));
		return 0;
	}
	if (!yyjson_is_str(v))
		return wrong(r, at, v, "a string");
	if (memchr(yyjson_get_str(v), 0, yyjson_get_len(v)))
		return json_at_err(at, r->err, "a string holds a NUL");
	*ret = arena_strndup(r->arena, yyjson_get_str(v), yyjson_get_len(v));
	return 0;
}

static int take_bytes(struct reader *r, yyjson_val *v, bool text,
		      const struct json_at *at, ProtobufCBinaryData *ret)
{
	BUF_AUTO out = {0};
	const char *s;

	if (text || !yyjson_is_str(v)) {
		if (!text)
			return wrong(r, at, v, "a string in base64");
		if (take_string(r, v, at, &s) < 0)
			return -1;
		buf_add_str(&out, s);
	} else if (base64_decode(&out, yyjson_get_str(v), yyjson_get_len(v)) < 0) {
		return json_at_err(at, r->err, "not base64");
	}
	ret->len = out.len;
	ret->data = out.len ? arena_memdup(r->arena, out.data, out.len) : NULL;
	return 0;
}

static int take_bool(struct reader *r, yyjson_val *v, const struct json_at *at,
		     protobuf_c_boolean *ret)
{
	if (!yyjson_is_bool(v))
		return wrong(r, at, v, "true or false");
	*ret = yyjson_get_bool(v);
	return 0;
}

/* Puts an integer or enum into the 4 or 8 bytes at p. */
static int integer(struct reader *r, const ProtobufCFieldDescriptor *f, yyjson_val *v,
		   void *p, const struct json_at *at)
{
	union {
		int64_t s;
		uint64_t u;
	} n = {0};
	uint32_t narrow;
	int res;

	switch ((int)f->type) {
	case PROTOBUF_C_TYPE_ENUM:
		res = take_enum(r, v, f->descriptor, at, &n.s);
		break;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		res = take_unsigned(r, v, UINT32_MAX, at, &n.u);
		break;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		res = take_unsigned(r, v, UINT64_MAX, at, &n.u);
		break;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		res = take_signed(r, v, INT64_MIN, INT64_MAX, at, &n.s);
		break;
	default:
		res = take_signed(r, v, INT32_MIN, INT32_MAX, at, &n.s);
		break;
	}
	narrow = (uint32_t)n.u;
	if (res == 0 && json_size_of(f->type) == sizeof(narrow))
		memcpy(p, &narrow, sizeof(narrow));
	else if (res == 0)
		memcpy(p, &n, sizeof(n));
	return res;
}

/* Puts one value into p, of field f in a message of type d. */
static int value(struct reader *r, const ProtobufCMessageDescriptor *d,
		 const ProtobufCFieldDescriptor *f, yyjson_val *v, void *p,
		 const struct json_at *at)
{
	bool text = json_bytes_are_text(d, f, r->flags);
	double number = 0;
	float narrow;

	switch ((int)f->type) {
	case PROTOBUF_C_TYPE_STRING:
		return take_string(r, v, at, p);
	case PROTOBUF_C_TYPE_BYTES:
		return take_bytes(r, v, text, at, p);
	case PROTOBUF_C_TYPE_BOOL:
		return take_bool(r, v, at, p);
	case PROTOBUF_C_TYPE_MESSAGE:
		return message(r, v, f->descriptor, at, p);
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_DOUBLE:
		if (take_double(r, v, at, &number) < 0)
			return -1;
		narrow = (float)number;
		if (f->type == PROTOBUF_C_TYPE_DOUBLE)
			memcpy(p, &number, sizeof(number));
		else
			memcpy(p, &narrow, sizeof(narrow));
		return 0;
	default:
		return integer(r, f, v, p, at);
	}
}

/* The entries of a map<string, V>: one message for each member of v. */
static int map(struct reader *r, const ProtobufCFieldDescriptor *f, yyjson_val *v,
	       ProtobufCMessage **entries, const struct json_at *at)
{
	const ProtobufCMessageDescriptor *d = f->descriptor;
	yyjson_val *k, *item;
	size_t n = 0;

	json_each_member (k, item, v) {
		ProtobufCMessage *entry = pb_new(d, r->arena);
		const char *key = arena_strdup(r->arena, yyjson_get_str(k));
		struct json_at here = {.up = at, .key = key};
		char *place = (char *)entry + d->fields[1].offset;

		memcpy((char *)entry + d->fields[0].offset, &key, sizeof(key));
		if (!yyjson_is_null(item) &&
		    value(r, d, d->fields + 1, item, place, &here) < 0)
			return -1;
		entries[n++] = entry;
	}
	return 0;
}

static int list(struct reader *r, const ProtobufCMessageDescriptor *d,
		const ProtobufCFieldDescriptor *f, yyjson_val *v, char *items,
		const struct json_at *at)
{
	size_t size = json_size_of(f->type), n = 0;
	yyjson_val *item;

	json_each (item, v) {
		struct json_at here = {.up = at, .index = n};

		if (value(r, d, f, item, items + n * size, &here) < 0)
			return -1;
		n++;
	}
	return 0;
}

/* Puts v into field f of msg. */
static int member(struct reader *r, ProtobufCMessage *msg,
		  const ProtobufCFieldDescriptor *f, yyjson_val *v,
		  const struct json_at *at)
{
	const ProtobufCMessageDescriptor *d = msg->descriptor;
	char *place = (char *)msg + f->offset;
	bool is_map = pb_is_map(d, f);
	void *items;
	size_t n;
	int res;

	if (yyjson_is_null(v))
		return 0;
	if (f->label != PROTOBUF_C_LABEL_REPEATED)
		return value(r, d, f, v, place, at);
	if (is_map ? !yyjson_is_obj(v) : !yyjson_is_arr(v))
		return wrong(r, at, v, is_map ? "an object" : "a list");
	n = is_map ? yyjson_obj_size(v) : yyjson_arr_size(v);
	if (n == 0)
		return 0;
	items = arena_array(r->arena, n, json_size_of(f->type));
	res = is_map ? map(r, f, v, items, at) : list(r, d, f, v, items, at);
	if (res < 0)
		return -1;
	memcpy((char *)msg + f->quantifier_offset, &n, sizeof(n));
	memcpy(place, &items, sizeof(items));
	return 0;
}

/* A key that no field has. */
static int unknown(struct reader *r, const struct json_at *at)
{
	BUF_AUTO path = {0};

	if (!r->unknown)
		return json_at_err(at, r->err, "unknown field");
	json_at_add(at, &path);
	buf_add(r->unknown, path.data, path.len);
	buf_add_char(r->unknown, '\n');
	return 0;
}

static int message(struct reader *r, yyjson_val *v, const ProtobufCMessageDescriptor *d,
		   const struct json_at *at, ProtobufCMessage **ret)
{
	yyjson_val *k, *item;
	ProtobufCMessage *msg;
	uint64_t seen = 0, bit;

	if (!yyjson_is_obj(v))
		return wrong(r, at, v, "an object");
	msg = pb_new(d, r->arena);
	json_each_member (k, item, v) {
		struct json_at here = {.up = at, .key = yyjson_get_str(k)};
		const ProtobufCFieldDescriptor *f = find(d, here.key);

		if (!f) {
			if (unknown(r, &here) < 0)
				return -1;
			continue;
		}
		bit = UINT64_C(1) << (unsigned)(f - d->fields) % 64;
		if (seen & bit && d->n_fields <= 64)
			return json_at_err(&here, r->err, "given twice");
		seen |= bit;
		if (member(r, msg, f, item, &here) < 0)
			return -1;
	}
	*ret = msg;
	return 0;
}

int cri_json_read(yyjson_val *v, const ProtobufCMessageDescriptor *d, unsigned flags,
		  struct arena *a, struct buf *unknown_keys, ProtobufCMessage **ret_msg,
		  struct err *err)
{
	struct reader r = {
		.arena = a, .flags = flags, .unknown = unknown_keys, .err = err};

	return message(&r, v, pb_link(d), NULL, ret_msg);
}
