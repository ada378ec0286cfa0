/*
 * layout: OCI image layouts (image-layout.md) in a registry's place: images that were brought
 * along. Each is a directory below one of the caller's.
 */
#ifndef APPLETS_FETCH_LAYOUT_H
#define APPLETS_FETCH_LAYOUT_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "wire/ref.h"

struct layout {
	int dir; /* of the layout; -1: none */
	/* what the reference means in it */
	char digest[REF_DIGEST];
	char type[128]; /* its media type */
};

/* Called for each image: its complete name. Not 0: the end. */
typedef int layout_fn(void *arg, const struct ref *name, const struct layout *l);

/*
 * The images of all layouts below dirfd. An image's name is that of an annotation of the
 * layout's index, io.containerd.image.name or org.opencontainers.image.ref.name; where that is
 * only a tag, the directory's name comes before it. A layout that cannot be read is passed over.
 * Returns what fn did, or 0.
 */
int layout_each(int dirfd, layout_fn *fn, void *arg);

/* Looks for an image, by its name or its digest. 1: found, to be ended with layout_done; 0. */
int layout_find(int dirfd, const struct ref *want, struct layout *ret);
void layout_done(struct layout *l);

/* Appends a blob of at most max bytes, verified. 0 or -1. */
int layout_blob(const struct layout *l, const char *digest, size_t max, struct buf *out,
		struct err *err);

/*
 * Writes a blob to a pipe. The bytes are not verified: that is the reader's part. An error with
 * sys EPIPE: the reader has gone. 0 or -1.
 */
int layout_stream(const struct layout *l, const char *digest, uint64_t size, int pipe,
		  void (*progress)(void *arg, uint64_t done), void *arg, struct err *err);

#endif
