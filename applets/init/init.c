/* init: the phases of the boot, then the loop. */
#include "init/init.h"

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applet.h"
#include "base/num.h"
#include "base/str.h"
#include "base/time.h"

enum { LATE_S = 60, LATE_AFTER_S = 15 };

/* --- configuration -------------------------------------------------------------------------- */

/* Text of a child of ours is still text of a child: everything in it has its end. */
static void make_safe(struct node_config *c)
{
	c->hostname[sizeof(c->hostname) - 1] = 0;
	c->state[sizeof(c->state) - 1] = 0;
	c->watchdog[sizeof(c->watchdog) - 1] = 0;
	c->crid[NODE_CRID - 1] = c->crid[NODE_CRID - 2] = 0;
	c->nsysctls = MIN(c->nsysctls, (unsigned)NODE_SYSCTLS);
	c->nload = MIN(c->nload, (unsigned)NODE_MODULES);
	c->ndeny = MIN(c->ndeny, (unsigned)NODE_MODULES);
	c->nservices = MIN(c->nservices, (unsigned)NODE_SERVICES);
	if (c->watchdog_timeout < 1 || c->watchdog_timeout > 3600)
		c->watchdog_timeout = 60;
	for (unsigned i = 0; i < c->nsysctls; i++)
		c->sysctls[i].key[79] = c->sysctls[i].value[79] = 0;
	for (unsigned i = 0; i < c->nservices; i++) {
		struct node_service *s = &c->services[i];

		s->name[NODE_NAME - 1] = s->ready[sizeof(s->ready) - 1] = 0;
		s->stop_signal[sizeof(s->stop_signal) - 1] = 0;
		s->argv[sizeof(s->argv) - 1] = s->argv[sizeof(s->argv) - 2] = 0;
		s->env[sizeof(s->env) - 1] = s->env[sizeof(s->env) - 2] = 0;
		s->after.n = MIN(s->after.n, (unsigned)NODE_LIST);
		for (unsigned a = 0; a < s->after.n; a++)
			s->after.v[a][NODE_ELEM - 1] = 0;
	}
	for (unsigned i = 0; i < MIN(c->ncomplaints, (unsigned)NODE_COMPLAINTS); i++) {
		c->complaints[i].where[sizeof(c->complaints[i].where) - 1] = 0;
		c->complaints[i].text[sizeof(c->complaints[i].text) - 1] = 0;
	}
}

static void read_config(struct init *in)
{
	static struct node_config got;
	const char *const words[] = {"config", in->config, NULL};
	size_t n = 0;
	bool news;

	if (job_now(in, words, 10, &got, sizeof(got), &n) != 0 || n != sizeof(got)) {
		say(in, SAY_ERROR, "config",
		    "cannot be read: what was there before holds");
		return;
	}
	make_safe(&got);
	/* what was said is not said again: it is read up to three times during a boot */
	news = got.ncomplaints != in->cfg.ncomplaints ||
	       memcmp(got.complaints, in->cfg.complaints, sizeof(got.complaints)) != 0;
	in->cfg = got;
	if (!news)
		return;
	for (unsigned i = 0; i < MIN(got.ncomplaints, (unsigned)NODE_COMPLAINTS); i++)
		say(in, SAY_ERROR, "config", "%s: %s", got.complaints[i].where,
		    got.complaints[i].text);
	if (got.ncomplaints > NODE_COMPLAINTS)
		say(in, SAY_ERROR, "config", "and %u more complaints",
		    got.ncomplaints - NODE_COMPLAINTS);
}

void init_reload(struct init *in)
{
	read_config(in);
	node_sysctls(in);
	services_make(in);
	services_start(in);
}

/* --- phases --------------------------------------------------------------------------------- */

/* How the job "state" ends, 0 aside. */
enum { STATE_NONE = 1, STATE_READ_ONLY, STATE_PARTLY };

static void root(struct init *in)
{
	struct err err;

	if (root_move(&err) < 0)
		say_fault(in, err.msg, "boot the image as an initramfs, without root=");
}

static void mounts(struct init *in)
{
	struct err err;

	if (root_mounts(in, &err) < 0)
		say_fault(in, err.msg, "boot a kernel that has this file system");
	close(open("/run/cribox/crid.toml", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
}

static void cgroups(struct init *in)
{
	struct err err;

	if (groups_make(in, &err) < 0)
		say_fault(in, err.msg,
			  "remove cgroup_disable= from the kernel's command line, or "
			  "boot a kernel of 5.10 or newer");
}

static void config(struct init *in)
{
	read_config(in);
	phase_note(in, "%u complaints", in->cfg.ncomplaints);
}

static int run_job(struct init *in, const char *verb, const char *arg, int seconds)
{
	const char *const words[] = {verb, arg, NULL};

	return job_now(in, words, seconds, NULL, 0, NULL);
}

static void modules(struct init *in)
{
	run_job(in, "coldplug", NULL, 30);
	node_consoles(in);
	phase_note(in, "%u consoles", in->nttys);
}

/* Before the state partition, whose disk may need a driver that is here. */
static void payload(struct init *in)
{
	if (run_job(in, "payload", NULL, 10) != 0)
		return;
	run_job(in, "coldplug", NULL, 30); /* it may have more modules, */
	read_config(in);		   /* and a kubelet */
	phase_note(in, "mounted");
}

static void state(struct init *in)
{
	bool wanted = in->cfg.state[0];
	int status = wanted ? run_job(in, "state", in->cfg.state, 40) : STATE_NONE;
	bool none = status != 0 && status != STATE_PARTLY;
	char what[256];

	phase_note(in, "%s", none ? "tmpfs" : in->cfg.state);
	if (none)
		say(in, wanted ? SAY_ERROR : SAY_WARN, "state",
		    "%s%sin memory (tmpfs): images and pods are gone after a reboot",
		    in->cfg.state, wanted ? " cannot be used: " : "");
	if (none && wanted && in->cfg.state_required) {
		snprintf(what, sizeof(what),
			 "the state partition %s is required and cannot be mounted: pods "
			 "are not started",
			 in->cfg.state);
		say_fault(in, what,
			  "look at \"blkid\" and \"dmesg\"; to run without it, boot with "
			  "cribox.storage.required=false");
	}
	if (status == 0 || status > STATE_NONE)
		read_config(in); /* it may hold one, also if it is read-only */
}

static void identity(struct init *in)
{
	node_clock(in);
	run_job(in, "ident", NULL, 10);
	node_name(in);
	node_sysctls(in);
}

static void services(struct init *in)
{
	struct err err;

	if (control_open(in, &err) < 0)
		say(in, SAY_ERROR, "control", "%s", err.msg);
	services_make(in);
	for (unsigned i = 0; in->fault[0] && i < in->nservices; i++) {
		struct service *s = &in->services[i];

		s->blocked = str_eq(s->title, "crid") || str_eq(s->title, "kubelet");
		if (s->blocked)
			str_copy(s->error, sizeof(s->error), in->fault);
	}
	services_start(in);
}

static const struct {
	const char *name;
	void (*run)(struct init *in);
	bool machine; /* not in a container */
} phases[] = {
	{"root", root, true},	       {"mounts", mounts, true},
	{"cgroups", cgroups, false},   {"config", config, false},
	{"modules", modules, true},    {"payload", payload, true},
	{"state", state, true},	       {"identity", identity, true},
	{"services", services, false},
};

/* --- the loop ------------------------------------------------------------------------------- */

static void reap(struct init *in)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (!job_reaped(in, pid, status))
			service_reaped(in, pid, status); /* or an orphan */
	stop_check(in);
}

static void on_signal(void *arg, const struct signalfd_siginfo *si)
{
	static const struct {
		uint32_t signal;
		enum initctl_verb verb;
		const char *why;
	} ends[] = {
		/* the first three as busybox has them */
		{SIGUSR1, INITCTL_HALT, "signal USR1"},
		{SIGUSR2, INITCTL_POWEROFF, "signal USR2"},
		{SIGTERM, INITCTL_REBOOT, "signal TERM"},
		{SIGINT, INITCTL_REBOOT, "ctrl-alt-del"},
		{SIGPWR, INITCTL_POWEROFF, "power failure or shutdown signal"},
	};
	struct init *in = arg;

	if (si->ssi_signo == SIGCHLD)
		reap(in);
	else if (si->ssi_signo == SIGHUP)
		init_reload(in);
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if (si->ssi_signo == ends[i].signal)
			stop_begin(in, ends[i].verb, ends[i].why);
}

/* What no service waits for: the modules that the first pod would. */
void init_late(struct init *in)
{
	static const char *const words[] = {"late", NULL};

	loop_timer_del(&in->late);
	if (in->late_done || !in->machine)
		return;
	in->late_done = true;
	in->modules_busy = job_start(in, words, LATE_S, device_modules_done) == 0;
	/* for devices that came after the boot has looked, and before we listened */
	in->modules_due = in->links_due = true;
	device_check(in);
}

static void on_late_timer(struct loop_timer *t)
{
	init_late(container_of(t, struct init, late));
}

static void watch(struct init *in)
{
	if (!in->machine)
		return;
	device_listen(in);
	watchdog_open(in);
	in->late.fn = on_late_timer; /* if crid does not come up */
	loop_timer_set(in->loop, &in->late, time_mono() + LATE_AFTER_S * NS_PER_SEC);
}

static int boot(struct init *in, struct err *err)
{
	static const int signals[] = {SIGCHLD, SIGUSR1, SIGUSR2, SIGTERM,  SIGINT,
				      SIGPWR,  SIGHUP,	SIGPIPE, SIGWINCH, SIGQUIT};

	in->loop = loop_new(err);
	if (!in->loop ||
	    loop_signals(in->loop, signals, ARRAY_LEN(signals), on_signal, in, err) < 0)
		return -1;
	phase_begin(in, "kernel");
	in->phases[0].start = 0;
	if (in->machine) {
		root_mounts_first();
		reboot(RB_DISABLE_CAD);
	}
	say_open(in);
	phase_note(in, "until init runs");
	phase_end(in);
	for (size_t i = 0; i < ARRAY_LEN(phases); i++) {
		if (phases[i].machine && !in->machine)
			continue;
		phase_begin(in, phases[i].name);
		phases[i].run(in);
		phase_end(in);
	}
	watch(in);
	reap(in);
	return 0;
}

static int parse(struct init *in, int argc, char **argv, struct err *err)
{
	static const struct option options[] = {{"supervise", 0, NULL, 's'},
						{"config", 1, NULL, 'c'},
						{"cgroup", 1, NULL, 'g'},
						{NULL, 0, NULL, 0}};
	int c;

	/* what the kernel's command line has for nobody ends up here: no error */
	opterr = 0;
	optind = 1;
	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (c == 's')
			in->machine = false;
		else if (c == 'c')
			in->config = optarg;
		else if (c == 'g')
			in->cgroup = optarg;
	}
	if (getpid() != 1)
		return err_set(err, ERR_STATE,
			       "init is process 1 of a machine or of a PID namespace "
			       "(unshare -pf); to go down, use poweroff or reboot");
	return 0;
}

static int run_init(int argc, char **argv, struct err *err)
{
	static struct init in; /* large: an initializer would put it into the file */

	in.machine = true;
	in.cgroup = "/sys/fs/cgroup";
	in.kmsg = in.cgroup_fd = in.watchdog = -1;
	in.log_socket[0] = in.log_socket[1] = -1;
	if (parse(&in, argc, argv, err) < 0)
		return -1;
	umask(022);
	setsid();
	if (boot(&in, err) < 0 || loop_run(in.loop, err) < 0) {
		say_fault(&in, err->msg, "this is a defect of init; boot again");
		for (;;)
			pause(); /* the end of PID 1 would be the kernel's */
	}
	return 0;
}

const struct applet applet_init = {
	.name = "init",
	.alias = "linuxrc",
	.purpose = "Be process 1: boot the node, run its services, take it down",
	.synopsis = "[--supervise [--config FILE] [--cgroup DIR]]",
	.usage = "  --supervise     run services only, in a container: mount and load "
		 "nothing\n"
		 "  --config FILE   the only file with configuration\n"
		 "  --cgroup DIR    the control group (version 2) to work below\n",
	.run = run_init,
};
