/*
 * A gRPC server with a handful of methods, for the tests of this directory:
 *
 *	grpc_peer serve PATH	serves on a unix socket until its stdin ends; an 's' on stdin
 *				makes it shut down gracefully
 *	grpc_peer		tests itself with our client against our server
 *
 * Methods of /test.Peer: Echo (answers the request), Fail ("CODE TEXT"), Sleep
 * (milliseconds, then answers), Never (only a cancel ends it), Stream ("COUNT SIZE"),
 * Big (SIZE, one response), Stat (answers "conns calls cancels rss_kib cpu_ms").
 */
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "unit.h"

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/sock.h"
#include "rpc/grpc_client.h"
#include "rpc/grpc_server.h"

struct peer {
	struct loop *loop;
	struct grpc_server *server;
	struct loop_fd in;
	unsigned cancels;
};

/* What a call of Sleep or Stream is at. */
struct job {
	struct loop_timer timer;
	struct grpc_call *call;
	unsigned left;
	size_t size;
};

static void fill(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 7 + i / 251);
}

static void on_sleep_over(struct loop_timer *t)
{
	struct job *j = container_of(t, struct job, timer);

	grpc_reply(j->call, "slept", 5);
	free(j);
}

static void stream_on(struct job *j)
{
	uint8_t *msg = xmalloc(j->size + 1);
	bool more = true;

	fill(msg, j->size);
	while (j->left && more) {
		more = grpc_send(j->call, msg, j->size);
		j->left--;
	}
	free(msg);
	if (j->left && !grpc_call_cancelled(j->call))
		return;
	grpc_finish(j->call, NULL);
	free(j);
}

static size_t rss_kib(void)
{
	struct err err;
	BUF_AUTO b = {0};
	unsigned long size, rss;

	if (file_read(-100, "/proc/self/statm", 4096, &b, &err) < 0 ||
	    sscanf(buf_str(&b), "%lu %lu", &size, &rss) != 2)
		return 0;
	return rss * 4;
}

static void stat_reply(struct peer *p, struct grpc_call *call)
{
	struct rusage ru;
	BUF_AUTO b = {0};

	getrusage(RUSAGE_SELF, &ru);
	buf_add_fmt(&b, "%u %u %u %zu %ld", grpc_server_conns(p->server),
		    grpc_server_calls(p->server), p->cancels, rss_kib(),
		    (ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000 +
			    (ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1000);
	grpc_reply(call, b.data, b.len);
}

static struct job *job_new(struct grpc_call *call)
{
	struct job *j = xcalloc(1, sizeof(*j));

	j->call = call;
	grpc_call_set_data(call, j);
	return j;
}

static void on_call(void *arg, struct grpc_call *call, const char *path,
		    const uint8_t *msg, size_t len)
{
	struct peer *p = arg;
	const char *name = str_starts(path, "/test.Peer/") ? path + 11 : "";
	char *text = xstrndup((const char *)msg, len);
	struct err err;
	unsigned a = 0, b = 0;

	sscanf(text, "%u %u", &a, &b);
	if (str_eq(name, "Echo")) {
		grpc_reply(call, msg, len);
	} else if (str_eq(name, "Fail")) {
		char *space = strchr(text, ' ');

		err_set(&err, err_of_grpc_status(a), "%s", space ? space + 1 : "");
		grpc_fail(call, &err);
	} else if (str_eq(name, "Sleep")) {
		struct job *j = job_new(call);

		j->timer.fn = on_sleep_over;
		loop_timer_set(p->loop, &j->timer, time_mono() + a * NS_PER_MS);
	} else if (str_eq(name, "Never")) {
		grpc_call_set_data(call, NULL);
	} else if (str_eq(name, "Stream")) {
		struct job *j = job_new(call);

		j->left = a;
		j->size = b;
		stream_on(j);
	} else if (str_eq(name, "Big")) {
		uint8_t *big = xmalloc(a + 1);

		fill(big, a);
		grpc_reply(call, big, a);
		free(big);
	} else if (str_eq(name, "Stat")) {
		stat_reply(p, call);
	} else {
		err_set(&err, ERR_UNIMPLEMENTED, "unknown method %s", path);
		grpc_fail(call, &err);
	}
	free(text);
}

static void on_cancel(void *arg, struct grpc_call *call)
{
	struct peer *p = arg;
	struct job *j = grpc_call_data(call);
	struct err err;

	p->cancels++;
	if (j && j->timer.fn)
		return; /* a handler that cannot stop at once: Sleep */
	free(j);
	err_set(&err, ERR_CANCELLED, "cancelled");
	grpc_fail(call, &err);
}

static void on_writable(void *arg, struct grpc_call *call)
{
	(void)arg;
	stream_on(grpc_call_data(call));
}

static const struct grpc_server_ops ops = {on_call, on_cancel, on_writable};

static void on_idle(void *arg)
{
	struct peer *p = arg;

	loop_stop(p->loop, 0);
}

static void on_stdin(struct loop_fd *src, unsigned events)
{
	struct peer *p = container_of(src, struct peer, in);
	char c;

	(void)events;
	if (read(0, &c, 1) <= 0)
		loop_stop(p->loop, 0);
	else if (c == 's')
		grpc_server_shutdown(p->server, on_idle, p);
}

static int serve(const char *path, int ready_fd)
{
	struct peer p = {0};
	struct err err;
	int fd;

	unlink(path);
	p.loop = loop_new(&err);
	fd = sock_listen_unix(path, 0600, &err);
	if (!p.loop || fd < 0)
		return 1;
	p.server = grpc_server_new(p.loop, &ops, &p, &err);
	if (!p.server || grpc_server_listen(p.server, fd, &err) < 0)
		return 1;
	p.in = (struct loop_fd){.fn = on_stdin, .fd = 0};
	if (loop_fd_add(p.loop, &p.in, LOOP_IN, &err) < 0)
		return 1;
	if (write(ready_fd, "ready\n", 6) != 6)
		return 1;
	loop_run(p.loop, &err);
	grpc_server_free(p.server);
	loop_free(p.loop);
	unlink(path);
	return 0;
}

__attribute__((constructor)) static void serve_if_asked(int argc, char **argv)
{
	if (argc == 3 && str_eq(argv[1], "serve"))
		exit(serve(argv[2], 1));
}

/* --- our client, our server -------------------------------------------------------- */

static char sock_path[64];
static pid_t server_pid;
static int server_in;

static void start(void)
{
	int in[2], ready[2];
	char line[6];

	snprintf(sock_path, sizeof(sock_path), "/tmp/grpc_peer.%d", (int)getpid());
	CHECK(pipe(in) == 0 && pipe(ready) == 0);
	server_pid = fork();
	CHECK(server_pid >= 0);
	if (server_pid == 0) {
		dup2(in[0], 0);
		close(in[0]);
		close(in[1]);
		close(ready[0]);
		exit(serve(sock_path, ready[1]));
	}
	close(in[0]);
	close(ready[1]);
	server_in = in[1];
	CHECK_INT(fd_read_full(ready[0], line, 6), 6);
	close(ready[0]);
}

static void stop(void)
{
	int status;

	close(server_in);
	CHECK(waitpid(server_pid, &status, 0) == server_pid);
	CHECK_INT(status, 0);
}

static struct grpc_client *client(void)
{
	char address[96];
	struct err err;
	struct grpc_client *c;

	snprintf(address, sizeof(address), "unix://%s", sock_path);
	c = grpc_client_new(address, 5 * NS_PER_SEC, &err);
	if (!c)
		FAIL("%s", err.msg);
	return c;
}

static int call(struct grpc_client *c, const char *name, const char *msg, struct buf *ret,
		struct err *err)
{
	char path[64];

	snprintf(path, sizeof(path), "/test.Peer/%s", name);
	return grpc_client_call(c, path, msg, strlen(msg), 10 * NS_PER_SEC, ret, err);
}

TEST(unary_calls_and_errors)
{
	BUF_AUTO b = {0};
	struct grpc_client *c;
	struct err err;

	start();
	c = client();
	for (int i = 0; i < 300; i++) {
		CHECK_INT(call(c, "Echo", "hello", &b, &err), 0);
		CHECK_STR(buf_str(&b), "hello");
	}
	CHECK_INT(call(c, "Echo", "", &b, &err), 0);
	CHECK_INT(b.len, 0);
	CHECK_INT(call(c, "Fail", "5 no such thing: \xc3\xa9 100%\n", &b, &err), -1);
	CHECK_INT(err.code, ERR_NOT_FOUND);
	CHECK_STR(err.msg, "no such thing: \xc3\xa9 100%\n");
	CHECK_INT(call(c, "Nothing", "", &b, &err), -1);
	CHECK_INT(err.code, ERR_UNIMPLEMENTED);
	CHECK_STR(err.msg, "unknown method /test.Peer/Nothing");
	grpc_client_free(c);
	stop();
}

TEST(large_messages_both_ways)
{
	BUF_AUTO b = {0};
	struct grpc_client *c;
	struct err err;
	size_t max = GRPC_MAX_MESSAGE;
	uint8_t *big = xmalloc(max + 1);

	fill(big, max + 1);
	start();
	c = client();
	CHECK_INT(grpc_client_call(c, "/test.Peer/Echo", big, max, -1, &b, &err), 0);
	CHECK_INT(b.len, max);
	CHECK(memcmp(b.data, big, max) == 0);
	CHECK_INT(grpc_client_call(c, "/test.Peer/Echo", big, max + 1, -1, &b, &err), -1);
	CHECK_INT(err.code, ERR_EXHAUSTED);
	CHECK_STR(err.msg, "request of more than 16 MiB");
	CHECK_INT(call(c, "Big", "16777216", &b, &err), 0);
	CHECK(b.len == max && memcmp(b.data, big, max) == 0);
	CHECK_INT(call(c, "Big", "16777217", &b, &err), -1);
	CHECK_INT(err.code, ERR_EXHAUSTED);
	grpc_client_free(c);
	free(big);
	stop();
}

TEST(streams)
{
	BUF_AUTO b = {0};
	struct grpc_client *c;
	struct grpc_stream *s, *other;
	struct err err;
	int n = 0, r;

	start();
	c = client();
	s = grpc_stream_new(c, "/test.Peer/Stream", "1000 10000", 10, -1, &err);
	other = grpc_stream_new(c, "/test.Peer/Stream", "1000000 100000", 14, -1, &err);
	CHECK(s && other);
	CHECK_INT(grpc_stream_next(other, &b, &err), 1);
	while ((r = grpc_stream_next(s, &b, &err)) == 1) {
		CHECK_INT(b.len, 10000);
		n++;
	}
	CHECK_INT(r, 0);
	CHECK_INT(n, 1000);
	grpc_stream_free(s);
	grpc_stream_free(other); /* cancels */
	s = grpc_stream_new(c, "/test.Peer/Stream", "0 0", 3, -1, &err);
	CHECK_INT(grpc_stream_next(s, &b, &err), 0);
	grpc_stream_free(s);
	CHECK_INT(call(c, "Stat", "", &b, &err), 0);
	CHECK(str_starts(buf_str(&b),
			 "1 1 1 ")); /* one connection, Stat itself, one cancel */
	grpc_client_free(c);
	stop();
}

TEST(deadlines_and_cancels)
{
	BUF_AUTO b = {0};
	struct grpc_client *c;
	struct err err;
	int64_t before;

	start();
	c = client();
	before = time_mono();
	CHECK_INT(grpc_client_call(c, "/test.Peer/Never", "", 0, 100 * NS_PER_MS, &b,
				   &err),
		  -1);
	CHECK_INT(err.code, ERR_TIMEOUT);
	CHECK(time_mono() - before < 2 * NS_PER_SEC);
	CHECK_INT(call(c, "Sleep", "50", &b, &err), 0);
	CHECK_STR(buf_str(&b), "slept");
	CHECK_INT(call(c, "Stat", "", &b, &err), 0);
	CHECK(str_starts(buf_str(&b), "1 1 1 "));
	grpc_client_free(c);
	stop();
}

TEST(server_that_goes_away)
{
	BUF_AUTO b = {0};
	struct grpc_client *c;
	struct grpc_stream *s;
	struct err err;

	start();
	c = client();
	s = grpc_stream_new(c, "/test.Peer/Never", "", 0, -1, &err);
	CHECK(s);
	CHECK_INT(call(c, "Echo", "x", &b, &err), 0);
	stop();
	CHECK_INT(grpc_stream_next(s, &b, &err), -1);
	CHECK_INT(err.code, ERR_UNAVAILABLE);
	grpc_stream_free(s);
	CHECK_INT(call(c, "Echo", "x", &b, &err), -1);
	CHECK_INT(err.code, ERR_UNAVAILABLE);
	grpc_client_free(c);
	c = grpc_client_new(sock_path, NS_PER_SEC, &err);
	CHECK(!c);
	CHECK_INT(err.code, ERR_UNAVAILABLE);
	CHECK_HAS(err.msg, sock_path);
	CHECK(!grpc_client_new("tcp://127.0.0.1:1", NS_PER_SEC, &err));
	CHECK_INT(err.code, ERR_INVALID);
}

TEST(shutdown_lets_calls_finish)
{
	BUF_AUTO b = {0};
	struct grpc_client *c;
	struct grpc_stream *s;
	struct err err;
	int status;

	start();
	c = client();
	s = grpc_stream_new(c, "/test.Peer/Sleep", "300", 3, -1, &err);
	CHECK(s);
	CHECK_INT(call(c, "Echo", "x", &b, &err), 0);
	CHECK_INT(write(server_in, "s", 1), 1);
	CHECK_INT(grpc_stream_next(s, &b, &err), 1);
	CHECK_STR(buf_str(&b), "slept");
	CHECK_INT(grpc_stream_next(s, &b, &err), 0);
	grpc_stream_free(s);
	CHECK_INT(call(c, "Echo", "x", &b, &err), -1);
	CHECK_INT(err.code, ERR_UNAVAILABLE);
	grpc_client_free(c);
	CHECK(waitpid(server_pid, &status, 0) == server_pid);
	CHECK_INT(status, 0);
	close(server_in);
}
