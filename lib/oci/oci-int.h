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

enum oci_idmap { OCI_IDMAP_NONE, OCI_IDMAP_MOUNT, OCI_IDMAP_TREE };

struct oci_mount {
	const char *destination; /* absolute */
	const char *source;	 /* NULL: none */
	const char *type;	 /* "bind" for bind mounts */
	const char *data;	 /* options of the file system: "a,b=c" */
	struct oci_attrs attrs;
	bool bind, recursive, copy_up;
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
/* MS_x of "rprivate"...; 0 if it is none. */
uint64_t oci_propagation(const char *name, bool *ret_rec);

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
	OCI_OP_READONLY,   /* path becomes read-only */
	OCI_OP_MASK,	   /* path is hidden */
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
	const struct oci_mount *mount; /* idmap */
	int fd; /* opened before the clone: the mount to attach, or -1 */
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
enum oci_msg_type { OCI_MSG_ERROR = 1, OCI_MSG_WARN, OCI_MSG_READY, OCI_MSG_PID };
struct oci_msg {
	enum oci_msg_type type;
	pid_t pid;
	struct err err;
};
void oci_send(int sock, enum oci_msg_type type, pid_t pid, const struct err *err);
__attribute__((format(printf, 2, 3))) void oci_warn(int sock, const char *fmt, ...);

/* What a process needs to become the program (process.c). */
struct oci_enter {
	const struct oci_process *process;
	const struct buf *seccomp; /* BPF; empty: none */
	int sock;		   /* to the starter */
	int stdio[3];
	int console; /* slave; -1: none */
	bool userns;
	bool make_cwd;
	int pdeathsig;
	int start_fd; /* -1: at once */
	int preserve_fds;
};

/* Rlimits, which may need rights that are dropped later. */
int oci_set_rlimits(const struct oci_process *p, int sock, struct err *err);

/*
 * The same for another process (0: the caller), as far as is permitted: in a user namespace
 * it could not raise its own, as that takes CAP_SYS_RESOURCE over the host.
 */
void oci_raise_rlimits(const struct oci_process *p, pid_t pid);
/* Everything from the terminal to execve. Returns only on failure. */
int oci_enter(const struct oci_enter *e, struct err *err);
/* Closes all fds but 0 to 2 and these (-1: none); list is sorted in place. */
void oci_close_but(int *keep, size_t n);
/* Signal mask and dispositions as a new program expects them. */
void oci_reset_signals(void);

/* A program of the container's root for an argv[0] (execvp's rules, runc's words). */
int oci_lookup(const char *name, char *const *env, struct arena *a, const char **ret,
	       struct err *err);

/* The parent's side of the set-up: opens what lies in the host (mounts.c). */
int oci_prepare(struct oci_plan *p, const struct oci_start *how, struct arena *a,
		struct err *err);
void oci_unprepare(struct oci_plan *p);

struct oci_root {
	const struct oci_plan *plan;
	const struct oci_start *how;
	const struct cgroups *cgroups; /* of the host; NULL: none mounted */
	struct arena *arena;
	int sock;
	int fd;	     /* the new root mount */
	int proc;    /* private procfs; -1: not yet */
	int empty;   /* the shared empty directory of masks, once attached; -1 */
	int console; /* slave of a terminal that was made; -1 */
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
/* Directory or file (if not a directory) at path, made if it is missing. O_PATH fd. */
int oci_make(struct oci_root *r, const char *path, bool dir, mode_t mode,
	     struct err *err);
void oci_remember(struct oci_root *r, const char *path, int fd);

/* Makes a terminal in a devpts, sends its master to the socket. The slave's fd, or -1. */
int oci_make_terminal(int devpts, const struct oci_process *p, int sock, struct err *err);

/* The pieces of start and exec that are the same (start.c). */
int oci_wait(int sock, bool stop_at_ready, struct buf *warnings, struct err *err);
int oci_apply_oom(pid_t pid, const struct oci_process *p, struct buf *warnings,
		  struct err *err);
/* Capabilities as they can be given: what we do not have ourselves is left out. */
void oci_clamp_caps(struct caps *c, uint64_t have, struct buf *warnings);

#endif
