/*
 * journal: what a layer says, in its order, while the layers below are not known yet. Files
 * are written (and get their metadata) under staged/<number / 4096>/<number>; replaying moves
 * them. A record is a fixed part of big-endian numbers, then name, link and attributes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "os/fd.h"
#include "os/file.h"
#include "unpack-int.h"

enum {
	SHELF = 4096, /* files in a directory */
	FLUSH = 1 << 17,
	/* offsets in the fixed part */
	R_LEN = 0, /* of the record, this part included */
	R_TYPE = 4,
	R_MODE = 8,
	R_UID = 12,
	R_GID = 16,
	R_MTIME_NS = 20,
	R_ATIME_NS = 24,
	R_HAS_ATIME = 28,
	R_XATTRS = 32,
	R_NAME = 36,
	R_LINK = 40,
	R_MTIME = 44,
	R_ATIME = 52,
	R_SIZE = 60,
	R_FILE = 68, /* number of the staged file */
	R_FIXED = 76,
	/* tar's limits, with room: a record cannot be larger */
	RECORD_MAX_LEN = R_FIXED + 2 * (TAR_PATH_MAX + 1) + 2 * TAR_META_MAX
};

int journal_init(struct journal *j, int dirfd, struct err *err)
{
	memset(j, 0, sizeof(*j));
	j->dirfd = dirfd;
	j->shelf = -1;
	j->shelf_no = UINT64_MAX;
	j->fd = file_open(dirfd, "journal", O_CREAT | O_EXCL | O_RDWR, 0600, err);
	if (j->fd < 0)
		return -1;
	if (mkdirat(dirfd, "staged", 0700) < 0)
		return err_sys(err, errno, "make directory staged");
	return 0;
}

void journal_done(struct journal *j)
{
	fd_close(&j->fd);
	fd_close(&j->shelf);
	buf_done(&j->out);
}

/* Makes the directory of file number n the current one. */
static int shelf(struct journal *j, uint64_t n, bool make, struct err *err)
{
	char name[40];

	if (j->shelf >= 0 && j->shelf_no == n / SHELF)
		return 0;
	j->shelf_no = n / SHELF;
	snprintf(name, sizeof(name), "staged/%llu", (unsigned long long)j->shelf_no);
	fd_close(&j->shelf);
	j->shelf = file_open_dir(j->dirfd, name, make, 0700, err);
	return j->shelf < 0 ? -1 : 0;
}

static int flush(struct journal *j, struct err *err)
{
	if (fd_write_all(j->fd, j->out.data, j->out.len) < 0)
		return err_sys(err, errno, "write journal");
	buf_reset(&j->out);
	return 0;
}

static void add_bytes(struct buf *b, const void *p, size_t n)
{
	buf_add_be32(b, (uint32_t)n);
	buf_add(b, p, n);
}

static void add_record(struct journal *j, const struct tar_entry *e)
{
	struct buf *b = &j->out;
	size_t start = b->len;
	uint8_t *r = buf_reserve(b, R_FIXED);

	put_be32(r + R_TYPE, (uint32_t)e->type);
	put_be32(r + R_MODE, e->mode);
	put_be32(r + R_UID, e->uid);
	put_be32(r + R_GID, e->gid);
	put_be32(r + R_MTIME_NS, e->mtime.nsec);
	put_be32(r + R_ATIME_NS, e->atime.nsec);
	put_be32(r + R_HAS_ATIME, e->has_atime);
	put_be32(r + R_XATTRS, (uint32_t)e->nxattrs);
	put_be32(r + R_NAME, (uint32_t)strlen(e->name));
	put_be32(r + R_LINK, (uint32_t)strlen(e->link));
	put_be64(r + R_MTIME, (uint64_t)e->mtime.sec);
	put_be64(r + R_ATIME, (uint64_t)e->atime.sec);
	put_be64(r + R_SIZE, e->size);
	put_be64(r + R_FILE, j->files);
	b->len += R_FIXED;
	buf_add(b, e->name, strlen(e->name) + 1);
	buf_add(b, e->link, strlen(e->link) + 1);
	for (size_t i = 0; i < e->nxattrs; i++) {
		add_bytes(b, e->xattrs[i].name, strlen(e->xattrs[i].name) + 1);
		add_bytes(b, e->xattrs[i].value, e->xattrs[i].len);
	}
	put_be32(b->data + start + R_LEN, (uint32_t)(b->len - start));
}

int journal_add(struct journal *j, const struct tar_entry *e, int *ret_fd,
		struct err *err)
{
	char name[24];

	add_record(j, e);
	if (j->out.len >= FLUSH && flush(j, err) < 0)
		return -1;
	if (e->type != TAR_FILE)
		return 0;
	if (shelf(j, j->files, true, err) < 0)
		return -1;
	snprintf(name, sizeof(name), "%llu", (unsigned long long)j->files++);
	*ret_fd = file_open(j->shelf, name, O_CREAT | O_EXCL | O_WRONLY, 0600, err);
	return *ret_fd < 0 ? -1 : 0;
}

static int damaged(struct err *err)
{
	return err_set(err, ERR_INTERNAL, "journal is damaged");
}

/* A record's n bytes as an entry; it points into them. 0 or -1. */
static int parse(uint8_t *r, size_t n, struct tar_entry *e, struct tar_xattr *xattrs,
		 uint64_t *ret_file, struct err *err)
{
	size_t name = get_be32(r + R_NAME), link = get_be32(r + R_LINK);
	uint8_t *p = r + R_FIXED, *end = r + n;

	memset(e, 0, sizeof(*e));
	if (name > TAR_PATH_MAX || link > TAR_PATH_MAX ||
	    name + link + 2 > (size_t)(end - p) || get_be32(r + R_TYPE) > TAR_FIFO)
		return damaged(err);
	e->type = (enum tar_type)get_be32(r + R_TYPE);
	e->mode = get_be32(r + R_MODE);
	e->uid = get_be32(r + R_UID);
	e->gid = get_be32(r + R_GID);
	e->mtime = (struct tar_time){(int64_t)get_be64(r + R_MTIME),
				     get_be32(r + R_MTIME_NS)};
	e->atime = (struct tar_time){(int64_t)get_be64(r + R_ATIME),
				     get_be32(r + R_ATIME_NS)};
	e->has_atime = get_be32(r + R_HAS_ATIME);
	e->size = get_be64(r + R_SIZE);
	e->name = (char *)p;
	p[name] = 0;
	e->link = (char *)p + name + 1;
	p[name + 1 + link] = 0;
	p += name + link + 2;
	e->xattrs = xattrs;
	e->nxattrs = get_be32(r + R_XATTRS);
	if (e->nxattrs > TAR_XATTRS_MAX)
		return damaged(err);
	for (size_t i = 0; i < 2 * e->nxattrs; i++) {
		size_t len = end - p >= 4 ? get_be32(p) : SIZE_MAX;

		if (len > (size_t)(end - p - 4) || (i % 2 == 0 && (!len || p[3 + len])))
			return damaged(err);
		if (i % 2 == 0) {
			xattrs[i / 2].name = (char *)p + 4;
		} else {
			xattrs[i / 2].value = p + 4;
			xattrs[i / 2].len = len;
		}
		p += 4 + len;
	}
	*ret_file = get_be64(r + R_FILE);
	return 0;
}

static int replay_one(struct journal *j, struct apply *a, uint8_t *r, size_t n,
		      struct tar_xattr *xattrs, struct err *err)
{
	struct source src = {.dirfd = -1};
	struct tar_entry e;
	uint64_t file = 0;
	char name[24];

	if (parse(r, n, &e, xattrs, &file, err) < 0)
		return -1;
	if (e.type == TAR_FILE) {
		if (shelf(j, file, false, err) < 0)
			return -1;
		snprintf(name, sizeof(name), "%llu", (unsigned long long)file);
		src = (struct source){.dirfd = j->shelf, .name = name};
	}
	return apply_entry(a, &e, &src, err) < 0 ? -1 : 0;
}

int journal_replay(struct journal *j, struct apply *a, struct err *err)
{
	struct tar_xattr *xattrs = xcalloc(TAR_XATTRS_MAX, sizeof(*xattrs));
	BUF_AUTO b = {0};
	bool eof = false;
	int r = flush(j, err);

	if (r == 0 && lseek(j->fd, 0, SEEK_SET) < 0)
		r = err_sys(err, errno, "read journal");
	for (size_t at = 0; r == 0 && !(eof && at == b.len);) {
		size_t have = b.len - at, want = have >= 4 ? get_be32(b.data + at) : 4;

		if (have >= 4 && (want < R_FIXED || want > RECORD_MAX_LEN)) {
			r = damaged(err);
		} else if (have >= 4 && have >= want) {
			r = replay_one(j, a, b.data + at, want, xattrs, err);
			at += want;
		} else if (eof) {
			r = damaged(err);
		} else {
			size_t room = MAX(want, FLUSH);
			ssize_t n;

			buf_shift(&b, at);
			at = 0;
			n = fd_read_full(j->fd, buf_reserve(&b, room), room);
			if (n < 0)
				r = err_sys(err, errno, "read journal");
			b.len += n > 0 ? (size_t)n : 0;
			eof = n < (ssize_t)room;
		}
	}
	free(xattrs);
	if (r < 0)
		return -1;
	fd_close(&j->shelf);
	if (unlinkat(j->dirfd, "journal", 0) < 0)
		return err_sys(err, errno, "remove journal");
	return file_remove_tree(j->dirfd, "staged", err);
}
