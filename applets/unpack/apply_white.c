/*
 * apply_white: whiteouts (image-spec: layer.md, Whiteouts). They hide what the layers below
 * have, never what their own layer has named, whichever comes first.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "os/fd.h"
#include "os/path.h"
#include "unpack-int.h"

/* Names in a directory, all at once: what they name changes while they are walked. */
struct names {
	char **v;
	size_t n, cap;
};

static void names_done(struct names *l)
{
	while (l->n)
		free(l->v[--l->n]);
	free(l->v);
}
#define NAMES_AUTO __attribute__((cleanup(names_done))) struct names

static int names_of(int root, const char *path, struct names *ret, struct err *err)
{
	int fd = path_open_beneath(root, *path ? path : ".", O_RDONLY | O_DIRECTORY, 0,
				   err);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		if (fd >= 0)
			err_sys(err, errno, "read directory");
		fd_close(&fd);
		return -1;
	}
	while ((e = readdir(d))) {
		if (str_eq(e->d_name, ".") || str_eq(e->d_name, ".."))
			continue;
		if (ret->n == ret->cap) {
			ret->cap = ret->cap ? 2 * ret->cap : 16;
			ret->v = xrealloc(ret->v, ret->cap * sizeof(*ret->v));
		}
		ret->v[ret->n++] = xstrdup(e->d_name);
	}
	closedir(d);
	return 0;
}

static void stop_looking_below(struct dir *d)
{
	d->lower = false;
	list_each (n, &d->children)
		stop_looking_below(container_of(n, struct dir, sibling));
}

static int purge(struct apply *a, struct dir *d, bool mark, bool *ret_removed,
		 struct err *err);

/* One name in upper. *removed: something the layer has not named went away. */
static int purge_upper(struct apply *a, struct dir *d, const char *name, bool *removed,
		       struct err *err)
{
	bool at_root = !d->parent, inner = false;
	struct found f;

	if (apply_look(a, d, name, &f, err) < 0)
		return -1;
	if (f.kind == FOUND_NOTHING) { /* an opaque directory needs no whiteouts */
		if (at_root)
			return 0;
		return apply_clear(a, d, name, err);
	}
	if (f.kind == FOUND_DIR && f.dir->touched) {
		if (purge(a, f.dir, at_root, &inner, err) < 0)
			return -1;
		if (inner)
			f.dir->now = true;
		return 0;
	}
	if (f.kind == FOUND_OTHER && !map_get(&a->copies, apply_path(a, d, name)))
		return 0;
	*removed = true;
	return at_root ? apply_hide(a, d, name, err) : apply_clear(a, d, name, err);
}

/*
 * Removes all below d that the layer has not named. The root of a layer cannot be opaque:
 * there, each name gets its whiteout. mark: d itself must be marked (it is not below a
 * directory that will be). ret_removed: a direct child went away.
 */
static int purge(struct apply *a, struct dir *d, bool mark, bool *ret_removed,
		 struct err *err)
{
	NAMES_AUTO upper = {0};
	NAMES_AUTO lower = {0};
	bool was_below = d->lower;

	if (apply_dir_fd(a, d, err) < 0 || names_of(a->upper, d->path, &upper, err) < 0)
		return -1;
	if (d->lower && names_of(a->lower, d->path, &lower, err) < 0)
		return -1;
	for (size_t i = 0; i < lower.n; i++) {
		struct found f;

		if (apply_look(a, d, lower.v[i], &f, err) < 0)
			return -1;
		if (f.kind == FOUND_NOTHING || (f.kind == FOUND_DIR && f.dir->upper) ||
		    f.upper)
			continue; /* hidden already, or upper's: below */
		*ret_removed = true;
		if (!d->parent ? apply_hide(a, d, lower.v[i], err) < 0
			       : apply_clear(a, d, lower.v[i], err) < 0)
			return -1;
	}
	for (size_t i = 0; i < upper.n; i++)
		if (purge_upper(a, d, upper.v[i], ret_removed, err) < 0)
			return -1;
	if (!d->parent)
		return 0;
	stop_looking_below(d);
	return mark && was_below ? apply_opaque(a, d, err) : 0;
}

int apply_whiteout_opaque(struct apply *a, struct dir *d, struct err *err)
{
	bool removed = false;

	if (!d->lower && !d->upper)
		return 0;
	/* the directory keeps its own time: umoci restores it after each entry */
	return purge(a, d, true, &removed, err);
}

int apply_whiteout(struct apply *a, struct dir *d, const char *name, struct err *err)
{
	bool removed = false;
	struct found f;

	if (apply_look(a, d, name, &f, err) < 0)
		return -1;
	if (f.kind == FOUND_NOTHING)
		return 0;
	if (f.kind == FOUND_DIR && f.dir->touched) {
		if (purge(a, f.dir, true, &removed, err) < 0)
			return -1;
		if (removed)
			f.dir->now = true;
		return 0;
	}
	if (f.kind == FOUND_OTHER && f.upper &&
	    !map_get(&a->copies, apply_path(a, d, name)))
		return 0;
	return apply_hide(a, d, name, err);
}
