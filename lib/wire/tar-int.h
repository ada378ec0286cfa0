/* tar's state, shared by tar.c (blocks and headers) and tar_pax.c (records, sparse maps). */
#ifndef WIRE_TAR_INT_H
#define WIRE_TAR_INT_H

#include "wire/tar.h"

enum tar_state {
	TAR_AT_HEADER,
	TAR_IN_META,   /* contents of an x, g, L or K header */
	TAR_IN_SPARSE, /* blocks of an old GNU sparse map */
	TAR_IN_MAP,    /* a pax 1.0 sparse map, at the head of the contents */
	TAR_IN_DATA,
	TAR_AT_END
};

struct tar_stretch {
	uint64_t at, n;
};

/* What pax records say about the sparse form of a file. */
struct tar_pax_sparse {
	bool major1;   /* 1.0: the map is in the contents */
	bool map;      /* 0.0 or 0.1: the map has been read from the records */
	bool has_size; /* realsize */
	uint64_t size;
	uint64_t pending; /* 0.0: an offset that waits for its numbytes */
	bool has_pending;
};

struct tar {
	enum tar_state state;
	uint8_t block[TAR_BLOCK]; /* collected from the input */
	size_t have;
	bool any;      /* a header has been read */
	unsigned zero; /* blocks of zeros in a row */

	char meta_type;
	struct buf meta, pax, long_name, long_link;
	bool pax_new; /* pax is for the entry to come; else values of this one point into it */
	uint64_t left; /* of stored contents: meta, map or data */
	size_t pad;    /* zeros behind them */

	struct tar_entry e;
	struct buf name, link;
	struct tar_xattr xattrs[TAR_XATTRS_MAX];

	struct tar_stretch *map;
	size_t nmap, map_cap, map_at;
	uint64_t map_used; /* of the current stretch */
	uint64_t
		map_left; /* pax 1.0: numbers still to come; UINT64_MAX: the count itself */
	struct tar_pax_sparse ps;
};

/* Reads the records of t->pax into the entry; size goes to t->left for files. 0 or -1. */
int tar_pax_apply(struct tar *t, struct err *err);

/* Adds a stretch to the map. 0 or -1. */
int tar_map_add(struct tar *t, uint64_t at, uint64_t n, struct err *err);

/* The map is whole: checks it against the sizes. 0 or -1. */
int tar_map_check(struct tar *t, struct err *err);

/* Takes a block of a pax 1.0 map. 1: the map is whole, 0: more, -1. */
int tar_map_block(struct tar *t, struct err *err);

/* "tar: NAME: ..." */
int tar_fail(struct tar *t, struct err *err, enum err_code code, const char *why);

#endif
