/*
 * A streaming server as crid and a shim are together, for the tests of this
 * directory:
 *
 *	stream_peer serve	serves on a port of 127.0.0.1, which it prints, until its stdin ends
 *	stream_peer		tests itself with our client
 *
 * "/run/FLAGS/HEX" runs the shell command that HEX stands for, with the streams
 * that FLAGS name (i, o, e, t: i and o with resizing, 0: none). "/slow/MS" is answered 404
 * after that time, any other path with the status that it names: "/404".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

#include "base/buf.h"
#include "base/list.h"
#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "os/fd.h"
#include "rpc/http_server.h"
#include "rpc/stream.h"
#include "rpc/ws.h"

struct peer {
	struct loop *loop;
	struct http_server *http;
	struct loop_fd in;
	struct list runs;
	struct loop_timer slow; /* the one slow answer that can be under way */
	struct http_conn *slow_conn;
};

struct out_pipe {
	struct loop_fd src;
	struct run *run;
	enum stream_channel channel;
};

struct run {
	struct list node;
	struct peer *peer;
	struct stream_session *stream;
	pid_t pid;
	bool exited, finished;
	int status;
	struct loop_fd in; /* fd -1: closed */
	struct out_pipe out[2];
};

static void run_free(struct run *r)
{
	stream_free(r->stream);
	loop_fd_del(&r->in);
	fd_close(&r->in.fd);
	for (int i = 0; i < 2; i++) {
		loop_fd_del(&r->out[i].src);
		fd_close(&r->out[i].src.fd);
	}
	if (!r->exited && r->pid > 0) {
		kill(r->pid, SIGKILL);
		waitpid(r->pid, NULL, 0);
	}
	list_del(&r->node);
	free(r);
}

static void run_check(struct run *r)
{
	struct stream_status status = {0};
	struct err err;

	if (!r->exited || r->finished || r->out[0].src.fd >= 0 || r->out[1].src.fd >= 0)
		return;
	r->finished = true;
	status.exit_code = WEXITSTATUS(r->status);
	if (WIFSIGNALED(r->status)) {
		err_set(&err, ERR_UNKNOWN, "killed by signal %d", WTERMSIG(r->status));
		status.err = &err;
	}
	stream_finish(r->stream, &status);
}

static void on_output(struct loop_fd *src, unsigned events)
{
	struct out_pipe *o = container_of(src, struct out_pipe, src);
	char data[16384];
	ssize_t n = read(src->fd, data, sizeof(data));

	(void)events;
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		loop_fd_del(src);
		fd_close(&src->fd);
		run_check(o->run);
	} else if (!stream_send(o->run->stream, o->channel, data, (size_t)n)) {
		loop_fd_del(src);
	}
}

static size_t on_stdin(void *arg, const uint8_t *data, size_t n)
{
	struct run *r = arg;
	size_t took = 0;

	while (r->in.fd >= 0 && took < n) {
		ssize_t w = write(r->in.fd, data + took, n - took);
		struct err err;

		if (w >= 0) {
			took += (size_t)w;
		} else if (errno == EAGAIN) {
			if (!r->in.loop &&
			    loop_fd_add(r->peer->loop, &r->in, LOOP_OUT, &err) < 0)
				abort();
			return took;
		} else {
			loop_fd_del(&r->in);
			fd_close(&r->in.fd);
		}
	}
	return n;
}

static void on_stdin_writable(struct loop_fd *src, unsigned events)
{
	struct run *r = container_of(src, struct run, in);

	(void)events;
	loop_fd_del(src);
	stream_resume(r->stream);
}

static void on_stdin_close(void *arg)
{
	struct run *r = arg;

	loop_fd_del(&r->in);
	fd_close(&r->in.fd);
}

static void on_resize(void *arg, uint16_t width, uint16_t height)
{
	struct run *r = arg;
	char text[64];

	snprintf(text, sizeof(text), "resize %ux%u\n", width, height);
	stream_send(r->stream, STREAM_STDOUT, text, strlen(text));
}

static void on_writable(void *arg)
{
	struct run *r = arg;
	struct err err;

	for (int i = 0; i < 2; i++)
		if (r->out[i].src.fd >= 0 && !r->out[i].src.loop &&
		    loop_fd_add(r->peer->loop, &r->out[i].src, LOOP_IN, &err) < 0)
			abort();
}

static void on_stream_end(void *arg, const struct err *err)
{
	(void)err;
	run_free(arg);
}

static const struct stream_ops stream_ops = {on_stdin, on_stdin_close, on_resize,
					     on_writable, on_stream_end};

static void run_command(struct run *r, const char *command)
{
	int in[2], out[2][2];
	struct err err;

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out[0], O_CLOEXEC) < 0 ||
	    pipe2(out[1], O_CLOEXEC) < 0)
		abort();
	r->pid = fork();
	if (r->pid == 0) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		dup2(in[0], 0);
		dup2(out[0][1], 1);
		dup2(out[1][1], 2);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	fd_set_nonblock(in[1], true);
	r->in = (struct loop_fd){.fn = on_stdin_writable, .fd = in[1]};
	for (int i = 0; i < 2; i++) {
		close(out[i][1]);
		fd_set_nonblock(out[i][0], true);
		r->out[i].run = r;
		r->out[i].channel = i ? STREAM_STDERR : STREAM_STDOUT;
		r->out[i].src = (struct loop_fd){.fn = on_output, .fd = out[i][0]};
		if (loop_fd_add(r->peer->loop, &r->out[i].src, LOOP_IN, &err) < 0)
			abort();
	}
}

/* As a shim: the connection and the bytes that were read are all it gets. */
static void run_start(struct peer *p, struct http_conn *c, const char *target)
{
	char flags[8] = "", hex[4096] = "", command[2048] = "";
	struct stream_params params = {0};
	struct run *r = xcalloc(1, sizeof(*r));
	BUF_AUTO raw = {0};
	struct err err;
	int fd;

	sscanf(target, "/run/%7[^/]/%4095s", flags, hex);
	str_unhex(command, strlen(hex) / 2, hex);
	params.tty = strchr(flags, 't');
	params.in = params.tty || strchr(flags, 'i');
	params.out = params.tty || strchr(flags, 'o');
	params.err = strchr(flags, 'e');
	fd = http_conn_take(c, &raw);
	r->peer = p;
	r->in.fd = r->out[0].src.fd = r->out[1].src.fd = -1;
	list_init(&r->node);
	r->stream =
		stream_new(p->loop, fd, raw.data, raw.len, &params, &stream_ops, r, &err);
	if (!r->stream) {
		free(r);
		return;
	}
	list_add(&p->runs, &r->node);
	run_command(r, command);
	if (!params.in)
		on_stdin_close(r);
}

static void on_slow(struct loop_timer *t)
{
	struct peer *p = container_of(t, struct peer, slow);

	http_conn_reply(p->slow_conn, 404, "slowly", 0);
}

static void on_request(void *arg, struct http_conn *c, const struct http1_head *req)
{
	struct peer *p = arg;
	unsigned number = 0;

	if (str_starts(req->target, "/run/")) {
		run_start(p, c, req->target);
	} else if (sscanf(req->target, "/slow/%u", &number) == 1) {
		p->slow_conn = c;
		p->slow.fn = on_slow;
		loop_timer_set(p->loop, &p->slow, time_mono() + number * NS_PER_MS);
	} else {
		sscanf(req->target, "/%u", &number);
		http_conn_reply(c, number ? number : 404, "as you like it",
				number == 429 ? 60 : 0);
	}
}

static const struct http_server_ops http_ops = {on_request};

static void on_child(void *arg, const struct signalfd_siginfo *si)
{
	struct peer *p = arg;

	(void)si;
	list_each (n, &p->runs) {
		struct run *r = container_of(n, struct run, node);

		if (!r->exited && waitpid(r->pid, &r->status, WNOHANG) == r->pid) {
			r->exited = true;
			run_check(r);
		}
	}
}

static void on_own_stdin(struct loop_fd *src, unsigned events)
{
	struct peer *p = container_of(src, struct peer, in);
	char c;

	(void)events;
	if (read(0, &c, 1) <= 0)
		loop_stop(p->loop, 0);
}

static int serve(int ready_fd)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(a);
	int child = SIGCHLD;
	struct peer p = {0};
	struct err err;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	signal(SIGPIPE, SIG_IGN);
	if (bind(fd, (struct sockaddr *)&a, len) < 0 || listen(fd, 128) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		return 1;
	p.loop = loop_new(&err);
	list_init(&p.runs);
	p.http = http_server_new(p.loop, &http_ops, &p);
	p.in = (struct loop_fd){.fn = on_own_stdin, .fd = 0};
	if (http_server_listen(p.http, fd, &err) < 0 ||
	    loop_signals(p.loop, &child, 1, on_child, &p, &err) < 0 ||
	    loop_fd_add(p.loop, &p.in, LOOP_IN, &err) < 0)
		return 1;
	dprintf(ready_fd, "%u\n", ntohs(a.sin_port));
	loop_run(p.loop, &err);
	list_each (n, &p.runs)
		run_free(container_of(n, struct run, node));
	http_server_free(p.http);
	loop_free(p.loop);
	return 0;
}

__attribute__((constructor)) static void serve_if_asked(int argc, char **argv)
{
	if (argc == 2 && str_eq(argv[1], "serve"))
		exit(serve(1));
}

/* --- our client, our server -------------------------------------------------------- */

static unsigned port;
static pid_t server_pid;
static int server_in;

static void start(void)
{
	char line[16] = "";
	int in[2], ready[2];

	CHECK(pipe(in) == 0 && pipe(ready) == 0);
	server_pid = fork();
	CHECK(server_pid >= 0);
	if (server_pid == 0) {
		dup2(in[0], 0);
		close(in[0]);
		close(in[1]);
		close(ready[0]);
		exit(serve(ready[1]));
	}
	close(in[0]);
	close(ready[1]);
	server_in = in[1];
	CHECK(read(ready[0], line, sizeof(line) - 1) > 0);
	port = (unsigned)atoi(line);
	close(ready[0]);
}

static void stop(void)
{
	int status;

	close(server_in);
	CHECK(waitpid(server_pid, &status, 0) == server_pid);
	CHECK_INT(status, 0);
}

struct session {
	struct loop *loop;
	struct ws_client *ws;
	struct buf out, errs;
	int exit_code;
	struct err err;
	size_t feed; /* bytes of stdin to send, then its end */
	size_t fed;
};

static void s_output(void *arg, enum stream_channel channel, const uint8_t *data,
		     size_t n)
{
	struct session *s = arg;

	buf_add(channel == STREAM_STDOUT ? &s->out : &s->errs, data, n);
}

static void s_end(void *arg, int exit_code, const struct err *err)
{
	struct session *s = arg;

	s->exit_code = exit_code;
	s->err = *err;
	loop_stop(s->loop, 0);
}

static uint8_t pattern(size_t at)
{
	return (uint8_t)(at * 31 + at / 256 + at / 65536);
}

static void s_writable(void *arg)
{
	struct session *s = arg;
	uint8_t data[10000];
	bool more = true;

	while (more && s->fed < s->feed) {
		size_t n = MIN(sizeof(data), s->feed - s->fed);

		for (size_t i = 0; i < n; i++)
			data[i] = pattern(s->fed + i);
		s->fed += n;
		more = ws_client_stdin(s->ws, data, n);
	}
	if (s->fed == s->feed)
		ws_client_stdin_close(s->ws);
}

static const struct ws_client_ops client_ops = {s_output, s_writable, s_end};

static void session_open(struct session *s, const char *flags, const char *command)
{
	char hex[1024], url[1200];

	*s = (struct session){0};
	s->loop = loop_new(&s->err);
	str_hex(hex, command, strlen(command));
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/run/%s/%s", port, flags, hex);
	s->ws = ws_client_new(s->loop, url, 5 * NS_PER_SEC, &client_ops, s, &s->err);
	if (!s->ws)
		FAIL("%s", s->err.msg);
}

static void session_run(struct session *s)
{
	struct err err;

	CHECK(loop_run(s->loop, &err) == 0);
}

static void session_done(struct session *s)
{
	ws_client_free(s->ws);
	loop_free(s->loop);
	buf_done(&s->out);
	buf_done(&s->errs);
}

TEST(output_and_exit_code)
{
	struct session s;

	start();
	session_open(&s, "oe", "echo out; echo err >&2; exit 3");
	session_run(&s);
	CHECK_INT(s.err.code, ERR_NONE);
	CHECK_INT(s.exit_code, 3);
	CHECK_STR(buf_str(&s.out), "out\n");
	CHECK_STR(buf_str(&s.errs), "err\n");
	session_done(&s);
	session_open(&s, "o", "true; echo not seen >&2");
	session_run(&s);
	CHECK_INT(s.err.code, ERR_NONE);
	CHECK_INT(s.exit_code, 0);
	CHECK_INT(s.errs.len, 0);
	session_done(&s);
	session_open(&s, "o", "kill -9 $$");
	session_run(&s);
	CHECK_INT(s.err.code, ERR_UNKNOWN);
	CHECK_STR(s.err.msg, "Internal error occurred: killed by signal 9");
	session_done(&s);
	stop();
}

TEST(megabytes_through_cat)
{
	struct session s;

	start();
	session_open(&s, "io", "exec cat");
	s.feed = 50 << 20;
	s_writable(&s);
	session_run(&s);
	CHECK_INT(s.err.code, ERR_NONE);
	CHECK_INT(s.exit_code, 0);
	CHECK_INT(s.out.len, s.feed);
	for (size_t i = 0; i < s.out.len; i++)
		if (s.out.data[i] != pattern(i))
			FAIL("byte %zu is wrong", i);
	session_done(&s);
	stop();
}

TEST(stdin_is_not_swallowed)
{
	struct session s;

	start();
	/* the process reads late: until then the client has to wait */
	session_open(&s, "io", "sleep 2; wc -c");
	s.feed = 60 << 20;
	s_writable(&s);
	CHECK(s.fed < s.feed / 2);
	session_run(&s);
	CHECK_INT(s.exit_code, 0);
	CHECK_INT(atoi(buf_str(&s.out)), s.feed);
	session_done(&s);
	/* and one that never reads can still end */
	session_open(&s, "io", "sleep 0.2; exit 5");
	s.feed = 60 << 20;
	s_writable(&s);
	session_run(&s);
	CHECK_INT(s.err.code, ERR_NONE);
	CHECK_INT(s.exit_code, 5);
	session_done(&s);
	stop();
}

TEST(resize_reaches_the_terminal)
{
	struct session s;

	start();
	session_open(&s, "t", "read line; echo \"$line\"");
	for (uint16_t i = 1; i <= 100; i++)
		ws_client_resize(s.ws, i, (uint16_t)(i + 1));
	ws_client_stdin(s.ws, "hello\n", 6);
	session_run(&s);
	CHECK_INT(s.exit_code, 0);
	CHECK_HAS(buf_str(&s.out), "resize 100x101\n");
	CHECK_HAS(buf_str(&s.out), "hello\n");
	session_done(&s);
	stop();
}

TEST(refusals_name_the_status)
{
	struct loop *l;
	struct err err;
	char url[100];

	start();
	l = loop_new(&err);
	snprintf(url, sizeof(url), "ws://127.0.0.1:%u/404", port);
	CHECK(!ws_client_new(l, url, NS_PER_SEC, &client_ops, NULL, &err));
	CHECK_INT(err.code, ERR_NOT_FOUND);
	CHECK_HAS(err.msg, "404 Not Found");
	snprintf(url, sizeof(url), "http://localhost:%u/429", port);
	CHECK(!ws_client_new(l, url, NS_PER_SEC, &client_ops, NULL, &err));
	CHECK_HAS(err.msg, "429");
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/slow/1000", port);
	CHECK(!ws_client_new(l, url, 100 * NS_PER_MS, &client_ops, NULL, &err));
	CHECK_INT(err.code, ERR_TIMEOUT);
	CHECK(!ws_client_new(l, "https://127.0.0.1:1/", NS_PER_SEC, &client_ops, NULL,
			     &err));
	CHECK_INT(err.code, ERR_UNIMPLEMENTED);
	CHECK(!ws_client_new(l, "http://example.invalid/", NS_PER_SEC, &client_ops, NULL,
			     &err));
	CHECK_INT(err.code, ERR_INVALID);
	stop();
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/404", port);
	CHECK(!ws_client_new(l, url, NS_PER_SEC, &client_ops, NULL, &err));
	CHECK_INT(err.code, ERR_UNAVAILABLE);
	loop_free(l);
}

TEST(server_that_dies)
{
	struct session s;
	int status;

	start();
	session_open(&s, "io", "exec sleep 3");
	kill(server_pid, SIGKILL);
	session_run(&s);
	CHECK_INT(s.err.code, ERR_UNAVAILABLE);
	session_done(&s);
	close(server_in);
	CHECK(waitpid(server_pid, &status, 0) == server_pid);
}
