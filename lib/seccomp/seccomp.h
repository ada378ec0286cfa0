/*
 * seccomp: linux.seccomp of the runtime-spec (config-linux.md, Seccomp): from JSON, or the
 * built-in profile, to BPF through libseccomp, and into the kernel.
 */
#ifndef SECCOMP_SECCOMP_H
#define SECCOMP_SECCOMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/json.h"

/* A profile. It lies in the arena that it was made in, and is never changed. */
struct seccomp_profile;

/*
 * From an object; what is wrong is ERR_INVALID with the field's name below `where`. All
 * actions, operators, architectures and flags of the specification are known. 0 or -1.
 */
int seccomp_profile_parse(yyjson_val *obj, const char *where, struct arena *a,
			  struct seccomp_profile **ret, struct err *err);

/* From n bytes of a file that holds the object alone. 0 or -1. */
int seccomp_profile_read(const void *json, size_t n, struct arena *a,
			 struct seccomp_profile **ret, struct err *err);

/* The built-in profile (RuntimeDefault) for a bounding set of capabilities. */
struct seccomp_profile *seccomp_profile_default(uint64_t caps, struct arena *a);

/* SECCOMP_FILTER_FLAG_x to load its filter with; NEW_LISTENER if it has a NOTIFY action. */
unsigned seccomp_profile_flags(const struct seccomp_profile *p);

/*
 * Path of the socket that gets the listener of a profile with a NOTIFY action; NULL: it has
 * none. *ret_metadata is the text to be sent along, or NULL.
 */
const char *seccomp_profile_listener(const struct seccomp_profile *p,
				     const char **ret_metadata);

/* Lines of a plan; the same on every architecture. */
void seccomp_profile_print(const struct seccomp_profile *p, struct buf *out);

/*
 * The filter as struct sock_filter[], for this architecture and those of the profile.
 *
 * Compiling takes some 10 ms, so the result is kept in the directory `cache` (NULL: not)
 * under the digest of everything that it depends on. The directory is made if it is missing
 * (mode 0711); one that somebody else owns or may write to is not used, nor is a file
 * in it whose contents are not what was written. Any trouble with it is a compilation.
 * Appends to *ret. 0 or -1.
 */
int seccomp_compile(const struct seccomp_profile *p, const char *cache, struct buf *ret,
		    struct err *err);

/*
 * Loads a filter for the calling process, for good. Takes no_new_privs or CAP_SYS_ADMIN.
 * A listener's fd with SECCOMP_FILTER_FLAG_NEW_LISTENER, else 0; -1 on failure.
 */
int seccomp_filter_load(const struct buf *bpf, unsigned flags, struct err *err);

#endif
