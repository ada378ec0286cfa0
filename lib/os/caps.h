/* caps: Linux capabilities (capabilities(7)) as bit masks: bit n is number n. */
#ifndef OS_CAPS_H
#define OS_CAPS_H

#include <stdint.h>

#include "base/err.h"

/* "CAP_CHOWN" for 0, ...; NULL past the last one that we know. */
const char *caps_name(unsigned n);

/* All capabilities that both we and this kernel know. */
uint64_t caps_all(void);

/* The bit of a name ("CAP_CHOWN"; case does not matter), 0 if it is unknown. */
uint64_t caps_bit(const char *name);

/* Those of a set that are in the bounding set of this process: a system call for each. */
uint64_t caps_bounding(uint64_t among);

struct caps {
	uint64_t bounding, effective, permitted, inheritable, ambient;
};

/*
 * Drops from the bounding set what is not in c->bounding. Needs CAP_SETPCAP, so it comes
 * before the change of user. 0 or -1.
 */
int caps_limit(const struct caps *c, struct err *err);

/* Sets the other four sets; to be called after the change of user (with keepcaps). 0 or
 * -1. */
int caps_apply(const struct caps *c, struct err *err);

#endif
