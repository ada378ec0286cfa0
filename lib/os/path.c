#include "os/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/str.h"
#include "os/fd.h"

enum { RETRIES = 128, MAX_DEPTH = 256, MAX_LINKS = 40 };

static int open2(int dirfd, const char *path, int flags, mode_t mode, uint64_t resolve)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
		.mode = (flags & O_CREAT) ? mode : 0,
		.resolve = resolve,
	};
	long fd = -1;

	for (int i = 0; i < RETRIES; i++) {
		fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			break;
	}
	return (int)fd;
}

int path_open_in_root(int rootfd, const char *path, int flags, mode_t mode,
		      struct err *err)
{
	int fd = open2(rootfd, *path ? path : ".", flags, mode,
		       RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);

	if (fd < 0)
		return err_sys(err, errno, "open %s", path);
	return fd;
}

int path_open_beneath(int dirfd, const char *path, int flags, mode_t mode,
		      struct err *err)
{
	int fd = open2(dirfd, path, flags, mode,
		       RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
			       RESOLVE_NO_XDEV);

	if (fd < 0)
		return err_sys(err, errno, "open %s", path);
	return fd;
}

static int mkdirs(int rootfd, const char *path, mode_t mode, unsigned links,
		  struct err *err);

/* A symlink in dir (its path is upto) that leads to nothing: what it names is made. */
static int step_link(int rootfd, const char *upto, int dir, const char *name, mode_t mode,
		     unsigned links, struct err *err)
{
	char target[4096];
	ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);
	STR_AUTO path = NULL;

	if (n < 0) /* EINVAL: not a symlink, a file */
		return err_sys(err, errno == EINVAL ? ENOTDIR : errno,
			       "make directory %s/%s", upto, name);
	if (!links)
		return err_sys(err, ELOOP, "make directory %s/%s", upto, name);
	target[n] = 0;
	path = *target == '/' ? xstrdup(target) : xasprintf("%s/%s", upto, target);
	return mkdirs(rootfd, path, mode, links - 1, err);
}

/* Opens or makes the directory path[0..len) below the root, through so many symlinks. */
static int step(int rootfd, const char *path, size_t len, mode_t mode, unsigned links,
		struct err *err)
{
	STR_AUTO upto = xstrndup(path, len);
	char *slash = strrchr(upto, '/');
	const char *name = slash ? slash + 1 : upto;
	FD_AUTO parent = -1;
	int fd, dir = rootfd;

	fd = open2(rootfd, upto, O_PATH | O_DIRECTORY, 0,
		   RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
	if (fd >= 0)
		return fd;
	if (errno != ENOENT || str_eq(name, "..") || str_eq(name, "."))
		return err_sys(err, errno, "make directory %s", upto);
	if (slash)
		*slash = 0;
	if (slash && *upto) {
		parent = open2(rootfd, upto, O_PATH | O_DIRECTORY, 0,
			       RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
		if (parent < 0)
			return err_sys(err, errno, "make directory %s", path);
		dir = parent;
	}
	if (mkdirat(dir, name, mode) < 0 && errno != EEXIST)
		return err_sys(err, errno, "make directory %s", path);
	fd = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOTDIR)
		return step_link(rootfd, slash && *upto ? upto : "", dir, name, mode,
				 links, err);
	if (fd < 0)
		return err_sys(err, errno, "make directory %s", path);
	return fd;
}

static int mkdirs(int rootfd, const char *path, mode_t mode, unsigned links,
		  struct err *err)
{
	FD_AUTO fd = open2(rootfd, *path ? path : ".", O_PATH | O_DIRECTORY, 0,
			   RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
	size_t len = 0;

	if (fd >= 0)
		return fd_take(&fd);
	if (!path[strspn(path, "/")])
		return err_sys(err, errno, "open root");
	for (unsigned depth = 0;; depth++) {
		len += strspn(path + len, "/");
		if (!path[len])
			return fd_take(&fd);
		if (depth > MAX_DEPTH)
			return err_set(err, ERR_INVALID,
				       "make directory: nested too deep");
		len += strcspn(path + len, "/");
		fd_close(&fd);
		fd = step(rootfd, path, len, mode, links, err);
		if (fd < 0)
			return -1;
	}
}

int path_mkdirs_in_root(int rootfd, const char *path, mode_t mode, struct err *err)
{
	return mkdirs(rootfd, path, mode, MAX_LINKS, err);
}

static int mkfile(int rootfd, const char *path, mode_t mode, unsigned links,
		  struct err *err)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	STR_AUTO dir = slash ? xstrndup(path, (size_t)(slash - path)) : xstrdup("");
	STR_AUTO next = NULL;
	FD_AUTO parent = -1;
	FD_AUTO fd = -1;
	char target[4096];
	ssize_t n;

	fd = open2(rootfd, path, O_PATH, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
	if (fd >= 0)
		return fd_take(&fd);
	if (errno != ENOENT || !*name)
		return err_sys(err, errno, "make file %s", path);
	parent = path_mkdirs_in_root(rootfd, dir, 0755, err);
	if (parent < 0)
		return -1;
	/* mknod, not open: a FIFO or a tty in its place must not be opened */
	if (mknodat(parent, name, S_IFREG | mode, 0) < 0 && errno != EEXIST)
		return err_sys(err, errno, "make file %s", path);
	fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "make file %s", path);
	n = readlinkat(fd, "", target, sizeof(target) - 1);
	if (n < 0)
		return fd_take(&fd);
	/* a symlink that leads to nothing: what it names is made */
	if (!links)
		return err_sys(err, ELOOP, "make file %s", path);
	target[n] = 0;
	next = *target == '/' ? xstrdup(target) : xasprintf("%s/%s", dir, target);
	return mkfile(rootfd, next, mode, links - 1, err);
}

int path_mkfile_in_root(int rootfd, const char *path, mode_t mode, struct err *err)
{
	return mkfile(rootfd, path, mode, MAX_LINKS, err);
}
