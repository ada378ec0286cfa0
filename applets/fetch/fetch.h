/*
 * fetch: the internal role that talks to registries, as its parent (pull)
 * sees it. It has no file system, but the image layouts below preload_dir, and
 * no privilege: it holds the network and all parsers of what comes from there.
 *
 * fd 3 is a chan. The request {"image", "platform", "registry_dir", "preload_dir", "stall_ms",
 * "auth": {...}, "have": [digests]} carries one fd, a SOCK_SEQPACKET socket for jobs. The reply is
 * {"same": digest} if the reference still means one of "have": that was all.
 * Or it is {"docs": [{"len", "type"}...]} with the documents, one behind the other, as
 * its blob (pull/resolve.h has the order). From then on each message on the
 * jobs socket is a struct fetch_job with a pipe's write end; several processes
 * serve them in parallel and answer with struct fetch_event.
 */
#ifndef APPLETS_FETCH_FETCH_H
#define APPLETS_FETCH_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "wire/ref.h"

enum { FETCH_LANES = 3 };

struct fetch_job {
	uint32_t index;	     /* comes back in the events */
	uint32_t skip_hosts; /* so many are not asked: they have sent something else */
	uint64_t size;
	char digest[REF_DIGEST];
};

enum fetch_what { FETCH_PROGRESS, FETCH_DONE, FETCH_FAILED };

struct fetch_event {
	uint32_t index;
	enum fetch_what what;
	uint64_t done;	 /* bytes of the blob so far */
	uint32_t host;	 /* FETCH_DONE: which one sent it */
	bool more_hosts; /* FETCH_DONE: others could be asked */
	struct err err;	 /* FETCH_FAILED; sys EPIPE: the pipe's reader has gone */
};

#endif
