/*
 * image: manifests, indexes and configs of container images: OCI image-spec
 * 1.1 and Docker's image manifest version 2, schema 2. Pure: bytes in, structs
 * out. Everything lives in the caller's arena.
 *
 * What an image says is data, never control: a field that names a path, a
 * signal or a user is checked by whoever acts on it.
 */
#ifndef IMAGE_IMAGE_H
#define IMAGE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum {
	IMAGE_MAX_DOC = 4 << 20, /* bytes of a manifest, index or config */
	IMAGE_MAX_CHILDREN = 256,
	IMAGE_MAX_LAYERS = 256
};

struct image_platform {
	const char *os, *architecture, *variant; /* "" if not said */
};

/* content descriptor (image-spec, "OCI Content Descriptors") */
struct image_desc {
	const char *media_type; /* "" if not said */
	const char *digest;	/* checked: ref_is_digest */
	uint64_t size;
	struct image_platform platform; /* of an index's entry */
};

enum image_kind { IMAGE_MANIFEST, IMAGE_INDEX };

/* A manifest (config, layers) or an index (children). */
struct image_manifest {
	enum image_kind kind;
	const char *media_type;
	struct image_desc config;
	struct image_desc *layers; /* base first */
	size_t n_layers;
	struct image_desc *children;
	size_t n_children;
};

/* How a layer's tar is packed, from its media type. */
enum image_packing { IMAGE_TAR, IMAGE_GZIP, IMAGE_ZSTD };

/* A list of strings; v[n] is NULL, so that it serves as an argv too. */
struct image_strs {
	const char **v;
	size_t n;
};

struct image_label {
	const char *key, *value;
};

/* image-spec, "OCI Image Configuration". Absent strings are "". */
struct image_config {
	struct image_platform platform;
	const char *created; /* RFC 3339 */
	const char *user;    /* "uid", "name", "uid:gid", ... or "" */
	const char *working_dir;
	const char *stop_signal;
	struct image_strs env; /* "KEY=value"; what has no '=' is left out */
	struct image_strs entrypoint;
	struct image_strs cmd;
	struct image_strs volumes; /* paths */
	struct image_strs exposed_ports;
	struct image_label *labels; /* without those in name spaces of runtimes */
	size_t n_labels;
	struct image_strs diff_ids; /* checked digests, base first */
};

/*
 * Parses a manifest or an index. content_type is what the registry or the
 * descriptor called it ("" or NULL: nothing); the three must not contradict
 * each other, and a document that could be read as both is refused
 * (GHSA-5j5w-g665-5m35). ERR_INVALID on what is malformed, ERR_UNIMPLEMENTED
 * for schema 1 and for what is no image.
 */
int image_manifest_parse(const void *data, size_t n, const char *content_type,
			 struct arena *a, struct image_manifest *ret, struct err *err);

/* Parses a config. ERR_INVALID on what is malformed. */
int image_config_parse(const void *data, size_t n, struct arena *a,
		       struct image_config *ret, struct err *err);

/*
 * Manifest and config belong together: as many diff ids as layers, at least
 * one, and layers of a kind that can be unpacked. 0 or -1.
 */
int image_check(const struct image_manifest *m, const struct image_config *c,
		struct err *err);

/* How a layer is packed. -1 with ERR_UNIMPLEMENTED for other media types. */
int image_layer_packing(const struct image_desc *layer, enum image_packing *ret,
			struct err *err);

/*
 * Chain id of the layers 0..i for each i (image-spec, "Layer ChainID"):
 * n strings in the arena.
 */
const char **image_chain_ids(const struct image_strs *diff_ids, struct arena *a);

/* The platform of this machine, e.g. linux/amd64 or linux/arm64/v8. */
void image_platform_host(struct image_platform *ret);

/* "os/arch[/variant]" in the arena, also with uname's names of machines. 0 or -1. */
int image_platform_parse(const char *s, struct arena *a, struct image_platform *ret,
			 struct err *err);

/* Appends "os/arch[/variant]". */
void image_platform_add(struct buf *out, const struct image_platform *p);

/*
 * How well `have` serves `want`: 0 not at all, more is better. An older
 * variant serves a newer machine (arm v6 on v7, amd64 v1 on v3).
 */
unsigned image_platform_match(const struct image_platform *want,
			      const struct image_platform *have);

/*
 * The index's entry that serves the platform best, the first of equals; an
 * only entry that names no platform is taken. -1 with ERR_NOT_FOUND naming
 * what there is.
 */
int image_choose(const struct image_manifest *index, const struct image_platform *want,
		 const struct image_desc **ret, struct err *err);

/* The media types that a registry is asked for, as an Accept header's value. */
extern const char image_accept[];

#endif
