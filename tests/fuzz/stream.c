/*
 * An exec session: the input is what a client sends after the upgrade. The
 * first byte chooses the protocol (WebSocket v5, v4 in base64, SPDY/3.1), and
 * how much of stdin the process takes at a time.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/str.h"
#include "os/fd.h"
#include "rpc/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define UPGRADE(method, how) \
	method " /exec/x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n" how "\r\n\r\n"
#define WS(protocol)                                                         \
	UPGRADE("GET", "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" \
		       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"     \
		       "Sec-WebSocket-Protocol: " protocol)

static const char *const requests[] = {
	WS("v5.channel.k8s.io"),
	WS("v4.base64.channel.k8s.io"),
	UPGRADE("POST",
		"Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io"),
};

struct fuzz {
	struct stream_session *s;
	size_t take;
	bool ended;
};

static size_t on_stdin(void *arg, const uint8_t *data, size_t n)
{
	struct fuzz *f = arg;
	volatile uint8_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum = (uint8_t)(sum + data[i]);
	return n < f->take ? n : f->take;
}

static void on_stdin_close(void *arg)
{
	struct fuzz *f = arg;

	stream_send(f->s, STREAM_STDOUT, "closed", 6);
}

static void on_resize(void *arg, uint16_t width, uint16_t height)
{
	struct fuzz *f = arg;

	if (!width || !height)
		abort();
	stream_send(f->s, STREAM_STDERR, "resized", 7);
}

static void on_writable(void *arg)
{
	(void)arg;
}

static void on_end(void *arg, const struct err *err)
{
	struct fuzz *f = arg;

	(void)err;
	if (f->ended)
		abort();
	f->ended = true;
}

static const struct stream_ops ops = {on_stdin, on_stdin_close, on_resize, on_writable,
				      on_end};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct stream_params params = {true, true, true, true};
	struct stream_status status = {.exit_code = 3};
	struct fuzz f = {0};
	const char *request;
	struct err err;
	struct loop *l;
	int fds[2];

	if (size < 1)
		return 0;
	request = requests[data[0] % ARRAY_LEN(requests)];
	f.take = data[0] & 0x80 ? 3 : SIZE_MAX;
	l = loop_new(&err);
	if (!l || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		abort();
	(void)!send(fds[1], data + 1, size - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	f.s = stream_new(l, fds[0], request, strlen(request), &params, &ops, &f, &err);
	if (!f.s)
		abort();
	stream_send(f.s, STREAM_STDOUT, "output", 6);
	for (int i = 0; i < 6 && !f.ended; i++) {
		loop_step(l, 0, &err);
		if (i == 4)
			stream_finish(f.s, &status);
		stream_resume(f.s);
	}
	stream_free(f.s);
	loop_free(l);
	close(fds[1]);
	return 0;
}
