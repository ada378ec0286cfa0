/*
 * Golden plans: tests/golden/oci/NAME.json must give NAME.plan (version 2 of cgroups)
 * and, where it is there, NAME.v1.plan. GOLDEN=write makes them anew; tests/it/oci_plans.py
 * runs them on all architectures.
 */
#include "unit.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/str.h"
#include "oci/oci.h"
#include "os/fd.h"
#include "os/file.h"

static const char dir[] = "tests/golden/oci";

static void read_golden(const char *name, const char *suffix, struct buf *b)
{
	STR_AUTO path = xasprintf("%s/%s%s", dir, name, suffix);
	struct err err;

	if (file_read(AT_FDCWD, path, 1 << 20, b, &err) < 0)
		FAIL("%s", err.msg);
}

/* The first line that differs, in words. */
static void compare(const char *name, const char *want, const char *got)
{
	for (unsigned line = 1;; line++) {
		size_t n = strcspn(want, "\n"), m = strcspn(got, "\n");

		if (n != m || memcmp(want, got, n) != 0)
			FAIL("%s line %u: '%.*s', not '%.*s'", name, line, (int)m, got,
			     (int)n, want);
		if (!want[n] || !got[m])
			break;
		want += n + 1;
		got += m + 1;
	}
}

static void check(const char *name, const char *suffix, bool v1)
{
	struct oci_plan_how how = {.cgroup_v1 = v1};
	struct oci_spec *s;
	ARENA_AUTO a = {0};
	BUF_AUTO json = {0};
	BUF_AUTO plan = {0};
	BUF_AUTO want = {0};
	struct err err;

	read_golden(name, ".json", &json);
	if (oci_spec_parse(json.data, json.len, &a, &s, &err) < 0)
		FAIL("%s", err.msg);
	how.console = oci_spec_process(s)->terminal;
	oci_plan_print(oci_plan_new(s, &how, &a), &plan);
	if (getenv("GOLDEN")) {
		STR_AUTO path = xasprintf("%s/%s%s", dir, name, suffix);

		if (file_replace(AT_FDCWD, path, plan.data, plan.len, 0644, false, &err) <
		    0)
			FAIL("%s", err.msg);
	}
	read_golden(name, suffix, &want);
	compare(name, buf_str(&want), buf_str(&plan));
}

TEST(plan_default)
{
	check("default", ".plan", false);
}

TEST(plan_userns)
{
	check("userns", ".plan", false);
}

TEST(plan_mounts)
{
	check("mounts", ".plan", false);
}

TEST(plan_hooks)
{
	check("hooks", ".plan", false);
}

TEST(plan_time)
{
	check("time", ".plan", false);
}

TEST(plan_tuning)
{
	check("tuning", ".plan", false);
}

TEST(plan_process)
{
	check("process", ".plan", false);
}

TEST(plan_seccomp)
{
	check("seccomp", ".plan", false);
}

TEST(plan_network)
{
	check("network", ".plan", false);
}

TEST(plan_idmap)
{
	check("idmap", ".plan", false);
}

TEST(plan_devices)
{
	check("devices", ".plan", false);
}

TEST(plan_mount_options)
{
	check("mount-options", ".plan", false);
}

TEST(plan_host_mounts)
{
	check("host-mounts", ".plan", false);
}

TEST(plan_pod)
{
	check("pod", ".plan", false);
	check("pod", ".v1.plan", true);
}
