/*
 * logger: a container's output in the CRI log format
 * (kubernetes/design-proposals: "TIME STREAM TAG CONTENT"), one per container.
 */
#ifndef SHIM_LOGGER_H
#define SHIM_LOGGER_H

#include "base/buf.h"
#include "base/err.h"

enum { LOGGER_MAX_LINE = 16384 };

struct logger {
	char *base; /* the pod's log directory */
	char *path; /* absolute, below base; NULL: output is discarded */
	int fd;
};

/* One output stream of the container: what waits for its line's end. */
struct logger_stream {
	const char *name; /* "stdout" or "stderr" */
	struct buf line;
};

/*
 * Opens (creates, appends) the file; parents are made. path may be "" (no
 * log). Below base no symlink is followed (R18).
 */
int logger_open(struct logger *g, const char *base, const char *path, struct err *err);

/* Opens the path again after somebody renamed the file. The old one is kept on failure. */
int logger_reopen(struct logger *g, struct err *err);

/* Takes n bytes of output. Lines that are complete are written with one write. */
void logger_add(struct logger *g, struct logger_stream *s, const char *data, size_t n);

/* The end of a stream: writes what waits as a partial line. */
void logger_end(struct logger *g, struct logger_stream *s);

void logger_done(struct logger *g);

#endif
