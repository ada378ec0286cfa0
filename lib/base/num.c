#include "base/num.h"

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

static int parse(const char *s, unsigned base, uint64_t *ret)
{
	uint64_t v = 0;

	if (!*s)
		return -1;
	for (; *s; s++) {
		unsigned d = (unsigned)(*s - '0');

		if (*s < '0' || d >= base || __builtin_mul_overflow(v, base, &v) ||
		    __builtin_add_overflow(v, d, &v))
			return -1;
	}
	*ret = v;
	return 0;
}

int num_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t v;

	if (parse(s, 10, &v) < 0 || v < min || v > max)
		return -1;
	*ret = v;
	return 0;
}

int num_i64(const char *s, int64_t min, int64_t max, int64_t *ret)
{
	bool negative = *s == '-';
	uint64_t v;
	int64_t n;

	if (parse(s + negative, 10, &v) < 0 || v > (uint64_t)INT64_MAX + negative)
		return -1;
	n = negative ? (int64_t)(0 - v) : (int64_t)v;
	if (n < min || n > max)
		return -1;
	*ret = n;
	return 0;
}

int num_octal(const char *s, uint64_t max, uint64_t *ret)
{
	uint64_t v;

	if (parse(s, 8, &v) < 0 || v > max)
		return -1;
	*ret = v;
	return 0;
}

/* Reads "12.5" at *s as millionths. */
static int decimal(const char **s, int64_t *ret_micro)
{
	int64_t v = 0, unit = 1000000;
	bool any = false;

	for (; **s >= '0' && **s <= '9'; ++*s, any = true)
		if (v > INT64_C(100000000000) || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (**s - '0'), &v))
			return -1;
	v *= 1000000;
	if (**s == '.')
		for (++*s; **s >= '0' && **s <= '9'; ++*s, any = true) {
			unit /= 10;
			v += (**s - '0') * unit;
		}
	*ret_micro = v;
	return any ? 0 : -1;
}

int num_duration(const char *s, int64_t *ret_ns)
{
	static const struct {
		const char *name;
		int64_t ns;
	} units[] = {{"ns", 1},
		     {"us", 1000},
		     {"ms", 1000000},
		     {"s", 1000000000},
		     {"m", 60 * 1000000000LL},
		     {"h", 3600 * 1000000000LL}};
	int64_t total = 0, micro, part;

	if (!*s)
		return -1;
	while (*s) {
		size_t u = 0, len = 0;

		if (decimal(&s, &micro) < 0)
			return -1;
		while (s[len] >= 'a' && s[len] <= 'z')
			len++;
		if (!len && !*s && !total)
			u = 3;
		else
			while (u < ARRAY_LEN(units) &&
			       (strlen(units[u].name) != len ||
				strncmp(units[u].name, s, len) != 0))
				u++;
		if (u == ARRAY_LEN(units))
			return -1;
		s += len;
		/* micro is millionths of the unit: divide before it overflows */
		if (units[u].ns >= 1000000) {
			if (__builtin_mul_overflow(micro, units[u].ns / 1000000, &part))
				return -1;
		} else {
			part = micro / (1000000 / units[u].ns);
		}
		if (__builtin_add_overflow(total, part, &total))
			return -1;
	}
	*ret_ns = total;
	return 0;
}

int num_size(const char *s, uint64_t *ret)
{
	static const char suffixes[] = "kmgt";
	char digits[24];
	size_t n = strspn(s, "0123456789");
	const char *at;
	uint64_t v;

	if (n >= sizeof(digits))
		return -1;
	memcpy(digits, s, n);
	digits[n] = 0;
	if (parse(digits, 10, &v) < 0)
		return -1;
	s += n;
	if (*s && (at = strchr(suffixes, *s | 0x20))) {
		s++;
		for (const char *p = suffixes; p <= at; p++)
			if (__builtin_mul_overflow(v, 1024, &v))
				return -1;
		if (*s == 'i')
			s++;
	}
	if (*s == 'B' || *s == 'b')
		s++;
	if (*s)
		return -1;
	*ret = v;
	return 0;
}

uint32_t num_crc32c(uint32_t crc, const void *data, uint64_t n)
{
	const uint8_t *p = data;

	crc = ~crc;
	while (n--) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (0x82f63b78U & (0U - (crc & 1)));
	}
	return ~crc;
}
