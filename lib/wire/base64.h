/* base64: RFC 4648. */
#ifndef WIRE_BASE64_H
#define WIRE_BASE64_H

#include <stddef.h>

#include "base/buf.h"

/* Appends the n bytes in base64 (section 4), padded, without line breaks. */
void base64_encode(struct buf *out, const void *data, size_t n);

/*
 * Appends what n characters of base64 stand for. Both alphabets (sections 4 and 5) are
 * read, padding may be left out, white space is an error. Returns 0, or -1 if the text is
 * not base64; out is then as it was.
 */
int base64_decode(struct buf *out, const char *s, size_t n);

#endif
