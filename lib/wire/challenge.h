/* challenge: the WWW-Authenticate field (RFC 9110 11.6.1). */
#ifndef WIRE_CHALLENGE_H
#define WIRE_CHALLENGE_H

#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"

/* One challenge; parameters that are absent are NULL. Strings live in the arena. */
struct challenge {
	const char *scheme;
	const char *realm, *service, *scope, *error;
};

/*
 * Parses the challenges of one field, at most max of them. Returns their
 * number, or -1 (ERR_INVALID) if the field is malformed.
 */
int challenge_parse(const char *field, struct arena *a, struct challenge *ret, size_t max,
		    struct err *err);

#endif
