#include "session.h"

#include <errno.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "loop/loop.h"
#include "os/fd.h"
#include "print.h"
#include "rpc/ws.h"

enum { CTRL_P = 0x10, CTRL_Q = 0x11 };

struct session {
	struct ctl *c;
	struct loop *loop;
	struct ws_client *ws;
	struct loop_fd in;	  /* stdin, if it can be waited for */
	struct loop_later in_now; /* stdin, if it is a regular file */
	bool in_file;
	bool tty;
	bool held; /* a Ctrl-P that waits for its Ctrl-Q */
	struct termios saved;
	bool raw; /* the terminal must be restored */
	struct err *err;
};

static void finish(struct session *s, int status)
{
	loop_fd_del(&s->in);
	loop_later_del(&s->in_now);
	loop_stop(s->loop, status);
}

/* --- output ---------------------------------------------------------------------------------- */

static void on_output(void *arg, enum stream_channel channel, const uint8_t *data,
		      size_t n)
{
	struct session *s = arg;
	int fd = channel == STREAM_STDERR ? STDERR_FILENO : STDOUT_FILENO, r;

	if (!s->tty)
		r = ctl_write_bytes(fd, data, n, s->err);
	else
		r = fd_write_all(fd, data, n) < 0
			    ? err_sys(s->err, errno, "write to the terminal")
			    : 0;
	if (r < 0)
		finish(s, -1);
}

static void on_end(void *arg, int exit_code, const struct err *err)
{
	struct session *s = arg;

	if (err->code != ERR_NONE) {
		*s->err = *err;
		exit_code = -1;
	}
	finish(s, exit_code);
}

/* --- input ----------------------------------------------------------------------------------- */

/* Passes input on without the keys that leave. Returns what ws_client_stdin says. */
static bool send_keys(struct session *s, const uint8_t *data, size_t n)
{
	BUF_AUTO out = {0};

	for (size_t i = 0; i < n; i++) {
		if (s->held && data[i] == CTRL_Q) {
			finish(s, 0);
			return true;
		}
		if (s->held)
			buf_add_char(&out, CTRL_P);
		s->held = data[i] == CTRL_P;
		if (!s->held)
			buf_add_char(&out, (char)data[i]);
	}
	return !out.len || ws_client_stdin(s->ws, out.data, out.len);
}

/* Reads once. Returns whether to go on at once. */
static bool read_input(struct session *s)
{
	uint8_t data[8192];
	ssize_t n = read(STDIN_FILENO, data, sizeof(data));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	if (n <= 0) {
		loop_fd_del(&s->in);
		s->in_file = false;
		if (!ws_client_stdin_close(s->ws))
			log_warn(&s->c->log,
				 "the server's protocol cannot tell the process "
				 "that its input has ended");
		return false;
	}
	return s->tty ? send_keys(s, data, (size_t)n)
		      : ws_client_stdin(s->ws, data, (size_t)n);
}

static void on_input(struct loop_fd *src, unsigned events)
{
	struct session *s = container_of(src, struct session, in);

	(void)events;
	if (!read_input(s))
		loop_fd_set(src, 0);
}

static void on_input_file(struct loop_later *l)
{
	struct session *s = container_of(l, struct session, in_now);

	if (read_input(s))
		loop_later_add(s->loop, l);
}

static void on_writable(void *arg)
{
	struct session *s = arg;

	if (s->in_file)
		loop_later_add(s->loop, &s->in_now);
	else
		loop_fd_set(&s->in, LOOP_IN);
}

static int start_input(struct session *s)
{
	struct err err = {0};

	s->in.fd = STDIN_FILENO;
	s->in.fn = on_input;
	s->in_now.fn = on_input_file;
	if (loop_fd_add(s->loop, &s->in, LOOP_IN, &err) == 0)
		return 0;
	if (err.sys != EPERM) {
		*s->err = err;
		return -1;
	}
	s->in_file = true; /* epoll does not wait for regular files */
	loop_later_add(s->loop, &s->in_now);
	return 0;
}

/* --- terminal -------------------------------------------------------------------------------- */

static void send_size(struct session *s)
{
	struct winsize size;

	if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col && size.ws_row)
		ws_client_resize(s->ws, size.ws_col, size.ws_row);
}

static void on_signal(void *arg, const struct signalfd_siginfo *si)
{
	struct session *s = arg;

	if (si->ssi_signo == SIGWINCH)
		send_size(s);
	else
		finish(s, 128 + (int)si->ssi_signo);
}

static int make_raw(struct session *s)
{
	struct termios t;

	if (tcgetattr(STDIN_FILENO, &s->saved) < 0)
		return err_sys(s->err, errno, "standard input");
	t = s->saved;
	t.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR |
				 ICRNL | IXON);
	t.c_oflag &= ~(tcflag_t)OPOST;
	t.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
	t.c_cflag = (t.c_cflag & ~(tcflag_t)(CSIZE | PARENB)) | CS8;
	t.c_cc[VMIN] = 1;
	t.c_cc[VTIME] = 0;
	if (tcsetattr(STDIN_FILENO, TCSANOW, &t) < 0)
		return err_sys(s->err, errno, "standard input");
	s->raw = true;
	return 0;
}

/* --- all together ---------------------------------------------------------------------------- */

static int start(struct session *s, const char *url, bool in)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH};
	static const struct ws_client_ops ops = {
		.on_output = on_output,
		.on_writable = on_writable,
		.on_end = on_end,
	};

	s->ws = ws_client_new(s->loop, url, 30 * NS_PER_SEC, &ops, s, s->err);
	if (!s->ws)
		return -1;
	/* before the terminal changes: from here on, every end goes through session_run */
	if (loop_signals(s->loop, signals, ARRAY_LEN(signals) - (s->tty ? 0 : 1),
			 on_signal, s, s->err) < 0)
		return -1;
	if (s->tty && make_raw(s) < 0)
		return -1;
	if (s->tty)
		send_size(s);
	return in ? start_input(s) : 0;
}

int session_run(struct ctl *c, const char *url, bool in, bool tty, struct err *err)
{
	struct session s = {.c = c, .tty = tty, .err = err};
	int status;

	if (tty && !in)
		return err_set(err, ERR_INVALID, "--tty needs --interactive too");
	if (tty && !isatty(STDIN_FILENO))
		return err_set(err, ERR_INVALID,
			       "--tty: standard input is not a terminal");
	if (ctl_flush(c, err) < 0)
		return -1;
	s.loop = loop_new(err);
	if (!s.loop)
		return -1;
	status = start(&s, url, in);
	if (status == 0)
		status = loop_run(s.loop, err);
	if (s.raw)
		tcsetattr(STDIN_FILENO, TCSANOW, &s.saved);
	loop_fd_del(&s.in);
	loop_later_del(&s.in_now);
	ws_client_free(s.ws);
	loop_free(s.loop);
	return status;
}
