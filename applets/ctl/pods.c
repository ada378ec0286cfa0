/* pods: the commands about pod sandboxes. */
#include <regex.h>
#include <stdlib.h>

#include "base/num.h"
#include "base/str.h"
#include "list.h"
#include "print.h"

/* --- runp ------------------------------------------------------------------------------------ */

const char *pods_run(struct ctl *c, yyjson_doc *config, const char *handler,
		     int64_t timeout, struct err *err)
{
	JSON_MUT_AUTO req = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(req);
	JSON_AUTO doc = NULL;

	yyjson_mut_obj_add_val(req, root, "config",
			       yyjson_val_mut_copy(req, yyjson_doc_get_root(config)));
	json_add_str(req, root, "runtime_handler", handler);
	doc = ctl_call(c, CRI_RPC_RunPodSandbox, req, WAIT_LONG, timeout, err);
	if (!doc)
		return NULL;
	return arena_strdup(&c->arena, str_or_empty(json_str(yyjson_doc_get_root(doc),
							     "podSandboxId")));
}

static int run_runp(struct ctl *c, const struct opts *o, struct err *err)
{
	JSON_AUTO config = ctl_read_pod(c, o->argv[0], err);
	const char *id;

	if (!config)
		return -1;
	id = pods_run(c, config, opts_text(o, "runtime"),
		      opts_num(o, "cancel-timeout", 0), err);
	if (!id)
		return -1;
	ctl_say(c, "%s\n", id);
	return 0;
}

/* --- pods ------------------------------------------------------------------------------------ */

static int add_state(yyjson_mut_doc *d, yyjson_mut_val *filter, const char *state,
		     struct err *err)
{
	if (str_empty(state))
		return 0;
	if (strcasecmp(state, "ready") == 0)
		json_add_str(d, json_add_obj(d, filter, "state"), "state",
			     "SANDBOX_READY");
	else if (strcasecmp(state, "notready") == 0)
		json_add_str(d, json_add_obj(d, filter, "state"), "state",
			     "SANDBOX_NOTREADY");
	else
		return err_set(err, ERR_INVALID,
			       "--state is ready or notready, not '%.100s'", state);
	return 0;
}

static int list(struct ctl *c, const struct opts *o, const char *id, yyjson_doc **ret_doc,
		struct list *ret, struct err *err)
{
	JSON_MUT_AUTO req = json_new();
	yyjson_mut_val *filter =
		json_add_obj(req, yyjson_mut_doc_get_root(req), "filter");
	LIST_QUERY_AUTO q = {.id = id, .newest = list_limit(o)};

	if (add_state(req, filter, opts_text(o, "state"), err) < 0 ||
	    ctl_add_labels(req, filter, "label_selector", opts_get(o, "label"), err) <
		    0 ||
	    list_regex(&q.name, opts_text(o, "name"), err) < 0 ||
	    list_regex(&q.space, opts_text(o, "namespace"), err) < 0)
		return -1;
	*ret_doc = ctl_call(c, CRI_RPC_ListPodSandbox, req, WAIT_QUICK, 0, err);
	if (!*ret_doc)
		return -1;
	list_select(json_arr(yyjson_doc_get_root(*ret_doc), "items"), &q, ret);
	return 0;
}

static const char *state_of(yyjson_val *v)
{
	return str_eq(str_or_empty(json_str(v, "state")), "SANDBOX_READY") ? "Ready"
									   : "NotReady";
}

static const char *handler_of(yyjson_val *v)
{
	const char *handler = json_str(v, "runtimeHandler");

	return str_empty(handler) ? "(default)" : handler;
}

static void add_row(struct ctl *c, struct table *t, yyjson_val *v, bool full)
{
	yyjson_val *meta = json_obj(v, "metadata");
	char ago[PRINT_SHORT];

	print_ago(ago, ctl_i64(v, "createdAt"));
	table_add(t, full ? json_str(v, "id")
			  : arena_strndup(&c->arena, str_or_empty(json_str(v, "id")),
					  PRINT_ID));
	table_add(t, ago);
	table_add(t, state_of(v));
	table_add(t, json_str(meta, "name"));
	table_add(t, json_str(meta, "namespace"));
	table_add(t, arena_fmt(&c->arena, "%u", (unsigned)ctl_i64(meta, "attempt")));
	table_add(t, handler_of(v));
}

static void say_if(struct ctl *c, const char *what, const char *text)
{
	if (!str_empty(text))
		ctl_say(c, "%s: %s\n", what, text);
}

static void say_pod(struct ctl *c, yyjson_val *v)
{
	yyjson_val *meta = json_obj(v, "metadata");
	char created[PRINT_SHORT];

	ctl_say(c, "ID: %s\n", json_str(v, "id"));
	say_if(c, "Name", json_str(meta, "name"));
	say_if(c, "UID", json_str(meta, "uid"));
	say_if(c, "Namespace", json_str(meta, "namespace"));
	if (ctl_i64(meta, "attempt"))
		ctl_say(c, "Attempt: %ld\n", (long)ctl_i64(meta, "attempt"));
	ctl_say(c, "Status: %s\n", state_of(v));
	print_time_go(created, ctl_i64(v, "createdAt"));
	ctl_say(c, "Created: %s\n", created);
	print_map(c, "Labels", json_obj(v, "labels"));
	print_map(c, "Annotations", json_obj(v, "annotations"));
	ctl_say(c, "Runtime: %s\n\n", handler_of(v));
}

static int run_pods(struct ctl *c, const struct opts *o, struct err *err)
{
	static const char *const head[] = {"POD ID",	"CREATED", "STATE",   "NAME",
					   "NAMESPACE", "ATTEMPT", "RUNTIME", NULL};
	JSON_AUTO doc = NULL;
	LIST_AUTO found = {0};
	TABLE_AUTO t = {0};
	enum print_format format;

	if (print_format_of(opts_text(o, "output"), PRINT_TABLE, &format, err) < 0 ||
	    list(c, o, opts_text(o, "id"), &doc, &found, err) < 0)
		return -1;
	if (format != PRINT_TABLE)
		return list_print(c, "items", &found, format, err);
	table_add_head(&t, head);
	for (size_t i = 0; i < found.n; i++) {
		if (opts_flag(o, "quiet"))
			ctl_say(c, "%s\n", json_str(found.items[i], "id"));
		else if (opts_flag(o, "verbose"))
			say_pod(c, found.items[i]);
		else
			add_row(c, &t, found.items[i], opts_flag(o, "no-trunc"));
	}
	if (!opts_flag(o, "quiet") && !opts_flag(o, "verbose"))
		table_print(c, &t);
	return 0;
}

/* --- inspectp -------------------------------------------------------------------------------- */

static void say_status(struct ctl *c, yyjson_val *answer, bool verbose)
{
	yyjson_val *v = json_obj(answer, "status"), *meta = json_obj(v, "metadata"), *ip;
	yyjson_val *net = json_obj(v, "network");
	char created[PRINT_SHORT];

	ctl_say(c, "ID: %s\n", json_str(v, "id"));
	say_if(c, "Name", json_str(meta, "name"));
	say_if(c, "UID", json_str(meta, "uid"));
	say_if(c, "Namespace", json_str(meta, "namespace"));
	if (meta)
		ctl_say(c, "Attempt: %ld\n", (long)ctl_i64(meta, "attempt"));
	ctl_say(c, "Status: %s\n", json_str(v, "state"));
	print_time_go(created, ctl_i64(v, "createdAt"));
	ctl_say(c, "Created: %s\n", created);
	if (net)
		ctl_say(c, "IP Addresses: %s\n", json_str(net, "ip"));
	json_each (ip, json_arr(net, "additionalIps"))
		ctl_say(c, "Additional IP: %s\n", json_str(ip, "ip"));
	print_map(c, "Labels", json_obj(v, "labels"));
	print_map(c, "Annotations", json_obj(v, "annotations"));
	if (verbose)
		print_info(c, json_obj(answer, "info"));
}

static yyjson_doc *status(struct ctl *c, const char *id, bool verbose, struct err *err)
{
	JSON_MUT_AUTO req = NULL;

	id = ctl_pod_id(c, id, err);
	if (!id)
		return NULL;
	req = ctl_request("pod_sandbox_id", id);
	json_add_bool(req, yyjson_mut_doc_get_root(req), "verbose", verbose);
	return ctl_call(c, CRI_RPC_PodSandboxStatus, req, WAIT_QUICK, 0, err);
}

static int run_inspectp(struct ctl *c, const struct opts *o, struct err *err)
{
	static const char *const nulls[] = {"linux", "metadata", "network", NULL};
	JSON_AUTO doc = NULL;
	LIST_AUTO found = {0};
	struct inspect in = {.nulls = nulls, .fetch = status, .say = say_status};

	if (o->argc == 0 && list(c, o, NULL, &doc, &found, err) < 0)
		return -1;
	return list_inspect(c, o, &found, &in, err);
}

/* --- stopp, rmp ------------------------------------------------------------------------------ */

static int call_with_id(struct ctl *c, enum cri_rpc rpc, const char *id, struct err *err)
{
	JSON_MUT_AUTO req = ctl_request("pod_sandbox_id", id);
	JSON_AUTO doc = ctl_call(c, rpc, req, WAIT_LONG, 0, err);

	return doc ? 0 : -1;
}

static int stop_one(struct ctl *c, const struct opts *o, const char *name,
		    struct err *err)
{
	const char *id = ctl_pod_id(c, name, err);

	(void)o;
	if (!id || call_with_id(c, CRI_RPC_StopPodSandbox, id, err) < 0)
		return err_wrap(err, "stop pod %.64s", name);
	ctl_say(c, "Stopped sandbox %s\n", name);
	return ctl_flush(c, err);
}

static int remove_one(struct ctl *c, const struct opts *o, const char *name,
		      struct err *err)
{
	JSON_AUTO doc = status(c, name, false, err);
	yyjson_val *v = json_obj(yyjson_doc_get_root(doc), "status");
	const char *id;

	if (!doc)
		return err_wrap(err, "remove pod %.64s", name);
	if (str_eq(state_of(v), "Ready")) {
		if (!opts_flag(o, "force"))
			return err_set(
				err, ERR_STATE,
				"pod %.64s is running: stop it first, or use --force",
				name);
		if (stop_one(c, o, name, err) < 0)
			return -1;
	}
	id = json_str(v, "id");
	if (call_with_id(c, CRI_RPC_RemovePodSandbox, str_empty(id) ? name : id, err) < 0)
		return err_wrap(err, "remove pod %.64s", name);
	ctl_say(c, "Removed sandbox %s\n", name);
	return ctl_flush(c, err);
}

static int run_stopp(struct ctl *c, const struct opts *o, struct err *err)
{
	return ctl_each(c, (const char *const *)o->argv, (size_t)o->argc, stop_one, o,
			err);
}

static int run_rmp(struct ctl *c, const struct opts *o, struct err *err)
{
	return list_remove(c, o, CRI_RPC_ListPodSandbox, "items", "pods", remove_one,
			   err);
}

/* --- the tables ------------------------------------------------------------------------------ */

static const char runp_opts[] = "  -r, --runtime HANDLER       runtime handler\n"
				"  -T, --cancel-timeout TIME   give up after this time\n";

#define FILTERS                                                        \
	"      --name REGEX            whose names match\n"            \
	"      --namespace REGEX       in namespaces that match\n"     \
	"  -s, --state STATE           ready or notready\n"            \
	"      --label KEY=VALUE       with this label (repeatable)\n" \
	"  -l, --latest                only the newest\n"              \
	"  -n, --last N                only the N newest\n"

static const char pods_opts[] = LIST_OPTS(FILTERS);

static const char inspectp_opts[] = FILTERS INSPECT_OPTS;

static const char rmp_opts[] = "  -a, --all                   all pods\n"
			       "  -f, --force                 stop those that run\n";

const struct command ctl_runp = {
	.name = "runp",
	.synopsis = "POD-CONFIG",
	.purpose = "Run a new pod from a YAML or JSON file, and print its id",
	.opts = runp_opts,
	.min = 1,
	.max = 1,
	.run = run_runp,
};

const struct command ctl_pods = {
	.name = "pods",
	.purpose = "List pods, newest first",
	.opts = pods_opts,
	.run = run_pods,
};

const struct command ctl_inspectp = {
	.name = "inspectp",
	.synopsis = "[POD-ID...]",
	.purpose = "Show all about pods: those named, or those that match",
	.opts = inspectp_opts,
	.max = -1,
	.run = run_inspectp,
};

const struct command ctl_stopp = {
	.name = "stopp",
	.synopsis = "POD-ID...",
	.purpose = "Stop pods and all of their containers",
	.min = 1,
	.max = -1,
	.run = run_stopp,
};

const struct command ctl_rmp = {
	.name = "rmp",
	.synopsis = "POD-ID...",
	.purpose = "Remove pods",
	.opts = rmp_opts,
	.max = -1,
	.run = run_rmp,
};
