/* criu-rpc: one request to criu(8), "criu swrk 3", over a socket of packets. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "oci/criu.h"
#include "os/fd.h"
#include "os/sock.h"

enum { MAX_PACKET = 64 << 10 };

/* --- protobuf ----------------------------------------------------------------------- */

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

static void add_varint(struct buf *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_add_char(b, (char)(v | 0x80));
	buf_add_char(b, (char)v);
}

void criu_add_int(struct buf *msg, unsigned field, uint64_t v)
{
	add_varint(msg, (uint64_t)field << 3 | WIRE_VARINT);
	add_varint(msg, v);
}

static void add_bytes(struct buf *msg, unsigned field, const void *data, size_t n)
{
	add_varint(msg, (uint64_t)field << 3 | WIRE_BYTES);
	add_varint(msg, n);
	buf_add(msg, data, n);
}

void criu_add_str(struct buf *msg, unsigned field, const char *s)
{
	add_bytes(msg, field, s, strlen(s));
}

void criu_add_pair(struct buf *msg, unsigned field, const char *s1, const char *s2,
		   uint64_t n)
{
	BUF_AUTO part = {0};

	if (s1)
		criu_add_str(&part, 1, s1);
	if (s2)
		criu_add_str(&part, 2, s2);
	else
		criu_add_int(&part, 2, n);
	add_bytes(msg, field, part.data, part.len);
}

struct field {
	unsigned number;
	uint64_t value; /* of a varint */
	const uint8_t *data;
	size_t n;
};

static bool get_varint(const uint8_t **p, const uint8_t *end, uint64_t *ret)
{
	*ret = 0;
	for (unsigned shift = 0; *p < end && shift < 64; shift += 7) {
		uint8_t c = *(*p)++;

		*ret |= (uint64_t)(c & 0x7f) << shift;
		if (!(c & 0x80))
			return true;
	}
	return false;
}

/* The next field; false at the end, or where the message is none. */
static bool get_field(const uint8_t **p, const uint8_t *end, struct field *ret)
{
	uint64_t key, n = 0;

	*ret = (struct field){0};
	if (!get_varint(p, end, &key))
		return false;
	ret->number = (unsigned)(key >> 3);
	switch (key & 7) {
	case WIRE_VARINT:
		return get_varint(p, end, &ret->value);
	case WIRE_64:
		n = 8;
		break;
	case WIRE_32:
		n = 4;
		break;
	case WIRE_BYTES:
		if (!get_varint(p, end, &n))
			return false;
		break;
	default:
		return false;
	}
	if (n > (uint64_t)(end - *p))
		return false;
	ret->data = *p;
	ret->n = (size_t)n;
	*p += n;
	return true;
}

/* --- the conversation --------------------------------------------------------------- */

/* criu_resp */
struct answer {
	uint64_t type, success, sys;
	struct criu_notify notify;
	char message[300];
};

static void copy_text(char *dst, size_t size, const struct field *f)
{
	size_t n = f->n < size - 1 ? f->n : size - 1;

	memcpy(dst, f->data, n);
	dst[n] = 0;
	dst[strcspn(dst, "\n")] = 0;
}

static void parse_notify(const struct field *msg, struct criu_notify *ret)
{
	const uint8_t *p = msg->data;
	struct field f;

	while (get_field(&p, msg->data + msg->n, &f)) {
		if (f.number == 1 && f.data)
			copy_text(ret->script, sizeof(ret->script), &f);
		if (f.number == 2)
			ret->pid = (pid_t)f.value;
	}
}

static void parse_answer(const uint8_t *data, size_t n, struct answer *ret)
{
	const uint8_t *p = data;
	struct field f;

	while (get_field(&p, data + n, &f)) {
		if (f.number == 1)
			ret->type = f.value;
		else if (f.number == 2)
			ret->success = f.value;
		else if (f.number == 5 && f.data)
			parse_notify(&f, &ret->notify);
		else if (f.number == 7)
			ret->sys = f.value;
		else if (f.number == 9 && f.data)
			copy_text(ret->message, sizeof(ret->message), &f);
	}
}

static int send_request(int sock, enum criu_type type, const struct buf *opts,
			struct err *err)
{
	BUF_AUTO req = {0};

	criu_add_int(&req, 1, (uint64_t)type);
	if (opts)
		add_bytes(&req, 2, opts->data, opts->len);
	else
		criu_add_int(&req, 3, 1); /* notify_success */
	if (send(sock, req.data, req.len, MSG_NOSIGNAL) != (ssize_t)req.len)
		return err_sys(err, errno, "send a request to criu");
	return 0;
}

static int talk(int sock, const struct criu_call *call, struct err *err)
{
	uint8_t *packet = xmalloc(MAX_PACKET);
	int r = send_request(sock, call->type, call->opts, err);

	while (r == 0) {
		struct answer a = {.notify.fd = -1};
		FD_AUTO fd = -1;
		size_t nfds = 1;
		ssize_t n = sock_recv_fds(sock, packet, MAX_PACKET, &fd, &nfds);

		if (n <= 0) {
			r = err_set(err, ERR_INTERNAL, "criu ended without an answer");
			break;
		}
		parse_answer(packet, (size_t)n, &a);
		a.notify.fd = nfds ? fd : -1;
		if (a.type == CRIU_NOTIFY) {
			r = call->notify(call->arg, &a.notify, err);
			if (r == 0)
				r = send_request(sock, CRIU_NOTIFY, NULL, err);
			continue;
		}
		if (!a.success)
			r = err_set(err, ERR_INTERNAL,
				    "criu failed: type %s errno %u%s%s",
				    call->type == CRIU_RESTORE ? "RESTORE" : "DUMP",
				    (unsigned)a.sys, *a.message ? ": " : "", a.message);
		break;
	}
	free(packet);
	return r;
}

int criu_run(const struct criu_call *call, struct err *err)
{
	int pair[2], status = 0, r;
	pid_t pid;

	/* its fds are named to criu by our numbers: nothing may stand in fd 3's way */
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(err, errno, "socket pair");
	pid = fork();
	if (pid == 0) {
		char number[16];

		fcntl(pair[1], F_SETFD, 0);
		snprintf(number, sizeof(number), "%d", pair[1]);
		execlp(call->program, "criu", "swrk", number, (char *)NULL);
		_exit(127);
	}
	fd_close(&pair[1]);
	r = pid < 0 ? err_sys(err, errno, "fork") : talk(pair[0], call, err);
	fd_close(&pair[0]);
	if (pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	    WEXITSTATUS(status) == 127)
		return err_set(err, ERR_NOT_FOUND,
			       "%s: executable file not found in $PATH: checkpoint and "
			       "restore need criu",
			       call->program);
	return r;
}
