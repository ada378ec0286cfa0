/*
 * unpack: the confined unpacker of layers, as its parent (pull) sees it.
 *
 * One process per layer, started by unpack_spawn as the internal role "unpack":
 *
 *	fd 0	the compressed layer, a pipe; its end is the layer's end
 *	fd 1	the directory of the layer that is being made (struct layer.fd): gets fs/
 *	fd 2	for a last word if something breaks
 *	fd 3	a socket to the parent, for the messages behind the functions below
 *
 * The process chroots into fd 1 (on a nodev, nosuid, noexec mount of it), keeps CHOWN,
 * DAC_OVERRIDE, FOWNER, FSETID and SETFCAP, can make no sockets and start no program
 * (seccomp), and ends when its parent does. It reads fd 0 once: digest of the compressed bytes
 * -> inflate -> diff id -> tar -> files.
 *
 * What a layer becomes depends on the layers below it: parents that are symlinks there,
 * hard links into them, metadata of directories that the layer does not name. So:
 *
 *	- With the view of the layers below known at the start (or none: the lowest layer),
 *	  files go to their places at once, and the first event is UNPACK_DONE.
 *	- Without it, files are staged in the order of arrival, with a journal; UNPACK_STAGED
 *	  says that the input is done and its digests are right; unpack_resolve then gives the
 *	  view, and the journal is replayed (a rename per file). UNPACK_DONE follows.
 *
 * Layers are unpacked in parallel, and resolved from the bottom up: the view of layer i (made
 * by store_view from the layers 0..i-1) exists when layer i-1 has been committed.
 *
 * The result, layer over view, is what umoci makes of the same layers, entry by entry
 * (tests/it/unpack_umoci.py), but for these differences, all on purpose: device nodes are
 * left out, as if they were removed from the result; names and hard links that leave the root
 * are refused, not cut; attributes that are not an image's to set are left out (trusted.*,
 * security.* but capability, user.overlay.*, system.* but POSIX ACLs); whiteouts of no name or
 * of unknown kind are refused, those that aufs kept for itself are left out; at most 40
 * symlinks are followed in a path, and 255 levels of directories made.
 *
 * Usage, per layer, from an event loop:
 *
 *	layer_begin -> unpack_spawn -> write to in, close it; when sock is readable:
 *	unpack_read -> on STAGED: unpack_resolve once the view exists
 *	            -> on DONE: layer_commit; always: unpack_end, layer_end
 */
#ifndef APPLETS_UNPACK_H
#define APPLETS_UNPACK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "wire/digest.h"

struct unpack_msg;

/* A running unpacker. {0} with unpack_spawn; contents freed by unpack_end. */
struct unpack {
	pid_t pid;
	int pidfd; /* readable when the process has ended */
	int in; /* non-blocking: compressed bytes go here; close it (fd_close) at the end */
	int sock; /* non-blocking; readable: call unpack_read */
	struct digest want_digest, want_diff_id;
	struct unpack_msg *partial; /* private: what has come of a message */
	size_t have;		    /* private: bytes of it */
	int passed;		    /* private: the fd that came with it */
};

struct unpack_options {
	/*
	 * What the manifest and the config say. A digest that differs makes unpack_read fail
	 * with ERR_CORRUPT. DIGEST_NONE: not checked (reported as sha256).
	 */
	struct digest digest, diff_id;
	/*
	 * Bytes of uncompressed tar (0: 64 GiB); more is ERR_EXHAUSTED, and so is, beyond a
	 * 16th of it, what is over 500 times larger than its compressed form.
	 */
	uint64_t max_bytes;
	bool lowest; /* nothing lies below this layer */
	int view; /* else: merged view of the layers below (borrowed), or -1: not yet known */
};

/* layer_dir: an empty directory (borrowed). 0 or -1. */
int unpack_spawn(struct unpack *u, int layer_dir, const struct unpack_options *o,
		 struct err *err);

enum unpack_event { UNPACK_NOTHING, UNPACK_STAGED, UNPACK_DONE };

struct unpack_report {
	enum unpack_event event;
	struct digest digest, diff_id;
	uint64_t compressed;   /* bytes read */
	uint64_t uncompressed; /* bytes of tar */
	/* UNPACK_DONE: */
	uint64_t bytes;	  /* disk use of fs/, files rounded up to 4 KiB */
	uint64_t inodes;  /* in fs/ */
	uint64_t entries; /* of the tar */
	uint64_t devices; /* entries left out: device nodes */
	uint64_t xattrs;  /* attributes left out: trusted.*, security.selinux, ... */
	uint64_t copied;  /* files copied from lower layers, for hard links */
	uint64_t opaque;  /* directories marked opaque */
};

/*
 * Takes what has come, at most one message; call it when sock is readable. Returns 0 with the
 * event in ret (UNPACK_NOTHING: there was nothing to tell), or -1 with what the unpacker said, or
 * why it died: one line that names the entry of the tar. After -1 only unpack_end is useful.
 */
int unpack_read(struct unpack *u, struct unpack_report *ret, struct err *err);

/* Gives the view of the layers below (borrowed) to an unpacker that reported STAGED. */
int unpack_resolve(struct unpack *u, int view, struct err *err);

/* Ends the process if it still runs, reaps it, closes the fds. Also for {0}. */
void unpack_end(struct unpack *u);

#endif
