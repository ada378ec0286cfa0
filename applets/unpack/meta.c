#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/str.h"
#include "unpack-int.h"

/* What overlayfs and security modules mean by an attribute is not an image's to say (R26). */
static bool allowed(const char *name)
{
	if (str_starts(name, "user."))
		return !str_starts(name, "user.overlay.");
	return str_eq(name, "security.capability") ||
	       str_eq(name, "system.posix_acl_access") ||
	       str_eq(name, "system.posix_acl_default");
}

void meta_times(const struct tar_entry *e, struct timespec ret[2])
{
	const struct tar_time *atime = e->has_atime ? &e->atime : &e->mtime;

	ret[0].tv_sec = (time_t)atime->sec;
	ret[0].tv_nsec = (long)atime->nsec;
	ret[1].tv_sec = (time_t)e->mtime.sec;
	ret[1].tv_nsec = (long)e->mtime.nsec;
}

/* Sets an attribute; one that the file system or the type of file cannot have is left out. */
static int set_xattr(int fd, const char *link, const struct tar_xattr *x,
		     struct unpack_report *report, struct err *err)
{
	int r = -1;

	if (!allowed(x->name)) {
		report->xattrs++;
		return 0;
	}
	r = link ? lsetxattr(link, x->name, x->value, x->len, 0)
		 : fsetxattr(fd, x->name, x->value, x->len, 0);
	if (r < 0 && (errno == EOPNOTSUPP || (link && errno == EPERM))) {
		report->xattrs++;
		return 0;
	}
	if (r < 0)
		return err_sys(err, errno, "set attribute %.100s", x->name);
	return 0;
}

/* The names of a file's attributes. Owned; empty if there are none. */
static int list_xattrs(int fd, struct buf *ret, struct err *err)
{
	ssize_t n = flistxattr(fd, NULL, 0);

	if (n > 0)
		n = flistxattr(fd, (char *)buf_reserve(ret, (size_t)n), (size_t)n);
	if (n < 0 && errno != EOPNOTSUPP)
		return err_sys(err, errno, "list attributes");
	ret->len = n > 0 ? (size_t)n : 0;
	return 0;
}

static int clear_xattrs(int fd, struct err *err)
{
	BUF_AUTO names = {0};

	if (list_xattrs(fd, &names, err) < 0)
		return -1;
	for (size_t i = 0; i < names.len; i += strlen((char *)names.data + i) + 1) {
		const char *name = (char *)names.data + i;

		if (allowed(name) && fremovexattr(fd, name) < 0)
			return err_sys(err, errno, "remove attribute %.100s", name);
	}
	return 0;
}

int meta_set(int fd, const struct tar_entry *e, struct unpack_report *report,
	     struct err *err)
{
	struct timespec times[2];

	/* the owner first: changing it takes setuid bits and capabilities away */
	if (fchown(fd, e->uid, e->gid) < 0)
		return err_sys(err, errno, "change owner");
	if (fchmod(fd, e->mode) < 0)
		return err_sys(err, errno, "change mode");
	/* what it had before, or inherited (POSIX ACLs) */
	if (clear_xattrs(fd, err) < 0)
		return -1;
	for (size_t i = 0; i < e->nxattrs; i++)
		if (set_xattr(fd, NULL, &e->xattrs[i], report, err) < 0)
			return -1;
	meta_times(e, times);
	if (futimens(fd, times) < 0)
		return err_sys(err, errno, "set times");
	return 0;
}

int meta_set_at(int dirfd, const char *name, const struct tar_entry *e,
		struct unpack_report *report, struct err *err)
{
	struct timespec times[2];

	if (fchownat(dirfd, name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, errno, "change owner");
	if (e->type != TAR_SYMLINK && fchmodat(dirfd, name, e->mode, 0) < 0)
		return err_sys(err, errno, "change mode");
	/* no call takes a directory and a name: by way of the working directory */
	if ((e->nxattrs || e->type == TAR_FIFO) && fchdir(dirfd) < 0)
		return err_sys(err, errno, "change directory");
	if (e->type == TAR_FIFO && lremovexattr(name, "system.posix_acl_access") < 0 &&
	    errno != ENODATA && errno != EOPNOTSUPP)
		return err_sys(err, errno, "remove attributes");
	for (size_t i = 0; i < e->nxattrs; i++)
		if (set_xattr(-1, name, &e->xattrs[i], report, err) < 0)
			return -1;
	meta_times(e, times);
	if (utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, errno, "set times");
	return 0;
}

static int copy_xattrs(int from, int to, struct err *err)
{
	BUF_AUTO names = {0};
	BUF_AUTO value = {0};

	if (list_xattrs(from, &names, err) < 0)
		return -1;
	for (size_t i = 0; i < names.len; i += strlen((char *)names.data + i) + 1) {
		const char *name = (char *)names.data + i;
		ssize_t n = allowed(name) ? fgetxattr(from, name, NULL, 0) : -1;

		if (n < 0)
			continue;
		buf_reset(&value);
		n = fgetxattr(from, name, buf_reserve(&value, (size_t)n + 1), (size_t)n);
		if (n < 0 || fsetxattr(to, name, value.data, (size_t)n, 0) < 0)
			return err_sys(err, errno, "copy attribute %.100s", name);
	}
	return 0;
}

int meta_copy(int from, int to, const struct stat *st, struct err *err)
{
	struct timespec times[2] = {st->st_atim, st->st_mtim};

	if (fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777) < 0)
		return err_sys(err, errno, "copy owner and mode");
	if (copy_xattrs(from, to, err) < 0)
		return -1;
	if (!S_ISDIR(st->st_mode) && futimens(to, times) < 0)
		return err_sys(err, errno, "copy times");
	return 0;
}
