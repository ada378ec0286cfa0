#include "base/arena.h"

#include <stdarg.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

enum { CHUNK = 4000 };

struct arena_chunk {
	struct arena_chunk *next;
	size_t size; /* of mem */
	alignas(max_align_t) unsigned char mem[];
};

void arena_done(struct arena *a)
{
	struct arena_chunk *c, *next;

	for (c = a->chunks; c; c = next) {
		next = c->next;
		free(c);
	}
	*a = (struct arena){0};
}

static void *chunk_new(struct arena *a, size_t size)
{
	struct arena_chunk *c;
	size_t all;

	if (__builtin_add_overflow(sizeof(*c), size, &all))
		err_oom(size);
	c = xcalloc(1, all);
	c->size = size;
	a->total += size;
	/* a big one goes behind the newest, which still has room for small ones */
	if (size > CHUNK && a->chunks) {
		c->next = a->chunks->next;
		a->chunks->next = c;
	} else {
		c->next = a->chunks;
		a->chunks = c;
		a->used = size;
	}
	return c->mem;
}

void *arena_alloc(struct arena *a, size_t size)
{
	const size_t align = alignof(max_align_t);
	struct arena_chunk *c = a->chunks;
	size_t at;
	void *p;

	if (size > SIZE_MAX - align)
		err_oom(size);
	size = (size + align - 1) / align * align;
	if (c && a->used <= c->size && size <= c->size - a->used) {
		at = a->used;
		a->used += size;
		return c->mem + at;
	}
	if (size > CHUNK)
		return chunk_new(a, size);
	p = chunk_new(a, CHUNK);
	a->used = size;
	return p;
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
	size_t all;

	if (__builtin_mul_overflow(n, size, &all))
		err_oom(n);
	return arena_alloc(a, all);
}

void *arena_memdup(struct arena *a, const void *p, size_t size)
{
	void *copy = arena_alloc(a, size);

	if (size)
		memcpy(copy, p, size);
	return copy;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_memdup(a, s, strlen(s) + 1);
}

char *arena_strndup(struct arena *a, const char *s, size_t max)
{
	size_t n = strnlen(s, max);
	char *copy = arena_alloc(a, n + 1);

	memcpy(copy, s, n);
	return copy;
}

char *arena_fmt(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;
	char *s;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	s = arena_alloc(a, n < 0 ? 1 : (size_t)n + 1);
	if (n > 0)
		vsnprintf(s, (size_t)n + 1, fmt, again);
	va_end(again);
	return s;
}
