/* applet: the table of what this binary can be. */
#ifndef APPLETS_APPLET_H
#define APPLETS_APPLET_H

#include <stdbool.h>

#include "base/err.h"

/*
 * One per applet, const, at the end of applets/<name>/<name>.c.
 *
 * run gets the arguments with argv[0] = the name that the user typed, and
 * returns the exit status; or -1 with *err set, which main prints once as
 * "cribox NAME: message" with exit status 1 (ERR_INVALID from the argument
 * parser included).
 */
struct applet {
	/* in here, not elsewhere: each start of the binary looks through all of them */
	char name[20];
	char alias[36];	     /* other names, separated by blanks */
	const char *purpose; /* one line; NULL: an internal role, not listed */
	const char *usage; /* what follows the "usage: " line and purpose; may be NULL */
	const char *synopsis; /* arguments for the usage line */
	int (*run)(int argc, char **argv, struct err *err);
	bool brief; /* lives for milliseconds, as a rule: its memory is heap.h's */
};

#endif
