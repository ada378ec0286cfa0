/*
 * init: PID 1 of the node. One loop, no threads, and no memory allocated once the loop runs:
 * all that it keeps is in one struct of fixed size, whose limits are lib/node/config.h's.
 *
 * It parses no byte of a disk or a network: reading the configuration, probing disks,
 * loading modules, writing files and unmounting are done by children ("cribox initjob
 * VERB", applets/initjob), each with a deadline. What hangs, hangs without init.
 */
#ifndef INIT_INIT_H
#define INIT_INIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "loop/loop.h"
#include "node/config.h"
#include "node/initctl.h"

enum {
	CONSOLES = 4,
	SERVICES = NODE_SERVICES + CONSOLES + 1, /* the log keeper is one more */
	PHASES = 24,
	CLIENTS = 8, /* of the control socket, at a time */
	JOBS = 8,
	WORDS = 128, /* of a command */
};

/* Levels of the kernel's log. */
enum { SAY_ERROR = 3, SAY_WARN = 4, SAY_INFO = 6 };

/* The role of our children: exec'ed as this program, whatever became of its file. */
#define INITJOB "initjob"

struct init;

/* --- services ------------------------------------------------------------------------------- */

enum event {
	EV_START,
	EV_GO,	  /* what it comes after is ready, or has taken too long */
	EV_READY, /* it says so itself */
	EV_EXIT,
	EV_TIMER,
	EV_STOP,
	EVENTS
};

/* The last bytes of a service's output, in memory that clients can map. */
struct ring {
	int fd;
	uint8_t *map; /* shared: see initctl_ring_read */
	uint64_t end;
};

struct service {
	struct init *init;
	struct node_service def;
	char title[INITCTL_NAME]; /* "console-ttyS0" of service "console" */
	char tty[16];		  /* of a console */
	enum initctl_state state;
	int64_t since;
	pid_t pid; /* 0: none */
	int pidfd; /* -1: none */
	int cgroup_fd;
	int output; /* of its standard output and error; -1: none */
	struct loop_fd output_src;
	struct loop_timer timer, healthy;
	unsigned backoff; /* doublings */
	uint32_t restarts;
	bool seen; /* by services_start: what is off later is off because a person said so */
	bool again; /* start it when it has stopped */
	bool killed;
	bool blocked; /* not started by itself: what it needs is missing */
	int64_t first_ready;
	struct ring ring;
	char error[INITCTL_TEXT];
};

/* --- jobs ----------------------------------------------------------------------------------- */

struct job {
	struct init *init;
	const char *name;
	pid_t pid;
	int pidfd;
	struct loop_timer deadline;
	void (*done)(struct init *in,
		     int status); /* exit status; -1: killed at its deadline */
};

/* --- control -------------------------------------------------------------------------------- */

struct client {
	struct init *init;
	int fd; /* -1: free */
	struct loop_fd src;
	struct service *waits; /* for this service, to be answered later */
	enum initctl_verb verb;
};

struct phase {
	char name[INITCTL_NAME], note[INITCTL_TEXT];
	int64_t start, end;
};

/* --- the end -------------------------------------------------------------------------------- */

struct stop {
	enum initctl_verb
		verb; /* INITCTL_LIST: not stopping. It is set once, and never changes. */
	unsigned step;
	struct loop_timer deadline, poll;
	unsigned ranks; /* of services that have been told to stop */
	bool job_running;
	char why[64];
};

struct init {
	bool machine; /* not a container, a test: the kernel, its mounts and devices are ours */
	struct loop *loop;
	const char *config; /* --config: the only source of configuration; NULL: all */
	const char *cgroup; /* directory of our groups */
	int cgroup_fd;
	int kmsg;

	struct node_config cfg;
	unsigned nservices; /* none ever goes */
	struct service services[SERVICES];
	struct service *log; /* the keeper of log files */
	struct job jobs[JOBS];
	struct client clients[CLIENTS];
	struct loop_fd control, notify, uevents, acpi;
	int log_socket[2]; /* ours, the keeper's */
	unsigned nphases;
	struct phase phases[PHASES];
	unsigned nttys;
	char ttys[CONSOLES][16];
	bool modules_due, links_due, modules_busy, links_busy;
	int watchdog;
	struct loop_timer watchdog_timer, late;
	bool late_done;
	struct stop stop;
	char fault[256]; /* why this node does not do its work; "" */
};

/* init.c: reads the configuration again; what runs gets its new settings when it restarts. */
void init_reload(struct init *in);
/* When crid is up, or will not be: what no service waits for. */
void init_late(struct init *in);

/* say.c: the kernel's log, and screens. `phase` is the first word of the line. */
void say_open(struct init *in);
void say(struct init *in, int level, const char *phase, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* What went wrong and what to type, on every console; the node stays as it is. */
void say_fault(struct init *in, const char *what, const char *advice);
void phase_begin(struct init *in, const char *name);
void phase_note(struct init *in, const char *fmt, ...) /* for boottime */
	__attribute__((format(printf, 2, 3)));
void phase_end(struct init *in);

/* files.c: small files of the kernel, without memory. Both: 0/length or -1 with errno. */
int put_text(const char *path, const char *text);
int put_text_at(int dirfd, const char *name, const char *text);
long get_text(const char *path, char *dst, size_t size); /* without the last newline */

/* root.c */
int root_mounts_first(void); /* /proc /sys /dev: before anything can be said */
int root_move(struct err *err);
int root_mounts(struct init *in, struct err *err);

/* groups.c */
int groups_make(struct init *in, struct err *err);
/* The group of a service by its path below ours, and made: an owned fd or -1. */
enum { GROUP_PATH = 64 };
void group_path(const struct service *s, char dst[GROUP_PATH]);
int group_open(struct init *in, const struct service *s, struct err *err);
void group_kill(struct init *in, const char *name);
/* Kills all but ourselves. */
void groups_kill_all(struct init *in);

/* node.c: identity, time, sysctls, consoles */
void node_clock(struct init *in);
void node_sysctls(struct init *in);
void node_name(struct init *in);
void node_consoles(struct init *in);

/* device.c: uevents, the power button, the watchdog */
void device_listen(struct init *in);
void device_check(struct init *in);
void device_modules_done(struct init *in, int status); /* the end of a job */
int device_module(struct init *in, const char *name);
void watchdog_open(struct init *in);
void watchdog_leave(struct init *in, bool disarm);

/* job.c: `cribox initjob WORDS...` */
/* Runs it now: exit status, or -1 at the deadline. What it writes to fd 3 goes to out. */
int job_now(struct init *in, const char *const *words, int seconds, void *out,
	    size_t size, size_t *ret_n);
/* Runs it beside the loop; done is called at its end. 0, or -1: it could not be started. */
int job_start(struct init *in, const char *const *words, int seconds,
	      void (*done)(struct init *in, int status));
bool job_reaped(struct init *in, pid_t pid, int status);

/* spawn.c: a service's process */
int spawn(struct service *s, struct err *err);
/* "initjob WORDS...", in no cgroup of its own: fds are for 0 to 3. pid, or -1 with errno. */
pid_t spawn_job(const char *const *words, const int fds[4], int *ret_pidfd);

/* service.c */
void services_make(struct init *in);
void services_start(struct init *in);
void service_event(struct service *s, enum event ev);
void service_restart(struct service *s);
bool service_reaped(struct init *in, pid_t pid, int status);
struct service *service_find(struct init *in, const char *title);
void service_is_ready(struct init *in, pid_t pid);

/* ring.c */
int ring_open(struct ring *r, const char *name, struct err *err);
void output_watch(struct service *s);
void output_drain(struct service *s);
void log_renew(struct init *in);
void log_announce(struct init *in);

/* control.c */
int control_open(struct init *in, struct err *err);
void control_settle(struct service *s); /* answers those that wait for it */

/* stop.c */
void stop_begin(struct init *in, enum initctl_verb verb, const char *why);
void stop_check(struct init *in); /* something ended: perhaps a step did */

#endif
