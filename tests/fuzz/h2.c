/*
 * A connection of the gRPC server: the input is what a client sends after the
 * preface. Calls are answered, failed, streamed or left alone by their path.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/str.h"
#include "os/fd.h"
#include "os/sock.h"
#include "rpc/grpc_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";

static void on_call(void *arg, struct grpc_call *call, const char *path,
		    const uint8_t *msg, size_t len)
{
	struct err err;

	(void)arg;
	if (str_ends(path, "Echo")) {
		grpc_reply(call, msg, len);
	} else if (str_ends(path, "Stream")) {
		for (int i = 0; i < 3; i++)
			grpc_send(call, msg, len);
		grpc_finish(call, NULL);
	} else if (!str_ends(path, "Never")) {
		err_set(&err, ERR_UNIMPLEMENTED, "unknown method %s", path);
		grpc_fail(call, &err);
	}
}

static void on_cancel(void *arg, struct grpc_call *call)
{
	(void)arg;
	grpc_finish(call, NULL);
}

static const struct grpc_server_ops ops = {on_call, on_cancel, NULL};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned serial;
	struct err err;
	struct loop *l = loop_new(&err);
	struct grpc_server *s = grpc_server_new(l, &ops, NULL, &err);
	char path[64];
	int listener, client;

	snprintf(path, sizeof(path), "/tmp/fuzz-h2.%d.%u", (int)getpid(), serial++);
	listener = sock_listen_unix(path, 0600, &err);
	client = sock_connect_unix(path, &err);
	unlink(path);
	if (!l || !s || listener < 0 || client < 0 ||
	    grpc_server_listen(s, listener, &err) < 0)
		abort();
	loop_step(l, 0, &err);
	if (fd_write_all(client, preface, sizeof(preface) - 1) == 0)
		(void)!send(client, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	for (int i = 0; i < 8; i++)
		loop_step(l, 0, &err);
	if (size & 1) {
		close(client);
		client = -1;
		loop_step(l, 0, &err);
	}
	grpc_server_free(s);
	loop_free(l);
	fd_close(&client);
	return 0;
}
