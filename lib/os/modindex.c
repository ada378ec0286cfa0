#include "os/modindex.h"

#include <fnmatch.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"

enum {
	HEAD = 48,
	MODULE = 16,
	ALIAS = 8,
	LIST = 12,
	LINK = 2,
	SOFT = 0x8000,
};
#define BUILTIN 0xffffffffu

static int table(struct modindex_table *t, const uint8_t *data, size_t size, size_t head,
		 size_t each)
{
	uint32_t count = get_be32(data + head), at = get_be32(data + head + 4);

	if (at < HEAD || at > size || count > (size - at) / each)
		return -1;
	*t = (struct modindex_table){.at = data + at, .count = count};
	return 0;
}

int modindex_init(struct modindex *ix, const void *data, size_t size, struct err *err)
{
	static const uint8_t magic[] = {'c', 'r', 'i', 'b', 'm', 'o', 'd', 1};
	const uint8_t *p = data;
	struct modindex got = {0};

	if (size < HEAD || memcmp(p, magic, sizeof(magic)) != 0)
		return err_set(err, ERR_CORRUPT, "not an index of kernel modules");
	if (table(&got.modules, p, size, 8, MODULE) < 0 ||
	    table(&got.aliases, p, size, 16, ALIAS) < 0 ||
	    table(&got.lists, p, size, 24, LIST) < 0 ||
	    table(&got.links, p, size, 32, LINK) < 0 ||
	    table(&got.strings, p, size, 40, 1) < 0 || got.modules.count > MODINDEX_MAX ||
	    !got.strings.count || got.strings.at[got.strings.count - 1])
		return err_set(err, ERR_CORRUPT,
			       "the index of kernel modules is damaged");
	*ix = got;
	return 0;
}

static const char *string(const struct modindex *ix, uint32_t at)
{
	return at < ix->strings.count ? (const char *)ix->strings.at + at : "";
}

static const uint8_t *module(const struct modindex *ix, int number)
{
	return ix->modules.at + (size_t)number * MODULE;
}

static bool is_module(const struct modindex *ix, int number)
{
	return number >= 0 && (uint32_t)number < ix->modules.count;
}

const char *modindex_name(const struct modindex *ix, int number)
{
	return is_module(ix, number) ? string(ix, get_be32(module(ix, number))) : "";
}

const char *modindex_file(const struct modindex *ix, int number)
{
	uint32_t at = is_module(ix, number) ? get_be32(module(ix, number) + 4) : BUILTIN;

	return at == BUILTIN ? NULL : string(ix, at);
}

static struct modindex_links links(const struct modindex *ix, uint32_t first,
				   uint32_t count)
{
	if (first > ix->links.count || count > ix->links.count - first)
		return (struct modindex_links){0};
	return (struct modindex_links){
		.at = ix->links.at + (size_t)first * LINK,
		.count = count,
	};
}

struct modindex_links modindex_needs(const struct modindex *ix, int number)
{
	const uint8_t *m;

	if (!is_module(ix, number))
		return (struct modindex_links){0};
	m = module(ix, number);
	return links(ix, get_be32(m + 8), get_be16(m + 12));
}

struct modindex_links modindex_list(const struct modindex *ix, const char *name)
{
	for (uint32_t i = 0; i < ix->lists.count; i++) {
		const uint8_t *l = ix->lists.at + (size_t)i * LIST;

		if (str_eq(string(ix, get_be32(l)), name))
			return links(ix, get_be32(l + 4), get_be16(l + 8));
	}
	return (struct modindex_links){0};
}

int modindex_link(const struct modindex *ix, struct modindex_links from, uint32_t i,
		  bool *ret_soft)
{
	uint16_t link = get_be16(from.at + (size_t)i * LINK);
	int number = link & ~SOFT;

	*ret_soft = link & SOFT;
	return is_module(ix, number) ? number : -1;
}

/* As strcmp, '-' and '_' being the same. */
static int name_cmp(const char *a, const char *b)
{
	for (;; a++, b++) {
		unsigned char x = *a == '-' ? '_' : (unsigned char)*a;
		unsigned char y = *b == '-' ? '_' : (unsigned char)*b;

		if (x != y || !x)
			return x < y ? -1 : x > y;
	}
}

int modindex_find(const struct modindex *ix, const char *name)
{
	uint32_t low = 0, high = ix->modules.count;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		int cmp = name_cmp(name, modindex_name(ix, (int)mid));

		if (!cmp)
			return (int)mid;
		if (cmp < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return -1;
}

static const char *pattern(const struct modindex *ix, uint32_t i)
{
	return string(ix, get_be32(ix->aliases.at + (size_t)i * ALIAS));
}

/*
 * Names of buses ("pci:") have no wildcards: only patterns that begin with the alias's can
 * match, and they are side by side. Without the colon, for the sake of "acpi*:".
 */
static size_t fixed_part(const char *alias)
{
	size_t n = strcspn(alias, ":");

	return alias[n] ? n : MIN(n, 1u);
}

int modindex_match(const struct modindex *ix, const char *alias, uint32_t *pos)
{
	size_t fixed = fixed_part(alias);
	uint32_t low = *pos, high = ix->aliases.count;

	if (!low) {
		while (low < high) {
			uint32_t mid = low + (high - low) / 2;

			if (strncmp(pattern(ix, mid), alias, fixed) < 0)
				low = mid + 1;
			else
				high = mid;
		}
	}
	for (; low < ix->aliases.count; low++) {
		const char *p = pattern(ix, low);
		int number = get_be16(ix->aliases.at + (size_t)low * ALIAS + 4);

		if (strncmp(p, alias, fixed) != 0)
			break;
		if (is_module(ix, number) && fnmatch(p, alias, 0) == 0) {
			*pos = low + 1;
			return number;
		}
	}
	*pos = UINT32_MAX;
	return -1;
}
