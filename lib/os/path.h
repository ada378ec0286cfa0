/*
 * path: paths that a container or an image controls. Every lookup is
 * openat2 below a root fd; before Linux 5.6 there is none, and we refuse.
 */
#ifndef OS_PATH_H
#define OS_PATH_H

#include <sys/types.h>

#include "base/err.h"

/*
 * Opens path as seen by a process whose root is rootfd: symlinks, also
 * absolute ones and "..", stay inside (RESOLVE_IN_ROOT, no magic links).
 * An owned fd or -1. EAGAIN (a racing rename) is retried a bounded number of times.
 */
int path_open_in_root(int rootfd, const char *path, int flags, mode_t mode,
		      struct err *err);

/*
 * Opens path strictly below dirfd with no symlink, magic link or mount
 * crossing on the way: for trees that we own.
 */
int path_open_beneath(int dirfd, const char *path, int flags, mode_t mode,
		      struct err *err);

/*
 * mkdir -p below a root, following symlinks inside the root. Returns an
 * O_PATH fd of the last directory, or -1.
 */
int path_mkdirs_in_root(int rootfd, const char *path, mode_t mode, struct err *err);

/*
 * Makes an empty regular file (and its parents, 0755) below a root if nothing
 * is there; what exists is kept. Returns an O_PATH fd of it, or -1.
 */
int path_mkfile_in_root(int rootfd, const char *path, mode_t mode, struct err *err);

#endif
