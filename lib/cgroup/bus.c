/*
 * bus: one connection to a D-Bus daemon, or to a service's private socket (D-Bus
 * Specification, "Authentication Protocol", "Message Bus"). One call at a time.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "cgroup/systemd-int.h"
#include "os/fd.h"
#include "os/sock.h"

#define THE_BUS "org.freedesktop.DBus"

enum { CHUNK = 4096, MAX_LINE = 512, MAX_IGNORED = 100000 };

/* --- bytes -------------------------------------------------------------------------- */

static int wait_for(const struct bus *b, short events, struct err *err)
{
	int64_t left = b->deadline - time_mono();
	struct pollfd p = {.fd = b->fd, .events = events};
	int n;

	if (left <= 0)
		return err_set(err, ERR_TIMEOUT, "no answer in time");
	n = poll(&p, 1, (int)MIN(left / NS_PER_MS + 1, INT32_MAX));
	if (n < 0 && errno != EINTR)
		return err_sys(err, errno, "poll");
	return 0;
}

static int send_all(const struct bus *b, const void *data, size_t n, struct err *err)
{
	const uint8_t *p = data;

	while (n) {
		ssize_t sent = send(b->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0 && errno == EAGAIN) {
			if (wait_for(b, POLLOUT, err) < 0)
				return -1;
		} else if (sent < 0 && errno != EINTR) {
			err_sys(err, errno, "send");
			err->code = ERR_UNAVAILABLE;
			return -1;
		} else if (sent > 0) {
			p += sent;
			n -= (size_t)sent;
		}
	}
	return 0;
}

static int receive(struct bus *b, struct err *err)
{
	for (;;) {
		ssize_t n = recv(b->fd, buf_reserve(&b->in, CHUNK), CHUNK, MSG_DONTWAIT);

		if (n > 0) {
			b->in.len += (size_t)n;
			return 0;
		}
		if (n == 0)
			return err_set(err, ERR_UNAVAILABLE, "the connection was closed");
		if (errno == EAGAIN) {
			if (wait_for(b, POLLIN, err) < 0)
				return -1;
		} else if (errno != EINTR) {
			err_sys(err, errno, "receive");
			err->code = ERR_UNAVAILABLE;
			return -1;
		}
	}
}

/* --- authentication ----------------------------------------------------------------- */

/* A line without its "\r\n" into ret, and out of what has come. */
static int read_line(struct bus *b, char *ret, size_t size, struct err *err)
{
	const uint8_t *end;
	size_t n;

	while (!(end = b->in.len ? memmem(b->in.data, b->in.len, "\r\n", 2) : NULL)) {
		if (b->in.len >= size)
			return err_set(err, ERR_UNAVAILABLE, "authentication: no line");
		if (receive(b, err) < 0)
			return -1;
	}
	n = (size_t)(end - b->in.data);
	if (n >= size)
		return err_set(err, ERR_UNAVAILABLE, "authentication: a long line");
	memcpy(ret, b->in.data, n);
	ret[n] = 0;
	buf_shift(&b->in, n + 2);
	return 0;
}

/*
 * EXTERNAL: we are who the socket says. No name is given, as that of a user namespace is
 * another one outside. All is sent at once: a systemd that reads BEGIN together with the
 * first message does not look at the message until more comes.
 */
static int authenticate(struct bus *b, struct err *err)
{
	static const char hello[] = "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";
	char line[MAX_LINE];
	bool asked;

	if (send_all(b, hello, sizeof(hello) - 1, err) < 0 ||
	    read_line(b, line, sizeof(line), err) < 0)
		return -1;
	asked = str_eq(line, "DATA") || str_starts(line, "DATA ");
	if (asked && read_line(b, line, sizeof(line), err) < 0)
		return -1;
	if (!str_eq(line, "OK") && !str_starts(line, "OK "))
		return err_set(err, ERR_DENIED, "authentication: \"%.60s\"", line);
	/* one that did not ask (before 246) says what it thinks of our answer */
	return asked ? 0 : read_line(b, line, sizeof(line), err);
}

/* --- messages ----------------------------------------------------------------------- */

/* The next message; the one before is gone. */
static int next(struct bus *b, struct dbus_msg *ret, struct err *err)
{
	size_t n;

	buf_shift(&b->in, b->taken);
	b->taken = 0;
	for (;;) {
		if (dbus_length(b->in.data, b->in.len, &n, err) < 0)
			return -1;
		if (n && n <= b->in.len)
			break;
		if (receive(b, err) < 0)
			return -1;
	}
	b->taken = n;
	return dbus_parse(b->in.data, n, ret, err);
}

static enum err_code code_of(const char *name)
{
	static const struct {
		const char *name;
		enum err_code code;
	} table[] = {
		{"systemd1.NoSuchUnit", ERR_NOT_FOUND},
		{"systemd1.UnitExists", ERR_EXISTS},
		{"DBus.Error.AccessDenied", ERR_DENIED},
		{"DBus.Error.AuthFailed", ERR_DENIED},
		{"DBus.Error.InteractiveAuthorizationRequired", ERR_DENIED},
		{"DBus.Error.InvalidArgs", ERR_INVALID},
		{"DBus.Error.PropertyReadOnly", ERR_INVALID},
		{"DBus.Error.UnknownProperty", ERR_INVALID},
		{"DBus.Error.UnknownMethod", ERR_UNIMPLEMENTED},
		{"DBus.Error.ServiceUnknown", ERR_UNAVAILABLE},
		{"DBus.Error.NameHasNoOwner", ERR_UNAVAILABLE},
		{"DBus.Error.NoReply", ERR_TIMEOUT},
		{"DBus.Error.Timeout", ERR_TIMEOUT},
		{"DBus.Error.LimitsExceeded", ERR_EXHAUSTED},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (str_starts(name, "org.freedesktop.") &&
		    str_eq(name + strlen("org.freedesktop."), table[i].name))
			return table[i].code;
	return ERR_UNKNOWN;
}

/* An error's text is its first value, if that is a string. */
static int fail(const struct dbus_msg *m, struct err *err)
{
	struct dbus_view body = m->body;
	const char *text = *m->signature == 's' ? dbus_get_str(&body) : "";

	return err_set(err, code_of(m->error), "%.500s",
		       *text ? text : str_or_empty(m->error));
}

void bus_begin(struct bus *b, struct dbus_out *o, struct buf *out, const char *service,
	       const char *path, const char *interface, const char *method,
	       const char *signature)
{
	struct dbus_msg m = {
		.type = DBUS_CALL,
		.flags = DBUS_NO_AUTO_START,
		.serial = ++b->serial,
		.destination = b->direct ? NULL : service,
		.path = path,
		.interface = interface,
		.member = method,
		.signature = signature,
	};

	*o = (struct dbus_out){.buf = out};
	dbus_begin(o, &m);
}

int bus_wait(struct bus *b, struct err *err)
{
	struct dbus_msg m;

	if (next(b, &m, err) < 0)
		return -1;
	if (m.type == DBUS_SIGNAL && b->signal)
		b->signal(b->arg, &m);
	return 0;
}

int bus_call(struct bus *b, struct dbus_out *o, struct dbus_msg *ret, struct err *err)
{
	struct dbus_msg m;

	dbus_end(o);
	if (send_all(b, o->buf->data, o->buf->len, err) < 0)
		return -1;
	/* others' signals come without an end where there is no bus to filter them */
	for (unsigned i = 0; i < MAX_IGNORED; i++) {
		if (next(b, &m, err) < 0)
			return -1;
		if (m.type == DBUS_SIGNAL && b->signal)
			b->signal(b->arg, &m);
		if (m.reply_serial != b->serial)
			continue;
		if (m.type == DBUS_ERROR)
			return fail(&m, err);
		if (m.type == DBUS_RETURN) {
			*ret = m;
			return 0;
		}
	}
	return err_set(err, ERR_TIMEOUT, "no answer among %d messages", MAX_IGNORED);
}

int bus_connect(struct bus *b, const char *path, bool direct, struct err *err)
{
	struct dbus_out o;
	struct dbus_msg m;
	BUF_AUTO out = {0};

	b->direct = direct;
	b->fd = sock_connect_unix(path, err);
	if (b->fd < 0)
		return -1;
	if (authenticate(b, err) == 0) {
		if (direct)
			return 0;
		bus_begin(b, &o, &out, THE_BUS, "/org/freedesktop/DBus", THE_BUS, "Hello",
			  "");
		if (bus_call(b, &o, &m, err) == 0)
			return 0;
	}
	bus_done(b);
	return err_wrap(err, "%s", path);
}

void bus_done(struct bus *b)
{
	fd_close(&b->fd);
	buf_done(&b->in);
	b->taken = 0;
}
