/* apply_copy: files and directories of the layers below that must be in upper too. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "os/fd.h"
#include "os/path.h"
#include "unpack-int.h"

enum { COPY = 1 << 16, DEPTH_MAX = 1024 };

/* The names of one inode of lower that has several. */
struct names {
	char key[24];
	char **v;
	size_t n;
};

void apply_links_done(struct apply *a)
{
	const struct map_slot *s;

	for (size_t i = 0; (s = map_next(&a->links, &i));) {
		struct names *l = s->value;

		while (l->n)
			free(l->v[--l->n]);
		free(l->v);
		free(l);
	}
	map_done(&a->links);
}

int apply_copy_dir(struct apply *a, struct dir *d, struct err *err)
{
	FD_AUTO from = -1;
	FD_AUTO to = -1;
	struct stat st;

	from = path_open_beneath(a->lower, d->path, O_RDONLY | O_DIRECTORY, 0, err);
	if (from < 0)
		return -1;
	if (fstat(from, &st) < 0)
		return err_sys(err, errno, "copy directory");
	if (mkdirat(a->upper, d->path, 0700) < 0)
		return err_sys(err, errno, "copy directory");
	to = path_open_beneath(a->upper, d->path, O_RDONLY | O_DIRECTORY, 0, err);
	if (to < 0 || meta_copy(from, to, &st, err) < 0)
		return -1;
	d->upper = true;
	d->mtime.sec = st.st_mtim.tv_sec;
	d->mtime.nsec = (uint32_t)st.st_mtim.tv_nsec;
	d->atime = d->mtime;
	a->report->inodes++;
	a->report->bytes += 4096;
	return 0;
}

static void add_name(struct apply *a, uint64_t ino, const char *path)
{
	char key[24];
	struct names *l;

	snprintf(key, sizeof(key), "%" PRIu64, ino);
	l = map_get(&a->links, key);
	if (!l) {
		l = xcalloc(1, sizeof(*l));
		memcpy(l->key, key, sizeof(key));
		map_put(&a->links, l->key, l);
	}
	l->v = xrealloc(l->v, (l->n + 1) * sizeof(*l->v));
	l->v[l->n++] = xstrdup(path);
}

/* Finds all inodes of lower with several names. */
static int find_links(struct apply *a, int parent, const char *name, struct buf *path,
		      unsigned depth, struct err *err)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	size_t len = path->len;
	struct dirent *e;
	struct stat st;
	int r = 0;

	if (!dir || depth > DEPTH_MAX) {
		err_sys(err, dir ? ELOOP : errno, "read the layers below");
		if (dir)
			closedir(dir);
		else
			fd_close(&fd);
		return -1;
	}
	while (r == 0 && (e = readdir(dir))) {
		if (str_eq(e->d_name, ".") || str_eq(e->d_name, "..") ||
		    fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (len)
			buf_add_char(path, '/');
		buf_add_str(path, e->d_name);
		if (S_ISDIR(st.st_mode))
			r = find_links(a, fd, e->d_name, path, depth + 1, err);
		else if (st.st_nlink > 1)
			add_name(a, (uint64_t)st.st_ino, buf_str(path));
		path->len = len;
	}
	closedir(dir);
	return r;
}

static int copy_bytes(int from, int to, struct err *err)
{
	uint8_t *b = xmalloc(COPY);
	ssize_t n;

	while ((n = read(from, b, COPY)) > 0)
		if (fd_write_all(to, b, (size_t)n) < 0)
			break;
	free(b);
	return n == 0 ? 0 : err_sys(err, errno, "copy from a layer below");
}

static int copy_file(int from_dir, const char *from_name, int to_dir, const char *name,
		     const struct stat *st, struct err *err)
{
	FD_AUTO from = openat(from_dir, from_name,
			      O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	FD_AUTO to = openat(to_dir, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

	if (from < 0 || to < 0)
		return err_sys(err, errno, "copy from a layer below");
	if (copy_bytes(from, to, err) < 0)
		return -1;
	return meta_copy(from, to, st, err);
}

static int copy_special(int from_dir, const char *from_name, int to_dir, const char *name,
			const struct stat *st, struct err *err)
{
	struct timespec times[2] = {st->st_atim, st->st_mtim};
	char target[4097];
	ssize_t n;
	int r;

	if (S_ISLNK(st->st_mode)) {
		n = readlinkat(from_dir, from_name, target, sizeof(target) - 1);
		target[n < 0 ? 0 : n] = 0;
		r = n < 0 ? -1 : symlinkat(target, to_dir, name);
	} else {
		r = mknodat(to_dir, name, st->st_mode & (S_IFMT | 07777), 0);
		if (r == 0)
			r = fchmodat(to_dir, name, st->st_mode & 07777, 0);
	}
	if (r < 0 ||
	    fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    utimensat(to_dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, errno, "copy from a layer below");
	return 0;
}

/* The directory of a path of lower, if lower's shows there; else *ret is NULL. */
static int shown_dir(struct apply *a, char *path, struct dir **ret, struct err *err)
{
	struct dir *d = a->root;
	struct found f;
	char *save = NULL;

	*ret = NULL;
	for (char *p = strtok_r(path, "/", &save); p; p = strtok_r(NULL, "/", &save)) {
		if (apply_look(a, d, p, &f, err) < 0)
			return -1;
		if (f.kind != FOUND_DIR || !f.dir->lower)
			return 0;
		d = f.dir;
	}
	*ret = d;
	return 0;
}

static int link_name(struct apply *a, const char *lower_path, const char *copy,
		     struct err *err)
{
	STR_AUTO dir = xstrdup(lower_path);
	char *slash = strrchr(dir, '/');
	const char *name = lower_path + (slash ? slash + 1 - dir : 0), *to;
	struct found f;
	struct dir *d;

	dir[slash ? slash - dir : 0] = 0;
	if (shown_dir(a, dir, &d, err) < 0)
		return -1;
	if (!d)
		return 0;
	if (apply_look(a, d, name, &f, err) < 0)
		return -1;
	if (f.kind != FOUND_OTHER || f.upper)
		return 0;
	if (apply_dir_fd(a, d, err) < 0)
		return -1;
	to = arena_strdup(&a->keys, lower_path);
	if (linkat(a->upper, copy, a->upper, to, 0) < 0)
		return err_sys(err, errno, "link a copy from a layer below");
	map_put(&a->copies, to, (void *)(uintptr_t)to);
	return 0;
}

/*
 * The other names of the inode that show through get the copy too, or the copy would part
 * them from it. None of them has been named by this layer.
 */
static int link_names(struct apply *a, const struct stat *st, const char *copy,
		      struct err *err)
{
	char key[24];
	BUF_AUTO path = {0};
	struct names *l;

	if (!a->links_known && find_links(a, a->lower, ".", &path, 0, err) < 0)
		return -1;
	a->links_known = true;
	snprintf(key, sizeof(key), "%" PRIu64, (uint64_t)st->st_ino);
	l = map_get(&a->links, key);
	for (size_t i = 0; l && i < l->n; i++)
		if (link_name(a, l->v[i], copy, err) < 0)
			return -1;
	return 0;
}

int apply_copy_up(struct apply *a, struct dir *d, const char *name, struct err *err)
{
	const char *path = arena_strdup(&a->keys, apply_path(a, d, name));
	struct stat st;
	int fd, r;

	if (fstatat(a->lower, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, errno, "look up below");
	fd = apply_dir_fd(a, d, err);
	if (fd < 0)
		return -1;
	r = S_ISREG(st.st_mode) ? copy_file(a->lower, path, fd, name, &st, err)
				: copy_special(a->lower, path, fd, name, &st, err);
	if (r < 0)
		return -1;
	map_put(&a->copies, path, (void *)(uintptr_t)path);
	a->report->copied++;
	a->report->inodes++;
	a->report->bytes += ((uint64_t)st.st_size + 4095) & ~UINT64_C(4095);
	return st.st_nlink > 1 ? link_names(a, &st, path, err) : 0;
}
