/* url: http and https URLs (RFC 3986), as far as an HTTP client needs them. */
#ifndef WIRE_URL_H
#define WIRE_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum { URL_MAX = 16384, URL_HOST = 256 };

struct url {
	bool tls;	     /* https */
	char host[URL_HOST]; /* lower case; an IPv6 address without brackets */
	uint16_t port;
	char *target; /* origin form: path and query, begins with '/'; owned */
};

/*
 * Parses an absolute URL. User info, a fragment's absence aside, and
 * characters that may not stand in a request line are ERR_INVALID.
 */
int url_parse(const char *s, struct url *ret, struct err *err);

/* The same for a reference relative to base, as in a Location field. */
int url_resolve(const struct url *base, const char *s, struct url *ret, struct err *err);

void url_done(struct url *u);
void url_copy(struct url *dst, const struct url *src); /* dst is overwritten */
#define URL_AUTO __attribute__((cleanup(url_done))) struct url

/* Same scheme, host and port. */
bool url_same_origin(const struct url *a, const struct url *b);

/* Appends "host" or "host:port", the port if it is not the scheme's own. */
void url_add_host(struct buf *out, const struct url *u);

/* Appends the URL without its query, which may be a secret. */
void url_add_public(struct buf *out, const struct url *u);

/* Appends s with everything but unreserved characters as %XX: a query's value. */
void url_add_escaped(struct buf *out, const char *s);

#endif
