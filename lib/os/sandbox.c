#include "os/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch.h"
#include "os/caps.h"
#include "os/fd.h"

#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif

int sandbox_root(int dirfd, struct err *err)
{
	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
	};
	FD_AUTO root = -1;

	root = (int)syscall(SYS_open_tree, dirfd, "",
			    OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (root < 0)
		return err_sys(err, errno, "sandbox: open_tree");
	if (syscall(SYS_mount_setattr, root, "", AT_EMPTY_PATH, &attr, sizeof(attr)) <
		    0 &&
	    errno != ENOSYS)
		return err_sys(err, errno, "sandbox: mount_setattr");
	if (fchdir(root) < 0 || chroot(".") < 0)
		return err_sys(err, errno, "sandbox: chroot");
	return fd_take(&root);
}

int sandbox_caps(uint64_t keep, struct err *err)
{
	const struct caps c = {.bounding = keep, .effective = keep, .permitted = keep};

	if (caps_limit(&c, err) < 0 || caps_apply(&c, err) < 0)
		return err_wrap(err, "sandbox");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(err, errno, "sandbox: no_new_privs");
	return 0;
}

int sandbox_user(unsigned uid, unsigned gid, uint64_t keep, struct err *err)
{
	const struct caps c = {.bounding = keep, .effective = keep, .permitted = keep};

	if (caps_limit(&c, err) < 0)
		return err_wrap(err, "sandbox");
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setgroups(0, NULL) < 0 ||
	    setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return err_sys(err, errno, "sandbox: become user %u", uid);
	if (caps_apply(&c, err) < 0)
		return err_wrap(err, "sandbox");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(err, errno, "sandbox: no_new_privs");
	return 0;
}

static struct sock_filter stmt(uint16_t code, uint32_t k)
{
	return (struct sock_filter){code, 0, 0, k};
}

int sandbox_calls(const int *calls, size_t n, struct err *err)
{
	struct sock_filter f[SANDBOX_CALLS + 7];
	struct sock_fprog prog = {.filter = f};
	unsigned short at = 0;

	if (n > SANDBOX_CALLS)
		return err_set(err, ERR_INTERNAL, "sandbox: too many system calls");
	f[at++] = stmt(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
	f[at] = stmt(BPF_JMP | BPF_JEQ | BPF_K, ARCH_AUDIT);
	f[at++].jt = 1;
	f[at++] = stmt(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	f[at++] = stmt(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < n; i++) {
		f[at] = stmt(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[i]);
		f[at++].jt = (uint8_t)(n - i);
	}
	f[at++] = stmt(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	f[at++] = stmt(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	prog.len = at;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
		return err_sys(err, errno, "sandbox: seccomp");
	return 0;
}

int sandbox_with_parent(struct err *err)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return err_sys(err, errno, "sandbox: parent's death");
	return 0;
}
