/* text: what cgroup files say. Pure: any bytes give a value or "no". */
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "cgroup/cgroup-int.h"

bool text_line(const char **at, struct text_line *ret)
{
	const char *p = *at;

	while (*p == '\n')
		p++;
	if (!*p)
		return false;
	ret->n = 0;
	for (;;) {
		p += strspn(p, " \t");
		if (!*p || *p == '\n')
			break;
		if (ret->n < ARRAY_LEN(ret->word)) {
			ret->word[ret->n].s = p;
			ret->word[ret->n++].len = strcspn(p, " \t\n");
		}
		p += strcspn(p, " \t\n");
	}
	*at = p;
	return true;
}

bool text_is(const struct text_word *w, const char *s)
{
	return w->len == strlen(s) && memcmp(w->s, s, w->len) == 0;
}

/* The number of len digits. */
static bool digits(const char *s, size_t len, uint64_t max, uint64_t *ret)
{
	char text[24];

	if (!len || len >= sizeof(text))
		return false;
	memcpy(text, s, len);
	text[len] = 0;
	return num_u64(text, 0, max, ret) == 0;
}

bool text_u64(const struct text_word *w, uint64_t *ret)
{
	if (text_is(w, "max")) {
		*ret = UINT64_MAX;
		return true;
	}
	return digits(w->s, w->len, UINT64_MAX, ret);
}

bool text_device(const struct text_word *w, uint32_t *ret_major, uint32_t *ret_minor)
{
	const char *colon = memchr(w->s, ':', w->len);
	size_t n = colon ? (size_t)(colon - w->s) : 0;
	uint64_t major, minor;

	if (!colon || !digits(w->s, n, UINT32_MAX, &major) ||
	    !digits(colon + 1, w->len - n - 1, UINT32_MAX, &minor))
		return false;
	*ret_major = (uint32_t)major;
	*ret_minor = (uint32_t)minor;
	return true;
}

bool text_value(const struct text_word *w, const char *key, struct text_word *ret)
{
	size_t n = strlen(key);

	if (w->len <= n || memcmp(w->s, key, n) != 0 || w->s[n] != '=')
		return false;
	*ret = (struct text_word){w->s + n + 1, w->len - n - 1};
	return true;
}

/* "12.34" in hundredths. */
static bool hundredths(const struct text_word *w, uint32_t *ret)
{
	const char *dot = memchr(w->s, '.', w->len);
	uint64_t whole, part;

	if (!dot || (size_t)(w->s + w->len - dot) != 3 ||
	    !digits(w->s, (size_t)(dot - w->s), 1000000, &whole) ||
	    !digits(dot + 1, 2, 99, &part))
		return false;
	*ret = (uint32_t)(whole * 100 + part);
	return true;
}

void text_pressure(const char *text, struct cgroup_pressure *ret)
{
	struct cgroup_pressure p = {0};
	struct text_line l;

	while (text_line(&text, &l)) {
		struct cgroup_stall *s = NULL;
		struct text_word v[4];

		if (l.n < 5)
			continue;
		if (text_is(&l.word[0], "some"))
			s = &p.some;
		else if (text_is(&l.word[0], "full"))
			s = &p.full;
		if (s && text_value(&l.word[1], "avg10", &v[0]) &&
		    text_value(&l.word[2], "avg60", &v[1]) &&
		    text_value(&l.word[3], "avg300", &v[2]) &&
		    text_value(&l.word[4], "total", &v[3]) &&
		    hundredths(&v[0], &s->avg10) && hundredths(&v[1], &s->avg60) &&
		    hundredths(&v[2], &s->avg300) && text_u64(&v[3], &s->total))
			p.present = true;
	}
	*ret = p;
}

/* --- lists of cpus ------------------------------------------------------------------ */

/* One "A", "A-B" or "A-B:N/M" (cpuset(7), List format) at *p; moves behind it. */
static bool one_range(const char **p, uint64_t *ret_first, uint64_t *ret_last,
		      uint64_t *ret_used, uint64_t *ret_group)
{
	const char *s = *p + strspn(*p, " \t");
	size_t n = strspn(s, "0123456789");

	*ret_used = *ret_group = 1;
	if (!digits(s, n, CPUSET_MAX - 1, ret_first))
		return false;
	s += n;
	*ret_last = *ret_first;
	if (*s == '-') {
		n = strspn(++s, "0123456789");
		if (!digits(s, n, CPUSET_MAX - 1, ret_last) || *ret_last < *ret_first)
			return false;
		s += n;
		if (*s == ':') {
			n = strspn(++s, "0123456789");
			if (!digits(s, n, CPUSET_MAX, ret_used) || s[n] != '/')
				return false;
			s += n + 1;
			n = strspn(s, "0123456789");
			if (!digits(s, n, CPUSET_MAX, ret_group) || *ret_group < 1 ||
			    *ret_used > *ret_group)
				return false;
			s += n;
		}
	}
	*p = s + strspn(s, " \t\n");
	return true;
}

int cpuset_parse(const char *text, uint8_t bits[CPUSET_MAX / 8])
{
	uint64_t first, last, used, group;

	memset(bits, 0, CPUSET_MAX / 8);
	if (!text[strspn(text, " \t\n")])
		return 0;
	for (;; text++) {
		if (!one_range(&text, &first, &last, &used, &group))
			return -1;
		for (uint64_t i = first; i <= last; i++)
			if ((i - first) % group < used)
				bits[i / 8] |= (uint8_t)(1U << i % 8);
		if (*text != ',')
			return *text ? -1 : 0;
	}
}

int cpuset_check(const char *text)
{
	uint8_t bits[CPUSET_MAX / 8];

	return cpuset_parse(text, bits);
}
