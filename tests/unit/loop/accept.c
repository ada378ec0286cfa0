/* The acceptor without fds: it pauses, and goes on. */
#include "unit.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/time.h"
#include "loop/accept.h"
#include "os/fd.h"
#include "os/sock.h"

static struct err err;
static int got[4];
static unsigned ngot, asked;
static int spare = -1;

static void on_conn(struct acceptor *a, int fd_taken)
{
	(void)a;
	got[ngot++] = fd_taken;
}

static bool make_room(struct acceptor *a)
{
	(void)a;
	asked++;
	if (spare < 0)
		return false;
	fd_close(&spare);
	return true;
}

static int lowest_free(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

TEST(accepts_and_pauses)
{
	struct loop *l = loop_new(&err);
	struct acceptor a;
	struct rlimit old, low;
	char path[64];
	int fd, one, two, turns = 0;
	int64_t begin;

	snprintf(path, sizeof(path), "/tmp/unit-accept-%d", (int)getpid());
	acceptor_init(&a, l, on_conn);
	a.make_room = make_room;
	fd = sock_listen_unix(path, 0600, &err);
	CHECK(fd >= 0);
	CHECK(acceptor_listen(&a, fd, &err) == 0);
	one = sock_connect_unix(path, &err);
	CHECK(loop_step(l, NS_PER_SEC, &err) == 0);
	CHECK_INT(ngot, 1);

	two = sock_connect_unix(path, &err);
	spare = dup(0);
	getrlimit(RLIMIT_NOFILE, &old);
	low = old;
	low.rlim_cur = (rlim_t)lowest_free();
	CHECK(setrlimit(RLIMIT_NOFILE, &low) == 0);
	CHECK(loop_step(l, NS_PER_SEC, &err) == 0);
	CHECK_INT(asked, 1); /* it closed the spare one: */
	CHECK(loop_step(l, NS_PER_SEC, &err) == 0);
	CHECK_INT(ngot, 2);

	close(two);
	setrlimit(RLIMIT_NOFILE, &old);
	two = sock_connect_unix(path, &err);
	low.rlim_cur = (rlim_t)lowest_free();
	setrlimit(RLIMIT_NOFILE, &low);
	begin = time_mono();
	while (ngot == 2 && time_mono() - begin < 5 * NS_PER_SEC) {
		CHECK(loop_step(l, 100 * NS_PER_MS, &err) == 0);
		if (++turns == 3)
			setrlimit(RLIMIT_NOFILE, &old);
	}
	CHECK_INT(asked, 2);
	CHECK_INT(ngot, 3);
	CHECK(turns < 20); /* no spinning meanwhile */

	acceptor_close(&a);
	CHECK(sock_connect_unix(path, &err) < 0);
	unlink(path);
	for (unsigned i = 0; i < ngot; i++)
		close(got[i]);
	close(one);
	close(two);
	loop_free(l);
}
