#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "base/time.h"
#include "loop/loop.h"

static struct loop *loop;
static struct err err;

/* A pipe that can be read, watched; the first one called frees all of them. */
static struct watched {
	struct loop_fd src;
	int fds[2];
} * all[40];
static unsigned calls;

static void free_all(struct loop_fd *src, unsigned events)
{
	(void)src;
	calls++;
	CHECK(events & LOOP_IN);
	for (unsigned i = 0; i < 40; i++) {
		loop_fd_del(&all[i]->src);
		close(all[i]->fds[0]);
		close(all[i]->fds[1]);
		free(all[i]);
		all[i] = NULL;
	}
}

static struct watched *watch(void (*fn)(struct loop_fd *src, unsigned events))
{
	struct watched *w = calloc(1, sizeof(*w));

	CHECK(pipe2(w->fds, O_CLOEXEC | O_NONBLOCK) == 0);
	CHECK(write(w->fds[1], "x", 1) == 1);
	w->src = (struct loop_fd){.fn = fn, .fd = w->fds[0]};
	CHECK(loop_fd_add(loop, &w->src, LOOP_IN, &err) == 0);
	return w;
}

/* All are ready at once: the ones that were freed by the first are not called. */
TEST(a_callback_frees_the_others)
{
	loop = loop_new(&err);
	for (unsigned i = 0; i < 40; i++)
		all[i] = watch(free_all);
	for (int i = 0; i < 5; i++)
		CHECK(loop_step(loop, 0, &err) == 0);
	CHECK_INT(calls, 1);
}

static void on_hup(struct loop_fd *src, unsigned events)
{
	calls++;
	CHECK(events & LOOP_HUP);
	loop_fd_del(src);
}

TEST(the_end_is_always_reported)
{
	struct watched *w = watch(on_hup);

	calls = 0;
	loop_fd_set(&w->src, 0);
	CHECK(loop_step(loop, 0, &err) == 0);
	CHECK_INT(calls, 0);
	close(w->fds[1]);
	CHECK(loop_step(loop, 0, &err) == 0);
	CHECK(loop_step(loop, 0, &err) == 0);
	CHECK_INT(calls, 1);
	close(w->fds[0]);
	free(w);
}

static void on_signal(void *arg, const struct signalfd_siginfo *si)
{
	*(unsigned *)arg += si->ssi_signo;
}

TEST(signals_are_events)
{
	const int sigs[] = {SIGUSR1, SIGUSR2};
	unsigned sum = 0;

	CHECK(loop_signals(loop, sigs, 2, on_signal, &sum, &err) == 0);
	kill(getpid(), SIGUSR1);
	kill(getpid(), SIGUSR2);
	CHECK(loop_step(loop, NS_PER_SEC, &err) == 0);
	CHECK_INT(sum, SIGUSR1 + SIGUSR2);
	loop_free(loop);
}
