#include "wire/url.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"
#include "base/str.h"

static int bad(const char *why, struct err *err)
{
	/* the text itself stays out of the message: it may hold a secret */
	return err_set(err, ERR_INVALID, "malformed URL: %s", why);
}

static bool host_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
	       c == '_' || c == ':';
}

/* "host[:port]" of n bytes */
static int parse_authority(const char *s, size_t n, struct url *u, struct err *err)
{
	const char *port = NULL;
	size_t host = n;
	uint64_t number;
	char digits[6] = {0};

	if (n && s[0] == '[') {
		const char *close = memchr(s, ']', n);

		if (!close)
			return bad("no ']' behind an address", err);
		host = (size_t)(close - s) - 1;
		if (close + 1 < s + n && close[1] == ':')
			port = close + 2;
		else if (close + 1 < s + n)
			return bad("characters behind an address", err);
		s++;
		n--;
	} else {
		const char *colon = memchr(s, ':', n);

		if (colon) {
			host = (size_t)(colon - s);
			port = colon + 1;
		}
	}
	if (!host || host >= URL_HOST)
		return bad("no host, or too long a one", err);
	for (size_t i = 0; i < host; i++) {
		u->host[i] = s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] | 0x20) : s[i];
		if (!host_char(u->host[i]))
			return bad("the host has a character that cannot be", err);
	}
	u->host[host] = 0;
	u->port = u->tls ? 443 : 80;
	if (!port || port == s + n)
		return 0;
	if ((size_t)(s + n - port) >= sizeof(digits))
		return bad("the port is out of range", err);
	memcpy(digits, port, (size_t)(s + n - port));
	if (num_u64(digits, 1, 65535, &number) < 0)
		return bad("the port is out of range", err);
	u->port = (uint16_t)number;
	return 0;
}

/* Path and query without the fragment; "" becomes "/". */
static int parse_target(const char *s, struct url *u, struct err *err)
{
	size_t n = strcspn(s, "#");

	for (size_t i = 0; i < n; i++)
		if (s[i] <= 0x20 || s[i] >= 0x7f)
			return bad("a character that must be escaped", err);
	u->target = *s == '/' ? xstrndup(s, n) : xasprintf("/%.*s", (int)n, s);
	return 0;
}

int url_parse(const char *s, struct url *ret, struct err *err)
{
	struct url u = {0};
	size_t n;

	if (strlen(s) > URL_MAX)
		return bad("longer than 16384 characters", err);
	if (strncasecmp(s, "https://", 8) == 0)
		u.tls = true;
	else if (strncasecmp(s, "http://", 7) != 0)
		return bad("neither http:// nor https://", err);
	s += u.tls ? 8 : 7;
	n = strcspn(s, "/?#");
	if (memchr(s, '@', n))
		return bad("user names and passwords do not belong there", err);
	if (parse_authority(s, n, &u, err) < 0 || parse_target(s + n, &u, err) < 0)
		return -1;
	*ret = u;
	return 0;
}

int url_resolve(const struct url *base, const char *s, struct url *ret, struct err *err)
{
	struct url u = *base;
	STR_AUTO joined = NULL;
	size_t dir = strcspn(base->target, "?");
	size_t colon = strcspn(s, ":/?#");

	if (strlen(s) > URL_MAX)
		return bad("longer than 16384 characters", err);
	if (s[colon] == ':')
		return url_parse(s, ret, err);
	if (s[0] == '/' && s[1] == '/') {
		joined = xasprintf("%s:%s", base->tls ? "https" : "http", s);
		return url_parse(joined, ret, err);
	}
	if (s[0] != '/') {
		/* other dot segments are left to the server */
		while (s[0] == '.' && s[1] == '/')
			s += 2;
		while (s[0] != '?' && dir && base->target[dir - 1] != '/')
			dir--;
		joined = xasprintf("%.*s%s", (int)dir, base->target, s);
		s = joined;
	}
	if (parse_target(s, &u, err) < 0)
		return -1;
	*ret = u;
	return 0;
}

void url_done(struct url *u)
{
	free(u->target);
	*u = (struct url){0};
}

void url_copy(struct url *dst, const struct url *src)
{
	*dst = *src;
	dst->target = xstrdup(src->target);
}

bool url_same_origin(const struct url *a, const struct url *b)
{
	return a->tls == b->tls && a->port == b->port && str_eq(a->host, b->host);
}

void url_add_host(struct buf *out, const struct url *u)
{
	bool v6 = strchr(u->host, ':');

	buf_add_fmt(out, "%s%s%s", v6 ? "[" : "", u->host, v6 ? "]" : "");
	if (u->port != (u->tls ? 443 : 80))
		buf_add_fmt(out, ":%u", (unsigned)u->port);
}

void url_add_public(struct buf *out, const struct url *u)
{
	buf_add_str(out, u->tls ? "https://" : "http://");
	url_add_host(out, u);
	buf_add(out, u->target, strcspn(u->target, "?"));
}

void url_add_escaped(struct buf *out, const char *s)
{
	for (; *s; s++) {
		uint8_t c = (uint8_t)*s;
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			     (c >= '0' && c <= '9') || strchr("-._~", c);

		if (plain)
			buf_add_char(out, *s);
		else
			buf_add_fmt(out, "%%%02X", c);
	}
}
