/* Inside of lib/store. */
#ifndef STORE_STORE_INT_H
#define STORE_STORE_INT_H

#include "os/proc.h"
#include "store/store.h"
#include "wire/json.h"

struct store {
	int fds[STORE_DIR_COUNT];
	char boot[PROC_BOOT_ID];
};

/* Takes the lock of the records of images. Owned fd: closing it unlocks. Or -1. */
int store_lock(struct store *s, struct err *err);

/*
 * Moves directory `which`/name to tmp/ under a new name, so that it is gone at once; its
 * contents are deleted by store_gc, when nobody uses them. A missing one is success.
 */
int store_discard(struct store *s, enum store_dir which, const char *name,
		  struct err *err);

/*
 * Deletes what is in a directory and begins with prefix: what a process that died in the
 * middle has left, such as a record's temporary file.
 */
int store_empty(int dirfd, const char *prefix, struct err *err);

/* A new name in tmp/. */
enum { STORE_TMP_NAME = 48 };
void store_tmp_name(char dst[STORE_TMP_NAME], const char *prefix);

/* Adds a digest as text. */
void store_add_digest(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key,
		      const struct digest *digest);
/* A member that is a digest; DIGEST_NONE if it is missing or none. */
void store_get_digest(yyjson_val *obj, const char *key, struct digest *ret);

/* Reads a record that is JSON. NULL on failure; free with json_free. */
yyjson_doc *store_read_json(int dirfd, const char *name, const char *kind,
			    char ret_boot[PROC_BOOT_ID], struct err *err);
int store_write_json(int dirfd, const char *name, const char *kind,
		     const yyjson_mut_doc *d, bool sync, struct err *err);

/*
 * True if an image that was acknowledged names the layer. Reads all image records: only for
 * layers that were made before this boot.
 */
bool store_layer_named(struct store *s, const struct digest *chain);

#endif
