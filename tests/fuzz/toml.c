/* the TOML reader: any text */
#include "wire/toml.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const struct toml *t, unsigned depth)
{
	/* what was read is a tree of bounded depth with keys and strings */
	if (depth > 3 * TOML_MAX_DEPTH || !t->key || !t->line)
		abort();
	if (t->type == TOML_STRING && !t->str)
		abort();
	for (const struct toml *c = t->first; c; c = c->next)
		walk(c, depth + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ARENA_AUTO arena = {0};
	struct err err = {0};
	struct toml *t = toml_parse(data, size, &arena, &err);

	if (t)
		walk(t, 0);
	else if (!err.code || !err.msg[0])
		abort();
	return 0;
}
