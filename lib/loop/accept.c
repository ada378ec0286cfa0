#include "loop/accept.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/time.h"
#include "os/fd.h"

enum { ACCEPTS_PER_TURN = 16 };

struct listener {
	struct loop_fd src;
	struct list node;
	struct acceptor *acceptor;
};

static void watch(struct acceptor *a, unsigned events)
{
	list_each (n, &a->listeners)
		loop_fd_set(&container_of(n, struct listener, node)->src, events);
}

static void on_again(struct loop_timer *t)
{
	watch(container_of(t, struct acceptor, again), LOOP_IN);
}

static void out_of_fds(struct acceptor *a)
{
	if (a->make_room && a->make_room(a))
		return;
	watch(a, 0);
	loop_timer_set(a->loop, &a->again, time_mono() + NS_PER_SEC);
}

static void on_listener(struct loop_fd *src, unsigned events)
{
	struct acceptor *a = container_of(src, struct listener, src)->acceptor;

	(void)events;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int fd = accept4(src->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			       errno == ENOMEM))
			out_of_fds(a);
		if (fd < 0)
			return;
		a->on_conn(a, fd);
	}
}

void acceptor_init(struct acceptor *a, struct loop *l,
		   void (*on_conn)(struct acceptor *a, int fd_taken))
{
	*a = (struct acceptor){.loop = l, .on_conn = on_conn, .again = {.fn = on_again}};
	list_init(&a->listeners);
}

int acceptor_listen(struct acceptor *a, int fd_taken, struct err *err)
{
	struct listener *l = xcalloc(1, sizeof(*l));

	l->acceptor = a;
	l->src = (struct loop_fd){.fn = on_listener, .fd = fd_taken};
	if (loop_fd_add(a->loop, &l->src, LOOP_IN, err) < 0) {
		fd_close(&l->src.fd);
		free(l);
		return -1;
	}
	list_add(&a->listeners, &l->node);
	return 0;
}

void acceptor_close(struct acceptor *a)
{
	loop_timer_del(&a->again);
	list_each (n, &a->listeners) {
		struct listener *l = container_of(n, struct listener, node);

		list_del(&l->node);
		loop_fd_del(&l->src);
		fd_close(&l->src.fd);
		free(l);
	}
}
