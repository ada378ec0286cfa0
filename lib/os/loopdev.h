/* loopdev: files as block devices (loop(4)). */
#ifndef OS_LOOPDEV_H
#define OS_LOOPDEV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum { LOOPDEV_PATH = 24 };

struct loopdev_setup {
	const char *file;
	const char *device;	     /* NULL: the first that is free */
	uint64_t offset, size_limit; /* bytes; 0: all */
	uint32_t sector;	     /* logical block size; 0: 512 */
	bool read_only, autoclear, partitions, direct_io;
};

/* Path of a device that is free now. 0 or -1. */
int loopdev_free(char ret[LOOPDEV_PATH], struct err *err);

/*
 * Makes a device of the file; read-only if it cannot be written to. Returns an owned fd of
 * the device, and its path; -1 on failure.
 */
int loopdev_attach(const struct loopdev_setup *s, char ret[LOOPDEV_PATH],
		   struct err *err);

/* Gives the device up; one that is in use goes when its last user does. 0 or -1. */
int loopdev_detach(const char *device, struct err *err);

struct loopdev {
	unsigned number;
	uint64_t dev, inode; /* of the file */
	uint64_t offset, size_limit;
	bool read_only, autoclear, direct_io;
	char file[4096];
};

/* False if number is no device with a file. */
bool loopdev_get(unsigned number, struct loopdev *ret);

#endif
