/* layer: layers/<hex of chain id>/{fs,record}; made in tmp/layer-<hex>, under an flock. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/mount.h"
#include "store/store-int.h"

enum { NAME = DIGEST_HEX + 8, TRIES = 100, VIEW_MAX = 500 };

/* Locks a directory that is at name in dir. 1: locked; 0: someone else holds it, or it has
 * just been moved away (*ret_gone); -1. */
static int hold(int dir, const char *name, int how, int *ret_fd, bool *ret_gone,
		struct err *err)
{
	struct stat mine, there;
	FD_AUTO fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r;

	*ret_gone = false;
	if (fd < 0 && errno == ENOENT) {
		*ret_gone = true;
		return 0;
	}
	if (fd < 0)
		return err_sys(err, errno, "open layer");
	do
		r = flock(fd, how | LOCK_NB);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return errno == EWOULDBLOCK ? 0 : err_sys(err, errno, "lock layer");
	/* what was opened may have been renamed or deleted before it was locked */
	if (fstat(fd, &mine) < 0)
		return err_sys(err, errno, "stat layer");
	if (fstatat(dir, name, &there, AT_SYMLINK_NOFOLLOW) < 0 ||
	    there.st_ino != mine.st_ino || there.st_dev != mine.st_dev) {
		*ret_gone = true;
		return 0;
	}
	*ret_fd = fd_take(&fd);
	return 1;
}

static int read_info(struct store *s, int fd, const struct digest *chain,
		     struct layer_info *ret, struct err *err)
{
	char boot[PROC_BOOT_ID];
	struct layer_info info = {0};
	JSON_AUTO doc = store_read_json(fd, "record", "layer", boot, err);
	yyjson_val *o;

	if (!doc) {
		if (err->code == ERR_NOT_FOUND)
			err->code = ERR_CORRUPT;
		return err_wrap(err, "layer");
	}
	o = yyjson_doc_get_root(doc);
	store_get_digest(o, "chain_id", &info.chain_id);
	store_get_digest(o, "diff_id", &info.diff_id);
	store_get_digest(o, "digest", &info.digest);
	info.compressed = json_u64(o, "compressed", 0);
	info.bytes = json_u64(o, "bytes", 0);
	info.inodes = json_u64(o, "inodes", 0);
	info.devices = json_u64(o, "devices", 0);
	if (!digest_equal(&info.chain_id, chain))
		return err_set(err, ERR_CORRUPT, "layer: record of another layer");
	/* without an image that waited for it, nobody knows that it had reached the disk */
	if (!str_eq(boot, s->boot) && !store_layer_named(s, chain))
		return err_set(err, ERR_CORRUPT,
			       "layer: unfinished when the machine went down");
	if (ret)
		*ret = info;
	return 0;
}

int layer_open(struct store *s, const struct digest *chain, struct layer *ret,
	       struct layer_info *ret_info, struct err *err)
{
	char hex[DIGEST_HEX];
	FD_AUTO fd = -1;
	bool gone = false;
	int r = 0;

	digest_hex(hex, chain);
	for (int i = 0; r == 0 && i < TRIES; i++) {
		r = hold(s->fds[STORE_LAYERS], hex, LOCK_SH, &fd, &gone, err);
		if (r == 0 && !gone) /* a collector looks at it, for a moment */
			usleep(1000);
		else if (r == 0)
			break;
	}
	if (r == 0 && !gone)
		return err_set(err, ERR_UNAVAILABLE, "layer %s is locked", hex);
	if (r == 0)
		return err_set(err, ERR_NOT_FOUND, "layer %s is not in the store", hex);
	if (r < 0 || read_info(s, fd, chain, ret_info, err) < 0)
		return -1;
	*ret = (struct layer){.fd = fd_take(&fd), .chain = *chain};
	return 0;
}

static void tmp_name(char dst[NAME], const struct digest *chain)
{
	char hex[DIGEST_HEX];

	digest_hex(hex, chain);
	snprintf(dst, NAME, "layer-%s", hex);
}

int layer_begin(struct store *s, const struct digest *chain, struct layer *ret,
		struct err *err)
{
	char name[NAME], hex[DIGEST_HEX];
	bool gone = true;
	FD_AUTO fd = -1;
	int r = 0;

	*ret = (struct layer){.fd = -1};
	for (int i = 0; gone && i < TRIES; i++) {
		/* first: a maker moves its directory there while it holds the lock */
		if (layer_open(s, chain, ret, NULL, err) == 0)
			return LAYER_THERE;
		if (err->code == ERR_CORRUPT) {
			digest_hex(hex, chain);
			if (store_discard(s, STORE_LAYERS, hex, err) < 0)
				return -1;
		} else if (err->code != ERR_NOT_FOUND) {
			return -1;
		}
		tmp_name(name, chain);
		if (mkdirat(s->fds[STORE_TMP], name, 0700) < 0 && errno != EEXIST)
			return err_sys(err, errno, "make layer");
		r = hold(s->fds[STORE_TMP], name, LOCK_EX, &fd, &gone, err);
		if (r < 0)
			return -1;
		if (r == 0)
			continue;
		/* made by someone else between our look and our lock? */
		if (layer_open(s, chain, ret, NULL, err) == 0) {
			unlinkat(s->fds[STORE_TMP], name, AT_REMOVEDIR);
			return LAYER_THERE;
		}
		if (store_empty(fd, "", err) < 0)
			return -1;
		*ret = (struct layer){.fd = fd_take(&fd), .chain = *chain, .made = true};
		return LAYER_MINE;
	}
	return LAYER_BUSY;
}

int layer_commit(struct store *s, struct layer *l, const struct layer_info *info,
		 struct err *err)
{
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *o = yyjson_mut_doc_get_root(d);
	char name[NAME], hex[DIGEST_HEX];
	FD_AUTO lock = -1;

	store_add_digest(d, o, "chain_id", &l->chain);
	store_add_digest(d, o, "diff_id", &info->diff_id);
	store_add_digest(d, o, "digest", &info->digest);
	json_add_u64(d, o, "compressed", info->compressed);
	json_add_u64(d, o, "bytes", info->bytes);
	json_add_u64(d, o, "inodes", info->inodes);
	json_add_u64(d, o, "devices", info->devices);
	if (store_write_json(l->fd, "record", "layer", d, false, err) < 0)
		return -1;
	tmp_name(name, &l->chain);
	digest_hex(hex, &l->chain);
	/* turning one kind of flock into the other has a gap: no collector may be in it */
	lock = store_lock(s, err);
	if (lock < 0)
		return -1;
	if (renameat(s->fds[STORE_TMP], name, s->fds[STORE_LAYERS], hex) < 0)
		return err_sys(err, errno, "commit layer");
	l->made = false;
	if (flock(l->fd, LOCK_SH) < 0)
		return err_sys(err, errno, "share layer");
	return 0;
}

void layer_end(struct store *s, struct layer *l)
{
	char name[NAME];
	struct err ignored;

	if (l->made) {
		tmp_name(name, &l->chain);
		file_remove_tree(s->fds[STORE_TMP], name, &ignored);
	}
	fd_close(&l->fd);
	*l = (struct layer){.fd = -1};
}

int store_view(struct store *s, const struct layer *const *layers, size_t n,
	       struct err *err)
{
	struct mount_overlay o = {.rw_fd = -1, .userns_fd = -1};
	int fds[VIEW_MAX + 1];
	size_t got = 0;
	int view = -1;

	if (n > VIEW_MAX)
		return err_set(err, ERR_INVALID, "more than %d layers", VIEW_MAX);
	/* one that is empty, at the bottom: overlayfs wants two */
	if (mkdirat(s->fds[STORE_TMP], "empty", 0700) < 0 && errno != EEXIST)
		return err_sys(err, errno, "make directory empty");
	for (; got < n; got++) {
		fds[got] = layer_fs(layers[n - 1 - got], err);
		if (fds[got] < 0)
			break;
	}
	if (got == n) {
		fds[got] = file_open(s->fds[STORE_TMP], "empty", O_PATH | O_DIRECTORY, 0,
				     err);
		if (fds[got] >= 0) {
			got++;
			o.lower = fds;
			o.nlower = got;
			view = mount_overlay(&o, err);
		}
	}
	while (got)
		fd_close(&fds[--got]);
	return view;
}

int layer_fs(const struct layer *l, struct err *err)
{
	int fd = openat(l->fd, "fs", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return err_sys(err, errno, "open files of layer");
	return fd;
}
