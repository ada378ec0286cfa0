/* image: images/<hex of id>/{record,manifest,config}. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/map.h"
#include "base/str.h"
#include "base/time.h"
#include "os/fd.h"
#include "os/file.h"
#include "store/record.h"
#include "store/store-int.h"

enum { NAMES_MAX = 1000, LAYERS_MAX = 1000, DOCUMENT_MAX = 16 << 20, PREFIX_MIN = 3 };

static void names_free(char **v)
{
	for (size_t i = 0; v && v[i]; i++)
		free(v[i]);
	free(v);
}

void image_free(struct image *im)
{
	if (!im)
		return;
	names_free(im->tags);
	names_free(im->digests);
	free(im->layers);
	free(im);
}

static size_t names_count(char *const *v)
{
	size_t n = 0;

	while (v && v[n])
		n++;
	return n;
}

static bool names_have(char *const *v, const char *name)
{
	for (; v && *v; v++)
		if (str_eq(*v, name))
			return true;
	return false;
}

static void names_add(char ***v, const char *name)
{
	size_t n = names_count(*v);

	if (names_have(*v, name))
		return;
	*v = xrealloc(*v, (n + 2) * sizeof(**v));
	(*v)[n] = xstrdup(name);
	(*v)[n + 1] = NULL;
}

/* True if it was there. */
static bool names_del(char **v, const char *name)
{
	for (; *v; v++) {
		if (!str_eq(*v, name))
			continue;
		free(*v);
		while ((*v = v[1]))
			v++;
		return true;
	}
	return false;
}

/* --- records ------------------------------------------------------------------------------ */

static char **read_names(yyjson_val *o, const char *key)
{
	char **v = xcalloc(1, sizeof(*v));
	yyjson_val *item;
	size_t n = 0;

	json_each (item, json_arr(o, key)) {
		const char *s = yyjson_get_str(item);

		if (s && n++ < NAMES_MAX)
			names_add(&v, s);
	}
	return v;
}

static int read_layers(yyjson_val *o, struct image *im, struct err *err)
{
	yyjson_val *item, *arr = json_arr(o, "layers");

	im->layers = xcalloc(yyjson_arr_size(arr) + 1, sizeof(*im->layers));
	json_each (item, arr) {
		const char *s = yyjson_get_str(item);

		if (!s || im->nlayers == LAYERS_MAX ||
		    digest_parse(s, &im->layers[im->nlayers], err) < 0)
			return err_set(err, ERR_CORRUPT, "image record: bad layer");
		im->nlayers++;
	}
	return 0;
}

struct image *image_load(struct store *s, const struct digest *id, struct err *err)
{
	char hex[DIGEST_HEX];
	FD_AUTO dir = -1;
	JSON_AUTO doc = NULL;
	struct image *im;
	yyjson_val *o;

	digest_hex(hex, id);
	dir = openat(s->fds[STORE_IMAGES], hex,
		     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0) {
		if (errno == ENOENT)
			err_set(err, ERR_NOT_FOUND, "image %s is not in the store", hex);
		else
			err_sys(err, errno, "open image %s", hex);
		return NULL;
	}
	doc = store_read_json(dir, "record", "image", NULL, err);
	if (!doc) {
		if (err->code == ERR_NOT_FOUND)
			err->code = ERR_CORRUPT;
		err_wrap(err, "image %s", hex);
		return NULL;
	}
	o = yyjson_doc_get_root(doc);
	im = xcalloc(1, sizeof(*im));
	store_get_digest(o, "id", &im->id);
	store_get_digest(o, "manifest", &im->manifest);
	im->tags = read_names(o, "tags");
	im->digests = read_names(o, "digests");
	im->size = json_u64(o, "size", 0);
	im->created_at = json_i64(o, "created_at", 0);
	im->updated_at = json_i64(o, "updated_at", 0);
	im->pinned = json_bool(o, "pinned", false);
	if (!digest_equal(&im->id, id))
		err_set(err, ERR_CORRUPT, "image %s: record of another image", hex);
	else if (read_layers(o, im, err) == 0)
		return im;
	image_free(im);
	return NULL;
}

static void add_names(yyjson_mut_doc *d, yyjson_mut_val *o, const char *key,
		      char *const *v)
{
	yyjson_mut_val *arr = json_add_arr(d, o, key);

	for (; v && *v; v++)
		yyjson_mut_arr_add_strcpy(d, arr, *v);
}

static int write_image(int dir, const struct image *im, bool sync, struct err *err)
{
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *o = yyjson_mut_doc_get_root(d), *arr;

	store_add_digest(d, o, "id", &im->id);
	store_add_digest(d, o, "manifest", &im->manifest);
	add_names(d, o, "tags", im->tags);
	add_names(d, o, "digests", im->digests);
	arr = json_add_arr(d, o, "layers");
	for (size_t i = 0; i < im->nlayers; i++) {
		char text[DIGEST_TEXT];

		digest_format(text, &im->layers[i]);
		yyjson_mut_arr_add_strcpy(d, arr, text);
	}
	json_add_u64(d, o, "size", im->size);
	json_add_i64(d, o, "created_at", im->created_at);
	json_add_i64(d, o, "updated_at", time_real());
	json_add_bool(d, o, "pinned", im->pinned);
	return store_write_json(dir, "record", "image", d, sync, err);
}

/* Writes the record of an image that is in its place. */
static int rewrite(struct store *s, const struct image *im, struct err *err)
{
	char hex[DIGEST_HEX];
	FD_AUTO dir = -1;

	digest_hex(hex, &im->id);
	dir = file_open_dir(s->fds[STORE_IMAGES], hex, false, 0, err);
	return dir < 0 ? -1 : write_image(dir, im, true, err);
}

/* --- lists -------------------------------------------------------------------------------- */

void images_done(struct images *im)
{
	for (size_t i = 0; i < im->n; i++)
		image_free(im->v[i]);
	free(im->v);
	buf_done(&im->damaged);
	*im = (struct images){0};
}

static int by_id(const void *a, const void *b)
{
	const struct image *const *x = a, *const *y = b;

	return memcmp((*x)->id.bytes, (*y)->id.bytes, SHA512_LEN);
}

/* The id that a directory's name stands for. */
static int id_of_name(const char *name, struct digest *ret)
{
	size_t len = strlen(name) / 2;

	memset(ret, 0, sizeof(*ret));
	ret->algo = len == SHA256_LEN	? DIGEST_SHA256
		    : len == SHA512_LEN ? DIGEST_SHA512
					: DIGEST_NONE;
	return ret->algo == DIGEST_NONE || strlen(name) % 2
		       ? -1
		       : str_unhex(ret->bytes, len, name);
}

/* Reads one directory; what is damaged is moved out of the way and noted. */
static void load_one(struct store *s, const char *name, struct images *ret)
{
	struct digest id;
	struct image *im = NULL;
	struct err err = {0};

	if (id_of_name(name, &id) < 0)
		err_set(&err, ERR_CORRUPT, "images/%.150s: not the name of an image",
			name);
	else
		im = image_load(s, &id, &err);
	if (im) {
		ret->v = xrealloc(ret->v, (ret->n + 1) * sizeof(struct image *));
		ret->v[ret->n++] = im;
		return;
	}
	if (err.code == ERR_NOT_FOUND) /* just removed */
		return;
	if (err.code == ERR_CORRUPT)
		store_discard(s, STORE_IMAGES, name, &(struct err){0});
	buf_add_fmt(&ret->damaged, "%s\n", err.msg);
}

/* After a crash, two images may have the tag that was just moving: the last one wins. */
static void one_owner(struct images *im)
{
	struct map owners = {0};

	for (size_t i = 0; i < im->n; i++) {
		struct image *x = im->v[i];

		for (size_t k = 0; x->tags[k];) {
			struct image *y = map_get(&owners, x->tags[k]);

			if (y && y->updated_at > x->updated_at) {
				names_del(x->tags, x->tags[k]);
				continue;
			}
			if (y) {
				/* its string is the map's key: replaced first */
				map_del(&owners, x->tags[k]);
				names_del(y->tags, x->tags[k]);
			}
			map_put(&owners, x->tags[k++], x);
		}
	}
	map_done(&owners);
}

/* All records as they are. */
static int load_all(struct store *s, struct images *ret, struct err *err)
{
	int fd = openat(s->fds[STORE_IMAGES], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		err_sys(err, errno, "read images");
		fd_close(&fd);
		return -1;
	}
	*ret = (struct images){0};
	while ((e = readdir(d)))
		if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, ".."))
			load_one(s, e->d_name, ret);
	closedir(d);
	if (ret->n)
		qsort(ret->v, ret->n, sizeof(struct image *), by_id);
	return 0;
}

int images_load(struct store *s, struct images *ret, struct err *err)
{
	if (load_all(s, ret, err) < 0)
		return -1;
	one_owner(ret);
	return 0;
}

bool store_layer_named(struct store *s, const struct digest *chain)
{
	struct images all;
	struct err ignored;
	bool found = false;

	if (images_load(s, &all, &ignored) < 0)
		return false;
	for (size_t i = 0; !found && i < all.n; i++)
		for (size_t k = 0; !found && k < all.v[i]->nlayers; k++)
			found = digest_equal(&all.v[i]->layers[k], chain);
	images_done(&all);
	return found;
}

static const struct image *by_prefix(const struct images *im, const char *prefix,
				     struct err *err)
{
	const struct image *found = NULL;

	for (size_t i = 0; i < im->n; i++) {
		char hex[DIGEST_HEX];

		digest_hex(hex, &im->v[i]->id);
		if (!str_starts(hex, prefix))
			continue;
		if (found) {
			err_set(err, ERR_INVALID, "more than one image begins with %s",
				prefix);
			return NULL;
		}
		found = im->v[i];
	}
	if (!found)
		err_set(err, ERR_NOT_FOUND, "no image %s", prefix);
	return found;
}

const struct image *image_resolve(const struct images *im, const char *name,
				  struct err *err)
{
	size_t hex = strspn(name, "0123456789abcdef");
	struct digest id;
	struct err ignored;

	for (size_t i = 0; i < im->n; i++)
		if (names_have(im->v[i]->tags, name) ||
		    names_have(im->v[i]->digests, name))
			return im->v[i];
	if (digest_parse(name, &id, &ignored) == 0) {
		for (size_t i = 0; i < im->n; i++)
			if (digest_equal(&im->v[i]->id, &id))
				return im->v[i];
	} else if (hex >= PREFIX_MIN && !name[hex]) {
		return by_prefix(im, name, err);
	}
	err_set(err, ERR_NOT_FOUND, "no image %.300s", name);
	return NULL;
}

/* --- documents ---------------------------------------------------------------------------- */

static int read_document(struct store *s, const struct image *im, const char *name,
			 const struct digest *want, struct buf *out, struct err *err)
{
	char path[DIGEST_HEX + 16];
	char hex[DIGEST_HEX];
	size_t before = out->len;

	digest_hex(hex, &im->id);
	strcpy(path, hex);
	strcat(path, "/");
	strcat(path, name);
	if (file_read(s->fds[STORE_IMAGES], path, DOCUMENT_MAX, out, err) < 0 ||
	    digest_check(name, out->data + before, out->len - before, want, err) < 0) {
		out->len = before;
		return err_wrap(err, "image %s", hex);
	}
	return 0;
}

int image_read_config(struct store *s, const struct image *im, struct buf *out,
		      struct err *err)
{
	return read_document(s, im, "config", &im->id, out, err);
}

int image_read_manifest(struct store *s, const struct image *im, struct buf *out,
			struct err *err)
{
	return read_document(s, im, "manifest", &im->manifest, out, err);
}

/* --- changes ------------------------------------------------------------------------------ */

/* Takes a tag from every image but one. The lock is held. */
static int take_tag(struct store *s, const char *tag, const struct digest *keep,
		    struct err *err)
{
	struct images all;
	int r = 0;

	if (load_all(s, &all, err) < 0)
		return -1;
	for (size_t i = 0; r == 0 && i < all.n; i++)
		if (!digest_equal(&all.v[i]->id, keep) && names_del(all.v[i]->tags, tag))
			r = rewrite(s, all.v[i], err);
	images_done(&all);
	return r;
}

/* What a pull says about an image, merged with what is known. */
static struct image *merged(struct store *s, const struct image_new *n, bool *ret_there,
			    struct err *err)
{
	struct image *im = image_load(s, &n->id, err);

	*ret_there = im != NULL;
	if (!im) {
		if (err->code != ERR_NOT_FOUND && err->code != ERR_CORRUPT)
			return NULL;
		im = xcalloc(1, sizeof(*im));
		im->id = n->id;
		im->created_at = time_real();
		im->tags = xcalloc(1, sizeof(*im->tags));
		im->digests = xcalloc(1, sizeof(*im->digests));
	}
	im->manifest = n->manifest_digest;
	im->size = n->size;
	im->pinned = im->pinned || n->pinned;
	free(im->layers);
	im->layers = xcalloc(n->nlayers + 1, sizeof(*im->layers));
	im->nlayers = n->nlayers;
	if (n->nlayers)
		memcpy(im->layers, n->layers, n->nlayers * sizeof(*im->layers));
	if (n->tag)
		names_add(&im->tags, n->tag);
	if (n->digest)
		names_add(&im->digests, n->digest);
	return im;
}

/* Writes a directory with all of an image to tmp/. */
static int write_new(struct store *s, const char *tmp, const struct image_new *n,
		     const struct image *im, struct err *err)
{
	FD_AUTO dir = file_open_dir(s->fds[STORE_TMP], tmp, true, 0700, err);

	if (dir < 0)
		return -1;
	if (file_replace(dir, "manifest", n->manifest, n->manifest_len, 0600, false,
			 err) < 0 ||
	    file_replace(dir, "config", n->config, n->config_len, 0600, false, err) < 0)
		return -1;
	return write_image(dir, im, false, err);
}

/* All that was written is on disk; then the new directory takes its place. */
static int commit(struct store *s, const char *tmp, const struct image *im, bool there,
		  struct err *err)
{
	char hex[DIGEST_HEX];

	digest_hex(hex, &im->id);
	if (there || faccessat(s->fds[STORE_IMAGES], hex, F_OK, 0) == 0) {
		/* whoever reads now finds the one or the other */
		if (renameat2(s->fds[STORE_TMP], tmp, s->fds[STORE_IMAGES], hex,
			      RENAME_EXCHANGE) < 0)
			return err_sys(err, errno, "commit image");
	} else if (renameat(s->fds[STORE_TMP], tmp, s->fds[STORE_IMAGES], hex) < 0) {
		return err_sys(err, errno, "commit image");
	}
	if (fsync(s->fds[STORE_IMAGES]) < 0)
		return err_sys(err, errno, "sync images");
	return 0;
}

static int put_locked(struct store *s, const char *tmp, const struct image_new *n,
		      struct err *err)
{
	FD_AUTO lock = store_lock(s, err);
	struct image *im;
	bool there;
	int r;

	if (lock < 0)
		return -1;
	im = merged(s, n, &there, err);
	if (!im)
		return -1;
	r = write_new(s, tmp, n, im, err);
	/* the files are small, and the layers were flushed before: this one is short */
	if (r == 0 && syncfs(s->fds[STORE_TMP]) < 0)
		r = err_sys(err, errno, "flush the image to disk");
	if (r == 0)
		r = commit(s, tmp, im, there, err);
	if (r == 0 && n->tag)
		r = take_tag(s, n->tag, &n->id, err);
	image_free(im);
	return r;
}

int image_put(struct store *s, const struct image_new *n, struct err *err)
{
	char tmp[STORE_TMP_NAME];
	struct err ignored;
	int r;

	store_tmp_name(tmp, "image");
	if (syncfs(s->fds[STORE_LAYERS]) < 0)
		return err_sys(err, errno, "flush the layers to disk");
	r = put_locked(s, tmp, n, err);
	file_remove_tree(s->fds[STORE_TMP], tmp, &ignored);
	return r;
}

int image_tag(struct store *s, const struct digest *id, const char *tag, struct err *err)
{
	FD_AUTO lock = store_lock(s, err);
	struct image *im = lock < 0 ? NULL : image_load(s, id, err);
	int r;

	if (!im)
		return -1;
	names_add(&im->tags, tag);
	r = rewrite(s, im, err);
	if (r == 0)
		r = take_tag(s, tag, id, err);
	image_free(im);
	return r;
}

static int remove_locked(struct store *s, const struct digest *id, struct err *err)
{
	char hex[DIGEST_HEX];

	digest_hex(hex, id);
	if (store_discard(s, STORE_IMAGES, hex, err) < 0)
		return -1;
	if (fsync(s->fds[STORE_IMAGES]) < 0)
		return err_sys(err, errno, "sync images");
	return 0;
}

int image_untag(struct store *s, const struct digest *id, const char *name,
		struct err *err)
{
	FD_AUTO lock = store_lock(s, err);
	struct image *im = lock < 0 ? NULL : image_load(s, id, err);
	int r = 0;

	if (!im)
		return -1;
	if (names_del(im->tags, name) || names_del(im->digests, name)) {
		if (*im->tags || *im->digests)
			r = rewrite(s, im, err);
		else
			r = remove_locked(s, id, err);
	}
	image_free(im);
	return r;
}

int image_remove(struct store *s, const struct digest *id, struct err *err)
{
	FD_AUTO lock = store_lock(s, err);

	return lock < 0 ? -1 : remove_locked(s, id, err);
}
