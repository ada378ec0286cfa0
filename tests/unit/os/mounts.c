#include "unit.h"

#include "os/mounts.h"

#include "base/str.h"

TEST(lines_of_every_kind)
{
	char text[] = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root "
		      "rw,errors=continue\n"
		      "37 36 0:5 / /with\\040blank\\011tab rw shared:2 master:3 "
		      "propagate_from:4 - "
		      "tmpfs a\\134b rw\n"
		      "38 36 0:6 / /none ro - proc proc rw\n";
	char *at = text;
	struct mounts_line m;

	CHECK(mounts_next(&at, &m));
	CHECK_INT(m.id, 36);
	CHECK_INT(m.parent, 35);
	CHECK_INT(m.major, 98);
	CHECK_STR(m.root, "/mnt1");
	CHECK_STR(m.target, "/mnt2");
	CHECK_STR(m.options, "rw,noatime");
	CHECK_STR(m.tags, "master:1");
	CHECK_STR(m.type, "ext3");
	CHECK_STR(m.source, "/dev/root");
	CHECK_STR(m.super, "rw,errors=continue");
	CHECK(mounts_next(&at, &m));
	CHECK_STR(m.target, "/with blank\ttab");
	CHECK_STR(m.tags, "shared:2 master:3 propagate_from:4");
	CHECK_STR(m.source, "a\\b");
	CHECK(mounts_next(&at, &m));
	CHECK_STR(m.tags, "");
	CHECK_STR(m.type, "proc");
	CHECK(!mounts_next(&at, &m));
	CHECK(!mounts_next(&at, &m));
}

/* Each line cut at each place: passed over, or taken with all its fields. */
TEST(damaged_lines_are_passed_over)
{
	static const char line[] = "37 36 0:5 / /x\\04 rw shared:2 - tmpfs tmpfs rw";

	for (size_t n = 0; n < sizeof(line); n++) {
		STR_AUTO text = xasprintf("%.*s\n38 36 0:6 / /none ro - proc proc rw",
					  (int)n, line);
		struct mounts_line m = {0};
		char *at = text;
		unsigned lines = 0;

		while (mounts_next(&at, &m)) {
			CHECK(m.target && m.type && m.source && m.super && m.tags);
			lines++;
		}
		CHECK(lines == 1 || lines == 2);
		CHECK_STR(m.target, "/none");
	}
}

TEST(our_own_table)
{
	BUF_AUTO text = {0};
	struct err err = {0};
	struct mounts_line m;
	bool found = false;
	char *at;

	CHECK_INT(mounts_read(&text, &err), 0);
	at = (char *)(uintptr_t)buf_str(&text);
	while (mounts_next(&at, &m))
		/* where it was read; the root of a chroot is in no table */
		found |= str_eq(m.target, "/proc") && str_eq(m.type, "proc");
	CHECK(found);
}
