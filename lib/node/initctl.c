#include "node/initctl.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "os/fd.h"
#include "os/sock.h"

static const char *const state_names[INITCTL_STATES] = {
	[INITCTL_OFF] = "off",		 [INITCTL_WAITING] = "waiting",
	[INITCTL_STARTING] = "starting", [INITCTL_UP] = "up",
	[INITCTL_BACKOFF] = "backoff",	 [INITCTL_STOPPING] = "stopping",
	[INITCTL_DONE] = "done",	 [INITCTL_FAILED] = "failed",
};

const char *initctl_state_name(enum initctl_state s)
{
	return (unsigned)s < INITCTL_STATES ? state_names[s] : "?";
}

/* A fixed field: the text, cut if need be, and zeros. */
static uint8_t *put_text(uint8_t *p, const char *s, size_t size)
{
	size_t n = strnlen(s, size - 1);

	memset(p, 0, size);
	memcpy(p, s, n);
	return p + size;
}

static const uint8_t *get_text(const uint8_t *p, char *dst, size_t size)
{
	memcpy(dst, p, size);
	dst[size - 1] = 0;
	return p + size;
}

static uint8_t *put_le64(uint8_t *p, uint64_t v)
{
	put_le32(p, (uint32_t)v);
	put_le32(p + 4, (uint32_t)(v >> 32));
	return p + 8;
}

/* version, verb, six zeros, name, and room to grow */
size_t initctl_put_request(uint8_t dst[INITCTL_REQUEST], const struct initctl_request *r)
{
	memset(dst, 0, INITCTL_REQUEST);
	dst[0] = INITCTL_VERSION;
	dst[1] = (uint8_t)r->verb;
	put_text(dst + 8, r->name, INITCTL_NAME);
	return INITCTL_REQUEST;
}

int initctl_get_request(const void *data, size_t n, struct initctl_request *ret)
{
	const uint8_t *p = data;

	if (n != INITCTL_REQUEST || p[0] != INITCTL_VERSION || p[1] >= INITCTL_VERBS)
		return -1;
	ret->verb = p[1];
	get_text(p + 8, ret->name, INITCTL_NAME);
	return 0;
}

size_t initctl_put_reply(uint8_t dst[INITCTL_REPLY], const struct initctl_reply *r)
{
	uint8_t *p = dst + 8;

	memset(dst, 0, INITCTL_REPLY);
	dst[0] = INITCTL_VERSION;
	dst[1] = (uint8_t)r->kind;
	switch (r->kind) {
	case INITCTL_END:
		put_le32(p, r->code);
		p = put_text(p + 4, r->text, INITCTL_TEXT);
		break;
	case INITCTL_SERVICE:
		put_le32(p, (uint32_t)r->service.state);
		put_le32(p + 4, (uint32_t)r->service.pid);
		put_le32(p + 8, r->service.restarts);
		p = put_le64(p + 12, (uint64_t)r->service.since);
		p = put_text(p, r->service.name, INITCTL_NAME);
		p = put_text(p, r->service.error, INITCTL_TEXT);
		break;
	case INITCTL_PHASE:
		p = put_le64(p, (uint64_t)r->phase.start);
		p = put_le64(p, (uint64_t)r->phase.end);
		p = put_text(p, r->phase.name, INITCTL_NAME);
		p = put_text(p, r->phase.note, INITCTL_TEXT);
		break;
	case INITCTL_RING:
	case INITCTL_KINDS:
		break;
	}
	return (size_t)(p - dst);
}

int initctl_get_reply(const void *data, size_t n, struct initctl_reply *ret)
{
	static const size_t sizes[INITCTL_KINDS] = {
		[INITCTL_END] = 8 + 4 + INITCTL_TEXT,
		[INITCTL_SERVICE] = 8 + 20 + INITCTL_NAME + INITCTL_TEXT,
		[INITCTL_PHASE] = 8 + 16 + INITCTL_NAME + INITCTL_TEXT,
		[INITCTL_RING] = 8,
	};
	const uint8_t *p = data;

	if (n < 8 || p[0] != INITCTL_VERSION || p[1] >= INITCTL_KINDS || n != sizes[p[1]])
		return -1;
	memset(ret, 0, sizeof(*ret));
	ret->kind = p[1];
	p += 8;
	if (ret->kind == INITCTL_END) {
		uint32_t code = get_le32(p);

		ret->code = code < ERR_CODE_COUNT ? (enum err_code)code : ERR_UNKNOWN;
		get_text(p + 4, ret->text, INITCTL_TEXT);
	} else if (ret->kind == INITCTL_SERVICE) {
		uint32_t state = get_le32(p);

		if (state >= INITCTL_STATES)
			return -1;
		ret->service.state = (enum initctl_state)state;
		ret->service.pid = (int32_t)get_le32(p + 4);
		ret->service.restarts = get_le32(p + 8);
		ret->service.since = (int64_t)get_le64(p + 12);
		p = get_text(p + 20, ret->service.name, INITCTL_NAME);
		get_text(p, ret->service.error, INITCTL_TEXT);
	} else if (ret->kind == INITCTL_PHASE) {
		ret->phase.start = (int64_t)get_le64(p);
		ret->phase.end = (int64_t)get_le64(p + 8);
		p = get_text(p + 16, ret->phase.name, INITCTL_NAME);
		get_text(p, ret->phase.note, INITCTL_TEXT);
	}
	return 0;
}

int initctl_open(struct err *err)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX, .sun_path = INITCTL_SOCKET};
	FD_AUTO fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_sys(err, errno, "socket");
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return err_sys(err, errno, "init does not answer: %s", INITCTL_SOCKET);
	return fd_take(&fd);
}

/* A packet of the answer before the deadline; an fd that came with it, or -1. */
static int receive(int fd, int64_t deadline, struct initctl_reply *ret, int *ret_fd,
		   struct err *err)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int64_t left = (deadline - time_mono()) / NS_PER_MS;
	uint8_t data[INITCTL_REPLY];
	size_t nfds = 1;
	ssize_t n;
	int r = poll(&p, 1, left < 0 ? 0 : (int)left);

	if (r < 0 && errno != EINTR)
		return err_sys(err, errno, "init");
	if (r <= 0)
		return err_set(err, ERR_TIMEOUT, "init does not answer in time");
	n = sock_recv_fds(fd, data, sizeof(data), ret_fd, &nfds);
	if (nfds == 0)
		*ret_fd = -1;
	if (n < 0)
		return err_sys(err, errno, "init");
	if (n == 0)
		return err_set(err, ERR_UNAVAILABLE, "init has closed the connection");
	if (initctl_get_reply(data, (size_t)n, ret) < 0)
		return err_set(err, ERR_UNKNOWN,
			       "init answers in a way that is not known");
	return 0;
}

/* Stopping takes as long as the service's stop-timeout, at most. */
static int64_t patience(enum initctl_verb verb)
{
	return verb == INITCTL_STOP || verb == INITCTL_RESTART
		       ? 600 * NS_PER_SEC
		       : INITCTL_TIMEOUT_MS * NS_PER_MS;
}

static int call(int fd, enum initctl_verb verb, const char *name,
		void (*fn)(void *arg, const struct initctl_reply *r), void *arg,
		int *ret_fd, struct err *err)
{
	struct initctl_request req = {.verb = verb};
	uint8_t data[INITCTL_REQUEST];
	int64_t deadline = time_mono() + patience(verb);

	if (str_copy(req.name, sizeof(req.name), str_or_empty(name)) < 0)
		return err_set(err, ERR_INVALID, "%s: the name is too long", name);
	if (send(fd, data, initctl_put_request(data, &req), MSG_NOSIGNAL) < 0)
		return err_sys(err, errno, "init");
	for (;;) {
		struct initctl_reply r = {.kind = INITCTL_END};
		FD_AUTO got = -1;

		if (receive(fd, deadline, &r, &got, err) < 0)
			return -1;
		if (r.kind == INITCTL_END)
			return r.code ? err_set(err, r.code, "%s", r.text) : 0;
		if (r.kind == INITCTL_RING && ret_fd && *ret_fd < 0)
			*ret_fd = fd_take(&got);
		else if (fn)
			fn(arg, &r);
	}
}

int initctl_call(int fd, enum initctl_verb verb, const char *name,
		 void (*fn)(void *arg, const struct initctl_reply *r), void *arg,
		 struct err *err)
{
	return call(fd, verb, name, fn, arg, NULL, err);
}

struct services {
	struct initctl_service *list;
	unsigned n, max;
};

static void add_service(void *arg, const struct initctl_reply *r)
{
	struct services *s = arg;

	if (r->kind == INITCTL_SERVICE && s->n < s->max)
		s->list[s->n++] = r->service;
}

int initctl_services(int fd, struct initctl_service *list, unsigned max, struct err *err)
{
	struct services s = {.list = list, .max = max};

	if (call(fd, INITCTL_LIST, NULL, add_service, &s, NULL, err) < 0)
		return -1;
	return (int)s.n;
}

int initctl_logs(int fd, const char *name, struct err *err)
{
	FD_AUTO ring = -1;

	if (call(fd, INITCTL_LOGS, name, NULL, NULL, &ring, err) < 0)
		return -1;
	if (ring < 0)
		return err_set(err, ERR_NOT_FOUND, "%s has no log", name);
	return fd_take(&ring);
}

/*
 * The ring: the number of bytes ever written (little-endian), the number of those that are
 * in the log file (kept by its keeper), then the bytes, each at its number modulo the size. init writes the bytes before the number; what a slow reader took
 * from under the writer's feet is noticed by reading the number again.
 */
long initctl_ring_read(int ring, uint64_t *at, char *dst, size_t n, struct err *err)
{
	uint8_t head[8];
	uint64_t end, from;

	if (pread(ring, head, sizeof(head), 0) != (ssize_t)sizeof(head))
		return err_sys(err, errno, "log ring");
	end = get_le64(head);
	from = end > INITCTL_RING_SIZE ? end - INITCTL_RING_SIZE : 0;
	from = MAX(from, MIN(*at, end));
	n = (size_t)MIN(end - from, n);
	n = MIN(n, INITCTL_RING_SIZE - (size_t)(from % INITCTL_RING_SIZE));
	if (n &&
	    pread(ring, dst, n, (off_t)(INITCTL_RING_HEAD + from % INITCTL_RING_SIZE)) !=
		    (ssize_t)n)
		return err_sys(err, errno, "log ring");
	*at = from + n;
	return (long)n;
}
