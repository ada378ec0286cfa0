#include "base/time.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

int64_t time_mono(void)
{
	return now(CLOCK_BOOTTIME);
}

int64_t time_real(void)
{
	return now(CLOCK_REALTIME);
}

void time_format(char dst[TIME_TEXT], int64_t ns)
{
	int64_t frac = ns % NS_PER_SEC;
	time_t sec;
	struct tm tm;
	char text[TIME_TEXT * 3];

	if (frac < 0)
		frac += NS_PER_SEC;
	sec = (time_t)((ns - frac) / NS_PER_SEC);
	gmtime_r(&sec, &tm);
	snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%09dZ",
		 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
		 tm.tm_sec, (int)frac);
	memcpy(dst, text, TIME_TEXT - 1);
	dst[TIME_TEXT - 1] = 0;
}

/* Reads n digits at *s. */
static int digits(const char **s, int n, int min, int max, int *ret)
{
	int v = 0;

	for (; n; n--, ++*s) {
		if (**s < '0' || **s > '9')
			return -1;
		v = v * 10 + (**s - '0');
	}
	*ret = v;
	return v >= min && v <= max ? 0 : -1;
}

static int expect(const char **s, const char *any)
{
	if (!**s || !strchr(any, **s))
		return -1;
	++*s;
	return 0;
}

static int parse_offset(const char *s, int64_t *ret_sec)
{
	int sign, h, m;

	*ret_sec = 0;
	if ((*s == 'Z' || *s == 'z') && !s[1])
		return 0;
	sign = *s == '-' ? -1 : 1;
	if (expect(&s, "+-") < 0 || digits(&s, 2, 0, 23, &h) < 0 || expect(&s, ":") < 0 ||
	    digits(&s, 2, 0, 59, &m) < 0 || *s)
		return -1;
	*ret_sec = sign * (h * 3600 + m * 60);
	return 0;
}

int time_parse(const char *s, int64_t *ret_ns)
{
	struct tm tm = {0};
	int64_t ns = 0, unit = NS_PER_SEC, offset, whole;
	int year, month;

	if (digits(&s, 4, 1, 9999, &year) < 0 || expect(&s, "-") < 0 ||
	    digits(&s, 2, 1, 12, &month) < 0 || expect(&s, "-") < 0 ||
	    digits(&s, 2, 1, 31, &tm.tm_mday) < 0 || expect(&s, "Tt ") < 0 ||
	    digits(&s, 2, 0, 23, &tm.tm_hour) < 0 || expect(&s, ":") < 0 ||
	    digits(&s, 2, 0, 59, &tm.tm_min) < 0 || expect(&s, ":") < 0 ||
	    digits(&s, 2, 0, 60, &tm.tm_sec) < 0)
		return -1;
	if (*s == '.') {
		if (s[1] < '0' || s[1] > '9')
			return -1;
		for (s++; *s >= '0' && *s <= '9'; s++) {
			unit /= 10;
			ns += (*s - '0') * unit;
		}
	}
	if (parse_offset(s, &offset) < 0)
		return -1;
	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	/* the count of nanoseconds ends in the year 2262 */
	if (__builtin_mul_overflow((int64_t)timegm(&tm) - offset, NS_PER_SEC, &whole) ||
	    __builtin_add_overflow(whole, ns, &whole))
		return -1;
	*ret_ns = whole;
	return 0;
}
