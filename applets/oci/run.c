/* start, run: what was created runs. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "oci/cli.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/proc.h"
#include "os/sock.h"

/* Says go. */
static int release_init(const struct ctr *c, struct err *err)
{
	FD_AUTO fd =
		openat(c->dir, CTR_GO, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return errno == ENXIO
			       ? err_set(err, ERR_STATE,
					 "cannot start a container that has stopped")
			       : err_sys(err, errno, "open " CTR_GO);
	/* gone first: whoever asks from now on sees it running */
	if (unlinkat(c->dir, CTR_GO, 0) < 0)
		return err_sys(err, errno, "cannot start an already running container");
	if (write(fd, "0", 1) != 1)
		return err_sys(err, errno, "write to " CTR_GO);
	return 0;
}

/*
 * The same; *ret_outcome is where its startContainer hooks are heard of, -1: it has none.
 * What of this fails has left the container as it was.
 */
static int go(const struct ctr *c, int *ret_outcome, struct err *err)
{
	FD_AUTO outcome = -1;

	if (oci_go_may_fail(c->spec)) {
		outcome = openat(c->dir, CTR_OUTCOME,
				 O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
		if (outcome < 0 || fd_set_nonblock(outcome, false) < 0)
			return err_sys(err, errno, "open " CTR_OUTCOME);
	}
	if (release_init(c, err) < 0)
		return -1;
	*ret_outcome = fd_take(&outcome);
	return 0;
}

/* --- start -------------------------------------------------------------------------- */

/* The hooks around the program's start. One that fails is the end of the container. */
static int hooks(struct ctr *c, int outcome, struct buf *warnings, struct err *err)
{
	if (outcome >= 0 && oci_go_outcome(outcome, err) < 0)
		return -1;
	return ctr_run_hooks(c, OCI_HOOK_POSTSTART, c->pid, warnings, err);
}

static int start(const struct oci_cli *cli, struct ctr *c, const struct cgroups *g,
		 struct err *err)
{
	FD_AUTO pidfd = ctr_pidfd(c, err);
	FD_AUTO notify = -1;
	FD_AUTO outcome = -1;
	BUF_AUTO warnings = {0};
	struct err ignored;

	if (pidfd < 0 || ctr_load_spec(c, err) < 0 || notify_listen(c, &notify, err) < 0)
		return -1;
	if (go(c, &outcome, err) < 0)
		return -1;
	if (hooks(c, outcome, &warnings, err) < 0) {
		/* runtime.md, Lifecycle, steps 7 and 9: on to step 12 */
		ctr_destroy(cli, c, g, &warnings, &ignored);
		cli_warn(&warnings);
		return -1;
	}
	return notify < 0 ? 0 : notify_wait(notify, c, pidfd, err);
}

int cmd_start(const struct oci_cli *cli, int argc, char **argv, struct err *err)
{
	struct cgroups *g = NULL;
	struct ctr c = {.dir = -1};
	int r;

	if (cli_no_flags(argc, argv, err) < 0 ||
	    ctr_open(cli, argc, argv, &c, &g, err) < 0) {
		ctr_close(&c, g);
		return -1;
	}
	switch (ctr_status(&c, g)) {
	case CTR_CREATED:
		r = start(cli, &c, g, err);
		break;
	case CTR_PAUSED:
		r = err_set(err, ERR_STATE,
			    "cannot start a container in the paused state");
		break;
	case CTR_RUNNING:
		r = err_set(err, ERR_STATE, "cannot start an already running container");
		break;
	case CTR_STOPPED:
		r = err_set(err, ERR_STATE, "cannot start a container that has stopped");
		break;
	case CTR_CREATING:
	default:
		r = err_set(err, ERR_NOT_FOUND,
			    "container does not exist: %s is still being created", c.id);
		break;
	}
	ctr_close(&c, g);
	return r;
}

/* --- run ---------------------------------------------------------------------------- */

/* A child of ours waits for the container's word while we wait for its end. */
static void notify_beside(int notify, const struct ctr *c, int pidfd)
{
	struct err ignored;

	if (notify >= 0 && fork() == 0) {
		notify_wait(notify, c, pidfd, &ignored);
		_exit(0);
	}
}

/* Starts what was created. If it died meanwhile, it is taken away, and its reason is
 * told. */
static int begin(struct create *c, const struct oci_started *st, struct err *err)
{
	FD_AUTO notify = -1;
	FD_AUTO outcome = -1;
	struct err ignored;
	int r = -1;

	if (notify_listen(&c->ctr, &notify, err) == 0)
		r = go(&c->ctr, &outcome, err);
	if (r == 0)
		r = hooks(&c->ctr, outcome, &c->warnings, err);
	if (r == 0 && notify >= 0 && c->detach)
		r = notify_wait(notify, &c->ctr, st->pidfd, err);
	else if (r == 0)
		notify_beside(notify, &c->ctr, st->pidfd);
	if (r == 0)
		return 0;
	create_explain(c, err);
	err_wrap(err, "%s run failed", c->cli->name);
	proc_kill(st->pidfd, SIGKILL);
	ctr_destroy(c->cli, &c->ctr, c->group.cgroups, &c->warnings, &ignored);
	return -1;
}

/* The foreground part: the exit status. */
static int attend(struct create *c, const struct oci_started *st, int master,
		  struct err *err)
{
	int status;

	if (begin(c, st, err) < 0)
		return -1;
	if (c->detach)
		return 0;
	/* an exec that fails now has said so on the container's stderr */
	status = wait_child(st->pid, st->pidfd, master, err);
	buf_reset(&c->warnings);
	if (!c->keep &&
	    ctr_destroy(c->cli, &c->ctr, c->group.cgroups, &c->warnings, err) < 0)
		return -1;
	cli_warn(&c->warnings);
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
		if (!c->no_subreaper)
			prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	}
	r = create_container(c, socket >= 0 ? socket : pair[1], &st, err);
	fd_close(&pair[1]);
	if (r < 0) {
		err_wrap(err, "%s run failed", c->cli->name);
		create_undo(c);
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
	struct create c = {
		.cli = cli, .run = true, .ctr = {.dir = -1}, .group = {.holder = -1}};
	int r = create_parse(&c, argc, argv, err);

	if (r == 0)
		r = run(&c, err);
	create_done(&c);
	return r;
}
