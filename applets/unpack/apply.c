/* apply: the merged view, what is where, and how a path leads there. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/path.h"
#include "os/sock.h"
#include "unpack-int.h"

enum {
	SYMLINKS_MAX = 40,  /* as the kernel's MAXSYMLINKS */
	RESOLVE_MAX = 16384 /* bytes of a path with its symlinks expanded */
};

const char *apply_path(struct apply *a, const struct dir *d, const char *name)
{
	buf_reset(&a->path);
	if (*d->path) {
		buf_add_str(&a->path, d->path);
		buf_add_char(&a->path, '/');
	}
	buf_add_str(&a->path, name);
	return buf_str(&a->path);
}

static const char *at(const struct dir *d)
{
	return *d->path ? d->path : ".";
}

struct dir *apply_add_dir(struct apply *a, struct dir *parent, const char *name)
{
	struct dir *d = xcalloc(1, sizeof(*d));
	const char *slash;

	d->parent = parent;
	d->path = xstrdup(parent ? apply_path(a, parent, name) : "");
	slash = strrchr(d->path, '/');
	d->name = slash ? slash + 1 : d->path;
	list_init(&d->children);
	list_init(&d->sibling);
	if (parent)
		list_add(&parent->children, &d->sibling);
	map_put(&a->dirs, d->path, d);
	return d;
}

void apply_drop_dir(struct apply *a, struct dir *d)
{
	list_each (n, &d->children) {
		list_del(n);
		apply_drop_dir(a, container_of(n, struct dir, sibling));
	}
	if (a->fd_dir == d) {
		a->fd_dir = NULL;
		fd_close(&a->fd);
	}
	a->last = NULL;
	list_del(&d->sibling);
	map_del(&a->dirs, d->path);
	free(d->path);
	free(d);
}

static int init_root(struct apply *a, struct err *err)
{
	struct dir *root = apply_add_dir(a, NULL, "");
	FD_AUTO from = -1;
	struct stat st;

	a->root = root;
	root->upper = root->touched = true;
	root->lower = a->lower >= 0;
	if (!root->lower) {
		if (fchmod(a->upper, 0755) < 0 || fchown(a->upper, 0, 0) < 0)
			return err_sys(err, errno, "root of the layer");
		return 0; /* the time stays 0: what umoci gives to a root without entry */
	}
	from = openat(a->lower, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (from < 0 || fstat(from, &st) < 0)
		return err_sys(err, errno, "root of the layers below");
	root->mtime.sec = st.st_mtim.tv_sec;
	root->mtime.nsec = (uint32_t)st.st_mtim.tv_nsec;
	root->atime = root->mtime;
	return meta_copy(from, a->upper, &st, err);
}

int apply_init(struct apply *a, int upper_taken, int lower_taken, int sock,
	       struct unpack_report *report, struct err *err)
{
	memset(a, 0, sizeof(*a));
	a->upper = upper_taken;
	a->lower = lower_taken;
	a->sock = sock;
	a->fd = -1;
	a->report = report;
	report->inodes++;
	report->bytes += 4096;
	return init_root(a, err);
}

void apply_done(struct apply *a)
{
	if (a->root)
		apply_drop_dir(a, a->root);
	apply_links_done(a);
	map_done(&a->dirs);
	map_done(&a->copies);
	map_done(&a->skipped);
	arena_done(&a->keys);
	free(a->last_name);
	buf_done(&a->path);
	fd_close(&a->fd);
	fd_close(&a->upper);
	fd_close(&a->lower);
}

bool apply_below(struct apply *a, const struct dir *d, const char *name, bool *ret_dir)
{
	struct stat st;

	if (!d->lower ||
	    fstatat(a->lower, apply_path(a, d, name), &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	if (ret_dir)
		*ret_dir = S_ISDIR(st.st_mode);
	return true;
}

int apply_look(struct apply *a, struct dir *d, const char *name, struct found *ret,
	       struct err *err)
{
	struct stat st;
	const char *path = apply_path(a, d, name);

	memset(ret, 0, sizeof(*ret));
	ret->dir = map_get(&a->dirs, path);
	if (ret->dir) {
		ret->kind = FOUND_DIR;
		return 0;
	}
	if (d->upper) {
		if (fstatat(a->upper, path, &st, AT_SYMLINK_NOFOLLOW) == 0) {
			ret->whiteout = S_ISCHR(st.st_mode);
			ret->kind = ret->whiteout ? FOUND_NOTHING : FOUND_OTHER;
			ret->upper = true;
			ret->mode = st.st_mode;
			return 0;
		}
		if (errno != ENOENT)
			return err_sys(err, errno, "look up");
	}
	if (!d->lower)
		return 0;
	if (fstatat(a->lower, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(err, errno, "look up below");
	ret->mode = st.st_mode;
	ret->kind = FOUND_OTHER;
	if (S_ISDIR(st.st_mode)) {
		ret->kind = FOUND_DIR;
		ret->dir = apply_add_dir(a, d, name);
		ret->dir->lower = true;
	}
	return 0;
}

int apply_dir_fd(struct apply *a, struct dir *d, struct err *err)
{
	if (a->fd_dir == d)
		return a->fd;
	if (!d->upper) {
		struct dir *parent = d->parent;

		if (!parent->upper && apply_dir_fd(a, parent, err) < 0)
			return -1;
		if (apply_copy_dir(a, d, err) < 0)
			return -1;
	}
	a->fd_dir = NULL;
	fd_close(&a->fd);
	a->fd = path_open_beneath(a->upper, at(d), O_PATH | O_DIRECTORY | O_NOFOLLOW, 0,
				  err);
	if (a->fd >= 0)
		a->fd_dir = d;
	return a->fd;
}

int apply_opaque(struct apply *a, struct dir *d, struct err *err)
{
	struct unpack_msg m = {.kind = MSG_OPAQUE};
	FD_AUTO fd = path_open_beneath(a->upper, at(d), O_RDONLY | O_DIRECTORY, 0, err);

	d->lower = false;
	if (fd < 0)
		return -1;
	if (d->opaque)
		return 0;
	if (sock_send_fds(a->sock, &m, sizeof(m), &fd, 1) != sizeof(m))
		return err_sys(err, errno, "report an opaque directory");
	d->opaque = true;
	a->report->opaque++;
	return 0;
}

/* A directory that the layer implies and nothing has: as umoci makes it. */
static int make_implied(struct apply *a, struct dir *parent, const char *name,
			struct dir **ret, struct err *err)
{
	struct found f;
	bool hidden_dir = false;
	struct dir *d;
	int fd = apply_dir_fd(a, parent, err);

	if (fd < 0 || apply_look(a, parent, name, &f, err) < 0)
		return -1;
	if (f.whiteout) {
		if (unlinkat(fd, name, 0) < 0)
			return err_sys(err, errno, "make directory");
		apply_below(a, parent, name, &hidden_dir);
	}
	if (mkdirat(fd, name, 0755) < 0)
		return err_sys(err, errno, "make directory");
	d = apply_add_dir(a, parent, name);
	d->upper = d->now = true;
	a->report->inodes++;
	a->report->bytes += 4096;
	*ret = d;
	return hidden_dir ? apply_opaque(a, d, err) : 0;
}

/* A path on its way: what is still to walk, and what of it is not there. */
struct walk {
	struct dir *cur; /* what exists */
	struct buf todo; /* bytes from todo_at on */
	size_t todo_at;
	char **missing; /* parts below cur that do not exist */
	size_t nmissing, cap;
	bool file; /* missing[0] exists, and is no directory */
	unsigned links;
};

static void walk_done(struct walk *w)
{
	while (w->nmissing)
		free(w->missing[--w->nmissing]);
	free(w->missing);
	buf_done(&w->todo);
}

static void walk_missing(struct walk *w, const char *part)
{
	if (w->nmissing == w->cap) {
		w->cap = w->cap ? 2 * w->cap : 16;
		w->missing = xrealloc(w->missing, w->cap * sizeof(*w->missing));
	}
	w->missing[w->nmissing++] = xstrdup(part);
}

/* Puts a symlink's target before what is left to walk. */
static int walk_link(struct apply *a, struct walk *w, const char *name, bool upper,
		     struct err *err)
{
	char target[4097];
	BUF_AUTO todo = {0};
	ssize_t n = readlinkat(upper ? a->upper : a->lower, apply_path(a, w->cur, name),
			       target, sizeof(target) - 1);

	if (n < 0)
		return err_sys(err, errno, "read symlink");
	target[n] = 0;
	if (++w->links > SYMLINKS_MAX || w->todo.len - w->todo_at > RESOLVE_MAX)
		return err_set(err, ERR_INVALID, "too many levels of symbolic links");
	if (*target == '/')
		w->cur = a->root;
	buf_add(&todo, target, (size_t)n);
	buf_add_char(&todo, '/');
	buf_add(&todo, w->todo.data + w->todo_at, w->todo.len - w->todo_at);
	buf_done(&w->todo);
	w->todo = todo;
	w->todo_at = 0;
	memset(&todo, 0, sizeof(todo));
	return 0;
}

static int walk_part(struct apply *a, struct walk *w, const char *part, struct err *err)
{
	struct found f;

	if (str_eq(part, ".") || !*part)
		return 0;
	if (str_eq(part, "..")) {
		if (w->nmissing)
			free(w->missing[--w->nmissing]);
		else if (w->cur->parent)
			w->cur = w->cur->parent;
		return 0;
	}
	if (w->nmissing) { /* nothing is below nothing */
		walk_missing(w, part);
		return 0;
	}
	if (apply_look(a, w->cur, part, &f, err) < 0)
		return -1;
	if (f.kind == FOUND_DIR) {
		w->cur = f.dir;
	} else if (f.kind == FOUND_OTHER && S_ISLNK(f.mode)) {
		return walk_link(a, w, part, f.upper, err);
	} else {
		w->file = f.kind == FOUND_OTHER;
		walk_missing(w, part);
	}
	return 0;
}

/* Makes the missing directories. The one that gets the first of them changes (umoci). */
static int walk_make(struct apply *a, struct walk *w, struct err *err)
{
	if (w->file)
		return err_set(err, ERR_INVALID, "%s is not a directory",
			       apply_path(a, w->cur, w->missing[0]));
	if (apply_dir_fd(a, w->cur, err) < 0)
		return -1;
	w->cur->now = true;
	for (size_t i = 0; i < w->nmissing; i++)
		if (make_implied(a, w->cur, w->missing[i], &w->cur, err) < 0)
			return -1;
	return 0;
}

int apply_resolve(struct apply *a, const char *path, bool create, struct dir **ret,
		  struct err *err)
{
	__attribute__((cleanup(walk_done))) struct walk w = {.cur = a->root};

	if (a->last && str_eq(path, a->last_name)) {
		*ret = a->last;
		return 0;
	}
	buf_add_str(&w.todo, path);
	while (w.todo_at < w.todo.len) {
		const char *s = (const char *)w.todo.data + w.todo_at;
		const char *slash = memchr(s, '/', w.todo.len - w.todo_at);
		size_t n = slash ? (size_t)(slash - s) : w.todo.len - w.todo_at;
		STR_AUTO part = xstrndup(s, n);

		w.todo_at += n + (slash != NULL);
		if (walk_part(a, &w, part, err) < 0)
			return -1;
	}
	if (w.nmissing && !create) {
		*ret = NULL;
		return 0;
	}
	if (w.nmissing && walk_make(a, &w, err) < 0)
		return -1;
	*ret = w.cur;
	if (w.links) /* not kept: who knows when one of them is replaced */
		return 0;
	free(a->last_name);
	a->last_name = xstrdup(path);
	a->last = w.cur;
	return 0;
}

/* Files that were below path are no copies any more. */
static void forget_copies(struct apply *a, const char *path)
{
	const struct map_slot *s;
	size_t len = strlen(path);

	for (size_t i = 0; a->copies.len && (s = map_next(&a->copies, &i));)
		if (strncmp(s->key, path, len) == 0 && s->key[len] == '/')
			map_del(&a->copies, s->key);
}

int apply_clear(struct apply *a, struct dir *d, const char *name, struct err *err)
{
	const char *path = apply_path(a, d, name);
	struct dir *child = map_get(&a->dirs, path);
	bool tree = child && child->upper;
	int fd;

	map_del(&a->copies, path);
	if (tree)
		forget_copies(a, path);
	if (child)
		apply_drop_dir(a, child);
	if (!d->upper)
		return 0;
	fd = apply_dir_fd(a, d, err);
	if (fd < 0)
		return -1;
	if (tree)
		return file_remove_tree(fd, name, err);
	if (unlinkat(fd, name, 0) < 0 && errno != ENOENT)
		return err_sys(err, errno, "remove what was there before");
	return 0;
}

int apply_hide(struct apply *a, struct dir *d, const char *name, struct err *err)
{
	int fd;

	if (apply_clear(a, d, name, err) < 0)
		return -1;
	if (!apply_below(a, d, name, NULL))
		return 0;
	fd = apply_dir_fd(a, d, err);
	if (fd < 0)
		return -1;
	if (mknodat(fd, name, S_IFCHR, 0) < 0)
		return err_sys(err, errno, "make whiteout");
	return 0;
}

int apply_finish(struct apply *a, struct err *err)
{
	const struct map_slot *s;
	struct timespec times[2];

	for (size_t i = 0; (s = map_next(&a->dirs, &i));) {
		const struct dir *d = s->value;

		if (!d->upper)
			continue;
		times[0].tv_sec = (time_t)d->atime.sec;
		times[0].tv_nsec = (long)d->atime.nsec;
		times[1].tv_sec = (time_t)d->mtime.sec;
		times[1].tv_nsec = (long)d->mtime.nsec;
		if (utimensat(a->upper, at(d), d->now ? NULL : times,
			      AT_SYMLINK_NOFOLLOW) < 0)
			return err_sys(err, errno, "set times of %s", at(d));
	}
	return 0;
}
