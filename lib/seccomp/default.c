/*
 * default: the profile RuntimeDefault: what moby and containerd allow, as facts.
 *
 * Whatever is not named here answers EPERM, or ENOSYS if it is newer than all that is
 * named (compile.c). Names that an architecture or libseccomp does not have are skipped.
 */
#include <errno.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/socket.h>

#include "arch.h"
#include "base/str.h"
#include "os/caps.h"
#include "seccomp/seccomp-int.h"

#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif

/* Strings instead of arrays of pointers: no relocation, no private memory in each
 * process. */
static const char always[] =
	"_llseek _newselect accept accept4 access adjtimex alarm bind brk cachestat "
	"capget capset chdir chmod chown chown32 clock_adjtime clock_adjtime64 "
	"clock_getres clock_getres_time64 clock_gettime clock_gettime64 "
	"clock_nanosleep clock_nanosleep_time64 close close_range connect "
	"copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl "
	"epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd "
	"eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 "
	"fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown "
	"fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr file_getattr "
	"file_setattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 "
	"fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue "
	"futex_time64 futex_wait futex_waitv futex_wake futimesat get_robust_list "
	"get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid "
	"geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername "
	"getpgid getpgrp getpid getppid getpriority getrandom getresgid getresgid32 "
	"getresuid getresuid32 getrlimit getrusage getsid getsockname getsockopt "
	"gettid gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch "
	"inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy "
	"io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl "
	"ioprio_get ioprio_set ipc kill landlock_add_rule landlock_create_ruleset "
	"landlock_restrict_self lchown lchown32 lgetxattr link linkat listen "
	"listxattr listxattrat llistxattr lremovexattr lseek lsetxattr lstat lstat64 "
	"madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir "
	"mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect "
	"mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 "
	"mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv "
	"msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep "
	"newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 "
	"pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 "
	"preadv preadv2 prlimit64 process_mrelease process_vm_readv process_vm_writev "
	"pselect6 pselect6_time64 ptrace pwrite64 pwritev pwritev2 read readahead "
	"readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg "
	"remap_file_pages removexattr removexattrat rename renameat renameat2 "
	"restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask "
	"rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait "
	"rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max "
	"sched_get_priority_min sched_getaffinity sched_getattr sched_getparam "
	"sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 "
	"sched_setaffinity sched_setattr sched_setparam sched_setscheduler "
	"sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 "
	"send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list "
	"set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 "
	"setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid "
	"setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 "
	"setrlimit setsid setsockopt setuid setuid32 setxattr setxattrat shmat shmctl "
	"shmdt shmget shutdown sigaltstack signalfd signalfd4 sigprocmask sigreturn "
	"socketcall socketpair splice stat stat64 statfs statfs64 statx symlink "
	"symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create "
	"timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime "
	"timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 "
	"timerfd_settime timerfd_settime64 times tkill truncate truncate64 ugetrlimit "
	"umask uname unlink unlinkat uretprobe utime utimensat utimensat_time64 "
	"utimes vfork vmsplice wait4 waitid waitpid write writev";

/* What a capability in the bounding set adds. */
static const struct {
	char cap[24];
	char names[288];
} by_cap[] = {
	{"CAP_DAC_READ_SEARCH", "open_by_handle_at"},
	{"CAP_SYS_ADMIN",
	 "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick listmount "
	 "lookup_dcookie mount mount_setattr move_mount open_tree open_tree_attr "
	 "perf_event_open quotactl quotactl_fd setdomainname sethostname setns statmount "
	 "syslog umount umount2 unshare"},
	{"CAP_SYS_BOOT", "reboot"},
	{"CAP_SYS_CHROOT", "chroot"},
	{"CAP_SYS_MODULE", "delete_module finit_module init_module query_module"},
	{"CAP_SYS_PACCT", "acct"},
	{"CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise"},
	{"CAP_SYS_RAWIO", "ioperm iopl"},
	{"CAP_SYS_TIME", "clock_settime clock_settime64 settimeofday stime"},
	{"CAP_SYS_TTY_CONFIG", "vhangup"},
	{"CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"},
	{"CAP_SYSLOG", "syslog"},
	{"CAP_BPF", "bpf"},
	{"CAP_PERFMON", "perf_event_open"},
};

/* By native architecture: the ABIs that its kernels run beside, and calls of its own. */
static const struct {
	uint32_t native;
	uint32_t others[2];
	char names[104];
} by_arch[] = {
	{SCMP_ARCH_X86_64, {SCMP_ARCH_X86, SCMP_ARCH_X32}, "arch_prctl modify_ldt"},
	{SCMP_ARCH_AARCH64,
	 {SCMP_ARCH_ARM, 0},
	 "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls "
	 "sync_file_range2"},
	{SCMP_ARCH_PPC64LE, {0, 0}, "swapcontext sync_file_range2"},
	{SCMP_ARCH_S390X,
	 {SCMP_ARCH_S390, 0},
	 "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr"},
};

/* personality(2): Linux, Linux32, both without randomised addresses; and the question. */
static const uint32_t personalities[] = {0, 8, 0x20000, 0x20008, 0xffffffff};

/*
 * socket(2)'s families but AF_ALG (38) and AF_VSOCK (40), as aligned ranges {mask,
 * value}. Only the low 32 bits count in the kernel, so comparisons of all 64 would let
 * 0x100000026 pass for more than 40. Each is a rule of its own: conditions on one
 * argument cannot be combined.
 */
static const struct {
	uint32_t mask, value;
} families[] = {
	{0xffffffe0, 0},  {0xfffffffc, 32}, {0xfffffffe, 36}, {0xffffffff, 39},
	{0xffffffff, 41}, {0xfffffffe, 42}, {0xfffffffc, 44}, {0xfffffff0, 48},
};

enum { MAX_RULES = 64 };

struct builder {
	struct arena *arena;
	struct seccomp_profile *s;
};

static struct seccomp_rule *add(struct builder *b, const char *words, uint32_t action)
{
	struct seccomp_rule *r = &b->s->rules[b->s->nrules++];
	const char **names;
	size_t n = 1;

	for (const char *p = words; *p; p++)
		n += *p == ' ';
	names = arena_array(b->arena, n, sizeof(*names));
	for (const char *p = words; *p;) {
		size_t len = strcspn(p, " ");

		names[r->nnames++] = arena_strndup(b->arena, p, len);
		p += len + strspn(p + len, " ");
	}
	r->names = names;
	r->action = action;
	return r;
}

static void add_if(struct builder *b, const char *name, unsigned index, int op,
		   uint64_t value, uint64_t value_two)
{
	struct seccomp_rule *r = add(b, name, SCMP_ACT_ALLOW);
	struct seccomp_arg *arg = arena_alloc(b->arena, sizeof(*arg));

	*arg = (struct seccomp_arg){index, op, value, value_two};
	r->args = arg;
	r->nargs = 1;
}

/* Threads and processes, but no namespaces; clone3's flags lie in memory: use clone. */
static void restrict_clone(struct builder *b)
{
	uint64_t flags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
			 CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP;

	add_if(b, "clone", ARCH_CLONE_STACK_FIRST ? 1 : 0, SCMP_CMP_MASKED_EQ, flags, 0);
	add(b, "clone3", SCMP_ACT_ERRNO(ENOSYS));
	/* libraries fall back on /proc for ENOSYS, not for EPERM */
	add(b, "listmount statmount", SCMP_ACT_ERRNO(ENOSYS));
}

static void add_arch(struct builder *b)
{
	uint32_t native = seccomp_arch_native();
	uint32_t *list = arena_array(b->arena, 2, sizeof(*list));

	for (size_t i = 0; i < ARRAY_LEN(by_arch); i++) {
		if (by_arch[i].native != native)
			continue;
		add(b, by_arch[i].names, SCMP_ACT_ALLOW);
		for (size_t j = 0; j < 2; j++)
			if (by_arch[i].others[j])
				list[b->s->narchs++] = by_arch[i].others[j];
	}
	b->s->archs = list;
}

struct seccomp_profile *seccomp_profile_default(uint64_t caps, struct arena *a)
{
	struct builder b = {.arena = a, .s = arena_alloc(a, sizeof(*b.s))};

	b.s->action = SCMP_ACT_ERRNO(EPERM);
	b.s->builtin = true;
	b.s->flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW;
	b.s->rules = arena_array(a, MAX_RULES, sizeof(*b.s->rules));
	add(&b, always, SCMP_ACT_ALLOW);
	for (size_t i = 0; i < ARRAY_LEN(personalities); i++)
		add_if(&b, "personality", 0, SCMP_CMP_EQ, personalities[i], 0);
	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		add_if(&b, "socket", 0, SCMP_CMP_MASKED_EQ, families[i].mask,
		       families[i].value);
	for (size_t i = 0; i < ARRAY_LEN(by_cap); i++)
		if (caps & caps_bit(by_cap[i].cap))
			add(&b, by_cap[i].names, SCMP_ACT_ALLOW);
	if (!(caps & caps_bit("CAP_SYS_ADMIN")))
		restrict_clone(&b);
	add_arch(&b);
	return b.s;
}
