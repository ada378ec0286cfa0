#include "os/self.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <linux/mount.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/fd.h"
#include "os/file.h"
#include "os/mount.h"

#ifndef F_GET_SEALS
#define F_ADD_SEALS 1033
#define F_GET_SEALS 1034
#endif
#ifndef F_SEAL_SEAL
#define F_SEAL_SEAL 1
#define F_SEAL_SHRINK 2
#define F_SEAL_GROW 4
#define F_SEAL_WRITE 8
#endif
#ifndef MFD_EXEC
#define MFD_EXEC 16U
#endif

extern char **environ;

static const char exe[] = "/proc/self/exe";

/* A read-only mount that nobody can remount, or a sealed memfd. */
static bool is_protected(void)
{
	FD_AUTO fd = openat(AT_FDCWD, exe, O_RDONLY | O_CLOEXEC);
	struct statvfs st;
	int seals;

	if (fd < 0)
		return false;
	seals = fcntl(fd, F_GET_SEALS);
	if (seals >= 0 && (seals & F_SEAL_WRITE))
		return true;
	return fstatvfs(fd, &st) == 0 && (st.f_flag & ST_RDONLY);
}

/* A read-only clone of the mount at our file; -1 where the kernel cannot, or may not. */
static int open_clone(void)
{
	struct err err;
	FD_AUTO fd = mount_clone(AT_FDCWD, exe, false, &err);

	if (fd < 0 || mount_set(fd, false, MOUNT_ATTR_RDONLY, 0, MS_PRIVATE, &err) < 0)
		return -1;
	return fd_take(&fd);
}

/* A sealed copy. */
static int open_copy(struct err *err)
{
	FD_AUTO from = open(exe, O_RDONLY | O_CLOEXEC);
	FD_AUTO to = -1;
	struct stat st;

	if (from < 0 || fstat(from, &st) < 0)
		return err_sys(err, errno, "open %s", exe);
	to = (int)syscall(SYS_memfd_create, "cribox",
			  MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
	if (to < 0 && errno == EINVAL) /* before Linux 6.3 */
		to = (int)syscall(SYS_memfd_create, "cribox",
				  MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (to < 0)
		return err_sys(err, errno, "copy %s", exe);
	for (off_t left = st.st_size; left > 0;) {
		ssize_t n = sendfile(to, from, NULL, (size_t)left);

		if (n <= 0)
			return err_sys(err, n ? errno : EIO, "copy %s", exe);
		left -= n;
	}
	/*
	 * Without the right to read, its processes are not dumpable either; but without root's
	 * rights they could not open their own files in /proc then, this one to begin with.
	 */
	if (fchmod(to, geteuid() == 0 ? 0111 : 0555) < 0 ||
	    fcntl(to, F_ADD_SEALS,
		  F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return err_sys(err, errno, "seal the copy of %s", exe);
	return fd_take(&to);
}

static int open_protected(struct err *err)
{
	int fd = open_clone();

	return fd >= 0 ? fd : open_copy(err);
}

int self_open_protected(struct err *err)
{
	/* our own mount is out of every namespace by now, and cannot be cloned again */
	if (is_protected())
		return file_open(AT_FDCWD, exe, O_RDONLY, 0, err);
	return open_protected(err);
}

int self_protect(char *const *argv, struct err *err)
{
	FD_AUTO fd = -1;

	if (is_protected())
		return 0;
	fd = open_protected(err);
	if (fd < 0)
		return -1;
	syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
	return err_sys(err, errno, "execute the protected copy of %s", exe);
}
