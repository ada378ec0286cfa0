/*
 * arena: memory that is freed as a whole, one per request or command. {0} is
 * an empty arena. Allocation never fails (out of memory ends the process).
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

struct arena_chunk;

struct arena {
	struct arena_chunk *chunks; /* newest first */
	size_t used;		    /* bytes used in the newest chunk */
	size_t total;		    /* bytes of all chunks: a measure for limits */
};

/* Frees everything; the arena is empty and usable again. */
void arena_done(struct arena *a);

/* Zeroed memory, aligned for any type. */
void *arena_alloc(struct arena *a, size_t size);

/* Zeroed array; a product that overflows ends the process like out of memory. */
void *arena_array(struct arena *a, size_t n, size_t size);

void *arena_memdup(struct arena *a, const void *p, size_t size);
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t max);
char *arena_fmt(struct arena *a, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Scope cleanup: `ARENA_AUTO a = {0};` */
#define ARENA_AUTO __attribute__((cleanup(arena_done))) struct arena

#endif
