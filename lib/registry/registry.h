/*
 * registry: a client of container registries (OCI distribution-spec 1.1,
 * "Pull"; Docker's token authentication): for one repository, with the mirrors
 * that hosts.toml names for its registry. Blocking; for the fetcher.
 *
 * Credentials go only to the hosts that the configuration names and to the
 * token server that such a host names over a connection of its own, never
 * along a redirect to another scheme, host or port. No error text holds one.
 */
#ifndef REGISTRY_REGISTRY_H
#define REGISTRY_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "wire/ref.h"

/* As in CRI's AuthConfig; NULL or "" where nothing is said. */
struct registry_auth {
	const char *username, *password;
	const char *auth;	    /* base64 of "username:password" */
	const char *server_address; /* the only registry that they are for */
	const char *identity_token; /* to be exchanged for an access token */
	const char *registry_token; /* an access token */
};

struct registry_options {
	const struct ref *ref;
	const struct registry_auth *auth; /* NULL: anonymous */
	/* where DIR/<host>/hosts.toml is; NULL: /etc/cribox/certs.d or containerd's */
	const char *dir;
	const char *accept;	/* media types of manifests */
	const char *user_agent; /* "cribox/0.1" */
	int64_t stall;		/* ns in which at least 64 KiB of a blob must come */
};

struct registry;

/*
 * Reads hosts.toml, CA files and the system's CA bundle: after it, files are
 * only needed to resolve names. What the options point to is borrowed, also
 * later. NULL: ERR_INVALID naming the file and line.
 */
struct registry *registry_open(const struct registry_options *o, struct err *err);
void registry_free(struct registry *r);

/*
 * Gets the manifest or index that ref_or_digest (a tag or a digest) names.
 * Appends it to *body; *ret_type is its Content-Type without parameters, owned
 * by the caller. A digest is verified. Errors: ERR_NOT_FOUND, ERR_DENIED,
 * ERR_UNAUTHENTICATED, ERR_UNAVAILABLE, ERR_TIMEOUT, ERR_CORRUPT.
 */
int registry_manifest(struct registry *r, const char *ref_or_digest, struct buf *body,
		      char **ret_type, struct err *err);

/*
 * Asks which digest a tag or digest stands for, without getting it: servers
 * count and limit the getting. The digest goes to ret, "" if no host says it.
 */
void registry_digest(struct registry *r, const char *ref_or_digest, char ret[REF_DIGEST]);

/* Gets a small blob of `size` bytes and verifies it: an image's config. */
int registry_blob(struct registry *r, const char *digest, uint64_t size, struct buf *body,
		  struct err *err);

/* The transfer of a blob. */
struct registry_transfer {
	const char *digest;
	uint64_t size;
	int pipe;	   /* where it goes: blocking; the caller closes it */
	size_t skip_hosts; /* so many are not asked: they have sent something else */
	/* Called now and then with the bytes that went in so far. */
	void (*progress)(void *arg, uint64_t done);
	void *arg;
	size_t host;	 /* out: which host sent the end of it */
	bool more_hosts; /* out: others could be asked */
};

/*
 * Streams a blob into a pipe, resuming where a connection broke. The bytes are
 * not verified: that is the reader's part. An error with sys EPIPE: the reader
 * has gone.
 */
int registry_blob_stream(struct registry *r, struct registry_transfer *t,
			 struct err *err);

/*
 * In a process that was forked: closes the connections that it has inherited;
 * they belong to the parent, or to the one child that does not call this.
 */
void registry_drop_connections(struct registry *r);

#endif
