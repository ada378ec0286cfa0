/*
 * the prober of file systems: any device. An input is its size in KiB (le32), and then pieces:
 * sector (le32), length (le16) and bytes; what is not named is zero.
 */
#include "wire/fsprobe.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX = 1 << 20 };

static uint8_t image[MAX];

static int read_image(void *arg, uint64_t off, void *dst, size_t n)
{
	uint64_t size = *(uint64_t *)arg;

	if (n > 4096 || off > size || n > size - off)
		abort(); /* it may not ask for that */
	memset(dst, 0, n);
	if (off < MAX)
		memcpy(dst, image + off, n < MAX - off ? n : (size_t)(MAX - off));
	return 0;
}

static void ends(const char *s, size_t size)
{
	if (!memchr(s, 0, size))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fsprobe_dev dev = {.read = read_image};
	struct fsprobe_part part;
	struct fsprobe p;
	uint64_t bytes;

	if (size < 4)
		return 0;
	bytes = (uint64_t)get_le32(data) * 1024;
	dev.arg = &bytes;
	dev.size = bytes;
	memset(image, 0, sizeof(image));
	for (size_t at = 4; at + 6 <= size;) {
		uint64_t to = (uint64_t)get_le32(data + at) * 512;
		size_t n = get_le16(data + at + 4);

		at += 6;
		if (n > size - at)
			n = size - at;
		if (to < MAX)
			memcpy(image + to, data + at,
			       n < MAX - to ? n : (size_t)(MAX - to));
		at += n;
	}
	if (fsprobe(&dev, &p) == 1) {
		ends(p.type, sizeof(p.type));
		ends(p.label, sizeof(p.label));
		ends(p.uuid, sizeof(p.uuid));
		ends(p.uuid_sub, sizeof(p.uuid_sub));
		ends(p.version, sizeof(p.version));
		ends(p.ptuuid, sizeof(p.ptuuid));
		if (!p.type[0] && !p.pttype[0])
			abort();
	}
	for (unsigned i = 0; i < 2; i++) {
		dev.sector = i ? 4096 : 512;
		if (fsprobe_part(&dev, i + 1, 2048 * 512, &part) == 1) {
			ends(part.uuid, sizeof(part.uuid));
			ends(part.label, sizeof(part.label));
		}
	}
	return 0;
}
