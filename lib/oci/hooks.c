/*
 * hooks: programs of the administrator at points of a container's life (config.md, POSIX-
 * platform Hooks). Each gets the container's state as JSON on its standard input.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"
#include "oci/oci-int.h"
#include "os/fd.h"
#include "os/proc.h"

#ifndef MFD_CLOEXEC
#define MFD_CLOEXEC 1U
#endif

enum { MAX_HOOKS = 1024, MAX_OUTPUT = 400 };

const char *const oci_hook_names[OCI_HOOK_COUNT] = {
	[OCI_HOOK_PRESTART] = "prestart",
	[OCI_HOOK_CREATE_RUNTIME] = "createRuntime",
	[OCI_HOOK_CREATE_CONTAINER] = "createContainer",
	[OCI_HOOK_START_CONTAINER] = "startContainer",
	[OCI_HOOK_POSTSTART] = "poststart",
	[OCI_HOOK_POSTSTOP] = "poststop",
};

static const char *const statuses[OCI_HOOK_COUNT] = {
	[OCI_HOOK_PRESTART] = "creating",	  [OCI_HOOK_CREATE_RUNTIME] = "creating",
	[OCI_HOOK_CREATE_CONTAINER] = "creating", [OCI_HOOK_START_CONTAINER] = "created",
	[OCI_HOOK_POSTSTART] = "running",	  [OCI_HOOK_POSTSTOP] = "stopped",
};

/* --- from JSON ---------------------------------------------------------------------- */

static int parse_hook(yyjson_val *v, const char *at, struct arena *a,
		      struct oci_hook *ret, struct err *err)
{
	size_t nargs = 0, nenv = 0;
	bool timed = false;

	if (!yyjson_is_obj(v))
		return err_set(err, ERR_INVALID, "%s: not an object", at);
	if (json_opt_str(v, at, "path", a, &ret->path, err) < 0 ||
	    json_opt_strs(v, at, "args", a, &ret->args, &nargs, err) < 0 ||
	    json_opt_strs(v, at, "env", a, &ret->env, &nenv, err) < 0 ||
	    json_opt_i64(v, at, "timeout", 1, INT32_MAX, &ret->timeout, &timed, err) < 0)
		return -1;
	if (str_empty(ret->path) || *ret->path != '/')
		return err_set(err, ERR_INVALID, "%s.path: \"%s\" is not absolute", at,
			       str_or_empty(ret->path));
	for (size_t i = 0; i < nenv; i++)
		if (!strchr(ret->env[i], '=') || *ret->env[i] == '=')
			return err_set(err, ERR_INVALID,
				       "%s.env[%zu]: \"%.80s\" is not KEY=value", at, i,
				       ret->env[i]);
	return 0;
}

static int parse_kind(yyjson_val *hooks, enum oci_hook_kind kind, struct arena *a,
		      struct oci_spec *s, struct err *err)
{
	struct oci_hooks *list = &s->hooks[kind];
	yyjson_val *arr, *v;

	if (json_opt_arr(hooks, "hooks", oci_hook_names[kind], &arr, err) < 0)
		return -1;
	if (yyjson_arr_size(arr) > MAX_HOOKS)
		return err_set(err, ERR_INVALID, "hooks.%s: more than %d",
			       oci_hook_names[kind], MAX_HOOKS);
	list->list = arena_array(a, yyjson_arr_size(arr) + 1, sizeof(*list->list));
	json_each (v, arr) {
		char *at = arena_fmt(a, "hooks.%s[%zu]", oci_hook_names[kind], list->n);

		if (parse_hook(v, at, a, &list->list[list->n++], err) < 0)
			return -1;
	}
	return 0;
}

int oci_parse_hooks(yyjson_val *root, struct arena *a, struct oci_spec *s,
		    struct err *err)
{
	yyjson_val *hooks;

	if (json_opt_obj(root, "", "hooks", &hooks, err) < 0)
		return -1;
	for (unsigned i = 0; hooks && i < OCI_HOOK_COUNT; i++)
		if (parse_kind(hooks, i, a, s, err) < 0)
			return -1;
	return 0;
}

/* --- running ------------------------------------------------------------------------ */

static void write_state(const struct oci_spec *s, enum oci_hook_kind kind,
			const struct oci_hook_state *st, struct buf *out)
{
	JSON_MUT_AUTO d = json_new();

	oci_add_state(s, st, statuses[kind], d, yyjson_mut_doc_get_root(d));
	json_write(d, false, out);
}

void oci_add_state(const struct oci_spec *s, const struct oci_hook_state *st,
		   const char *status, yyjson_mut_doc *d, yyjson_mut_val *v)
{
	json_add_str(d, v, "ociVersion", s->version);
	json_add_str(d, v, "id", st->id);
	json_add_str(d, v, "status", status);
	if (st->pid > 0)
		json_add_i64(d, v, "pid", st->pid);
	json_add_str(d, v, "bundle", st->bundle);
	if (!s->nannotations)
		return;
	v = json_add_obj(d, v, "annotations");
	for (size_t i = 0; i < s->nannotations; i++)
		json_add_str(d, v, s->annotations[i].key, s->annotations[i].value);
}

/* A file that is read like a pipe, of any size, without anybody to feed it. */
static int state_file(const struct buf *text, struct err *err)
{
	FD_AUTO fd = (int)syscall(SYS_memfd_create, "state", MFD_CLOEXEC);

	if (fd < 0 || fd_write_all(fd, text->data, text->len) < 0 ||
	    lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(err, errno, "state for a hook");
	return fd_take(&fd);
}

/* What it says until it ends or its time is over. A process that it leaves behind may hold
 * the pipe: only its own end counts. True if it has ended. */
static bool attend(int pidfd, int out, int64_t timeout, struct buf *said)
{
	int64_t end = time_mono() + timeout * NS_PER_SEC;

	for (;;) {
		struct pollfd p[] = {{.fd = pidfd, .events = POLLIN},
				     {.fd = out, .events = POLLIN}};
		int64_t left = timeout ? (end - time_mono()) / NS_PER_MS + 1 : -1;
		char text[512];
		ssize_t n = 0;

		if (timeout && left <= 0)
			return false;
		if (poll(p, 2, left > INT32_MAX ? INT32_MAX : (int)left) < 0 &&
		    errno != EINTR)
			return false;
		if (p[1].revents)
			n = read(out, text, sizeof(text));
		if (n > 0 && said->len < MAX_OUTPUT)
			buf_add(said, text, (size_t)n);
		else if (p[1].revents && n == 0)
			out = -1;
		if (p[0].revents && (n <= 0 || said->len >= MAX_OUTPUT))
			return true;
	}
}

static int judge(pid_t pid, bool ended, const struct oci_hook *h, struct buf *said,
		 struct err *err)
{
	int status;

	if (!ended)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_sys(err, errno, "wait for hook %s", h->path);
	if (!ended)
		err_set(err, ERR_TIMEOUT, "%s: hook ran past specified timeout of %d.0s",
			h->path, (int)h->timeout);
	else if (WIFSIGNALED(status))
		err_set(err, ERR_UNKNOWN, "%s: signal: %d", h->path, WTERMSIG(status));
	else if (WEXITSTATUS(status))
		err_set(err, ERR_UNKNOWN, "%s: exit status %d", h->path,
			WEXITSTATUS(status));
	else
		return 0;
	while (said->len && said->data[said->len - 1] == '\n')
		said->len--;
	if (said->len) {
		STR_AUTO why = xstrdup(err->msg);

		buf_str(said);
		for (size_t i = 0; i < said->len; i++)
			if (said->data[i] == '\n')
				said->data[i] = ' ';
		err_set(err, err->code, "%s, output: %.400s", why, buf_str(said));
	}
	return -1;
}

static int run_one(const struct oci_hook *h, const struct buf *state,
		   const char *const *env, struct err *err)
{
	const char *fallback[] = {h->path, NULL};
	FD_AUTO in = state_file(state, err);
	BUF_AUTO said = {0};
	int pipes[2], pidfd = -1;
	struct proc_spawn how = {.argv = h->args && *h->args ? h->args : fallback,
				 .path = h->path,
				 .envp = h->env ? h->env : env,
				 .fd3 = -1};
	bool ended;
	pid_t pid;

	if (in < 0)
		return -1;
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe for a hook");
	how.fds[0] = in;
	how.fds[1] = how.fds[2] = pipes[1];
	pid = proc_spawn(&how, &pidfd, err);
	close(pipes[1]);
	if (pid < 0) {
		close(pipes[0]);
		return -1;
	}
	fcntl(pipes[0], F_SETFL, O_NONBLOCK);
	ended = attend(pidfd, pipes[0], h->timeout, &said);
	close(pipes[0]);
	close(pidfd);
	return judge(pid, ended, h, &said, err);
}

int oci_hooks_run(const struct oci_spec *s, enum oci_hook_kind kind,
		  const struct oci_hook_state *st, struct buf *warnings, struct err *err)
{
	const struct oci_hooks *hooks = &s->hooks[kind];
	static const char *const none[] = {NULL};
	FD_AUTO back = -1;
	BUF_AUTO state = {0};
	int r = 0;

	if (!hooks->n)
		return 0;
	write_state(s, kind, st, &state);
	/* the runtime's environment, or what the container's process has */
	if (st->dir >= 0) {
		back = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (back < 0 || fchdir(st->dir) < 0)
			return err_sys(err, errno, "directory of a hook");
	}
	for (size_t i = 0; r == 0 && i < hooks->n; i++) {
		r = run_one(&hooks->list[i], &state,
			    kind == OCI_HOOK_CREATE_CONTAINER ? none : st->env, err);
		if (r < 0)
			err_wrap(err, "error running %s hook #%zu", oci_hook_names[kind],
				 i);
		/* what it cleans up is not the others' fault */
		if (r < 0 && kind == OCI_HOOK_POSTSTOP) {
			if (warnings)
				buf_add_fmt(warnings, "%s\n", err->msg);
			r = 0;
		}
	}
	if (back >= 0 && fchdir(back) < 0 && r == 0)
		r = err_sys(err, errno, "return from the directory of a hook");
	return r;
}
