/* str: small helpers for C strings. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

static inline bool str_eq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);

/* True for NULL and "". */
static inline bool str_empty(const char *s)
{
	return !s || !*s;
}

/* s, or "" for NULL. */
static inline const char *str_or_empty(const char *s)
{
	return s ? s : "";
}

/*
 * Copies into a fixed array and always ends it with NUL.
 * Returns 0, or -1 if it was cut.
 */
int str_copy(char *dst, size_t size, const char *src);

/* Edit distance (Levenshtein) of two short strings, for "did you mean". */
unsigned str_distance(const char *a, const char *b);

/* Lower-case hexadecimal of n bytes into dst (2 * n + 1 bytes). */
void str_hex(char *dst, const void *data, size_t n);

/* The reverse: 2 * n lower-case digits into n bytes. Returns 0, or -1 if they are not that. */
int str_unhex(void *dst, size_t n, const char *hex);

/*
 * Appends s to the buffer with control characters, ESC, C1 and invalid UTF-8
 * as \xNN, so that what is printed cannot control a terminal.
 */
struct buf;
void str_escape(struct buf *b, const char *s, size_t n);

/* True if the n bytes are valid UTF-8 (RFC 3629). */
bool str_is_utf8(const char *s, size_t n);

/* free() as scope cleanup: `STR_AUTO s = xasprintf(...)` */
void str_cleanup(char **s);
#define STR_AUTO __attribute__((cleanup(str_cleanup))) char *

#endif
