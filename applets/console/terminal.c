#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "console.h"
#include "os/fd.h"
#include "os/file.h"

/* What a person and a serial line need, whatever was there before. The speed stays. */
static void cook(struct termios *t)
{
	t->c_iflag = (t->c_iflag & (tcflag_t) ~(IGNCR | INLCR | ISTRIP | PARMRK)) |
		     ICRNL | IXON | BRKINT;
#ifdef IUTF8
	t->c_iflag |= IUTF8;
#endif
	t->c_oflag |= OPOST | ONLCR;
	t->c_cflag |= CREAD | CLOCAL; /* there may be no modem lines */
	t->c_lflag |= ICANON | ISIG | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN;
	t->c_cc[VINTR] = 3;
	t->c_cc[VQUIT] = 28;
	t->c_cc[VERASE] = 127;
	t->c_cc[VKILL] = 21;
	t->c_cc[VEOF] = 4;
	t->c_cc[VWERASE] = 23;
	t->c_cc[VMIN] = 1;
	t->c_cc[VTIME] = 0;
	/* a quit or a stop of us is of no use to anybody */
	t->c_cc[VQUIT] = t->c_cc[VSUSP] = _POSIX_VDISABLE;
}

int terminal_open(struct console *c, struct err *err)
{
	FD_AUTO fd = file_open(AT_FDCWD, c->path, O_RDWR | O_NOCTTY | O_NONBLOCK, 0, err);

	if (fd < 0)
		return -1;
	if (tcgetattr(fd, &c->cooked) < 0)
		return err_sys(err, errno, "%s", c->path);
	/* 1: away from a session that has it, such as one before a hang-up */
	if (syscall(SYS_ioctl, fd, (unsigned long)TIOCSCTTY, 1) < 0)
		return err_sys(err, errno, "%s: become its session", c->path);
	cook(&c->cooked);
	tcsetattr(fd, TCSANOW, &c->cooked);
	c->fd = fd_take(&fd);
	buf_reset(&c->typed);
	return 0;
}

void terminal_close(struct console *c)
{
	if (c->fd < 0)
		return;
	/* a line that is stopped would hold up the close */
	tcflush(c->fd, TCIOFLUSH);
	fd_close(&c->fd);
}

/* Which of our signals came. */
static enum wait signalled(struct console *c)
{
	struct signalfd_siginfo si;
	enum wait how = WAIT_TIMEOUT;

	while (read(c->signals, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		if (si.ssi_signo == SIGTERM)
			return WAIT_END;
		if (si.ssi_signo == SIGHUP)
			how = WAIT_GONE;
		else if (si.ssi_signo == SIGINT && how == WAIT_TIMEOUT)
			how = WAIT_INTERRUPT;
	}
	return how;
}

enum wait terminal_wait(struct console *c, struct pollfd *fds, unsigned n, int timeout_ms)
{
	struct pollfd all[4] = {{.fd = c->signals, .events = POLLIN}};
	int r;

	if (n)
		memcpy(all + 1, fds, n * sizeof(*fds));
	do
		r = poll(all, n + 1, timeout_ms);
	while (r < 0 && errno == EINTR);
	if (n)
		memcpy(fds, all + 1, n * sizeof(*fds));
	if (r > 0 && all[0].revents) {
		enum wait how = signalled(c);

		return how == WAIT_TIMEOUT ? WAIT_READY : how;
	}
	return r > 0 ? WAIT_READY : WAIT_TIMEOUT;
}

enum wait terminal_write(struct console *c, const void *data, size_t n)
{
	const char *p = data;

	while (n) {
		struct pollfd out = {.fd = c->fd, .events = POLLOUT};
		ssize_t did = write(c->fd, p, n);
		enum wait how;

		if (did > 0) {
			p += did;
			n -= (size_t)did;
			continue;
		}
		if (did < 0 && errno == EINTR)
			continue;
		if (did == 0 || errno != EAGAIN)
			return WAIT_GONE;
		how = terminal_wait(c, &out, 1, -1);
		if (how == WAIT_GONE || how == WAIT_END)
			return how;
		if (out.revents & POLLHUP)
			return WAIT_GONE;
	}
	return WAIT_READY;
}

enum wait terminal_say(struct console *c, const char *text)
{
	return terminal_write(c, text, strlen(text));
}

void terminal_raw(struct console *c)
{
	struct termios t = c->cooked;

	t.c_iflag &= (tcflag_t) ~(BRKINT | ICRNL | IXON);
	t.c_oflag &= (tcflag_t)~OPOST;
	t.c_lflag &= (tcflag_t) ~(ICANON | ISIG | ECHO | IEXTEN);
	tcsetattr(c->fd, TCSANOW, &t);
}

void terminal_cooked(struct console *c, bool echo)
{
	struct termios t = c->cooked;

	if (!echo)
		t.c_lflag &= (tcflag_t) ~(ECHO | ECHOE | ECHOK | ECHOKE);
	tcsetattr(c->fd, TCSANOW, &t);
}

/* Takes the first line of what was typed. False if there is no whole one. */
static bool take_line(struct console *c, char ret[LINE_LENGTH])
{
	uint8_t *end = c->typed.len ? memchr(c->typed.data, '\n', c->typed.len) : NULL;
	size_t n;

	if (!end)
		return false;
	n = (size_t)(end - c->typed.data);
	if (n > LINE_LENGTH - 1)
		n = LINE_LENGTH - 1;
	memcpy(ret, c->typed.data, n);
	ret[n] = 0;
	buf_shift(&c->typed, (size_t)(end - c->typed.data) + 1);
	return true;
}

enum wait terminal_line(struct console *c, int timeout_ms, char ret[LINE_LENGTH],
			bool *ret_end)
{
	*ret_end = false;
	while (!take_line(c, ret)) {
		struct pollfd in = {.fd = c->fd, .events = POLLIN};
		enum wait how = terminal_wait(c, &in, 1, timeout_ms);
		ssize_t n;

		if (how == WAIT_INTERRUPT)
			buf_reset(&c->typed);
		if (how != WAIT_READY)
			return how;
		if (in.revents & (POLLHUP | POLLERR))
			return WAIT_GONE;
		if (!in.revents)
			continue;
		if (c->typed.len > 4 * LINE_LENGTH)
			buf_reset(&c->typed);
		n = read(c->fd, buf_reserve(&c->typed, LINE_LENGTH), LINE_LENGTH);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n < 0)
			return WAIT_GONE;
		if (n == 0) {
			*ret_end = true;
			*ret = 0;
			return WAIT_READY;
		}
		c->typed.len += (size_t)n;
	}
	return WAIT_READY;
}

void terminal_flush(struct console *c)
{
	tcflush(c->fd, TCIFLUSH);
	buf_reset(&c->typed);
}
