#include "wire/challenge.h"

#include <string.h>
#include <strings.h>

#include "base/str.h"

static int bad(struct err *err)
{
	return err_set(err, ERR_INVALID, "malformed WWW-Authenticate field");
}

static size_t token(const char *s)
{
	size_t n = 0;

	while ((s[n] >= 'a' && s[n] <= 'z') || (s[n] >= 'A' && s[n] <= 'Z') ||
	       (s[n] >= '0' && s[n] <= '9') || (s[n] && strchr("!#$%&'*+-.^_`|~", s[n])))
		n++;
	return n;
}

static const char *skip_blank(const char *s)
{
	return s + strspn(s, " \t");
}

/* A quoted string (RFC 9110 5.6.4). Returns what is behind it, or NULL. */
static const char *quoted(const char *s, struct arena *a, const char **ret)
{
	char *out = arena_alloc(a, strlen(s) + 1);
	size_t n = 0;

	for (s++; *s != '"'; s++) {
		if (*s == '\\')
			s++;
		if (!*s)
			return NULL;
		out[n++] = *s;
	}
	*ret = out;
	return s + 1;
}

static void set(struct challenge *c, const char *name, size_t n, const char *value)
{
	const struct {
		const char *name;
		const char **at;
	} known[] = {{"realm", &c->realm},
		     {"service", &c->service},
		     {"scope", &c->scope},
		     {"error", &c->error}};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strlen(known[i].name) == n &&
		    strncasecmp(known[i].name, name, n) == 0 && !*known[i].at)
			*known[i].at = value;
}

/*
 * A parameter `name=value` of the current challenge. Returns what is behind
 * it; s itself if there is none here; NULL if it is malformed.
 */
static const char *parameter(const char *s, struct arena *a, struct challenge *c)
{
	size_t n = token(s), len;
	const char *value = skip_blank(s + n);

	if (!n || *value != '=')
		return s;
	value = skip_blank(value + 1);
	if (*value == '"') {
		const char *text = NULL;
		const char *end = quoted(value, a, &text);

		if (end)
			set(c, s, n, text);
		return end;
	}
	len = token(value);
	if (!len)
		return NULL;
	set(c, s, n, arena_strndup(a, value, len));
	return value + len;
}

/* Behind a scheme: parameters, or a token68, which no scheme that we know has. */
static const char *parameters(const char *s, struct arena *a, struct challenge *c)
{
	for (;;) {
		const char *end = parameter(s, a, c);

		if (!end || end == s)
			return end;
		s = skip_blank(end);
		if (*s != ',')
			return s;
		/* the comma may also stand before the next challenge */
		do {
			s = skip_blank(s + 1);
		} while (*s == ',');
	}
}

int challenge_parse(const char *field, struct arena *a, struct challenge *ret, size_t max,
		    struct err *err)
{
	size_t count = 0;
	const char *s = skip_blank(field);

	while (*s && count < max) {
		struct challenge *c = &ret[count];
		size_t n = token(s);

		if (!n || (s[n] && !strchr(" \t,", s[n])))
			return bad(err);
		*c = (struct challenge){.scheme = arena_strndup(a, s, n)};
		count++;
		s = skip_blank(s + n);
		if (*s != ',')
			s = parameters(s, a, c);
		if (!s)
			return bad(err);
		if (*s && *s != ',' && !token(s))
			return bad(err);
		s += strspn(s, ", \t");
	}
	return (int)count;
}
