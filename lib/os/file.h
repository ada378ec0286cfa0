/* file: whole files, atomic replacement, trees. Paths are relative to a directory fd. */
#ifndef OS_FILE_H
#define OS_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

/* openat with O_CLOEXEC; the error names the path. An owned fd or -1. */
int file_open(int dirfd, const char *path, int flags, mode_t mode, struct err *err);

/* Appends a regular file's contents to b; more than max bytes is ERR_EXHAUSTED. */
int file_read(int dirfd, const char *path, size_t max, struct buf *b, struct err *err);

/* Truncates or creates and writes in place: for cgroup, proc and sysfs files. */
int file_write(int dirfd, const char *path, const char *text, struct err *err);

/*
 * Replaces path as a whole: temporary name in the same directory, then
 * rename. With sync, the data is flushed before the rename and the directory
 * after it: when this returns, the new contents survive a power cut.
 */
int file_replace(int dirfd, const char *path, const void *data, size_t n, mode_t mode,
		 bool sync, struct err *err);

/* mkdir -p; directories that are made get mode. */
int file_mkdirs(int dirfd, const char *path, mode_t mode, struct err *err);

/* Opens a directory, making it (one level) if it is not there. An owned fd or -1. */
int file_open_dir(int dirfd, const char *path, bool create, mode_t mode, struct err *err);

/*
 * rm -rf of one entry, never following symlinks and never crossing into
 * another mount. A missing entry is success.
 */
int file_remove_tree(int dirfd, const char *name, struct err *err);

/* Disk use of a tree as du counts it (hard links once): bytes and inodes. */
int file_disk_use(int dirfd, const char *name, uint64_t *ret_bytes, uint64_t *ret_inodes,
		  struct err *err);

#endif
