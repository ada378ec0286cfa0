/*
 * toml: reading TOML 1.0 configuration files: tables, arrays of tables,
 * dotted keys, arrays, inline tables, strings of all four kinds, integers and
 * booleans. Floats and dates are refused: no configuration of ours has any.
 * The tree lives in the caller's arena.
 */
#ifndef WIRE_TOML_H
#define WIRE_TOML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

enum { TOML_MAX = 1 << 20, TOML_MAX_DEPTH = 32 };

enum toml_type { TOML_TABLE, TOML_ARRAY, TOML_STRING, TOML_INT, TOML_BOOL };

struct toml {
	enum toml_type type;
	const char *key;	   /* "" for the root and for elements of arrays */
	unsigned line;		   /* where it was first named, from 1 */
	struct toml *next;	   /* sibling, in the order of the file */
	struct toml *first, *last; /* TOML_TABLE, TOML_ARRAY: children */
	const char *str;	   /* TOML_STRING: without NUL */
	int64_t num;		   /* TOML_INT */
	bool flag;		   /* TOML_BOOL */
	unsigned how;		   /* private: how a table was defined */
};

/* Parses n bytes of text. The root table, or NULL: "line N: KEY: why" (ERR_INVALID). */
struct toml *toml_parse(const void *text, size_t n, struct arena *a, struct err *err);

/* A child of a table by key; NULL if it is missing or t is NULL. */
struct toml *toml_get(const struct toml *t, const char *key);

/*
 * A child of the type that the caller wants: 1 and *ret set; 0 if it is
 * missing, *ret is untouched; -1 if it has another type: "line N: KEY must be
 * a string".
 */
int toml_get_str(const struct toml *t, const char *key, const char **ret,
		 struct err *err);
int toml_get_bool(const struct toml *t, const char *key, bool *ret, struct err *err);
int toml_get_int(const struct toml *t, const char *key, int64_t min, int64_t max,
		 int64_t *ret, struct err *err);
int toml_get_table(const struct toml *t, const char *key, const struct toml **ret,
		   struct err *err);
int toml_get_array(const struct toml *t, const char *key, const struct toml **ret,
		   struct err *err);

/* Fills err with "line N: KEY <fmt>" for a value that the caller refuses. Returns -1. */
int toml_bad(const struct toml *t, struct err *err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
