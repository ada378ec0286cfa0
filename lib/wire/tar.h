/*
 * tar: a streaming reader of tar archives as a pure byte machine: ustar and pax (POSIX.1-2008,
 * pax, Extended Description), GNU (long names, base-256 numbers, sparse files), star and v7.
 * Global pax headers are skipped, as all image tools do.
 */
#ifndef WIRE_TAR_H
#define WIRE_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum {
	TAR_BLOCK = 512,
	TAR_PATH_MAX = 4095,	 /* bytes of a name or a link target */
	TAR_META_MAX = 1 << 20,	 /* bytes of all extended headers of one entry */
	TAR_XATTRS_MAX = 256,	 /* extended attributes of one entry */
	TAR_SPARSE_MAX = 1 << 16 /* stretches of one sparse file */
};

enum tar_type {
	TAR_FILE,
	TAR_HARDLINK,
	TAR_SYMLINK,
	TAR_CHAR,
	TAR_BLOCKDEV,
	TAR_DIR,
	TAR_FIFO
};

struct tar_time {
	int64_t sec;
	uint32_t nsec;
};

struct tar_xattr {
	const char *name; /* without "SCHILY.xattr." */
	const uint8_t *value;
	size_t len;
};

/* One entry. Strings have no NUL inside and live until the next entry is asked for. */
struct tar_entry {
	enum tar_type type;
	char *name;    /* as in the archive, not empty */
	char *link;    /* of hard and symbolic links, not empty; else "" */
	uint32_t mode; /* the lower 12 bits */
	uint32_t uid, gid;
	uint64_t size;	 /* of the file's contents, holes included */
	uint64_t stored; /* bytes of them that come as TAR_DATA; 0: none will */
	bool sparse;	 /* there are holes: TAR_DATA comes with gaps between offsets */
	struct tar_time mtime, atime;
	bool has_atime;
	uint32_t dev_major, dev_minor;
	const struct tar_xattr *xattrs;
	size_t nxattrs;
};

enum tar_event {
	TAR_MORE,  /* give more input */
	TAR_ENTRY, /* tar_entry() */
	TAR_DATA,  /* contents of the entry: data, data_n bytes at data_at */
	TAR_END	   /* the end of the archive; what follows is ignored */
};

struct tar;

struct tar *tar_new(void); /* heap-allocated, never NULL */
void tar_free(struct tar *t);

/* Contents, valid until the input that they point into goes away. */
struct tar_data {
	const uint8_t *p;
	size_t n;
	uint64_t at; /* offset in the file */
	bool last;   /* nothing more is stored for this file */
};

/*
 * Takes input from *in (moved on, *n made smaller) up to the next event. Returns an enum
 * tar_event, or -1: ERR_CORRUPT (no tar, a checksum), ERR_INVALID (a field out of range, an
 * unknown type), ERR_EXHAUSTED (a limit). The message names the entry where one is known.
 * After TAR_END, input is taken and dropped.
 */
int tar_step(struct tar *t, const uint8_t **in, size_t *n, struct tar_data *ret_data,
	     struct err *err);

/* The entry that TAR_ENTRY announced. */
const struct tar_entry *tar_entry(const struct tar *t);

/*
 * The input has ended. 0 at the end of the archive or between two entries (the two blocks
 * of zeros are often missing), else -1 with ERR_CORRUPT.
 */
int tar_end(const struct tar *t, struct err *err);

#endif
