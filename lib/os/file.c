#include "os/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/map.h"
#include "base/str.h"
#include "os/fd.h"

int file_open(int dirfd, const char *path, int flags, mode_t mode, struct err *err)
{
	int fd = openat(dirfd, path, flags | O_CLOEXEC, mode);

	if (fd < 0)
		return err_sys(err, errno, "open %s", path);
	return fd;
}

int file_read(int dirfd, const char *path, size_t max, struct buf *b, struct err *err)
{
	FD_AUTO fd = file_open(dirfd, path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0, err);
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "stat %s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "read %s: not a regular file", path);
	if (fd_read_all(fd, max, b, err) < 0)
		return err_wrap(err, "read %s", path);
	return 0;
}

int file_write(int dirfd, const char *path, const char *text, struct err *err)
{
	FD_AUTO fd = file_open(dirfd, path, O_WRONLY | O_TRUNC | O_NOFOLLOW, 0, err);
	size_t n = strlen(text);

	if (fd < 0)
		return -1;
	/* one write: these files act on each write call */
	if (write(fd, text, n) != (ssize_t)n)
		return err_sys(err, errno, "write \"%.80s\" to %s", text, path);
	return 0;
}

int file_replace(int dirfd, const char *path, const void *data, size_t n, mode_t mode,
		 bool sync, struct err *err)
{
	const char *slash = strrchr(path, '/');
	STR_AUTO tmp = NULL;
	FD_AUTO fd = -1;

	tmp = xasprintf("%.*s.%s.%d", slash ? (int)(slash + 1 - path) : 0, path,
			slash ? slash + 1 : path, (int)getpid());
	fd = file_open(dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode, err);
	if (fd < 0)
		return -1;
	if (fchmod(fd, mode) < 0 || fd_write_all(fd, data, n) < 0 ||
	    (sync && fdatasync(fd) < 0) || renameat(dirfd, tmp, dirfd, path) < 0) {
		int sys = errno;

		unlinkat(dirfd, tmp, 0);
		return err_sys(err, sys, "write %s", path);
	}
	if (sync) {
		STR_AUTO parent =
			slash ? xstrndup(path, (size_t)(slash + 1 - path)) : xstrdup(".");
		FD_AUTO dir = file_open(dirfd, parent, O_RDONLY | O_DIRECTORY, 0, err);

		if (dir < 0)
			return -1;
		if (fsync(dir) < 0)
			return err_sys(err, errno, "sync directory of %s", path);
	}
	return 0;
}

int file_mkdirs(int dirfd, const char *path, mode_t mode, struct err *err)
{
	STR_AUTO copy = xstrdup(path);

	for (char *p = copy + 1; *copy; p++) {
		char c = *p;

		if (c && c != '/')
			continue;
		*p = 0;
		if (mkdirat(dirfd, copy, mode) < 0 && errno != EEXIST)
			return err_sys(err, errno, "make directory %s", copy);
		*p = c;
		if (!c)
			break;
	}
	return 0;
}

int file_open_dir(int dirfd, const char *path, bool create, mode_t mode, struct err *err)
{
	if (create && mkdirat(dirfd, path, mode) < 0 && errno != EEXIST)
		return err_sys(err, errno, "make directory %s", path);
	return file_open(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, err);
}

static int remove_dir(int dirfd, const char *name, dev_t dev, unsigned depth,
		      struct err *err);

static int remove_children(DIR *d, dev_t dev, unsigned depth, struct err *err)
{
	struct dirent *e;

	while ((e = readdir(d))) {
		if (str_eq(e->d_name, ".") || str_eq(e->d_name, ".."))
			continue;
		if (unlinkat(dirfd(d), e->d_name, 0) == 0 || errno == ENOENT)
			continue;
		if (errno != EISDIR && errno != EPERM)
			return err_sys(err, errno, "remove %s", e->d_name);
		if (remove_dir(dirfd(d), e->d_name, dev, depth + 1, err) < 0)
			return -1;
	}
	return 0;
}

static int remove_dir(int parent, const char *name, dev_t dev, unsigned depth,
		      struct err *err)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	DIR *d;
	int r;

	if (fd < 0)
		return err_sys(err, errno, "remove %s", name);
	if (fstat(fd, &st) < 0 || st.st_dev != dev || depth > 4000) {
		close(fd);
		return err_set(err, ERR_STATE, "remove %s: %s", name,
			       depth > 4000 ? "nested too deep" : "a mount point");
	}
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return err_sys(err, ENOMEM, "remove %s", name);
	}
	r = remove_children(d, dev, depth, err);
	closedir(d);
	if (r < 0)
		return err_wrap(err, "%s", name);
	if (unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return err_sys(err, errno, "remove %s", name);
	return 0;
}

int file_remove_tree(int dirfd, const char *name, struct err *err)
{
	struct stat st, parent;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(err, errno, "stat %s", name);
	if (!S_ISDIR(st.st_mode)) {
		if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
			return err_sys(err, errno, "remove %s", name);
		return 0;
	}
	if (fstatat(dirfd, "", &parent, AT_EMPTY_PATH) == 0 && dirfd != AT_FDCWD &&
	    !strchr(name, '/') && parent.st_dev != st.st_dev)
		return err_set(err, ERR_STATE, "remove %s: a mount point", name);
	return remove_dir(dirfd, name, st.st_dev, 0, err);
}

struct use {
	uint64_t bytes, inodes;
	struct map seen; /* inodes with several links; keys are owned */
};

static void count(struct use *u, const struct stat *st)
{
	char key[24];

	if (!S_ISDIR(st->st_mode) && st->st_nlink > 1) {
		snprintf(key, sizeof(key), "%llu", (unsigned long long)st->st_ino);
		if (map_get(&u->seen, key))
			return;
		map_put(&u->seen, xstrdup(key), u);
	}
	u->inodes++;
	u->bytes += (uint64_t)st->st_blocks * 512;
}

static int use_dir(int parent, const char *name, struct use *u, struct err *err)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct dirent *e;
	struct stat st;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	int r = 0;

	if (!d) {
		if (errno == ENOENT)
			return 0;
		err_sys(err, errno, "open %s", name);
		fd_close(&fd);
		return -1;
	}
	while (r == 0 && (e = readdir(d))) {
		if (str_eq(e->d_name, ".") || str_eq(e->d_name, "..") ||
		    fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		count(u, &st);
		if (S_ISDIR(st.st_mode))
			r = use_dir(dirfd(d), e->d_name, u, err);
	}
	closedir(d);
	return r;
}

int file_disk_use(int dirfd, const char *name, uint64_t *ret_bytes, uint64_t *ret_inodes,
		  struct err *err)
{
	struct use u = {0};
	const struct map_slot *s;
	struct stat st;
	size_t at = 0;
	int r = 0;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, errno, "stat %s", name);
	count(&u, &st);
	if (S_ISDIR(st.st_mode))
		r = use_dir(dirfd, name, &u, err);
	while ((s = map_next(&u.seen, &at)))
		free((void *)(uintptr_t)s->key);
	map_done(&u.seen);
	if (r < 0)
		return -1;
	*ret_bytes = u.bytes;
	*ret_inodes = u.inodes;
	return 0;
}
