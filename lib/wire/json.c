#include "wire/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

struct walk {
	unsigned depth;
	const char *why;
	char where[160]; /* "a.b[2]", built from its end; what does not fit is left out */
};

/* Puts a step in front of where. */
static void came_through(struct walk *w, const char *key, size_t i)
{
	char step[96];
	size_t n, len = strlen(w->where);

	if (key)
		snprintf(step, sizeof(step), "%.64s%s", key,
			 *w->where && *w->where != '[' ? "." : "");
	else
		snprintf(step, sizeof(step), "[%zu]%s", i,
			 *w->where && *w->where != '[' ? "." : "");
	n = strlen(step);
	if (n + len >= sizeof(w->where))
		return;
	memmove(w->where + n, w->where, len + 1);
	memcpy(w->where, step, n);
}

/* For qsort of C strings. */
static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool has_duplicates(yyjson_val *obj)
{
	size_t n = yyjson_obj_size(obj), i = 0;
	const char **keys;
	yyjson_val *k, *v;
	bool found = false;

	if (n < 2)
		return false;
	keys = xmalloc(n * sizeof(*keys));
	json_each_member (k, v, obj)
		if (v)
			keys[i++] = yyjson_get_str(k);
	qsort(keys, n, sizeof(*keys), compare_keys);
	for (i = 1; i < n && !found; i++)
		found = str_eq(keys[i - 1], keys[i]);
	free(keys);
	return found;
}

static bool string_ok(yyjson_val *v)
{
	return strlen(yyjson_get_str(v)) == yyjson_get_len(v);
}

/* Checks depth, NULs and duplicate keys. Depth bounds the recursion. */
static int check(yyjson_val *v, struct walk *w)
{
	yyjson_val *k, *child;
	size_t i = 0;

	if (yyjson_is_str(v) && !string_ok(v)) {
		w->why = "a string holds a NUL";
		return -1;
	}
	if (!yyjson_is_ctn(v))
		return 0;
	if (++w->depth > JSON_MAX_DEPTH) {
		w->why = "nested too deep";
		return -1;
	}
	json_each_member (k, child, v) {
		if (!string_ok(k)) {
			w->why = "a key holds a NUL";
			return -1;
		}
		if (check(child, w) < 0) {
			came_through(w, yyjson_get_str(k), 0);
			return -1;
		}
	}
	json_each (child, v) {
		if (check(child, w) < 0) {
			came_through(w, NULL, i);
			return -1;
		}
		i++;
	}
	if (yyjson_is_obj(v) && has_duplicates(v)) {
		w->why = "a key occurs twice in one object";
		return -1;
	}
	w->depth--;
	return 0;
}

yyjson_doc *json_parse(const void *data, size_t n, struct err *err)
{
	yyjson_read_err e;
	yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)data, n, 0, NULL, &e);
	size_t line = 0, col = 0, chr = 0;
	struct walk w = {0};

	if (!doc) {
		if (e.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
			err_oom(n);
		if (n)
			yyjson_locate_pos(data, n, e.pos, &line, &col, &chr);
		err_set(err, ERR_INVALID, "JSON: line %zu column %zu: %s", line, col,
			e.msg);
		return NULL;
	}
	if (check(yyjson_doc_get_root(doc), &w) < 0) {
		yyjson_doc_free(doc);
		err_set(err, ERR_INVALID, "JSON: %s%s%s", w.where, *w.where ? ": " : "",
			w.why);
		return NULL;
	}
	return doc;
}

void json_free(yyjson_doc **doc)
{
	yyjson_doc_free(*doc);
	*doc = NULL;
}

static yyjson_doc *freeze(yyjson_mut_doc *d)
{
	yyjson_doc *doc = yyjson_mut_doc_imut_copy(d, NULL);

	if (!doc)
		err_oom(sizeof(doc));
	return doc;
}

yyjson_doc *json_copy(yyjson_val *v)
{
	JSON_MUT_AUTO d = json_new();

	yyjson_mut_doc_set_root(d, yyjson_val_mut_copy(d, v));
	return freeze(d);
}

yyjson_doc *json_merge(yyjson_val *obj, const char *members)
{
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_val_mut_copy(d, obj);
	struct err err;
	JSON_AUTO add = json_parse(members, strlen(members), &err);
	yyjson_val *k, *v;

	yyjson_mut_doc_set_root(d, root);
	json_each_member (k, v, yyjson_doc_get_root(add)) {
		yyjson_mut_obj_remove_key(root, yyjson_get_str(k));
		yyjson_mut_obj_add(root, yyjson_val_mut_copy(d, k),
				   yyjson_val_mut_copy(d, v));
	}
	return freeze(d);
}

yyjson_val *json_get(yyjson_val *obj, const char *key)
{
	yyjson_val *v = yyjson_obj_get(obj, key);

	return v && !yyjson_is_null(v) ? v : NULL;
}

const char *json_str(yyjson_val *obj, const char *key)
{
	return yyjson_get_str(json_get(obj, key));
}

int64_t json_i64(yyjson_val *obj, const char *key, int64_t def)
{
	yyjson_val *v = json_get(obj, key);

	if (!yyjson_is_int(v) || (yyjson_is_uint(v) && yyjson_get_uint(v) > INT64_MAX))
		return def;
	return yyjson_get_sint(v);
}

uint64_t json_u64(yyjson_val *obj, const char *key, uint64_t def)
{
	yyjson_val *v = json_get(obj, key);

	return yyjson_is_uint(v) ? yyjson_get_uint(v) : def;
}

bool json_bool(yyjson_val *obj, const char *key, bool def)
{
	yyjson_val *v = json_get(obj, key);

	return yyjson_is_bool(v) ? yyjson_get_bool(v) : def;
}

yyjson_val *json_arr(yyjson_val *obj, const char *key)
{
	yyjson_val *v = json_get(obj, key);

	return yyjson_is_arr(v) ? v : NULL;
}

yyjson_val *json_obj(yyjson_val *obj, const char *key)
{
	yyjson_val *v = json_get(obj, key);

	return yyjson_is_obj(v) ? v : NULL;
}

int json_want_str(yyjson_val *obj, const char *where, const char *key, const char **ret,
		  struct err *err)
{
	const char *s = json_str(obj, key);

	if (!s)
		return err_set(err, ERR_INVALID, "%s.%s: %s", where, key,
			       json_get(obj, key) ? "not a string" : "missing");
	*ret = s;
	return 0;
}

yyjson_mut_doc *json_new(void)
{
	yyjson_mut_doc *d = yyjson_mut_doc_new(NULL);

	if (!d)
		err_oom(sizeof(d));
	yyjson_mut_doc_set_root(d, yyjson_mut_obj(d));
	return d;
}

void json_mut_free(yyjson_mut_doc **doc)
{
	yyjson_mut_doc_free(*doc);
	*doc = NULL;
}

/* Adds a value under a copy of key. NULL is out of memory. */
static void add(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key,
		yyjson_mut_val *v)
{
	yyjson_mut_val *k = yyjson_mut_strcpy(d, key);

	if (!k || !v)
		err_oom(strlen(key));
	yyjson_mut_obj_add(obj, k, v);
}

void json_add_str(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key, const char *s)
{
	BUF_AUTO text = {0};
	size_t n = s ? strlen(s) : 0;

	if (s && !str_is_utf8(s, n)) { /* JSON has no other text: what is not gets \xNN */
		str_escape(&text, s, n);
		s = buf_str(&text);
	}
	if (s)
		add(d, obj, key, yyjson_mut_strcpy(d, s));
}

void json_add_i64(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key, int64_t v)
{
	add(d, obj, key, yyjson_mut_sint(d, v));
}

void json_add_u64(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key, uint64_t v)
{
	add(d, obj, key, yyjson_mut_uint(d, v));
}

void json_add_bool(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key, bool v)
{
	add(d, obj, key, yyjson_mut_bool(d, v));
}

yyjson_mut_val *json_add_obj(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key)
{
	yyjson_mut_val *v = yyjson_mut_obj(d);

	add(d, obj, key, v);
	return v;
}

yyjson_mut_val *json_add_arr(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key)
{
	yyjson_mut_val *v = yyjson_mut_arr(d);

	add(d, obj, key, v);
	return v;
}

static void append(char *text, size_t n, struct buf *out)
{
	if (!text)
		err_oom(n);
	buf_add(out, text, n);
	free(text);
}

void json_write(const yyjson_mut_doc *d, bool pretty, struct buf *out)
{
	size_t n = 0;
	char *text = yyjson_mut_write(d, pretty ? YYJSON_WRITE_PRETTY_TWO_SPACES : 0, &n);

	append(text, n, out);
}

void json_write_val(yyjson_val *v, bool pretty, struct buf *out)
{
	size_t n = 0;
	char *text = yyjson_val_write(v, pretty ? YYJSON_WRITE_PRETTY_TWO_SPACES : 0, &n);

	append(text, n, out);
}
