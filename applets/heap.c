/*
 * heap: memory of processes that live for milliseconds. The C library's allocator keeps sizes on
 * pages of their own and gives pages back at once, which is right for daemons and half of what a
 * short command does. Here memory comes one after the other out of one piece; what was asked for
 * last can be given back, grow, and be used again, the rest goes with the process. There are no
 * lists that a stray write could bend. When the piece is full, the C library goes on.
 *
 * The linker puts these in the place of malloc and its kin (ld --wrap).
 */
#include "heap.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

enum { HEAP = 256 << 10, ALIGN = 16 };

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void __wrap_free(void *p);

/* In front of each block. */
struct block {
	_Alignas(ALIGN) size_t size; /* a multiple of ALIGN, without this */
};

static _Alignas(ALIGN) uint8_t heap[HEAP];
static size_t used;
static bool on;

void heap_brief(void)
{
	on = true;
}

static bool ours(const void *p)
{
	return (uintptr_t)p - (uintptr_t)heap < HEAP;
}

static struct block *block_of(void *p)
{
	return (struct block *)p - 1;
}

static bool is_last(const struct block *b)
{
	return (const uint8_t *)(b + 1) + b->size == heap + used;
}

/* Makes block b, the last one or a new one at the end, so large; false: there is no room. */
static bool fit(struct block *b, size_t n)
{
	size_t at = (size_t)((uint8_t *)(b + 1) - heap);

	if (at > HEAP || n > HEAP - at)
		return false;
	b->size = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	used = at + b->size;
	return true;
}

void *__wrap_malloc(size_t n)
{
	struct block *b = (struct block *)(void *)(heap + used);

	return on && fit(b, n) ? b + 1 : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	size_t all;
	void *p;

	if (!on || __builtin_mul_overflow(n, size, &all))
		return __real_calloc(n, size); /* which says ENOMEM */
	p = __wrap_malloc(all);
	return p ? memset(p, 0, all) : NULL;
}

void *__wrap_realloc(void *p, size_t n)
{
	struct block *b;
	void *to;

	if (!p)
		return __wrap_malloc(n);
	if (!ours(p))
		return __real_realloc(p, n);
	b = block_of(p);
	if (is_last(b) ? fit(b, n) : n <= b->size)
		return p;
	to = __wrap_malloc(n);
	if (to) {
		memcpy(to, p, MIN(n, b->size));
		__wrap_free(p);
	}
	return to;
}

void __wrap_free(void *p)
{
	if (!ours(p))
		__real_free(p);
	else if (is_last(block_of(p)))
		used = (size_t)((uint8_t *)block_of(p) - heap);
}
