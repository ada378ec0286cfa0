/*
 * json: reading and writing JSON (RFC 8259) through yyjson. The one place
 * that includes <yyjson.h>; the types below are yyjson's, to be used with the
 * accessors here.
 *
 * Reading is bounded: JSON_MAX_DEPTH levels, the size that the caller allows.
 * Strings with an embedded NUL are refused, duplicate keys too.
 */
#ifndef WIRE_JSON_H
#define WIRE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <yyjson.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum { JSON_MAX_DEPTH = 64 };

/*
 * Parses n bytes. The document owns its strings (the input may go away) and
 * is freed with json_free. NULL on failure: "JSON: line L column C: why".
 */
yyjson_doc *json_parse(const void *data, size_t n, struct err *err);
void json_free(yyjson_doc **doc);
#define JSON_AUTO __attribute__((cleanup(json_free))) yyjson_doc *

/* A copy of a value as a document of its own, with no slack. Never NULL. */
yyjson_doc *json_copy(yyjson_val *v);

/*
 * A copy of an object in which the members of another one (JSON text, well-formed)
 * replace those of the same keys, or are added. Never NULL.
 */
yyjson_doc *json_merge(yyjson_val *obj, const char *members);

/*
 * Members of an object by key; a missing object, a missing key and null give
 * the default (NULL, def). A value of the wrong type gives the default too:
 * where that matters, use the _want functions.
 */
yyjson_val *json_get(yyjson_val *obj, const char *key);
const char *json_str(yyjson_val *obj, const char *key);
int64_t json_i64(yyjson_val *obj, const char *key, int64_t def);
uint64_t json_u64(yyjson_val *obj, const char *key, uint64_t def);
bool json_bool(yyjson_val *obj, const char *key, bool def);
yyjson_val *json_arr(yyjson_val *obj, const char *key);
yyjson_val *json_obj(yyjson_val *obj, const char *key);

/* A required string. The error names `where.key`. 0 or -1. */
int json_want_str(yyjson_val *obj, const char *where, const char *key, const char **ret,
		  struct err *err);

/*
 * json_each(v, iter, arr) walks an array, json_each_member(k, v, iter, obj) an
 * object; both do nothing for NULL or another type.
 */
#define json_each(v, arr)                                         \
	for (yyjson_arr_iter v##_it_ = yyjson_arr_iter_with(arr); \
	     (v = yyjson_arr_iter_next(&v##_it_));)
#define json_each_member(k, v, obj)                               \
	for (yyjson_obj_iter v##_it_ = yyjson_obj_iter_with(obj); \
	     (k = yyjson_obj_iter_next(&v##_it_)) &&              \
	     (v = yyjson_obj_iter_get_val(k), 1);)

/*
 * Writing: a document is built with yyjson_mut_* calls on a doc from
 * json_new, whose root is an object; json_write appends its text.
 */
yyjson_mut_doc *json_new(void);
void json_mut_free(yyjson_mut_doc **doc);
#define JSON_MUT_AUTO __attribute__((cleanup(json_mut_free))) yyjson_mut_doc *

/* Adds copies. NULL strings are left out; what is not UTF-8 in one becomes \\xNN. */
void json_add_str(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key, const char *s);
void json_add_i64(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key, int64_t v);
void json_add_u64(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key, uint64_t v);
void json_add_bool(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key, bool v);
yyjson_mut_val *json_add_obj(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key);
yyjson_mut_val *json_add_arr(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key);

/* Appends the text of the document: compact, or indented by two spaces. */
void json_write(const yyjson_mut_doc *d, bool pretty, struct buf *out);

/* The same for a value that was read. */
void json_write_val(yyjson_val *v, bool pretty, struct buf *out);

#endif
