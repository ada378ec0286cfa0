/* The filters that linux.seccomp becomes, loaded into a child that tries calls. */
#include "unit.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "oci/oci-int.h"

static const char spec_text[] = "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},"
				"\"process\":{\"args\":[\"a\"],\"cwd\":\"/\"%s},"
				"\"linux\":{\"namespaces\":[{\"type\":\"mount\"}]%s}}";

static struct oci_spec *parse(struct arena *a, const char *process, const char *lin)
{
	struct oci_spec *s = NULL;
	char text[4096];
	struct err err;

	snprintf(text, sizeof(text), spec_text, process, lin);
	if (oci_spec_parse(text, strlen(text), a, &s, &err) < 0)
		FAIL("%s", err.msg);
	return s;
}

/* errno of a call under the filter; 0: it was allowed; -1: killed. */
static int try(const struct buf *bpf, long nr, long a, long b, long c)
{
	struct sock_fprog prog = {.len = (unsigned short)(bpf->len / 8),
				  .filter = (void *)bpf->data};
	pid_t pid = fork();
	int status;

	if (pid == 0) {

		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) < 0)
			_exit(254);
		/* the sanitizer calls sigaltstack before an _exit */
		_exit(syscall(nr, a, b, c, 0, 0, 0) < 0 ? errno : 0);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void compile(const struct oci_spec *s, struct buf *bpf)
{
	struct err err;

	if (oci_seccomp_compile(s, NULL, bpf, &err) < 0)
		FAIL("%s", err.msg);
	CHECK(bpf->len > 0 && bpf->len % sizeof(struct sock_filter) == 0);
}

TEST(default_profile)
{
	ARENA_AUTO a = {0};
	BUF_AUTO bpf = {0};
	struct oci_spec *s = parse(&a, "", "");

	oci_spec_seccomp_default(s, &a);
	compile(s, &bpf);
	CHECK_INT(try(&bpf, SYS_getppid, 0, 0, 0), 0);
	CHECK_INT(try(&bpf, SYS_unshare, CLONE_NEWUSER, 0, 0), EPERM);
	CHECK_INT(try(&bpf, SYS_mount, 0, 0, 0), EPERM);
	CHECK_INT(try(&bpf, SYS_bpf, 0, 0, 0), EPERM);
	CHECK_INT(try(&bpf, SYS_keyctl, 0, 0, 0), EPERM);
	CHECK_INT(try(&bpf, SYS_io_uring_setup, 0, 0, 0), EPERM);
	CHECK_INT(try(&bpf, SYS_clone3, 0, 0, 0), ENOSYS);
}

TEST(default_profile_sockets)
{
	ARENA_AUTO a = {0};
	BUF_AUTO bpf = {0};
	struct oci_spec *s = parse(&a, "", "");

	oci_spec_seccomp_default(s, &a);
	compile(s, &bpf);
	CHECK_INT(try(&bpf, SYS_socket, AF_UNIX, SOCK_STREAM, 0), 0);
	CHECK_INT(try(&bpf, SYS_socket, AF_INET6, SOCK_STREAM, 0), 0);
	CHECK_INT(try(&bpf, SYS_socket, AF_NETLINK, SOCK_RAW, 0), 0);
	CHECK_INT(try(&bpf, SYS_socket, 38, SOCK_SEQPACKET, 0), EPERM);
	CHECK_INT(try(&bpf, SYS_socket, 40, SOCK_STREAM, 0), EPERM);
	/* the kernel looks at 32 bits only */
	CHECK_INT(try(&bpf, SYS_socket, 0x100000026L, SOCK_SEQPACKET, 0), EPERM);
	CHECK_INT(try(&bpf, SYS_socket, 0x100000028L, SOCK_STREAM, 0), EPERM);
	/* neighbours are unknown to the kernel, not denied by us */
	CHECK(try(&bpf, SYS_socket, 39, SOCK_STREAM, 0) != EPERM);
	CHECK(try(&bpf, SYS_socket, 41, SOCK_STREAM, 0) != EPERM);
}

TEST(default_profile_by_capability)
{
	ARENA_AUTO a = {0};
	BUF_AUTO bpf = {0};
	struct oci_spec *s =
		parse(&a, ",\"capabilities\":{\"bounding\":[\"CAP_SYS_ADMIN\"]}", "");

	oci_spec_seccomp_default(s, &a);
	compile(s, &bpf);
	CHECK(try(&bpf, SYS_mount, 0, 0, 0) != EPERM);
	CHECK_INT(try(&bpf, SYS_clone3, 0, 0, 0), EINVAL);
	CHECK_INT(try(&bpf, SYS_reboot, 0, 0, 0), EPERM);
}

/* glibc falls over if a call that the kernel has and the profile does not know is EPERM.
 */
TEST(newer_calls_are_enosys)
{
	ARENA_AUTO a = {0};
	BUF_AUTO bpf = {0};
	struct oci_spec *s =
		parse(&a, "",
		      ",\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{"
		      "\"names\":["
		      "\"exit_group\",\"sigaltstack\",\"no_such_call\",\"getrandom\"],"
		      "\"action\":\"SCMP_ACT_ALLOW\"}]}");

	compile(s, &bpf);
	CHECK_INT(try(&bpf, SYS_getppid, 0, 0, 0), EPERM);
	CHECK_INT(try(&bpf, SYS_openat2, 0, 0, 0), ENOSYS);
	CHECK_INT(try(&bpf, 1000, 0, 0, 0), ENOSYS);
}

TEST(arguments_and_errno)
{
	ARENA_AUTO a = {0};
	BUF_AUTO bpf = {0};
	/* T-RT-12: a rule with two arguments needs both */
	struct oci_spec *s =
		parse(&a, "",
		      ",\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":["
		      "{\"names\":[\"setpriority\"],\"action\":\"SCMP_ACT_ERRNO\","
		      "\"errnoRet\":42,"
		      "\"args\":[{\"index\":0,\"value\":7,\"op\":\"SCMP_CMP_EQ\"},"
		      "{\"index\":1,\"value\":9,\"op\":\"SCMP_CMP_GT\"}]},"
		      "{\"names\":[\"getpgid\"],\"action\":\"SCMP_ACT_ERRNO\"}]}");

	compile(s, &bpf);
	CHECK_INT(try(&bpf, SYS_setpriority, 7, 10, 0), 42);
	CHECK_INT(try(&bpf, SYS_setpriority, 7, 9, 0), EINVAL);
	CHECK_INT(try(&bpf, SYS_setpriority, 8, 10, 0), EINVAL);
	CHECK_INT(try(&bpf, SYS_getpgid, 0, 0, 0), EPERM);
}

/* T-RT-12b: all 64 bits of an argument are compared. */
TEST(wide_comparisons)
{
	static const struct {
		const char *op;
		int lt, eq, gt; /* denied for less, equal, greater */
	} ops[] = {{"LT", 1, 0, 0}, {"LE", 1, 1, 0}, {"EQ", 0, 1, 0},
		   {"NE", 1, 0, 1}, {"GE", 0, 1, 1}, {"GT", 0, 0, 1}};

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		ARENA_AUTO a = {0};
		BUF_AUTO bpf = {0};
		char text[512];

		snprintf(text, sizeof(text),
			 ",\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\","
			 "\"syscalls\":["
			 "{\"names\":[\"getpgid\"],\"action\":\"SCMP_ACT_ERRNO\","
			 "\"errnoRet\":42,\"args\":[{\"index\":1,\"value\":8589934592,"
			 "\"op\":\"SCMP_CMP_%s\"}]}]}",
			 ops[i].op);
		compile(parse(&a, "", text), &bpf);
		CHECK_INT(try(&bpf, SYS_getpgid, 0, 0x1ffffffffL, 0), ops[i].lt ? 42 : 0);
		CHECK_INT(try(&bpf, SYS_getpgid, 0, 0x200000000L, 0), ops[i].eq ? 42 : 0);
		CHECK_INT(try(&bpf, SYS_getpgid, 0, 0x200000001L, 0), ops[i].gt ? 42 : 0);
	}
}

TEST(refuses_what_it_does_not_know)
{
	static const struct {
		const char *json, *why;
	} bad[] = {
		{"{\"defaultAction\":\"SCMP_ACT_MAYBE\"}", "SCMP_ACT_MAYBE"},
		{"{}", "seccomp.defaultAction: missing"},
		{"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"SCMP_ARCH_"
		 "Z80\"]}",
		 "seccomp.architectures[0]"},
		{"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[\"X\"]}",
		 "seccomp.flags[0]"},
		{"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[],"
		 "\"action\":\"SCMP_ACT_ALLOW\"}]}",
		 "seccomp.syscalls[0].names"},
		{"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"a\"],"
		 "\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":6,\"value\":1,"
		 "\"op\":\"SCMP_CMP_EQ\"}]}]}",
		 "args[0].index"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ARENA_AUTO a = {0};
		struct oci_spec *s = parse(&a, "", "");
		struct err err = {0};

		CHECK_INT(oci_spec_seccomp_parse(s, bad[i].json, strlen(bad[i].json), &a,
						 &err),
			  -1);
		CHECK_HAS(err.msg, bad[i].why);
		CHECK_INT(err.code, ERR_INVALID);
	}
}
