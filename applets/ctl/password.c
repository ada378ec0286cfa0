#include "password.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "os/fd.h"
#include "print.h"

/* Reads to the end of the line; a signal ends it with ERR_CANCELLED. */
static int read_line(int signal_fd, char *dst, size_t size, struct err *err)
{
	struct pollfd p[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
			      {.fd = signal_fd, .events = POLLIN}};
	size_t n = 0;

	while (n + 1 < size) {
		ssize_t r;

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return err_sys(err, errno, "standard input");
		if (p[1].revents)
			return err_set(err, ERR_CANCELLED, "interrupted");
		if (!p[0].revents)
			continue;
		r = read(STDIN_FILENO, dst + n, 1);
		if (r < 0)
			return err_sys(err, errno, "standard input");
		if (r == 0 || dst[n] == '\n')
			break;
		n++;
	}
	dst[n] = 0;
	return 0;
}

int password_ask(struct ctl *c, char *dst, size_t size, struct err *err)
{
	struct termios old, quiet;
	bool tty = tcgetattr(STDIN_FILENO, &old) == 0;
	FD_AUTO signal_fd = -1;
	sigset_t set, before;
	int r;

	ctl_say(c, "Enter Password:");
	if (ctl_flush(c, err) < 0)
		return -1;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, &before);
	signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (tty) {
		quiet = old;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	}
	r = read_line(signal_fd, dst, size, err);
	if (tty)
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
	if (r == 0) /* else we end, and the signal that is pending must not be first */
		sigprocmask(SIG_SETMASK, &before, NULL);
	ctl_say(c, "\n");
	return r;
}
