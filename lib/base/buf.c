#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

void buf_done(struct buf *b)
{
	free(b->data);
	*b = (struct buf){0};
}

void buf_reset(struct buf *b)
{
	b->len = 0;
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
	size_t need, cap;

	if (__builtin_add_overflow(b->len, n, &need))
		err_oom(n);
	if (need > b->cap) {
		cap = b->cap ? b->cap : 64;
		while (cap < need)
			cap = cap > SIZE_MAX / 2 ? need : cap * 2;
		b->data = xrealloc(b->data, cap);
		b->cap = cap;
	}
	return b->data + b->len;
}

void buf_add(struct buf *b, const void *data, size_t n)
{
	if (!n)
		return;
	memcpy(buf_reserve(b, n), data, n);
	b->len += n;
}

void buf_add_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_add_char(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_add_vfmt(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf((char *)buf_reserve(b, 64), 64, fmt, ap);
	if (n >= 64)
		vsnprintf((char *)buf_reserve(b, (size_t)n + 1), (size_t)n + 1, fmt,
			  again);
	va_end(again);
	if (n > 0)
		b->len += (size_t)n;
}

void buf_add_fmt(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_add_vfmt(b, fmt, ap);
	va_end(ap);
}

void buf_add_be16(struct buf *b, uint16_t v)
{
	uint8_t bytes[2] = {(uint8_t)(v >> 8), (uint8_t)v};

	buf_add(b, bytes, sizeof(bytes));
}

void buf_add_be32(struct buf *b, uint32_t v)
{
	buf_add_be16(b, (uint16_t)(v >> 16));
	buf_add_be16(b, (uint16_t)v);
}

void buf_shift(struct buf *b, size_t n)
{
	if (!n)
		return;
	memmove(b->data, b->data + n, b->len - n);
	b->len -= n;
}

const char *buf_str(struct buf *b)
{
	*buf_reserve(b, 1) = 0;
	return (const char *)b->data;
}

char *buf_detach(struct buf *b)
{
	char *s;

	buf_str(b);
	s = (char *)b->data;
	*b = (struct buf){0};
	return s;
}
