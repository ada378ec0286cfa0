#include "unit.h"

/* The C library's, as the linker would call them. */
static void *libc_malloc(size_t n)
{
	return malloc(n);
}

static void *libc_calloc(size_t n, size_t size)
{
	/* the sanitizer's ends the process instead */
	return n > SIZE_MAX / size ? NULL : calloc(n, size);
}

static void *libc_realloc(void *p, size_t n)
{
	return realloc(p, n);
}

static void libc_free(void *p)
{
	free(p);
}

#define __real_malloc libc_malloc
#define __real_calloc libc_calloc
#define __real_realloc libc_realloc
#define __real_free libc_free
#include "../../../applets/heap.c"

static bool filled(const uint8_t *p, uint8_t with, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != with)
			return false;
	return true;
}

TEST(the_c_librarys_before)
{
	void *p = __wrap_malloc(10);

	CHECK(!ours(p));
	heap_brief();
	p = __wrap_realloc(p, 20); /* stays where it is from */
	CHECK(p && !ours(p));
	__wrap_free(p);
}

TEST(one_after_the_other)
{
	uint8_t *a, *b, *c;

	heap_brief();
	a = __wrap_malloc(1);
	b = __wrap_malloc(17);
	CHECK(ours(a) && ours(b));
	CHECK_INT((uintptr_t)a % ALIGN, 0);
	CHECK_INT(b - a, 2 * ALIGN);
	__wrap_free(b);
	c = __wrap_malloc(40);
	CHECK(c == b); /* the last one is used again, */
	__wrap_free(a);
	CHECK(__wrap_malloc(1) != a); /* one before it is not */
	__wrap_free(NULL);
}

TEST(the_last_one_grows_and_shrinks)
{
	uint8_t *a, *b;

	heap_brief();
	a = __wrap_malloc(100);
	memset(a, 1, 100);
	CHECK(__wrap_realloc(a, 5000) == a);
	CHECK(__wrap_realloc(a, 50) == a);
	b = __wrap_malloc(8);
	CHECK_INT(b - a, 64 + ALIGN);
	memset(b, 2, 8);
	CHECK(__wrap_realloc(a, 60) == a); /* it fits where it is */
	a = __wrap_realloc(a, 200);
	CHECK(a > b);
	CHECK(filled(a, 1, 50));
	CHECK(filled(b, 2, 8));
}

TEST(cleared_what_was_used)
{
	uint8_t *a;

	heap_brief();
	a = __wrap_malloc(300);
	memset(a, 0xff, 300);
	__wrap_free(a);
	CHECK(__wrap_calloc(3, 100) == a);
	CHECK(filled(a, 0, 300));
	CHECK(__wrap_calloc(SIZE_MAX / 2 + 1, 2) == NULL);
}

TEST(full)
{
	uint8_t *last = NULL, *p;
	size_t n = 0;

	heap_brief();
	while ((p = __wrap_malloc(1000)), ours(p)) {
		memset(p, 3, 1000);
		CHECK(p > last);
		last = p;
		n++;
		CHECK(n <= HEAP / 1000);
	}
	CHECK(n > 0);
	memset(p, 4, 1000); /* the C library's */
	__wrap_free(p);
	p = __wrap_realloc(last, HEAP); /* out of the piece, with what it held */
	CHECK(p && !ours(p) && filled(p, 3, 1000));
	__wrap_free(p);
	CHECK(__wrap_malloc(1000) == last);
}
