/* exec: running a command in containers. */
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "list.h"
#include "session.h"
#include "wire/base64.h"

/* A request of rpc ExecSync or Exec: the container and the command. */
static yyjson_mut_doc *request(const char *id, char *const *argv, int argc)
{
	yyjson_mut_doc *d = ctl_request("container_id", id);
	yyjson_mut_val *cmd = json_add_arr(d, yyjson_mut_doc_get_root(d), "cmd");

	for (int i = 0; i < argc; i++)
		yyjson_mut_arr_append(cmd, yyjson_mut_strcpy(d, argv[i]));
	return d;
}

static int write_output(yyjson_val *answer, const char *key, int fd, struct err *err)
{
	const char *text = str_or_empty(json_str(answer, key));
	BUF_AUTO bytes = {0};

	if (base64_decode(&bytes, text, strlen(text)) < 0)
		return err_set(err, ERR_INTERNAL, "ExecSync: %s is not base64", key);
	return ctl_write_bytes(fd, bytes.data, bytes.len, err);
}

static int exec_sync(struct ctl *c, const struct opts *o, const char *id,
		     char *const *argv, int argc, struct err *err)
{
	JSON_MUT_AUTO req = request(id, argv, argc);
	int64_t seconds = opts_num(o, "timeout", 0);
	JSON_AUTO doc = NULL;
	yyjson_val *root;

	if (seconds < 0 || seconds > INT32_MAX)
		return err_set(err, ERR_INVALID, "--timeout is out of range");
	json_add_i64(req, yyjson_mut_doc_get_root(req), "timeout", seconds);
	doc = ctl_call(c, CRI_RPC_ExecSync, req, WAIT_FOREVER,
		       seconds ? (seconds + 10) * NS_PER_SEC : 0, err);
	if (!doc || ctl_flush(c, err) < 0)
		return -1;
	root = yyjson_doc_get_root(doc);
	if (write_output(root, "stdout", STDOUT_FILENO, err) < 0 ||
	    write_output(root, "stderr", STDERR_FILENO, err) < 0)
		return -1;
	return (int)ctl_i64(root, "exitCode") & 0xff;
}

static int exec_stream(struct ctl *c, const struct opts *o, const char *id,
		       char *const *argv, int argc, struct err *err)
{
	JSON_MUT_AUTO req = request(id, argv, argc);
	yyjson_mut_val *root = yyjson_mut_doc_get_root(req);
	bool tty = opts_flag(o, "tty"), in = opts_flag(o, "interactive");
	JSON_AUTO doc = NULL;
	const char *url;

	json_add_bool(req, root, "tty", tty);
	json_add_bool(req, root, "stdin", in);
	json_add_bool(req, root, "stdout", true);
	json_add_bool(req, root, "stderr", !tty);
	doc = ctl_call(c, CRI_RPC_Exec, req, WAIT_QUICK, 0, err);
	if (!doc)
		return -1;
	url = str_or_empty(json_str(yyjson_doc_get_root(doc), "url"));
	log_debug(&c->log, "exec at %s", url);
	return session_run(c, url, in, tty, err);
}

static int exec_one(struct ctl *c, const struct opts *o, const char *name,
		    char *const *argv, int argc, struct err *err)
{
	const char *id = ctl_container_id(c, name, err);
	int status = -1;

	if (id)
		status = opts_flag(o, "sync") ? exec_sync(c, o, id, argv, argc, err)
					      : exec_stream(c, o, id, argv, argc, err);
	if (status < 0)
		return err_wrap(err, "exec in container %.64s", name);
	return status;
}

static bool has_filter(const struct opts *o)
{
	static const char *const names[] = {"name",  "pod",    "image", "state",
					    "label", "latest", "last",	"namespace"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (opts_get(o, names[i])->set)
			return true;
	return false;
}

/* In every container that matches; the worst exit status of all. */
static int exec_many(struct ctl *c, const struct opts *o, struct err *err)
{
	JSON_AUTO doc = NULL;
	LIST_AUTO found = {0};
	int worst = 0;

	if (containers_list(c, o, false, NULL, &doc, &found, err) < 0)
		return -1;
	if (found.n == 0)
		return err_set(err, ERR_NOT_FOUND, "exec: no container matches");
	for (size_t i = 0; i < found.n; i++) {
		const char *id = str_or_empty(json_str(found.items[i], "id"));
		int status;

		if (!opts_flag(o, "quiet") && !opts_flag(o, "parallel"))
			ctl_say(c, "%s:\n", id);
		status = exec_one(c, o, id, o->argv, o->argc, err);
		if (status < 0) {
			log_error(&c->log, "%s", err->msg);
			*err = (struct err){0};
			status = 1;
		}
		worst = MAX(worst, status);
	}
	return worst;
}

static int run_exec(struct ctl *c, const struct opts *o, struct err *err)
{
	const char *transport = opts_text(o, "transport");
	int status;

	if (transport && !str_eq(transport, "websocket") && !str_eq(transport, "spdy"))
		return err_set(err, ERR_INVALID, "--transport: '%.100s' is not websocket",
			       transport);
	if (has_filter(o))
		status = exec_many(c, o, err);
	else if (o->argc < 2)
		return err_set(err, ERR_INVALID, "exec: which command?");
	else
		status = exec_one(c, o, o->argv[0], o->argv + 1, o->argc - 1, err);
	if (opts_flag(o, "ignore-errors")) {
		if (status < 0)
			log_warn(&c->log, "%s", err->msg);
		return 0;
	}
	return status;
}

static const char exec_opts[] =
	"  -i, --interactive           pass standard input on\n"
	"  -t, --tty                   with a terminal (Ctrl-P Ctrl-Q leaves)\n"
	"  -s, --sync                  one call, without streaming\n"
	"      --timeout SECONDS       of --sync; then the command is killed\n"
	"  -r, --transport NAME        websocket, whatever is said\n"
	"      --name REGEX            in all whose names match\n"
	"      --namespace REGEX       in pod namespaces that match\n"
	"  -p, --pod ID                of the pod whose id begins so\n"
	"      --image IMAGE           of this image\n"
	"      --state STATE           created, running, exited, unknown\n"
	"      --label KEY=VALUE       with this label (repeatable)\n"
	"  -l, --latest                in the newest\n"
	"  -n, --last N                in the N newest\n"
	"  -q, --quiet                 with several, do not print their ids\n"
	"  -e, --ignore-errors         always exit with 0\n"
	"  -x, --parallel              taken, but they run one by one\n";

const struct command ctl_exec = {
	.name = "exec",
	.synopsis = "CONTAINER-ID|FILTER COMMAND [ARG...]",
	.purpose = "Run a command in a container; its exit status is ours",
	.opts = exec_opts,
	.min = 1,
	.max = -1,
	.ordered = true,
	.run = run_exec,
};
