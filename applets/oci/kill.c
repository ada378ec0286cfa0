/* kill, pause, resume. */
#include <signal.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "oci/cli.h"
#include "os/fd.h"
#include "os/proc.h"

enum { RT_FIRST = 34, RT_LAST = 64 };

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

/*
 * SIGKILL also ends what does not die with init (no pid namespace of its own), and with
 * --all everything in the group gets the signal, however dead its init is.
 */
static int kill_one(const struct ctr *c, const struct cgroups *g, bool all, int sig,
		    struct err *err)
{
	bool has_group = g && *c->cgroup;
	FD_AUTO pidfd = -1;
	int r;

	if (ctr_status(c, NULL) == CTR_CREATING && !c->pid)
		return err_set(err, ERR_NOT_FOUND,
			       "container does not exist: %s is still being created",
			       c->id);
	pidfd = ctr_pidfd(c, err);
	r = pidfd < 0 ? -1 : proc_kill(pidfd, sig);
	if (pidfd >= 0 && r < 0)
		err_set(err, ERR_STATE, "container not running");
	if (has_group && (all || (sig == SIGKILL && !c->own_pids)))
		r = cgroup_kill(g, c->cgroup, sig, err);
	/* a frozen process does not die */
	if (r == 0 && sig == SIGKILL && has_group && cgroup_frozen(g, c->cgroup))
		r = cgroup_freeze(g, c->cgroup, false, err);
	return all && pidfd < 0 && !has_group ? 0 : r;
}

int cmd_kill(const struct oci_cli *cli, int argc, char **argv, struct err *err)
{
	static const struct option flags[] = {{"all", 2, NULL, 'a'}, {NULL, 0, NULL, 0}};
	struct cgroups *g = NULL;
	struct ctr c = {.dir = -1};
	bool all = false;
	int f, sig = SIGTERM, r = -1;

	while ((f = cli_flag(argc, argv, "a", flags, err)) != -1) {
		if (f == -2)
			return -1;
		all = cli_switch(optarg);
	}
	if (optind + 1 < argc && parse_signal(argv[optind + 1], &sig, err) < 0)
		return -1;
	if (ctr_open(cli, cli_up_to_id(argc), argv, &c, &g, err) == 0)
		r = kill_one(&c, g, all, sig, err);
	ctr_close(&c, g);
	return r;
}

/* --- pause, resume ------------------------------------------------------------------ */

static int freeze(const struct ctr *c, const struct cgroups *g, bool on, struct err *err)
{
	enum ctr_status status = ctr_status(c, g);

	if (!g || !*c->cgroup)
		return err_set(err, ERR_STATE, "container %s has no cgroup", c->id);
	if (status == CTR_CREATING)
		return err_set(err, ERR_NOT_FOUND,
			       "container does not exist: %s is still being created",
			       c->id);
	if (on && status != CTR_RUNNING && status != CTR_CREATED)
		return err_set(err, ERR_STATE, "container not running: %s",
			       ctr_status_names[status]);
	if (!on && status != CTR_PAUSED)
		return err_set(err, ERR_STATE, "container not paused");
	return cgroup_freeze(g, c->cgroup, on, err);
}

static int freeze_one(const struct oci_cli *cli, int argc, char **argv, bool on,
		      struct err *err)
{
	struct cgroups *g = NULL;
	struct ctr c = {.dir = -1};
	int r = -1;

	if (cli_no_flags(argc, argv, err) == 0 &&
	    ctr_open(cli, argc, argv, &c, &g, err) == 0)
		r = freeze(&c, g, on, err);
	ctr_close(&c, g);
	return r;
}

int cmd_pause(const struct oci_cli *cli, int argc, char **argv, struct err *err)
{
	return freeze_one(cli, argc, argv, true, err);
}

int cmd_resume(const struct oci_cli *cli, int argc, char **argv, struct err *err)
{
	return freeze_one(cli, argc, argv, false, err);
}
