/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The unit tests' frame. A file tests/unit/<module>/<name>.c becomes one program:
 *
 *	#include "unit.h"
 *
 *	TEST(parses_empty_input)
 *	{
 *		CHECK(parse("") == 0);
 *		CHECK_INT(parse("12"), 12);
 *		CHECK_STR(text, "twelve");
 *	}
 *
 * The frame brings main(), runs every TEST in the order of the file and prints one line each:
 * 'ok NAME', 'not ok NAME: FILE:LINE: why' or 'skip NAME: why'. A CHECK that fails, and SKIP,
 * end their TEST (by longjmp, so also from within a helper function). Arguments are evaluated
 * once.
 */
#ifndef CRIBOX_UNIT_H
#define CRIBOX_UNIT_H

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit_test {
	const char *name;
	void (*fn)(void);
	struct unit_test *next;
};

static struct unit_test *unit_first, **unit_last = &unit_first;
static const char *unit_name;
static jmp_buf unit_out;

static inline void unit_add(struct unit_test *t)
{
	*unit_last = t;
	unit_last = &t->next;
}

__attribute__((noreturn, format(printf, 2, 3))) static inline void unit_end(
	const char *how, const char *fmt, ...)
{
	va_list ap;

	printf("%s %s: ", how, unit_name);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	longjmp(unit_out, 1);
}

#define TEST(id)                                                            \
	static void test_##id(void);                                        \
	static struct unit_test unit_##id = {.name = #id, .fn = test_##id}; \
	__attribute__((constructor)) static void unit_add_##id(void)        \
	{                                                                   \
		unit_add(&unit_##id);                                       \
	}                                                                   \
	static void test_##id(void)

#define FAIL(...) unit_end("not ok", __VA_ARGS__)
#define SKIP(...) unit_end("skip", __VA_ARGS__)

/* A condition holds. */
#define CHECK(cond)                                                   \
	do {                                                          \
		if (!(cond))                                          \
			FAIL("%s:%d: %s", __FILE__, __LINE__, #cond); \
	} while (0)

/* Two integers (up to 64 bits, signed or not) are the same. */
#define CHECK_INT(a, b) unit_int((intmax_t)(a), (intmax_t)(b), #a, #b, __FILE__, __LINE__)

/* Two strings are the same; NULL equals only NULL. */
#define CHECK_STR(a, b) unit_str(a, b, #a, __FILE__, __LINE__)

/* A string contains another. */
#define CHECK_HAS(a, b) unit_has(a, b, #a, __FILE__, __LINE__)

/* Two stretches of N bytes are the same. */
#define CHECK_MEM(a, b, n) unit_mem(a, b, n, #a, __FILE__, __LINE__)

__attribute__((unused)) static void unit_int(intmax_t a, intmax_t b, const char *as,
					     const char *bs, const char *file, int line)
{
	if (a != b)
		FAIL("%s:%d: %s is %" PRIdMAX ", %s is %" PRIdMAX, file, line, as, a, bs,
		     b);
}

__attribute__((unused)) static void unit_str(const char *a, const char *b, const char *as,
					     const char *file, int line)
{
	if (a == b || (a && b && strcmp(a, b) == 0))
		return;
	FAIL("%s:%d: %s is '%s', not '%s'", file, line, as, a ? a : "(null)",
	     b ? b : "(null)");
}

__attribute__((unused)) static void unit_has(const char *a, const char *b, const char *as,
					     const char *file, int line)
{
	if (!a || !strstr(a, b))
		FAIL("%s:%d: %s is '%s', without '%s'", file, line, as, a ? a : "(null)",
		     b);
}

__attribute__((unused)) static void unit_mem(const void *a, const void *b, size_t n,
					     const char *as, const char *file, int line)
{
	const uint8_t *x = a, *y = b;

	for (size_t i = 0; i < n; i++)
		if (x[i] != y[i])
			FAIL("%s:%d: %s differs at byte %zu: %02x, not %02x", file, line,
			     as, i, x[i], y[i]);
}

static inline int unit_run(struct unit_test *t)
{
	unit_name = t->name;
	if (setjmp(unit_out))
		return 1;
	t->fn();
	printf("ok %s\n", t->name);
	return 0;
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (struct unit_test *t = unit_first; t; t = t->next)
		unit_run(t);
	return 0;
}

#endif
