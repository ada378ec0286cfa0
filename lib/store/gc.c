/* gc: what nobody names and nobody holds; and how much there is. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/map.h"
#include "base/str.h"
#include "os/fd.h"
#include "os/file.h"
#include "store/record.h"
#include "store/store-int.h"

/* Calls fn for each name in a directory of the store, until it fails. */
static int each_name(struct store *s, enum store_dir which,
		     int (*fn)(struct store *s, const char *name, void *arg,
			       struct err *err),
		     void *arg, struct err *err)
{
	int fd = openat(s->fds[which], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	int r = 0;

	if (!d) {
		err_sys(err, errno, "read the store");
		fd_close(&fd);
		return -1;
	}
	while (r == 0 && (e = readdir(d)))
		if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, ".."))
			r = fn(s, e->d_name, arg, err);
	closedir(d);
	return r;
}

/* Names of layers that are needed: hex digits, owned. */
static void need(struct map *used, const struct digest *chain)
{
	char hex[DIGEST_HEX];
	char *key;

	digest_hex(hex, chain);
	if (map_get(used, hex))
		return;
	key = xstrdup(hex);
	map_put(used, key, key);
}

static void used_done(struct map *used)
{
	const struct map_slot *s;

	for (size_t i = 0; (s = map_next(used, &i));)
		free(s->value);
	map_done(used);
}

static int need_of_container(struct store *s, const char *name, void *arg,
			     struct err *err)
{
	STR_AUTO path = xasprintf("%s/record", name);
	struct err ignored;
	JSON_AUTO doc = store_read_json(s->fds[STORE_CONTAINERS], path, "container", NULL,
					&ignored);
	struct digest chain;
	yyjson_val *v;

	(void)err;
	if (!doc) /* being made or removed, or damaged: its shim holds what it uses */
		return 0;
	json_each (v, json_arr(yyjson_doc_get_root(doc), "layers")) {
		const char *text = yyjson_get_str(v);

		if (text && digest_parse(text, &chain, &ignored) == 0)
			need(arg, &chain);
	}
	return 0;
}

static int find_used(struct store *s, struct map *used, struct err *err)
{
	struct images all;

	if (images_load(s, &all, err) < 0)
		return -1;
	for (size_t i = 0; i < all.n; i++)
		for (size_t k = 0; k < all.v[i]->nlayers; k++)
			need(used, &all.v[i]->layers[k]);
	images_done(&all);
	return each_name(s, STORE_CONTAINERS, need_of_container, used, err);
}

/* Moves a layer to tmp/ if nobody needs it. */
static int sweep_layer(struct store *s, const char *name, void *arg, struct err *err)
{
	FD_AUTO fd = -1;

	if (map_get(arg, name))
		return 0;
	fd = openat(s->fds[STORE_LAYERS], name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? 0 : err_sys(err, errno, "lock layer");
	return store_discard(s, STORE_LAYERS, name, err);
}

/* image_put works under the lock that we hold: what is there now was left behind. */
static int discard_image(struct store *s, const char *name, void *arg, struct err *err)
{
	(void)arg;
	return str_starts(name, "image-") ? store_discard(s, STORE_TMP, name, err) : 0;
}

/* Temporary files of records: nobody writes one while we hold the lock. */
static int tidy_image(struct store *s, const char *name, void *arg, struct err *err)
{
	FD_AUTO fd = openat(s->fds[STORE_IMAGES], name,
			    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	(void)arg;
	return fd < 0 ? 0 : store_empty(fd, ".", err);
}

/* Deletes what is in tmp/ and not held by a living process. */
static int sweep_tmp(struct store *s, const char *name, void *arg, struct err *err)
{
	struct err *first = arg, problem;
	FD_AUTO fd = -1;

	(void)err;
	if (str_eq(name, "empty") || str_starts(name, "image-"))
		return 0;
	fd = openat(s->fds[STORE_TMP], name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
		return 0;
	if (file_remove_tree(s->fds[STORE_TMP], name, &problem) < 0 && !first->code)
		*first = problem;
	return 0;
}

int store_gc(struct store *s, struct err *err)
{
	struct map used = {0};
	struct err first = {0};
	FD_AUTO lock = store_lock(s, err);
	int r;

	if (lock < 0)
		return -1;
	r = find_used(s, &used, err);
	if (r == 0)
		r = each_name(s, STORE_LAYERS, sweep_layer, &used, err);
	if (r == 0)
		r = each_name(s, STORE_IMAGES, tidy_image, NULL, err);
	if (r == 0)
		r = each_name(s, STORE_TMP, discard_image, NULL, err);
	used_done(&used);
	fd_close(&lock);
	/* deleting takes long: others go on meanwhile */
	if (each_name(s, STORE_TMP, sweep_tmp, &first, r == 0 ? err : &first) < 0)
		return -1;
	if (r == 0 && first.code) {
		*err = first;
		return -1;
	}
	return r;
}

struct usage {
	uint64_t bytes, inodes;
};

static int use_of_layer(struct store *s, const char *name, void *arg, struct err *err)
{
	struct usage *u = arg;
	STR_AUTO path = xasprintf("%s/record", name);
	struct err ignored;
	JSON_AUTO doc =
		store_read_json(s->fds[STORE_LAYERS], path, "layer", NULL, &ignored);
	yyjson_val *o = doc ? yyjson_doc_get_root(doc) : NULL;

	(void)err;
	u->bytes += json_u64(o, "bytes", 0);
	u->inodes += json_u64(o, "inodes", 0);
	return 0;
}

int store_usage(struct store *s, uint64_t *ret_bytes, uint64_t *ret_inodes,
		struct err *err)
{
	struct usage u = {0};

	if (each_name(s, STORE_LAYERS, use_of_layer, &u, err) < 0)
		return -1;
	*ret_bytes = u.bytes;
	*ret_inodes = u.inodes;
	return 0;
}
