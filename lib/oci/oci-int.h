/* oci-int: what the parts of oci share. */
#ifndef OCI_OCI_INT_H
#define OCI_OCI_INT_H

#include "cgroup/cgroup.h"
#include "oci/oci.h"
#include "os/ns.h"
#include "seccomp/seccomp.h"
#include "wire/json.h"
#include "wire/json_opt.h"

/* --- spec --------------------------------------------------------------------------- */

struct oci_namespace {
	bool present;
	const char *path; /* to join; NULL: a new one */
};

/* Attributes of a mount: MOUNT_ATTR_x to set and to clear, and propagation MS_x. */
struct oci_attrs {
	uint64_t set, clear;   /* of the mount alone */
	uint64_t rset, rclear; /* of the whole tree */
	uint64_t propagation;  /* 0: not given */
	bool propagation_rec;
};

/* A set of CPUs or memory nodes, as the kernel takes it. */
enum { OCI_BITS = 8192, OCI_WORD = 8 * sizeof(unsigned long) };
struct oci_bits {
	unsigned long words[OCI_BITS / OCI_WORD];
};

struct oci_mempolicy {
	uint64_t mode, flags; /* MPOL_x, MPOL_F_x of set_mempolicy(2) */
	const char *nodes;    /* list; NULL: none */
};

struct oci_hook {
	const char *path;
	const char *const *args, *const *env; /* NULL: not given */
	int64_t timeout;		      /* seconds; 0: none */
};

struct oci_hooks {
	struct oci_hook *list;
	size_t n;
};

/* A network device of the host's that becomes the container's. */
struct oci_netdev {
	const char *host, *name; /* name: in the container */
};

struct oci_time_offset {
	bool given;
	int64_t secs;
	uint32_t nanosecs;
};

enum oci_idmap { OCI_IDMAP_NONE, OCI_IDMAP_MOUNT, OCI_IDMAP_TREE };

struct oci_mount {
	const char *destination; /* absolute */
	const char *source;	 /* NULL: none */
	const char *type;	 /* "bind" for bind mounts */
	const char *data;	 /* options of the file system: "a,b=c" */
	struct oci_attrs attrs;
	bool bind, recursive, copy_up;
	bool copy_symlink; /* a source that is a symlink becomes one */
	bool source_nofollow, dest_nofollow;
	enum oci_idmap idmap;
	struct ns_map *uids, *gids; /* of its own; none: the container's */
	size_t nuids, ngids;
};

struct oci_device {
	const char *path;
	const char *host_path; /* NULL: same as path */
	char type;	       /* c, b, p */
	uint32_t major, minor;
	mode_t mode;
	uid_t uid;
	gid_t gid;
};

struct oci_pair {
	const char *key, *value;
};

struct oci_spec {
	const char *version, *root, *hostname, *domainname;
	bool root_readonly;
	struct oci_process *process; /* NULL: none */
	struct oci_mount *mounts;
	size_t nmounts;
	struct oci_pair *annotations;
	size_t nannotations;
	/* linux */
	struct oci_namespace ns[OCI_NS_COUNT];
	struct ns_map *uids, *gids;
	size_t nuids, ngids;
	struct oci_device *devices;
	size_t ndevices, devices_cap;
	const char *cgroups_path;
	struct resources res;
	uint64_t root_propagation; /* MS_x; 0: not given */
	const char *const *masked, *const *readonly;
	size_t nmasked, nreadonly;
	struct oci_pair *sysctls;
	size_t nsysctls;
	struct seccomp_profile *seccomp;
	const char *mount_label;
	struct oci_hooks hooks[OCI_HOOK_COUNT];
	bool has_personality;
	uint64_t personality;
	const struct oci_mempolicy *mempolicy; /* NULL: none */
	struct oci_time_offset monotonic, boottime;
	struct oci_netdev *netdevs;
	size_t nnetdevs;
	struct rdt *rdt; /* NULL: none */
};

/* CLONE_NEWx of a namespace, and its name in config.json and in /proc/PID/ns. */
struct oci_ns_type {
	int flag;
	const char *name, *file;
};
extern const struct oci_ns_type oci_ns_types[OCI_NS_COUNT];

int oci_parse_process(yyjson_val *obj, const char *where, const struct oci_process *base,
		      struct arena *a, struct oci_process **ret, struct err *err);
int oci_parse_mount(yyjson_val *obj, const char *where, struct arena *a,
		    struct oci_mount *ret, struct err *err);
int oci_parse_maps(yyjson_val *obj, const char *where, const char *key, struct arena *a,
		   struct ns_map **ret, size_t *ret_n, struct err *err);
int oci_parse_linux(yyjson_val *obj, struct arena *a, struct oci_spec *s,
		    struct err *err);
int oci_parse_hooks(yyjson_val *root, struct arena *a, struct oci_spec *s,
		    struct err *err);
/* The members of a state that are the same wherever one is written. */
void oci_add_state(const struct oci_spec *s, const struct oci_hook_state *st,
		   const char *status, yyjson_mut_doc *d, yyjson_mut_val *v);

/* tune.c: scheduler, ioPriority, execCPUAffinity; personality; memoryPolicy. */
int oci_parse_tuning(yyjson_val *p, const char *process, struct arena *a,
		     struct oci_process *ret, struct err *err);
int oci_parse_personality(yyjson_val *lin, struct arena *a, struct oci_spec *s,
			  struct err *err);
int oci_parse_mempolicy(yyjson_val *lin, struct arena *a, struct oci_spec *s,
			struct err *err);
/* "0-3,7". */
int oci_parse_list(const char *text, const char *where, struct oci_bits *ret,
		   struct err *err);
void oci_print_tuning(const struct oci_spec *s, const struct oci_process *p,
		      struct buf *out);
/* Scheduler and I/O priority of a process (0: the caller). */
int oci_tune(const struct oci_process *p, pid_t pid, struct err *err);
/* Where the caller may run; an empty list: wherever its cgroup lets it. */
int oci_set_cpus(const char *list, const char *what, struct err *err);
/* Personality and memory policy of the caller. */
int oci_apply_memory(const struct oci_spec *s, struct err *err);

/* ns.c */
int oci_parse_time_offsets(yyjson_val *lin, struct arena *a, struct oci_spec *s,
			   struct err *err);
/* Opens a namespace by path, and makes sure that it is one of this type. */
int oci_ns_open(const char *path, enum oci_ns type, struct err *err);
/* The id maps of a new user namespace, by newuidmap(1) where we may not ourselves. */
int oci_ns_write_maps(const struct oci_spec *s, pid_t pid, struct err *err);
/*
 * A new time namespace for the caller, with its offsets. offsets_fd: timens_offsets, opened
 * before the change of user.
 */
int oci_ns_new_time(const struct oci_spec *s, int offsets_fd, struct err *err);

/* ns.c: network devices. */
int oci_parse_netdevs(yyjson_val *lin, struct arena *a, struct oci_spec *s,
		      struct err *err);
/* Moves the devices into the network namespace of a process. */
int oci_netdevs_move(const struct oci_spec *s, pid_t pid, struct err *err);

/* MS_x of "rprivate"...; 0 if it is none. */
uint64_t oci_propagation(const char *name, bool *ret_rec);

/* The value of an annotation; NULL: it is not there, or "", "0", "false". */
const char *oci_annotation(const struct oci_spec *s, const char *key);

/* --- plan --------------------------------------------------------------------------- */

enum oci_op_kind {
	OCI_OP_ROOT,	  /* source becomes the new root mount */
	OCI_OP_MOUNT,	  /* a new instance of file system `type` at path */
	OCI_OP_BIND,	  /* a clone of source at path */
	OCI_OP_CGROUP,	  /* the cgroup file systems at path */
	OCI_OP_DIR,	  /* a directory, if it is not there */
	OCI_OP_NODE,	  /* a device node */
	OCI_OP_NODE_BIND, /* the same, a clone of the host's */
	OCI_OP_LINK,	  /* a symbolic link to source */
	OCI_OP_CONSOLE,	  /* the terminal at path */
	OCI_OP_SYSCTL,	  /* path = source */
	OCI_OP_HOSTNAME,
	OCI_OP_DOMAINNAME,
	OCI_OP_HOOKS,	   /* of kind `hooks`: run by the starter, or here */
	OCI_OP_READONLY,   /* path becomes read-only */
	OCI_OP_MASK,	   /* path is hidden */
	OCI_OP_MOUNT_RO,   /* what is mounted at path becomes read-only */
	OCI_OP_ROOT_ATTRS, /* read-only, propagation */
	OCI_OP_PIVOT,
	OCI_OP_COUNT
};

struct oci_op {
	enum oci_op_kind kind;
	const char *path, *source, *type, *data;
	struct oci_attrs attrs;
	bool recursive, copy_up;
	const struct oci_device *device;
	const struct oci_mount *mount; /* idmap, symlinks */
	enum oci_hook_kind hooks;
	int fd;		   /* opened before the clone: the mount to attach, or -1 */
	char *copied_link; /* or the link that the source is; owned */
};

struct oci_plan {
	const struct oci_spec *spec;
	struct oci_plan_how how;
	struct oci_op *ops;
	size_t n, cap;
	unsigned new_ns; /* 1 << OCI_NS_x */
};

extern const char *const oci_op_names[OCI_OP_COUNT];

/* --- run ---------------------------------------------------------------------------- */

/* A message of the child: what failed, a warning, or that it is ready. */
enum oci_msg_type {
	OCI_MSG_ERROR = 1,
	OCI_MSG_WARN,
	OCI_MSG_READY,
	OCI_MSG_PID,
	OCI_MSG_HOOKS,	/* n: the kind that is due; a byte comes back */
	OCI_MSG_NOTIFY, /* n: the fd that its seccomp listener is about to be */
};
struct oci_msg {
	enum oci_msg_type type;
	pid_t pid;
	int n;
	struct err err;
};
/* The starter says a byte. */
int oci_wait_go(int sock, struct err *err);
void oci_send(int sock, enum oci_msg_type type, pid_t pid, const struct err *err);
__attribute__((format(printf, 2, 3))) void oci_warn(int sock, const char *fmt, ...);

/* What a process needs to become the program (process.c). */
struct oci_enter {
	const struct oci_process *process;
	const struct oci_spec *spec; /* NULL: none (exec without one) */
	const struct buf *seccomp;   /* BPF; empty: none */
	volatile int *taken;	     /* shared: the starter has the listener */
	bool seen_by_starter;	     /* it has no rights over what is not dumpable */
	const struct oci_hook_state *start_hooks; /* NULL: no startContainer hooks */
	int sock;				  /* to the starter */
	int stdio[3];
	int console; /* slave; -1: none */
	bool userns;
	int pdeathsig;
	int start_fd;	/* -1: at once */
	int outcome_fd; /* as in struct oci_start */
	int preserve_fds;
};

/*
 * Raises another process's hard limits (0: the caller's) to those of p, as far as is permitted:
 * in a user namespace it could not do so itself, as that takes CAP_SYS_RESOURCE over the host.
 */
void oci_raise_rlimits(const struct oci_process *p, pid_t pid);
/* Everything from the terminal to execve. Returns only on failure. */
int oci_enter(const struct oci_enter *e, struct err *err);
/* Closes all fds from this one on but these (-1: none); list is sorted in place. */
void oci_close_but(int from, int *keep, size_t n);
/* Signal mask and dispositions as a new program expects them. */
void oci_reset_signals(void);

/* A program of the container's root for an argv[0] (execvp's rules, runc's words). */
int oci_lookup(const char *name, char *const *env, struct arena *a, const char **ret,
	       struct err *err);

/*
 * The starter's side of a seccomp listener: taken out of the process, and sent to the
 * profile's socket. The process goes on once *taken is set. sock: it may say an error.
 */
volatile int *oci_notify_page(struct err *err);
void oci_notify_page_free(volatile int *page);
/* In the process: until the listener is taken. */
void oci_notify_wait(volatile int *taken);
int oci_notify_forward(const struct oci_spec *s, const struct oci_hook_state *st,
		       const char *status, int pidfd, int number, volatile int *taken,
		       int sock, struct err *err);

/*
 * Opens what lies in the host: bind mounts' sources and the root (mounts.c). By the starter;
 * by the child, in its copy of the mount namespace, where the starter has no rights.
 * userns: the container's, where it is joined; -1.
 */
int oci_prepare(struct oci_plan *p, const struct oci_start *how, int userns,
		struct err *err);
/* True if the container has the mounts of its starter. */
bool oci_shares_mounts(const struct oci_spec *s);
/* The mount on top of root.path: whether ours is there. 0: it cannot be told. */
uint64_t oci_root_mount_id(const struct oci_start *how);
void oci_unprepare(struct oci_plan *p);

struct oci_root {
	const struct oci_plan *plan;
	const struct oci_start *how;
	const struct cgroups *cgroups; /* of the host; NULL: none mounted */
	struct arena *arena;
	int sock;
	bool foreign; /* the mount namespace is not ours: others see what we mount */
	int fd;	      /* the new root mount */
	int proc;     /* private procfs; -1: not yet */
	int empty;    /* the shared empty directory of masks, once attached; -1 */
	int console;  /* slave of a terminal that was made; -1 */
	/*
	 * What was mounted, in order: fd of a file system of ours, below which the image
	 * has no say, or -1. Room for one per operation.
	 */
	struct oci_mounted {
		const char *path;
		int fd;
	} * mounted;
	size_t nmounted;
};

/* The child's side: all operations in order (mounts.c, devices.c). */
int oci_setup(struct oci_root *r, struct err *err);
int oci_op_device(struct oci_root *r, const struct oci_op *op, struct err *err);
int oci_op_link(struct oci_root *r, const struct oci_op *op, struct err *err);
int oci_op_console(struct oci_root *r, const struct oci_op *op, struct err *err);
int oci_op_cgroup(struct oci_root *r, const struct oci_op *op, struct err *err);
int oci_op_readonly(struct oci_root *r, const struct oci_op *op, struct err *err);
int oci_op_mask(struct oci_root *r, const struct oci_op *op, struct err *err);
int oci_op_sysctl(struct oci_root *r, const struct oci_op *op, struct err *err);
/* O_PATH fd of what is at path in the container: below our own mounts if it is there. */
int oci_open(struct oci_root *r, const char *path, int flags, struct err *err);
/* Directory of path, made if it is missing, and the last name. An O_PATH fd or -1. */
int oci_open_parent(struct oci_root *r, const char *path, const char **ret_name,
		    struct err *err);
/* Directory or file (if not a directory) at path, made if it is missing. O_PATH fd. */
int oci_make(struct oci_root *r, const char *path, bool dir, mode_t mode,
	     struct err *err);
void oci_remember(struct oci_root *r, const char *path, int fd);

/* Makes a terminal in a devpts, sends its master to the socket. The slave's fd, or -1. */
int oci_make_terminal(int devpts, const struct oci_process *p, int sock, struct err *err);

/* The pieces of start and exec that are the same (start.c). */
struct oci_watch {
	int sock;
	bool stop_at_ready;
	struct buf *warnings; /* NULL: dropped */
	/* other messages; NULL: passed over */
	int (*on)(void *arg, const struct oci_msg *m, struct err *err);
	void *arg;
};
/* 0 at the end, 1 at "ready", -1 with the process's error or the handler's. */
int oci_wait(const struct oci_watch *w, struct err *err);
int oci_apply_oom(pid_t pid, const struct oci_process *p, struct buf *warnings,
		  struct err *err);
/* Capabilities as they can be given: what we do not have ourselves is left out. */
void oci_clamp_caps(struct caps *c, struct buf *warnings);

/*
 * Takes the host's procfs and sysfs mounts out of our mount namespace, of which the
 * container's root is a part. 0 or -1.
 */
int oci_hide_host(struct oci_root *r, struct err *err);

#endif
