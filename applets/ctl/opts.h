/*
 * opts: the options of a command, from one table that drives parsing and help. Forms as
 * with crictl: -o json, -ojson, -o=json, --output json, --output=json, -output json, and
 * short options without a value in one word (-it).
 */
#ifndef CTL_OPTS_H
#define CTL_OPTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum opt_type {
	OPT_FLAG,     /* no value, or =true, =false */
	OPT_TEXT,     /* the last one counts */
	OPT_LIST,     /* text, any number of times */
	OPT_INT,      /* a decimal number */
	OPT_DURATION, /* 10, 10s, 1m30s: kept as nanoseconds */
};

struct opt {
	char letter; /* 0: none */
	const char *name;
	const char *alias; /* another long name, or NULL */
	enum opt_type type;
	const char *value; /* what the help calls the value; NULL for a flag */
	const char *help;  /* a few words */
	const char *env;   /* variable that is used when it is not given, or NULL */
};

enum { OPTS_MAX = 32 };

struct opt_value {
	bool set;
	bool flag;
	int64_t num;
	const char *text;  /* of the last one */
	const char **list; /* NULL at the end */
	unsigned n;
};

/* A parsed command line; everything lives in the arena or in argv. */
struct opts {
	const struct opt *table; /* ends with name NULL */
	struct opt_value values[OPTS_MAX];
	char **argv; /* what is not an option */
	int argc;
};

/*
 * Parses argv[0..argc-1] (no program name). With `ordered`, options end at the first
 * argument that is none; else they may stand anywhere before "--". ERR_INVALID names the
 * option.
 */
int opts_parse(struct opts *o, const struct opt *table, bool ordered, int argc,
	       char **argv, struct arena *a, struct err *err);

/* By long name, which the table must have. A text that is not set is NULL. */
const struct opt_value *opts_get(const struct opts *o, const char *name);
bool opts_flag(const struct opts *o, const char *name);
const char *opts_text(const struct opts *o, const char *name);
int64_t opts_num(const struct opts *o, const char *name, int64_t def);

/* Appends one line of help per option. */
void opts_help(const struct opt *table, struct buf *out);

#endif
