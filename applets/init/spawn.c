/*
 * spawn: processes of services: in a group and a session of their own, without the
 * capabilities to load modules and to reboot, and with nothing inherited.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/str.h"
#include "init/init.h"
#include "os/fd.h"

/* What a child becomes. Made before the fork: the child only makes system calls. */
struct birth {
	const char *argv[WORDS];
	const char *env[32];
	int fds[4]; /* for 0 to 3; -1: /dev/null, for 3: none */
	char oom[16];
	int cgroup_fd; /* -1: that of init */
	bool keep_caps;
};

static int place_fds(const struct birth *b)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), high[4];

	for (int i = 0; i < 4; i++) {
		int fd = i < 3 && b->fds[i] < 0 ? null : b->fds[i];

		high[i] = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 10);
		if (fd >= 0 && high[i] < 0)
			return -1;
	}
	for (int i = 0; i < 4; i++)
		if (high[i] >= 0 && dup2(high[i], i) < 0)
			return -1;
	fd_cloexec_from(b->fds[3] >= 0 ? 4 : 3);
	return 0;
}

__attribute__((noreturn)) static void child(const struct birth *b)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	struct rlimit files = {1048576, 1048576};
	char text[128];
	sigset_t none;
	int n;

	for (int sig = 1; sig < 65; sig++)
		if (sig != SIGKILL && sig != SIGSTOP && (sig < 32 || sig > 34))
			sigaction(sig, &dfl, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/*
	 * Not CLONE_INTO_CGROUP: since cgroup.kill counts (Linux 6.12.13), it compares the
	 * counts of two different groups, and kills whoever is born where one was killed.
	 */
	if (b->cgroup_fd >= 0)
		put_text_at(b->cgroup_fd, "cgroup.procs", "0");
	setsid();
	if (*b->oom)
		put_text("/proc/self/oom_score_adj", b->oom);
	setrlimit(RLIMIT_NOFILE, &files);
	if (!b->keep_caps) {
		prctl(PR_CAPBSET_DROP, CAP_SYS_MODULE, 0, 0, 0);
		prctl(PR_CAPBSET_DROP, CAP_SYS_BOOT, 0, 0, 0);
	}
	if (place_fds(b) == 0)
		execve(str_eq(b->argv[0], INITJOB) ? "/proc/self/exe" : b->argv[0],
		       (char **)(uintptr_t)b->argv, (char **)(uintptr_t)b->env);
	n = snprintf(text, sizeof(text), "cannot start %.80s: %s\n", b->argv[0],
		     strerror(errno));
	if (write(STDERR_FILENO, text, (size_t)n) < 0)
		_exit(126);
	_exit(127);
}

static pid_t give_birth(const struct birth *b, int *ret_pidfd)
{
	int pidfd = -1;
	struct clone_args args = {.flags = CLONE_PIDFD, .exit_signal = SIGCHLD};
	long pid;

	args.pidfd = (uintptr_t)&pidfd;
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		child(b);
	if (pid > 0)
		*ret_pidfd = pidfd;
	return (pid_t)pid;
}

static const char *const base_env[] = {
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/payload/bin",
	"HOME=/root",
	"NOTIFY_SOCKET=/run/cribox/notify",
};

pid_t spawn_job(const char *const *words, const int fds[4], int *ret_pidfd)
{
	struct birth b = {.argv = {INITJOB}, .cgroup_fd = -1, .keep_caps = true};
	size_t n = 1;

	while (*words && n < WORDS - 1)
		b.argv[n++] = *words++;
	b.env[0] = base_env[0];
	b.env[1] = base_env[1];
	memcpy(b.fds, fds, sizeof(b.fds));
	return give_birth(&b, ret_pidfd);
}

/* Adds the words of a list that an empty one ends. */
static size_t add_words(const char **to, size_t n, size_t max, const char *blob)
{
	for (const char *p = blob; *p && n < max - 1; p += strlen(p) + 1)
		to[n++] = p;
	to[n] = NULL;
	return n;
}

/* crid gets the settings that were checked, whatever its file says by now. */
static void add_settings(struct birth *b, size_t n, const char *blob)
{
	b->argv[n++] = "--config";
	b->argv[n++] = "/run/cribox/crid.toml"; /* empty */
	for (const char *p = blob; *p && n < WORDS - 3; p += strlen(p) + 1) {
		b->argv[n++] = "--set";
		b->argv[n++] = p;
	}
	b->argv[n] = NULL;
}

static void prepare(struct service *s, struct birth *b)
{
	struct init *in = s->init;
	size_t n = add_words(b->argv, 0, WORDS, s->def.argv), e = 0;

	if (s->tty[0] && n < WORDS - 1)
		b->argv[n++] = s->tty;
	if (str_eq(s->title, "crid") && n == 2 && str_eq(b->argv[1], "crid"))
		add_settings(b, n, in->cfg.crid);
	/* only for those that are to use it: it would go on to their children */
	for (size_t i = 0; i < ARRAY_LEN(base_env) - !str_eq(s->def.ready, "notify"); i++)
		b->env[e++] = base_env[i];
	add_words(b->env, e, ARRAY_LEN(b->env), s->def.env);
	snprintf(b->oom, sizeof(b->oom), "%d", (int)s->def.oom_score_adj);
	/* a person at the console may load modules; pods may if the configuration says so */
	b->keep_caps =
		s->tty[0] || (in->cfg.pods_load_modules && str_eq(s->title, "crid"));
}

int spawn(struct service *s, struct err *err)
{
	struct birth b = {.fds = {-1, -1, -1, -1}};
	FD_AUTO from = -1;
	FD_AUTO to = -1;
	int fds[2];
	pid_t pid;

	prepare(s, &b);
	if (s->cgroup_fd < 0)
		s->cgroup_fd = group_open(s->init, s, err);
	if (s->cgroup_fd < 0) /* a console is needed all the more */
		say(s->init, SAY_WARN, s->title, "%s: runs without", err->msg);
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	from = fds[0];
	to = fds[1];
	b.fds[1] = b.fds[2] = to;
	b.cgroup_fd = s->cgroup_fd;
	if (s == s->init->log)
		b.fds[3] = s->init->log_socket[1];
	pid = give_birth(&b, &s->pidfd);
	if (pid < 0)
		return err_sys(err, errno, "fork");
	s->pid = pid;
	fd_set_nonblock(from, true); /* our end only: the other is another description */
	fd_close(&s->output);
	s->output = fd_take(&from);
	output_watch(s);
	return 0;
}
