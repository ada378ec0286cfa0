/*
 * mount: mounts as file descriptors (fsopen, open_tree, mount_setattr, move_mount). A
 * mount_fd is detached: nobody sees it until it is moved into a mount namespace; closing
 * it unmounts it.
 */
#ifndef OS_MOUNT_H
#define OS_MOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Clones a mount at a path (or of an fd: path ""), with all below it if recursive. Owned fd or -1. */
int mount_clone(int dirfd, const char *path, bool recursive, struct err *err);

/*
 * mount_setattr(2): MOUNT_ATTR_x to set and to clear; propagation MS_SHARED... or 0. Before
 * Linux 5.12 by mount(2), for a detached mount in a child, after which mount_fd is a clone;
 * recursive attributes and MOUNT_ATTR_NOSYMFOLLOW are refused there. 0 or -1.
 */
int mount_set(int mount_fd, bool recursive, uint64_t set, uint64_t clear,
	      uint64_t propagation, struct err *err);

/*
 * The id of the mount that fd is on, as mountinfo has it: from fdinfo, since file handles
 * (name_to_handle_at) are nothing that an overlay has. 0 or -1.
 */
int mount_id(int fd, uint64_t *ret, struct err *err);

/* How the mount that a path lies on takes part in propagation: a set of these, 0: private. */
enum { MOUNT_SHARED = 1, MOUNT_SLAVE = 2 };
int mount_propagation(const char *path, unsigned *ret, struct err *err);

/* Maps the ids of a detached mount (MOUNT_ATTR_IDMAP, Linux 5.12) as a user namespace does. */
int mount_idmap(int mount_fd, bool recursive, int userns_fd, struct err *err);

/*
 * Of a detached mount only what is at a path in it (path_open_in_root), a directory or a file,
 * as a detached mount. Before Linux 6.15 only what is attached can be cloned: it is, for a
 * moment, in a child, and mount_fd cannot be attached any more. Owned fd or -1.
 */
int mount_sub(int mount_fd, const char *path, struct err *err);

/* Attaches a detached mount to what target_fd is. 0 or -1 with errno in err->sys. */
int mount_attach(int mount_fd, int target_fd, struct err *err);

/*
 * A new instance of a file system. options is NULL or "key,key=value,..." (fsconfig), where
 * double quotes keep a value with commas together;
 * attrs are MOUNT_ATTR_x. source may be NULL. Owned fd or -1.
 */
int mount_new(const char *type, const char *source, const char *options, uint64_t attrs,
	      struct err *err);

/* A root overlay. */
struct mount_overlay {
	const int *lower; /* directories, topmost first; O_PATH is enough */
	size_t nlower;
	/*
	 * Directory that holds two directories of these names on the same file system
	 * (upper belongs to the container: owner and mode of its "/"); -1: read-only.
	 */
	int rw_fd;
	const char *upper, *work;
	bool is_volatile; /* no flush of the upper layer, ever (Linux 5.10) */
	int userns_fd;	  /* lower layers are idmapped to it (Linux 5.19); -1: not */
};

/*
 * Mounts it. Up to 500 lower directories, on any kernel: `lowerdir+` (Linux 6.7), and
 * before that names of a few bytes in a private mount namespace of a short-lived child
 * process (which is reaped here). ERR_UNIMPLEMENTED: the kernel cannot do idmapped layers.
 * An owned fd of a detached mount or -1.
 */
int mount_overlay(const struct mount_overlay *o, struct err *err);

#endif
