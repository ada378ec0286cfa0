/*
 * modindex: no index of kernel modules, damaged or not, leads out of its bounds; names that are
 * found are the ones that were looked for; a command line of any shape is read within bounds.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "os/modindex.h"
#include "os/module.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void want(int condition)
{
	if (!condition)
		abort();
}

static size_t walk_links(const struct modindex *ix, struct modindex_links links)
{
	size_t sum = 0;

	for (uint32_t i = 0; i < links.count; i++) {
		bool soft;
		int number = modindex_link(ix, links, i, &soft);

		want(number < (int)ix->modules.count);
		sum += number >= 0 ? strlen(modindex_name(ix, number)) : soft;
	}
	return sum;
}

static void walk(const struct modindex *ix)
{
	static const char *const aliases[] = {
		"virtio:d00000001v00001AF4",
		"fs-overlay",
		"nft-expr-masq",
		"pci:",
		"",
		":",
		"acpi:PNP0C0A:",
	};
	size_t sum = walk_links(ix, modindex_list(ix, "late"));

	for (int i = 0; i < (int)ix->modules.count; i++) {
		const char *name = modindex_name(ix, i);
		const char *file = modindex_file(ix, i);
		int found = modindex_find(ix, name);

		sum += strlen(name) + (file ? strlen(file) : 0);
		if (found >= 0)
			want(str_eq(modindex_name(ix, found), name) ||
			     strchr(name, '-') || strchr(modindex_name(ix, found), '-'));
		/* of a damaged one, each module may need all others */
		if (modindex_needs(ix, i).count < 256)
			sum += walk_links(ix, modindex_needs(ix, i));
	}
	for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
		for (uint32_t pos = 0; modindex_match(ix, aliases[i], &pos) >= 0;)
			sum++;
	want(sum < SIZE_MAX / 2);
}

static void command_line(const uint8_t *data, size_t size)
{
	char text[256], params[64] = "";
	size_t n = size < sizeof(text) - 1 ? size : sizeof(text) - 1;

	memcpy(text, data, n);
	text[n] = 0;
	if (module_params(params, sizeof(params), text, "ext4") < 0)
		want(strlen(text) >= sizeof(params));
	want(strlen(params) <= strlen(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct modindex ix;
	struct err err;

	command_line(data, size);
	if (modindex_init(&ix, data, size, &err) == 0)
		walk(&ix);
	return 0;
}
