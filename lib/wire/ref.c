#include "wire/ref.h"

#include <string.h>

#include "base/str.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool is_alnum(char c)
{
	return is_digit(c) || is_lower(c) || is_upper(c);
}

static bool is_hex(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!is_digit(s[i]) && !(s[i] >= 'a' && s[i] <= 'f'))
			return false;
	return s[n] == 0;
}

bool ref_is_digest(const char *s)
{
	size_t n = strlen(s);

	if (n == 7 + 64 && str_starts(s, "sha256:"))
		return is_hex(s + 7, 64);
	return n == 7 + 128 && str_starts(s, "sha512:") && is_hex(s + 7, 128);
}

bool ref_is_id(const char *s)
{
	if (str_starts(s, "sha256:"))
		s += 7;
	return strlen(s) == 64 && is_hex(s, 64);
}

/* host labels joined by dots, or an IPv6 address in brackets; then an optional port */
static bool valid_domain(const char *s, size_t n)
{
	size_t i = 0;

	if (n && s[0] == '[') {
		for (i = 1; i < n && s[i] != ']'; i++)
			if (!is_digit(s[i]) && s[i] != ':' &&
			    !((s[i] | 0x20) >= 'a' && (s[i] | 0x20) <= 'f'))
				return false;
		if (i < 3 || i++ == n)
			return false;
	} else {
		for (; i < n && s[i] != ':'; i++) {
			bool edge = i == 0 || s[i - 1] == '.' || i + 1 == n ||
				    s[i + 1] == '.' || s[i + 1] == ':';

			if (!is_alnum(s[i]) && (edge || (s[i] != '-' && s[i] != '.')))
				return false;
		}
		if (!i)
			return false;
	}
	if (i == n)
		return true;
	if (s[i] != ':' || i + 1 == n || n - i > 6)
		return false;
	for (i++; i < n; i++)
		if (!is_digit(s[i]))
			return false;
	return true;
}

/* the length of a separator of path components' words: ".", "_", "__" or dashes */
static size_t separator(const char *s)
{
	if (*s == '.')
		return 1;
	if (*s == '_')
		return s[1] == '_' ? 2 : 1;
	return strspn(s, "-");
}

static bool valid_path(const char *s)
{
	for (;;) {
		size_t word = 0, n;

		while (is_lower(s[word]) || is_digit(s[word]))
			word++;
		if (!word)
			return false;
		s += word;
		if (!*s)
			return true;
		n = *s == '/' ? 1 : separator(s);
		if (!n)
			return false;
		s += n;
	}
}

static bool valid_tag(const char *s)
{
	size_t i;

	if (!is_alnum(*s) && *s != '_')
		return false;
	for (i = 1; s[i]; i++)
		if (!is_alnum(s[i]) && !strchr("_.-", s[i]))
			return false;
	return i < REF_TAG;
}

/* What stands before the first slash is a domain if it looks like one. */
static size_t domain_length(const char *name)
{
	const char *slash = strchr(name, '/');
	size_t n = slash ? (size_t)(slash - name) : 0;
	bool upper = false;

	for (size_t i = 0; i < n; i++) {
		if (name[i] == '.' || name[i] == ':')
			return n;
		upper = upper || is_upper(name[i]);
	}
	if (upper || (n == 9 && memcmp(name, "localhost", 9) == 0))
		return n;
	return 0;
}

static int bad(const char *s, const char *why, struct err *err)
{
	BUF_AUTO shown = {0};

	str_escape(&shown, s, strnlen(s, 300));
	return err_set(err, ERR_INVALID, "invalid image reference \"%s\": %s",
		       buf_str(&shown), why);
}

/* Fills domain and path from the name, which ends with a NUL. */
static int split_name(const char *s, const char *name, struct ref *r, struct err *err)
{
	size_t n = domain_length(name);
	const char *path = n ? name + n + 1 : name;
	bool hub = !n || strncmp(name, "docker.io/", 10) == 0 ||
		   strncmp(name, "index.docker.io/", 16) == 0;
	bool library = hub && !strchr(path, '/');

	if (!hub && (n >= REF_DOMAIN || !valid_domain(name, n)))
		return bad(s, "the registry's name is malformed", err);
	if (hub)
		strcpy(r->domain, "docker.io");
	else
		memcpy(r->domain, name, n);
	if (!valid_path(path)) {
		for (const char *p = path; *p; p++)
			if (is_upper(*p))
				return bad(s, "the repository name must be lower case",
					   err);
		return bad(s,
			   *path ? "the repository name is malformed"
				 : "there is no repository name",
			   err);
	}
	if (strlen(path) + (library ? 8 : 0) >= REF_PATH)
		return bad(s, "the repository name is longer than 255 characters", err);
	strcpy(r->path, library ? "library/" : "");
	strcat(r->path, path);
	return 0;
}

int ref_parse(const char *s, struct ref *ret, struct err *err)
{
	STR_AUTO name = NULL;
	struct ref r = {0};
	char *at, *colon;

	if (!*s)
		return err_set(err, ERR_INVALID, "empty image reference");
	if (strlen(s) > 1024)
		return bad(s, "longer than 1024 characters", err);
	if (ref_is_id(s))
		return bad(s, "64 hexadecimal digits are an image id, not a name", err);
	name = xstrdup(s);
	at = strchr(name, '@');
	if (at) {
		*at++ = 0;
		if (!ref_is_digest(at))
			return bad(s,
				   "the digest is not sha256: with 64 or sha512: with "
				   "128 lower-case hexadecimal digits",
				   err);
		strcpy(r.digest, at);
	}
	colon = strrchr(name, ':');
	if (colon && !strchr(colon, '/')) {
		*colon++ = 0;
		if (!valid_tag(colon))
			return bad(s, "the tag is malformed", err);
		strcpy(r.tag, colon);
	}
	if (split_name(s, name, &r, err) < 0)
		return -1;
	if (!r.tag[0] && !r.digest[0])
		strcpy(r.tag, "latest");
	*ret = r;
	return 0;
}

void ref_add_name(struct buf *out, const struct ref *r)
{
	buf_add_fmt(out, "%s/%s", r->domain, r->path);
}

void ref_add(struct buf *out, const struct ref *r)
{
	ref_add_name(out, r);
	if (r->digest[0])
		buf_add_fmt(out, "@%s", r->digest);
	else
		buf_add_fmt(out, ":%s", r->tag);
}

void ref_add_familiar_name(struct buf *out, const struct ref *r)
{
	if (!str_eq(r->domain, "docker.io"))
		ref_add_name(out, r);
	else if (str_starts(r->path, "library/") && !strchr(r->path + 8, '/'))
		buf_add_str(out, r->path + 8);
	else
		buf_add_str(out, r->path);
}
