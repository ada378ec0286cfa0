/*
 * shell: the prompt. A line is one command: an applet of this binary, a program by its path,
 * or one of a few words of our own. It runs on a terminal of its own (a pty), so that Ctrl-C
 * reaches it and that what it prints passes the filter on its way to the real terminal. That
 * holds for `ctl exec -it` as well: a program in a container is the last that should control
 * the console; what needs more than lines and colours is better run from elsewhere.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"
#include "console.h"
#include "filter.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/proc.h"
#include "os/tty.h"
#include "words.h"

enum {
	CHUNK = 4096,
	ESCAPE = 0x1d,	/* Ctrl-] */
	ESCAPES = 3,	/* so many in a row end what runs */
	LINGER_MS = 50, /* for the last output of what has ended */
};

static const char help[] =
	"One command a line: an applet (\"help\" lists them; NAME --help tells more), or "
	"a\n"
	"program by its path. Quotes work as in a shell; pipes and redirections do not.\n"
	"\n"
	"  status       the state of the node\n"
	"  cd DIRECTORY\n"
	"  exit         leave this prompt (also Ctrl-D)\n"
	"\n"
	"Ctrl-C interrupts what runs; Ctrl-] three times kills it.\n";

/* One command that runs. */
struct running {
	int master;
	int slave; /* kept for what is typed ahead */
	int pidfd;
	pid_t pid;
	unsigned escapes;
	bool killed;
	uint8_t last; /* byte that was shown */
	struct filter filter;
};

static void complain(struct console *c, const struct err *err)
{
	BUF_AUTO out = {0};

	str_escape(&out, err->msg, strlen(err->msg));
	buf_add_char(&out, '\n');
	terminal_say(c, buf_str(&out));
}

/* --- a child ------------------------------------------------------------------------------- */

/* In the child: its own session on the slave. */
static void child(char **argv, int slave)
{
	static const int ignored_here[] = {SIGINT, SIGPIPE, SIGTTIN, SIGTTOU};
	sigset_t none;
	struct err ignored;

	for (size_t i = 0; i < ARRAY_LEN(ignored_here); i++)
		signal(ignored_here[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* the console is not to be killed for memory; what a person starts is */
	file_write(AT_FDCWD, "/proc/self/oom_score_adj", "0", &ignored);
	if (setsid() < 0 || tty_control(slave) < 0 || dup2(slave, 0) < 0 ||
	    dup2(slave, 1) < 0 || dup2(slave, 2) < 0)
		_exit(126);
	fd_cloexec_from(3);
	execv(strchr(argv[0], '/') ? argv[0] : "/proc/self/exe", argv);
	fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

static void set_up_slave(struct console *c, int slave)
{
	unsigned short rows, cols;
	struct termios t;

	if (tcgetattr(slave, &t) == 0) {
		t.c_iflag |= IUTF8;
		tcsetattr(slave, TCSANOW, &t);
	}
	if (tty_get_size(c->fd, &rows, &cols) < 0 || !rows || !cols) {
		rows = 24; /* a serial line knows none */
		cols = 80;
	}
	tty_set_size(slave, rows, cols);
}

static int start(struct console *c, char **argv, struct running *r, struct err *err)
{
	FD_AUTO pts = file_open(AT_FDCWD, "/dev/pts", O_RDONLY | O_DIRECTORY, 0, err);
	FD_AUTO master = -1;
	FD_AUTO slave = -1;
	unsigned number;

	if (pts < 0 || tty_open(pts, &master, &slave, &number, err) < 0)
		return -1;
	set_up_slave(c, slave);
	r->pid = fork();
	if (r->pid < 0)
		return err_sys(err, errno, "fork");
	if (r->pid == 0)
		child(argv, slave);
	r->pidfd = proc_pidfd(r->pid, err);
	if (r->pidfd < 0) {
		kill(r->pid, SIGKILL);
		waitpid(r->pid, NULL, 0);
		return -1;
	}
	fd_set_nonblock(master, true);
	r->master = fd_take(&master);
	r->slave = fd_take(&slave);
	return 0;
}

/* Output, filtered. WAIT_READY if there was some, WAIT_TIMEOUT if there is none now. */
static enum wait show(struct console *c, struct running *r)
{
	char data[CHUNK];
	ssize_t n = read(r->master, data, sizeof(data));
	BUF_AUTO out = {0};

	if (n <= 0)
		return WAIT_TIMEOUT;
	filter_add(&r->filter, data, (size_t)n, &out);
	if (!out.len)
		return WAIT_READY;
	r->last = out.data[out.len - 1];
	return terminal_write(c, out.data, out.len);
}

/* What is typed goes to the child; what its terminal has no room for is lost. */
static void pass_keys(struct running *r, const uint8_t *keys, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		r->escapes = keys[i] == ESCAPE ? r->escapes + 1 : 0;
		if (r->escapes != ESCAPES)
			continue;
		r->killed = true;
		kill(-r->pid, SIGKILL);
	}
	if (n && write(r->master, keys, n) < 0)
		return;
}

/* False: the terminal is gone. */
static bool pass_on(struct console *c, struct running *r)
{
	uint8_t keys[256];
	ssize_t n = read(c->fd, keys, sizeof(keys));

	if (n > 0)
		pass_keys(r, keys, (size_t)n);
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* What was typed and not read by the child is for the prompt. */
static void take_back(struct console *c, struct running *r)
{
	struct pollfd in = {.fd = r->slave, .events = POLLIN};
	uint8_t keys[CHUNK];
	struct termios t;
	ssize_t n;

	if (r->killed || tcgetattr(r->slave, &t) < 0)
		return;
	t.c_lflag &= (tcflag_t) ~(ICANON | ECHO | ISIG);
	t.c_cc[VMIN] = 1;
	t.c_cc[VTIME] = 0;
	tcsetattr(r->slave, TCSANOW, &t);
	/* the child's descriptors are the same open file: it must not become non-blocking */
	n = poll(&in, 1, 0) == 1 ? read(r->slave, keys, sizeof(keys)) : 0;
	if (n > 0)
		buf_add(&c->typed, keys, (size_t)n);
}

/* Output that is there, after the child's end. */
static enum wait linger(struct console *c, struct running *r)
{
	struct pollfd out = {.fd = r->master, .events = POLLIN};
	enum wait how;

	do
		how = terminal_wait(c, &out, 1, LINGER_MS);
	while ((how == WAIT_READY || how == WAIT_INTERRUPT) &&
	       (how = show(c, r)) == WAIT_READY);
	return how == WAIT_TIMEOUT ? WAIT_READY : how;
}

/* Until the child ends, and its output has been shown. */
static enum wait follow(struct console *c, struct running *r)
{
	for (;;) {
		struct pollfd fds[] = {
			{.fd = r->master, .events = POLLIN},
			{.fd = c->fd, .events = POLLIN},
			{.fd = r->pidfd, .events = POLLIN},
		};
		enum wait how = terminal_wait(c, fds, 3, -1);

		if (how == WAIT_GONE || how == WAIT_END)
			return how;
		if (fds[0].revents) {
			how = show(c, r);
			if (how == WAIT_GONE || how == WAIT_END)
				return how;
		}
		if (fds[1].revents & (POLLHUP | POLLERR) ||
		    (fds[1].revents & POLLIN && !pass_on(c, r)))
			return WAIT_GONE;
		if (fds[2].revents)
			return linger(c, r);
	}
}

/* Its status. One that outlives its terminal is killed; one that cannot be, is left. */
static int reap(struct running *r)
{
	enum { STEPS = 40, KILL_AT = 20, STEP_MS = 25 };
	struct pollfd end = {.fd = r->pidfd, .events = POLLIN};
	int status;

	for (int i = 0; i < STEPS; i++) {
		if (waitpid(r->pid, &status, WNOHANG) == r->pid)
			return status;
		if (i == KILL_AT)
			kill(-r->pid, SIGKILL);
		poll(&end, 1, STEP_MS);
	}
	return SIGKILL;
}

static void report(struct console *c, int status)
{
	char text[64];

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return;
	if (WIFEXITED(status))
		snprintf(text, sizeof(text), "[status %d]\n", WEXITSTATUS(status));
	else
		snprintf(text, sizeof(text), "[status %d]\n", 128 + WTERMSIG(status));
	terminal_say(c, text);
}

static enum wait run_program(struct console *c, char **argv)
{
	struct running r = {.master = -1, .slave = -1, .pidfd = -1, .last = '\n'};
	struct err err;
	BUF_AUTO rest = {0};
	enum wait how;
	int status;

	if (start(c, argv, &r, &err) < 0) {
		complain(c, &err);
		return WAIT_READY;
	}
	pass_keys(&r, c->typed.data, c->typed.len);
	buf_reset(&c->typed);
	how = follow(c, &r);
	take_back(c, &r);
	filter_end(&r.filter, &rest);
	if (rest.len || r.last != '\n')
		buf_add_str(&rest, "\r\n"); /* the prompt begins a line */
	if (how == WAIT_READY)
		how = terminal_write(c, rest.data, rest.len);
	fd_close(&r.slave);
	fd_close(&r.master); /* hangs up on what is left */
	status = reap(&r);
	fd_close(&r.pidfd);
	if (how != WAIT_READY)
		return how;
	report(c, status);
	return WAIT_READY;
}

/* --- the prompt ---------------------------------------------------------------------------- */

static enum wait change_directory(struct console *c, const char *path)
{
	struct err err;

	if (chdir(path ? path : "/") < 0) {
		err_sys(&err, errno, "cd: %s", path ? path : "/");
		complain(c, &err);
		return terminal_say(c, "[status 1]\n");
	}
	return WAIT_READY;
}

static enum wait run_help(struct console *c)
{
	static char *list[] = {(char *)"cribox", NULL};
	enum wait how = run_program(c, list);

	return how == WAIT_READY ? terminal_say(c, help) : how;
}

static enum wait run_line(struct console *c, const char *line, bool *ret_leave)
{
	ARENA_AUTO a = {0};
	char **argv;
	struct err err;
	int n = words_split(line, &a, &argv, &err);

	if (n < 0) {
		complain(c, &err);
		return terminal_say(c, "[status 2]\n");
	}
	if (n == 0)
		return WAIT_READY;
	if (str_eq(argv[0], "exit") || str_eq(argv[0], "logout")) {
		*ret_leave = true;
		return WAIT_READY;
	}
	if (str_eq(argv[0], "cd"))
		return change_directory(c, argv[1]);
	if (str_eq(argv[0], "help"))
		return run_help(c);
	if (str_eq(argv[0], "status")) {
		BUF_AUTO text = {0};

		screen_make(c, &text);
		return terminal_say(c, buf_str(&text));
	}
	return run_program(c, argv);
}

enum wait shell_run(struct console *c)
{
	char line[LINE_LENGTH];
	bool leave = false, end;

	while (!leave) {
		enum wait how;

		while (waitpid(-1, NULL, WNOHANG) > 0) /* what was left */
			;
		how = terminal_say(c, "cribox# ");

		if (how == WAIT_READY)
			how = terminal_line(c, true, -1, line, &end);
		if (how == WAIT_READY && end) {
			leave = true;
			how = terminal_say(c, "\n");
		} else if (how == WAIT_READY) {
			how = run_line(c, line, &leave);
		}
		if (how == WAIT_GONE || how == WAIT_END)
			return how;
	}
	return WAIT_READY;
}
