/*
 * opts: the options of a command. Their help is the table that is parsed: one text serves
 * both, and costs no relocation (each one costs every process private memory). A line of it
 *
 *	"  -o, --output FORMAT         table (default), json or yaml\n"
 *	"      --pull-timeout, --pt TIME  how long (CRICTL_PULL_TIMEOUT)\n"
 *
 * has an optional letter, one or two long names, what stands for the value, and after at
 * least two blanks the help, which may name an environment variable in brackets. The value
 * says the type: none is a flag; N and SECONDS are numbers; TIME is a duration (10s, 1m30s);
 * KEY=VALUE, FILTER, TAG and OPTIONS may be given any number of times; [TEXT] may be left
 * out, and is in the same word if it is there; all else is text. Lines that do not begin with
 * a dash only go on with the one before.
 *
 * Forms as with crictl: -o json, -ojson, -o=json, --output json, --output=json, -output
 * json, and short options without a value in one word (-it).
 */
#ifndef CTL_OPTS_H
#define CTL_OPTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

enum { OPTS_MAX = 32 };

struct opt_value {
	bool set;
	bool flag;
	int64_t num;	   /* a duration: ns */
	const char *text;  /* of the last one */
	const char **list; /* NULL at the end */
	unsigned n;
};

struct opt;

/* A parsed command line; everything lives in the arena or in argv. */
struct opts {
	struct opt *table; /* n of them */
	unsigned n;
	struct opt_value values[OPTS_MAX];
	char **argv; /* what is not an option */
	int argc;
};

/*
 * Parses argv[0..argc-1] (no program name) by the lines of help (NULL: no options). With
 * `ordered`, options end at the first argument that is none; else they may stand anywhere
 * before "--". ERR_INVALID names the option.
 */
int opts_parse(struct opts *o, const char *help, bool ordered, int argc, char **argv,
	       struct arena *a, struct err *err);

/* By long name, which the table must have. A text that is not set is NULL. */
const struct opt_value *opts_get(const struct opts *o, const char *name);
bool opts_flag(const struct opts *o, const char *name);
const char *opts_text(const struct opts *o, const char *name);
int64_t opts_num(const struct opts *o, const char *name, int64_t def);

#endif
