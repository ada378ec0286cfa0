/* tool: what the small tools of an operator share. */
#ifndef APPLETS_TOOL_H
#define APPLETS_TOOL_H

#include <stdint.h>

#include "applet.h"
#include "base/arena.h"
#include "ctl/opts.h"

/* One run of a tool. */
struct tool {
	const char *name; /* of the applet */
	struct arena arena;
	struct opts o;
	int status; /* to exit with */
};

/*
 * Parses the command line by the lines of the applet's usage (ctl/opts.h). More than max
 * arguments (-1: any number) or fewer than min are ERR_INVALID. 0 or -1.
 */
int tool_start(struct tool *t, const struct applet *a, int argc, char **argv, int min,
	       int max, struct err *err);

/* The same, for commands that run another one: options end at the first argument. */
int tool_start_ordered(struct tool *t, const struct applet *a, int argc, char **argv,
		       struct err *err);

/* "NAME: message" on standard error; the exit status becomes 1. */
void tool_complain(struct tool *t, const struct err *err);
void tool_warn(struct tool *t, int sys, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Flushes standard output and frees. The exit status, or -1 if output was lost. */
int tool_end(struct tool *t, struct err *err);

/* "512", "1.5K", "20G": at most 5 characters, of powers of 1024, rounded up as df does. */
enum { TOOL_SIZE = 16 };
const char *tool_size(char dst[TOOL_SIZE], uint64_t bytes);

/* A line of /proc/meminfo ("MemAvailable") in bytes; 0 if there is none. */
uint64_t tool_meminfo(const char *key);

/* Prints s; what could control a terminal becomes \xNN. */
void tool_print(const char *s);

/* The name of a user or group id in /etc/passwd or /etc/group, or the number. */
enum { TOOL_ID = 33 };
const char *tool_user(char dst[TOOL_ID], uint32_t uid);
const char *tool_group(char dst[TOOL_ID], uint32_t gid);

#endif
