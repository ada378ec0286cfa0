/* create: from a bundle to a container that waits for its start. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "oci/cli.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/proc.h"
#include "os/sock.h"

enum { MAX_CONFIG = 16 << 20, MAX_PRESERVE = 1 << 16 };

int create_flag(struct create *c, int f, const char *arg, struct err *err)
{
	switch (f) {
	case 'b':
		c->bundle = arg;
		return 0;
	case 'd':
		c->detach = cli_switch(arg);
		return 0;
	case 'f':
		c->config = arg;
		return 0;
	case CREATE_SOCKET:
		c->console_socket = arg;
		return 0;
	case CREATE_PID_FILE:
		c->pid_file = arg;
		return 0;
	case CREATE_PIDFD:
		c->pidfd_socket = arg;
		return 0;
	case CREATE_PRESERVE:
		return cli_count("--preserve-fds", arg, &c->preserve, err);
	case CREATE_KEYRING:
		c->no_keyring = cli_switch(arg);
		return 0;
	case CREATE_KEEP:
		c->keep = cli_switch(arg);
		return 0;
	case CREATE_PIVOT:
		c->no_pivot = cli_switch(arg);
		return 0;
	case CREATE_REAPER:
		c->no_subreaper = cli_switch(arg);
		return 0;
	default:
		return -1;
	}
}

int create_parse(struct create *c, int argc, char **argv, struct err *err)
{
	static const struct option flags[] = {CREATE_OPTIONS, {NULL, 0, NULL, 0}};
	int f;

	c->bundle = ".";
	c->config = "config.json";
	while ((f = cli_flag(argc, argv, "b:f:d", flags, err)) != -1)
		if (f == -2 || create_flag(c, f, optarg, err) < 0)
			return -1;
	c->id = cli_id(argc, argv, err);
	return c->id ? 0 : -1;
}

/* --- bundle ------------------------------------------------------------------------- */

static int read_bundle(struct create *c, struct err *err)
{
	char path[PATH_MAX];
	FD_AUTO dir = -1;

	if (!realpath(c->bundle, path))
		return err_sys(err, errno, "bundle %s", c->bundle);
	c->bundle = arena_strdup(&c->ctr.arena, path);
	dir = file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0, err);
	if (dir < 0)
		return -1;
	if (file_read(dir, c->config, MAX_CONFIG, &c->text, err) < 0)
		return err->sys == ENOENT
			       ? err_set(err, ERR_NOT_FOUND,
					 "JSON specification file %s not found",
					 c->config)
			       : -1;
	if (notify_setup(c->cli, &c->ctr, &c->text, err) < 0)
		return -1;
	return oci_spec_parse(c->text.data, c->text.len, &c->ctr.arena, &c->ctr.spec,
			      err);
}

static int check_root(struct create *c, struct err *err)
{
	const char *root = oci_spec_root(c->ctr.spec);
	struct stat st;

	c->ctr.rootfs =
		*root == '/' ? root : arena_fmt(&c->ctr.arena, "%s/%s", c->bundle, root);
	if (lstat(c->ctr.rootfs, &st) < 0)
		return err_sys(err, errno, "invalid rootfs: stat %s", c->ctr.rootfs);
	if (!S_ISDIR(st.st_mode))
		return err_set(err, ERR_INVALID,
			       "invalid rootfs: %s is not a directory, or a symlink",
			       c->ctr.rootfs);
	return 0;
}

/* runc's rules of which terminal goes where. */
static int check_terminal(const struct create *c, struct err *err)
{
	const struct oci_process *p = oci_spec_process(c->ctr.spec);
	bool detached = !c->run || c->detach;

	if (!p)
		return err_set(err, ERR_INVALID, "process property must not be empty");
	if (p->terminal && detached && !c->console_socket)
		return err_set(err, ERR_INVALID,
			       "cannot allocate tty if runc will detach without setting "
			       "console socket");
	if (c->console_socket && (!p->terminal || !detached))
		return err_set(err, ERR_INVALID,
			       "cannot use console socket if runc will not detach or "
			       "allocate tty");
	return 0;
}

/* LISTEN_FDS of a socket-activated caller are the container's (sd_listen_fds(3)). */
static void add_listen_fds(struct create *c)
{
	const char *fds = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");
	const char *names = getenv("LISTEN_FDNAMES");
	struct oci_process *p = oci_spec_process(c->ctr.spec);
	uint64_t n, owner;

	if (!fds || num_u64(fds, 1, MAX_PRESERVE, &n) < 0)
		return;
	/* crun's callers leave the pid to the runtime, runc's name ours */
	if (c->cli->like != LIKE_CRUN && pid &&
	    (num_u64(pid, 1, INT_MAX, &owner) < 0 || (pid_t)owner != getpid()))
		return;
	c->preserve += (int)n;
	oci_process_setenv(p, &c->ctr.arena, "LISTEN_FDS", fds);
	oci_process_setenv(p, &c->ctr.arena, "LISTEN_PID", "1");
	if (names)
		oci_process_setenv(p, &c->ctr.arena, "LISTEN_FDNAMES", names);
}

static int check_preserved(const struct create *c, struct err *err)
{
	for (int i = 3; i < 3 + c->preserve; i++)
		if (fcntl(i, F_GETFD) < 0)
			return err_sys(err, errno,
				       "unable to stat preserved-fd %d (of %d)", i - 3,
				       c->preserve);
	return 0;
}

/* What our standard streams are: a checkpoint names them, a restore replaces them. */
static void describe_stdio(struct ctr *c)
{
	for (int i = 0; i < 3; i++) {
		char link[FD_PATH], text[PATH_MAX];
		ssize_t n = readlink(fd_path(link, i), text, sizeof(text) - 1);

		c->stdio[i] = arena_strndup(&c->arena, text, n < 0 ? 0 : (size_t)n);
	}
}

/* --- create ------------------------------------------------------------------------- */

/* Opened both ways: it has no end before somebody else has opened it. */
static int make_fifo(const struct create *c, const char *name, struct err *err)
{
	if (mkfifoat(c->ctr.dir, name, 0600) < 0)
		return err_sys(err, errno, "make %s", name);
	return file_open(c->ctr.dir, name, O_RDWR | O_NOFOLLOW, 0, err);
}

/* What is saved has not changed, but for this: the fifo gets its name. */
static int created(struct create *c, struct err *err)
{
	if (c->ctr.rdt_made && ctr_save(&c->ctr, err) < 0)
		return -1;
	if (renameat(c->ctr.dir, CTR_GO_EARLY, c->ctr.dir, CTR_GO) < 0)
		return err_sys(err, errno, "name " CTR_GO);
	return 0;
}

void create_explain(const struct create *c, struct err *err)
{
	if (c->group.cgroups && *c->ctr.cgroup &&
	    cgroup_oom_kills(c->group.cgroups, c->ctr.cgroup) > 0)
		err_set(err, ERR_EXHAUSTED,
			"container init was OOM-killed (memory limit too low?)");
	err_wrap(err, "unable to start container process");
}

int create_prepare(struct create *c, struct err *err)
{
	if (ctr_make(c->cli, &c->ctr, c->id, err) < 0)
		return -1;
	if (read_bundle(c, err) < 0 || check_root(c, err) < 0 ||
	    check_terminal(c, err) < 0)
		return -1;
	if (!c->console_socket)
		wait_as_ours(oci_spec_process(c->ctr.spec));
	add_listen_fds(c);
	if (check_preserved(c, err) < 0)
		return -1;
	c->ctr.bundle = c->bundle;
	c->ctr.version = oci_spec_version(c->ctr.spec);
	c->ctr.created = time_real();
	c->ctr.own_pids = oci_spec_has_ns(c->ctr.spec, OCI_NS_PID);
	describe_stdio(&c->ctr);
	/* what is saved here is enough to clean up, whenever we are killed from now on */
	if (file_replace(c->ctr.dir, "config.json", c->text.data, c->text.len, 0600,
			 false, err) < 0 ||
	    group_choose(c->cli, &c->group, &c->ctr, err) < 0 ||
	    ctr_save(&c->ctr, err) < 0)
		return -1;
	return group_make(c->cli, &c->group, &c->ctr, err);
}

int create_started(struct create *c, pid_t pid, struct err *err)
{
	c->ctr.pid = pid;
	c->ctr.start_time = proc_start_time(pid);
	return ctr_save(&c->ctr, err);
}

/* What "plan" would print. */
static void tell_plan(const struct create *c)
{
	struct oci_plan_how how = {.rootfs = c->ctr.rootfs};
	ARENA_AUTO a = {0};
	BUF_AUTO text = {0};

	if (!c->cli->debug)
		return;
	how.cgroup_v1 = c->group.cgroups && cgroups_mode(c->group.cgroups) != CGROUPS_V2;
	how.console = oci_spec_process(c->ctr.spec)->terminal;
	oci_plan_print(oci_plan_new(c->ctr.spec, &how, &a), &text);
	cli_debug(c->cli, &text);
}

static int on_pid(void *arg, pid_t pid, struct err *err)
{
	return create_started(arg, pid, err);
}

static int start(struct create *c, int terminal, struct oci_started *ret, struct err *err)
{
	struct oci_start how;
	FD_AUTO go = make_fifo(c, CTR_GO_EARLY, err);
	FD_AUTO outcome = -1;

	if (go < 0)
		return -1;
	if (oci_go_may_fail(c->ctr.spec) &&
	    (outcome = make_fifo(c, CTR_OUTCOME, err)) < 0)
		return -1;

	oci_start_init(&how);
	how.id = c->id;
	how.spec = c->ctr.spec;
	how.bundle = c->bundle;
	for (int i = 0; i < 3; i++)
		how.stdio[i] = i;
	how.console_socket = terminal;
	how.cgroups = c->group.cgroups;
	how.cgroup = *c->ctr.cgroup ? c->ctr.cgroup : NULL;
	how.preserve_fds = c->preserve;
	how.no_new_keyring = c->no_keyring;
	how.no_pivot = c->no_pivot;
	how.start_fd = go;
	how.outcome_fd = outcome;
	how.seccomp_cache =
		arena_fmt(&c->ctr.arena, "%s/" OCI_SECCOMP_CACHE, c->cli->root);
	how.on_pid = on_pid;
	how.on_pid_arg = c;
	tell_plan(c);
	if (oci_start(&how, ret, &c->warnings, err) < 0) {
		create_explain(c, err);
		return -1;
	}
	c->ctr.rdt_made = ret->rdt_made;
	group_filled(&c->group);
	return 0;
}

int create_container(struct create *c, int terminal, struct oci_started *ret,
		     struct err *err)
{
	if (create_prepare(c, err) < 0 || start(c, terminal, ret, err) < 0)
		return -1;
	/* stderr is the container's, unless we stay in the foreground */
	if (c->cli->debug || (c->run && !c->detach))
		cli_warn(&c->warnings);
	if (created(c, err) < 0 ||
	    cli_send_pidfd(c->pidfd_socket, "standard", ret->pidfd, err) < 0 ||
	    cli_write_pid(c->pid_file, ret->pid, err) < 0) {
		proc_kill(ret->pidfd, SIGKILL);
		return -1;
	}
	return 0;
}

void create_undo(struct create *c)
{
	struct err ignored;

	if (c->ctr.dir < 0)
		return; /* there was one of this name, or none could be made */
	group_filled(&c->group);
	if (c->group.made)
		group_remove(&c->ctr, c->group.cgroups, &ignored);
	ctr_forget(c->cli, c->id, &ignored);
}

void create_done(struct create *c)
{
	buf_done(&c->warnings);
	buf_done(&c->text);
	group_done(&c->group);
	ctr_done(&c->ctr);
}

int cmd_create(const struct oci_cli *cli, int argc, char **argv, struct err *err)
{
	struct create c = {.cli = cli, .ctr = {.dir = -1}, .group = {.holder = -1}};
	struct oci_started started = {.pidfd = -1, .errfd = -1};
	FD_AUTO socket = -1;
	int r = create_parse(&c, argc, argv, err);

	if (r == 0 && c.console_socket) {
		socket = sock_connect_unix(c.console_socket, err);
		r = socket < 0 ? -1 : 0;
	}
	if (r == 0) {
		r = create_container(&c, socket, &started, err);
		if (r < 0) {
			err_wrap(err, "%s create failed", cli->name);
			create_undo(&c);
		}
	}
	fd_close(&started.pidfd);
	fd_close(&started.errfd);
	create_done(&c);
	return r;
}
