/*
 * modindex: the index of kernel modules that 'make image' writes (initramfs/modindex.py).
 * Read in place, without allocation; no contents lead out of bounds.
 *
 * All integers are big-endian. A head of 48 bytes: "cribmod\1", then pairs of count and offset
 * (u32) of the five tables below; names are offsets into the strings, which end in NUL.
 *
 *	modules	name u32, file u32 (~0: built in), first link u32, links u16, u16; by name
 *	aliases	pattern u32, module u16, u16; by pattern
 *	lists	name u32, first link u32, links u16, u16
 *	links	u16: a module; with 0x8000 what asked for it goes on without it
 *	strings
 *
 * A module's links are all that it needs, directly or not, in the order of loading.
 */
#ifndef OS_MODINDEX_H
#define OS_MODINDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
	MODINDEX_MAX = 4096,   /* modules */
	MODINDEX_NAME_MAX = 56 /* with NUL: MODULE_NAME_LEN of the kernel */
};

struct modindex_table {
	const uint8_t *at;
	uint32_t count;
};

struct modindex {
	struct modindex_table modules, aliases, lists, links, strings;
};

/* A run of links. */
struct modindex_links {
	const uint8_t *at;
	uint32_t count;
};

/*
 * Checks the head, the tables' bounds and the last string's end; everything else is checked
 * when it is read. The data stays the caller's and must live as long as ix. ERR_CORRUPT.
 */
int modindex_init(struct modindex *ix, const void *data, size_t size, struct err *err);

/* The number of the module of this name ('-' and '_' are the same), or -1. */
int modindex_find(const struct modindex *ix, const char *name);

/*
 * The numbers of the modules with an alias that matches, one a call: start with *pos 0, until
 * -1. The order is that of the patterns.
 */
int modindex_match(const struct modindex *ix, const char *alias, uint32_t *pos);

/* A module's name; "" if the index is damaged there. */
const char *modindex_name(const struct modindex *ix, int module);

/* Its file below the index's directory, or NULL if it is built into the kernel. */
const char *modindex_file(const struct modindex *ix, int module);

/* What it needs. */
struct modindex_links modindex_needs(const struct modindex *ix, int module);

/* The list of this name; an unknown one is empty. */
struct modindex_links modindex_list(const struct modindex *ix, const char *name);

/* Link i: the module's number (-1: damaged), and whether it may be missing. */
int modindex_link(const struct modindex *ix, struct modindex_links links, uint32_t i,
		  bool *ret_soft);

#endif
