/*
 * store: images and layers on disk, one directory per object, renamed into place when it is
 * whole (design: item 8). Several processes use a store at the same time: crid, pull workers,
 * shims.
 *
 *	<root>/lock			flock: held while records of images change
 *	<root>/images/<hex of id>/	record, manifest, config (byte for byte)
 *	<root>/layers/<hex of chain id>/	record, fs/ (an overlay lower directory)
 *	<root>/pods/ <root>/containers/	of the shims: one directory each, with a "record"
 *	<root>/tmp/			what is being made or deleted
 *
 * A layer that is in use has its directory flock'ed: exclusively by the process that makes
 * it, shared by those that count on it (struct layer). What nobody holds and no image or
 * container names is garbage.
 *
 * Nothing is ever renamed to images/ before what it names is on disk: after a power cut an
 * image is whole or not there. Layers that were not acknowledged before a reboot are not
 * trusted after it.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "wire/digest.h"

struct store;

/* Opens a root, making what is missing (0700). Heap-allocated; NULL on failure. */
struct store *store_open(const char *root, struct err *err);
void store_free(struct store *s);

enum store_dir {
	STORE_ROOT,
	STORE_IMAGES,
	STORE_LAYERS,
	STORE_PODS,
	STORE_CONTAINERS,
	STORE_TMP,
	STORE_DIR_COUNT
};

/* A directory of the store; the fd stays the store's. */
int store_fd(const struct store *s, enum store_dir which);

/* --- layers ------------------------------------------------------------------------------- */

/* A layer that we hold: {.fd = -1} before layer_begin or layer_open. */
struct layer {
	int fd; /* its directory, flock'ed */
	struct digest chain;
	bool made; /* by us, not yet committed: it still lies in tmp/ */
};

/* What is known about a layer; its record. */
struct layer_info {
	struct digest chain_id, diff_id, digest; /* digest: of the compressed blob */
	uint64_t compressed;			 /* bytes of the blob */
	uint64_t bytes, inodes;			 /* on disk */
	uint64_t devices;			 /* device nodes that were left out */
};

enum layer_state {
	LAYER_THERE, /* it is in the store; held in *ret until layer_end */
	LAYER_MINE,  /* *ret is an empty directory to fill; layer_commit or layer_end */
	LAYER_BUSY   /* another process is making it: ask again later */
};

/*
 * Starts making a layer, or finds it. A process that makes several layers of an image must
 * ask for them from the bottom up (two that wait for each other could wait for ever). What a
 * dead process left behind is cleared. Returns an enum layer_state, or -1.
 */
int layer_begin(struct store *s, const struct digest *chain, struct layer *ret,
		struct err *err);

/*
 * Writes the record and moves the layer into place; no disk flush. The layer stays held
 * until layer_end, so that nobody collects it before an image names it. 0 or -1.
 */
int layer_commit(struct store *s, struct layer *l, const struct layer_info *info,
		 struct err *err);

/* Lets go of a layer; one that was not committed is deleted. Also for {.fd = -1}. */
void layer_end(struct store *s, struct layer *l);

/*
 * Takes hold of a layer to use it. ERR_NOT_FOUND: there is none. The record goes to
 * ret_info, which may be NULL. 0 or -1.
 */
int layer_open(struct store *s, const struct digest *chain, struct layer *ret,
	       struct layer_info *ret_info, struct err *err);

/* An O_PATH fd of the layer's fs/, to be used as overlay lower directory. Owned, or -1. */
int layer_fs(const struct layer *l, struct err *err);

/*
 * A detached, read-only overlay mount of n layers, lowest first (n >= 1): their merged
 * view. Needs CAP_SYS_ADMIN. An owned fd or -1.
 */
int store_view(struct store *s, const struct layer *const *layers, size_t n,
	       struct err *err);

/* --- images ------------------------------------------------------------------------------- */

/* An image's record. Heap-allocated as a whole: image_free. */
struct image {
	struct digest id; /* digest of the config */
	struct digest manifest;
	char **tags; /* NULL at the end: full names, "docker.io/library/busybox:1.36" */
	char **digests;	       /* "docker.io/library/busybox@sha256:..." */
	struct digest *layers; /* chain ids, lowest first */
	size_t nlayers;
	uint64_t
		size; /* bytes of the config and the compressed layers, as peers report it */
	int64_t created_at; /* when it was pulled: ns since 1970 */
	int64_t updated_at; /* when its names last changed */
	bool pinned;
};

void image_free(struct image *im);

/* A new image, or more names for one that is there. Everything is borrowed. */
struct image_new {
	const void *manifest, *config; /* as the registry sent them */
	size_t manifest_len, config_len;
	struct digest id, manifest_digest;
	const char *tag;    /* may be NULL */
	const char *digest; /* "name@sha256:..."; may be NULL */
	const struct digest *layers;
	size_t nlayers;
	uint64_t size;
	bool pinned;
};

/*
 * Puts an image. All its layers must be committed, and held by the caller. When this returns
 * 0, image and layers survive a power cut (two syncfs, one fsync). A tag that another image
 * had moves here.
 */
int image_put(struct store *s, const struct image_new *n, struct err *err);

/* All images. {0} is an empty list. */
struct images {
	struct image **v;
	size_t n;
	struct buf damaged; /* lines: what was found damaged, and is now out of the way */
};

/*
 * Reads all records, sorted by id. A damaged one never makes this fail: its directory is
 * moved to tmp/, a line is added to ret->damaged. One of a newer release stays where it is.
 */
int images_load(struct store *s, struct images *ret, struct err *err);
void images_done(struct images *im);

/* One image; ERR_NOT_FOUND, ERR_CORRUPT. NULL on failure. */
struct image *image_load(struct store *s, const struct digest *id, struct err *err);

/*
 * Finds by id ("sha256:<hex>"), by id or a prefix of it in hex (at least 3 digits, and only
 * one image), by tag or by digest (full names). A repository's name that is not full is the
 * caller's to complete. NULL: there is none (ERR_NOT_FOUND) or more than one (ERR_INVALID).
 */
const struct image *image_resolve(const struct images *im, const char *name,
				  struct err *err);

/* Appends the image's config or manifest; verified against its digest. 0 or -1. */
int image_read_config(struct store *s, const struct image *im, struct buf *out,
		      struct err *err);
int image_read_manifest(struct store *s, const struct image *im, struct buf *out,
			struct err *err);

/* Gives an image a tag; the tag leaves the image that had it. Durable. 0 or -1. */
int image_tag(struct store *s, const struct digest *id, const char *tag, struct err *err);

/*
 * Takes a tag or a digest name away. The image goes with its last name. 0, also when there
 * was no such name; or -1.
 */
int image_untag(struct store *s, const struct digest *id, const char *name,
		struct err *err);

/* Removes an image with all its names; no error if there is none. Durable; frees no space. */
int image_remove(struct store *s, const struct digest *id, struct err *err);

/*
 * Frees space: layers that no image and no container names and nobody holds, and what is
 * left in tmp/ of processes that have died. Takes as long as deleting files takes: for a
 * process that may block. A container names its layers in the member "layers" (array of
 * digest strings, chain ids) of the JSON in containers/<id>/record (kind "container").
 * Returns 0, or -1 with the first problem; the rest has been tried.
 */
int store_gc(struct store *s, struct err *err);

/* Disk use of images and layers, from the records: bytes and inodes. */
int store_usage(struct store *s, uint64_t *ret_bytes, uint64_t *ret_inodes,
		struct err *err);

#endif
