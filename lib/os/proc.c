#include "os/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "os/fd.h"
#include "os/file.h"

extern char **environ;

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

/* Puts the fds in their places. In the vfork child: only system calls. */
static int place_fds(const struct proc_spawn *how, int null)
{
	bool inherit = !how->fds[0] && !how->fds[1] && !how->fds[2];
	int want[4] = {how->fds[0], how->fds[1], how->fds[2], how->fd3};
	int high[4];

	/* first out of the way, so that no dup2 overwrites another's source */
	for (int i = inherit ? 3 : 0; i < 4; i++) {
		int fd = want[i] < 0 && i < 3 ? null : want[i];

		high[i] = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 10);
		if (fd >= 0 && high[i] < 0)
			return -1;
	}
	for (int i = inherit ? 3 : 0; i < 4; i++)
		if (high[i] >= 0 && dup2(high[i], i) < 0)
			return -1;
	fd_cloexec_from(how->fd3 >= 0 ? 4 : 3);
	return 0;
}

/* The part of the child that runs on our memory: vfork. */
static void child(const struct proc_spawn *how, const char *path, int null,
		  volatile int *failed)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int sig = 1; sig < 65; sig++)
		if (sig != SIGKILL && sig != SIGSTOP && (sig < 32 || sig > 34))
			sigaction(sig, &dfl, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (how->cgroup_fd > 0) {
		int fd = openat(how->cgroup_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);

		if (fd < 0 || write(fd, "0", 1) != 1) {
			*failed = errno;
			_exit(127);
		}
	}
	if (place_fds(how, null) == 0)
		execve(path, (char **)(uintptr_t)how->argv,
		       how->envp ? (char **)(uintptr_t)how->envp : environ);
	*failed = errno;
	_exit(127);
}

pid_t proc_spawn(const struct proc_spawn *how, int *ret_pidfd, struct err *err)
{
	const char *path = how->path ? how->path : "/proc/self/exe";
	FD_AUTO null = open("/dev/null", O_RDWR | O_CLOEXEC);
	volatile int failed = 0;
	sigset_t all, old;
	pid_t pid;

	if (null < 0)
		return err_sys(err, errno, "open /dev/null");
	/* no handler of ours may run in the child, on the parent's memory */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	pid = vfork();
	if (pid == 0)
		child(how, path, null, &failed);
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (pid < 0)
		return err_sys(err, errno, "start %s", how->argv[0]);
	if (failed) {
		waitpid(pid, NULL, 0);
		return err_sys(err, failed, "start %s", path);
	}
	if (ret_pidfd) {
		*ret_pidfd = proc_pidfd(pid, err);
		if (*ret_pidfd < 0) {
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
			return -1;
		}
	}
	return pid;
}

int proc_pidfd(pid_t pid, struct err *err)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0)
		return err_sys(err, errno, "process %d", (int)pid);
	return fd;
}

int proc_kill(int pidfd, int sig)
{
	return (int)syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0);
}

uint64_t proc_start_time(pid_t pid)
{
	char state;

	return proc_stat(pid, &state);
}

uint64_t proc_stat(pid_t pid, char *ret_state)
{
	char path[32];
	BUF_AUTO b = {0};
	struct err err;
	const char *s;
	uint64_t v = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (file_read(AT_FDCWD, path, 8192, &b, &err) < 0)
		return 0;
	/* the name, in parentheses, may hold anything: count from its end */
	s = strrchr(buf_str(&b), ')');
	if (!s || s[1] != ' ')
		return 0;
	*ret_state = s[2];
	for (int field = 2; s && field < 22; field++)
		s = strchr(s + 1, ' ');
	if (!s)
		return 0;
	for (s++; *s >= '0' && *s <= '9'; s++)
		v = v * 10 + (uint64_t)(*s - '0');
	return v;
}

bool proc_ended(int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

int proc_boot_id(char dst[PROC_BOOT_ID], struct err *err)
{
	BUF_AUTO b = {0};

	if (file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &b, err) < 0)
		return -1;
	while (b.len && b.data[b.len - 1] == '\n')
		b.len--;
	str_copy(dst, PROC_BOOT_ID, buf_str(&b));
	return 0;
}

void proc_random(void *dst, size_t n)
{
	char *p = dst;

	while (n) {
		ssize_t got = getrandom(p, n, 0);

		if (got > 0) {
			p += got;
			n -= (size_t)got;
		}
	}
}

bool proc_in_userns(void)
{
	unsigned inside, outside, count;
	BUF_AUTO text = {0};
	struct err ignored;

	if (file_read(AT_FDCWD, "/proc/self/uid_map", 4096, &text, &ignored) < 0)
		return false;
	return sscanf(buf_str(&text), "%u %u %u", &inside, &outside, &count) != 3 ||
	       inside || outside || count != UINT32_MAX;
}
