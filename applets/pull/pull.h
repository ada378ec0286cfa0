/* pull: what the files of this applet share. */
#ifndef APPLETS_PULL_PULL_H
#define APPLETS_PULL_PULL_H

#include <stdbool.h>

#include "pull/job.h"

struct pull_options {
	const char *root;
	const char *bundle; /* NULL: into the store */
	bool quiet;
	struct pull_request request;
	struct registry_auth auth;
};

/* --- worker.c --- */

/* Serves one request on fd 3; see worker.c for the protocol. An exit status. */
int pull_worker(const char *root, struct err *err);

/* --- command.c --- */

/* Pulls for a person, with a display of the progress. 0 or -1. */
int pull_command(const struct pull_options *o, struct err *err);

/* --- show.c --- */

/* Shows the layers' progress on standard error: bars on a terminal, else lines. */
struct show;
struct show *show_new(const struct pull_job *j, struct loop *l);
/* Shows the final state and stops. */
void show_free(struct show *s);

/* --- bundle.c --- */

/*
 * Makes an OCI bundle (runtime-spec, "Filesystem Bundle") from a job that has
 * ended well: DIR/rootfs takes the files of its layers, which the job's store
 * loses, and must be on the same file system; DIR/config.json runs the image's
 * command. 0 or -1.
 */
int bundle_make(const struct pull_job *j, int dir, struct err *err);

/* The bundle's config.json; rootfs is looked up for user names. */
int bundle_config(const struct image_config *c, int rootfs, struct buf *out,
		  struct err *err);

#endif
