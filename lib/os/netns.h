/* netns: network namespaces of a single-threaded process. */
#ifndef OS_NETNS_H
#define OS_NETNS_H

#include "base/err.h"

/* Opens a namespace by path. An owned fd, or -1; err->sys ENOENT if it is gone. */
int netns_open(const char *path, struct err *err);

/* Enters the namespace. Returns an owned fd of the one we were in, or -1. */
int netns_enter(int fd, struct err *err);

/* Goes back to what netns_enter returned; fd_taken is closed. 0 or -1 (we are elsewhere!). */
int netns_leave(int fd_taken, struct err *err);

/*
 * A lock over our own network namespace, waited for. It leaves no file behind: it is a
 * flock(2) of the namespace's inode, and ends when the returned fd (owned) is closed or its
 * process ends. -1 on failure.
 */
int netns_lock(struct err *err);

#endif
