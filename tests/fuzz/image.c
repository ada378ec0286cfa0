/* manifests, indexes and configs of images: any bytes */
#include "image/image.h"

#include <stdlib.h>

#include "wire/ref.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_descs(const struct image_desc *d, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!ref_is_digest(d[i].digest) || d[i].size > INT64_MAX ||
		    !d[i].media_type)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ARENA_AUTO arena = {0};
	struct image_platform host;
	struct image_manifest m;
	struct image_config c;
	const struct image_desc *chosen;
	struct err err;

	image_platform_host(&host);
	if (image_manifest_parse(data, size, NULL, &arena, &m, &err) == 0) {
		check_descs(m.layers, m.n_layers);
		check_descs(m.children, m.n_children);
		if (m.kind == IMAGE_INDEX)
			(void)image_choose(&m, &host, &chosen, &err);
		else
			check_descs(&m.config, 1);
	}
	if (image_config_parse(data, size, &arena, &c, &err) == 0) {
		for (size_t i = 0; i < c.diff_ids.n; i++)
			if (!ref_is_digest(c.diff_ids.v[i]))
				abort();
		(void)image_chain_ids(&c.diff_ids, &arena);
	}
	return 0;
}
