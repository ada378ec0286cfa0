/* proc: processes: spawning ourselves in a role, pidfds, start times. */
#ifndef OS_PROC_H
#define OS_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* A child that is about to be spawned. */
struct proc_spawn {
	const char *const *argv; /* argv[0] is the role's name; NULL at the end */
	const char *path;	 /* program; NULL: our own binary (/proc/self/exe) */
	const char *const *envp; /* NULL: our environment */
	int fd3;		 /* becomes fd 3 of the child; -1: none */
	int fds[3];		 /* become 0, 1, 2; 0 in all: inherited; -1: /dev/null */
	int cgroup_fd;		 /* cgroup v2 directory to be born in; 0: ours */
};

/*
 * vfork + exec. Signal mask and dispositions are reset in the child, every
 * other fd is closed. Returns the pid (the caller reaps it) and, if
 * ret_pidfd is not NULL, a pidfd that the caller owns; or -1.
 */
pid_t proc_spawn(const struct proc_spawn *how, int *ret_pidfd, struct err *err);

/* pidfd_open(2). An owned fd or -1 (ESRCH: no such process). */
int proc_pidfd(pid_t pid, struct err *err);

/* pidfd_send_signal(2). 0 or -1 with errno. */
int proc_kill(int pidfd, int sig);

/*
 * Start time of a process in clock ticks since boot (field 22 of
 * /proc/PID/stat): with the pid, a name that is never used twice. 0 if there
 * is no such process.
 */
uint64_t proc_start_time(pid_t pid);

/* The same, and the letter of its state (field 3): 'Z' is a zombie. */
uint64_t proc_stat(pid_t pid, char *ret_state);

/* True if a pidfd's process has ended (it may not have been reaped). */
bool proc_ended(int pidfd);

/* True if we are in a user namespace that is not the host's. */
bool proc_in_userns(void);

/* This boot's id (/proc/sys/kernel/random/boot_id, 36 characters). */
enum { PROC_BOOT_ID = 40 };
int proc_boot_id(char dst[PROC_BOOT_ID], struct err *err);

/* n random bytes; never fails once the kernel's pool is ready. */
void proc_random(void *dst, size_t n);

#endif
