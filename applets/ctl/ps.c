/* ps: listing containers, and showing all about them. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "list.h"

static int add_state(yyjson_mut_doc *d, yyjson_mut_val *filter, const char *state,
		     struct err *err)
{
	static const char *const names[][2] = {
		{"created", "CONTAINER_CREATED"},
		{"running", "CONTAINER_RUNNING"},
		{"exited", "CONTAINER_EXITED"},
		{"unknown", "CONTAINER_UNKNOWN"},
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcasecmp(state, names[i][0]) == 0) {
			json_add_str(d, json_add_obj(d, filter, "state"), "state",
				     names[i][1]);
			return 0;
		}
	return err_set(err, ERR_INVALID,
		       "--state is created, running, exited or unknown, not '%.100s'",
		       state);
}

static const char *image_id(struct ctl *c, const char *name, struct err *err)
{
	JSON_AUTO doc = images_status(c, name, false, err);

	if (!doc)
		return NULL;
	return arena_strdup(&c->arena,
			    str_or_empty(json_str(
				    json_obj(yyjson_doc_get_root(doc), "image"), "id")));
}

/* Keeps the containers whose image is the one that is named; an unknown one has none. */
static int keep_image(struct ctl *c, const char *name, struct list *l, struct err *err)
{
	const char *want;
	size_t n = 0;

	if (str_empty(name))
		return 0;
	want = image_id(c, name, err);
	if (!want)
		return -1;
	for (size_t i = 0; i < l->n && *want; i++) {
		const char *id = image_id(
			c,
			str_or_empty(json_str(json_obj(l->items[i], "image"), "image")),
			err);

		if (!id)
			return -1;
		if (str_eq(id, want))
			l->items[n++] = l->items[i];
	}
	l->n = n;
	return 0;
}

int containers_list(struct ctl *c, const struct opts *o, bool all, const char *id,
		    yyjson_doc **ret_doc, struct list *ret, struct err *err)
{
	JSON_MUT_AUTO req = json_new();
	yyjson_mut_val *filter =
		json_add_obj(req, yyjson_mut_doc_get_root(req), "filter");
	size_t newest = list_limit(o);
	const char *state = opts_text(o, "state");
	LIST_QUERY_AUTO q = {.id = id, .pod = opts_text(o, "pod")};

	if (newest && str_empty(state))
		all = true;
	if (!all && str_empty(state))
		state = "running";
	if (!str_empty(state) && add_state(req, filter, state, err) < 0)
		return -1;
	if (newest) /* includes all states */
		yyjson_mut_obj_remove_key(filter, "state");
	if (ctl_add_labels(req, filter, "label_selector", opts_get(o, "label"), err) <
		    0 ||
	    list_regex(&q.name, opts_text(o, "name"), err) < 0 ||
	    list_regex(&q.space, opts_text(o, "namespace"), err) < 0)
		return -1;
	*ret_doc = ctl_call(c, CRI_RPC_ListContainers, req, WAIT_QUICK, 0, err);
	if (!*ret_doc)
		return -1;
	list_select(json_arr(yyjson_doc_get_root(*ret_doc), "containers"), &q, ret);
	if (keep_image(c, opts_text(o, "image"), ret, err) < 0)
		return -1;
	if (newest && ret->n > newest)
		ret->n = newest;
	return 0;
}

yyjson_doc *containers_status(struct ctl *c, const char *id, bool verbose,
			      struct err *err)
{
	JSON_MUT_AUTO req = NULL;

	id = ctl_container_id(c, id, err);
	if (!id)
		return NULL;
	req = ctl_request("container_id", id);
	json_add_bool(req, yyjson_mut_doc_get_root(req), "verbose", verbose);
	return ctl_call(c, CRI_RPC_ContainerStatus, req, WAIT_QUICK, 0, err);
}

/* --- ps -------------------------------------------------------------------------------------- */

/* "CONTAINER_RUNNING" as "Running". */
static const char *state_of(struct ctl *c, yyjson_val *v)
{
	const char *name = str_or_empty(json_str(v, "state"));
	char *word;

	if (str_starts(name, "CONTAINER_"))
		name += strlen("CONTAINER_");
	word = arena_strdup(&c->arena, name);
	for (char *p = word; *p && p[1]; p++)
		if (p[1] >= 'A' && p[1] <= 'Z')
			p[1] = (char)(p[1] | 32);
	return word;
}

/* What stands in the column IMAGE; NULL on failure. */
static const char *image_of(struct ctl *c, const struct opts *o, yyjson_val *v,
			    struct err *err)
{
	const char *image = str_or_empty(json_str(json_obj(v, "image"), "image"));

	if (opts_flag(o, "resolve-image-path")) {
		JSON_AUTO doc = images_status(c, image, false, err);
		yyjson_val *tags;

		if (!doc)
			return NULL;
		tags = json_arr(json_obj(yyjson_doc_get_root(doc), "image"), "repoTags");
		if (yyjson_arr_size(tags))
			return arena_strdup(
				&c->arena,
				str_or_empty(yyjson_get_str(yyjson_arr_get_first(tags))));
	}
	if (str_starts(image, "sha256:"))
		return print_id(c, image, opts_flag(o, "no-trunc"));
	return image;
}

static const char *id_of(struct ctl *c, const struct opts *o, yyjson_val *v,
			 const char *key)
{
	const char *id = str_or_empty(json_str(v, key));

	return opts_flag(o, "no-trunc") ? id : arena_strndup(&c->arena, id, PRINT_ID);
}

static int add_row(struct ctl *c, const struct opts *o, struct table *t, yyjson_val *v,
		   struct err *err)
{
	const char *image = image_of(c, o, v, err);
	yyjson_val *meta = json_obj(v, "metadata");
	char ago[PRINT_SHORT];

	if (!image)
		return -1;
	print_ago(ago, ctl_i64(v, "createdAt"));
	table_add(t, id_of(c, o, v, "id"));
	table_add(t, image);
	table_add(t, ago);
	table_add(t, state_of(c, v));
	table_add(t, json_str(meta, "name"));
	table_add(t, arena_fmt(&c->arena, "%u", (unsigned)ctl_i64(meta, "attempt")));
	table_add(t, id_of(c, o, v, "podSandboxId"));
	table_add(t, list_label(v, "io.kubernetes.pod.name"));
	table_add(t, list_label(v, "io.kubernetes.pod.namespace"));
	return 0;
}

static void say_container(struct ctl *c, yyjson_val *v)
{
	yyjson_val *meta = json_obj(v, "metadata"), *image = json_obj(v, "image");
	char ago[PRINT_SHORT];

	ctl_say(c, "ID: %s\n", json_str(v, "id"));
	ctl_say(c, "PodID: %s\n", json_str(v, "podSandboxId"));
	ctl_say(c, "Namespace: %s\n", list_label(v, "io.kubernetes.pod.namespace"));
	if (!str_empty(json_str(meta, "name")))
		ctl_say(c, "Name: %s\n", json_str(meta, "name"));
	if (meta)
		ctl_say(c, "Attempt: %ld\n", (long)ctl_i64(meta, "attempt"));
	ctl_say(c, "State: %s\n", state_of(c, v));
	if (image)
		ctl_say(c, "Image: %s\n", json_str(image, "image"));
	print_ago(ago, ctl_i64(v, "createdAt"));
	ctl_say(c, "Created: %s\n", ago);
	print_map(c, "Labels", json_obj(v, "labels"));
	print_map(c, "Annotations", json_obj(v, "annotations"));
	ctl_say(c, "\n");
}

static int run_ps(struct ctl *c, const struct opts *o, struct err *err)
{
	static const char *const head[] = {"CONTAINER", "IMAGE",   "CREATED", "STATE",
					   "NAME",	"ATTEMPT", "POD ID",  "POD",
					   "NAMESPACE", NULL};
	JSON_AUTO doc = NULL;
	LIST_AUTO found = {0};
	TABLE_AUTO t = {0};
	enum print_format format;
	bool quiet = opts_flag(o, "quiet"), verbose = opts_flag(o, "verbose");

	if (print_format_of(opts_text(o, "output"), PRINT_TABLE, &format, err) < 0 ||
	    containers_list(c, o, opts_flag(o, "all"), opts_text(o, "id"), &doc, &found,
			    err) < 0)
		return -1;
	if (format != PRINT_TABLE)
		return list_print(c, "containers", &found, format, err);
	table_add_head(&t, head);
	for (size_t i = 0; i < found.n; i++) {
		if (quiet)
			ctl_say(c, "%s\n", json_str(found.items[i], "id"));
		else if (verbose)
			say_container(c, found.items[i]);
		else if (add_row(c, o, &t, found.items[i], err) < 0)
			return -1;
	}
	if (!quiet && !verbose)
		table_print(c, &t);
	return 0;
}

/* --- inspect ---------------------------------------------------------------------------------- */

static void say_status(struct ctl *c, yyjson_val *answer, bool verbose)
{
	yyjson_val *v = json_obj(answer, "status"), *meta = json_obj(v, "metadata");
	const char *state = str_or_empty(json_str(v, "state"));
	char ago[PRINT_SHORT];

	ctl_say(c, "ID: %s\n", json_str(v, "id"));
	if (!str_empty(json_str(meta, "name")))
		ctl_say(c, "Name: %s\n", json_str(meta, "name"));
	if (ctl_i64(meta, "attempt"))
		ctl_say(c, "Attempt: %ld\n", (long)ctl_i64(meta, "attempt"));
	ctl_say(c, "State: %s\n", state);
	print_ago(ago, ctl_i64(v, "createdAt"));
	ctl_say(c, "Created: %s\n", ago);
	if (!str_eq(state, "CONTAINER_CREATED")) {
		print_ago(ago, ctl_i64(v, "startedAt"));
		ctl_say(c, "Started: %s\n", ago);
	}
	if (str_eq(state, "CONTAINER_EXITED")) {
		if (ctl_i64(v, "finishedAt") > 0) {
			print_ago(ago, ctl_i64(v, "finishedAt"));
			ctl_say(c, "Finished: %s\n", ago);
		}
		ctl_say(c, "Exit Code: %ld\n", (long)ctl_i64(v, "exitCode"));
	}
	print_map(c, "Labels", json_obj(v, "labels"));
	print_map(c, "Annotations", json_obj(v, "annotations"));
	if (verbose)
		print_info(c, json_obj(answer, "info"));
}

static int run_inspect(struct ctl *c, const struct opts *o, struct err *err)
{
	static const char *const nulls[] = {"image", "metadata", "resources", "user",
					    NULL};
	JSON_AUTO doc = NULL;
	LIST_AUTO found = {0};
	struct inspect in = {
		.nulls = nulls, .fetch = containers_status, .say = say_status};

	if (o->argc == 0 &&
	    containers_list(c, o, opts_flag(o, "all"), NULL, &doc, &found, err) < 0)
		return -1;
	return list_inspect(c, o, &found, &in, err);
}

/* --- the tables ------------------------------------------------------------------------------ */

#define FILTERS                                                             \
	"  -a, --all                   also those that do not run\n"        \
	"      --name REGEX            whose names match\n"                 \
	"      --namespace REGEX       in pod namespaces that match\n"      \
	"  -p, --pod ID                of the pod whose id begins so\n"     \
	"      --image IMAGE           of this image\n"                     \
	"  -s, --state STATE           created, running, exited, unknown\n" \
	"      --label KEY=VALUE       with this label (repeatable)\n"      \
	"  -l, --latest                only the newest, in any state\n"     \
	"  -n, --last N                only the N newest, in any state\n"

static const char ps_opts[] =
	LIST_OPTS(FILTERS) "  -r, --resolve-image-path    an image's name, not its id\n";

static const char inspect_opts[] = FILTERS INSPECT_OPTS;

const struct command ctl_ps = {
	.name = "ps",
	.purpose = "List containers that run, newest first",
	.opts = ps_opts,
	.run = run_ps,
};

const struct command ctl_inspect = {
	.name = "inspect",
	.synopsis = "[CONTAINER-ID...]",
	.purpose = "Show all about containers: those named, or those that match",
	.opts = inspect_opts,
	.max = -1,
	.run = run_inspect,
};
