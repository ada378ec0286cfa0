/*
 * grpc: the text forms and the message prefix of gRPC over HTTP/2
 * (grpc/doc/PROTOCOL-HTTP2.md).
 */
#ifndef WIRE_GRPC_H
#define WIRE_GRPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* "Length-Prefixed-Message": one byte of flags, four of length, then the message. */
enum { GRPC_PREFIX = 5, GRPC_COMPRESSED = 1 };

void grpc_prefix_put(struct buf *out, size_t len);

/* "Status-Message": percent-encodes all but printable ASCII, and '%'. */
void grpc_message_encode(struct buf *out, const char *s);

/* The reverse; a '%' that begins no code is kept as it is. */
void grpc_message_decode(struct buf *out, const char *s, size_t n);

/*
 * "Timeout": 1 to 8 digits and a unit of H M S m u n. Nanoseconds, at least 1.
 * Returns 0, or -1 if it is not that.
 */
int grpc_timeout_parse(const char *s, size_t n, int64_t *ret_ns);

/* The shortest unit that holds ns (> 0), rounded up. */
enum { GRPC_TIMEOUT_TEXT = 24 };
void grpc_timeout_format(char dst[GRPC_TIMEOUT_TEXT], int64_t ns);

/* True for "application/grpc", also with "+format" or ";parameters" behind it. */
bool grpc_content_type(const char *s, size_t n);

#endif
