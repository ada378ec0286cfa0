/* seccomp-int: what the parts of seccomp share. */
#ifndef SECCOMP_SECCOMP_INT_H
#define SECCOMP_SECCOMP_INT_H

#include "seccomp/seccomp.h"

struct seccomp_arg {
	unsigned index;
	int op; /* enum scmp_compare */
	uint64_t value, value_two;
};

struct seccomp_rule {
	const char *const *names;
	size_t nnames;
	uint32_t action; /* SCMP_ACT_x */
	const struct seccomp_arg *args;
	size_t nargs;
};

struct seccomp_profile {
	uint32_t action;
	const uint32_t *archs; /* SCMP_ARCH_x beside the native one */
	size_t narchs;
	unsigned flags;			 /* SECCOMP_FILTER_FLAG_x */
	const char *listener, *metadata; /* NULL: not given */
	struct seccomp_rule *rules;
	size_t nrules;
	bool builtin; /* the default profile */
};

/* Everything that a filter depends on, as bytes: what the cache's names are made from. */
void seccomp_profile_serialize(const struct seccomp_profile *p, struct buf *out);

/*
 * The cache (cache.c). get appends the filter that was put under this key: true if there is
 * one. put keeps it if that is possible.
 */
enum { SECCOMP_KEY = 32 };
bool seccomp_cache_get(const char *dir, const uint8_t key[SECCOMP_KEY], struct buf *ret);
void seccomp_cache_put(const char *dir, const uint8_t key[SECCOMP_KEY], const void *bpf,
		       size_t n);

#endif
