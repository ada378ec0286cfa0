#include "pull/known.h"

#include "base/str.h"

int known_load(struct known *k, struct store *s, struct err *err)
{
	k->store = s;
	return images_load(s, &k->images, err);
}

void known_done(struct known *k)
{
	images_done(&k->images);
}

static bool has_layers(struct store *s, const struct image *im)
{
	struct err ignored;

	for (size_t i = 0; i < im->nlayers; i++) {
		struct layer l = {.fd = -1};

		if (layer_open(s, &im->layers[i], &l, NULL, &ignored) < 0)
			return false;
		layer_end(s, &l);
	}
	return true;
}

static bool is_for(struct store *s, const struct image *im,
		   const struct image_platform *want)
{
	ARENA_AUTO arena = {0};
	struct image_config c;
	BUF_AUTO config = {0};
	struct err ignored;

	if (image_read_config(s, im, &config, &ignored) < 0 ||
	    image_config_parse(config.data, config.len, &arena, &c, &ignored) < 0)
		return false;
	/* few configs name a variant */
	if (!*c.platform.variant)
		c.platform.variant = want->variant;
	return image_platform_match(want, &c.platform);
}

void known_each(const struct known *k, const struct ref *ref,
		const struct image_platform *platform,
		void (*fn)(void *arg, const struct image *im, const char *digest),
		void *arg)
{
	BUF_AUTO name = {0};
	const char *prefix;

	ref_add_name(&name, ref);
	buf_add_char(&name, '@');
	prefix = buf_str(&name);
	for (size_t i = 0; i < k->images.n; i++) {
		const struct image *im = k->images.v[i];

		for (char **d = im->digests; d && *d; d++)
			if (str_starts(*d, prefix) && is_for(k->store, im, platform) &&
			    has_layers(k->store, im))
				fn(arg, im, *d + strlen(prefix));
	}
}
