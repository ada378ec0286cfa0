/* mounts: the table of mounts (proc(5), /proc/PID/mountinfo). */
#ifndef OS_MOUNTS_H
#define OS_MOUNTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* One line, its names unescaped. The strings lie in the text that was walked. */
struct mounts_line {
	uint64_t id, parent;
	unsigned major, minor;
	char *root; /* what of the file system is mounted: "/" unless it is a bind mount */
	char *target;		     /* mount point */
	char *options;		     /* of the mount: "rw,nosuid" */
	char *tags;		     /* "shared:1 master:2", or "" */
	char *type, *source, *super; /* super: options of the file system */
};

/* Appends the table of this process. 0 or -1. */
int mounts_read(struct buf *b, struct err *err);

/*
 * Takes the next line off *at, which starts at the text (it is written to) and ends at NULL.
 * Lines that are damaged are passed over. False at the end.
 */
bool mounts_next(char **at, struct mounts_line *ret);

#endif
