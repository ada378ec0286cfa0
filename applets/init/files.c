/* files: small files of the kernel, without memory of ours. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "init/init.h"
#include "os/fd.h"

int put_text_at(int dirfd, const char *name, const char *text)
{
	FD_AUTO fd = openat(dirfd, name, O_WRONLY | O_TRUNC | O_CLOEXEC);

	if (fd < 0)
		return -1;
	return fd_write_all(fd, text, strlen(text));
}

int put_text(const char *path, const char *text)
{
	return put_text_at(AT_FDCWD, path, text);
}

long get_text(const char *path, char *dst, size_t size)
{
	FD_AUTO fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : fd_read_full(fd, dst, size - 1);

	if (n < 0)
		return -1;
	while (n && dst[n - 1] == '\n')
		n--;
	dst[n] = 0;
	return n;
}
