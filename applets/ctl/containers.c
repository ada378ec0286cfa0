/* containers: making, starting, stopping and removing them. */
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "list.h"

/* --- create, run ----------------------------------------------------------------------------- */

/* A container's config; the image as the user said it is kept beside the one that is used. */
static yyjson_mut_val *config_of(yyjson_mut_doc *d, yyjson_doc *file)
{
	yyjson_mut_val *config = yyjson_val_mut_copy(d, yyjson_doc_get_root(file));
	yyjson_mut_val *image = yyjson_mut_obj_get(config, "image");

	if (!yyjson_mut_obj_get(image, "user_specified_image"))
		yyjson_mut_obj_add_val(
			d, image, "user_specified_image",
			yyjson_mut_val_mut_copy(d, yyjson_mut_obj_get(image, "image")));
	return config;
}

/* The container's image, and those that it mounts. */
static int pull_all(struct ctl *c, const struct opts *o, yyjson_val *config,
		    yyjson_val *pod, struct err *err)
{
	yyjson_val *image = json_obj(config, "image"), *m;

	if (!images_pull(c, o, json_str(image, "image"), json_obj(image, "annotations"),
			 pod, err))
		return -1;
	json_each (m, json_arr(config, "mounts")) {
		const char *name = json_str(json_obj(m, "image"), "image");

		if (!str_empty(name) && !images_pull(c, o, name, NULL, pod, err))
			return -1;
	}
	return 0;
}

static const char *create(struct ctl *c, const struct opts *o, bool pull,
			  const char *pod_id, yyjson_doc *config, yyjson_doc *pod,
			  struct err *err)
{
	JSON_MUT_AUTO req = ctl_request("pod_sandbox_id", pod_id);
	yyjson_mut_val *root = yyjson_mut_doc_get_root(req);
	JSON_AUTO doc = NULL;

	if (pull && pull_all(c, o, yyjson_doc_get_root(config), yyjson_doc_get_root(pod),
			     err) < 0)
		return NULL;
	yyjson_mut_obj_add_val(req, root, "config", config_of(req, config));
	yyjson_mut_obj_add_val(req, root, "sandbox_config",
			       yyjson_val_mut_copy(req, yyjson_doc_get_root(pod)));
	doc = ctl_call(c, CRI_RPC_CreateContainer, req, WAIT_LONG,
		       opts_num(o, "cancel-timeout", 0), err);
	if (!doc)
		return NULL;
	return arena_strdup(&c->arena, str_or_empty(json_str(yyjson_doc_get_root(doc),
							     "containerId")));
}

/* Whether --no-pull, --with-pull and the configuration say to pull. */
static int wants_pull(const struct opts *o, bool def, bool *ret, struct err *err)
{
	bool no = opts_flag(o, "no-pull"), with = opts_flag(o, "with-pull");

	if (no && with)
		return err_set(err, ERR_INVALID,
			       "--no-pull and --with-pull exclude each other");
	*ret = with || (def && !no);
	return 0;
}

static int run_create(struct ctl *c, const struct opts *o, struct err *err)
{
	bool pull;
	JSON_AUTO config = NULL;
	JSON_AUTO pod = NULL;
	const char *pod_id, *id;

	if (wants_pull(o, c->pull_on_create, &pull, err) < 0)
		return -1;
	config = ctl_read_container(c, o->argv[1], err);
	pod = config ? ctl_read_pod(c, o->argv[2], err) : NULL;
	pod_id = pod ? ctl_pod_id(c, o->argv[0], err) : NULL;
	if (!pod_id)
		return -1;
	id = create(c, o, pull, pod_id, config, pod, err);
	if (!id)
		return -1;
	ctl_say(c, "%s\n", id);
	return 0;
}

static int start(struct ctl *c, const char *id, struct err *err)
{
	JSON_MUT_AUTO req = ctl_request("container_id", id);
	JSON_AUTO doc = ctl_call(c, CRI_RPC_StartContainer, req, WAIT_LONG, 0, err);

	return doc ? 0 : -1;
}

/* On failure the pod stays, as with crictl: its id is in the message, for rmp. */
static int run_run(struct ctl *c, const struct opts *o, struct err *err)
{
	bool pull;
	JSON_AUTO config = NULL;
	JSON_AUTO pod = NULL;
	const char *pod_id, *id;

	if (wants_pull(o, !c->no_pull_on_run, &pull, err) < 0)
		return -1;
	config = ctl_read_container(c, o->argv[0], err);
	pod = config ? ctl_read_pod(c, o->argv[1], err) : NULL;
	if (!pod)
		return -1;
	pod_id = pods_run(c, pod, opts_text(o, "runtime"), 0, err);
	if (!pod_id)
		return -1;
	id = create(c, o, pull, pod_id, config, pod, err);
	if (!id || start(c, id, err) < 0)
		return err_wrap(err, "in pod %.64s, which is left", pod_id);
	ctl_say(c, "%s\n", id);
	return 0;
}

/* --- start, stop ----------------------------------------------------------------------------- */

static int start_one(struct ctl *c, const struct opts *o, const char *name,
		     struct err *err)
{
	const char *id = ctl_container_id(c, name, err);

	(void)o;
	if (!id || start(c, id, err) < 0)
		return err_wrap(err, "start container %.64s", name);
	ctl_say(c, "%s\n", name);
	return ctl_flush(c, err);
}

static int run_start(struct ctl *c, const struct opts *o, struct err *err)
{
	return ctl_each(c, (const char *const *)o->argv, (size_t)o->argc, start_one, o,
			err);
}

static int stop(struct ctl *c, const char *id, int64_t seconds, struct err *err)
{
	JSON_MUT_AUTO req = ctl_request("container_id", id);
	JSON_AUTO doc = NULL;

	seconds = MIN(MAX(seconds, 0), INT32_MAX);
	json_add_i64(req, yyjson_mut_doc_get_root(req), "timeout", seconds);
	doc = ctl_call(c, CRI_RPC_StopContainer, req, WAIT_LONG,
		       seconds ? (seconds + 240) * NS_PER_SEC : 0, err);
	return doc ? 0 : -1;
}

static int stop_one(struct ctl *c, const struct opts *o, const char *name,
		    struct err *err)
{
	const char *id = ctl_container_id(c, name, err);

	if (!id || stop(c, id, opts_num(o, "timeout", 0), err) < 0)
		return err_wrap(err, "stop container %.64s", name);
	ctl_say(c, "%s\n", name);
	return ctl_flush(c, err);
}

/* Newest first, as they are listed. */
static int stop_all(struct ctl *c, const struct opts *o, struct err *err)
{
	JSON_MUT_AUTO req = json_new();
	yyjson_mut_val *filter =
		json_add_obj(req, yyjson_mut_doc_get_root(req), "filter");
	const struct list_query all = {0};
	JSON_AUTO doc = NULL;
	LIST_AUTO found = {0};
	const char **ids;

	json_add_str(req, json_add_obj(req, filter, "state"), "state",
		     "CONTAINER_RUNNING");
	doc = ctl_call(c, CRI_RPC_ListContainers, req, WAIT_QUICK, 0, err);
	if (!doc)
		return -1;
	list_select(json_arr(yyjson_doc_get_root(doc), "containers"), &all, &found);
	ids = arena_array(&c->arena, found.n + 1, sizeof(*ids));
	for (size_t i = 0; i < found.n; i++)
		ids[i] = str_or_empty(json_str(found.items[i], "id"));
	if (found.n == 0)
		ctl_say(c, "No running containers found.\n");
	return ctl_each(c, ids, found.n, stop_one, o, err);
}

static int run_stop(struct ctl *c, const struct opts *o, struct err *err)
{
	if (opts_flag(o, "all")) {
		if (o->argc)
			return err_set(err, ERR_INVALID, "stop: ids or --all, not both");
		return stop_all(c, o, err);
	}
	if (o->argc == 0)
		return err_set(err, ERR_INVALID,
			       "stop: which containers? (ids, or --all)");
	return ctl_each(c, (const char *const *)o->argv, (size_t)o->argc, stop_one, o,
			err);
}

/* --- rm -------------------------------------------------------------------------------------- */

/* The log and its rotations. What cannot be removed is said, and no more than that. */
static void remove_logs(struct ctl *c, const char *path)
{
	BUF_AUTO pattern = {0};
	glob_t found = {0};

	if (str_empty(path))
		return;
	for (const char *p = path; *p; p++) {
		if (strchr("*?[\\", *p))
			buf_add_char(&pattern, '\\');
		buf_add_char(&pattern, *p);
	}
	buf_add_str(&pattern, ".*");
	if (glob(buf_str(&pattern), 0, NULL, &found) == 0)
		for (size_t i = 0; i < found.gl_pathc; i++)
			if (unlink(found.gl_pathv[i]) < 0 && errno != ENOENT)
				log_warn(&c->log, "remove %s: %s", found.gl_pathv[i],
					 strerror(errno));
	globfree(&found);
	if (unlink(path) < 0 && errno != ENOENT)
		log_warn(&c->log, "remove %s: %s", path, strerror(errno));
}

static int remove_call(struct ctl *c, const char *id, struct err *err)
{
	JSON_MUT_AUTO req = ctl_request("container_id", id);
	JSON_AUTO doc = ctl_call(c, CRI_RPC_RemoveContainer, req, WAIT_LONG, 0, err);

	return doc ? 0 : -1;
}

static int remove_one(struct ctl *c, const struct opts *o, const char *name,
		      struct err *err)
{
	JSON_AUTO doc = containers_status(c, name, false, err);
	yyjson_val *v = json_obj(yyjson_doc_get_root(doc), "status");
	const char *id = json_str(v, "id");

	if (!doc)
		return err_wrap(err, "remove container %.64s", name);
	if (str_empty(id))
		id = name;
	if (str_eq(str_or_empty(json_str(v, "state")), "CONTAINER_RUNNING")) {
		if (!opts_flag(o, "force"))
			return err_set(
				err, ERR_STATE,
				"container %.64s is running: stop it first, or use "
				"--force",
				name);
		if (stop(c, id, 0, err) < 0)
			return err_wrap(err, "stop container %.64s", name);
		ctl_say(c, "%s\n", name);
	}
	if (remove_call(c, id, err) < 0)
		return err_wrap(err, "remove container %.64s", name);
	ctl_say(c, "%s\n", name);
	if (!opts_flag(o, "keep-logs"))
		remove_logs(c, json_str(v, "logPath"));
	return ctl_flush(c, err);
}

static int run_rm(struct ctl *c, const struct opts *o, struct err *err)
{
	return list_remove(c, o, CRI_RPC_ListContainers, "containers", "containers",
			   remove_one, err);
}

/* --- the tables ------------------------------------------------------------------------------ */

#define CREATE_OPTS                                                   \
	"      --no-pull               use the image that is there\n" \
	"      --with-pull             pull the image first\n"        \
	"  -T, --cancel-timeout TIME   give up after this time\n"

static const char create_opts[] = CREATE_OPTS PULL_OPTS;

static const char run_opts[] =
	CREATE_OPTS PULL_OPTS "  -r, --runtime HANDLER       runtime handler\n";

static const char stop_opts[] =
	"  -t, --timeout SECONDS       to end by itself in, before SIGKILL (0)\n"
	"  -a, --all                   all containers that run\n";

static const char rm_opts[] = "  -a, --all                   all containers\n"
			      "  -f, --force                 stop those that run\n"
			      "  -k, --keep-logs             leave the log files\n";

const struct command ctl_create = {
	.name = "create",
	.synopsis = "POD-ID CONTAINER-CONFIG POD-CONFIG",
	.purpose =
		"Create a container in a pod from YAML or JSON files, and print its id",
	.opts = create_opts,
	.min = 3,
	.max = 3,
	.run = run_create,
};

const struct command ctl_run = {
	.name = "run",
	.synopsis = "CONTAINER-CONFIG POD-CONFIG",
	.purpose = "Run a new pod and a container in it, and print the container's id",
	.opts = run_opts,
	.min = 2,
	.max = 2,
	.run = run_run,
};

const struct command ctl_start = {
	.name = "start",
	.synopsis = "CONTAINER-ID...",
	.purpose = "Start containers that were created",
	.min = 1,
	.max = -1,
	.run = run_start,
};

const struct command ctl_stop = {
	.name = "stop",
	.synopsis = "CONTAINER-ID...",
	.purpose = "Stop containers",
	.opts = stop_opts,
	.max = -1,
	.run = run_stop,
};

const struct command ctl_rm = {
	.name = "rm",
	.synopsis = "CONTAINER-ID...",
	.purpose = "Remove containers and their logs",
	.opts = rm_opts,
	.max = -1,
	.run = run_rm,
};
