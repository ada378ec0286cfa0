/*
 * devlinks: keeps /dev/disk/by-{label,uuid,partlabel,partuuid,id,path} as udev would. With
 * names of devices: after an event about them. Without: of all there are.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applet.h"
#include "base/buf.h"
#include "base/str.h"
#include "devlinks/blockdev.h"
#include "devlinks/names.h"
#include "os/fd.h"
#include "os/file.h"

static const char kinds[][16] = {"by-label",	"by-uuid", "by-partlabel",
				 "by-partuuid", "by-id",   "by-path"};

struct work {
	int dir; /* /dev/disk */
	int failures;
	bool lost; /* a link was removed that another device may have a claim to */
};

static void complain(struct work *w, const char *what, const struct err *err)
{
	BUF_AUTO line = {0};

	str_escape(&line, err->msg, strlen(err->msg));
	fprintf(stderr, "devlinks: %s: %s\n", what, buf_str(&line));
	w->failures++;
}

static bool listed(const struct buf *names, const char *name)
{
	for (size_t at = 0; at < names->len;
	     at += strlen((const char *)names->data + at) + 1)
		if (str_eq((const char *)names->data + at, name))
			return true;
	return false;
}

/* Removes the links of one kind to a device that are not (any more) among its names. */
static void prune_kind(struct work *w, const char *kind, const char *target,
		       const struct buf *names)
{
	int fd = openat(w->dir, kind, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		fd_close(&fd);
		return;
	}
	while ((e = readdir(d))) {
		char at[BLOCKDEV_NAME + 8];
		ssize_t n = readlinkat(dirfd(d), e->d_name, at, sizeof(at) - 1);
		STR_AUTO name = xasprintf("%s/%s", kind, e->d_name);

		if (n < 0)
			continue;
		at[n] = 0;
		if (!str_eq(at, target) || listed(names, name))
			continue;
		unlinkat(dirfd(d), e->d_name, 0);
		w->lost = true;
	}
	closedir(d);
}

/* Links whose devices are gone, when nobody said which. */
static void prune_dangling(struct work *w, const char *kind)
{
	int fd = openat(w->dir, kind, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	struct stat st;

	if (!d) {
		fd_close(&fd);
		return;
	}
	while ((e = readdir(d)))
		if (e->d_type == DT_LNK && fstatat(dirfd(d), e->d_name, &st, 0) < 0)
			unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
}

/* Makes or replaces a link; one that already leads to another existing device stays. */
static int make_link(struct work *w, const char *name, const char *target,
		     struct err *err)
{
	STR_AUTO tmp = NULL;
	char at[BLOCKDEV_NAME + 8], kind[16];
	struct stat st;
	ssize_t n;

	snprintf(kind, sizeof(kind), "%.*s", (int)strcspn(name, "/"), name);
	if (mkdirat(w->dir, kind, 0755) < 0 && errno != EEXIST)
		return err_sys(err, errno, "make /dev/disk/%s", kind);
	if (symlinkat(target, w->dir, name) == 0)
		return 0;
	if (errno != EEXIST)
		return err_sys(err, errno, "link /dev/disk/%s", name);
	n = readlinkat(w->dir, name, at, sizeof(at) - 1);
	at[n < 0 ? 0 : n] = 0;
	if (str_eq(at, target) || fstatat(w->dir, name, &st, 0) == 0)
		return 0;
	tmp = xasprintf(".tmp-%d", (int)getpid());
	if (symlinkat(target, w->dir, tmp) < 0 ||
	    renameat(w->dir, tmp, w->dir, name) < 0) {
		int sys = errno;

		unlinkat(w->dir, tmp, 0);
		return err_sys(err, sys, "link /dev/disk/%s", name);
	}
	return 0;
}

/* One device that is there. Always 0: the others are wanted, too. */
static int update(void *arg, const struct blockdev *d)
{
	struct work *w = arg;
	struct blockdev_info info = {0};
	STR_AUTO target = xasprintf("../../%s", d->name);
	BUF_AUTO names = {0};
	struct err err;

	/* no medium in the drive: it still has a path and a serial number */
	if (blockdev_probe(d, &info, &err) < 0 && err.sys != ENOMEDIUM)
		complain(w, d->name, &err);
	names_of(d, &info, &names);
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
		prune_kind(w, kinds[k], target, &names);
	for (size_t at = 0; at < names.len;
	     at += strlen((const char *)names.data + at) + 1)
		if (make_link(w, (const char *)names.data + at, target, &err) < 0)
			complain(w, d->name, &err);
	return 0;
}

static void update_name(struct work *w, const char *name)
{
	static const struct buf none;
	struct blockdev d;

	if (blockdev_get(name, &d) && d.size) {
		update(w, &d);
	} else {
		STR_AUTO target = xasprintf("../../%s", name);

		for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
			prune_kind(w, kinds[k], target, &none);
	}
}

static int run(int argc, char **argv, struct err *err)
{
	FD_AUTO dir = -1;
	struct work w = {0};

	dir = file_open_dir(AT_FDCWD, "/dev/disk", true, 0755, err);
	if (dir < 0)
		return -1;
	w.dir = dir;
	for (int i = 1; i < argc; i++)
		update_name(&w, argv[i]);
	for (size_t k = 0; argc < 2 && k < ARRAY_LEN(kinds); k++)
		prune_dangling(&w, kinds[k]);
	if ((argc < 2 || w.lost) && blockdev_each(update, &w, err) < 0)
		return -1;
	return w.failures ? 1 : 0;
}

const struct applet applet_devlinks = {.name = "devlinks", .run = run};
