#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "wire/yaml-int.h"

static const struct {
	const char *text;
	enum yaml_kind kind;
	bool boolean;
} words[] = {
	{"", YAML_KIND_NULL, false},	  {"~", YAML_KIND_NULL, false},
	{"null", YAML_KIND_NULL, false},  {"Null", YAML_KIND_NULL, false},
	{"NULL", YAML_KIND_NULL, false},  {"y", YAML_KIND_BOOL, true},
	{"Y", YAML_KIND_BOOL, true},	  {"yes", YAML_KIND_BOOL, true},
	{"Yes", YAML_KIND_BOOL, true},	  {"YES", YAML_KIND_BOOL, true},
	{"true", YAML_KIND_BOOL, true},	  {"True", YAML_KIND_BOOL, true},
	{"TRUE", YAML_KIND_BOOL, true},	  {"on", YAML_KIND_BOOL, true},
	{"On", YAML_KIND_BOOL, true},	  {"ON", YAML_KIND_BOOL, true},
	{"n", YAML_KIND_BOOL, false},	  {"N", YAML_KIND_BOOL, false},
	{"no", YAML_KIND_BOOL, false},	  {"No", YAML_KIND_BOOL, false},
	{"NO", YAML_KIND_BOOL, false},	  {"false", YAML_KIND_BOOL, false},
	{"False", YAML_KIND_BOOL, false}, {"FALSE", YAML_KIND_BOOL, false},
	{"off", YAML_KIND_BOOL, false},	  {"Off", YAML_KIND_BOOL, false},
	{"OFF", YAML_KIND_BOOL, false},	  {".nan", YAML_KIND_NAN, false},
	{".NaN", YAML_KIND_NAN, false},	  {".NAN", YAML_KIND_NAN, false},
	{".inf", YAML_KIND_NAN, false},	  {".Inf", YAML_KIND_NAN, false},
	{".INF", YAML_KIND_NAN, false},	  {"+.inf", YAML_KIND_NAN, false},
	{"+.Inf", YAML_KIND_NAN, false},  {"+.INF", YAML_KIND_NAN, false},
	{"-.inf", YAML_KIND_NAN, false},  {"-.Inf", YAML_KIND_NAN, false},
	{"-.INF", YAML_KIND_NAN, false},  {"<<", YAML_KIND_MERGE, false},
};

/* Digits of a base; *p moves behind them. -1 if there are none or the value is too large. */
static int digits(const char **p, unsigned base, uint64_t *ret)
{
	const char *start = *p;
	uint64_t v = 0;

	for (;; (*p)++) {
		unsigned d = (unsigned char)**p;

		if (d >= '0' && d <= '9')
			d -= '0';
		else if ((d | 32) >= 'a' && (d | 32) <= 'f')
			d = (d | 32) - 'a' + 10;
		else
			break;
		if (d >= base)
			break;
		if (v > (UINT64_MAX - d) / base)
			return -1;
		v = v * base + d;
	}
	if (*p == start)
		return -1;
	*ret = v;
	return 0;
}

/* Integers as Go's ParseInt with base 0 reads them, underscores already gone. */
static bool is_int(const char *s, struct yaml_scalar *ret)
{
	bool negative = *s == '-';
	unsigned base = 10;
	uint64_t v;

	if (*s == '-' || *s == '+')
		s++;
	if (s[0] == '0' && (s[1] | 32) == 'x')
		base = 16;
	else if (s[0] == '0' && (s[1] | 32) == 'o')
		base = 8;
	else if (s[0] == '0' && (s[1] | 32) == 'b')
		base = 2;
	if (base != 10)
		s += 2;
	else if (s[0] == '0' && s[1])
		base = 8;
	if (digits(&s, base, &v) < 0 || *s)
		return false;
	if (!negative) {
		ret->kind = v > INT64_MAX ? YAML_KIND_UINT : YAML_KIND_INT;
		ret->u = v;
		ret->i = (int64_t)v;
		return true;
	}
	if (v > (uint64_t)INT64_MAX + 1)
		return false;
	ret->kind = YAML_KIND_INT;
	ret->i = (int64_t)-v;
	return true;
}

static size_t skip_digits(const char **p)
{
	size_t n = strspn(*p, "0123456789");

	*p += n;
	return n;
}

/* [-+]? ( .D+ | D+ (.D*)? ) ([eE][-+]?D+)? */
static bool is_float(const char *s, double *ret)
{
	const char *p = s;
	size_t whole;

	if (*p == '-' || *p == '+')
		p++;
	whole = skip_digits(&p);
	if (*p == '.') {
		p++;
		if (!skip_digits(&p) && !whole)
			return false;
	} else if (!whole) {
		return false;
	}
	if ((*p | 32) == 'e') {
		p++;
		if (*p == '-' || *p == '+')
			p++;
		if (!skip_digits(&p))
			return false;
	}
	*ret = strtod(s, NULL);
	return !*p && isfinite(*ret);
}

/* One or two digits up to max, then one of the characters of `ends` (NUL is one). */
static bool take(const char **p, unsigned min, unsigned max, const char *ends)
{
	unsigned v = 0;
	const char *start = *p;

	while (**p >= '0' && **p <= '9' && *p - start < 2)
		v = v * 10 + (unsigned)(*(*p)++ - '0');
	if (*p == start || v < min || v > max || !strchr(ends, **p))
		return false;
	if (**p)
		(*p)++;
	return true;
}

/* A date, with or without a time: unquoted it would be read as one. */
static bool is_time(const char *s)
{
	bool zone;

	if (strspn(s, "0123456789") != 4 || s[4] != '-')
		return false;
	s += 5;
	if (!take(&s, 1, 12, "-") || !take(&s, 1, 31, "Tt "))
		return false;
	if (!*s)
		return s[-1] >= '0' && s[-1] <= '9';
	zone = s[-1] != ' ';
	if (!take(&s, 0, 23, ":") || !take(&s, 0, 59, ":") || !take(&s, 0, 59, ".Zz+-"))
		return false;
	if (s[-1] == '.' && !skip_digits(&s))
		return false;
	if (!zone)
		return !*s;
	/* loosely: to quote one string too many does no harm */
	return true;
}

void yaml_resolve(const char *s, struct yaml_scalar *ret)
{
	char plain[64];
	size_t n = 0;

	*ret = (struct yaml_scalar){.kind = YAML_KIND_STR};
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_eq(s, words[i].text)) {
			ret->kind = words[i].kind;
			ret->boolean = words[i].boolean;
			return;
		}
	if (!strchr("+-.0123456789", *s) || strlen(s) >= sizeof(plain))
		return;
	if (is_time(s)) {
		ret->kind = YAML_KIND_TIME;
		return;
	}
	/* underscores only structure numbers that do not begin with the point */
	for (bool point = *s == '.'; *s; s++)
		if (point || *s != '_')
			plain[n++] = *s;
	plain[n] = 0;
	if (!is_int(plain, ret) && is_float(plain, &ret->real))
		ret->kind = YAML_KIND_REAL;
}
