#include "os/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "os/fd.h"

static const char own[] = "/proc/self/ns/net";

int netns_open(const char *path, struct err *err)
{
	/* O_NONBLOCK: it may be anything, and nothing must wait in open */
	FD_AUTO fd = open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	struct statfs fs;

	if (fd < 0)
		return err_sys(err, errno, "open network namespace %s", path);
	if (fstatfs(fd, &fs) < 0)
		return err_sys(err, errno, "stat network namespace %s", path);
	if ((unsigned long)fs.f_type != NSFS_MAGIC &&
	    (unsigned long)fs.f_type != PROC_SUPER_MAGIC) {
		/* the mount point of a namespace that has been unmounted is a plain file */
		err_set(err, ERR_NOT_FOUND, "%s is no network namespace", path);
		err->sys = ENOENT;
		return -1;
	}
	return fd_take(&fd);
}

int netns_enter(int fd, struct err *err)
{
	FD_AUTO old = open(own, O_RDONLY | O_CLOEXEC);

	if (old < 0)
		return err_sys(err, errno, "open %s", own);
	if (setns(fd, CLONE_NEWNET) < 0)
		return err_sys(err, errno, "enter the network namespace");
	return fd_take(&old);
}

int netns_leave(int fd_taken, struct err *err)
{
	int r = setns(fd_taken, CLONE_NEWNET);

	if (r < 0)
		err_sys(err, errno, "return to the host's network namespace");
	fd_close(&fd_taken);
	return r;
}

int netns_lock(struct err *err)
{
	FD_AUTO fd = open(own, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(err, errno, "open %s", own);
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return err_sys(err, errno, "lock %s", own);
	return fd_take(&fd);
}
