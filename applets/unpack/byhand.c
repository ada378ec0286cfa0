/*
 * byhand: "cribox unpack [--one-by-one] [--max=BYTES] DIR LAYER...": layers in files, lowest
 * first, become DIR/0, DIR/1, ... as a pull makes them, to look at them and to test. All at
 * once, and resolved from the bottom; or, one by one, each with the view of those below.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/mount.h"
#include "unpack-int.h"

enum { LAYERS_MAX = 200, CHUNK = 1 << 18 };

struct hand {
	struct unpack u;
	int input; /* the file, until it has been read */
	int dir;
	bool resolved, done;
	struct buf chunk; /* read, and not yet taken */
	size_t chunk_at;
};

struct hands {
	int dir;
	bool one_by_one;
	uint64_t max;
	struct hand *v;
	size_t n;
};

/* The merged view of layers 0..n-1. */
static int view(const struct hands *h, size_t n, struct err *err)
{
	struct mount_overlay o = {.rw_fd = -1, .userns_fd = -1, .nlower = n + 1};
	int *fds = xcalloc(n + 1, sizeof(*fds));
	int got = -1;
	size_t opened = 0;

	for (; opened < n; opened++) {
		fds[opened] = file_open(h->v[n - 1 - opened].dir, "fs",
					O_PATH | O_DIRECTORY, 0, err);
		if (fds[opened] < 0)
			break;
	}
	fds[n] = -1;
	if (opened == n)
		fds[n] = file_open_dir(h->dir, "empty", true, 0700, err);
	if (opened == n && fds[n] >= 0) {
		o.lower = fds;
		got = mount_overlay(&o, err);
		fd_close(&fds[n]);
	}
	while (opened)
		fd_close(&fds[--opened]);
	free(fds);
	return got;
}

static int start(struct hands *h, size_t i, const char *file, struct err *err)
{
	struct hand *l = &h->v[i];
	struct unpack_options o = {.lowest = i == 0, .view = -1, .max_bytes = h->max};
	FD_AUTO below = -1;
	char name[24];

	snprintf(name, sizeof(name), "%zu", i);
	l->input = file_open(AT_FDCWD, file, O_RDONLY, 0, err);
	if (l->input < 0)
		return -1;
	if (mkdirat(h->dir, name, 0700) < 0)
		return err_sys(err, errno, "make directory %s", name);
	l->dir = file_open_dir(h->dir, name, false, 0, err);
	if (l->dir < 0)
		return -1;
	if (h->one_by_one && i) {
		below = view(h, i, err);
		if (below < 0)
			return -1;
		o.view = below;
		l->resolved = true;
	}
	return unpack_spawn(&l->u, l->dir, &o, err);
}

/* What feed waits for. */
static struct pollfd next_io(const struct hand *l)
{
	if (l->input < 0)
		return (struct pollfd){.fd = -1};
	if (l->chunk_at == l->chunk.len)
		return (struct pollfd){.fd = l->input, .events = POLLIN};
	return (struct pollfd){.fd = l->u.in, .events = POLLOUT};
}

/* Reads from the file, or writes as much to the pipe as it takes. */
static int feed(struct hand *l, struct err *err)
{
	ssize_t n;

	if (l->chunk_at == l->chunk.len) {
		l->chunk_at = l->chunk.len = 0;
		n = read(l->input, buf_reserve(&l->chunk, CHUNK), CHUNK);
		if (n < 0)
			return err_sys(err, errno, "read layer");
		if (n == 0) {
			fd_close(&l->input);
			fd_close(&l->u.in);
			return 0;
		}
		l->chunk.len = (size_t)n;
		return 0;
	}
	n = write(l->u.in, l->chunk.data + l->chunk_at, l->chunk.len - l->chunk_at);
	if (n < 0 && errno == EPIPE) { /* its last words say why */
		fd_close(&l->input);
		fd_close(&l->u.in);
		return 0;
	}
	if (n < 0 && errno != EAGAIN)
		return err_sys(err, errno, "feed the unpacker");
	l->chunk_at += n > 0 ? (size_t)n : 0;
	return 0;
}

static void print(size_t i, const struct unpack_report *r)
{
	char digest[DIGEST_TEXT], diff[DIGEST_TEXT];

	digest_format(digest, &r->digest);
	digest_format(diff, &r->diff_id);
	printf("{\"layer\":%zu,\"digest\":\"%s\",\"diff_id\":\"%s\",\"compressed\":"
	       "%" PRIu64 ",\"uncompressed\":%" PRIu64 ",\"entries\":%" PRIu64
	       ",\"bytes\":%" PRIu64 ",\"inodes\":%" PRIu64 ",\"devices\":%" PRIu64
	       ",\"xattrs\":%" PRIu64 ",\"copied\":%" PRIu64 ",\"opaque\":%" PRIu64 "}\n",
	       i, digest, diff, r->compressed, r->uncompressed, r->entries, r->bytes,
	       r->inodes, r->devices, r->xattrs, r->copied, r->opaque);
}

/* Events of one layer. */
static int listen_to(struct hands *h, size_t i, struct err *err)
{
	struct hand *l = &h->v[i];
	struct unpack_report r;

	if (unpack_read(&l->u, &r, err) < 0)
		return -1;
	if (r.event == UNPACK_DONE) {
		print(i, &r);
		l->done = true;
		unpack_end(&l->u);
	}
	return 0;
}

/* One turn for layers first to last. */
static int turn(struct hands *h, size_t first, size_t last, struct err *err)
{
	struct pollfd p[2 * LAYERS_MAX];
	nfds_t n = 0;

	for (size_t i = first; i <= last; i++) {
		p[n++] = (struct pollfd){h->v[i].done ? -1 : h->v[i].u.sock, POLLIN, 0};
		p[n++] = next_io(&h->v[i]);
	}
	if (poll(p, n, -1) < 0)
		return err_sys(err, errno, "poll");
	for (size_t i = first; i <= last; i++) {
		if (p[2 * (i - first)].revents && listen_to(h, i, err) < 0)
			return err_wrap(err, "layer %zu", i);
		if (p[2 * (i - first) + 1].revents && h->v[i].input >= 0 &&
		    feed(&h->v[i], err) < 0)
			return -1;
		if (i && !h->v[i].resolved && h->v[i - 1].done) {
			FD_AUTO below = view(h, i, err);

			/* early: it reads this when it has staged its files */
			if (below < 0 || unpack_resolve(&h->v[i].u, below, err) < 0)
				return -1;
			h->v[i].resolved = true;
		}
	}
	return 0;
}

static int run_all(struct hands *h, char **files, struct err *err)
{
	if (!h->one_by_one)
		for (size_t i = 0; i < h->n; i++)
			if (start(h, i, files[i], err) < 0)
				return -1;
	for (size_t i = 0; i < h->n; i++) {
		if (h->one_by_one && start(h, i, files[i], err) < 0)
			return -1;
		while (!h->v[i].done)
			if (turn(h, i, h->one_by_one ? i : h->n - 1, err) < 0)
				return -1;
	}
	return 0;
}

/* The options; what is left of argv is the directory and the layers. */
static int options(struct hands *h, int *argc, char ***argv, struct err *err)
{
	for (; *argc > 1 && str_starts((*argv)[1], "--"); --*argc, ++*argv) {
		const char *s = (*argv)[1];

		if (str_eq(s, "--one-by-one"))
			h->one_by_one = true;
		else if (!str_starts(s, "--max=") || num_size(s + 6, &h->max) < 0)
			return err_set(err, ERR_INVALID, "unpack: unknown option %s", s);
	}
	if (*argc < 3 || *argc - 2 > LAYERS_MAX)
		return err_set(err, ERR_INVALID,
			       "usage: cribox unpack [--one-by-one] [--max=BYTES] DIR "
			       "LAYER...");
	return 0;
}

int unpack_by_hand(int argc, char **argv, struct err *err)
{
	struct hands h = {.dir = -1};
	int r = -1;

	if (options(&h, &argc, &argv, err) < 0)
		return -1;
	signal(SIGPIPE, SIG_IGN);
	h.n = (size_t)(argc - 2);
	h.v = xcalloc(h.n, sizeof(*h.v));
	for (size_t i = 0; i < h.n; i++)
		h.v[i] = (struct hand){.input = -1, .dir = -1};
	h.dir = file_open_dir(AT_FDCWD, argv[1], true, 0700, err);
	if (h.dir >= 0)
		r = run_all(&h, argv + 2, err);
	for (size_t i = 0; i < h.n; i++) {
		unpack_end(&h.v[i].u);
		fd_close(&h.v[i].input);
		fd_close(&h.v[i].dir);
		buf_done(&h.v[i].chunk);
	}
	free(h.v);
	fd_close(&h.dir);
	return r;
}
