/*
 * stop: the way down. Steps in a fixed order, each with a deadline: what does not end in
 * time is left, and the next step begins. The verb is set once; nothing on the way, and no
 * further request, turns a power-off into a reboot.
 */
#include <linux/watchdog.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "init/init.h"

enum { POLL_MS = 50, BACKSTOP_S = 60 };

static void next_step(struct init *in);

static const struct {
	const char *name;
	int how; /* reboot(2) */
} verbs[INITCTL_VERBS] = {
	[INITCTL_HALT] = {"halt", (int)RB_HALT_SYSTEM},
	[INITCTL_POWEROFF] = {"poweroff", (int)RB_POWER_OFF},
	[INITCTL_REBOOT] = {"reboot", (int)RB_AUTOBOOT},
};

static void on_job(struct init *in, int status)
{
	(void)status;
	in->stop.job_running = false;
	stop_check(in);
}

static void job(struct init *in, const char *verb, const char *arg, const char *arg2,
		int seconds)
{
	const char *const words[] = {verb, arg, arg2, NULL};

	in->stop.job_running = job_start(in, words, seconds, on_job) == 0;
}

/* --- the steps ------------------------------------------------------------------------------ */

/* The log keeper is the last to be stopped, and before it those that pods need. */
static unsigned rank(const struct service *s)
{
	if (s == s->init->log)
		return 2;
	return str_eq(s->title, "crid") || str_eq(s->title, "network");
}

/* One rank more at each call; in the reverse order of starting. */
static void stop_services(struct init *in)
{
	in->stop.ranks++;
	for (struct service *s = in->services + in->nservices; s-- > in->services;)
		if (rank(s) < in->stop.ranks) {
			s->again = false;
			service_event(s, EV_STOP);
		}
}

static bool services_run(struct init *in)
{
	for (unsigned i = 0; i < in->nservices; i++) {
		const struct service *s = &in->services[i];

		if (rank(s) < in->stop.ranks && (s->pid || s->state == INITCTL_STOPPING))
			return true;
	}
	return false;
}

static void stop_pods(struct init *in)
{
	const struct service *crid = service_find(in, "crid");

	if (crid && crid->state == INITCTL_UP)
		job(in, "stop-pods", NULL, NULL, 45);
}

static bool children_left(struct init *in)
{
	siginfo_t si = {0};

	(void)in;
	/* those that have ended are reaped by the loop, or here */
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	return waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static void save(struct init *in)
{
	if (in->machine)
		job(in, "goodbye", verbs[in->stop.verb].name, in->stop.why, 5);
}

static void unmount(struct init *in)
{
	if (in->machine)
		job(in, "unmount", NULL, NULL, 25);
}

static void flush(struct init *in)
{
	if (in->machine)
		job(in, "sync", NULL, NULL, 30);
}

static void finish(struct init *in)
{
	pid_t pid;

	say(in, SAY_INFO, "stop", "%s", verbs[in->stop.verb].name);
	/* the rest is the hardware's to bound; a machine that is halted stands still */
	watchdog_leave(in, in->stop.verb == INITCTL_HALT);
	/* the caller of reboot(2) may exit in the kernel, and PID 1 must not */
	pid = fork();
	if (pid > 0)
		return;
	reboot(verbs[in->stop.verb].how);
	if (pid == 0)
		_exit(1);
	if (in->stop.verb == INITCTL_POWEROFF)
		reboot((int)RB_HALT_SYSTEM); /* a machine without a switch */
}

static const struct {
	const char *name;
	int seconds; /* 0: until the end of time, which is near */
	void (*begin)(struct init *in);
	bool (*busy)(struct init *in);
} steps[] = {
	{"services", 40, stop_services, services_run},
	{"pods", 50, stop_pods, NULL},
	{"save", 6, save, NULL},
	{"system", 20, stop_services, services_run},
	{"logs", 5, stop_services, services_run},
	{"kill", 5, groups_kill_all, children_left},
	{"unmount", 30, unmount, NULL},
	{"sync", 35, flush, NULL},
	{"end", 0, finish, NULL},
};

static bool busy(struct init *in)
{
	if (in->stop.job_running)
		return true;
	return steps[in->stop.step].busy && steps[in->stop.step].busy(in);
}

static void on_deadline(struct loop_timer *t)
{
	struct init *in = container_of(t, struct init, stop.deadline);

	say(in, SAY_WARN, "stop", "%s: not done in %d s, going on",
	    steps[in->stop.step].name, steps[in->stop.step].seconds);
	in->stop.job_running = false;
	in->stop.step++;
	next_step(in);
}

static void on_poll(struct loop_timer *t)
{
	stop_check(container_of(t, struct init, stop.poll));
}

static void next_step(struct init *in)
{
	for (; in->stop.step < ARRAY_LEN(steps); in->stop.step++) {
		loop_timer_del(&in->stop.deadline);
		steps[in->stop.step].begin(in);
		if (!steps[in->stop.step].seconds)
			return;
		if (!busy(in))
			continue;
		in->stop.deadline.fn = on_deadline;
		loop_timer_set(in->loop, &in->stop.deadline,
			       time_mono() + steps[in->stop.step].seconds * NS_PER_SEC);
		in->stop.poll.fn = on_poll;
		loop_timer_set(in->loop, &in->stop.poll,
			       time_mono() + POLL_MS * NS_PER_MS);
		return;
	}
}

void stop_check(struct init *in)
{
	if (in->stop.verb == INITCTL_LIST || !in->stop.deadline.loop)
		return; /* not stopping, or in the midst of beginning a step */
	if (busy(in)) {
		loop_timer_set(in->loop, &in->stop.poll,
			       time_mono() + POLL_MS * NS_PER_MS);
		return;
	}
	loop_timer_del(&in->stop.deadline);
	loop_timer_del(&in->stop.poll);
	in->stop.step++;
	next_step(in);
}

void stop_begin(struct init *in, enum initctl_verb verb, const char *why)
{
	int timeout = BACKSTOP_S;

	if (in->stop.verb != INITCTL_LIST)
		return;
	in->stop.verb = verb;
	str_copy(in->stop.why, sizeof(in->stop.why), why);
	say(in, SAY_WARN, "stop", "%s: %s", verbs[verb].name, why);
	/* as long as the loop turns it is petted */
	if (in->watchdog >= 0)
		syscall(SYS_ioctl, in->watchdog, (unsigned long)WDIOC_SETTIMEOUT,
			&timeout);
	next_step(in);
}
