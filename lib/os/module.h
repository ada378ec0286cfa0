/*
 * module: kernel modules of the node image, loaded by our own index (os/modindex.h) and
 * unpacked by the kernel. Allocates nothing, so that process 1 may call it at any time.
 */
#ifndef OS_MODULE_H
#define OS_MODULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "os/modindex.h"

/* An open index. {.dirfd = -1} is a closed one. */
struct module_index {
	struct modindex ix;
	int dirfd; /* of the files */
	void *map;
	size_t size;
	uint8_t loaded[MODINDEX_MAX / 8]; /* known to be there */
	/*
	 * Parameters "name.param=value" are taken from cmdline, and what
	 * "modprobe.blacklist=" names there is denied, as is what deny names (an array that ends
	 * with NULL). Both are the caller's, may be NULL, and can be set at any time.
	 */
	const char *cmdline;
	const char *const *deny;
};

/*
 * Opens the index in a directory; NULL: that of the running kernel, from the payload
 * (/payload/lib/modules/RELEASE) or the image (/lib/modules/RELEASE).
 */
int module_index_open(struct module_index *mi, const char *dir, struct err *err);
void module_index_close(struct module_index *mi);

/*
 * Loads what a name or an alias means, with all that it needs; "@NAME" is one of the index's
 * lists. params (may be NULL) go before those of the command line. Modules that are loaded
 * already, and those that are built in, are fine. Returns how many were loaded now; or -1:
 * ERR_NOT_FOUND if no module has this name or alias, ERR_DENIED if it is denied. Where an alias or a
 * list means several modules, one that cannot be loaded does not keep the others from it.
 */
int module_load(struct module_index *mi, const char *what, const char *params,
		struct err *err);

/*
 * Loads the modules of every device that says what it is (files 'modalias' below
 * /sys/devices), and of those that appear thereby. Returns how many were loaded. A module that
 * cannot be loaded does not keep the others from it: *ret_failed is their number, and err says
 * what happened to the last of them (err is not touched if it is 0).
 */
int module_coldplug(struct module_index *mi, unsigned *ret_failed, struct err *err);

/*
 * What module_load would do: calls fn for each module in the order of loading, those that are
 * loaded already included. file is NULL for one that is built in. As module_load fails if
 * nothing is known.
 */
int module_plan(struct module_index *mi, const char *what,
		void (*fn)(void *arg, const char *name, const char *file), void *arg,
		struct err *err);

/* delete_module(2): 0 or -1 (ERR_STATE: in use; ERR_NOT_FOUND: not loaded). */
int module_remove(const char *name, struct err *err);

/* True if a module of this name is loaded and ready. */
bool module_is_loaded(const char *name);

/*
 * Appends the parameters of a module, as the command line has them, to dst, separated by
 * blanks: "ext4.x=1 ext4.y=2" is "x=1 y=2". Words in quotes count as one. Returns 0, or -1 if
 * they do not fit.
 */
int module_params(char *dst, size_t size, const char *cmdline, const char *name);

#endif
