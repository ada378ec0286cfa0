#include "wire/yaml.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/num.h"
#include "base/str.h"
#include "wire/yaml-int.h"

struct anchor {
	char *name;
	yyjson_mut_val *val;
	size_t nodes;
	struct anchor *next;
};

struct reader {
	yaml_parser_t parser;
	yyjson_mut_doc *doc;
	struct anchor *anchors;
	size_t nodes;
	unsigned depth;
	struct err *err;
};

static int fail(struct reader *r, yaml_mark_t at, const char *why)
{
	return err_set(r->err, ERR_INVALID, "YAML: line %zu column %zu: %s", at.line + 1,
		       at.column + 1, why);
}

static int next_event(struct reader *r, yaml_event_t *ev)
{
	yaml_parser_t *p = &r->parser;
	yaml_mark_t at;

	if (yaml_parser_parse(p, ev))
		return 0;
	if (p->error == YAML_MEMORY_ERROR)
		err_oom(0);
	at = p->problem_mark;
	if (p->error == YAML_READER_ERROR)
		return err_set(r->err, ERR_INVALID, "YAML: at byte %zu: %s",
			       p->problem_offset, p->problem);
	return fail(r, at, p->problem ? p->problem : "syntax error");
}

/* Frees the event at the end of the scope; yaml_event_delete clears it. */
#define EVENT_AUTO __attribute__((cleanup(yaml_event_delete))) yaml_event_t

static int count(struct reader *r, yaml_mark_t at, size_t n)
{
	if (n > YAML_MAX_NODES - r->nodes)
		return fail(r, at, "the document is too large");
	r->nodes += n;
	return 0;
}

static void keep_anchor(struct reader *r, const yaml_char_t *name, yyjson_mut_val *val,
			size_t nodes)
{
	struct anchor *a;

	if (!name)
		return;
	a = xcalloc(1, sizeof(*a));
	a->name = xstrdup((const char *)name);
	a->val = val;
	a->nodes = nodes;
	a->next = r->anchors;
	r->anchors = a;
}

static yyjson_mut_val *read_alias(struct reader *r, const yaml_event_t *ev)
{
	for (struct anchor *a = r->anchors; a; a = a->next)
		if (str_eq(a->name, (const char *)ev->data.alias.anchor)) {
			if (count(r, ev->start_mark, a->nodes) < 0)
				return NULL;
			return yyjson_mut_val_mut_copy(r->doc, a->val);
		}
	fail(r, ev->start_mark, "an alias without its anchor before it");
	return NULL;
}

static yyjson_mut_val *make_scalar(struct reader *r, const yaml_event_t *ev,
				   const struct yaml_scalar *s)
{
	switch (s->kind) {
	case YAML_KIND_NULL:
		return yyjson_mut_null(r->doc);
	case YAML_KIND_BOOL:
		return yyjson_mut_bool(r->doc, s->boolean);
	case YAML_KIND_INT:
		return yyjson_mut_sint(r->doc, s->i);
	case YAML_KIND_UINT:
		return yyjson_mut_uint(r->doc, s->u);
	case YAML_KIND_REAL:
		/* 1e3 where text is wanted becomes "1000", as in Go */
		if (fabs(s->real) < 1e15 && floor(s->real) >= s->real)
			return yyjson_mut_sint(r->doc, (int64_t)s->real);
		return yyjson_mut_real(r->doc, s->real);
	case YAML_KIND_NAN:
		fail(r, ev->start_mark,
		     "not a number or infinite: JSON has no such value");
		return NULL;
	case YAML_KIND_STR:
	case YAML_KIND_TIME:
	case YAML_KIND_MERGE:
		break;
	}
	return yyjson_mut_strncpy(r->doc, (const char *)ev->data.scalar.value,
				  ev->data.scalar.length);
}

static yyjson_mut_val *read_scalar(struct reader *r, const yaml_event_t *ev)
{
	const char *text = (const char *)ev->data.scalar.value;
	const char *tag = (const char *)ev->data.scalar.tag;
	bool plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	struct yaml_scalar s = {.kind = YAML_KIND_STR};

	if (strlen(text) != ev->data.scalar.length) {
		fail(r, ev->start_mark, "a string holds a NUL");
		return NULL;
	}
	if (tag && (str_eq(tag, YAML_STR_TAG) || str_eq(tag, "!"))) {
		plain = false;
	} else if (tag && (str_eq(tag, YAML_INT_TAG) || str_eq(tag, YAML_FLOAT_TAG) ||
			   str_eq(tag, YAML_BOOL_TAG) || str_eq(tag, YAML_NULL_TAG))) {
		plain = true;
	} else if (tag) {
		fail(r, ev->start_mark, "a tag that has no meaning here");
		return NULL;
	}
	if (plain)
		yaml_resolve(text, &s);
	return make_scalar(r, ev, &s);
}

static yyjson_mut_val *read_node(struct reader *r, const yaml_event_t *ev);

static yyjson_mut_val *read_list(struct reader *r)
{
	yyjson_mut_val *arr = yyjson_mut_arr(r->doc);

	for (;;) {
		EVENT_AUTO ev = {0};
		yyjson_mut_val *v;

		if (next_event(r, &ev) < 0)
			return NULL;
		if (ev.type == YAML_SEQUENCE_END_EVENT)
			return arr;
		v = read_node(r, &ev);
		if (!v)
			return NULL;
		yyjson_mut_arr_append(arr, v);
	}
}

/* "<<": the members of `from` that obj does not have. */
static int merge(struct reader *r, yaml_mark_t at, yyjson_mut_val *obj,
		 yyjson_mut_val *from)
{
	yyjson_mut_obj_iter it;
	yyjson_mut_val *k;

	if (yyjson_mut_is_arr(from)) {
		yyjson_mut_arr_iter list = yyjson_mut_arr_iter_with(from);
		yyjson_mut_val *v;

		while ((v = yyjson_mut_arr_iter_next(&list)))
			if (yyjson_mut_is_arr(v) || merge(r, at, obj, v) < 0)
				return fail(r, at, "only mappings can be merged");
		return 0;
	}
	if (!yyjson_mut_is_obj(from))
		return fail(r, at, "only mappings can be merged");
	it = yyjson_mut_obj_iter_with(from);
	while ((k = yyjson_mut_obj_iter_next(&it))) {
		yyjson_mut_val *v = yyjson_mut_obj_iter_get_val(k);

		if (yyjson_mut_obj_get(obj, yyjson_mut_get_str(k)))
			continue;
		if (count(r, at, 2) < 0)
			return -1;
		yyjson_mut_obj_add(obj, yyjson_mut_val_mut_copy(r->doc, k),
				   yyjson_mut_val_mut_copy(r->doc, v));
	}
	return 0;
}

/* The members in order, merges behind them: what is said outright wins (YAML merge type). */
static int read_members(struct reader *r, yyjson_mut_val *obj, yyjson_mut_val *merges)
{
	for (;;) {
		EVENT_AUTO ev = {0};
		EVENT_AUTO value = {0};
		yyjson_mut_val *k, *v;
		struct yaml_scalar s = {0};

		if (next_event(r, &ev) < 0)
			return -1;
		if (ev.type == YAML_MAPPING_END_EVENT)
			return 0;
		if (ev.type != YAML_SCALAR_EVENT)
			return fail(r, ev.start_mark, "a key that is not a scalar");
		if (strlen((const char *)ev.data.scalar.value) != ev.data.scalar.length)
			return fail(r, ev.start_mark, "a key holds a NUL");
		if (next_event(r, &value) < 0)
			return -1;
		v = read_node(r, &value);
		if (!v)
			return -1;
		if (ev.data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
			yaml_resolve((const char *)ev.data.scalar.value, &s);
		if (s.kind == YAML_KIND_MERGE) {
			yyjson_mut_arr_append(merges, v);
			continue;
		}
		if (yyjson_mut_obj_getn(obj, (const char *)ev.data.scalar.value,
					ev.data.scalar.length))
			return fail(r, ev.start_mark, "a key that is there already");
		k = yyjson_mut_strncpy(r->doc, (const char *)ev.data.scalar.value,
				       ev.data.scalar.length);
		if (count(r, ev.start_mark, 1) < 0)
			return -1;
		yyjson_mut_obj_add(obj, k, v);
	}
}

static yyjson_mut_val *read_map(struct reader *r, yaml_mark_t at)
{
	yyjson_mut_val *obj = yyjson_mut_obj(r->doc), *merges = yyjson_mut_arr(r->doc),
		       *v;
	yyjson_mut_arr_iter it;

	if (read_members(r, obj, merges) < 0)
		return NULL;
	it = yyjson_mut_arr_iter_with(merges);
	while ((v = yyjson_mut_arr_iter_next(&it)))
		if (merge(r, at, obj, v) < 0)
			return NULL;
	return obj;
}

/* The node that ev begins. Recursion is bounded by JSON_MAX_DEPTH. */
static yyjson_mut_val *read_node(struct reader *r, const yaml_event_t *ev)
{
	size_t before = r->nodes;
	const yaml_char_t *anchor = NULL;
	yyjson_mut_val *v = NULL;

	if (count(r, ev->start_mark, 1) < 0)
		return NULL;
	if (ev->type == YAML_ALIAS_EVENT)
		return read_alias(r, ev);
	if (ev->type == YAML_SCALAR_EVENT) {
		anchor = ev->data.scalar.anchor;
		v = read_scalar(r, ev);
	} else if (++r->depth > JSON_MAX_DEPTH) {
		fail(r, ev->start_mark, "nested too deep");
	} else if (ev->type == YAML_SEQUENCE_START_EVENT) {
		anchor = ev->data.sequence_start.anchor;
		v = read_list(r);
	} else {
		anchor = ev->data.mapping_start.anchor;
		v = read_map(r, ev->start_mark);
	}
	if (ev->type != YAML_SCALAR_EVENT)
		r->depth--;
	if (v)
		keep_anchor(r, anchor, v, r->nodes - before);
	return v;
}

/*
 * Whether a tree, which aliases may have made deeper than what was read, is no deeper than
 * that. Recursion ends there too.
 */
static bool within_depth(yyjson_val *v, unsigned left)
{
	yyjson_val *k, *child;

	if (!yyjson_is_ctn(v))
		return true;
	if (left == 0)
		return false;
	json_each (child, v)
		if (!within_depth(child, left - 1))
			return false;
	json_each_member (k, child, v)
		if (!within_depth(child, left - 1))
			return false;
	return true;
}

static int read_stream(struct reader *r)
{
	for (;;) {
		EVENT_AUTO ev = {0};
		yyjson_mut_val *v;

		if (next_event(r, &ev) < 0)
			return -1;
		if (ev.type == YAML_STREAM_END_EVENT)
			return 0;
		if (ev.type == YAML_STREAM_START_EVENT ||
		    ev.type == YAML_DOCUMENT_END_EVENT)
			continue;
		if (ev.type == YAML_DOCUMENT_START_EVENT) {
			if (yyjson_mut_doc_get_root(r->doc))
				return fail(r, ev.start_mark, "a second document");
			continue;
		}
		v = read_node(r, &ev);
		if (!v)
			return -1;
		yyjson_mut_doc_set_root(r->doc, v);
	}
}

static void reader_done(struct reader *r)
{
	while (r->anchors) {
		struct anchor *a = r->anchors;

		r->anchors = a->next;
		free(a->name);
		free(a);
	}
	yaml_parser_delete(&r->parser);
	yyjson_mut_doc_free(r->doc);
}

yyjson_doc *yaml_parse(const void *data, size_t n, struct err *err)
{
	struct reader r = {.err = err};
	yyjson_doc *doc = NULL;

	if (n > YAML_MAX_INPUT) {
		err_set(err, ERR_INVALID, "YAML: larger than %d bytes", YAML_MAX_INPUT);
		return NULL;
	}
	if (!yaml_parser_initialize(&r.parser))
		err_oom(0);
	r.doc = yyjson_mut_doc_new(NULL);
	if (!r.doc)
		err_oom(0);
	yaml_parser_set_input_string(&r.parser, data ? data : (const void *)"", n);
	if (read_stream(&r) == 0) {
		if (!yyjson_mut_doc_get_root(r.doc))
			yyjson_mut_doc_set_root(r.doc, yyjson_mut_null(r.doc));
		doc = yyjson_mut_doc_imut_copy(r.doc, NULL);
		if (!doc)
			err_oom(0);
		if (!within_depth(yyjson_doc_get_root(doc), JSON_MAX_DEPTH)) {
			err_set(err, ERR_INVALID, "YAML: nested too deep");
			json_free(&doc);
		}
	}
	reader_done(&r);
	return doc;
}
