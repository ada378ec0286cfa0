/*
 * unpack: turns a compressed layer into a directory, confined (unpack.h says how, and what
 * the parent sees). Everything that it reads was written by strangers.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "applet.h"
#include "base/num.h"
#include "base/str.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/sandbox.h"
#include "os/sock.h"
#include "unpack-int.h"
#include "wire/inflate.h"

enum {
	SOCK = 3,
	IN = 1 << 18,  /* bytes per read */
	OUT = 1 << 18, /* bytes inflated, hashed and written at a time */
	ENTRIES_MAX = 4000000,
	MEMORY_MAX = 1 << 30, /* address space: a zstd window is up to 128 MiB */
	/* beyond a 16th of the limit, what grows by more than this is a bomb */
	RATIO_MAX = 500,
	CPU_MAX = 3600 /* seconds: a layer made to keep us busy ends with SIGXCPU */
};

struct unpacker {
	int root; /* of the sandbox: the layer's directory */
	bool lowest, stage;
	uint64_t max;
	struct hasher digest, diff;
	struct inflate *z;
	struct tar *tar;
	struct journal journal;
	struct apply apply;
	bool applying;
	int file; /* that is being written, or -1 */
	struct unpack_report report;
};

static const int calls[] = {
	SYS_read,
	SYS_write,
	SYS_readv,
	SYS_writev,
	SYS_pwrite64,
	SYS_lseek,
	SYS_close,
	SYS_openat,
	SYS_openat2,
	SYS_fstat,
	SYS_statx,
	SYS_fchown,
	SYS_fchownat,
	SYS_fchmod,
	SYS_fchmodat,
	SYS_utimensat,
	SYS_fsetxattr,
	SYS_lsetxattr,
	SYS_fgetxattr,
	SYS_flistxattr,
	SYS_fremovexattr,
	SYS_lremovexattr,
	SYS_mkdirat,
	SYS_mknodat,
	SYS_linkat,
	SYS_symlinkat,
	SYS_unlinkat,
	SYS_readlinkat,
	SYS_ftruncate,
	SYS_fchdir,
	SYS_getdents64,
	SYS_sendmsg,
	SYS_recvmsg,
	SYS_fcntl,
	SYS_brk,
	SYS_mmap,
	SYS_munmap,
	SYS_mremap,
	SYS_madvise,
	SYS_mprotect,
	SYS_exit_group,
	SYS_exit,
	SYS_rt_sigreturn,
	SYS_rt_sigprocmask,
	SYS_clock_gettime,
	SYS_getpid,
	SYS_restart_syscall,
#ifdef SYS__llseek
	SYS__llseek, /* musl's lseek on ppc64le */
#endif
#ifdef SYS_newfstatat
	SYS_newfstatat,
#endif
#ifdef SYS_renameat
	SYS_renameat,
#endif
	SYS_renameat2,
};

static int confine(struct unpacker *u, struct err *err)
{
	static const struct {
		int what;
		rlim_t max;
	} limits[] = {{RLIMIT_CORE, 0},
		      {RLIMIT_AS, MEMORY_MAX},
		      {RLIMIT_NPROC, 0},
		      {RLIMIT_CPU, CPU_MAX}};
	const uint64_t keep = UINT64_C(1) << CAP_CHOWN | UINT64_C(1) << CAP_DAC_OVERRIDE |
			      UINT64_C(1) << CAP_FOWNER | UINT64_C(1) << CAP_FSETID |
			      UINT64_C(1) << CAP_SETFCAP;

	if (sandbox_with_parent(err) < 0)
		return -1;
	u->root = sandbox_root(STDOUT_FILENO, err);
	if (u->root < 0)
		return -1;
	close(STDOUT_FILENO);
	umask(0);
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		struct rlimit r = {limits[i].max, limits[i].max};

		if (setrlimit(limits[i].what, &r) < 0)
			return err_sys(err, errno, "sandbox: setrlimit");
	}
	if (sandbox_caps(keep, err) < 0)
		return -1;
	return sandbox_calls(calls, ARRAY_LEN(calls), err);
}

static int say(enum unpack_kind kind, const struct unpacker *u, const struct err *failed,
	       struct err *err)
{
	struct unpack_msg m = {.kind = kind};

	if (u)
		m.report = u->report;
	if (failed)
		m.err = *failed;
	if (fd_write_all(SOCK, &m, sizeof(m)) < 0)
		return err_sys(err, errno, "report to the parent");
	return 0;
}

/* Waits for the view of the layers below. An owned fd, or -1. */
static int wait_view(struct err *err)
{
	struct unpack_msg m;
	int fd = -1;

	for (size_t have = 0; have < sizeof(m);) {
		size_t nfds = have ? 0 : 1;
		ssize_t n = sock_recv_fds(SOCK, (uint8_t *)&m + have, sizeof(m) - have,
					  have ? NULL : &fd, &nfds);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(err, ERR_CANCELLED, "the puller has gone");
		have += (size_t)n;
	}
	if (m.kind != MSG_VIEW || fd < 0)
		return err_set(err, ERR_INTERNAL, "the puller talks nonsense");
	return fd;
}

static int start_apply(struct unpacker *u, struct err *err)
{
	int upper, lower = -1;

	if (!u->lowest) {
		lower = wait_view(err);
		if (lower < 0)
			return -1;
	}
	upper = file_open_dir(u->root, "fs", true, 0755, err);
	if (upper < 0) {
		fd_close(&lower);
		return -1;
	}
	u->applying = true;
	return apply_init(&u->apply, upper, lower, SOCK, &u->report, err);
}

/* The last entry is a file whose contents are all there: its metadata. */
static int end_file(struct unpacker *u, struct err *err)
{
	const struct tar_entry *e = tar_entry(u->tar);
	int r = 0;

	if (u->file < 0)
		return 0;
	if (e->sparse && ftruncate(u->file, (off_t)e->size) < 0)
		r = err_sys(err, errno, "set size");
	if (r == 0)
		r = meta_set(u->file, e, &u->report, err);
	fd_close(&u->file);
	if (r < 0) {
		BUF_AUTO name = {0};

		str_escape(&name, e->name, strnlen(e->name, 300));
		return err_wrap(err, "%s", buf_str(&name));
	}
	return 0;
}

static int begin_entry(struct unpacker *u, struct err *err)
{
	const struct tar_entry *e = tar_entry(u->tar);
	struct source src = {.dirfd = -1, .ret_fd = &u->file};

	if (u->report.entries >= ENTRIES_MAX)
		return err_set(err, ERR_EXHAUSTED, "more than %d entries", ENTRIES_MAX);
	if (!u->stage)
		return apply_entry(&u->apply, e, &src, err) < 0 ? -1 : 0;
	u->report.entries++;
	return journal_add(&u->journal, e, &u->file, err);
}

static int write_data(struct unpacker *u, const struct tar_data *d, struct err *err)
{
	const uint8_t *p = d->p;
	size_t n = d->n;
	uint64_t at = d->at;

	while (n) {
		ssize_t got = pwrite(u->file, p, n, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			BUF_AUTO name = {0};
			const char *s = tar_entry(u->tar)->name;

			str_escape(&name, s, strnlen(s, 300));
			return err_sys(err, errno, "write %s", buf_str(&name));
		}
		p += got;
		n -= (size_t)got;
		at += (uint64_t)got;
	}
	return 0;
}

/* Uncompressed bytes. */
static int take_tar(struct unpacker *u, const uint8_t *p, size_t n, struct err *err)
{
	struct tar_data d;
	int r = TAR_MORE;

	hasher_update(&u->diff, p, n);
	u->report.uncompressed += n;
	if (u->report.uncompressed > u->max / 16 &&
	    u->report.uncompressed / RATIO_MAX > u->report.compressed)
		return err_set(err, ERR_EXHAUSTED,
			       "a bomb: %d times larger uncompressed than compressed",
			       RATIO_MAX);
	while (n && r != TAR_END) {
		r = tar_step(u->tar, &p, &n, &d, err);
		if (r == TAR_ENTRY) {
			if (begin_entry(u, err) < 0)
				return -1;
			if (!tar_entry(u->tar)->stored && end_file(u, err) < 0)
				return -1;
		} else if (r == TAR_DATA) {
			if (write_data(u, &d, err) < 0)
				return -1;
			if (d.last && end_file(u, err) < 0)
				return -1;
		} else if (r < 0) {
			return -1;
		}
	}
	return 0;
}

/* Compressed bytes. */
static int take(struct unpacker *u, const uint8_t *p, size_t n, uint8_t *out,
		struct err *err)
{
	long got;

	hasher_update(&u->digest, p, n);
	u->report.compressed += n;
	do {
		got = inflate_step(u->z, &p, &n, out, OUT, err);
		if (got > 0 && take_tar(u, out, (size_t)got, err) < 0)
			return -1;
	} while (got > 0);
	return got < 0 ? -1 : 0;
}

static int take_end(struct unpacker *u, uint8_t *out, struct err *err)
{
	long got;

	while ((got = inflate_end(u->z, out, OUT, err)) > 0)
		if (take_tar(u, out, (size_t)got, err) < 0)
			return -1;
	if (got < 0 || tar_end(u->tar, err) < 0)
		return -1;
	hasher_final(&u->digest, &u->report.digest);
	hasher_final(&u->diff, &u->report.diff_id);
	return 0;
}

static int read_all(struct unpacker *u, uint8_t *in, uint8_t *out, struct err *err)
{
	for (;;) {
		ssize_t n = read(STDIN_FILENO, in, IN);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "read layer");
		if (n == 0)
			return take_end(u, out, err);
		if (take(u, in, (size_t)n, out, err) < 0)
			return -1;
	}
}

static int work(struct unpacker *u, uint8_t *in, uint8_t *out, struct err *err)
{
	if (u->stage ? journal_init(&u->journal, u->root, err) < 0
		     : start_apply(u, err) < 0)
		return -1;
	if (read_all(u, in, out, err) < 0)
		return -1;
	if (u->stage) {
		if (say(MSG_STAGED, u, NULL, err) < 0)
			return -1;
		u->report.entries = 0;
		if (start_apply(u, err) < 0 ||
		    journal_replay(&u->journal, &u->apply, err) < 0)
			return -1;
	}
	if (apply_finish(&u->apply, err) < 0)
		return -1;
	return say(MSG_DONE, u, NULL, err);
}

static int parse_algo(const char *s, struct hasher *h, struct err *err)
{
	if (!str_eq(s, "sha256") && !str_eq(s, "sha512"))
		return err_set(err, ERR_INVALID, "unpack: bad algorithm");
	hasher_init(h, str_eq(s, "sha512") ? DIGEST_SHA512 : DIGEST_SHA256);
	return 0;
}

static int run(int argc, char **argv, struct err *err)
{
	struct unpacker *u = xcalloc(1, sizeof(*u));
	uint8_t *in = xmalloc(IN), *out = xmalloc(OUT);
	struct err failed, ignored;

	if (argc != 5 || num_u64(argv[2], 1, INT64_MAX, &u->max) < 0)
		return unpack_by_hand(argc, argv, err);
	u->file = u->root = -1;
	u->lowest = str_eq(argv[1], "lowest");
	u->stage = str_eq(argv[1], "stage");
	if (parse_algo(argv[3], &u->digest, err) < 0 ||
	    parse_algo(argv[4], &u->diff, err) < 0)
		return -1;
	u->z = inflate_new(u->max);
	u->tar = tar_new();
	if (confine(u, &failed) < 0 || work(u, in, out, &failed) < 0) {
		say(MSG_FAILED, NULL, &failed, &ignored);
		return 1;
	}
	return 0;
}

const struct applet applet_unpack = {
	.name = "unpack",
	.run = run,
};
