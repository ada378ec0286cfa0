#include "cp/copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "os/fd.h"

enum { DEPTH = 500, CHUNK = 16384 };

/* One call: what was asked for, and the directory that it made. */
struct copying {
	const struct copy *c;
	dev_t dev;
	ino_t ino;
};

char *copy_target(const char *from, const char *to)
{
	size_t n = strlen(from), name;
	struct stat st;

	if (stat(to, &st) < 0 || !S_ISDIR(st.st_mode))
		return xstrdup(to);
	while (n > 1 && from[n - 1] == '/')
		n--;
	for (name = n; name && from[name - 1] != '/';)
		name--;
	return xasprintf("%s/%.*s", to, (int)(n - name), from + name);
}

static int preserve(const struct copy *c, const struct stat *st, const char *to,
		    struct err *err)
{
	const struct timespec times[] = {st->st_atim, st->st_mtim};

	if (!c->preserve)
		return 0;
	/* the owner first: a change of it clears the set-user-id bit */
	if (fchownat(AT_FDCWD, to, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    (!S_ISLNK(st->st_mode) && chmod(to, st->st_mode & 07777) < 0) ||
	    utimensat(AT_FDCWD, to, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, errno, "%s: owner, mode or times", to);
	return 0;
}

static int copy_data(int in, int out)
{
	char data[CHUNK];
	ssize_t n = copy_file_range(in, NULL, out, NULL, 1 << 30, 0);

	/* files of /proc seem empty, some file systems cannot: those are read and written */
	while (n > 0)
		n = copy_file_range(in, NULL, out, NULL, 1 << 30, 0);
	while ((n = read(in, data, sizeof(data))) > 0)
		if (fd_write_all(out, data, (size_t)n) < 0)
			return -1;
	return n < 0 ? -1 : 0;
}

static int copy_file(const struct copy *c, const char *from, const struct stat *st,
		     const char *to, struct err *err)
{
	const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
	FD_AUTO in = open(from, O_RDONLY | O_CLOEXEC);
	FD_AUTO out = -1;
	struct stat there;

	if (in < 0)
		return err_sys(err, errno, "%s", from);
	if (stat(to, &there) == 0 && there.st_ino == st->st_ino &&
	    there.st_dev == st->st_dev)
		return err_set(err, ERR_INVALID, "%s and %s are the same file", from, to);
	out = open(to, flags, st->st_mode & 0777);
	if (out < 0 && c->force && unlink(to) == 0)
		out = open(to, flags, st->st_mode & 0777);
	if (out < 0)
		return err_sys(err, errno, "%s", to);
	if (copy_data(in, out) < 0)
		return err_sys(err, errno, "copy %s to %s", from, to);
	return 0;
}

static int copy_link(const char *from, const char *to, struct err *err)
{
	char target[4096];
	ssize_t n = readlink(from, target, sizeof(target) - 1);

	if (n < 0)
		return err_sys(err, errno, "%s", from);
	target[n] = 0;
	if (symlink(target, to) == 0 ||
	    (errno == EEXIST && unlink(to) == 0 && symlink(target, to) == 0))
		return 0;
	return err_sys(err, errno, "%s", to);
}

static int copy_any(struct copying *job, const char *from, const char *to, unsigned depth,
		    struct err *err);

static int copy_dir(struct copying *job, const char *from, const struct stat *st,
		    const char *to, unsigned depth, struct err *err)
{
	struct dirent *e;
	struct stat made;
	int r = 0;
	DIR *d;

	if (st->st_ino == job->ino && st->st_dev == job->dev)
		return err_set(err, ERR_INVALID, "cannot copy %s into itself", from);
	d = opendir(from);
	if (!d)
		return err_sys(err, errno, "%s", from);
	if (mkdir(to, (st->st_mode & 0777) | 0700) < 0 && errno != EEXIST) {
		closedir(d);
		return err_sys(err, errno, "%s", to);
	}
	if (depth == 0 && stat(to, &made) == 0) {
		job->dev = made.st_dev;
		job->ino = made.st_ino;
	}
	while (r == 0 && (e = readdir(d))) {
		STR_AUTO below = xasprintf("%s/%s", from, e->d_name);
		STR_AUTO there = xasprintf("%s/%s", to, e->d_name);

		if (str_eq(e->d_name, ".") || str_eq(e->d_name, ".."))
			continue;
		r = depth < DEPTH
			    ? copy_any(job, below, there, depth + 1, err)
			    : err_set(err, ERR_EXHAUSTED, "%s: nested too deep", from);
	}
	closedir(d);
	return r;
}

static int copy_any(struct copying *job, const char *from, const char *to, unsigned depth,
		    struct err *err)
{
	const struct copy *c = job->c;
	struct stat st;
	int r;

	/* without -r a link stands for its file; with it only if asked */
	if ((c->recursive && !c->follow ? lstat(from, &st) : stat(from, &st)) < 0)
		return err_sys(err, errno, "%s", from);
	if (S_ISDIR(st.st_mode) && !c->recursive)
		return err_set(err, ERR_INVALID, "%s is a directory (-r copies it)",
			       from);
	if (S_ISDIR(st.st_mode)) {
		r = copy_dir(job, from, &st, to, depth, err);
	} else if (S_ISLNK(st.st_mode)) {
		r = copy_link(from, to, err);
	} else if (S_ISREG(st.st_mode) || !c->recursive) {
		r = copy_file(c, from, &st, to, err);
	} else {
		r = mknod(to, st.st_mode, st.st_rdev);
		if (r < 0)
			err_sys(err, errno, "%s", to);
	}
	return r < 0 ? -1 : preserve(c, &st, to, err);
}

int copy_path(const struct copy *c, const char *from, const char *to, struct err *err)
{
	struct copying job = {.c = c};

	return copy_any(&job, from, to, 0, err);
}
