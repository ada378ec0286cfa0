/* apply_put: entries of all types. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "os/fd.h"
#include "os/path.h"
#include "unpack-int.h"

enum { DEPTH_MAX = 255 };

static const char wh[] = ".wh.";
static const char wh_meta[] = ".wh..wh.";

/*
 * Cleans a path without looking at it: no "", "." or ".." parts, no slash in front. A path
 * that leaves its root is refused: no tool writes one, and nobody means well by it.
 */
static int clean(const char *path, struct buf *ret, struct err *err)
{
	unsigned depth = 0;

	for (const char *p = path; *p;) {
		size_t n = strcspn(p, "/");

		if (n == 2 && p[0] == '.' && p[1] == '.') {
			if (!depth--)
				return err_set(err, ERR_INVALID,
					       "leaves the root of the layer");
			while (ret->len && ret->data[--ret->len] != '/')
				;
		} else if (n && !(n == 1 && *p == '.')) {
			if (++depth > DEPTH_MAX)
				return err_set(err, ERR_INVALID,
					       "more than %d levels deep", DEPTH_MAX);
			if (ret->len)
				buf_add_char(ret, '/');
			buf_add(ret, p, n);
		}
		p += n + (p[n] == '/');
	}
	buf_str(ret);
	return 0;
}

/* Cuts a clean path into the directory and the last part; "" for the root itself. */
static const char *split(struct buf *path)
{
	char *s = (char *)(uintptr_t)buf_str(path);
	char *slash = strrchr(s, '/');

	if (!slash)
		return s;
	*slash = 0;
	return slash + 1;
}

/* What umoci calls upper paths: named by the layer, or a directory above that. */
static void touch(struct dir *d)
{
	for (; d && !d->touched; d = d->parent)
		d->touched = true;
}

/* The place dir/name is taken by a new file: forgets what was known about it. */
static int make_way(struct apply *a, struct dir *d, const char *name, struct err *err)
{
	const char *path = apply_path(a, d, name);

	if (a->copies.len)
		map_del(&a->copies, path);
	return map_get(&a->dirs, path) ? apply_clear(a, d, name, err) : 0;
}

static void count(struct apply *a, uint64_t size)
{
	a->report->inodes++;
	a->report->bytes += (size + 4095) & ~UINT64_C(4095);
}

static int put_file(struct apply *a, struct dir *d, const char *name,
		    const struct tar_entry *e, const struct source *src, struct err *err)
{
	int fd, to;

	if (make_way(a, d, name, err) < 0 || (fd = apply_dir_fd(a, d, err)) < 0)
		return -1;
	if (src->dirfd >= 0) {
		if (renameat(src->dirfd, src->name, fd, name) < 0)
			return err_sys(err, errno, "move into place");
	} else {
		for (int try = 0;; try++) {
			to = openat(fd, name,
				    O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC,
				    0600);
			if (to >= 0 || errno != EEXIST || try)
				break;
			if (apply_clear(a, d, name, err) < 0)
				return -1;
		}
		if (to < 0)
			return err_sys(err, errno, "create");
		*src->ret_fd = to;
	}
	count(a, e->size);
	return 1;
}

/* Symlinks and FIFOs. */
static int put_special(struct apply *a, struct dir *d, const char *name,
		       const struct tar_entry *e, struct err *err)
{
	int fd, r;

	if (make_way(a, d, name, err) < 0 || (fd = apply_dir_fd(a, d, err)) < 0)
		return -1;
	for (int try = 0;; try++) {
		r = e->type == TAR_SYMLINK ? symlinkat(e->link, fd, name)
					   : mknodat(fd, name, S_IFIFO | 0600, 0);
		if (r == 0 || errno != EEXIST || try)
			break;
		if (apply_clear(a, d, name, err) < 0)
			return -1;
	}
	if (r < 0)
		return err_sys(err, errno, "create");
	count(a, 0);
	return meta_set_at(fd, name, e, a->report, err);
}

/* A new directory in upper at the place of what is no directory. */
static struct dir *new_dir(struct apply *a, struct dir *parent, const char *name,
			   const struct found *f, struct err *err)
{
	bool hidden_dir = false;
	struct dir *d;
	int fd;

	if (f->upper) {
		if (apply_clear(a, parent, name, err) < 0)
			return NULL;
		/* what upper hid must stay hidden */
		apply_below(a, parent, name, &hidden_dir);
	}
	fd = apply_dir_fd(a, parent, err);
	if (fd < 0)
		return NULL;
	if (mkdirat(fd, name, 0700) < 0) {
		err_sys(err, errno, "make directory");
		return NULL;
	}
	d = apply_add_dir(a, parent, name);
	d->upper = true;
	count(a, 4096);
	return hidden_dir && apply_opaque(a, d, err) < 0 ? NULL : d;
}

static int set_dir(struct apply *a, struct dir *d, const struct tar_entry *e,
		   struct err *err)
{
	FD_AUTO fd = path_open_beneath(a->upper, *d->path ? d->path : ".",
				       O_RDONLY | O_DIRECTORY, 0, err);

	if (fd < 0 || meta_set(fd, e, a->report, err) < 0)
		return -1;
	d->now = false;
	d->mtime = e->mtime;
	d->atime = e->has_atime ? e->atime : e->mtime;
	touch(d);
	return 0;
}

static int put_dir(struct apply *a, struct dir *parent, const char *name,
		   const struct tar_entry *e, struct err *err)
{
	struct found f;
	struct dir *d;

	if (apply_look(a, parent, name, &f, err) < 0)
		return -1;
	if (f.kind == FOUND_DIR)
		return apply_dir_fd(a, f.dir, err) < 0 ? -1 : set_dir(a, f.dir, e, err);
	d = new_dir(a, parent, name, &f, err);
	return d ? set_dir(a, d, e, err) : -1;
}

/* Finds the target of a hard link and links it. */
static int link_target(struct apply *a, const char *target, int fd, const char *name,
		       struct err *err)
{
	BUF_AUTO path = {0};
	const char *base;
	struct dir *d;
	struct found f;

	if (clean(target, &path, err) < 0)
		return -1;
	base = split(&path);
	if (apply_resolve(a, base == buf_str(&path) ? "" : (char *)path.data, false, &d,
			  err) < 0)
		return -1;
	if (!d || !*base)
		return err_set(err, ERR_INVALID, "target does not exist");
	if (map_get(&a->skipped, apply_path(a, d, base)))
		return 0;
	if (apply_look(a, d, base, &f, err) < 0)
		return -1;
	if (f.kind != FOUND_OTHER)
		return err_set(err, ERR_INVALID, "target %s",
			       f.kind == FOUND_DIR ? "is a directory" : "does not exist");
	if (!f.upper && apply_copy_up(a, d, base, err) < 0)
		return -1;
	/* until here, a whiteout may have hidden what was at the link's own place */
	if (unlinkat(fd, name, 0) < 0 && errno != ENOENT)
		return err_sys(err, errno, "link");
	if (linkat(a->upper, apply_path(a, d, base), fd, name, 0) < 0)
		return err_sys(err, errno, "link");
	return 0;
}

static int put_link(struct apply *a, struct dir *d, const char *name,
		    const struct tar_entry *e, struct err *err)
{
	FD_AUTO fd = -1;
	int got = apply_dir_fd(a, d, err);

	/* an fd of its own: looking for the target moves a->fd */
	if (got < 0 || apply_hide(a, d, name, err) < 0)
		return -1;
	fd = path_open_beneath(a->upper, *d->path ? d->path : ".", O_PATH | O_DIRECTORY,
			       0, err);
	if (fd < 0)
		return -1;
	got = link_target(a, e->link, fd, name, err);
	if (got < 0) {
		STR_AUTO link = xstrndup(e->link, 300);
		BUF_AUTO text = {0};

		str_escape(&text, link, strlen(link));
		return err_wrap(err, "hard link to %s", buf_str(&text));
	}
	return 0;
}

/* A device node is left out, as if it were removed from the result. */
static int put_device(struct apply *a, struct dir *d, const char *name, struct err *err)
{
	const char *path;

	if (apply_hide(a, d, name, err) < 0)
		return -1;
	path = arena_strdup(&a->keys, apply_path(a, d, name));
	map_put(&a->skipped, path, (void *)(uintptr_t)path);
	a->report->devices++;
	return 0;
}

static int put(struct apply *a, struct dir *d, const char *name,
	       const struct tar_entry *e, const struct source *src, struct err *err)
{
	if (a->skipped.len)
		map_del(&a->skipped, apply_path(a, d, name));
	switch (e->type) {
	case TAR_FILE:
		return put_file(a, d, name, e, src, err);
	case TAR_DIR:
		return put_dir(a, d, name, e, err);
	case TAR_SYMLINK:
	case TAR_FIFO:
		return put_special(a, d, name, e, err);
	case TAR_HARDLINK:
		return put_link(a, d, name, e, err);
	case TAR_CHAR:
	case TAR_BLOCKDEV:
		return put_device(a, d, name, err);
	}
	return 0;
}

/* Files that aufs kept for itself, in images of its time. */
static bool is_aufs(const char *path)
{
	static const char *const names[] = {".wh..wh.aufs", ".wh..wh.orph",
					    ".wh..wh.plnk"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_starts(path, names[i]) &&
		    (!path[strlen(names[i])] || path[strlen(names[i])] == '/'))
			return true;
	return false;
}

static int whiteout(struct apply *a, const char *dir, const char *name, struct err *err)
{
	struct dir *d;

	if (str_starts(name, wh_meta) && !str_eq(name, ".wh..wh..opq"))
		return err_set(err, ERR_INVALID, "unknown kind of whiteout");
	if (!name[4] || str_eq(name, ".wh..") || str_eq(name, ".wh..."))
		return err_set(err, ERR_INVALID, "whiteout of no name");
	if (apply_resolve(a, dir, false, &d, err) < 0)
		return -1;
	if (!d)
		return 0;
	if (str_starts(name, wh_meta))
		return apply_whiteout_opaque(a, d, err);
	return apply_whiteout(a, d, name + 4, err);
}

static int apply(struct apply *a, const struct tar_entry *e, const struct source *src,
		 struct err *err)
{
	BUF_AUTO path = {0};
	const char *name, *dir;
	struct dir *d;
	int r;

	if (clean(e->name, &path, err) < 0)
		return -1;
	if (!path.len) {
		if (e->type != TAR_DIR)
			return err_set(err, ERR_INVALID, "the root must be a directory");
		return set_dir(a, a->root, e, err);
	}
	if (is_aufs(buf_str(&path)))
		return 0;
	name = split(&path);
	dir = name == (char *)path.data ? "" : (char *)path.data;
	if (str_starts(name, wh))
		return whiteout(a, dir, name, err);
	if (apply_resolve(a, dir, true, &d, err) < 0)
		return -1;
	r = put(a, d, name, e, src, err);
	if (r >= 0)
		touch(d);
	return r;
}

int apply_entry(struct apply *a, const struct tar_entry *e, const struct source *src,
		struct err *err)
{
	int r = apply(a, e, src, err);

	a->report->entries++;
	if (r < 0) {
		BUF_AUTO name = {0};

		str_escape(&name, e->name, strnlen(e->name, 300));
		return err_wrap(err, "%s", buf_str(&name));
	}
	return r;
}
