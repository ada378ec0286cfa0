/* options: what "-o" of mount says, for mount(2). */
#ifndef MOUNT_OPTIONS_H
#define MOUNT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct mount_options {
	unsigned long flags, cleared; /* MS_*: asked for, and asked against ("rw") */
	unsigned long propagation[8]; /* each a call of its own, afterwards */
	unsigned npropagation;
	bool loop;
	uint64_t offset, size_limit; /* of loop */
	bool nofail;
	struct buf data; /* what is the file system's own, with commas */
};

void mount_options_done(struct mount_options *o);

/* Takes "a,b=c,..." in; values may be in double quotes, which protect commas. 0 or -1. */
int mount_options_add(struct mount_options *o, const char *text, struct err *err);

#endif
