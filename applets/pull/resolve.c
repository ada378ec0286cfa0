#include "pull/resolve.h"

#include <stdlib.h>

#include "base/str.h"

/* Keeps a document that must have the digest and size that were announced (NULL: none were). */
static int keep(struct resolved *r, struct arena *a, const struct buf *data,
		const char *type, const char *digest, const struct image_desc *announced,
		struct err *err)
{
	struct resolve_doc *d = &r->docs[r->n];
	const char *what = type ? "manifest" : "config";
	struct digest want;

	if (announced && announced->size != data->len)
		return err_set(err, ERR_CORRUPT,
			       "%s %s has %zu bytes, it was announced with %llu", what,
			       announced->digest, data->len,
			       (unsigned long long)announced->size);
	if (digest) {
		if (digest_parse(digest, &want, err) < 0 ||
		    digest_check(what, data->data, data->len, &want, err) < 0)
			return -1;
		d->digest = want;
	} else {
		digest_of(data->data, data->len, &d->digest);
	}
	d->data = arena_memdup(a, data->data, data->len);
	d->len = data->len;
	d->type = arena_strdup(a, str_or_empty(type));
	r->n++;
	return 0;
}

/* Gets one manifest or index and parses it. */
static int step(const struct resolve_source *s, const char *name,
		const struct image_desc *announced, struct arena *a, struct resolved *r,
		struct image_manifest *ret, struct err *err)
{
	const char *digest = ref_is_digest(name) ? name : NULL;
	BUF_AUTO data = {0};
	STR_AUTO type = NULL;

	if (s->manifest(s->arg, name, &data, &type, err) < 0)
		return -1;
	if (keep(r, a, &data, type, digest, announced, err) < 0 ||
	    image_manifest_parse(data.data, data.len, type, a, ret, err) < 0)
		return -1;
	if (announced && *announced->media_type &&
	    !str_eq(announced->media_type, ret->media_type))
		return err_set(err, ERR_INVALID,
			       "manifest %s was announced as %.100s, it is %s", name,
			       announced->media_type, ret->media_type);
	return 0;
}

static int get_config(const struct resolve_source *s, const struct image_platform *want,
		      struct arena *a, struct resolved *r, struct err *err)
{
	const struct image_desc *d = &r->manifest.config;
	struct image_platform have;
	BUF_AUTO data = {0};

	if (s->config(s->arg, d, &data, err) < 0)
		return err_wrap(err, "image config");
	if (keep(r, a, &data, NULL, d->digest, d, err) < 0 ||
	    image_config_parse(data.data, data.len, a, &r->config, err) < 0 ||
	    image_check(&r->manifest, &r->config, err) < 0)
		return -1;
	have = r->config.platform;
	/* few configs name a variant */
	if (!*have.variant)
		have.variant = want->variant;
	if (*have.os && *have.architecture && !image_platform_match(want, &have)) {
		BUF_AUTO is = {0};
		BUF_AUTO should = {0};

		image_platform_add(&is, &r->config.platform);
		image_platform_add(&should, want);
		return err_set(err, ERR_NOT_FOUND, "the image is for %.60s, not for %s",
			       buf_str(&is), buf_str(&should));
	}
	return 0;
}

int resolve_image(const struct resolve_source *s, const struct ref *ref,
		  const struct image_platform *want, struct arena *a,
		  struct resolved *ret, struct err *err)
{
	const char *name = ref->digest[0] ? ref->digest : ref->tag;
	const struct image_desc *announced = NULL;
	struct resolved r = {0};

	for (;;) {
		if (step(s, name, announced, a, &r, &r.manifest, err) < 0)
			return -1;
		if (r.manifest.kind == IMAGE_MANIFEST)
			break;
		if (r.n == RESOLVE_MANIFESTS)
			return err_set(err, ERR_INVALID,
				       "indexes are nested deeper than %d levels",
				       RESOLVE_MANIFESTS - 1);
		if (image_choose(&r.manifest, want, &announced, err) < 0)
			return -1;
		name = announced->digest;
	}
	if (get_config(s, want, a, &r, err) < 0)
		return -1;
	*ret = r;
	return 0;
}
