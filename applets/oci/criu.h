/* criu: requests to criu(8) by its RPC ("criu swrk"; rpc.proto of criu). */
#ifndef APPLETS_OCI_CRIU_H
#define APPLETS_OCI_CRIU_H

#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

/* Field numbers of criu_opts that we set. */
enum criu_opt {
	CRIU_IMAGES_DIR_FD = 1,
	CRIU_PID = 2,
	CRIU_LEAVE_RUNNING = 3,
	CRIU_EXT_UNIX_SK = 4,
	CRIU_TCP_ESTABLISHED = 5,
	CRIU_EVASIVE_DEVICES = 6,
	CRIU_SHELL_JOB = 7,
	CRIU_FILE_LOCKS = 8,
	CRIU_LOG_LEVEL = 9,
	CRIU_LOG_FILE = 10,
	CRIU_PAGE_SERVER = 11,
	CRIU_NOTIFY_SCRIPTS = 12,
	CRIU_ROOT = 13,
	CRIU_PARENT_IMG = 14,
	CRIU_TRACK_MEM = 15,
	CRIU_AUTO_DEDUP = 16,
	CRIU_WORK_DIR_FD = 17,
	CRIU_LINK_REMAP = 18,
	CRIU_EXT_MNT = 23,
	CRIU_MANAGE_CGROUPS = 24,
	CRIU_CG_ROOT = 25,
	CRIU_RST_SIBLING = 26,
	CRIU_INHERIT_FD = 27,
	CRIU_MANAGE_CGROUPS_MODE = 34,
	CRIU_EXTERNAL = 37,
	CRIU_EMPTY_NS = 38,
	CRIU_FREEZE_CGROUP = 44,
	CRIU_TCP_SKIP_IN_FLIGHT = 46,
	CRIU_LAZY_PAGES = 48,
	CRIU_STATUS_FD = 49,
	CRIU_ORPHAN_PTS_MASTER = 50,
	CRIU_CONFIG_FILE = 51,
	CRIU_TCP_CLOSE = 52,
	CRIU_LSM_PROFILE = 53,
	CRIU_LSM_MOUNT_CONTEXT = 63,
	CRIU_NETWORK_LOCK = 64,
};

enum criu_type { CRIU_DUMP = 1, CRIU_RESTORE = 2, CRIU_PRE_DUMP = 4, CRIU_NOTIFY = 6 };

/* Fields of a message (protobuf, proto2). */
void criu_add_int(struct buf *msg, unsigned field, uint64_t v);
void criu_add_str(struct buf *msg, unsigned field, const char *s);
/* A message of two strings, or of a string and a number (s2 NULL). */
void criu_add_pair(struct buf *msg, unsigned field, const char *s1, const char *s2,
		   uint64_t n);

/* What criu says on its way: script's name, the pid of the tree, an fd or -1 (borrowed). */
struct criu_notify {
	char script[64];
	pid_t pid;
	int fd;
};

struct criu_call {
	const char *program;
	enum criu_type type;
	const struct buf *opts;
	/* -1 with err ends the operation. */
	int (*notify)(void *arg, const struct criu_notify *n, struct err *err);
	void *arg;
};

/*
 * Runs criu for one request and answers its notifications. Fds that opts name are the
 * caller's by number, and must be inheritable. 0 or -1: criu's words, and where its log
 * is, are the error.
 */
int criu_run(const struct criu_call *call, struct err *err);

#endif
