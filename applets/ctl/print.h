/*
 * print: tables, times and sizes, JSON and YAML. Text is collected in ctl's buffer; what
 * came from elsewhere cannot control a terminal (control characters as \xNN or \uNNNN).
 */
#ifndef CTL_PRINT_H
#define CTL_PRINT_H

#include "ctl.h"

/* Formatted text of our own and, escaped, of others (every %s is escaped). */
void ctl_say(struct ctl *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Writes what was collected to standard output and empties the buffer. */
int ctl_flush(struct ctl *c, struct err *err);

/* Bytes of a process: as they are, but escaped (except tab and newline) if fd is a terminal. */
int ctl_write_bytes(int fd, const void *data, size_t n, struct err *err);

/* --- tables: columns at least 20 wide, three blanks between, the last one ragged --------- */

struct table {
	char **cells; /* rows * columns, owned */
	size_t n, cap;
	unsigned columns;
	unsigned min_width; /* 0: 20 */
};

/* Adds a cell (escaped); a row has as many as `columns`. */
void table_add(struct table *t, const char *text);
void table_add_head(struct table *t, const char *const *names);
void table_print(struct ctl *c, const struct table *t);
void table_done(struct table *t);
#define TABLE_AUTO __attribute__((cleanup(table_done))) struct table

/* --- words ------------------------------------------------------------------------------- */

enum { PRINT_SHORT = 64, PRINT_ID = 13 };

/* "2 minutes ago", as docker says it. */
void print_ago(char dst[PRINT_SHORT], int64_t ns);
/* A size in SI units with so many significant digits: "4.26MB". */
void print_size(char dst[PRINT_SHORT], uint64_t bytes, int digits);
/* RFC 3339 in the local zone, without trailing zeros; the zero time for 0. */
void print_time(char dst[PRINT_SHORT], int64_t ns);
/* The form of Go's time.String(). */
void print_time_go(char dst[PRINT_SHORT], int64_t ns);
/* An id without "sha256:" and, unless full, cut to 13 characters. In the arena. */
const char *print_id(struct ctl *c, const char *id, bool full);

/* "Labels:" and the like: a heading and a line per member, sorted. Nothing if empty. */
void print_map(struct ctl *c, const char *heading, yyjson_val *obj);
/* "Info: map[a:b]": Go's form of a map. */
void print_info(struct ctl *c, yyjson_val *info);

/* --- documents --------------------------------------------------------------------------- */

/* Whether the text of --output is json, yaml or table; "" and NULL are def. */
enum print_format { PRINT_JSON, PRINT_YAML, PRINT_TABLE };
int print_format_of(const char *text, enum print_format def, enum print_format *ret,
		    struct err *err);

/* A value as JSON (two blanks) or YAML. */
int print_doc(struct ctl *c, yyjson_val *v, enum print_format format, struct err *err);
int print_mut(struct ctl *c, yyjson_mut_val *v, enum print_format format,
	      struct err *err);

/* The same with the keys of all objects sorted. */
int print_sorted(struct ctl *c, yyjson_mut_val *v, enum print_format format,
		 struct err *err);

/*
 * What inspect prints of one object: "status" and the members of info, those that are JSON
 * objects parsed. ERR_INVALID if one only looks so.
 */
yyjson_mut_val *print_status(yyjson_mut_doc *d, yyjson_mut_val *status, yyjson_val *info,
			     struct err *err);

#endif
