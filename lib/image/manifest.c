/* manifests and indexes */
#include <string.h>

#include "base/str.h"
#include "image/image.h"
#include "wire/json.h"
#include "wire/ref.h"

#define OCI "application/vnd.oci.image."
#define DOCKER "application/vnd.docker."

#define OCI_MANIFEST OCI "manifest.v1+json"
#define OCI_INDEX OCI "index.v1+json"
#define DOCKER_MANIFEST DOCKER "distribution.manifest.v2+json"
#define DOCKER_LIST DOCKER "distribution.manifest.list.v2+json"

const char image_accept[] =
	OCI_INDEX ", " DOCKER_LIST ", " OCI_MANIFEST ", " DOCKER_MANIFEST;

/* The kind that a media type stands for, or -1. */
static int kind_of(const char *media_type)
{
	if (str_eq(media_type, OCI_MANIFEST) || str_eq(media_type, DOCKER_MANIFEST))
		return IMAGE_MANIFEST;
	if (str_eq(media_type, OCI_INDEX) || str_eq(media_type, DOCKER_LIST))
		return IMAGE_INDEX;
	return -1;
}

static const char *copy(struct arena *a, const char *s)
{
	return s ? arena_strdup(a, s) : "";
}

static void read_platform(yyjson_val *v, struct arena *a, struct image_platform *ret)
{
	ret->os = copy(a, json_str(v, "os"));
	ret->architecture = copy(a, json_str(v, "architecture"));
	ret->variant = copy(a, json_str(v, "variant"));
}

static int read_desc(yyjson_val *v, const char *where, struct arena *a,
		     struct image_desc *ret, struct err *err)
{
	yyjson_val *size = json_get(v, "size");
	const char *digest = NULL;

	if (!yyjson_is_obj(v))
		return err_set(err, ERR_INVALID, "%s: not an object", where);
	if (json_want_str(v, where, "digest", &digest, err) < 0)
		return -1;
	if (!ref_is_digest(digest))
		return err_set(err, ERR_INVALID, "%s.digest: malformed", where);
	/* a negative or too large number is of another type */
	if (!size || !yyjson_is_uint(size) || yyjson_get_uint(size) > INT64_MAX)
		return err_set(err, ERR_INVALID, "%s.size: not a size", where);
	ret->digest = arena_strdup(a, digest);
	ret->size = yyjson_get_uint(size);
	ret->media_type = copy(a, json_str(v, "mediaType"));
	read_platform(json_get(v, "platform"), a, &ret->platform);
	return 0;
}

static int read_descs(yyjson_val *list, const char *what, size_t max, struct arena *a,
		      struct image_desc **ret, size_t *ret_n, struct err *err)
{
	size_t n = yyjson_arr_size(list), i = 0;
	struct image_desc *all;
	yyjson_val *v;

	if (n > max)
		return err_set(err, ERR_INVALID, "%s: %zu entries, at most %zu are taken",
			       what, n, max);
	all = arena_array(a, n, sizeof(*all));
	json_each (v, list) {
		char where[40];

		snprintf(where, sizeof(where), "%s[%zu]", what, i);
		if (read_desc(v, where, a, &all[i++], err) < 0)
			return -1;
	}
	*ret = all;
	*ret_n = n;
	return 0;
}

/*
 * What the document is, from its own words and from what it was announced as.
 * All that is said must agree.
 */
static int find_kind(yyjson_val *root, const char *content_type, const char **ret_type,
		     struct err *err)
{
	const char *said = json_str(root, "mediaType");
	bool children = json_get(root, "manifests");
	bool layers = json_get(root, "layers") || json_get(root, "config");
	int kind = children ? IMAGE_INDEX : IMAGE_MANIFEST;

	if (json_get(root, "mediaType") && !said)
		return err_set(err, ERR_INVALID, "mediaType: not a string");
	if (json_u64(root, "schemaVersion", 0) == 1 || json_get(root, "fsLayers"))
		return err_set(
			err, ERR_UNIMPLEMENTED,
			"manifest schema 1, which registries have given up, is not "
			"supported");
	if (json_u64(root, "schemaVersion", 0) != 2)
		return err_set(err, ERR_INVALID, "schemaVersion: not 2");
	if (children && layers)
		return err_set(err, ERR_INVALID,
			       "it has both manifests and layers or config");
	if (said && kind_of(said) < 0)
		return err_set(err, ERR_UNIMPLEMENTED,
			       "media type %.100s is not that of an image", said);
	if (said && kind_of(said) != kind)
		return err_set(err, ERR_INVALID,
			       "its mediaType is %s, its content is not", said);
	/* generic types say nothing, as servers that do not know better send them */
	if (!str_empty(content_type) && kind_of(content_type) >= 0 &&
	    (kind_of(content_type) != kind || (said && !str_eq(said, content_type))))
		return err_set(err, ERR_INVALID,
			       "it was announced as %s, and that is not what it is",
			       content_type);
	if (said)
		*ret_type = said;
	else if (!str_empty(content_type) && kind_of(content_type) >= 0)
		*ret_type = content_type;
	else
		*ret_type = kind == IMAGE_INDEX ? OCI_INDEX : OCI_MANIFEST;
	return kind;
}

static int parse(yyjson_val *root, const char *content_type, struct arena *a,
		 struct image_manifest *m, struct err *err)
{
	const char *type = NULL;
	int kind;

	if (!yyjson_is_obj(root))
		return err_set(err, ERR_INVALID, "not a JSON object");
	kind = find_kind(root, content_type, &type, err);
	if (kind < 0)
		return -1;
	m->kind = (enum image_kind)kind;
	m->media_type = arena_strdup(a, type);
	if (m->kind == IMAGE_INDEX) {
		yyjson_val *list = json_arr(root, "manifests");

		if (!list)
			return err_set(err, ERR_INVALID, "manifests: not an array");
		return read_descs(list, "manifests", IMAGE_MAX_CHILDREN, a, &m->children,
				  &m->n_children, err);
	}
	if (!json_arr(root, "layers"))
		return err_set(err, ERR_INVALID, "layers: not an array");
	if (read_desc(json_get(root, "config"), "config", a, &m->config, err) < 0)
		return -1;
	return read_descs(json_arr(root, "layers"), "layers", IMAGE_MAX_LAYERS, a,
			  &m->layers, &m->n_layers, err);
}

int image_manifest_parse(const void *data, size_t n, const char *content_type,
			 struct arena *a, struct image_manifest *ret, struct err *err)
{
	struct image_manifest m = {0};
	JSON_AUTO doc = NULL;

	if (n > IMAGE_MAX_DOC)
		return err_set(err, ERR_INVALID, "manifest: larger than %d bytes",
			       IMAGE_MAX_DOC);
	doc = json_parse(data, n, err);
	if (!doc)
		return err_wrap(err, "manifest");
	if (parse(yyjson_doc_get_root(doc), content_type, a, &m, err) < 0)
		return err_wrap(err, "manifest");
	*ret = m;
	return 0;
}

int image_layer_packing(const struct image_desc *layer, enum image_packing *ret,
			struct err *err)
{
	static const struct {
		const char *type;
		enum image_packing packing;
	} types[] = {
		{OCI "layer.v1.tar", IMAGE_TAR},
		{OCI "layer.v1.tar+gzip", IMAGE_GZIP},
		{OCI "layer.v1.tar+zstd", IMAGE_ZSTD},
		{OCI "layer.nondistributable.v1.tar", IMAGE_TAR},
		{OCI "layer.nondistributable.v1.tar+gzip", IMAGE_GZIP},
		{OCI "layer.nondistributable.v1.tar+zstd", IMAGE_ZSTD},
		{DOCKER "image.rootfs.diff.tar", IMAGE_TAR},
		{DOCKER "image.rootfs.diff.tar.gzip", IMAGE_GZIP},
		{DOCKER "image.rootfs.diff.tar.zstd", IMAGE_ZSTD},
		{DOCKER "image.rootfs.foreign.diff.tar", IMAGE_TAR},
		{DOCKER "image.rootfs.foreign.diff.tar.gzip", IMAGE_GZIP},
	};

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (str_eq(layer->media_type, types[i].type)) {
			*ret = types[i].packing;
			return 0;
		}
	return err_set(err, ERR_UNIMPLEMENTED,
		       "layer %s: media type \"%.100s\" is not that of a layer",
		       layer->digest, layer->media_type);
}

int image_check(const struct image_manifest *m, const struct image_config *c,
		struct err *err)
{
	enum image_packing ignored;

	if (m->n_layers == 0)
		return err_set(err, ERR_INVALID, "the image has no layers");
	if (m->n_layers != c->diff_ids.n)
		return err_set(err, ERR_INVALID,
			       "the manifest has %zu layers, the config %zu diff ids",
			       m->n_layers, c->diff_ids.n);
	for (size_t i = 0; i < m->n_layers; i++)
		if (image_layer_packing(&m->layers[i], &ignored, err) < 0)
			return -1;
	return 0;
}
