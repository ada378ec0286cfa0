/*
 * buf: a growing byte buffer. {0} is an empty one. The owner frees it with
 * buf_done; growing never fails (out of memory ends the process).
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *data; /* NULL when cap is 0 */
	size_t len;
	size_t cap;
};

/* Frees the contents; the buffer is empty and usable again. */
void buf_done(struct buf *b);

/* Forgets the contents and keeps the memory. */
void buf_reset(struct buf *b);

/* Makes room for n more bytes. Returns the place where they go; len is unchanged. */
uint8_t *buf_reserve(struct buf *b, size_t n);

void buf_add(struct buf *b, const void *data, size_t n);
void buf_add_str(struct buf *b, const char *s);
void buf_add_char(struct buf *b, char c);
void buf_add_fmt(struct buf *b, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void buf_add_vfmt(struct buf *b, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));

/* Adds a big-endian integer. */
void buf_add_be16(struct buf *b, uint16_t v);
void buf_add_be32(struct buf *b, uint32_t v);

/* Drops the first n bytes (n <= len) and moves the rest down. */
void buf_shift(struct buf *b, size_t n);

/*
 * The contents as a C string, owned by the buffer; a NUL is put behind len
 * without being counted. Never NULL.
 */
const char *buf_str(struct buf *b);

/* Gives the contents away as a malloc'ed C string and leaves the buffer empty. */
char *buf_detach(struct buf *b);

/* Scope cleanup: `BUF_AUTO b = {0};` */
#define BUF_AUTO __attribute__((cleanup(buf_done))) struct buf

#endif
