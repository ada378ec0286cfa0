/* ns: namespaces. */
#ifndef OS_NS_H
#define OS_NS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* One line of uid_map or gid_map (user_namespaces(7)). */
struct ns_map {
	uint32_t inside, outside, count;
};

/* Writes /proc/PID/uid_map or gid_map ("uid_map"). 0 or -1. */
int ns_write_map(pid_t pid, const char *file, const struct ns_map *maps, size_t n,
		 struct err *err);

/* A user namespace with these mappings and no process in it. An owned fd or -1. */
int ns_new_user(const struct ns_map *uids, size_t nuids, const struct ns_map *gids,
		size_t ngids, struct err *err);

/*
 * fork with clone flags (CLONE_NEWx, CLONE_PARENT). In the child 0 is returned; in the
 * parent the pid, and a pidfd if ret_pidfd is not NULL. -1 on failure.
 */
pid_t ns_clone(uint64_t flags, int *ret_pidfd, struct err *err);

/*
 * The same, born in a cgroup of version 2 (a directory's fd; CLONE_INTO_CGROUP, Linux 5.7).
 * Whatever the reason of a failure, it may work with ns_clone and a move afterwards.
 */
pid_t ns_clone_into(uint64_t flags, int cgroup_fd, int *ret_pidfd, struct err *err);

#endif
