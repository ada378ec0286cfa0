/* control: what clients ask of init (node/initctl.h), and what services tell it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/str.h"
#include "init/init.h"
#include "os/fd.h"
#include "os/sock.h"

#define NOTIFY_SOCKET "/run/cribox/notify"

static void drop(struct client *c)
{
	loop_fd_del(&c->src);
	fd_close(&c->fd);
	c->waits = NULL;
}

/* A client that does not read is a client no more. */
static void answer(struct client *c, const struct initctl_reply *r, int fd)
{
	uint8_t data[INITCTL_REPLY];
	size_t n = initctl_put_reply(data, r);

	if (c->fd >= 0 && sock_send_fds(c->fd, data, n, &fd, fd >= 0 ? 1 : 0) < 0)
		drop(c);
}

__attribute__((format(printf, 3, 4))) static void finish(struct client *c,
							 enum err_code code,
							 const char *fmt, ...)
{
	struct initctl_reply r = {.kind = INITCTL_END, .code = code};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r.text, sizeof(r.text), fmt, ap);
	va_end(ap);
	answer(c, &r, -1);
}

static void list_services(struct client *c)
{
	for (unsigned i = 0; i < c->init->nservices; i++) {
		const struct service *s = &c->init->services[i];
		struct initctl_reply r = {.kind = INITCTL_SERVICE};

		r.service.state = s->state;
		r.service.pid = s->pid;
		r.service.restarts = s->restarts;
		r.service.since = s->since;
		str_copy(r.service.name, sizeof(r.service.name), s->title);
		str_copy(r.service.error, sizeof(r.service.error), s->error);
		answer(c, &r, -1);
	}
	finish(c, ERR_NONE, "%s", "");
}

static void list_phases(struct client *c)
{
	struct initctl_reply r = {.kind = INITCTL_PHASE};

	for (unsigned i = 0; i < c->init->nphases; i++) {
		const struct phase *p = &c->init->phases[i];

		str_copy(r.phase.name, sizeof(r.phase.name), p->name);
		str_copy(r.phase.note, sizeof(r.phase.note), p->note);
		r.phase.start = p->start;
		r.phase.end = p->end;
		answer(c, &r, -1);
	}
	for (unsigned i = 0; i < c->init->nservices; i++) {
		const struct service *s = &c->init->services[i];

		if (!s->first_ready)
			continue;
		str_copy(r.phase.name, sizeof(r.phase.name), s->title);
		str_copy(r.phase.note, sizeof(r.phase.note), "service ready");
		r.phase.start = r.phase.end = s->first_ready;
		answer(c, &r, -1);
	}
	finish(c, ERR_NONE, "%s", "");
}

static void send_ring(struct client *c, const struct service *s)
{
	struct initctl_reply r = {.kind = INITCTL_RING};
	FD_AUTO fd = -1;

	if (s->ring.fd >= 0) {
		char path[FD_PATH];

		fd = open(fd_path(path, s->ring.fd), O_RDONLY | O_CLOEXEC);
	}
	if (fd < 0) {
		finish(c, ERR_NOT_FOUND, "%s has no log", s->title);
		return;
	}
	answer(c, &r, fd);
	finish(c, ERR_NONE, "%s", "");
}

static bool in_between(const struct service *s)
{
	return s->state == INITCTL_STARTING || s->state == INITCTL_STOPPING ||
	       s->state == INITCTL_WAITING;
}

void control_settle(struct service *s)
{
	for (int i = 0; i < CLIENTS; i++) {
		struct client *c = &s->init->clients[i];

		if (c->fd < 0 || c->waits != s || s->again || in_between(s))
			continue;
		c->waits = NULL;
		if (c->verb != INITCTL_STOP &&
		    (s->state == INITCTL_BACKOFF || s->state == INITCTL_FAILED))
			finish(c, ERR_STATE, "%s: %s", s->title, s->error);
		else
			finish(c, ERR_NONE, "%s", "");
	}
}

static void act(struct client *c, struct service *s)
{
	c->waits = s;
	s->again = false;
	if (c->verb == INITCTL_START)
		service_event(s, EV_START);
	else if (c->verb == INITCTL_STOP)
		service_event(s, EV_STOP);
	else
		service_restart(s);
	control_settle(s);
}

static void request(struct client *c, const struct initctl_request *r)
{
	struct init *in = c->init;
	struct service *s = service_find(in, r->name);
	bool named = r->verb == INITCTL_START || r->verb == INITCTL_STOP ||
		     r->verb == INITCTL_RESTART || r->verb == INITCTL_LOGS;

	if (named && !s) {
		finish(c, ERR_NOT_FOUND, "%s: no such service", r->name);
		return;
	}
	if (in->stop.verb != INITCTL_LIST && r->verb != INITCTL_LIST &&
	    r->verb != INITCTL_LOGS && r->verb != INITCTL_BOOT) {
		finish(c, ERR_STATE, "the node is going down");
		return;
	}
	c->verb = r->verb;
	switch (r->verb) {
	case INITCTL_LIST:
		list_services(c);
		break;
	case INITCTL_BOOT:
		list_phases(c);
		break;
	case INITCTL_LOGS:
		send_ring(c, s);
		break;
	case INITCTL_START:
	case INITCTL_STOP:
	case INITCTL_RESTART:
		act(c, s);
		break;
	case INITCTL_HALT:
	case INITCTL_POWEROFF:
	case INITCTL_REBOOT:
		finish(c, ERR_NONE, "%s", "");
		stop_begin(in, r->verb, *r->name ? r->name : "asked for");
		break;
	case INITCTL_RELOAD:
		init_reload(in);
		finish(c, ERR_NONE, "%s", "");
		break;
	case INITCTL_MODULE:
		finish(c, device_module(in, r->name) < 0 ? ERR_EXHAUSTED : ERR_NONE, "%s",
		       r->name);
		break;
	case INITCTL_VERBS:
		break;
	}
}

static void on_client(struct loop_fd *src, unsigned events)
{
	struct client *c = container_of(src, struct client, src);
	struct initctl_request r;
	uint8_t data[INITCTL_REQUEST + 1];
	ssize_t n = recv(c->fd, data, sizeof(data), MSG_DONTWAIT);

	(void)events;
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		drop(c);
	} else if (initctl_get_request(data, (size_t)n, &r) < 0) {
		finish(c, ERR_INVALID, "not a request that this init knows");
		drop(c);
	} else {
		request(c, &r);
	}
}

static void on_connect(struct loop_fd *src, unsigned events)
{
	struct init *in = container_of(src, struct init, control);
	FD_AUTO fd = accept4(src->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *c = NULL;
	struct err err;
	uid_t uid;
	pid_t pid;

	(void)events;
	if (fd < 0 || sock_peer(fd, &pid, &uid, &err) < 0 || uid != 0)
		return;
	for (int i = 0; i < CLIENTS && !c; i++)
		if (in->clients[i].fd < 0)
			c = &in->clients[i];
	if (!c)
		return; /* closed: as many as we have are served at a time */
	c->init = in;
	c->waits = NULL;
	c->src = (struct loop_fd){.fn = on_client, .fd = fd};
	if (loop_fd_add(in->loop, &c->src, LOOP_IN, &err) == 0)
		c->fd = fd_take(&fd);
}

/*
 * sd_notify(3): datagrams of NAME=VALUE lines, whose sender the kernel names. There is no
 * room for fds that come along: the kernel closes them.
 */
static void on_notify(struct loop_fd *src, unsigned events)
{
	struct init *in = container_of(src, struct init, notify);
	union {
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} control;
	char text[512];
	struct iovec iov = {.iov_base = text, .iov_len = sizeof(text) - 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof(control.bytes)};
	ssize_t n = recvmsg(src->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *h = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
	struct ucred who;

	(void)events;
	if (!h || h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_CREDENTIALS)
		return;
	memcpy(&who, CMSG_DATA(h), sizeof(who));
	text[n] = 0;
	for (const char *p = text; p && *p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (str_starts(p, "READY=1"))
			service_is_ready(in, who.pid);
	}
}

static int listen_at(const char *path, int type, struct loop_fd *src, struct init *in,
		     struct err *err)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	FD_AUTO fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;

	str_copy(sa.sun_path, sizeof(sa.sun_path), path);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    chmod(path, 0600) < 0 ||
	    (type == SOCK_DGRAM ? setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on))
				: listen(fd, CLIENTS)) < 0)
		return err_sys(err, errno, "listen at %s", path);
	src->fd = fd_take(&fd); /* for good */
	return loop_fd_add(in->loop, src, LOOP_IN, err);
}

int control_open(struct init *in, struct err *err)
{
	for (int i = 0; i < CLIENTS; i++)
		in->clients[i].fd = -1;
	in->control.fn = on_connect;
	in->notify.fn = on_notify;
	if (listen_at(INITCTL_SOCKET, SOCK_SEQPACKET, &in->control, in, err) < 0)
		return -1;
	return listen_at(NOTIFY_SOCKET, SOCK_DGRAM, &in->notify, in, err);
}
