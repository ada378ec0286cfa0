/* time: clocks, and times as text. */
#ifndef BASE_TIME_H
#define BASE_TIME_H

#include <stddef.h>
#include <stdint.h>

#define NS_PER_SEC INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)

/* Nanoseconds of CLOCK_BOOTTIME: for every timeout and deadline. */
int64_t time_mono(void);

/* Nanoseconds since 1970 (CLOCK_REALTIME): only for what people read. */
int64_t time_real(void);

/*
 * RFC 3339 in UTC with nine digits of fraction, as Go's RFC3339Nano without
 * cutting zeros: "2026-11-21T07:13:00.123456789Z" (30 bytes and a NUL).
 */
enum { TIME_TEXT = 32 };
void time_format(char dst[TIME_TEXT], int64_t ns);

/* Parses RFC 3339 (Z or offset, 0 to 9 digits of fraction). Returns 0 or -1. */
int time_parse(const char *s, int64_t *ret_ns);

#endif
