#include "loop/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/num.h"
#include "base/time.h"
#include "os/fd.h"

enum { BATCH = 32 };

struct loop {
	int epfd;
	struct list timers; /* sorted by when: few at a time */
	struct list laters;
	struct epoll_event ready[BATCH]; /* entries of removed sources are NULLed */
	int nready;
	bool stop;
	int value;
	int sigfd;
	struct loop_fd sigsrc;
	void (*sigfn)(void *arg, const struct signalfd_siginfo *si);
	void *sigarg;
};

struct loop *loop_new(struct err *err)
{
	struct loop *l = xcalloc(1, sizeof(*l));

	list_init(&l->timers);
	list_init(&l->laters);
	l->sigfd = -1;
	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epfd < 0) {
		free(l);
		err_sys(err, errno, "epoll_create1");
		return NULL;
	}
	return l;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	fd_close(&l->sigfd);
	fd_close(&l->epfd);
	free(l);
}

static uint32_t to_epoll(unsigned events)
{
	return (events & LOOP_IN ? EPOLLIN | EPOLLRDHUP : 0U) |
	       (events & LOOP_OUT ? EPOLLOUT : 0U);
}

int loop_fd_add(struct loop *l, struct loop_fd *src, unsigned events, struct err *err)
{
	struct epoll_event ev = {.events = to_epoll(events), .data = {.ptr = src}};

	if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, src->fd, &ev) < 0)
		return err_sys(err, errno, "watch fd %d", src->fd);
	src->want = events;
	src->loop = l;
	return 0;
}

void loop_fd_set(struct loop_fd *src, unsigned events)
{
	struct epoll_event ev = {.events = to_epoll(events), .data = {.ptr = src}};

	if (!src->loop || src->want == events)
		return;
	if (epoll_ctl(src->loop->epfd, EPOLL_CTL_MOD, src->fd, &ev) == 0)
		src->want = events;
}

void loop_fd_del(struct loop_fd *src)
{
	struct loop *l = src->loop;

	if (!l)
		return;
	epoll_ctl(l->epfd, EPOLL_CTL_DEL, src->fd, NULL);
	for (int i = 0; i < l->nready; i++)
		if (l->ready[i].data.ptr == src)
			l->ready[i].data.ptr = NULL;
	src->loop = NULL;
}

void loop_timer_set(struct loop *l, struct loop_timer *t, int64_t when)
{
	struct list *at;

	loop_timer_del(t); /* it may be the last one */
	t->when = when;
	t->loop = l;
	at = l->timers.prev;
	while (at != &l->timers && container_of(at, struct loop_timer, node)->when > when)
		at = at->prev;
	/* list_add puts before its head: before the one after at */
	list_add(at->next, &t->node);
}

void loop_timer_del(struct loop_timer *t)
{
	if (!t->loop)
		return;
	list_del(&t->node);
	t->loop = NULL;
}

void loop_later_add(struct loop *l, struct loop_later *src)
{
	if (src->loop)
		return;
	src->loop = l;
	list_add(&l->laters, &src->node);
}

void loop_later_del(struct loop_later *src)
{
	if (!src->loop)
		return;
	list_del(&src->node);
	src->loop = NULL;
}

static void run_timers(struct loop *l)
{
	int64_t now = time_mono();

	while (!list_empty(&l->timers) && !l->stop) {
		struct loop_timer *t =
			container_of(l->timers.next, struct loop_timer, node);

		if (t->when > now)
			break;
		loop_timer_del(t);
		t->fn(t);
	}
}

static void run_laters(struct loop *l)
{
	while (!list_empty(&l->laters) && !l->stop) {
		struct loop_later *src =
			container_of(l->laters.next, struct loop_later, node);

		loop_later_del(src);
		src->fn(src);
	}
}

static int wait_ms(const struct loop *l, int64_t timeout_ns)
{
	if (!list_empty(&l->timers)) {
		int64_t left =
			container_of(l->timers.next, struct loop_timer, node)->when -
			time_mono();

		left = MAX(left, INT64_C(0));
		if (timeout_ns < 0 || left < timeout_ns)
			timeout_ns = left;
	}
	if (timeout_ns < 0)
		return -1;
	/* rounded up: waking early only to sleep again costs a wakeup */
	return (int)MIN((timeout_ns + NS_PER_MS - 1) / NS_PER_MS, INT64_C(86400000));
}

int loop_step(struct loop *l, int64_t timeout_ns, struct err *err)
{
	l->stop = false; /* of a run that has ended: this is a new one */
	run_laters(l);
	if (l->stop)
		return 0;
	l->nready = epoll_wait(l->epfd, l->ready, BATCH, wait_ms(l, timeout_ns));
	if (l->nready < 0) {
		l->nready = 0;
		if (errno != EINTR)
			return err_sys(err, errno, "epoll_wait");
	}
	for (int i = 0; i < l->nready && !l->stop; i++) {
		struct loop_fd *src = l->ready[i].data.ptr;
		uint32_t ev = l->ready[i].events;

		if (!src)
			continue;
		src->fn(src, (ev & EPOLLIN ? LOOP_IN : 0U) |
				     (ev & EPOLLOUT ? LOOP_OUT : 0U) |
				     (ev & (EPOLLHUP | EPOLLERR | EPOLLRDHUP) ? LOOP_HUP
									      : 0U));
	}
	l->nready = 0;
	run_timers(l);
	run_laters(l);
	return 0;
}

int loop_run(struct loop *l, struct err *err)
{
	l->stop = false;
	while (!l->stop)
		if (loop_step(l, -1, err) < 0)
			return -1;
	return l->value;
}

void loop_stop(struct loop *l, int value)
{
	l->stop = true;
	l->value = value;
}

static void on_signal(struct loop_fd *src, unsigned events)
{
	struct loop *l = container_of(src, struct loop, sigsrc);
	struct signalfd_siginfo si;

	(void)events;
	while (read(l->sigfd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		l->sigfn(l->sigarg, &si);
}

int loop_signals(struct loop *l, const int *sigs, unsigned n,
		 void (*fn)(void *arg, const struct signalfd_siginfo *si), void *arg,
		 struct err *err)
{
	sigset_t set;

	sigemptyset(&set);
	for (unsigned i = 0; i < n; i++)
		sigaddset(&set, sigs[i]);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return err_sys(err, errno, "block signals");
	l->sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (l->sigfd < 0)
		return err_sys(err, errno, "signalfd");
	l->sigfn = fn;
	l->sigarg = arg;
	l->sigsrc = (struct loop_fd){.fn = on_signal, .fd = l->sigfd};
	return loop_fd_add(l, &l->sigsrc, LOOP_IN, err);
}
