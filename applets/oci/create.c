/* create, run, start. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "cgroup/systemd.h"
#include "oci/cli.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/proc.h"
#include "os/sock.h"

enum { MAX_CONFIG = 16 << 20, MAX_PRESERVE = 1 << 16, START_WAIT_MS = 10000 };

struct create {
	const struct oci_cli *cli;
	const char *id, *bundle, *console_socket, *pid_file;
	int preserve;
	bool run, detach, keep, no_keyring;
	struct cgroups *cgroups;
	struct ctr ctr;
	struct buf warnings;
	int holder; /* of systemd's scope: systemd_release() */
};

enum {
	FLAG_SOCKET = 256,
	FLAG_PID_FILE,
	FLAG_PRESERVE,
	FLAG_KEEP,
	FLAG_IGNORED,
	FLAG_KEYRING,
	FLAG_PIDFD
};

static int parse(struct create *c, int argc, char **argv, struct err *err)
{
	static const struct option flags[] = {
		{"bundle", 1, NULL, 'b'},
		{"console-socket", 1, NULL, FLAG_SOCKET},
		{"pidfd-socket", 1, NULL, FLAG_PIDFD},
		{"pid-file", 1, NULL, FLAG_PID_FILE},
		{"preserve-fds", 1, NULL, FLAG_PRESERVE},
		{"no-pivot", 0, NULL, FLAG_IGNORED},
		{"no-new-keyring", 0, NULL, FLAG_KEYRING},
		{"no-subreaper", 0, NULL, FLAG_IGNORED},
		{"detach", 0, NULL, 'd'},
		{"keep", 0, NULL, FLAG_KEEP},
		{NULL, 0, NULL, 0},
	};
	uint64_t n;
	int f;

	c->bundle = ".";
	while ((f = cli_flag(argc, argv, "+b:d", flags, err)) != -1) {
		switch (f) {
		case 'b':
			c->bundle = optarg;
			break;
		case 'd':
			c->detach = true;
			break;
		case FLAG_SOCKET:
			c->console_socket = optarg;
			break;
		case FLAG_PID_FILE:
			c->pid_file = optarg;
			break;
		case FLAG_PRESERVE:
			if (num_u64(optarg, 0, MAX_PRESERVE, &n) < 0)
				return err_set(err, ERR_INVALID, "--preserve-fds %s",
					       optarg);
			c->preserve = (int)n;
			break;
		case FLAG_KEYRING:
			c->no_keyring = true;
			break;
		case FLAG_KEEP:
			c->keep = true;
			break;
		case FLAG_PIDFD:
			return err_set(err, ERR_UNIMPLEMENTED,
				       "--pidfd-socket is not supported yet");
		case -2:
			return -1;
		default:
			break;
		}
	}
	c->id = cli_id(argc, argv, err);
	return c->id ? 0 : -1;
}

/* --- bundle ------------------------------------------------------------------------- */

static int read_bundle(struct create *c, struct buf *text, struct err *err)
{
	char path[PATH_MAX];
	FD_AUTO dir = -1;

	if (!realpath(c->bundle, path))
		return err_sys(err, errno, "bundle %s", c->bundle);
	c->bundle = arena_strdup(&c->ctr.arena, path);
	dir = file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0, err);
	if (dir < 0)
		return -1;
	if (file_read(dir, "config.json", MAX_CONFIG, text, err) < 0)
		return err->sys == ENOENT
			       ? err_set(err, ERR_NOT_FOUND,
					 "JSON specification file config.json not found")
			       : -1;
	return oci_spec_parse(text->data, text->len, &c->ctr.arena, &c->ctr.spec, err);
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

/* --- create ------------------------------------------------------------------------- */

/* The fifo through which start says go. Opened both ways: it has no end before that. */
static int make_fifo(struct create *c, struct err *err)
{
	if (mkfifoat(c->ctr.dir, "exec.fifo", 0600) < 0)
		return err_sys(err, errno, "make exec.fifo");
	return file_open(c->ctr.dir, "exec.fifo", O_RDWR | O_NOFOLLOW, 0, err);
}

static int write_pid(const struct create *c, pid_t pid, struct err *err)
{
	char text[16];

	if (!c->pid_file)
		return 0;
	snprintf(text, sizeof(text), "%d", (int)pid);
	return file_replace(AT_FDCWD, c->pid_file, text, strlen(text), 0644, false, err);
}

/* LISTEN_FDS of a socket-activated caller are the container's (sd_listen_fds(3)). */
static void add_listen_fds(struct create *c)
{
	const char *fds = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");
	struct oci_process *p = oci_spec_process(c->ctr.spec);
	uint64_t n, owner;

	if (!fds || num_u64(fds, 1, MAX_PRESERVE, &n) < 0)
		return;
	if (pid && (num_u64(pid, 1, INT_MAX, &owner) < 0 || (pid_t)owner != getpid()))
		return;
	c->preserve += (int)n;
	oci_process_setenv(p, &c->ctr.arena, "LISTEN_FDS", fds);
	oci_process_setenv(p, &c->ctr.arena, "LISTEN_PID", "1");
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

/* What died before its program ran, for lack of memory, says so. */
static void explain(const struct create *c, struct err *err)
{
	if (c->cgroups && cgroup_oom_kills(c->cgroups, c->ctr.cgroup) > 0)
		err_set(err, ERR_EXHAUSTED,
			"container init was OOM-killed (memory limit too low?)");
	err_wrap(err, "unable to start container process");
}

static int start(struct create *c, int terminal, int start_fd, struct oci_started *ret,
		 struct err *err)
{
	struct oci_start how;

	oci_start_init(&how);
	how.id = c->id;
	how.spec = c->ctr.spec;
	how.bundle = c->bundle;
	for (int i = 0; i < 3; i++)
		how.stdio[i] = i;
	how.console_socket = terminal;
	how.cgroups = c->cgroups;
	how.cgroup = c->ctr.cgroup;
	how.preserve_fds = c->preserve;
	how.no_new_keyring = c->no_keyring;
	how.start_fd = start_fd;
	if (oci_start(&how, ret, &c->warnings, err) < 0) {
		explain(c, err);
		return -1;
	}
	systemd_release(&c->holder);
	return 0;
}

/* From the bundle to a container that waits for its start. */
static int create(struct create *c, int terminal, struct oci_started *ret,
		  struct err *err)
{
	BUF_AUTO text = {0};
	FD_AUTO fifo = -1;

	if (ctr_make(c->cli, &c->ctr, c->id, err) < 0)
		return -1;
	if (read_bundle(c, &text, err) < 0 || check_root(c, err) < 0 ||
	    check_terminal(c, err) < 0)
		return -1;
	add_listen_fds(c);
	if (check_preserved(c, err) < 0)
		return -1;
	c->ctr.bundle = c->bundle;
	c->ctr.version = oci_spec_version(c->ctr.spec);
	c->ctr.created = time_real();
	c->ctr.own_pids = oci_spec_has_ns(c->ctr.spec, OCI_NS_PID);
	c->ctr.cgroup = "";
	if (file_replace(c->ctr.dir, "config.json", text.data, text.len, 0600, false,
			 err) < 0)
		return -1;
	c->cgroups = cgroups_open(err);
	if (!c->cgroups || group_make(c->cli, &c->ctr, c->cgroups, &c->holder, err) < 0 ||
	    ctr_save(&c->ctr, err) < 0)
		return -1;
	fifo = make_fifo(c, err);
	if (fifo < 0)
		return -1;
	if (start(c, terminal, fifo, ret, err) < 0)
		return -1;
	/* stderr is the container's, unless we stay in the foreground */
	if (c->cli->debug || (c->run && !c->detach))
		cli_warn(&c->warnings);
	c->ctr.pid = ret->pid;
	c->ctr.start_time = proc_start_time(ret->pid);
	if (ctr_save(&c->ctr, err) < 0 || write_pid(c, ret->pid, err) < 0) {
		proc_kill(ret->pidfd, SIGKILL);
		return -1;
	}
	return 0;
}

/* A create that failed leaves nothing. */
static void undo(struct create *c)
{
	struct err ignored;

	if (c->ctr.dir < 0)
		return; /* there was one of this name, or none could be made */
	systemd_release(&c->holder);
	if (c->ctr.made_cgroup)
		group_remove(&c->ctr, c->cgroups, &ignored);
	ctr_forget(c->cli, c->id, &ignored);
}

static void release(struct create *c)
{
	buf_done(&c->warnings);
	cgroups_free(c->cgroups);
	ctr_done(&c->ctr);
}

int cmd_create(const struct oci_cli *cli, int argc, char **argv, struct err *err)
{
	struct create c = {.cli = cli, .ctr = {.dir = -1}, .holder = -1};
	struct oci_started started = {.pidfd = -1, .errfd = -1};
	FD_AUTO socket = -1;
	int r = parse(&c, argc, argv, err);

	if (r == 0 && c.console_socket) {
		socket = sock_connect_unix(c.console_socket, err);
		r = socket < 0 ? -1 : 0;
	}
	if (r == 0) {
		r = create(&c, socket, &started, err);
		if (r < 0) {
			err_wrap(err, "%s create failed", cli->name);
			undo(&c);
		}
	}
	fd_close(&started.pidfd);
	fd_close(&started.errfd);
	release(&c);
	return r;
}

/* --- start -------------------------------------------------------------------------- */

/* Says go. */
static int release_init(const struct ctr *c, struct err *err)
{
	FD_AUTO fd = openat(c->dir, "exec.fifo",
			    O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return errno == ENXIO
			       ? err_set(err, ERR_STATE,
					 "cannot start a container that has stopped")
			       : err_sys(err, errno, "open exec.fifo");
	/* gone first: whoever asks from now on sees it running */
	if (unlinkat(c->dir, "exec.fifo", 0) < 0)
		return err_sys(err, errno, "cannot start an already running container");
	if (write(fd, "0", 1) != 1)
		return err_sys(err, errno, "write to exec.fifo");
	return 0;
}

int cmd_start(const struct oci_cli *cli, int argc, char **argv, struct err *err)
{
	const char *id;
	struct ctr c;
	int r;

	if (cli_flag(argc, argv, "+", (struct option[]){{NULL, 0, NULL, 0}}, err) == -2)
		return -1;
	id = cli_id(argc, argv, err);
	if (!id || ctr_load(cli, &c, id, err) < 0)
		return -1;
	switch (ctr_status(&c, NULL)) {
	case CTR_CREATED:
		r = release_init(&c, err);
		break;
	case CTR_RUNNING:
	case CTR_PAUSED:
		r = err_set(err, ERR_STATE, "cannot start an already running container");
		break;
	case CTR_STOPPED:
		r = err_set(err, ERR_STATE, "cannot start a container that has stopped");
		break;
	case CTR_CREATING:
	default:
		r = err_set(err, ERR_STATE, "container %s is still being created", id);
		break;
	}
	ctr_done(&c);
	return r;
}

/* --- run ---------------------------------------------------------------------------- */

/* Starts what was created. If it died meanwhile, it is taken away, and its reason is
 * told. */
static int go(struct create *c, const struct oci_started *st, struct err *err)
{
	struct err ignored;

	if (release_init(&c->ctr, err) == 0)
		return 0;
	explain(c, err);
	err_wrap(err, "%s run failed", c->cli->name);
	proc_kill(st->pidfd, SIGKILL);
	ctr_destroy(c->cli, &c->ctr, c->cgroups, &ignored);
	return -1;
}

/* The foreground part: the exit status. */
static int attend(struct create *c, const struct oci_started *st, int master,
		  struct err *err)
{
	int status;

	if (go(c, st, err) < 0)
		return -1;
	if (c->detach)
		return 0;
	/* an exec that fails now has said so on the container's stderr */
	status = wait_child(st->pid, st->pidfd, master, err);
	if (!c->keep && ctr_destroy(c->cli, &c->ctr, c->cgroups, err) < 0)
		return -1;
	return status;
}

static int run(struct create *c, struct err *err)
{
	struct oci_started st = {.pidfd = -1, .errfd = -1};
	int pair[2] = {-1, -1}, r;
	FD_AUTO socket = -1;
	FD_AUTO master = -1;

	if (c->console_socket) {
		socket = sock_connect_unix(c->console_socket, err);
		if (socket < 0)
			return -1;
	} else if (!c->detach) {
		if (sock_pair(pair, err) < 0)
			return -1;
		prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	}
	r = create(c, socket >= 0 ? socket : pair[1], &st, err);
	fd_close(&pair[1]);
	if (r < 0) {
		err_wrap(err, "%s run failed", c->cli->name);
		undo(c);
	} else {
		if (pair[0] >= 0 && oci_spec_process(c->ctr.spec)->terminal)
			master = wait_master(pair[0], err);
		r = attend(c, &st, master, err);
	}
	fd_close(&pair[0]);
	fd_close(&st.pidfd);
	fd_close(&st.errfd);
	return r;
}

int cmd_run(const struct oci_cli *cli, int argc, char **argv, struct err *err)
{
	struct create c = {.cli = cli, .run = true, .ctr = {.dir = -1}, .holder = -1};
	int r = parse(&c, argc, argv, err);

	if (r == 0)
		r = run(&c, err);
	release(&c);
	return r;
}
