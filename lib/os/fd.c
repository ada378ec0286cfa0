#include "os/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/num.h"

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

void fd_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

int fd_write_all(int fd, const void *data, size_t n)
{
	const char *p = data;

	while (n) {
		ssize_t got = write(fd, p, n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		p += got;
		n -= (size_t)got;
	}
	return 0;
}

ssize_t fd_read_full(int fd, void *data, size_t n)
{
	char *p = data;
	size_t done = 0;

	while (done < n) {
		ssize_t got = read(fd, p + done, n - done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

int fd_read_all(int fd, size_t max, struct buf *b, struct err *err)
{
	/* most files are small: the heap is to hold what they have, not what they might */
	uint8_t small[4096];
	size_t start = b->len, room = sizeof(small);
	ssize_t got = fd_read_full(fd, small, room);

	if (got > 0)
		buf_add(b, small, (size_t)got);
	for (;;) {
		if (got < 0)
			return err_sys(err, errno, "read");
		if (b->len - start > max)
			return err_set(err, ERR_EXHAUSTED, "larger than %zu bytes", max);
		if ((size_t)got < room)
			return 0;
		buf_reserve(b, sizeof(small));
		room = MIN(b->cap - b->len, max - (b->len - start) + 1);
		got = fd_read_full(fd, b->data + b->len, room);
		if (got > 0)
			b->len += (size_t)got;
	}
}

int fd_log(void)
{
	/* a file is appended to: the position is not shared any more */
	int fd = open("/proc/self/fd/2",
		      O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

	return fd < 0 ? 2 : fd;
}

static int set_flag(int fd, int get, int set, int flag, bool on)
{
	int flags = fcntl(fd, get);

	if (flags < 0)
		return -1;
	return fcntl(fd, set, on ? flags | flag : flags & ~flag);
}

int fd_set_nonblock(int fd, bool on)
{
	return set_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, on);
}

int fd_set_cloexec(int fd, bool on)
{
	return set_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC, on);
}

const char *fd_path(char dst[FD_PATH], int fd)
{
	snprintf(dst, FD_PATH, "/proc/self/fd/%d", fd);
	return dst;
}

void fd_cloexec_from(int first)
{
	struct dirent *e;
	DIR *d;

	if (syscall(SYS_close_range, first, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
		return;
	d = opendir("/proc/self/fd");
	if (!d)
		return;
	while ((e = readdir(d))) {
		uint64_t fd;

		if (num_u64(e->d_name, (uint64_t)first, INT32_MAX, &fd) == 0)
			fd_set_cloexec((int)fd, true);
	}
	closedir(d);
}
