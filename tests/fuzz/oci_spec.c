/* Any bytes as config.json, as a process and as a seccomp profile: parsed, planned,
 * printed. */
#include <stdlib.h>

#include "base/str.h"
#include "oci/oci.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use_spec(struct oci_spec *s, struct arena *a, const void *data, size_t size)
{
	struct oci_plan_how how = {0};
	BUF_AUTO out = {0};
	struct err err;

	oci_plan_print(oci_plan_new(s, &how, a), &out);
	how.cgroup_v1 = how.console = true;
	oci_plan_print(oci_plan_new(s, &how, a), &out);
	if (!out.len || out.data[out.len - 1] != '\n')
		abort();
	if (oci_spec_seccomp_parse(s, data, size, a, &err) < 0 && !*err.msg)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct oci_process *p = NULL;
	struct oci_spec *s = NULL;
	ARENA_AUTO a = {0};
	struct err err = {0};

	if (oci_spec_parse(data, size, &a, &s, &err) == 0)
		use_spec(s, &a, data, size);
	else if (!*err.msg)
		abort();
	if (oci_process_parse(data, size, s ? oci_spec_process(s) : NULL, &a, &p, &err) ==
		    0 &&
	    (!p->args || !p->args[0] || *p->cwd != '/'))
		abort();
	return 0;
}
