#include "os/ns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arch.h"
#include "base/buf.h"
#include "os/fd.h"
#include "os/file.h"

#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif

int ns_write_map(pid_t pid, const char *file, const struct ns_map *maps, size_t n,
		 struct err *err)
{
	BUF_AUTO text = {0};
	char path[64];

	for (size_t i = 0; i < n; i++)
		buf_add_fmt(&text, "%u %u %u\n", maps[i].inside, maps[i].outside,
			    maps[i].count);
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	return file_write(AT_FDCWD, path, buf_str(&text), err);
}

pid_t ns_clone(uint64_t flags, int *ret_pidfd, struct err *err)
{
	unsigned long all = (unsigned long)flags | (ret_pidfd ? CLONE_PIDFD : 0);
	int pidfd = -1;
	long pid;

	/* as CLONE_PARENT has it, the signal is then that of our own parent's child */
	if (!(flags & CLONE_PARENT))
		all |= SIGCHLD;
	if (ARCH_CLONE_STACK_FIRST)
		pid = syscall(SYS_clone, 0L, all, &pidfd, 0L, 0L);
	else
		pid = syscall(SYS_clone, all, 0L, &pidfd, 0L, 0L);
	if (pid < 0)
		return err_sys(err, errno, "clone");
	if (pid > 0 && ret_pidfd)
		*ret_pidfd = pidfd;
	return (pid_t)pid;
}

pid_t ns_clone_into(uint64_t flags, int cgroup_fd, int *ret_pidfd, struct err *err)
{
	int pidfd = -1;
	struct clone_args args = {
		.flags = flags | CLONE_INTO_CGROUP | (ret_pidfd ? CLONE_PIDFD : 0),
		.pidfd = (uintptr_t)&pidfd,
		.exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD,
		.cgroup = (unsigned)cgroup_fd,
	};
	long pid = syscall(SYS_clone3, &args, sizeof(args));

	if (pid < 0)
		return err_sys(err, errno, "clone into a cgroup");
	if (pid > 0 && ret_pidfd)
		*ret_pidfd = pidfd;
	return (pid_t)pid;
}

int ns_new_user(const struct ns_map *uids, size_t nuids, const struct ns_map *gids,
		size_t ngids, struct err *err)
{
	char path[64];
	pid_t pid = ns_clone(CLONE_NEWUSER, NULL, err);
	int fd = -1;

	if (pid < 0)
		return err_wrap(err, "new user namespace");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	if (ns_write_map(pid, "uid_map", uids, nuids, err) == 0 &&
	    ns_write_map(pid, "gid_map", gids, ngids, err) == 0)
		fd = file_open(AT_FDCWD, path, O_RDONLY, 0, err);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return fd;
}
