/* work: jobs that may block (mounts, NFS, CNI plugins) in a process of their own. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/fd.h"
#include "os/sock.h"
#include "shim/shim.h"

/* What the child sends: this, then the result's bytes. */
struct work_head {
	int failed;
	struct err err;
};

struct work {
	struct shim *shim;
	struct child child;
	struct loop_fd src;
	struct buf in;
	struct work_result res;
	work_done *done;
	void *arg;
	bool ended, eof;
};

static void run_child(work_fn *fn, void *arg, int sock, pid_t shim)
{
	struct work_head head = {0};
	struct work_result res = {0};
	sigset_t none;

	/* it holds the shim's sockets: as long as it lives, the shim would seem to */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != shim)
		_exit(1);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	head.failed = fn(arg, &res, &head.err) < 0;
	if (sock_send_fds(sock, &head, sizeof(head), res.fds,
			  head.failed ? 0 : res.nfds) != (ssize_t)sizeof(head) ||
	    fd_write_all(sock, res.out.data, res.out.len) < 0)
		_exit(1);
	_exit(0);
}

static void finish(struct work *w)
{
	struct work_head head;
	const struct err *err = NULL;

	if (!w->ended || !w->eof)
		return;
	if (w->in.len < sizeof(head)) {
		head.failed = 1;
		err_set(&head.err, ERR_INTERNAL, "the worker process died");
	} else {
		memcpy(&head, w->in.data, sizeof(head));
		buf_add(&w->res.out, w->in.data + sizeof(head), w->in.len - sizeof(head));
	}
	if (head.failed)
		err = &head.err;
	w->shim->workers--;
	w->done(w->arg, &w->res, err);
	if (!w->shim->workers && w->shim->nearly) /* what nobody claims is dropped */
		loop_later_add(w->shim->loop, &w->shim->later);
	for (unsigned i = 0; err && i < w->res.nfds; i++)
		fd_close(&w->res.fds[i]);
	buf_done(&w->res.out);
	buf_done(&w->in);
	free(w);
}

static void on_exit_(struct child *c, int status)
{
	struct work *w = container_of(c, struct work, child);

	(void)status;
	w->ended = true;
	finish(w);
}

static void on_data(struct loop_fd *src, unsigned events)
{
	struct work *w = container_of(src, struct work, src);
	size_t nfds = 8 - w->res.nfds;
	ssize_t n = sock_recv_fds(src->fd, buf_reserve(&w->in, 4096), 4096,
				  w->res.fds + w->res.nfds, &nfds);

	(void)events;
	if (n < 0 && errno == EAGAIN)
		return;
	w->res.nfds += (unsigned)nfds;
	if (n > 0) {
		w->in.len += (size_t)n;
		return;
	}
	loop_fd_del(src);
	fd_close(&src->fd);
	w->eof = true;
	finish(w);
}

int work_start(struct shim *s, work_fn *fn, work_done *done, void *arg, struct err *err)
{
	struct work *w;
	int pair[2];
	pid_t pid, self = getpid();

	if (sock_pair(pair, err) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		close(pair[0]);
		run_child(fn, arg, pair[1], self);
	}
	close(pair[1]);
	if (pid < 0) {
		err_sys(err, errno, "fork");
		close(pair[0]);
		return -1;
	}
	w = xcalloc(1, sizeof(*w));
	w->shim = s;
	w->done = done;
	w->arg = arg;
	w->child = (struct child){.pid = pid, .on_exit = on_exit_};
	w->src = (struct loop_fd){.fn = on_data, .fd = pair[0]};
	fd_set_nonblock(pair[0], true);
	s->workers++;
	child_watch(s, &w->child);
	if (loop_fd_add(s->loop, &w->src, LOOP_IN, err) < 0)
		err_oom(0); /* epoll cannot take one more fd: nothing can go on */
	return 0;
}
