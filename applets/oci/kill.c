/* kill, delete, pause, resume. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "oci/cli.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/proc.h"

enum { DEATH_MS = 10000, RT_FIRST = 34, RT_LAST = 64 };

static const struct {
	const char *name;
	int sig;
} signals[] = {
	{"ABRT", SIGABRT},     {"ALRM", SIGALRM}, {"BUS", SIGBUS},
	{"CHLD", SIGCHLD},     {"CONT", SIGCONT}, {"FPE", SIGFPE},
	{"HUP", SIGHUP},       {"ILL", SIGILL},	  {"INT", SIGINT},
	{"IO", SIGIO},	       {"IOT", SIGABRT},  {"KILL", SIGKILL},
	{"PIPE", SIGPIPE},     {"POLL", SIGPOLL}, {"PROF", SIGPROF},
	{"PWR", SIGPWR},       {"QUIT", SIGQUIT}, {"SEGV", SIGSEGV},
	{"STKFLT", SIGSTKFLT}, {"STOP", SIGSTOP}, {"SYS", SIGSYS},
	{"TERM", SIGTERM},     {"TRAP", SIGTRAP}, {"TSTP", SIGTSTP},
	{"TTIN", SIGTTIN},     {"TTOU", SIGTTOU}, {"URG", SIGURG},
	{"USR1", SIGUSR1},     {"USR2", SIGUSR2}, {"VTALRM", SIGVTALRM},
	{"WINCH", SIGWINCH},   {"XCPU", SIGXCPU}, {"XFSZ", SIGXFSZ},
};

/* A number, or a name in any case with or without SIG; RTMIN+n and RTMAX-n as glibc
 * counts. */
static int parse_signal(const char *text, int *ret, struct err *err)
{
	const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
	uint64_t n;

	if (num_u64(text, 0, RT_LAST, &n) == 0) {
		*ret = (int)n;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		if (strcasecmp(signals[i].name, name) == 0) {
			*ret = signals[i].sig;
			return 0;
		}
	if (strncasecmp(name, "RTMIN", 5) == 0) {
		n = 0;
		if (!name[5] || (name[5] == '+' &&
				 num_u64(name + 6, 0, RT_LAST - RT_FIRST, &n) == 0)) {
			*ret = RT_FIRST + (int)n;
			return 0;
		}
	}
	if (strncasecmp(name, "RTMAX", 5) == 0) {
		n = 0;
		if (!name[5] || (name[5] == '-' &&
				 num_u64(name + 6, 0, RT_LAST - RT_FIRST, &n) == 0)) {
			*ret = RT_LAST - (int)n;
			return 0;
		}
	}
	return err_set(err, ERR_INVALID, "unknown signal \"%.40s\"", text);
}

/* One id after flags. The container is loaded; its cgroups are opened, or NULL. */
static int open_one(const struct oci_cli *cli, int argc, char **argv, struct ctr *c,
		    struct cgroups **ret_g, struct err *err)
{
	const char *id = cli_id(argc, argv, err);
	struct err ignored;

	if (!id || ctr_load(cli, c, id, err) < 0)
		return -1;
	*ret_g = cgroups_open(&ignored);
	return 0;
}

static void close_one(struct ctr *c, struct cgroups *g)
{
	cgroups_free(g);
	ctr_done(c);
}

int cmd_kill(const struct oci_cli *cli, int argc, char **argv, struct err *err)
{
	static const struct option flags[] = {{"all", 0, NULL, 'a'}, {NULL, 0, NULL, 0}};
	struct cgroups *g = NULL;
	struct ctr c = {.dir = -1};
	bool all = false;
	int f, sig = SIGTERM, r;
	FD_AUTO pidfd = -1;

	while ((f = cli_flag(argc, argv, "+a", flags, err)) != -1) {
		if (f == -2)
			return -1;
		all = true;
	}
	if (optind + 1 < argc && parse_signal(argv[optind + 1], &sig, err) < 0)
		return -1;
	if (open_one(cli, argc, argv, &c, &g, err) < 0)
		return -1;
	pidfd = ctr_pidfd(&c, err);
	r = pidfd < 0 ? -1 : proc_kill(pidfd, sig);
	if (pidfd >= 0 && r < 0)
		err_set(err, ERR_STATE, "container not running");
	/* processes that do not die with init, or that all shall get it */
	if (g && *c.cgroup && (all || (sig == SIGKILL && !c.own_pids)))
		r = cgroup_kill(g, c.cgroup, sig, err);
	/* a frozen process does not die */
	if (r == 0 && sig == SIGKILL && g && *c.cgroup && cgroup_frozen(g, c.cgroup))
		r = cgroup_freeze(g, c.cgroup, false, err);
	close_one(&c, g);
	return r;
}

/* --- delete ------------------------------------------------------------------------- */

static void wait_end(const struct ctr *c)
{
	struct err ignored;
	FD_AUTO fd = ctr_pidfd(c, &ignored);
	struct pollfd p = {.fd = fd, .events = POLLIN};

	if (fd >= 0)
		poll(&p, 1, DEATH_MS);
}

int ctr_destroy(const struct oci_cli *cli, struct ctr *c, const struct cgroups *g,
		struct err *err)
{
	if (g && *c->cgroup) {
		if (cgroup_kill(g, c->cgroup, SIGKILL, err) < 0)
			return -1;
		wait_end(c);
		if (group_remove(c, g, err) < 0)
			return -1;
	}
	return ctr_forget(cli, c->id, err);
}

/* A directory without a state: what a create that died has left. */
static int delete_leftover(const struct oci_cli *cli, const char *id, bool force,
			   struct err *err)
{
	STR_AUTO path = xasprintf("%s/%s", cli->root, id);
	struct err ignored;

	if (access(path, F_OK) == 0)
		ctr_forget(cli, id, &ignored);
	return force ? 0
		     : err_set(err, ERR_NOT_FOUND, "container does not exist: %s", id);
}

static int delete_one(const struct oci_cli *cli, struct ctr *c, const struct cgroups *g,
		      bool force, struct err *err)
{
	enum ctr_status status = ctr_status(c, g);
	struct err ignored;

	if (!force && (status == CTR_RUNNING || status == CTR_PAUSED))
		return err_set(err, ERR_STATE,
			       "cannot delete container %s that is not stopped: %s",
			       c->id, ctr_status_names[status]);
	if (status != CTR_STOPPED) {
		FD_AUTO fd = ctr_pidfd(c, &ignored);

		if (fd >= 0)
			proc_kill(fd, SIGKILL);
		if (g && *c->cgroup && cgroup_frozen(g, c->cgroup))
			cgroup_freeze(g, c->cgroup, false, &ignored);
		wait_end(c);
	}
	return ctr_destroy(cli, c, g, err);
}

int cmd_delete(const struct oci_cli *cli, int argc, char **argv, struct err *err)
{
	static const struct option flags[] = {{"force", 0, NULL, 'f'},
					      {NULL, 0, NULL, 0}};
	struct cgroups *g = NULL;
	struct ctr c = {.dir = -1};
	bool force = false;
	int f, r;

	while ((f = cli_flag(argc, argv, "+f", flags, err)) != -1) {
		if (f == -2)
			return -1;
		force = true;
	}
	if (!cli_id(argc, argv, err))
		return -1;
	r = open_one(cli, argc, argv, &c, &g, err);
	if (r < 0 && (err->code == ERR_NOT_FOUND || force))
		r = delete_leftover(cli, argv[optind], force, err);
	else if (r == 0)
		r = delete_one(cli, &c, g, force, err);
	close_one(&c, g);
	return r;
}

/* --- pause, resume ------------------------------------------------------------------ */

static int freeze(const struct oci_cli *cli, int argc, char **argv, bool on,
		  struct err *err)
{
	static const struct option none[] = {{NULL, 0, NULL, 0}};
	struct cgroups *g = NULL;
	struct ctr c = {.dir = -1};
	enum ctr_status status;
	int r;

	if (cli_flag(argc, argv, "+", none, err) == -2 ||
	    open_one(cli, argc, argv, &c, &g, err) < 0)
		return -1;
	status = ctr_status(&c, g);
	if (!g || !*c.cgroup)
		r = err_set(err, ERR_STATE, "container %s has no cgroup", c.id);
	else if (on && status != CTR_RUNNING && status != CTR_CREATED)
		r = err_set(err, ERR_STATE, "container not running: %s",
			    ctr_status_names[status]);
	else if (!on && status != CTR_PAUSED)
		r = err_set(err, ERR_STATE, "container not paused");
	else
		r = cgroup_freeze(g, c.cgroup, on, err);
	close_one(&c, g);
	return r;
}

int cmd_pause(const struct oci_cli *cli, int argc, char **argv, struct err *err)
{
	return freeze(cli, argc, argv, true, err);
}

int cmd_resume(const struct oci_cli *cli, int argc, char **argv, struct err *err)
{
	return freeze(cli, argc, argv, false, err);
}
