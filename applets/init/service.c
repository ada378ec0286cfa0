/*
 * service: what runs, and what happens when it does not. Behaviour is a table of states and
 * events. The order of starting is all that `after` means: the end of a service never stops
 * another one.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "init/init.h"
#include "os/fd.h"
#include "os/proc.h"

enum {
	FIRST_PAUSE_MS = 100, /* doubled after each end, */
	LONGEST_PAUSE_MS = 30000,
	HEALTHY_S = 60,	   /* until a service has been up for so long */
	AFTER_S = 10,	   /* that long is waited for what comes before */
	SLOW_START_S = 30, /* then it is mentioned that a service is not ready */
	AFTER_KILL_S = 5,  /* then a process that does not die is left alone */
	HOPELESS = 6,	   /* ends of crid before it was ever ready: a person is told */
	LOOK_MS = 100,	   /* between two looks at a socket that shall appear */
};

static void on_timer(struct loop_timer *t)
{
	service_event(container_of(t, struct service, timer), EV_TIMER);
}

static void on_healthy(struct loop_timer *t)
{
	struct service *s = container_of(t, struct service, healthy);

	s->backoff = 0;
	s->error[0] = 0;
}

static void timer_ms(struct service *s, int64_t ms)
{
	s->timer.fn = on_timer;
	loop_timer_set(s->init->loop, &s->timer, time_mono() + ms * NS_PER_MS);
}

static void enter(struct service *s, enum initctl_state state)
{
	loop_timer_del(&s->timer);
	loop_timer_del(&s->healthy);
	s->state = state;
	s->since = time_mono();
}

/* Something changed: others may have waited for it. */
static void changed(struct service *s)
{
	control_settle(s);
	if (s->state == INITCTL_UP && str_eq(s->title, "crid"))
		init_late(s->init);
	for (unsigned i = 0; i < s->init->nservices; i++)
		if (s->init->services[i].state == INITCTL_WAITING)
			service_event(&s->init->services[i], EV_GO);
	stop_check(s->init);
}

__attribute__((format(printf, 2, 3))) static void complain(struct service *s,
							   const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s->error, sizeof(s->error), fmt, ap);
	va_end(ap);
	say(s->init, SAY_WARN, s->title, "%s", s->error);
}

static void pause_and_again(struct service *s)
{
	int64_t ms = (int64_t)FIRST_PAUSE_MS << MIN(s->backoff, 10U);

	if (s->init->stop.verb != INITCTL_LIST) {
		enter(s, INITCTL_OFF);
		return;
	}
	s->backoff++;
	enter(s, INITCTL_BACKOFF);
	timer_ms(s, MIN(ms, (int64_t)LONGEST_PAUSE_MS));
}

static bool settled(const struct service *s)
{
	return s->state == INITCTL_UP || s->state == INITCTL_DONE ||
	       s->state == INITCTL_FAILED || s->state == INITCTL_OFF;
}

static bool may_go(const struct service *s)
{
	for (unsigned i = 0; i < s->def.after.n; i++) {
		const struct service *o = service_find(s->init, s->def.after.v[i]);

		if (o && o != s && !settled(o))
			return false;
	}
	return true;
}

static bool wants(const struct service *s, const char *how)
{
	return str_starts(s->def.ready, how);
}

static void run(struct service *s)
{
	struct err err;

	s->killed = false;
	if (s == s->init->log)
		log_renew(s->init);
	if (spawn(s, &err) < 0) {
		complain(s, "%s", err.msg);
		pause_and_again(s);
		changed(s);
		return;
	}
	if (s == s->init->log)
		log_announce(s->init);
	enter(s, INITCTL_STARTING);
	if (wants(s, "none"))
		service_event(s, EV_READY);
	else
		timer_ms(s, wants(s, "unix:") ? LOOK_MS : SLOW_START_S * 1000);
}

static void do_start(struct service *s)
{
	s->blocked = false;
	s->backoff = 0;
	if (may_go(s)) {
		run(s);
		return;
	}
	enter(s, INITCTL_WAITING);
	timer_ms(s, AFTER_S * 1000);
}

static void do_go(struct service *s)
{
	if (may_go(s))
		run(s);
}

static void do_late(struct service *s)
{
	complain(s, "what it comes after is not ready: started all the same");
	run(s);
}

static void do_ready(struct service *s)
{
	enter(s, INITCTL_UP);
	s->healthy.fn = on_healthy;
	loop_timer_set(s->init->loop, &s->healthy, time_mono() + HEALTHY_S * NS_PER_SEC);
	if (!s->first_ready) {
		s->first_ready = time_mono();
		say(s->init, SAY_INFO, "run",
		    "%s is up, %lld ms after the kernel started", s->title,
		    (long long)(s->first_ready / NS_PER_MS));
	}
	changed(s);
}

/* A socket that answers. Looked at while starting: there is no event for it. */
static bool socket_answers(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	FD_AUTO fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd >= 0 && str_copy(sa.sun_path, sizeof(sa.sun_path), path) == 0 &&
	       connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0;
}

static void do_look(struct service *s)
{
	if (!wants(s, "unix:")) {
		complain(s, "not ready after %d s", SLOW_START_S);
		return;
	}
	if (socket_answers(s->def.ready + strlen("unix:")))
		do_ready(s);
	else
		timer_ms(s, LOOK_MS);
}

/* It ended by itself. */
static void do_ended(struct service *s)
{
	bool clean = !s->error[0];

	if (s->def.restart == NODE_NEVER ||
	    (s->def.restart == NODE_ON_FAILURE && clean)) {
		enter(s, clean ? INITCTL_DONE : INITCTL_FAILED);
	} else {
		s->restarts++;
		pause_and_again(s);
		if (s->restarts == HOPELESS && !s->first_ready &&
		    str_eq(s->title, "crid"))
			say_fault(s->init, "the CRI daemon does not come up",
				  "look at \"service status\" and \"service logs crid\"");
	}
	changed(s);
}

static int stop_signal(const struct service *s)
{
	static const struct {
		const char *name;
		int sig;
	} all[] = {{"INT", SIGINT},   {"QUIT", SIGQUIT}, {"HUP", SIGHUP},
		   {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"KILL", SIGKILL}};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (str_eq(s->def.stop_signal, all[i].name))
			return all[i].sig;
	return SIGTERM;
}

static void do_stop(struct service *s)
{
	enter(s, INITCTL_STOPPING);
	proc_kill(s->pidfd, stop_signal(s));
	timer_ms(s, (int64_t)s->def.stop_timeout * 1000);
}

static void do_stopped(struct service *s)
{
	enter(s, INITCTL_OFF);
	if (s->again) {
		s->again = false;
		do_start(s);
	}
	changed(s);
}

/* It does not end when it is told to. */
static void do_kill(struct service *s)
{
	char group[GROUP_PATH];

	if (s->killed) {
		complain(s, "does not die: left alone");
		s->pid = 0;
		fd_close(&s->pidfd);
		do_stopped(s);
		return;
	}
	s->killed = true;
	complain(s, "does not stop: killed");
	group_path(s, group);
	group_kill(s->init, group);
	proc_kill(s->pidfd, SIGKILL);
	timer_ms(s, AFTER_KILL_S * 1000);
}

static void do_off(struct service *s)
{
	enter(s, INITCTL_OFF);
	changed(s);
}

static void (*const table[INITCTL_STATES][EVENTS])(struct service *s) = {
	[INITCTL_OFF] = {[EV_START] = do_start},
	[INITCTL_DONE] = {[EV_START] = do_start, [EV_STOP] = do_off},
	[INITCTL_FAILED] = {[EV_START] = do_start, [EV_STOP] = do_off},
	[INITCTL_WAITING] = {[EV_GO] = do_go, [EV_TIMER] = do_late, [EV_STOP] = do_off},
	[INITCTL_STARTING] = {[EV_READY] = do_ready,
			      [EV_EXIT] = do_ended,
			      [EV_TIMER] = do_look,
			      [EV_STOP] = do_stop},
	[INITCTL_UP] = {[EV_EXIT] = do_ended, [EV_STOP] = do_stop},
	[INITCTL_BACKOFF] = {[EV_START] = do_start, [EV_TIMER] = run, [EV_STOP] = do_off},
	[INITCTL_STOPPING] = {[EV_EXIT] = do_stopped, [EV_TIMER] = do_kill},
};

void service_event(struct service *s, enum event ev)
{
	if (table[s->state][ev])
		table[s->state][ev](s);
}

void service_restart(struct service *s)
{
	bool runs = s->state == INITCTL_STARTING || s->state == INITCTL_UP ||
		    s->state == INITCTL_STOPPING;

	s->again = runs;
	service_event(s, runs ? EV_STOP : EV_START);
}

struct service *service_find(struct init *in, const char *title)
{
	for (unsigned i = 0; i < in->nservices; i++)
		if (str_eq(in->services[i].title, title))
			return &in->services[i];
	return NULL;
}

/* True if a process is in the service's group: a child of it, for example. */
static bool is_member(const struct service *s, pid_t pid)
{
	char path[32], text[1024], group[GROUP_PATH];
	const char *line;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	if (get_text(path, text, sizeof(text)) < 0)
		return false;
	line = strstr(text, "0::/"); /* the unified tree comes last */
	group_path(s, group);
	return line && str_ends(line, group) &&
	       line[strlen(line) - strlen(group) - 1] == '/';
}

void service_is_ready(struct init *in, pid_t pid)
{
	for (unsigned i = 0; i < in->nservices; i++) {
		struct service *s = &in->services[i];

		if (s->pid && wants(s, "notify") && (s->pid == pid || is_member(s, pid)))
			service_event(s, EV_READY);
	}
}

/* The end of a service's main process: what is left of it goes too. */
static void ended(struct service *s, int status)
{
	bool stopping = s->state == INITCTL_STOPPING;

	s->pid = 0;
	fd_close(&s->pidfd);
	put_text_at(s->cgroup_fd, "cgroup.kill", "1");
	output_drain(s);
	s->error[0] = 0;
	if (WIFSIGNALED(status) && !stopping)
		complain(s, "killed by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else if (WIFEXITED(status) && WEXITSTATUS(status) && !stopping)
		complain(s, "ended with status %d", WEXITSTATUS(status));
	service_event(s, EV_EXIT);
}

bool service_reaped(struct init *in, pid_t pid, int status)
{
	for (unsigned i = 0; i < in->nservices; i++)
		if (in->services[i].pid == pid) {
			ended(&in->services[i], status);
			return true;
		}
	return false;
}

/* --- which there are ------------------------------------------------------------------------ */

static struct service *add(struct init *in, const struct node_service *def,
			   const char *title)
{
	struct service *s = service_find(in, title);
	struct err err;

	if (s) {
		s->def = *def; /* of one that runs: for its next start */
		return s;
	}
	if (in->nservices == SERVICES)
		return NULL;
	s = &in->services[in->nservices++];
	s->def = *def;
	s->init = in;
	s->pidfd = s->output = s->cgroup_fd = s->ring.fd = -1;
	str_copy(s->title, sizeof(s->title), title);
	if (ring_open(&s->ring, s->title, &err) < 0)
		say(in, SAY_WARN, "run", "%s", err.msg);
	return s;
}

static void add_log(struct init *in)
{
	static const struct node_service def = {.name = "log",
						.argv = INITJOB "\0log\0",
						.ready = "none",
						.stop_signal = "TERM",
						.stop_timeout = 3,
						.oom_score_adj = -900};

	in->log = add(in, &def, "log");
}

void services_make(struct init *in)
{
	if (!in->log)
		add_log(in);
	for (unsigned i = 0; i < in->cfg.nservices; i++) {
		const struct node_service *def = &in->cfg.services[i];

		if (str_eq(def->name, "log"))
			continue; /* that is ours */
		if (!str_eq(def->name, "console")) {
			add(in, def, def->name);
			continue;
		}
		for (unsigned t = 0; t < in->nttys && in->cfg.console != NODE_OFF; t++) {
			char title[INITCTL_NAME];
			struct service *s;

			snprintf(title, sizeof(title), "console-%s", in->ttys[t]);
			s = add(in, def, title);
			if (s)
				str_copy(s->tty, sizeof(s->tty), in->ttys[t]);
		}
	}
}

void services_start(struct init *in)
{
	/* first all wait: nobody takes another for one that is not to run */
	for (unsigned i = 0; i < in->nservices; i++) {
		struct service *s = &in->services[i];

		if (s->blocked || s->seen)
			continue;
		s->seen = true;
		enter(s, INITCTL_WAITING);
		timer_ms(s, AFTER_S * 1000);
	}
	for (unsigned i = 0; i < in->nservices; i++)
		service_event(&in->services[i], EV_GO);
}
