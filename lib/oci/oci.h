/*
 * oci: containers as the OCI runtime-spec (1.3) describes them: spec -> plan -> execute.
 *
 *	oci_spec_parse()	config.json to a struct oci_spec; errors name the field
 *	oci_plan_new()		the list of operations as data; oci_plan_print() shows it
 *	oci_start()		runs the plan up to the program's execve, or just before
 *	oci_exec()		one more process in a running container
 *	oci_user_resolve()	"user[:group]" by an image's /etc/passwd and /etc/group
 *
 * What enters a container is a fork of the caller until it calls execve. So that nothing
 * inside can write to our binary through /proc/PID/exe, the caller calls self_protect()
 * (os/self.h) first thing in main(): it then runs from a read-only detached clone of the
 * file. Besides, every process of ours is made non-dumpable before it can be seen from
 * within the container: neither its fds nor its memory can be reached from there.
 */
#ifndef OCI_OCI_H
#define OCI_OCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "os/caps.h"
#include "os/cgroup.h"

#define OCI_VERSION "1.3.0" /* of the specification */

/* --- spec --------------------------------------------------------------------------- */

struct oci_spec;
struct resources;

/*
 * Parses and checks a config.json of n bytes. All that *ret refers to lies in the arena.
 * Unknown members are ignored (config.md, Extensibility); wrong types, unknown values and
 * contradictions are ERR_INVALID with the field's name. Needs no privilege, reads no
 * file.
 */
int oci_spec_parse(const void *json, size_t n, struct arena *a, struct oci_spec **ret,
		   struct err *err);

/* The types of namespaces, in the order in which they are joined. */
enum oci_ns {
	OCI_NS_USER,
	OCI_NS_CGROUP,
	OCI_NS_IPC,
	OCI_NS_UTS,
	OCI_NS_NET,
	OCI_NS_PID,
	OCI_NS_MNT,
	OCI_NS_TIME,
	OCI_NS_COUNT
};

/*
 * A process as config.json's "process" has it. Callers may change what
 * oci_spec_process() returns before oci_start(), and may copy it for oci_exec().
 */
struct oci_process {
	char *const *args; /* NULL at the end */
	char *const *env;  /* "KEY=value", NULL at the end */
	const char *cwd;   /* absolute */
	bool terminal;
	unsigned short rows, cols; /* consoleSize; 0: not given */
	bool plain_newlines;	   /* the terminal's output is without carriage returns */
	uid_t uid;
	gid_t gid;
	const gid_t *groups; /* additional gids */
	size_t ngroups;
	bool has_umask;
	mode_t umask;
	bool has_caps; /* without: all capabilities are dropped */
	struct caps
		caps; /* as asked for; what we do not have is left out with a warning */
	const struct oci_rlimit *rlimits;
	size_t nrlimits;
	bool no_new_privs;
	bool has_oom;
	int oom_score_adj;
	const char *apparmor;		       /* profile name; NULL: none */
	const char *selinux;		       /* process label; NULL: none */
	const struct oci_scheduler *scheduler; /* NULL: the caller's */
	bool has_io_priority;
	int io_priority; /* as ioprio_set(2) has it */
	/* CPUs of an exec before and after it joins the cgroup ("0-3,7"); NULL, "": all */
	const char *cpus_initial, *cpus_final;
};

/* sched_setattr(2). */
struct oci_scheduler {
	uint64_t policy, flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period; /* ns */
};

struct oci_rlimit {
	int resource; /* RLIMIT_NOFILE... */
	uint64_t soft, hard;
};

/* The spec's process; NULL if it has none. */
struct oci_process *oci_spec_process(struct oci_spec *s);

/*
 * Parses a process object ("exec --process FILE"). Absent capabilities, rlimits and
 * labels are taken from base (may be NULL). 0 or -1.
 */
int oci_process_parse(const void *json, size_t n, const struct oci_process *base,
		      struct arena *a, struct oci_process **ret, struct err *err);

/* Sets or replaces KEY=value in the process's environment. */
void oci_process_setenv(struct oci_process *p, struct arena *a, const char *key,
			const char *value);

/* linux.seccomp: the built-in profile (RuntimeDefault) for the process's bounding set. */
void oci_spec_seccomp_default(struct oci_spec *s, struct arena *a);

/* linux.seccomp: a profile from a file's n bytes (Localhost). 0 or -1. */
int oci_spec_seccomp_parse(struct oci_spec *s, const void *json, size_t n,
			   struct arena *a, struct err *err);

/*
 * Adds a device of the host, or, if host_path is a directory, all devices below it, with
 * a rule that allows access ("rwm"). Reads the host's file system: it may block. 0 or -1.
 */
int oci_spec_add_device(struct oci_spec *s, struct arena *a, const char *path,
			const char *host_path, const char *access, struct err *err);

/* Adds all devices of the host's /dev but terminals (privileged containers). 0 or -1. */
int oci_spec_add_host_devices(struct oci_spec *s, struct arena *a, struct err *err);

/* True if the container has a namespace of this type that is not the caller's. */
bool oci_spec_has_ns(const struct oci_spec *s, enum oci_ns ns);

/* linux.intelRdt, for cgroup/rdt.h; NULL: none. */
struct rdt;
const struct rdt *oci_spec_rdt(const struct oci_spec *s);

/* Members that the command line shows. Never NULL but where said. */
const char *oci_spec_version(const struct oci_spec *s);
const char *oci_spec_root(const struct oci_spec *s);	     /* as written */
const char *oci_spec_cgroups_path(const struct oci_spec *s); /* "" if absent */
/* Annotation i, false past the last one. */
bool oci_spec_annotation(const struct oci_spec *s, size_t i, const char **ret_key,
			 const char **ret_value);

/* linux.resources (cgroup/cgroup.h): oci_start does not apply them, its caller does. */
const struct resources *oci_spec_resources(const struct oci_spec *s);

/* The runtime-spec's example of a configuration ("spec"), as JSON. */
void oci_spec_example(bool rootless, bool cgroup_v2, uid_t uid, gid_t gid,
		      struct buf *out);

/* --- plan --------------------------------------------------------------------------- */

struct oci_plan;

/* What the plan depends on besides the spec. {0} is what oci_plan_print's tests use. */
struct oci_plan_how {
	bool cgroup_v1;	    /* the host has controllers of version 1 */
	unsigned joined;    /* 1 << OCI_NS_x: given as an fd, whatever the spec says */
	bool console;	    /* a terminal is there, or will be made */
	const char *rootfs; /* where the spec's root is, for printing */
};

/* Never fails for a spec that oci_spec_parse accepted. The plan lies in the arena. */
struct oci_plan *oci_plan_new(const struct oci_spec *s, const struct oci_plan_how *how,
			      struct arena *a);

/* One line per operation, in order; the same on every architecture. */
void oci_plan_print(const struct oci_plan *p, struct buf *out);

/* --- hooks -------------------------------------------------------------------------- */

enum oci_hook_kind {
	OCI_HOOK_PRESTART,
	OCI_HOOK_CREATE_RUNTIME,
	OCI_HOOK_CREATE_CONTAINER,
	OCI_HOOK_START_CONTAINER,
	OCI_HOOK_POSTSTART,
	OCI_HOOK_POSTSTOP,
	OCI_HOOK_COUNT
};

/* The names in config.json. */
extern const char *const oci_hook_names[OCI_HOOK_COUNT];

/* What a hook is told of the container. */
struct oci_hook_state {
	const char *id, *bundle;
	pid_t pid;		/* 0: stopped */
	int dir;		/* where hooks run; -1: where we are */
	const char *const *env; /* of hooks that list none; NULL: ours */
};

/*
 * Runs the hooks of one kind, in order; none is success. oci_start runs those of creation
 * (prestart, createRuntime, createContainer) and startContainer, and poststart unless it has
 * a start_fd: then that is for the one who starts the container, and its failure means that
 * the container must be stopped. poststop is for the one who deletes it; a hook of that kind
 * that fails is a line in warnings, and the next one runs. 0 or -1, naming the hook and what
 * it wrote.
 */
int oci_hooks_run(const struct oci_spec *s, enum oci_hook_kind kind,
		  const struct oci_hook_state *st, struct buf *warnings, struct err *err);

/* --- start -------------------------------------------------------------------------- */

/*
 * A mount that the caller made: it takes the place of the spec's mount with this
 * destination. fd is a detached mount (fsmount, open_tree with OPEN_TREE_CLONE) and is
 * attached as it is, with the spec's attributes (ro, nosuid...) and propagation added.
 * Borrowed; it can be used once.
 */
struct oci_mount_fd {
	const char *destination;
	int fd;
};

/* A container to start. All fds are borrowed. */
struct oci_start {
	const char *id;
	struct oci_spec *spec;
	/* relative root.path and mount sources are below it; NULL: where we are */
	const char *bundle;
	int rootfs_fd; /* detached mount that becomes "/"; -1: the spec's root.path */
	/* namespaces to join, -1: as the spec says (new, a path, or the caller's) */
	int ns_fds[OCI_NS_COUNT];
	const struct oci_mount_fd *mounts;
	size_t nmounts;
	int stdio[3]; /* -1: /dev/null */
	/*
	 * A terminal (process.terminal): either a slave of the caller's, which becomes 0,
	 * 1, 2, the controlling terminal and /dev/console (stdio is not used then); or a
	 * unix socket to which the master of a new one of the container's devpts is sent.
	 * Both -1: none.
	 */
	int console, console_socket;
	/*
	 * The cgroup, made and limited by the caller before: its processes join it at
	 * birth. NULL: the caller's.
	 */
	const struct cgroups *cgroups;
	const char *cgroup;
	int preserve_fds;	   /* fds 3 .. 3 + n - 1 stay open in the program */
	bool no_new_keyring;	   /* keep the caller's session keyring */
	bool no_pivot;		   /* chroot: the old root cannot be unmounted (ramfs) */
	const char *seccomp_cache; /* directory of compiled filters; NULL: none */
	/*
	 * The new process becomes a child of the caller's parent (CLONE_PARENT). The
	 * caller must be a process made for this one call: its own namespaces may be
	 * others afterwards.
	 */
	bool for_parent;
	int pdeathsig; /* signal when the parent dies; 0: none */
	/*
	 * -1: oci_start returns when the program runs. Otherwise it returns when all is
	 * ready (the program was looked up); the program runs once a byte can be read
	 * from this fd, and the process ends if its end comes first.
	 */
	int start_fd;
	/*
	 * For a spec with startContainer hooks and a start_fd: a pipe on which the one who
	 * says go is told how that went (oci_go_outcome). -1: nobody is.
	 */
	int outcome_fd;
	/*
	 * Told the pid as soon as there is one, before anything of the container runs (but
	 * what is born in its cgroup goes on setting itself up), so that it can be written
	 * down; -1 ends it all. NULL: not wanted.
	 */
	int (*on_pid)(void *arg, pid_t pid, struct err *err);
	void *on_pid_arg;
};

/* {.x = -1} for all fds. */
void oci_start_init(struct oci_start *how);

struct oci_started {
	pid_t pid; /* in the caller's pid namespace */
	int pidfd; /* owned by the caller */
	/*
	 * With start_fd: end of file once the program runs, or one struct err; owned by
	 * the caller, who may close it early. Otherwise -1.
	 */
	int errfd;
	bool rdt_made; /* its resctrl group was made: for rdt_remove in the end */
};

/*
 * Makes the container's init process. Bind mounts' sources are opened now, in the
 * caller's mount namespace. On failure nothing is left but the caller's cgroup; *err says
 * what failed inside, whole. Lines about what was clamped or left out (no
 * CAP_SYS_RESOURCE, a capability that we lack) are appended to warnings (may be NULL),
 * each ends in '\n'. ERR_NOT_FOUND, ERR_DENIED with "exec: ..." texts mean the program
 * itself. 0 or -1.
 */
int oci_start(const struct oci_start *how, struct oci_started *ret, struct buf *warnings,
	      struct err *err);

/*
 * Reads an errfd to its end. 0 if the program runs, -1 with its error. If the errfd was made
 * non-blocking, -1 with EAGAIN in err->sys: not known yet.
 */
int oci_started(int errfd, struct err *err);

/*
 * True if the spec has hooks that run between the word to go and the program
 * (startContainer): whoever says it makes an outcome_fd, as their failure is its own.
 */
bool oci_go_may_fail(const struct oci_spec *s);

/*
 * Reads the other end of an outcome_fd until the program runs: 0, or -1 with what a hook, or
 * the execve after them, has said. The process has ended then, or does so at once.
 */
int oci_go_outcome(int fd, struct err *err);

/*
 * For a container without a mount namespace of its own, once it has started and is gone:
 * takes its root's mount, at this absolute path, away from the host. Nothing for others.
 */
void oci_unmount_root(const struct oci_spec *s, const char *rootfs);

/* --- exec --------------------------------------------------------------------------- */

/* A group below the container's, in the hierarchy of one controller of version 1. */
struct oci_subgroup {
	const char *controller;
	const char *path; /* from the hierarchy's root */
};

struct oci_exec {
	const char *id, *bundle;     /* for those who hear of its system calls */
	int pidfd;		     /* of a process in the container: its init */
	pid_t pid;		     /* the same */
	const struct oci_spec *spec; /* of the container: seccomp, namespaces, devices */
	const struct oci_process *process;
	int stdio[3];		     /* -1: /dev/null */
	int console, console_socket; /* as in struct oci_start */
	const struct cgroups *cgroups;
	const char *cgroup; /* to join; NULL: none */
	/* and then these, which there must be */
	const struct oci_subgroup *subgroups;
	size_t nsubgroups;
	int preserve_fds;
	/* as in struct oci_start; the caller has closed what must not be seen inside */
	bool for_parent;
	int pdeathsig;
	bool async; /* return at once: the outcome is read from errfd */
	/*
	 * The namespaces of the container's init may be the caller's own by chance; those
	 * of ns_mask (1 << OCI_NS_x) are joined. 0: found out from /proc.
	 */
	unsigned ns_mask;
	const char *seccomp_cache; /* as in struct oci_start */
};

void oci_exec_init(struct oci_exec *how);

/* As oci_start. The process is a child of the caller (or of its parent). 0 or -1. */
int oci_exec(const struct oci_exec *how, struct oci_started *ret, struct buf *warnings,
	     struct err *err);

/*
 * The spec's seccomp filter as BPF (struct sock_filter[]), by way of the cache in a directory
 * that seccomp/seccomp.h describes (NULL: none): compiling costs more than an exec. An empty
 * result: the spec has none. 0 or -1.
 */
int oci_seccomp_compile(const struct oci_spec *s, const char *cache, struct buf *ret,
			struct err *err);

/* --- users -------------------------------------------------------------------------- */

/* Who a process shall be: runAsUser, runAsUserName, an image's USER. */
struct oci_user_query {
	/*
	 * "user", "uid", "user:group", "uid:gid" (image-spec config.md, User); NULL or
	 * "": root. Digits are a number and never looked up as a name.
	 */
	const char *user;
	bool has_gid; /* overrides the primary group */
	gid_t gid;
	const gid_t *groups; /* supplemental groups of the request */
	size_t ngroups;
	bool strict; /* without the memberships of the image's /etc/group */
};

struct oci_user {
	uid_t uid;
	gid_t gid;
	const gid_t *groups; /* the primary one first, none twice */
	size_t ngroups;
	const char *name; /* NULL: not in /etc/passwd */
	const char *home; /* "/" if unknown */
};

/*
 * Resolves a user by /etc/passwd and /etc/group below rootfs_fd (a directory; -1: no
 * files). The files are an image's: regular ones of at most 1 MiB are read, anything else
 * counts as an error. Unknown names are ERR_NOT_FOUND, numbers out of range ERR_INVALID.
 */
int oci_user_resolve(int rootfs_fd, const struct oci_user_query *q, struct arena *a,
		     struct oci_user *ret, struct err *err);

#endif
