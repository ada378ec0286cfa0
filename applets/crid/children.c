/* children: the processes that crid starts, always by exec. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "crid/crid.h"
#include "os/fd.h"
#include "os/proc.h"
#include "os/sock.h"
#include "wire/json.h"

struct child {
	struct list node;
	pid_t pid;
	int errors; /* a clean-up's standard error, or -1 */
	void (*done)(void *data, const struct err *err);
	void *data;
};

static struct child *child_new(struct crid *d, pid_t pid)
{
	struct child *c = xcalloc(1, sizeof(*c));

	c->pid = pid;
	c->errors = -1;
	list_add(&d->children, &c->node);
	return c;
}

/* What a clean-up said, in one line. */
static void read_error(struct child *c, int status, struct err *err)
{
	char text[900];
	ssize_t n = c->errors < 0 ? -1 : read(c->errors, text, sizeof(text) - 1);

	while (n > 0 && text[n - 1] == '\n')
		n--;
	text[n > 0 ? n : 0] = 0;
	if (n > 0)
		err_set(err, ERR_INTERNAL, "%s", text);
	else
		err_set(err, ERR_INTERNAL, "ended with status %d", status);
}

void children_reap(struct crid *d)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		list_each (n, &d->children) {
			struct child *c = container_of(n, struct child, node);
			struct err err;

			if (c->pid != pid)
				continue;
			list_del(&c->node);
			if (c->done && status) {
				read_error(c, status, &err);
				c->done(c->data, &err);
			} else if (c->done) {
				c->done(c->data, NULL);
			}
			fd_close(&c->errors);
			free(c);
			break;
		}
}

/* Starts a role with one end of a new socket pair as fd 3; returns the other end. */
static int spawn_role(struct crid *d, const char *const *argv, struct err *err)
{
	struct proc_spawn how = {.argv = argv};
	int pair[2];
	pid_t pid;

	if (sock_pair(pair, err) < 0)
		return -1;
	how.fd3 = pair[1];
	pid = proc_spawn(&how, NULL, err);
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return -1;
	}
	child_new(d, pid);
	return pair[0];
}

static const char *level_name(enum log_level level)
{
	static const char *const names[] = {"error", "warn", "info", "debug"};

	return names[level];
}

int child_spawn_shim(void *arg, const char *pod_id, struct err *err)
{
	struct crid *d = arg;
	const char *argv[] = {"shim",	   "--id",	  pod_id,
			      "--root",	   d->st.root,	  "--state",
			      d->st.state, "--log-level", level_name(d->st.level),
			      NULL};

	return spawn_role(d, argv, err);
}

int child_spawn_pull(void *arg, struct err *err)
{
	struct crid *d = arg;
	const char *argv[] = {"pull", "--worker", "--root", d->st.root, NULL};

	return spawn_role(d, argv, err);
}

/* What a clean-up goes by when the pod's own spec is lost: the network's settings. */
static char *default_spec(const struct crid *d)
{
	JSON_MUT_AUTO doc = json_new();
	yyjson_mut_val *cni = json_add_obj(doc, yyjson_mut_doc_get_root(doc), "cni");
	BUF_AUTO text = {0};

	json_add_str(doc, cni, "conf_dir", d->st.cni_conf_dir);
	json_add_str(doc, cni, "bin_dirs", d->st.cni_bin_dir);
	json_add_str(doc, cni, "cache_dir", d->st.cni_cache_dir);
	json_add_str(doc, cni, "subnet", d->st.cni_subnet);
	json_add_str(doc, cni, "builtin", d->st.cni_builtin);
	json_write(doc, false, &text);
	return buf_detach(&text);
}

int child_spawn_cleanup(void *arg, const char *pod_id, const char *ctr_id, bool remove,
			int64_t when, void (*done)(void *data, const struct err *err),
			void *data, struct err *err)
{
	struct crid *d = arg;
	STR_AUTO time = xasprintf("%lld", (long long)when);
	STR_AUTO spec = default_spec(d);
	const char *argv[16] = {"shim",	  "--cleanup", "--id",	  pod_id,
				"--root", d->st.root,  "--state", d->st.state,
				"--spec", spec,	       NULL};
	struct proc_spawn how = {.argv = argv, .fd3 = -1, .fds = {-1, -1, 0}};
	size_t n = 10;
	int pipe_fds[2];
	struct child *c;
	pid_t pid;

	if (ctr_id) {
		argv[n++] = "--container";
		argv[n++] = ctr_id;
	}
	if (remove)
		argv[n++] = "--remove";
	if (when) {
		argv[n++] = "--when";
		argv[n++] = time;
	}
	argv[n] = NULL;
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	how.fds[2] = pipe_fds[1];
	pid = proc_spawn(&how, NULL, err);
	close(pipe_fds[1]);
	if (pid < 0) {
		close(pipe_fds[0]);
		return -1;
	}
	fd_set_nonblock(pipe_fds[0], true);
	c = child_new(d, pid);
	c->errors = pipe_fds[0];
	c->done = done;
	c->data = data;
	return 0;
}
