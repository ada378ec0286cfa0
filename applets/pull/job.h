/*
 * job: one pull, from a reference to an image in the store. It starts the
 * fetcher and an unpacker per layer, connects them with pipes, checks what
 * comes of it, and commits. Runs in an event loop; nothing blocks for long but
 * the disk flush at the end.
 */
#ifndef APPLETS_PULL_JOB_H
#define APPLETS_PULL_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "loop/loop.h"
#include "pull/resolve.h"
#include "registry/registry.h"
#include "store/store.h"

struct pull_request {
	const char *image;	  /* as it was asked for */
	const char *platform;	  /* NULL: this machine's */
	const char *registry_dir; /* NULL: the default ones */
	const char *preload_dir;  /* OCI layouts that come before registries; or NULL */
	const struct registry_auth *auth;
	int64_t stall_ms; /* 0: 5 minutes */
	bool pinned;
};

enum pull_state {
	PULL_WAITING,
	PULL_LOADING,  /* the blob comes, and is being unpacked */
	PULL_STAGED,   /* it has come; the layers below are not ready */
	PULL_PLACING,  /* its files go to their places */
	PULL_UNPACKED, /* committed */
	PULL_PRESENT   /* it was there before */
};

extern const char *const pull_state_names[];

/* What can be seen of a layer from outside. */
struct pull_layer_view {
	const char *digest;
	enum pull_state state;
	uint64_t done, total; /* bytes of the blob */
};

struct pull_job;

struct pull_ops {
	/* The documents are there: the layers are known from now on. */
	void (*on_layers)(void *arg, struct pull_job *j);
	/* Called once: err is NULL when the image is in the store. Free the job now or later. */
	void (*on_end)(void *arg, struct pull_job *j, const struct err *err);
};

/* Borrows everything for the life of the job. NULL: nothing was started. */
struct pull_job *pull_start(struct loop *l, struct store *s, const struct pull_request *r,
			    const struct pull_ops *ops, void *arg, struct err *err);

/* Ends the job's processes, waits for them, and takes back what was not committed. */
void pull_free(struct pull_job *j);

size_t pull_layers(const struct pull_job *j);
struct pull_layer_view pull_layer(const struct pull_job *j, size_t i);

/* Of a job that has ended well: the image's id, and what the reference means ("name@digest"). */
const struct digest *pull_id(const struct pull_job *j);
const char *pull_digest_name(const struct pull_job *j);

/* Of a job whose documents are there; none are if the image was in the store already. */
const struct resolved *pull_resolved(const struct pull_job *j);
const struct ref *pull_ref(const struct pull_job *j);

/* The chain ids, lowest first, and the layers that the job holds. */
const struct layer *pull_hold(const struct pull_job *j, size_t i);

#endif
