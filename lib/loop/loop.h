/*
 * loop: a single-threaded event loop: fds, timers, signals, child processes.
 *
 * Everything is a source owned by whoever added it, embedded in the owner's
 * struct. A source may be removed, and its owner freed, from any callback,
 * its own included: events are dispatched in two phases, and a removed source
 * is never called. With nothing to do the loop sleeps; it has no tick.
 */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/signalfd.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/list.h"

struct loop;

enum { LOOP_IN = 1, LOOP_OUT = 2, LOOP_HUP = 4 /* always reported */ };

/* A watched fd. The fd is borrowed: remove the source before closing it. */
struct loop_fd {
	void (*fn)(struct loop_fd *src, unsigned events);
	int fd;
	unsigned want;	   /* private: what epoll was told */
	struct loop *loop; /* private: NULL when not added */
};

/* A one-shot timer. */
struct loop_timer {
	void (*fn)(struct loop_timer *t);
	int64_t when;	  /* private: CLOCK_BOOTTIME, ns */
	struct list node; /* private */
	struct loop *loop;
};

/* A function called once, after the current events, before the loop sleeps. */
struct loop_later {
	void (*fn)(struct loop_later *l);
	struct list node; /* private */
	struct loop *loop;
};

/* Heap-allocated; NULL on failure. */
struct loop *loop_new(struct err *err);
void loop_free(struct loop *l);

/* Runs until loop_stop; returns the value that was given to it. */
int loop_run(struct loop *l, struct err *err);
void loop_stop(struct loop *l, int value);

/*
 * Dispatches what is ready, waiting at most timeout_ns (-1: no limit). For
 * callers that have a loop of their own. 0 or -1.
 */
int loop_step(struct loop *l, int64_t timeout_ns, struct err *err);

/* Watches src->fd (fn and fd are set by the caller) for LOOP_IN | LOOP_OUT. 0 or -1. */
int loop_fd_add(struct loop *l, struct loop_fd *src, unsigned events, struct err *err);
/* Changes what is watched for; 0 watches only for LOOP_HUP. */
void loop_fd_set(struct loop_fd *src, unsigned events);
void loop_fd_del(struct loop_fd *src); /* also when not added */

/* Arms t to fire once at `when` (time_mono); a timer that is armed is moved. */
void loop_timer_set(struct loop *l, struct loop_timer *t, int64_t when);
void loop_timer_del(struct loop_timer *t); /* also when not armed */

void loop_later_add(struct loop *l, struct loop_later *src); /* also when added */
void loop_later_del(struct loop_later *src);

/*
 * Blocks the signals and calls fn for each that arrives (signalfd). One
 * handler per loop. For SIGCHLD the caller reaps with waitpid itself.
 */
int loop_signals(struct loop *l, const int *sigs, unsigned n,
		 void (*fn)(void *arg, const struct signalfd_siginfo *si), void *arg,
		 struct err *err);

#endif
