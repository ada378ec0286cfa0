#include "list.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

void list_done(struct list *l)
{
	free(l->items);
	*l = (struct list){0};
}

static void free_regex(regex_t **re)
{
	if (*re)
		regfree(*re);
	free(*re);
	*re = NULL;
}

void list_query_done(struct list_query *q)
{
	free_regex(&q->name);
	free_regex(&q->space);
}

int list_regex(regex_t **ret, const char *pattern, struct err *err)
{
	regex_t *re;
	int r;

	if (str_empty(pattern))
		return 0;
	re = xcalloc(1, sizeof(*re));
	r = regcomp(re, pattern, REG_EXTENDED | REG_NOSUB);
	if (r != 0) {
		char why[200];

		regerror(r, re, why, sizeof(why));
		free(re);
		return err_set(err, ERR_INVALID, "pattern '%.200s': %s", pattern, why);
	}
	*ret = re;
	return 0;
}

size_t list_limit(const struct opts *o)
{
	int64_t n = opts_num(o, "last", 0);

	if (n > 0)
		return (size_t)n;
	return opts_flag(o, "latest") ? 1 : 0;
}

const char *list_label(yyjson_val *v, const char *label)
{
	const char *text = json_str(json_obj(v, "labels"), label);

	return text ? text : "unknown";
}

static bool matches_regex(const regex_t *re, const char *text)
{
	return !re || regexec(re, str_or_empty(text), 0, NULL, 0) == 0;
}

static bool matches(yyjson_val *v, const struct list_query *q)
{
	yyjson_val *meta = json_obj(v, "metadata");
	const char *space = json_str(meta, "namespace");

	if (!space)
		space = list_label(v, "io.kubernetes.pod.namespace");
	if (q->id && !str_starts(str_or_empty(json_str(v, "id")), q->id))
		return false;
	if (q->pod && !str_starts(str_or_empty(json_str(v, "podSandboxId")), q->pod))
		return false;
	return meta && matches_regex(q->name, json_str(meta, "name")) &&
	       matches_regex(q->space, space);
}

static int newest_first(const void *a, const void *b)
{
	int64_t x = ctl_i64(*(yyjson_val *const *)a, "createdAt");
	int64_t y = ctl_i64(*(yyjson_val *const *)b, "createdAt");

	return x < y ? 1 : x > y ? -1 : 0;
}

void list_select(yyjson_val *arr, const struct list_query *q, struct list *ret)
{
	yyjson_val *v;

	*ret = (struct list){
		.items = xcalloc(yyjson_arr_size(arr) + 1, sizeof(*ret->items))};
	json_each (v, arr)
		if (matches(v, q))
			ret->items[ret->n++] = v;
	qsort(ret->items, ret->n, sizeof(*ret->items), newest_first);
	if (q->newest && ret->n > q->newest)
		ret->n = q->newest;
}

int list_print(struct ctl *c, const char *key, const struct list *l,
	       enum print_format format, struct err *err)
{
	JSON_MUT_AUTO out = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(out);
	yyjson_mut_val *arr = json_add_arr(out, root, key);

	for (size_t i = 0; i < l->n; i++)
		yyjson_mut_arr_append(arr, yyjson_val_mut_copy(out, l->items[i]));
	return print_mut(c, root, format, err);
}

/* --- inspect ------------------------------------------------------------------------------- */

static void put_time(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key, int64_t ns)
{
	char text[PRINT_SHORT];

	if (!yyjson_mut_obj_get(obj, key))
		return;
	print_time(text, ns);
	yyjson_mut_obj_put(obj, yyjson_mut_strcpy(d, key), yyjson_mut_strcpy(d, text));
}

/*
 * A status with its times as text: what has not happened is the zero time. The keys of nulls
 * are null if they are not there, as with crictl.
 */
static yyjson_mut_val *readable(yyjson_mut_doc *d, yyjson_val *status,
				const char *const *nulls)
{
	const char *state = str_or_empty(json_str(status, "state"));
	bool created = str_eq(state, "CONTAINER_CREATED");
	bool ended =
		str_eq(state, "CONTAINER_EXITED") || str_eq(state, "CONTAINER_UNKNOWN");
	yyjson_mut_val *obj = yyjson_val_mut_copy(d, status);

	for (size_t i = 0; nulls[i]; i++)
		if (!yyjson_mut_obj_get(obj, nulls[i]))
			yyjson_mut_obj_add_null(d, obj, nulls[i]);
	put_time(d, obj, "createdAt", ctl_i64(status, "createdAt"));
	put_time(d, obj, "startedAt", created ? 0 : ctl_i64(status, "startedAt"));
	put_time(d, obj, "finishedAt", ended ? ctl_i64(status, "finishedAt") : 0);
	return obj;
}

static int inspect_one(struct ctl *c, const char *id, const struct inspect *in,
		       bool verbose, yyjson_mut_doc *out, yyjson_mut_val *arr,
		       struct err *err)
{
	JSON_AUTO doc = in->fetch(c, id, verbose, err);
	yyjson_val *root = yyjson_doc_get_root(doc), *status = json_obj(root, "status");
	yyjson_mut_val *v;

	if (!doc)
		return -1;
	if (!status)
		return err_set(err, ERR_INTERNAL, "%.64s: an answer without a status",
			       id);
	if (!arr) {
		in->say(c, root, verbose);
		return 0;
	}
	v = print_status(out, readable(out, status, in->nulls), json_obj(root, "info"),
			 err);
	if (!v)
		return -1;
	yyjson_mut_arr_append(arr, v);
	return 0;
}

int list_inspect(struct ctl *c, const struct opts *o, const struct list *found,
		 const struct inspect *in, struct err *err)
{
	JSON_MUT_AUTO out = json_new();
	yyjson_mut_val *arr = yyjson_mut_arr(out);
	enum print_format format;
	size_t n = o->argc ? (size_t)o->argc : found->n;

	if (print_format_of(opts_text(o, "output"), PRINT_JSON, &format, err) < 0)
		return -1;
	if (n == 0)
		return err_set(err, ERR_NOT_FOUND, "no id given, and nothing matches");
	for (size_t i = 0; i < n; i++) {
		const char *id = o->argc ? o->argv[i] : json_str(found->items[i], "id");

		if (inspect_one(c, id, in, !opts_flag(o, "quiet"), out,
				format == PRINT_TABLE ? NULL : arr, err) < 0)
			return -1;
	}
	if (format == PRINT_TABLE)
		return 0;
	/* one object is printed without the list */
	return print_sorted(c, n == 1 ? yyjson_mut_arr_get_first(arr) : arr, format, err);
}

/* --- rm -------------------------------------------------------------------------------------- */

int list_remove(struct ctl *c, const struct opts *o, enum cri_rpc rpc, const char *key,
		const char *what,
		int (*fn)(struct ctl *c, const struct opts *o, const char *id,
			  struct err *err),
		struct err *err)
{
	JSON_AUTO doc = NULL;
	yyjson_val *arr, *v;
	const char **ids;
	size_t n = 0;

	if (!opts_flag(o, "all")) {
		if (o->argc == 0)
			return err_set(err, ERR_INVALID, "which %s? (ids, or --all)",
				       what);
		return ctl_each(c, (const char *const *)o->argv, (size_t)o->argc, fn, o,
				err);
	}
	doc = ctl_call(c, rpc, NULL, WAIT_QUICK, 0, err);
	if (!doc)
		return -1;
	arr = json_arr(yyjson_doc_get_root(doc), key);
	ids = arena_array(&c->arena, yyjson_arr_size(arr) + 1, sizeof(*ids));
	json_each (v, arr)
		ids[n++] = json_str(v, "id");
	return ctl_each(c, ids, n, fn, o, err);
}
