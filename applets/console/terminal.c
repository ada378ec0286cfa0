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
#include "filter.h"
#include "os/fd.h"
#include "os/file.h"

enum {
	KEY_INTERRUPT = 3,
	KEY_END = 4,
	KEY_BACKSPACE = 8,
	KEY_KILL = 21,
	KEY_WORD = 23,
	KEY_ESC = 27,
	KEY_DELETE = 127,
};

/*
 * Every byte as it comes, and nothing of the kernel's own: its echo may be held back, and lost
 * when a mode changes, while a line is slow. Only flow control stays. So does the speed.
 */
static struct termios raw_mode(const struct termios *was)
{
	struct termios t = *was;

	t.c_iflag &= (tcflag_t) ~(BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL);
	t.c_iflag |= IXON | IGNBRK;
	t.c_oflag &= (tcflag_t)~OPOST;
	t.c_cflag |= CREAD | CLOCAL; /* there may be no modem lines */
	t.c_lflag &= (tcflag_t) ~(ICANON | ISIG | ECHO | ECHONL | IEXTEN);
	t.c_cc[VMIN] = 1;
	t.c_cc[VTIME] = 0;
	return t;
}

int terminal_open(struct console *c, struct err *err)
{
	FD_AUTO fd = file_open(AT_FDCWD, c->path, O_RDWR | O_NOCTTY | O_NONBLOCK, 0, err);
	struct termios mode;

	if (fd < 0)
		return -1;
	if (tcgetattr(fd, &c->before) < 0)
		return err_sys(err, errno, "%s", c->path);
	/* 1: away from a session that has it, such as one before a hang-up */
	if (syscall(SYS_ioctl, fd, (unsigned long)TIOCSCTTY, 1) < 0)
		return err_sys(err, errno, "%s: become its session", c->path);
	mode = raw_mode(&c->before);
	tcsetattr(fd, TCSANOW, &mode);
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
	tcsetattr(c->fd, TCSANOW, &c->before);
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
		how = WAIT_GONE;
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
	BUF_AUTO out = {0};

	for (; *text; text++) {
		if (*text == '\n')
			buf_add_char(&out, '\r');
		buf_add_char(&out, *text);
	}
	return terminal_write(c, out.data, out.len);
}

/* --- lines --------------------------------------------------------------------------------- */

/* A line that is being typed. */
struct editing {
	char *text;
	size_t n;
	bool echo;
	struct filter filter; /* what is pasted may come from anywhere */
	struct buf out;	      /* what is to be shown */
};

/* Rubs out the last character, which may have several bytes. */
static void rub_out(struct editing *e)
{
	if (!e->n)
		return;
	while (e->n > 1 && (e->text[e->n - 1] & 0xc0) == 0x80)
		e->n--;
	e->n--;
	if (e->echo)
		buf_add_str(&e->out, "\b \b");
}

static void rub_out_word(struct editing *e)
{
	while (e->n && e->text[e->n - 1] == ' ')
		rub_out(e);
	while (e->n && e->text[e->n - 1] != ' ')
		rub_out(e);
}

/*
 * Passes over what cursor and function keys send: ESC, '[' or 'O', and all up to a letter.
 * True if the byte belongs to that.
 */
static bool skip_key(struct console *c, uint8_t b)
{
	if (b == KEY_ESC) {
		c->key = 1;
		return true;
	}
	if (c->key == 1) {
		c->key = b == '[' || b == 'O' ? 2 : 0;
		return c->key;
	}
	if (c->key == 2 && b >= 0x40)
		c->key = 0;
	else if (c->key != 2)
		return false;
	return true;
}

static void type(struct editing *e, uint8_t b)
{
	if (b == '\t')
		b = ' ';
	if (b < 0x20 || e->n + 1 >= LINE_LENGTH)
		return;
	e->text[e->n++] = (char)b;
	if (e->echo)
		filter_add(&e->filter, &b, 1, &e->out);
}

/* Takes typed bytes until a line ends. False if it has not. */
static bool take_keys(struct console *c, struct editing *e, enum wait *ret, bool *ret_end)
{
	size_t at = 0;
	bool done = false;

	while (at < c->typed.len && !done) {
		uint8_t b = c->typed.data[at++];
		bool pair = b == '\n' && c->after_return; /* "\r\n" is one */

		c->after_return = b == '\r';
		if (pair || skip_key(c, b))
			continue;
		if (b == '\r' || b == '\n') {
			buf_add_str(&e->out, "\r\n");
			done = true;
		} else if (b == KEY_INTERRUPT) {
			buf_add_str(&e->out, "^C\r\n");
			*ret = WAIT_INTERRUPT;
			done = true;
		} else if (b == KEY_END) {
			*ret_end = done = !e->n;
		} else if (b == KEY_DELETE || b == KEY_BACKSPACE) {
			rub_out(e);
		} else if (b == KEY_KILL) {
			while (e->n)
				rub_out(e);
		} else if (b == KEY_WORD) {
			rub_out_word(e);
		} else {
			type(e, b);
		}
	}
	buf_shift(&c->typed, at);
	return done;
}

/* More of what is typed. WAIT_READY, or why there is none. */
static enum wait read_keys(struct console *c, int timeout_ms)
{
	struct pollfd in = {.fd = c->fd, .events = POLLIN};
	enum wait how = terminal_wait(c, &in, 1, timeout_ms);
	ssize_t n;

	if (how != WAIT_READY || !in.revents)
		return how;
	if (in.revents & (POLLHUP | POLLERR))
		return WAIT_GONE;
	n = read(c->fd, buf_reserve(&c->typed, LINE_LENGTH), LINE_LENGTH);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return WAIT_READY;
	if (n <= 0)
		return WAIT_GONE;
	c->typed.len += (size_t)n;
	return WAIT_READY;
}

enum wait terminal_line(struct console *c, bool echo, int timeout_ms,
			char ret[LINE_LENGTH], bool *ret_end)
{
	struct editing e = {.text = ret, .echo = echo};
	enum wait how = WAIT_READY, shown;
	bool done;

	*ret_end = false;
	do {
		done = take_keys(c, &e, &how, ret_end);
		shown = terminal_write(c, e.out.data, e.out.len);
		buf_reset(&e.out);
		if (shown != WAIT_READY)
			how = shown;
		else if (!done)
			how = read_keys(c, timeout_ms);
	} while (!done && how == WAIT_READY);
	buf_done(&e.out);
	ret[e.n] = 0;
	return how;
}

void terminal_flush(struct console *c)
{
	tcflush(c->fd, TCIFLUSH);
	buf_reset(&c->typed);
}
