/* exec: one more program in a container. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "oci/cli.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/sock.h"

enum { MAX_PROCESS = 16 << 20 };

struct exec {
	const struct oci_cli *cli;
	const char *id, *process_file, *console_socket, *pidfd_socket;
	const char *pid_file, *cwd, *user;
	const char *label, *apparmor;
	const char **cgroups; /* --cgroup */
	size_t ncgroups;
	struct oci_subgroup *subgroups;
	size_t nsubgroups;
	int preserve;
	bool tty, no_tty, detach, no_new_privs, ignore_paused;
	const char **env, **caps;
	size_t nenv, ncaps;
	gid_t *gids;
	size_t ngids;
	char **args;
	struct arena arena;
	struct buf warnings;
};

enum {
	FLAG_SOCKET = 256,
	FLAG_CWD,
	FLAG_PID_FILE,
	FLAG_LABEL,
	FLAG_APPARMOR,
	FLAG_NNP,
	FLAG_PRESERVE,
	FLAG_CGROUP,
	FLAG_PIDFD,
	FLAG_PAUSED
};

static int flag(struct exec *x, int f, char *arg, struct err *err)
{
	uint64_t n;

	switch (f) {
	case FLAG_SOCKET:
		x->console_socket = arg;
		return 0;
	case FLAG_CWD:
		x->cwd = arg;
		return 0;
	case 'e':
		x->env[x->nenv++] = arg;
		return 0;
	case 't':
		x->tty = cli_switch(arg);
		x->no_tty = !x->tty;
		return 0;
	case 'u':
		x->user = arg;
		return 0;
	case 'g':
		if (num_u64(arg, 0, UINT32_MAX - 1, &n) < 0)
			return err_set(err, ERR_INVALID, "--additional-gids %s", arg);
		x->gids[x->ngids++] = (gid_t)n;
		return 0;
	case 'p':
		x->process_file = arg;
		return 0;
	case 'd':
		x->detach = cli_switch(arg);
		return 0;
	case 'c':
		x->caps[x->ncaps++] = arg;
		return 0;
	case FLAG_PID_FILE:
		x->pid_file = arg;
		return 0;
	case FLAG_LABEL:
		x->label = arg;
		return 0;
	case FLAG_APPARMOR:
		x->apparmor = arg;
		return 0;
	case FLAG_NNP:
		x->no_new_privs = cli_switch(arg);
		return 0;
	case FLAG_PRESERVE:
		return cli_count("--preserve-fds", arg, &x->preserve, err);
	case FLAG_CGROUP:
		x->cgroups[x->ncgroups++] = arg;
		return 0;
	case FLAG_PAUSED:
		x->ignore_paused = cli_switch(arg);
		return 0;
	case FLAG_PIDFD:
		x->pidfd_socket = arg;
		return 0;
	default:
		return -1;
	}
}

static int parse(struct exec *x, int argc, char **argv, struct err *err)
{
	static const struct option flags[] = {
		{"console-socket", 1, NULL, FLAG_SOCKET},
		{"pidfd-socket", 1, NULL, FLAG_PIDFD},
		{"cwd", 1, NULL, FLAG_CWD},
		{"env", 1, NULL, 'e'},
		{"tty", 2, NULL, 't'},
		{"user", 1, NULL, 'u'},
		{"additional-gids", 1, NULL, 'g'},
		{"process", 1, NULL, 'p'},
		{"detach", 2, NULL, 'd'},
		{"pid-file", 1, NULL, FLAG_PID_FILE},
		{"process-label", 1, NULL, FLAG_LABEL},
		{"apparmor", 1, NULL, FLAG_APPARMOR},
		{"no-new-privs", 2, NULL, FLAG_NNP},
		{"cap", 1, NULL, 'c'},
		{"preserve-fds", 1, NULL, FLAG_PRESERVE},
		{"cgroup", 1, NULL, FLAG_CGROUP},
		{"ignore-paused", 2, NULL, FLAG_PAUSED},
		{NULL, 0, NULL, 0},
	};
	int f;

	x->env = arena_array(&x->arena, (size_t)argc + 1, sizeof(*x->env));
	x->caps = arena_array(&x->arena, (size_t)argc + 1, sizeof(*x->caps));
	x->cgroups = arena_array(&x->arena, (size_t)argc + 1, sizeof(*x->cgroups));
	x->gids = arena_array(&x->arena, (size_t)argc + 1, sizeof(*x->gids));
	while ((f = cli_flag(argc, argv, "+e:tu:g:p:dc:", flags, err)) != -1)
		if (f == -2 || flag(x, f, optarg, err) < 0)
			return -1;
	x->id = cli_id(cli_up_to_id(argc), argv, err);
	if (!x->id)
		return -1;
	x->args = argv + optind + 1;
	if (!x->process_file && !*x->args)
		return err_set(err, ERR_INVALID, "process args cannot be empty");
	return 0;
}

/* "uid[:gid]"; names, which runc refuses and crun takes, are looked up inside. */
static int set_user(struct exec *x, const struct ctr *c, struct oci_process *p,
		    struct err *err)
{
	STR_AUTO path = xasprintf("/proc/%d/root", (int)c->pid);
	FD_AUTO root = file_open(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0, err);
	bool has_group = strchr(x->user, ':') != NULL;
	struct oci_user user;

	if (root < 0 || oci_user_resolve(root, &(struct oci_user_query){.user = x->user},
					 &x->arena, &user, err) < 0)
		return err_wrap(err, "--user %s", x->user);
	p->uid = user.uid;
	if (has_group)
		p->gid = user.gid;
	return 0;
}

static int add_caps(struct exec *x, struct oci_process *p, struct err *err)
{
	for (size_t i = 0; i < x->ncaps; i++) {
		uint64_t bit = caps_bit(x->caps[i]);

		if (!bit)
			return err_set(err, ERR_INVALID,
				       "--cap: unknown capability \"%s\"", x->caps[i]);
		p->has_caps = true;
		p->caps.bounding |= bit;
		p->caps.effective |= bit;
		p->caps.permitted |= bit;
		if (p->caps.inheritable & bit)
			p->caps.ambient |= bit;
	}
	return 0;
}

static void add_groups(struct exec *x, struct oci_process *p)
{
	gid_t *all = arena_array(&x->arena, p->ngroups + x->ngids + 1, sizeof(*all));

	for (size_t i = 0; i < p->ngroups; i++)
		all[i] = p->groups[i];
	for (size_t i = 0; i < x->ngids; i++)
		all[p->ngroups + i] = x->gids[i];
	p->groups = all;
	p->ngroups += x->ngids;
}

/* The process by the flags, on top of the container's own. */
static int from_flags(struct exec *x, const struct ctr *c, struct oci_process *p,
		      struct err *err)
{
	*p = *oci_spec_process(c->spec);
	p->args = x->args;
	p->terminal = x->tty;
	p->rows = p->cols = 0;
	if (x->cwd)
		p->cwd = x->cwd;
	if (*p->cwd != '/')
		return err_set(err, ERR_INVALID, "Cwd must be an absolute path");
	for (size_t i = 0; i < x->nenv; i++) {
		const char *eq = strchr(x->env[i], '=');
		STR_AUTO key = NULL;

		if (!eq || eq == x->env[i])
			return err_set(err, ERR_INVALID, "--env \"%s\": not KEY=value",
				       x->env[i]);
		key = xstrndup(x->env[i], (size_t)(eq - x->env[i]));
		oci_process_setenv(p, &x->arena, key, eq + 1);
	}
	if (x->user && set_user(x, c, p, err) < 0)
		return -1;
	add_groups(x, p);
	p->no_new_privs |= x->no_new_privs;
	if (x->label)
		p->selinux = x->label;
	if (x->apparmor)
		p->apparmor = x->apparmor;
	return add_caps(x, p, err);
}

static int from_file(struct exec *x, const struct ctr *c, struct oci_process *p,
		     struct err *err)
{
	struct oci_process *got = NULL;
	BUF_AUTO text = {0};
	/* callers' shells write <(...): it may be a pipe */
	FD_AUTO fd = file_open(AT_FDCWD, x->process_file, O_RDONLY | O_NOCTTY, 0, err);

	if (fd < 0)
		return -1;
	if (fd_read_all(fd, MAX_PROCESS, &text, err) < 0)
		return err_wrap(err, "read %s", x->process_file);
	if (oci_process_parse(text.data, text.len, oci_spec_process(c->spec), &x->arena,
			      &got, err) < 0)
		return -1;
	*p = *got;
	if (x->tty || x->no_tty)
		p->terminal = x->tty;
	return 0;
}

static int check_status(const struct exec *x, const struct ctr *c,
			const struct cgroups *g, struct err *err)
{
	switch (ctr_status(c, g)) {
	case CTR_STOPPED:
		return err_set(err, ERR_STATE, "cannot exec in a stopped container");
	case CTR_PAUSED:
		if (!x->ignore_paused)
			return err_set(err, ERR_STATE,
				       "cannot exec in a paused container (use "
				       "--ignore-paused to override)");
		return 0;
	case CTR_CREATING:
		return err_set(err, ERR_NOT_FOUND, "container does not exist: %s", c->id);
	case CTR_CREATED:
	case CTR_RUNNING:
	default:
		return 0;
	}
}

/* A group below the container's own. */
static const char *subgroup(struct exec *x, const struct ctr *c, const char *path,
			    struct err *err)
{
	for (const char *p = path; *p; p += strcspn(p, "/"), p += strspn(p, "/"))
		if (strcspn(p, "/") == 2 && p[0] == '.' && p[1] == '.') {
			err_set(err, ERR_INVALID,
				"--cgroup: bad sub cgroup path: %s: `..` components are "
				"not allowed",
				path);
			return NULL;
		}
	return arena_fmt(&x->arena, "%s/%s", c->cgroup, path);
}

/* The groups of "CONTROLLER[,CONTROLLER...]:PATH". */
static int add_subgroups(struct exec *x, const struct ctr *c, const struct cgroups *g,
			 const char *arg, struct err *err)
{
	const char *colon = strchr(arg, ':'), *path = subgroup(x, c, colon + 1, err);
	size_t n;

	if (!path)
		return -1;
	for (const char *p = arg; p <= colon; p += n + 1) {
		n = strcspn(p, ",:");
		struct oci_subgroup s = {arena_strndup(&x->arena, p, n), path};

		if (!n)
			return err_set(err, ERR_INVALID, "--cgroup %s: empty controller",
				       arg);
		if (!cgroups_has(g, s.controller) || cgroups_is_v2(g, s.controller))
			return err_set(err, ERR_INVALID,
				       "--cgroup %s: unknown controller %s of cgroup "
				       "version 1",
				       arg, s.controller);
		for (size_t i = 0; i < x->nsubgroups; i++)
			if (str_eq(x->subgroups[i].controller, s.controller))
				return err_set(err, ERR_INVALID,
					       "--cgroup %s: controller %s specified "
					       "multiple times",
					       arg, s.controller);
		x->subgroups[x->nsubgroups++] = s;
	}
	return 0;
}

/*
 * The group to join, *ret, and those of single controllers: all below the container's own.
 * --cgroup is one path, or a path for some controllers of version 1, or several of these.
 */
static int find_groups(struct exec *x, const struct ctr *c, const struct cgroups *g,
		       const char **ret, struct err *err)
{
	size_t n = 0;

	if (!g || str_empty(c->cgroup)) {
		*ret = NULL;
		return x->ncgroups
			       ? err_set(err, ERR_STATE,
					 "--cgroup: container %s has no cgroup", c->id)
			       : 0;
	}
	*ret = c->cgroup;
	for (size_t i = 0; i < x->ncgroups; i++)
		n += strlen(x->cgroups[i]);
	x->subgroups = arena_array(&x->arena, n + 1, sizeof(*x->subgroups));
	for (size_t i = 0; i < x->ncgroups; i++) {
		const char *arg = x->cgroups[i];

		if (strchr(arg, ':')) {
			if (add_subgroups(x, c, g, arg, err) < 0)
				return -1;
		} else if (x->ncgroups > 1) {
			return err_set(err, ERR_INVALID,
				       "--cgroup %s: several need a controller each",
				       arg);
		} else if (!(*ret = subgroup(x, c, arg, err))) {
			return -1;
		}
	}
	return 0;
}

static int run(struct exec *x, struct ctr *c, const struct cgroups *g, struct err *err)
{
	struct oci_started st = {.pidfd = -1, .errfd = -1};
	int pair[2] = {-1, -1}, status = 0;
	const char *group = NULL;
	struct oci_process p;
	struct oci_exec how;
	FD_AUTO socket = -1;
	FD_AUTO master = -1;
	FD_AUTO pidfd = ctr_pidfd(c, err);

	if (pidfd < 0 || check_status(x, c, g, err) < 0 || ctr_load_spec(c, err) < 0 ||
	    find_groups(x, c, g, &group, err) < 0 ||
	    (x->process_file ? from_file(x, c, &p, err) : from_flags(x, c, &p, err)) < 0)
		return -1;
	if (p.terminal && x->detach && !x->console_socket)
		return err_set(err, ERR_INVALID,
			       "cannot allocate tty if runc will detach without setting "
			       "console socket");
	if (x->console_socket && (socket = sock_connect_unix(x->console_socket, err)) < 0)
		return -1;
	if (p.terminal && socket < 0 && sock_pair(pair, err) < 0)
		return -1;
	if (socket < 0)
		wait_as_ours(&p);
	oci_exec_init(&how);
	how.pidfd = pidfd;
	how.pid = c->pid;
	how.spec = c->spec;
	how.process = &p;
	for (int i = 0; i < 3; i++)
		how.stdio[i] = i;
	how.console_socket = socket >= 0 ? socket : pair[1];
	how.cgroups = g;
	how.cgroup = group;
	how.subgroups = x->subgroups;
	how.nsubgroups = x->nsubgroups;
	how.preserve_fds = x->preserve;
	how.id = c->id;
	how.bundle = c->bundle;
	how.seccomp_cache = arena_fmt(&x->arena, "%s/" OCI_SECCOMP_CACHE, x->cli->root);
	if (x->cli->debug) {
		BUF_AUTO text = {0};

		buf_add_fmt(&text, "exec %s in container %s, process %d, cgroup %s",
			    p.args[0], c->id, (int)c->pid, str_or_empty(group));
		cli_debug(x->cli, &text);
	}
	status = oci_exec(&how, &st, &x->warnings, err);
	fd_close(&pair[1]);
	if (status == 0 && (status = cli_write_pid(x->pid_file, st.pid, err)) == 0 &&
	    (status = cli_send_pidfd(x->pidfd_socket, "setns", st.pidfd, err)) == 0) {
		if (x->cli->debug)
			cli_warn(&x->warnings);
		if (pair[0] >= 0)
			master = wait_master(pair[0], err);
		if (!x->detach)
			status = wait_child(st.pid, st.pidfd, master, err);
	}
	fd_close(&pair[0]);
	fd_close(&st.pidfd);
	return status;
}

int cmd_exec(const struct oci_cli *cli, int argc, char **argv, struct err *err)
{
	struct exec x = {.cli = cli};
	struct cgroups *g = NULL;
	struct err ignored;
	struct ctr c = {.dir = -1};
	int r = parse(&x, argc, argv, err);

	if (r == 0)
		r = ctr_load(cli, &c, x.id, err);
	if (r == 0) {
		g = cgroups_open(&ignored);
		r = run(&x, &c, g, err);
	}
	if (r < 0)
		err_wrap(err, "exec failed");
	cgroups_free(g);
	ctr_done(&c);
	buf_done(&x.warnings);
	arena_done(&x.arena);
	return r;
}
