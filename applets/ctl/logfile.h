/* logfile: the CRI's log format (and docker's JSON lines), read once or followed. */
#ifndef CTL_LOGFILE_H
#define CTL_LOGFILE_H

#include "ctl.h"

struct logfile_query {
	bool follow;
	bool timestamps;
	bool out, err;		       /* which streams */
	int64_t tail;		       /* lines of the file; negative: all */
	int64_t limit;		       /* bytes of output; negative: none */
	int64_t since;		       /* ns since 1970 */
	bool (*is_running)(void *arg); /* whether more may be written; for follow */
	void *arg;
};

/*
 * Prints the log: what went to stdout on standard output, the rest on standard error. A
 * line that is not a log's is skipped and said once. With follow, rotation and truncation
 * are noticed; it ends with the container, SIGINT or SIGTERM.
 */
int logfile_read(struct ctl *c, const char *path, const struct logfile_query *q,
		 struct err *err);

/* A line of a log, without its newline. */
struct logfile_line {
	int64_t time; /* ns since 1970 */
	bool to_err;
	bool partial; /* the next line of the stream goes on with it */
	const char *text;
	size_t len;
};

/*
 * Parses "2016-10-06T00:17:09.669794202Z stdout F text" (CRI, "Kubelet and container
 * logs") of n bytes; further tags behind ':' are ignored. Returns 0 or -1.
 */
int logfile_parse(const char *s, size_t n, struct logfile_line *ret);

#endif
