/* fd: file descriptors. All are O_CLOEXEC at birth. */
#ifndef OS_FD_H
#define OS_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

/* Closes *fd if it is not negative, and sets it to -1. errno is kept. */
void fd_close(int *fd);

/* Scope cleanup: `FD_AUTO fd = -1;` */
#define FD_AUTO __attribute__((cleanup(fd_close))) int

/* Gives the fd in *fd to the caller; *fd becomes -1. */
static inline int fd_take(int *fd)
{
	int got = *fd;

	*fd = -1;
	return got;
}

/* Writes all n bytes of data, through EINTR and short writes. 0 or -1 with errno. */
int fd_write_all(int fd, const void *data, size_t n);

/* Reads until n bytes or end of file. The count, or -1 with errno. */
ssize_t fd_read_full(int fd, void *data, size_t n);

/* Appends all that can be read to b, at most max bytes: more is ERR_EXHAUSTED. */
int fd_read_all(int fd, size_t max, struct buf *b, struct err *err);

int fd_set_nonblock(int fd, bool on);
int fd_set_cloexec(int fd, bool on);

/*
 * Standard error for a daemon's log: opened anew, so that it can be non-blocking without
 * the others who have it noticing. 2 itself if that cannot be (a socket; see log_line).
 */
int fd_log(void);

/* "/proc/self/fd/N" for calls that take no fd. */
enum { FD_PATH = 32 };
const char *fd_path(char dst[FD_PATH], int fd);

/* Marks every fd from `first` on close-on-exec (close_range, or a walk before 5.9). */
void fd_cloexec_from(int first);

#endif
