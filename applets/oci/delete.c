/* delete: the end of a container, whatever is left of it. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cgroup/rdt.h"
#include "oci/cli.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/proc.h"

enum { DEATH_MS = 10000, LOOK_MS = 20, PATIENCE_MS = 200, MAX_CGROUPS = 1 << 20 };

static int stop_at_one(void *arg, pid_t pid)
{
	(void)arg;
	(void)pid;
	return 1;
}

/*
 * Init of a pid namespace ends when all in it are reaped, an exec's process by its parent,
 * which may not care. Out of the group it is dead all the same.
 */
static bool has_left(const struct ctr *c, const struct cgroups *g)
{
	struct err ignored;

	return g && *c->cgroup &&
	       cgroup_pids(g, c->cgroup, stop_at_one, NULL, &ignored) == 0;
}

/* Somebody has moved it to a group of version 1 that holds it: into one that was not ours. */
static void thaw_elsewhere(const struct ctr *c, const struct cgroups *g)
{
	STR_AUTO file = xasprintf("/proc/%d/cgroup", (int)c->pid);
	BUF_AUTO text = {0};
	struct err ignored;
	char *at, *line;

	if (!g || file_read(AT_FDCWD, file, MAX_CGROUPS, &text, &ignored) < 0)
		return;
	buf_str(&text);
	for (at = (char *)text.data; (line = strsep(&at, "\n"));) {
		char *path = strstr(line, "freezer:/");

		if (path && cgroup_frozen(g, path + strlen("freezer:")))
			cgroup_freeze(g, path + strlen("freezer:"), false, &ignored);
	}
}

static int kill_init(const struct ctr *c, const struct cgroups *g, struct err *err)
{
	struct err ignored;
	FD_AUTO fd = ctr_pidfd(c, &ignored);
	struct pollfd p = {.fd = fd, .events = POLLIN};

	if (fd < 0)
		return 0;
	proc_kill(fd, SIGKILL);
	/* version 1 holds a frozen process even against SIGKILL */
	if (g && *c->cgroup && cgroup_frozen(g, c->cgroup))
		cgroup_freeze(g, c->cgroup, false, &ignored);
	for (int ms = 0; ms < DEATH_MS; ms += LOOK_MS) {
		if (poll(&p, 1, LOOK_MS) != 0 || has_left(c, g))
			return 0;
		if (ms == PATIENCE_MS)
			thaw_elsewhere(c, g);
	}
	return err_set(err, ERR_STATE,
		       "container init still running: process %d does not end",
		       (int)c->pid);
}

/* What the spec says about the end; a configuration that cannot be read says nothing. */
static void finish(struct ctr *c, struct buf *warnings)
{
	struct err err;

	if (ctr_load_spec(c, &err) < 0)
		return;
	oci_unmount_root(c->spec, c->rootfs);
	if (oci_spec_rdt(c->spec) &&
	    rdt_remove(oci_spec_rdt(c->spec), c->id, c->rdt_made, &err) < 0)
		buf_add_fmt(warnings, "%s\n", err.msg);
	if (ctr_run_hooks(c, OCI_HOOK_POSTSTOP, 0, warnings, &err) < 0)
		buf_add_fmt(warnings, "%s\n", err.msg);
}

int ctr_destroy(const struct oci_cli *cli, struct ctr *c, const struct cgroups *g,
		struct buf *warnings, struct err *err)
{
	if (kill_init(c, g, err) < 0 || group_remove(c, g, err) < 0)
		return -1;
	if (c->pid)
		finish(c, warnings);
	return ctr_forget(cli, c->id, err);
}

/* A directory without a state: what a create that died has left. */
static int delete_leftover(const struct oci_cli *cli, const char *id, bool force,
			   struct err *err)
{
	STR_AUTO path = xasprintf("%s/%s", cli->root, id);
	struct err ignored;

	if (access(path, F_OK) == 0 && ctr_forget(cli, id, force ? err : &ignored) < 0 &&
	    force)
		return -1;
	return force ? 0
		     : err_set(err, ERR_NOT_FOUND, "container does not exist: %s", id);
}

static int delete_one(const struct oci_cli *cli, struct ctr *c, const struct cgroups *g,
		      bool force, struct err *err)
{
	enum ctr_status status = ctr_status(c, g);
	BUF_AUTO warnings = {0};
	int r;

	if (!force && (status == CTR_RUNNING || status == CTR_PAUSED))
		return err_set(err, ERR_STATE,
			       "cannot delete container %s that is not stopped: %s",
			       c->id, ctr_status_names[status]);
	r = ctr_destroy(cli, c, g, &warnings, err);
	cli_warn(&warnings);
	return r;
}

int cmd_delete(const struct oci_cli *cli, int argc, char **argv, struct err *err)
{
	static const struct option flags[] = {{"force", 2, NULL, 'f'},
					      {NULL, 0, NULL, 0}};
	struct cgroups *g = NULL;
	struct ctr c = {.dir = -1};
	bool force = false;
	int f, r;

	while ((f = cli_flag(argc, argv, "f", flags, err)) != -1) {
		if (f == -2)
			return -1;
		force = cli_switch(optarg);
	}
	if (!cli_id(argc, argv, err))
		return -1;
	r = ctr_open(cli, argc, argv, &c, &g, err);
	if (r < 0 && (err->code == ERR_NOT_FOUND || force))
		r = delete_leftover(cli, argv[optind], force, err);
	else if (r == 0)
		r = delete_one(cli, &c, g, force, err);
	ctr_close(&c, g);
	return r;
}
