/*
 * The time process: SNTP with a few servers. The clock is set once when it is off by more
 * than half a second; after that it is led there slowly by the kernel, and set again only
 * when several rounds say so (a machine that was suspended). While it is led, the kernel
 * writes it to the hardware clock every 11 minutes.
 */
#include <errno.h>
#include <linux/capability.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "netd.h"
#include "os/fd.h"
#include "os/proc.h"
#include "os/sandbox.h"
#include "wire/sntp.h"

enum {
	SERVERS = NODE_LIST,
	ANSWER_WAIT = 2, /* seconds */
	FIRST_RETRY = 1, /* seconds, doubled until LAST_RETRY */
	LAST_RETRY = 64,
	POLL_MIN = 6, /* 2^n seconds */
	POLL_MAX = 10,
	CONFIRM = 3,	      /* rounds */
	CONFIRM_WAIT = 8,     /* seconds between them */
	SILENT_ROUNDS = 3,    /* then a name is looked up again */
	MEMORY_MAX = 64 << 20 /* bytes */
};

static const int64_t STEP = NS_PER_SEC / 2; /* what adjtimex can take at most */
static const int64_t CLOSE = 50 * NS_PER_MS;
/* init's floor (init/node.c), 2026-11-21: what is older is a lie, whoever tells it */
static const int64_t FLOOR = INT64_C(1795219200) * NS_PER_SEC;

struct server {
	struct timekeeper *keeper;
	char name[NODE_ELEM];
	struct loop_fd fd; /* connected; -1: not yet */
	uint64_t cookie;   /* of the request that is out; 0: none */
	int64_t sent;
	int64_t not_before; /* it has told us so; CLOCK_BOOTTIME */
	unsigned silent;    /* rounds */
	bool refused;	    /* for good */
	bool answered;
	struct sntp_sample sample;
};

struct timekeeper {
	struct netd_setup *s;
	struct loop *loop;
	struct loop_fd worker;
	struct loop_timer round, end;
	unsigned nservers;
	struct server servers[SERVERS];
	bool synced;
	unsigned failures, poll, doubts;
	int64_t doubt; /* the offset that is to be confirmed */
};

static const int calls[] = {
	SYS_read,
	SYS_write,
	SYS_writev,
	SYS_readv,
	SYS_close,
	SYS_openat,
	SYS_fstat,
	SYS_lseek,
#ifdef SYS__llseek
	SYS__llseek, /* musl's lseek on ppc64le */
#endif
	SYS_fcntl,
	SYS_ioctl, /* the resolver: names of links in addresses */
	SYS_socket,
	SYS_bind,
	SYS_connect,
	SYS_getsockname,
	SYS_setsockopt,
	SYS_getsockopt,
	SYS_sendto,
	SYS_sendmsg,
	SYS_recvfrom,
	SYS_recvmsg,
	SYS_ppoll,
	SYS_epoll_ctl,
	SYS_epoll_pwait,
	SYS_clock_gettime,
	SYS_clock_settime,
	SYS_clock_adjtime,
	SYS_adjtimex,
	SYS_getrandom,
	SYS_getpid,
	SYS_brk,
	SYS_mmap,
	SYS_munmap,
	SYS_mremap,
	SYS_madvise,
	SYS_mprotect,
	SYS_futex,
	SYS_rt_sigprocmask,
	SYS_rt_sigreturn,
	SYS_restart_syscall,
	SYS_exit,
	SYS_exit_group,
#ifdef SYS_epoll_wait
	SYS_epoll_wait,
#endif
#ifdef SYS_poll
	SYS_poll,
#endif
#ifdef SYS_open
	SYS_open,
#endif
#ifdef SYS_send
	SYS_send,
	SYS_recv,
#endif
};

static int confine(struct err *err)
{
	const struct rlimit core = {0}, memory = {MEMORY_MAX, MEMORY_MAX};

	if (setrlimit(RLIMIT_CORE, &core) < 0 || setrlimit(RLIMIT_AS, &memory) < 0)
		return err_sys(err, errno, "setrlimit");
	if (sandbox_user(NETD_USER, NETD_USER, UINT64_C(1) << CAP_SYS_TIME, err) < 0 ||
	    sandbox_with_parent(err) < 0)
		return -1;
	return sandbox_calls(calls, ARRAY_LEN(calls), err);
}

/* --- the clock ----------------------------------------------------------------------------- */

/* A leap second is at the end of the last day of June or December, if at all. */
static int leap_status(enum sntp_leap leap)
{
	time_t now = time(NULL);
	struct tm tm;

	if (!gmtime_r(&now, &tm) || !((tm.tm_mon == 5 && tm.tm_mday == 30) ||
				      (tm.tm_mon == 11 && tm.tm_mday == 31)))
		return 0;
	return leap == SNTP_LEAP_INSERT	  ? STA_INS
	       : leap == SNTP_LEAP_DELETE ? STA_DEL
					  : 0;
}

/* Leads the clock to where the offset says, or tells the kernel that it is there. */
static int lead(const struct timekeeper *t, const struct sntp_sample *s, int64_t offset)
{
	struct timex tx = {.modes = ADJ_OFFSET | ADJ_STATUS | ADJ_TIMECONST |
				    ADJ_MAXERROR | ADJ_ESTERROR | ADJ_NANO,
			   .status = STA_PLL | leap_status(s->leap)};

	tx.offset = (long)offset;
	tx.constant = (long)t->poll - 4;
	tx.maxerror = (long)(s->distance / 1000);
	tx.esterror = (long)(s->delay / 2000);
	return adjtimex(&tx) < 0 ? -1 : 0;
}

static int set_clock(struct timekeeper *t, const struct sntp_sample *s)
{
	int64_t to = time_real() + s->offset;
	struct timespec ts = {.tv_sec = (time_t)(to / NS_PER_SEC),
			      .tv_nsec = (long)(to % NS_PER_SEC)};

	if (to < FLOOR) {
		errno = ERANGE;
		return -1;
	}
	return clock_settime(CLOCK_REALTIME, &ts) < 0 ? -1 : lead(t, s, 0);
}

static void discipline(struct timekeeper *t, const struct server *from)
{
	const struct sntp_sample *s = &from->sample;
	bool far = s->offset > STEP || s->offset < -STEP;
	const struct log *log = &t->s->log;

	if (far && t->synced &&
	    (++t->doubts < CONFIRM || llabs(s->offset - t->doubt) > STEP)) {
		if (t->doubts >= CONFIRM)
			t->doubts = 1;
		t->doubt = s->offset;
		return;
	}
	t->doubts = 0;
	log_line(log, far || !t->synced ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG,
		 "time: off by %s%lld.%06lld s, says %s (stratum %u)",
		 s->offset < 0 ? "" : "-", llabs(s->offset) / NS_PER_SEC,
		 llabs(s->offset) / 1000 % 1000000, from->name, s->stratum);
	if ((far ? set_clock(t, s) : lead(t, s, s->offset)) < 0)
		log_warn(log, "time: the clock cannot be %s: %s",
			 far ? "set" : "adjusted", strerror(errno));
	else if (far)
		log_info(log, "time: the clock is set");
	t->synced = true;
	if (far || llabs(s->offset) > CLOSE)
		t->poll = POLL_MIN;
	else if (t->poll < POLL_MAX)
		t->poll++;
}

/* --- servers --------------------------------------------------------------------------------- */

static void drop_socket(struct server *sv)
{
	if (sv->fd.fd < 0)
		return;
	loop_fd_del(&sv->fd);
	fd_close(&sv->fd.fd);
}

static void end_round(struct timekeeper *t);

static void on_answer(struct loop_fd *src, unsigned events)
{
	struct server *sv = container_of(src, struct server, fd);
	struct timekeeper *t = sv->keeper;
	uint8_t data[512];
	ssize_t got = recv(src->fd, data, sizeof(data), MSG_DONTWAIT);
	int64_t now = time_real();
	struct sntp_sample s;
	struct err err;

	(void)events;
	if (got <= 0 || !sv->cookie)
		return; /* an ICMP error, or too late */
	if (sntp_answer(data, (size_t)got, sv->cookie, sv->sent, now, FLOOR, &s, &err) <
	    0) {
		log_debug(&t->s->log, "time: %s: %s", sv->name, err.msg);
		if (err.code == ERR_STATE)
			sv->cookie = 0;
		return;
	}
	sv->cookie = 0;
	sv->silent = 0;
	if (str_eq(s.kiss, "DENY") || str_eq(s.kiss, "RSTR")) {
		log_warn(&t->s->log, "time: %s refuses to serve (%s)", sv->name, s.kiss);
		sv->refused = true;
		drop_socket(sv);
		return;
	}
	if (*s.kiss) {
		sv->not_before = time_mono() + (INT64_C(4) << t->poll) * NS_PER_SEC;
		return;
	}
	sv->sample = s;
	sv->answered = true;
	for (unsigned i = 0; i < t->nservers; i++)
		if (t->servers[i].cookie)
			return;
	end_round(t); /* nobody is missing */
}

/* Looks the name up, which may take some seconds of this process, and connects. */
static int connect_to(struct server *sv)
{
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *list = NULL;
	struct err err;

	if (getaddrinfo(sv->name, "123", &hints, &list) != 0)
		return -1;
	for (struct addrinfo *a = list; a && sv->fd.fd < 0; a = a->ai_next) {
		FD_AUTO fd = socket(a->ai_family,
				    SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) == 0)
			sv->fd = (struct loop_fd){.fn = on_answer, .fd = fd_take(&fd)};
	}
	freeaddrinfo(list);
	if (sv->fd.fd >= 0 && loop_fd_add(sv->keeper->loop, &sv->fd, LOOP_IN, &err) < 0)
		fd_close(&sv->fd.fd);
	return sv->fd.fd < 0 ? -1 : 0;
}

static void ask(struct server *sv)
{
	uint8_t request[SNTP_SIZE];

	sv->answered = false;
	sv->cookie = 0;
	if (sv->refused || time_mono() < sv->not_before)
		return;
	if (sv->silent++ >= SILENT_ROUNDS) {
		drop_socket(sv); /* it may have moved */
		sv->silent = 1;
	}
	if (sv->fd.fd < 0 && connect_to(sv) < 0)
		return;
	while (!sv->cookie)
		proc_random(&sv->cookie, sizeof(sv->cookie));
	sntp_request(request, sv->cookie);
	sv->sent = time_real();
	if (send(sv->fd.fd, request, sizeof(request), MSG_NOSIGNAL) < 0)
		sv->cookie = 0;
}

/* --- rounds ------------------------------------------------------------------------------------ */

static void next_round(struct timekeeper *t, int64_t seconds)
{
	uint32_t r;

	/* not all nodes of a site at the same moment */
	proc_random(&r, sizeof(r));
	loop_timer_set(t->loop, &t->round,
		       time_mono() + seconds * NS_PER_SEC +
			       seconds * (r % 128) * NS_PER_MS);
}

static void end_round(struct timekeeper *t)
{
	struct sntp_sample samples[SERVERS];
	const struct server *from[SERVERS];
	size_t n = 0;
	int chosen;

	loop_timer_del(&t->end);
	for (unsigned i = 0; i < t->nservers; i++)
		if (t->servers[i].answered) {
			from[n] = &t->servers[i];
			samples[n++] = t->servers[i].sample;
		}
	chosen = n ? sntp_select(samples, n) : -1;
	if (chosen < 0) {
		int64_t wait = MIN(FIRST_RETRY << MIN(t->failures, 6u), LAST_RETRY);

		t->failures++;
		if (t->failures == 3)
			log_warn(&t->s->log, "time: %s",
				 n ? "the servers do not agree" : "no server answers");
		next_round(t, t->synced ? INT64_C(1) << t->poll : wait);
		return;
	}
	t->failures = 0;
	discipline(t, from[chosen]);
	next_round(t, t->doubts ? CONFIRM_WAIT : INT64_C(1) << t->poll);
}

static void on_end(struct loop_timer *timer)
{
	struct timekeeper *t = container_of(timer, struct timekeeper, end);

	for (unsigned i = 0; i < t->nservers; i++)
		t->servers[i].cookie = 0;
	end_round(t);
}

static void on_round(struct loop_timer *timer)
{
	struct timekeeper *t = container_of(timer, struct timekeeper, round);
	bool out = false;

	for (unsigned i = 0; i < t->nservers; i++) {
		ask(&t->servers[i]);
		out |= t->servers[i].cookie != 0;
	}
	if (out)
		loop_timer_set(t->loop, &t->end, time_mono() + ANSWER_WAIT * NS_PER_SEC);
	else if (t->nservers)
		end_round(t);
}

static void add_server(struct timekeeper *t, const char *name)
{
	struct server *sv = &t->servers[t->nservers];

	if (t->nservers == SERVERS)
		return;
	*sv = (struct server){.keeper = t};
	sv->fd.fd = -1;
	str_copy(sv->name, sizeof(sv->name), name);
	t->nservers++;
}

/* Those of the configuration, or else those that the worker has heard of. */
static void use_servers(struct timekeeper *t, const struct netd_servers *heard)
{
	const struct node_strs *conf = &t->s->conf.ntp;
	char text[IP_TEXT];

	if (conf->n && t->nservers)
		return;
	for (unsigned i = 0; i < t->nservers; i++)
		drop_socket(&t->servers[i]);
	t->nservers = 0;
	for (unsigned i = 0; i < conf->n; i++)
		add_server(t, conf->v[i]);
	for (unsigned i = 0; !conf->n && i < MIN(heard->n, (uint32_t)NETD_NTP); i++)
		add_server(t, ip_format(text, &heard->servers[i]));
	loop_timer_del(&t->end);
	t->failures = 0;
	next_round(t, 0);
}

static void on_worker(struct loop_fd *src, unsigned events)
{
	struct timekeeper *t = container_of(src, struct timekeeper, worker);
	struct netd_servers heard;
	ssize_t got = recv(src->fd, &heard, sizeof(heard), MSG_DONTWAIT);

	(void)events;
	if (got == (ssize_t)sizeof(heard))
		use_servers(t, &heard);
	else if (got == 0)
		loop_stop(t->loop, 0);
}

static int serve(struct timekeeper *t, struct err *err)
{
	struct netd_servers none = {0};

	if (confine(err) < 0)
		return -1;
	t->worker = (struct loop_fd){.fn = on_worker, .fd = t->s->time_self};
	if (loop_fd_add(t->loop, &t->worker, LOOP_IN, err) < 0)
		return -1;
	if (t->s->conf.ntp.n)
		use_servers(t, &none);
	(void)!send(t->s->time_self, &none, sizeof(none), MSG_NOSIGNAL | MSG_DONTWAIT);
	return loop_run(t->loop, err);
}

int time_run(struct netd_setup *s)
{
	struct timekeeper t = {.s = s, .poll = POLL_MIN};
	struct err err;

	signal(SIGTERM, SIG_IGN); /* the one that started us says when */
	signal(SIGINT, SIG_IGN);
	t.round.fn = on_round;
	t.end.fn = on_end;
	t.loop = loop_new(&err);
	if (!t.loop || serve(&t, &err) < 0) {
		log_error(&s->log, "time: %s", err.msg);
		return 1;
	}
	return 0;
}
