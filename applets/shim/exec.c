/* exec: processes beside a container's own: exec_sync, and streaming sessions. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "os/fd.h"
#include "os/tty.h"
#include "rpc/stream.h"
#include "shim/launch.h"

enum {
	CHUNK = 16384,
	MAX_ARGS = 4096,
	HUP_SECONDS = 5,
	DRAIN_MS = 500,
	PIPE_MAX = 1 << 20,
	TIMEOUT_MAX = 1000000000 /* s */
};

/* argv of a request's cmd, in memory of its own: one free. NULL if it is not one. */
static char **make_argv(yyjson_val *cmd, struct err *err)
{
	size_t n = cmd ? yyjson_arr_size(cmd) : 0, i = 0;
	char **argv;
	yyjson_val *v;

	if (!n || n > MAX_ARGS) {
		err_set(err, ERR_INVALID, "cmd: %zu words", n);
		return NULL;
	}
	argv = xcalloc(n + 1, sizeof(*argv));
	json_each (v, cmd)
		argv[i++] = (char *)(uintptr_t)str_or_empty(yyjson_get_str(v));
	return argv;
}

static struct container *find_running(struct shim *s, yyjson_val *req, struct err *err)
{
	struct container *ct = ctr_by_id(s, str_or_empty(json_str(req, "id")), err);

	if (ct && ct->state != CTR_RUNNING) {
		err_set(err, ERR_STATE, "container %s is not running", ct->id);
		return NULL;
	}
	return ct;
}

/* The process and what it has started: an exec is a session of its own (setsid). */
static void kill_group(const struct child *c, int sig)
{
	if (c->pid > 0) { /* ours until it is reaped: the pid is right */
		kill(-c->pid, sig);
		kill(c->pid, sig);
	}
}

static int exit_code(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Whether the program runs. A process that never says so is killed like any other. */
struct outcome {
	struct loop_fd src; /* fd -1: it was said */
	struct err *failed; /* NULL: it runs, as far as is known */
};

static void outcome_read(struct outcome *o)
{
	struct err err;
	int r = o->src.fd < 0 ? 1 : launch_outcome(o->src.fd, &err);

	if (r > 0)
		return;
	loop_fd_del(&o->src);
	fd_close(&o->src.fd);
	if (r < 0) {
		o->failed = xmalloc(sizeof(err));
		*o->failed = err;
	}
}

static void on_outcome(struct loop_fd *src, unsigned events)
{
	(void)events;
	outcome_read(container_of(src, struct outcome, src));
}

static int outcome_watch(struct outcome *o, struct shim *s, int errfd, struct err *err)
{
	o->src = (struct loop_fd){.fn = on_outcome, .fd = errfd};
	return loop_fd_add(s->loop, &o->src, LOOP_IN, err);
}

static void outcome_done(struct outcome *o)
{
	loop_fd_del(&o->src);
	fd_close(&o->src.fd);
	free(o->failed);
}

/* --- exec_sync ----------------------------------------------------------------------------- */

struct sync_output {
	struct loop_fd src; /* fd -1: closed */
	struct sync *sync;
	struct buf data;
};

struct sync {
	struct list node; /* of shim->execs */
	struct shim *shim;
	struct reply reply;
	struct child child;
	struct outcome outcome;
	struct sync_output out[2];
	struct loop_timer timer;
	int64_t timeout; /* seconds */
	int status;
	bool timed_out;
};

static void sync_free(struct sync *x)
{
	list_del(&x->node);
	loop_timer_del(&x->timer);
	for (unsigned i = 0; i < 2; i++) {
		loop_fd_del(&x->out[i].src);
		fd_close(&x->out[i].src.fd);
		buf_done(&x->out[i].data);
	}
	outcome_done(&x->outcome);
	free(x);
}

/*
 * Reads one chunk; what is beyond the limit is thrown away. The count, 0 at the
 * end, -1 if there is nothing now.
 */
static ssize_t sync_read(struct sync_output *o)
{
	char data[CHUNK];
	ssize_t n = read(o->src.fd, data, sizeof(data));

	if (n > 0)
		buf_add(&o->data, data, MIN((size_t)n, SHIM_EXEC_MAX - o->data.len));
	return n < 0 && errno != EAGAIN && errno != EINTR ? 0 : n;
}

static void sync_answer(struct sync *x)
{
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d);

	/*
	 * What was written is in the pipes; who still holds them is not waited for, nor
	 * read for ever.
	 */
	for (unsigned i = 0; i < 2; i++)
		for (unsigned n = 0; n < PIPE_MAX / CHUNK && x->out[i].src.fd >= 0; n++)
			if (sync_read(&x->out[i]) <= 0)
				break;
	json_add_i64(d, root, "exit_code", exit_code(x->status));
	json_add_u64(d, root, "stdout", x->out[0].data.len);
	json_add_u64(d, root, "stderr", x->out[1].data.len);
	buf_add(&x->out[0].data, x->out[1].data.data, x->out[1].data.len);
	reply_json(&x->reply, d, x->out[0].data.data, x->out[0].data.len);
}

static void sync_exit(struct child *c, int status)
{
	struct sync *x = container_of(c, struct sync, child);

	x->status = status;
	outcome_read(&x->outcome); /* its last words may be there */
	if (x->outcome.failed && !x->timed_out)
		reply_error(&x->reply, x->outcome.failed);
	else if (!x->timed_out)
		sync_answer(x);
	sync_free(x);
}

static void on_sync_output(struct loop_fd *src, unsigned events)
{
	struct sync_output *o = container_of(src, struct sync_output, src);

	(void)events;
	if (sync_read(o) != 0)
		return;
	loop_fd_del(src);
	fd_close(&src->fd);
}

static void on_sync_timeout(struct loop_timer *t)
{
	struct sync *x = container_of(t, struct sync, timer);

	struct err err;

	/* a process that hangs in the kernel dies later, or never */
	kill_group(&x->child, SIGKILL);
	x->timed_out = true;
	err_set(&err, ERR_TIMEOUT, "command timed out after %lld s",
		(long long)x->timeout);
	reply_error(&x->reply, &err);
}

static int sync_pipe(struct sync *x, unsigned i, int *ret_end, struct err *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	*ret_end = fds[1];
	fd_set_nonblock(fds[0], true);
	x->out[i].sync = x;
	x->out[i].src = (struct loop_fd){.fn = on_sync_output, .fd = fds[0]};
	return loop_fd_add(x->shim->loop, &x->out[i].src, LOOP_IN, err);
}

static int sync_start(struct sync *x, struct container *ct, yyjson_val *req,
		      struct err *err)
{
	struct launch_exec e = {.argv = make_argv(json_arr(req, "cmd"), err),
				.stdio = {-1, -1, -1}};
	int errfd = -1, console = -1;
	pid_t pid = -1;

	if (!e.argv)
		return -1;
	if (sync_pipe(x, 0, &e.stdio[1], err) == 0 &&
	    sync_pipe(x, 1, &e.stdio[2], err) == 0)
		pid = launch_exec(ct, &e, &errfd, &console, err);
	fd_close(&e.stdio[1]);
	fd_close(&e.stdio[2]);
	free(e.argv);
	if (pid < 0)
		return -1;
	x->child = (struct child){.pid = pid, .on_exit = sync_exit};
	child_watch(x->shim, &x->child);
	if (outcome_watch(&x->outcome, x->shim, errfd, err) < 0)
		err_oom(0); /* epoll cannot take one more fd: nothing can go on */
	return 0;
}

void ctr_exec_sync(struct shim *s, struct chan *c, struct chan_msg *m)
{
	struct reply r = reply_to(s, c, m);
	struct sync *x = xcalloc(1, sizeof(*x));
	struct container *ct;
	struct err err;

	x->shim = s;
	x->reply = r;
	list_add(&s->execs, &x->node);
	x->timer.fn = on_sync_timeout;
	x->out[0].src.fd = x->out[1].src.fd = x->outcome.src.fd = -1;
	x->timeout = MIN(json_i64(m->json, "timeout", 0), (int64_t)TIMEOUT_MAX);
	ct = find_running(s, m->json, &err);
	if (!ct || sync_start(x, ct, m->json, &err) < 0) {
		reply_error(&r, &err);
		sync_free(x);
		return;
	}
	if (x->timeout > 0)
		loop_timer_set(s->loop, &x->timer, time_mono() + x->timeout * NS_PER_SEC);
}

void ctr_exec_cancel(struct shim *s, struct chan *c, struct chan_msg *m)
{
	uint64_t serial = json_u64(m->json, "serial", 0);
	uint64_t peer = reply_to(s, c, m).peer;

	list_each (n, &s->execs) {
		struct sync *x = container_of(n, struct sync, node);

		if (x->reply.peer == peer && x->reply.serial == serial)
			kill_group(&x->child, SIGKILL);
	}
}

/* --- streaming sessions --------------------------------------------------------------------- */

struct session_output {
	struct loop_fd src;
	struct session *session;
	enum stream_channel channel;
};

struct session {
	struct shim *shim;
	struct stream_session *stream;
	struct child child;
	struct outcome outcome;
	struct session_output out[2];
	struct loop_fd terminal; /* the master comes through it; fd -1: it has */
	uint16_t width, height;	 /* asked for before that */
	bool wants_stdin;
	struct loop_fd
		in; /* the process's stdin, watched while it is full; fd -1: none */
	struct loop_timer drain;
	struct loop_timer patience; /* with a process whose client has gone */
	int console; /* the terminal's master, for resize; owned by out[0] */
	int status;
	bool started, exited, ended; /* the process; the client's end */
	bool finishing;
};

static void session_free(struct session *x)
{
	loop_timer_del(&x->drain);
	loop_timer_del(&x->patience);
	stream_free(x->stream);
	for (unsigned i = 0; i < 2; i++) {
		loop_fd_del(&x->out[i].src);
		fd_close(&x->out[i].src.fd);
	}
	loop_fd_del(&x->in);
	fd_close(&x->in.fd);
	loop_fd_del(&x->terminal);
	fd_close(&x->terminal.fd);
	outcome_done(&x->outcome);
	free(x);
}

/* Both the process and the client are done with. */
static void session_check(struct session *x)
{
	struct stream_status st = {.exit_code = exit_code(x->status),
				   .err = x->outcome.failed};

	if (x->exited && !x->ended && !x->finishing && x->out[0].src.fd < 0 &&
	    x->out[1].src.fd < 0) {
		x->finishing = true;
		loop_timer_del(&x->drain);
		stream_finish(x->stream, &st);
	}
	if (x->ended && (x->exited || !x->started))
		session_free(x);
}

static void close_out(struct session_output *o)
{
	loop_fd_del(&o->src);
	fd_close(&o->src.fd);
	if (o->channel == STREAM_STDOUT)
		o->session->console = -1;
}

static void on_session_output(struct loop_fd *src, unsigned events)
{
	struct session_output *o = container_of(src, struct session_output, src);
	char data[CHUNK];
	ssize_t n = read(src->fd, data, sizeof(data));

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) { /* a terminal ends with EIO */
		close_out(o);
		session_check(o->session);
		return;
	}
	if (o->session->ended || o->session->finishing)
		return; /* nobody listens: read on, the process must not block */
	if (!stream_send(o->session->stream, o->channel, data, (size_t)n))
		loop_fd_del(src);
}

static void on_writable(void *arg)
{
	struct session *x = arg;
	struct err err;

	for (unsigned i = 0; i < 2; i++)
		if (x->out[i].src.fd >= 0 && !x->out[i].src.loop &&
		    loop_fd_add(x->shim->loop, &x->out[i].src, LOOP_IN, &err) < 0)
			close_out(&x->out[i]);
}

/* The process can read again. */
static void on_stdin_ready(struct loop_fd *src, unsigned events)
{
	struct session *x = container_of(src, struct session, in);

	loop_fd_del(src);
	if (events & LOOP_HUP && !(events & LOOP_OUT))
		fd_close(&src->fd);
	stream_resume(x->stream);
}

static size_t on_stdin(void *arg, const uint8_t *data, size_t n)
{
	struct session *x = arg;
	ssize_t done;
	struct err err;

	if (x->terminal.fd >= 0)
		return 0; /* it does not read yet, */
	if (x->in.fd < 0)
		return n; /* or not any more */
	done = write(x->in.fd, data, n);
	if (done < 0 && errno != EAGAIN && errno != EINTR) {
		loop_fd_del(&x->in);
		fd_close(&x->in.fd);
		return n;
	}
	if (done < 0)
		done = 0;
	if ((size_t)done < n && !x->in.loop &&
	    loop_fd_add(x->shim->loop, &x->in, LOOP_OUT, &err) < 0)
		return n;
	return (size_t)done;
}

static void on_stdin_close(void *arg)
{
	struct session *x = arg;

	loop_fd_del(&x->in);
	fd_close(&x->in.fd);
}

static void on_resize(void *arg, uint16_t width, uint16_t height)
{
	struct session *x = arg;

	x->width = width;
	x->height = height;
	if (x->console >= 0)
		tty_set_size(x->console, height, width);
}

/* The client has gone: its process is told so as a terminal's would be. */
static void on_stream_end(void *arg, const struct err *err)
{
	struct session *x = arg;

	(void)err;
	x->ended = true;
	on_stdin_close(x);
	on_writable(x);
	if (x->started && !x->exited) {
		kill_group(&x->child, SIGHUP);
		loop_timer_set(x->shim->loop, &x->patience,
			       time_mono() + HUP_SECONDS * NS_PER_SEC);
	}
	session_check(x);
}

static void on_patience(struct loop_timer *t)
{
	kill_group(&container_of(t, struct session, patience)->child, SIGKILL);
}

static const struct stream_ops session_ops = {.on_stdin = on_stdin,
					      .on_stdin_close = on_stdin_close,
					      .on_resize = on_resize,
					      .on_writable = on_writable,
					      .on_end = on_stream_end};

static void on_session_drain(struct loop_timer *t)
{
	struct session *x = container_of(t, struct session, drain);
	bool slow = false;

	for (unsigned i = 0; i < 2; i++)
		if (x->out[i].src.fd >= 0 && !x->out[i].src.loop && !x->ended)
			slow = true; /* the client is, not the process */
		else
			close_out(&x->out[i]);
	if (slow)
		loop_timer_set(x->shim->loop, t, time_mono() + DRAIN_MS * NS_PER_MS);
	session_check(x);
}

static void take_terminal(struct session *x);

static void session_exit(struct child *c, int status)
{
	struct session *x = container_of(c, struct session, child);

	x->status = status;
	outcome_read(&x->outcome); /* its last words may be there, and its output */
	take_terminal(x);
	x->exited = true;
	/* a child of the process may hold its output open for ever */
	loop_timer_set(x->shim->loop, &x->drain, time_mono() + DRAIN_MS * NS_PER_MS);
	session_check(x);
}

static int session_pipe(struct session *x, unsigned i, int *ret_end, struct err *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	*ret_end = fds[1];
	fd_set_nonblock(fds[0], true);
	x->out[i].src.fd = fds[0];
	return loop_fd_add(x->shim->loop, &x->out[i].src, LOOP_IN, err);
}

static int session_stdio(struct session *x, yyjson_val *req, int stdio[3],
			 struct err *err)
{
	int fds[2];

	if (session_pipe(x, 0, &stdio[1], err) < 0 ||
	    session_pipe(x, 1, &stdio[2], err) < 0)
		return -1;
	if (!json_bool(req, "stdin", false))
		return 0;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	stdio[0] = fds[0];
	x->in.fd = fds[1];
	fd_set_nonblock(fds[1], true);
	return 0;
}

/* The master of the terminal, once the process has made it; nothing if it could not. */
static void take_terminal(struct session *x)
{
	struct err err;
	int console;

	if (x->terminal.fd < 0)
		return;
	console = launch_console(x->terminal.fd, &err);
	loop_fd_del(&x->terminal);
	fd_close(&x->terminal.fd);
	if (console < 0)
		return;
	fd_set_nonblock(console, true);
	x->console = x->out[0].src.fd = console;
	if (x->height)
		tty_set_size(console, x->height, x->width);
	if (x->wants_stdin && !x->ended)
		x->in.fd = fcntl(console, F_DUPFD_CLOEXEC, 3);
	if (loop_fd_add(x->shim->loop, &x->out[0].src, LOOP_IN, &err) < 0)
		close_out(&x->out[0]);
	else if (!x->ended)
		stream_resume(x->stream);
}

static void on_terminal(struct loop_fd *src, unsigned events)
{
	(void)events;
	take_terminal(container_of(src, struct session, terminal));
}

static int watch_terminal(struct session *x, int sock, struct err *err)
{
	fd_set_nonblock(sock, true);
	x->terminal = (struct loop_fd){.fn = on_terminal, .fd = sock};
	return loop_fd_add(x->shim->loop, &x->terminal, LOOP_IN, err);
}

static int session_start(struct session *x, struct container *ct, yyjson_val *req,
			 struct err *err)
{
	struct launch_exec e = {.argv = make_argv(json_arr(req, "cmd"), err),
				.stdio = {-1, -1, -1},
				.tty = json_bool(req, "tty", false)};
	int errfd = -1, console = -1, r = 0;
	pid_t pid = -1;

	if (!e.argv)
		return -1;
	if (!e.tty)
		r = session_stdio(x, req, e.stdio, err);
	if (r == 0)
		pid = launch_exec(ct, &e, &errfd, &console, err);
	for (unsigned i = 0; i < 3; i++)
		fd_close(&e.stdio[i]);
	free(e.argv);
	if (pid < 0)
		return -1;
	x->started = true;
	x->child = (struct child){.pid = pid, .on_exit = session_exit};
	child_watch(x->shim, &x->child);
	x->wants_stdin = json_bool(req, "stdin", false);
	if (outcome_watch(&x->outcome, x->shim, errfd, err) < 0 ||
	    (e.tty && watch_terminal(x, console, err) < 0))
		err_oom(0); /* epoll cannot take one more fd: nothing can go on */
	return 0;
}

static struct session *session_new(struct shim *s)
{
	struct session *x = xcalloc(1, sizeof(*x));

	x->shim = s;
	x->console = -1;
	x->drain.fn = on_session_drain;
	x->patience.fn = on_patience;
	x->in = (struct loop_fd){.fn = on_stdin_ready, .fd = -1};
	x->terminal.fd = x->outcome.src.fd = -1;
	for (unsigned i = 0; i < 2; i++)
		x->out[i] = (struct session_output){
			.src = {.fn = on_session_output, .fd = -1},
			.session = x,
			.channel = i ? STREAM_STDERR : STREAM_STDOUT};
	return x;
}

void ctr_exec(struct shim *s, struct chan *c, struct chan_msg *m)
{
	struct stream_params params = {.in = json_bool(m->json, "stdin", false),
				       .out = json_bool(m->json, "stdout", false),
				       .err = json_bool(m->json, "stderr", false),
				       .tty = json_bool(m->json, "tty", false)};
	struct stream_status failed = {.exit_code = 0};
	struct reply r = reply_to(s, c, m);
	struct session *x;
	struct container *ct;
	struct err err;

	if (m->nfds != 1) {
		err_set(&err, ERR_INVALID, "ctr.exec: no socket");
		reply_error(&r, &err);
		return;
	}
	x = session_new(s);
	x->stream = stream_new(s->loop, m->fds[0], m->blob, m->blob_len, &params,
			       &session_ops, x, &err);
	m->nfds = 0; /* the session has taken it */
	if (!x->stream) {
		reply_error(&r, &err);
		session_free(x);
		return;
	}
	reply_ok(&r);
	ct = find_running(s, m->json, &err);
	if (!ct || session_start(x, ct, m->json, &err) < 0) {
		failed.err = &err;
		x->finishing = true;
		stream_finish(x->stream, &failed);
	}
}
