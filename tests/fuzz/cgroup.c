/* Any bytes as a cgroup file and as a resources object. */
#include <stdlib.h>
#include <string.h>

#include "cgroup/cgroup-int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use_text(const char *text)
{
	uint8_t bits[CPUSET_MAX / 8];
	struct cgroup_pressure p;
	uint32_t major, minor;
	struct text_line l;
	struct text_word w;
	const char *at = text;
	uint64_t v;

	while (text_line(&at, &l))
		for (size_t i = 0; i < l.n; i++) {
			if (l.word[i].len == 0 || l.word[i].s < text || l.word[i].s >= at)
				abort();
			if (text_u64(&l.word[i], &v) &&
			    text_device(&l.word[i], &major, &minor))
				abort();
			text_value(&l.word[i], "rbytes", &w);
		}
	text_pressure(text, &p);
	if (cpuset_parse(text, bits) != cpuset_check(text))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	BUF_AUTO text = {0};
	BUF_AUTO out = {0};
	ARENA_AUTO a = {0};
	struct resources r;
	struct err err = {0};

	if (resources_parse(data, size, &a, &r, &err) == 0) {
		resources_print(&r, true, &out);
		resources_print(&r, false, &out);
	} else if (!*err.msg) {
		abort();
	}
	buf_add(&text, data, size);
	use_text(buf_str(&text));
	return 0;
}
