/* blockdev: the block devices of this machine, what is on them, and what they are called. */
#ifndef DEVLINKS_BLOCKDEV_H
#define DEVLINKS_BLOCKDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "wire/fsprobe.h"

enum { BLOCKDEV_NAME = 64 };

/* One device of /sys/class/block. */
struct blockdev {
	char name[BLOCKDEV_NAME]; /* the kernel's: "vda1" */
	char disk[BLOCKDEV_NAME]; /* the whole disk's: "vda" */
	unsigned number;	  /* of the partition; 0: a whole disk */
	uint64_t start;		  /* of the partition, bytes */
	uint64_t size;		  /* bytes */
	bool removable, read_only;
};

/* False if there is no such device (any more). */
bool blockdev_get(const char *name, struct blockdev *ret);

/* Calls fn for every device that has a size, sorted by name, until it returns nonzero. */
int blockdev_each(int (*fn)(void *arg, const struct blockdev *d), void *arg,
		  struct err *err);

/* A file of the device in sysfs ("queue/logical_block_size"), without its newline. */
bool blockdev_attr(const char *name, const char *file, char *dst, size_t size);

/* What is on a device, and for a partition what the table says of it. */
struct blockdev_info {
	struct fsprobe fs;
	struct fsprobe_part part;
	bool any; /* something was found in the device itself */
};

/*
 * Opens and probes. The bytes are read and looked at by a child process that has no
 * privileges and three system calls; what comes back is bounded text. A device of a driver
 * that does not answer blocks it. 0, or -1: it cannot be opened or read.
 */
int blockdev_probe(const struct blockdev *d, struct blockdev_info *ret, struct err *err);

/* The same of any file by path, in this process if !guarded. */
int blockdev_probe_path(const char *path, bool guarded, struct blockdev_info *ret,
			struct err *err);

/*
 * The path of the device that is meant by LABEL=, UUID=, PARTLABEL=, PARTUUID=, SERIAL=
 * (of a disk), or by its path. 0, or -1: ERR_NOT_FOUND if there is none (yet).
 */
int blockdev_find(const char *spec, char *dst, size_t size, struct err *err);

#endif
