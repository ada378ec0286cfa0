/* known: images that are in the store already, so that they need not be asked for. */
#ifndef APPLETS_PULL_KNOWN_H
#define APPLETS_PULL_KNOWN_H

#include "image/image.h"
#include "store/store.h"
#include "wire/ref.h"

struct known {
	struct store *store;
	struct images images;
};

/* Loads the records of images. 0 or -1. */
int known_load(struct known *k, struct store *s, struct err *err);
void known_done(struct known *k);

/*
 * Calls fn with each image of this name and platform all of whose layers are
 * there, and the digest by which the registry knows it.
 */
void known_each(const struct known *k, const struct ref *ref,
		const struct image_platform *platform,
		void (*fn)(void *arg, const struct image *im, const char *digest),
		void *arg);

#endif
