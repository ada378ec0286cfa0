#include "fetch/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/str.h"
#include "os/fd.h"
#include "os/sandbox.h"

enum { NOBODY = 65534 };

/* What musl's resolver reads. */
static const char *const files[] = {"/etc/resolv.conf", "/etc/hosts", "/etc/services"};

static const int calls[] = {
	/* the network */
	SYS_socket,
	SYS_connect,
	SYS_bind,
	SYS_sendto,
	SYS_recvfrom,
	SYS_sendmsg,
	SYS_recvmsg,
	SYS_getsockopt,
	SYS_setsockopt,
	SYS_getsockname,
	SYS_getpeername,
	SYS_shutdown,
	SYS_ppoll,
	SYS_splice,
#ifdef SYS_poll
	SYS_poll,
#endif
	/* fds; which files can be opened is Landlock's part */
	SYS_read,
	SYS_readv,
	SYS_write,
	SYS_writev,
	SYS_close,
	SYS_fstat,
	SYS_newfstatat,
	SYS_lseek,
#ifdef SYS__llseek
	SYS__llseek, /* musl's lseek on ppc64le */
#endif
	SYS_fcntl,
	SYS_openat,
	SYS_getdents64,
	SYS_ioctl,
#ifdef SYS_open
	SYS_open,
#endif
	/* memory */
	SYS_brk,
	SYS_mmap,
	SYS_munmap,
	SYS_mprotect,
	SYS_mremap,
	SYS_madvise,
	/* time and chance */
	SYS_clock_gettime,
	SYS_clock_nanosleep,
	SYS_nanosleep,
	SYS_gettimeofday,
	SYS_getrandom,
	SYS_uname,
	/* ourselves: the lanes are forks */
	SYS_clone,
	SYS_wait4,
	SYS_getpid,
	SYS_getppid,
	SYS_gettid,
	SYS_prctl,
	SYS_set_tid_address,
	SYS_set_robust_list,
	SYS_futex,
	SYS_rt_sigaction,
	SYS_rt_sigprocmask,
	SYS_rt_sigreturn,
	SYS_sigaltstack,
	SYS_exit,
	SYS_exit_group,
	SYS_tkill,
	SYS_restart_syscall,
#ifdef SYS_fork
	SYS_fork,
#endif
#ifdef SYS_time
	SYS_time,
#endif
};

/* Nothing of the file system, but reading some files. Without Landlock: nothing happens. */
static int confine_files(int readable, struct err *err)
{
	struct landlock_ruleset_attr attr = {0};
	FD_AUTO rules = -1;
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0,
			   LANDLOCK_CREATE_RULESET_VERSION);

	if (abi < 1)
		return 0;
	/* 13 rights in the first version; REFER, TRUNCATE, then IOCTL_DEV came later */
	attr.handled_access_fs = (UINT64_C(1) << 13) - 1;
	for (int version = 2, bit = 13; version <= abi && version <= 5; version++)
		if (version != 4)
			attr.handled_access_fs |= UINT64_C(1) << bit++;
	rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (rules < 0)
		return err_sys(err, errno, "Landlock rules");
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		FD_AUTO fd = open(files[i], O_PATH | O_CLOEXEC);
		struct landlock_path_beneath_attr rule = {
			.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE, .parent_fd = fd};

		if (fd >= 0 && syscall(SYS_landlock_add_rule, rules,
				       LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
			return err_sys(err, errno, "Landlock rule for %s", files[i]);
	}
	if (readable >= 0) {
		struct landlock_path_beneath_attr rule = {
			.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE |
					  LANDLOCK_ACCESS_FS_READ_DIR,
			.parent_fd = readable};

		if (syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH,
			    &rule, 0) < 0)
			return err_sys(err, errno, "Landlock rule for image layouts");
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_landlock_restrict_self, rules, 0) < 0)
		return err_sys(err, errno, "Landlock");
	return 0;
}

/*
 * To user nobody. In a user namespace that does not map it (EINVAL), and for a
 * user who may not (EPERM), the capabilities go all the same.
 */
static int become_nobody(struct err *err)
{
	if (setgroups(0, NULL) < 0 && errno != EPERM)
		return err_sys(err, errno, "drop groups");
	if (setresgid(NOBODY, NOBODY, NOBODY) < 0 && errno != EINVAL && errno != EPERM)
		return err_sys(err, errno, "become nobody");
	if (setresuid(NOBODY, NOBODY, NOBODY) < 0 && errno != EINVAL && errno != EPERM)
		return err_sys(err, errno, "become nobody");
	return 0;
}

/* What a change of user away from root does; it may not have happened. */
static int drop_caps(struct err *err)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {0};

	if (syscall(SYS_capset, &head, none) < 0)
		return err_sys(err, errno, "drop capabilities");
	return 0;
}

int fetch_confine(int readable, struct err *err)
{
	const uint64_t to_change_user = UINT64_C(1) << CAP_SETUID | UINT64_C(1)
									    << CAP_SETGID;
	pid_t parent = getppid();

	if (geteuid() == 0 && sandbox_caps(to_change_user, err) < 0)
		return -1;
	if (become_nobody(err) < 0 || drop_caps(err) < 0)
		return -1;
	/* after the change of user, which resets it */
	if (sandbox_with_parent(err) < 0)
		return -1;
	if (getppid() != parent)
		return err_set(err, ERR_CANCELLED, "the parent has gone");
	if (confine_files(readable, err) < 0)
		return -1;
	return sandbox_calls(calls, ARRAY_LEN(calls), err);
}
