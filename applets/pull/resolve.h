/*
 * resolve: from a reference to the documents of one image: index, manifest,
 * config. The fetcher walks with documents from the network, and the
 * coordinator once more with those that the fetcher has sent: what it then
 * acts on is only what digests vouch for.
 */
#ifndef APPLETS_PULL_RESOLVE_H
#define APPLETS_PULL_RESOLVE_H

#include "base/arena.h"
#include "image/image.h"
#include "wire/digest.h"
#include "wire/ref.h"

enum {
	RESOLVE_MANIFESTS = 3, /* an index in an index is the deepest nesting */
	RESOLVE_DOCS = RESOLVE_MANIFESTS + 1
};

struct resolve_source {
	/* Appends the document; *ret_type is its Content-Type, owned by the caller. */
	int (*manifest)(void *arg, const char *tag_or_digest, struct buf *out,
			char **ret_type, struct err *err);
	int (*config)(void *arg, const struct image_desc *d, struct buf *out,
		      struct err *err);
	void *arg;
};

struct resolve_doc {
	const void *data; /* in the arena */
	size_t len;
	const char *type; /* as it was announced; "" for a config */
	struct digest digest;
};

struct resolved {
	struct resolve_doc docs[RESOLVE_DOCS]; /* [0] is what the reference names */
	size_t n; /* docs[n - 1] is the config, docs[n - 2] the manifest */
	struct image_manifest manifest;
	struct image_config config;
};

/* Everything in ret lives in the arena. Every digest and size has been checked. */
int resolve_image(const struct resolve_source *s, const struct ref *ref,
		  const struct image_platform *want, struct arena *a,
		  struct resolved *ret, struct err *err);

#endif
