/* Our gRPC client and servers that are broken, hostile, or something else. */
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "os/fd.h"
#include "os/sock.h"
#include "rpc/grpc_client.h"

enum { REPEAT = 200000 };

#define FRAME(len, type, flags, id) "\0" len type flags "\0\0\0" id
#define SETTINGS FRAME("\0\0", "\4", "\0", "\0") FRAME("\0\0", "\4", "\1", "\0")
/* ":status 200", "content-type", as HPACK literals where there is no index */
#define OK_HEADERS FRAME("\0\1", "\1", "\4", "\1") "\x88"

static char path[64];
static pid_t pid;

struct script {
	const char *hello; /* sent at once */
	size_t hello_len;
	const char *answer; /* sent when the request has come */
	size_t answer_len;
	unsigned times; /* the answer is repeated */
	bool stay;	/* open, until the client goes */
};

static void play(int listener, const struct script *s)
{
	int c = accept(listener, NULL, NULL);
	char sink[65536];
	size_t got = 0;

	(void)!send(c, s->hello, s->hello_len, MSG_NOSIGNAL);
	/* the preface, SETTINGS, the request */
	while (s->answer && got < 150) {
		ssize_t n = read(c, sink, sizeof(sink));

		if (n <= 0)
			_exit(0);
		got += (size_t)n;
	}
	for (unsigned i = 0; s->answer && i < MAX(s->times, 1U); i++)
		if (send(c, s->answer, s->answer_len, MSG_NOSIGNAL) < 0)
			_exit(0);
	while (s->stay && read(c, sink, sizeof(sink)) > 0)
		;
	_exit(0);
}

static void serve(const struct script *s)
{
	struct err err;
	int fd;

	snprintf(path, sizeof(path), "/tmp/grpc_client.%d", (int)getpid());
	fd = sock_listen_unix(path, 0600, &err);
	CHECK(fd >= 0);
	fd_set_nonblock(fd, false);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0)
		play(fd, s);
	close(fd);
}

static void done(void)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unlink(path);
}

/* Connects and makes a call: the code it ends with. Never more than 3 s. */
static enum err_code outcome(const struct script *s, struct err *err)
{
	BUF_AUTO b = {0};
	struct grpc_client *c;
	int64_t began = time_mono();

	serve(s);
	*err = (struct err){0};
	c = grpc_client_new(path, NS_PER_SEC, err);
	if (c)
		grpc_client_call(c, "/some.Service/Method", "hello", 5, NS_PER_SEC, &b,
				 err);
	grpc_client_free(c);
	done();
	CHECK(time_mono() - began < 3 * NS_PER_SEC);
	return err->code;
}

#define HELLO(text) .hello = (text), .hello_len = sizeof(text) - 1
#define ANSWER(text) .answer = (text), .answer_len = sizeof(text) - 1

TEST(what_is_no_grpc_server)
{
	static const struct script all[] = {
		{.hello = ""},
		{HELLO("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")},
		{HELLO("SSH-2.0-OpenSSH_9.2p1\r\n"), .stay = true},
		{HELLO(FRAME("\0\x8", "\6", "\0", "\0") "12345678"), .stay = true},
	};
	struct err err;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		CHECK_INT(outcome(&all[i], &err), ERR_UNAVAILABLE);
		CHECK_HAS(err.msg, path);
	}
}

TEST(a_server_that_says_nothing)
{
	static const struct script silent = {.hello = "", .stay = true};
	static const struct script deaf = {HELLO(SETTINGS), .stay = true};
	struct err err;

	CHECK_INT(outcome(&silent, &err), ERR_TIMEOUT);
	CHECK_INT(outcome(&deaf, &err), ERR_TIMEOUT);
}

/* T-H2-06: settings that must not be obeyed. */
TEST(bad_settings)
{
	static const struct script all[] = {
		{HELLO(FRAME("\0\6", "\4", "\0", "\0") "\0\5\0\0\0\0"), .stay = true},
		{HELLO(FRAME("\0\6", "\4", "\0", "\0") "\0\4\xff\xff\xff\xff"),
		 .stay = true},
		{HELLO(FRAME("\0\6", "\4", "\0", "\0") "\0\2\0\0\0\7"), .stay = true},
		{HELLO(FRAME("\0\5", "\4", "\0", "\0") "\0\2\0\0\0"), .stay = true},
	};
	struct err err;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		CHECK_INT(outcome(&all[i], &err), ERR_UNAVAILABLE);
}

TEST(answers_that_are_none)
{
	static const struct {
		struct script s;
		enum err_code code;
	} all[] = {
		/* the connection ends */
		{{HELLO(SETTINGS), .answer = "", .answer_len = 0}, ERR_UNAVAILABLE},
		/* the stream is reset: INTERNAL_ERROR, REFUSED_STREAM, CANCEL */
		{{HELLO(SETTINGS), ANSWER(FRAME("\0\4", "\3", "\0", "\1") "\0\0\0\2"),
		  .stay = true},
		 ERR_INTERNAL},
		{{HELLO(SETTINGS), ANSWER(FRAME("\0\4", "\3", "\0", "\1") "\0\0\0\7"),
		  .stay = true},
		 ERR_UNAVAILABLE},
		{{HELLO(SETTINGS), ANSWER(FRAME("\0\4", "\3", "\0", "\1") "\0\0\0\x8"),
		  .stay = true},
		 ERR_CANCELLED},
		/* HTTP status 404, and the end */
		{{HELLO(SETTINGS), ANSWER(FRAME("\0\1", "\1", "\5", "\1") "\x8d"),
		  .stay = true},
		 ERR_UNIMPLEMENTED},
		/* 200 and a message, but no grpc-status */
		{{HELLO(SETTINGS),
		  ANSWER(OK_HEADERS FRAME("\0\6", "\0", "\1", "\1") "\0\0\0\0\1x"),
		  .stay = true},
		 ERR_INTERNAL},
		/* a message of 4 GiB */
		{{HELLO(SETTINGS),
		  ANSWER(OK_HEADERS FRAME("\0\6", "\0", "\0",
					  "\1") "\0\xff\xff\xff\xffx"),
		  .stay = true},
		 ERR_EXHAUSTED},
		/* a compressed one */
		{{HELLO(SETTINGS),
		  ANSWER(OK_HEADERS FRAME("\0\6", "\0", "\0", "\1") "\1\0\0\0\1x"),
		  .stay = true},
		 ERR_INTERNAL},
		/* grpc-status 5 in a literal field */
		{{HELLO(SETTINGS),
		  ANSWER(FRAME("\0\x10", "\1", "\5", "\1") "\x88\0\xbgrpc-status\1"
							   "5"),
		  .stay = true},
		 ERR_NOT_FOUND},
		/* one that is no number */
		{{HELLO(SETTINGS),
		  ANSWER(FRAME("\0\x10", "\1", "\5", "\1") "\x88\0\xbgrpc-status\1"
							   "x"),
		  .stay = true},
		 ERR_UNKNOWN},
	};
	struct err err;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (outcome(&all[i].s, &err) != all[i].code)
			FAIL("case %zu: %s: %s", i, err_name(err.code), err.msg);
}

/* A server cannot keep the client busy, or its memory growing, beyond the deadline. */
TEST(floods_from_the_server)
{
	static const struct script pings = {
		HELLO(SETTINGS), ANSWER(FRAME("\0\x8", "\6", "\0", "\0") "12345678"),
		.times = REPEAT, .stay = true};
	static const struct script settings = {
		HELLO(SETTINGS), ANSWER(FRAME("\0\6", "\4", "\0", "\0") "\0\3\0\0\0\7"),
		.times = REPEAT, .stay = true};
	struct err err;

	CHECK(outcome(&pings, &err) != ERR_NONE);
	CHECK(outcome(&settings, &err) != ERR_NONE);
}
