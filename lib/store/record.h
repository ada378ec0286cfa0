/*
 * record: one small file that holds the state of one object. A header line,
 *
 *	cribox-record <format version> <kind> <boot id> <length> <crc32c>\n
 *
 * then the payload (JSON, mostly). The checksum (8 hex digits) is over the header line up to
 * and without itself, and the payload. Written under a temporary name and renamed: a reader
 * sees the old record or the new one. A damaged record costs one object, never its reader.
 */
#ifndef STORE_RECORD_H
#define STORE_RECORD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "os/proc.h"

enum {
	RECORD_VERSION = 1,
	RECORD_MAX = 32 << 20, /* bytes of payload */
	RECORD_KIND_MAX = 31   /* characters: [a-z0-9-] */
};

/*
 * Replaces the file dirfd/name (0600). With sync, it survives a power cut when this returns;
 * without, it survives the end of the process, and costs no disk flush. 0 or -1.
 */
int record_write(int dirfd, const char *name, const char *kind, const void *payload,
		 size_t n, bool sync, struct err *err);

/*
 * Appends the payload of dirfd/name to out; more than max bytes of it is ERR_EXHAUSTED. A
 * file that is missing is ERR_NOT_FOUND; one that is damaged, of another kind is
 * ERR_CORRUPT, one of a newer release ERR_UNIMPLEMENTED; the message names it. 0 or -1.
 */
int record_read(int dirfd, const char *name, const char *kind, size_t max,
		struct buf *out, struct err *err);

/* The same, and the id of the boot that wrote it ("-" if that could not be known). */
int record_read_boot(int dirfd, const char *name, const char *kind, size_t max,
		     struct buf *out, char ret_boot[PROC_BOOT_ID], struct err *err);

#endif
