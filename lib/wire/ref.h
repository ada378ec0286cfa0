/*
 * ref: image references, read and completed as Docker and containerd do:
 * "busybox" is docker.io/library/busybox:latest. The grammar is the
 * distribution project's: [domain/]path[:tag][@digest].
 */
#ifndef WIRE_REF_H
#define WIRE_REF_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

enum {
	REF_DOMAIN = 264,
	REF_PATH = 256,
	REF_TAG = 129,
	REF_DIGEST = 136 /* "sha512:", 128 digits and a NUL */
};

struct ref {
	char domain[REF_DOMAIN]; /* "docker.io", "localhost:5000", "[::1]:5000" */
	char path[REF_PATH];	 /* "library/busybox" */
	char tag[REF_TAG];	 /* "" if none */
	char digest[REF_DIGEST]; /* "" if none */
};

/*
 * Parses and completes a reference: a missing domain is docker.io, a missing
 * docker.io name space is library, and with neither tag nor digest the tag
 * is "latest". Fails with ERR_INVALID.
 */
int ref_parse(const char *s, struct ref *ret, struct err *err);

/* Appends "domain/path". */
void ref_add_name(struct buf *out, const struct ref *r);

/*
 * Appends the complete reference: "domain/path@digest" if there is a digest
 * (a tag beside it says nothing more and is left out), else "domain/path:tag".
 */
void ref_add(struct buf *out, const struct ref *r);

/*
 * Appends the name as people write it: without "docker.io/" and
 * "docker.io/library/".
 */
void ref_add_familiar_name(struct buf *out, const struct ref *r);

/*
 * True for sha256 with 64 or sha512 with 128 lower-case hexadecimal digits,
 * and nothing else (image-spec, Descriptors, "Digests").
 */
bool ref_is_digest(const char *s);

/* True for an image id as people type it: 64 hexadecimal digits, or "sha256:" and them. */
bool ref_is_id(const char *s);

#endif
