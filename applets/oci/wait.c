/* wait: a foreground container: signals, terminal, exit status. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "oci/cli.h"
#include "os/fd.h"
#include "os/proc.h"
#include "os/sock.h"
#include "os/tty.h"

int wait_master(int sock, struct err *err)
{
	char name[4096];
	size_t nfds = 1;
	int fd = -1;
	ssize_t n = sock_recv_fds(sock, name, sizeof(name), &fd, &nfds);

	if (n <= 0 || nfds != 1)
		return err_set(err, ERR_INTERNAL, "no terminal came from the container");
	return fd;
}

void wait_as_ours(struct oci_process *p)
{
	unsigned short rows, cols;

	p->plain_newlines = true;
	if (p->terminal && tty_get_size(0, &rows, &cols) == 0) {
		p->rows = rows;
		p->cols = cols;
	}
}

/* The bytes on their way between the terminals: what could not be written waits. */
struct way {
	int from, to;
	char data[4096];
	size_t at, n;
	bool end;
};

static void pump(struct way *w, short in, short out)
{
	if (!w->n && in) {
		ssize_t n = read(w->from, w->data, sizeof(w->data));

		if (n > 0) {
			w->n = (size_t)n;
			w->at = 0;
			out = POLLOUT; /* try at once */
		} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
			w->end = true;
		}
	}
	if (w->n && out) {
		ssize_t n = write(w->to, w->data + w->at, w->n);

		if (n > 0) {
			w->at += (size_t)n;
			w->n -= (size_t)n;
		} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
			w->end = true;
		}
	}
}

static void copy_size(int master)
{
	unsigned short rows, cols;

	if (tty_get_size(0, &rows, &cols) == 0)
		tty_set_size(master, rows, cols);
}

/* Everything that was signalled; true when the child has ended. */
static bool on_signal(int sfd, pid_t pid, int pidfd, int master, int *status)
{
	struct signalfd_siginfo si;
	bool ended = false;

	while (read(sfd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		if (si.ssi_signo == SIGWINCH && master >= 0) {
			copy_size(master);
		} else if (si.ssi_signo != SIGCHLD && si.ssi_signo != SIGURG) {
			proc_kill(pidfd, (int)si.ssi_signo);
		} else {
			pid_t got;
			int st;

			/* orphans of the container become ours: we are a subreaper */
			while ((got = waitpid(-1, &st, WNOHANG)) > 0)
				if (got == pid) {
					*status = st;
					ended = true;
				}
		}
	}
	return ended;
}

static int make_raw(struct termios *old)
{
	struct termios raw;

	if (tcgetattr(0, old) < 0)
		return -1;
	raw = *old;
	cfmakeraw(&raw);
	raw.c_oflag |= OPOST; /* the container's does not add carriage returns */
	return tcsetattr(0, TCSANOW, &raw);
}

static void loop(int sfd, pid_t pid, int pidfd, int master, bool ended, int *status)
{
	struct way in = {.from = 0, .to = master}, out = {.from = master, .to = 1};

	in.end = out.end = master < 0;
	/* after its end, what it wrote is still in the terminal */
	while (!ended || !out.end) {
		struct pollfd p[] = {
			{.fd = ended ? -1 : sfd, .events = POLLIN},
			{.fd = in.end || in.n || ended ? -1 : 0, .events = POLLIN},
			{.fd = in.n && !in.end ? master : -1, .events = POLLOUT},
			{.fd = out.end || out.n ? -1 : master, .events = POLLIN},
			{.fd = out.n && !out.end ? 1 : -1, .events = POLLOUT},
		};

		if (poll(p, 5, ended ? 100 : -1) == 0)
			break;
		if (p[0].revents)
			ended = on_signal(sfd, pid, pidfd, master, status);
		if (!in.end)
			pump(&in, p[1].revents, p[2].revents);
		if (!out.end)
			pump(&out, p[3].revents, p[4].revents);
	}
}

int wait_child(pid_t pid, int pidfd, int master, struct err *err)
{
	struct termios old;
	sigset_t all, before;
	bool raw = false, ended;
	FD_AUTO sfd = -1;
	int status = 0;

	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	sigfillset(&all);
	sigdelset(&all, SIGTTOU);
	sigdelset(&all, SIGTTIN);
	sigprocmask(SIG_SETMASK, &all, &before);
	sfd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (sfd < 0)
		return err_sys(err, errno, "signalfd");
	if (master >= 0) {
		raw = make_raw(&old) == 0;
		copy_size(master);
	}
	/* it may have ended before the signals were blocked */
	ended = waitpid(pid, &status, WNOHANG) == pid;
	loop(sfd, pid, pidfd, master, ended, &status);
	if (raw)
		tcsetattr(0, TCSANOW, &old);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
