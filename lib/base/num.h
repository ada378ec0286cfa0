/* num: strict parsing of numbers, and bounds. */
#ifndef BASE_NUM_H
#define BASE_NUM_H

#include <stdint.h>

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/*
 * The whole of s as a decimal number: digits only (num_i64: one '-' before),
 * no white space, no '+', no empty string, between min and max inclusive.
 * Returns 0, or -1 if s is not that.
 */
int num_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret);
int num_i64(const char *s, int64_t min, int64_t max, int64_t *ret);

/* The same for octal digits ("0644", "644"), e.g. a file mode. */
int num_octal(const char *s, uint64_t max, uint64_t *ret);

/*
 * A duration as operators and Go write it: "10", "10s" (seconds), "1.5h",
 * "300ms", "1m30s". Nanoseconds. Returns 0 or -1.
 */
int num_duration(const char *s, int64_t *ret_ns);

/* A size with an optional suffix k, m, g, t (1024; Ki, KB, kB, KiB alike). Bytes. */
int num_size(const char *s, uint64_t *ret);

static inline uint16_t get_be16(const void *p)
{
	const uint8_t *b = p;
	return (uint16_t)(b[0] << 8 | b[1]);
}

static inline uint32_t get_be32(const void *p)
{
	const uint8_t *b = p;
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static inline uint64_t get_be64(const void *p)
{
	return (uint64_t)get_be32(p) << 32 | get_be32((const uint8_t *)p + 4);
}

static inline uint16_t get_le16(const void *p)
{
	const uint8_t *b = p;
	return (uint16_t)(b[1] << 8 | b[0]);
}

static inline uint32_t get_le32(const void *p)
{
	const uint8_t *b = p;
	return (uint32_t)b[3] << 24 | (uint32_t)b[2] << 16 | (uint32_t)b[1] << 8 | b[0];
}

static inline uint64_t get_le64(const void *p)
{
	return (uint64_t)get_le32((const uint8_t *)p + 4) << 32 | get_le32(p);
}

static inline void put_be16(void *p, uint16_t v)
{
	uint8_t *b = p;
	b[0] = (uint8_t)(v >> 8);
	b[1] = (uint8_t)v;
}

static inline void put_be32(void *p, uint32_t v)
{
	put_be16(p, (uint16_t)(v >> 16));
	put_be16((uint8_t *)p + 2, (uint16_t)v);
}

static inline void put_be64(void *p, uint64_t v)
{
	put_be32(p, (uint32_t)(v >> 32));
	put_be32((uint8_t *)p + 4, (uint32_t)v);
}

static inline void put_le32(void *p, uint32_t v)
{
	uint8_t *b = p;
	b[0] = (uint8_t)v;
	b[1] = (uint8_t)(v >> 8);
	b[2] = (uint8_t)(v >> 16);
	b[3] = (uint8_t)(v >> 24);
}

/* CRC-32C (Castagnoli, RFC 3720 B.4) of n bytes; start with crc 0. */
uint32_t num_crc32c(uint32_t crc, const void *data, uint64_t n);

#endif
