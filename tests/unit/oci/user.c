/* Users by an image's files (R11): T-RT-10, T-IMG-07. */
#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "oci/oci.h"
#include "os/fd.h"
#include "os/file.h"

static char top[64];

static int setup(const char *passwd, const char *group)
{
	FD_AUTO dir = -1;
	struct err err;

	snprintf(top, sizeof(top), "/tmp/cribox-unit-user.XXXXXX");
	CHECK(mkdtemp(top));
	dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(dir >= 0 && mkdirat(dir, "etc", 0755) == 0);
	if (passwd)
		CHECK(file_replace(dir, "etc/passwd", passwd, strlen(passwd), 0644, false,
				   &err) == 0);
	if (group)
		CHECK(file_replace(dir, "etc/group", group, strlen(group), 0644, false,
				   &err) == 0);
	return fd_take(&dir);
}

static void cleanup(int dir)
{
	struct err err;

	close(dir);
	file_remove_tree(AT_FDCWD, top, &err);
}

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
			     "# comment\n\nbroken\n"
			     "app:x:1000:1001:An app:/home/app:/bin/sh\n"
			     "31337:x:0:0:a trap:/root:/bin/sh\n"
			     "evil:x:7:7:x:home:/bin/sh\n";
static const char group[] = "root:x:0:\nwheel:x:10:root,app\nvideo:x:44:app\n"
			    "apps:x:1001:\nnotme:x:45:ap,appl\n";

TEST(users)
{
	static const struct {
		const char *text;
		unsigned uid, gid;
		const char *home;
	} want[] = {
		{"", 0, 0, "/root"},
		{"root", 0, 0, "/root"},
		{"app", 1000, 1001, "/home/app"},
		{"1000", 1000, 1001, "/home/app"},
		{"1", 1, 0, "/"},
		{"1:1", 1, 1, "/"},
		{"app:wheel", 1000, 10, "/home/app"},
		{"01", 1, 0, "/"},
		{"31337", 31337, 0, "/"}, /* never the name */
		{"1:", 1, 0, "/"},
		{"evil", 7, 7, "/"},
		{"4294967294", 4294967294U, 0, "/"},
	};
	int dir = setup(passwd, group);

	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		struct oci_user u = {0};
		ARENA_AUTO a = {0};
		struct err err;

		if (oci_user_resolve(dir, &(struct oci_user_query){.user = want[i].text},
				     &a, &u, &err) < 0)
			FAIL("%s: %s", want[i].text, err.msg);
		CHECK_INT(u.uid, want[i].uid);
		CHECK_INT(u.gid, want[i].gid);
		CHECK_STR(u.home, want[i].home);
	}
	cleanup(dir);
}

TEST(users_that_are_none)
{
	static const char *const bad[] = {
		"nobody", "4294967295", "4294967296",  "99999999999999999999", "-1", "+1",
		" 1",	  "0x1",	"app:nogroup", "app:4294967295",       "1 "};
	int dir = setup(passwd, group);

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct oci_user u = {0};
		ARENA_AUTO a = {0};
		struct err err;

		if (oci_user_resolve(dir, &(struct oci_user_query){.user = bad[i]}, &a,
				     &u, &err) == 0)
			FAIL("\"%s\" became %u", bad[i], (unsigned)u.uid);
	}
	cleanup(dir);
}

TEST(groups)
{
	static const gid_t more[] = {99, 10};
	int dir = setup(passwd, group);
	struct oci_user_query q = {.user = "app", .groups = more, .ngroups = 2};
	ARENA_AUTO a = {0};
	struct oci_user u;
	struct err err;

	CHECK(oci_user_resolve(dir, &q, &a, &u, &err) == 0);
	CHECK_INT(u.ngroups, 4);
	CHECK_INT(u.groups[0], 1001);
	CHECK_INT(u.groups[1], 99);
	CHECK_INT(u.groups[2], 10);
	CHECK_INT(u.groups[3], 44);
	q.strict = true;
	CHECK(oci_user_resolve(dir, &q, &a, &u, &err) == 0);
	CHECK_INT(u.ngroups, 3);
	q.has_gid = true;
	q.gid = 5;
	CHECK(oci_user_resolve(dir, &q, &a, &u, &err) == 0);
	CHECK_INT(u.gid, 5);
	CHECK_INT(u.groups[0], 5);
	cleanup(dir);
}

/* An image's file may be anything: it is never waited for, never read without end. */
TEST(hostile_files)
{
	static const struct oci_user_query q = {.user = "app"};
	int dir = setup(NULL, NULL);
	ARENA_AUTO a = {0};
	struct oci_user u;
	struct err err;
	int fd;

	CHECK(mkfifoat(dir, "etc/passwd", 0644) == 0);
	CHECK_INT(oci_user_resolve(dir, &q, &a, &u, &err), -1);
	CHECK_HAS(err.msg, "not a regular file");
	unlinkat(dir, "etc/passwd", 0);
	/* an absolute link stays inside: there is no such file there */
	CHECK(symlinkat("/etc/passwd", dir, "etc/passwd") == 0);
	CHECK_INT(oci_user_resolve(dir, &q, &a, &u, &err), -1);
	unlinkat(dir, "etc/passwd", 0);
	CHECK(symlinkat("../../../../../../etc/passwd", dir, "etc/passwd") == 0);
	CHECK_INT(oci_user_resolve(dir, &q, &a, &u, &err), -1);
	unlinkat(dir, "etc/passwd", 0);
	fd = openat(dir, "etc/passwd", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	CHECK(fd >= 0 && ftruncate(fd, (off_t)2 << 30) == 0);
	close(fd);
	CHECK_INT(oci_user_resolve(dir, &q, &a, &u, &err), -1);
	CHECK_INT(err.code, ERR_EXHAUSTED);
	cleanup(dir);
}
