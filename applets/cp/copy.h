/* copy: files and trees, for cp and mv. */
#ifndef CP_COPY_H
#define CP_COPY_H

#include <stdbool.h>

#include "base/err.h"

struct copy {
	bool recursive;
	bool preserve; /* owner, mode, times */
	bool force;    /* what cannot be opened is removed first */
	bool follow;   /* symbolic links below: what they point to */
};

/* Copies from to `to`, which is made or overwritten. 0 or -1: the error names the path. */
int copy_path(const struct copy *c, const char *from, const char *to, struct err *err);

/* TO/NAME if `to` is a directory, else `to`. Caller frees. */
char *copy_target(const char *from, const char *to);

#endif
