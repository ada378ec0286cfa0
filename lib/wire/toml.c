#include "wire/toml.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/num.h"
#include "base/str.h"

/* How a table came to be: what may still be added to it (TOML 1.0, "Table"). */
enum { HOW_IMPLIED = 1, HOW_HEADER = 2, HOW_DOTTED = 4, HOW_CLOSED = 8 };

struct parser {
	const char *p, *end;
	unsigned line;
	const char *key; /* whose value is being read, for messages; or NULL */
	struct arena *arena;
	struct err *err;
};

static int value(struct parser *ps, struct toml *v, unsigned depth);

__attribute__((format(printf, 2, 3))) static int bad(struct parser *ps, const char *fmt,
						     ...)
{
	char why[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return err_set(ps->err, ERR_INVALID, "line %u: %s%s%s", ps->line,
		       str_or_empty(ps->key), ps->key ? ": " : "", why);
}

static char peek(const struct parser *ps)
{
	return ps->p < ps->end ? *ps->p : 0;
}

static bool at(const struct parser *ps, const char *s)
{
	size_t n = strlen(s);

	return (size_t)(ps->end - ps->p) >= n && memcmp(ps->p, s, n) == 0;
}

static void blanks(struct parser *ps)
{
	while (peek(ps) == ' ' || peek(ps) == '\t')
		ps->p++;
}

/* A line end, with a comment before it. 0 if there was one (or the end), -1 if not. */
static int line_end(struct parser *ps)
{
	blanks(ps);
	if (peek(ps) == '#')
		while (ps->p < ps->end && *ps->p != '\n') {
			uint8_t c = (uint8_t)*ps->p;

			if ((c < 0x20 && c != '\t' && c != '\r') || c == 0x7f)
				return bad(ps, "control character in a comment");
			ps->p++;
		}
	if (ps->p == ps->end)
		return 0;
	if (at(ps, "\r\n"))
		ps->p++;
	if (*ps->p != '\n')
		return bad(ps, "unexpected character behind a value");
	ps->p++;
	ps->line++;
	return 0;
}

/* Blank lines and comments, e.g. between the elements of an array. */
static int skip_lines(struct parser *ps)
{
	for (;;) {
		blanks(ps);
		if (peek(ps) != '#' && peek(ps) != '\n' && !at(ps, "\r\n"))
			return 0;
		if (line_end(ps) < 0)
			return -1;
	}
}

static void add_utf8(struct buf *b, uint32_t c)
{
	if (c < 0x80) {
		buf_add_char(b, (char)c);
	} else if (c < 0x800) {
		buf_add_char(b, (char)(0xc0 | c >> 6));
		buf_add_char(b, (char)(0x80 | (c & 0x3f)));
	} else {
		if (c < 0x10000) {
			buf_add_char(b, (char)(0xe0 | c >> 12));
		} else {
			buf_add_char(b, (char)(0xf0 | c >> 18));
			buf_add_char(b, (char)(0x80 | (c >> 12 & 0x3f)));
		}
		buf_add_char(b, (char)(0x80 | (c >> 6 & 0x3f)));
		buf_add_char(b, (char)(0x80 | (c & 0x3f)));
	}
}

/* \uXXXX and \UXXXXXXXX, behind the u */
static int unicode_escape(struct parser *ps, unsigned digits, struct buf *out)
{
	uint32_t c = 0;

	for (unsigned i = 0; i < digits; i++, ps->p++) {
		char d = peek(ps);

		if (d >= '0' && d <= '9')
			c = c << 4 | (uint32_t)(d - '0');
		else if ((d | 0x20) >= 'a' && (d | 0x20) <= 'f')
			c = c << 4 | (uint32_t)((d | 0x20) - 'a' + 10);
		else
			return bad(ps, "malformed \\u escape");
	}
	if (!c || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return bad(ps, "\\u escape of no character");
	add_utf8(out, c);
	return 0;
}

static int escape(struct parser *ps, bool multi, struct buf *out)
{
	static const char from[] = "btnfre\"\\", to[] = "\b\t\n\f\r\033\"\\";
	char c = peek(ps);
	const char *found = c ? strchr(from, c) : NULL;

	if (found) {
		buf_add_char(out, to[found - from]);
		ps->p++;
		return 0;
	}
	if (c == 'u' || c == 'U') {
		ps->p++;
		return unicode_escape(ps, c == 'u' ? 4 : 8, out);
	}
	if (multi) {
		/* a backslash at the end of a line joins it to the next word */
		const char *start = ps->p;

		blanks(ps);
		if (peek(ps) == '\n' || at(ps, "\r\n")) {
			while (ps->p < ps->end && strchr(" \t\r\n", *ps->p) && *ps->p)
				ps->line += *ps->p++ == '\n';
			return 0;
		}
		ps->p = start;
	}
	return bad(ps, "unknown escape in a string");
}

/* The quotes that end a multi-line string may have one or two more before them. */
static bool multi_end(struct parser *ps, char quote, struct buf *out)
{
	size_t n = 0;

	while (ps->p + n < ps->end && ps->p[n] == quote && n < 5)
		n++;
	if (n < 3)
		return false;
	for (size_t i = 3; i < n; i++)
		buf_add_char(out, quote);
	ps->p += n;
	return true;
}

/* A string of any kind; *ret lives in the arena. */
static int string(struct parser *ps, bool allow_multi, const char **ret)
{
	BUF_AUTO out = {0};
	char quote = *ps->p;
	const char triple[] = {quote, quote, quote, 0};
	bool multi = at(ps, triple);

	if (multi && !allow_multi)
		return bad(ps, "a key cannot be a multi-line string");
	ps->p += multi ? 3 : 1;
	if (multi && (peek(ps) == '\n' || at(ps, "\r\n"))) {
		ps->p += *ps->p == '\r' ? 2 : 1;
		ps->line++;
	}
	for (;;) {
		uint8_t c = (uint8_t)peek(ps);

		if (ps->p == ps->end || (!multi && c == '\n'))
			return bad(ps, "a string is not closed");
		if (c == (uint8_t)quote &&
		    (multi ? multi_end(ps, quote, &out) : (ps->p++, true)))
			break;
		ps->p++;
		if (c == '\\' && quote == '"') {
			if (escape(ps, multi, &out) < 0)
				return -1;
			continue;
		}
		if (c == '\r' && multi && peek(ps) == '\n')
			continue;
		if ((c < 0x20 && c != '\t' && c != '\n') || c == 0x7f)
			return bad(ps, "control character in a string");
		ps->line += c == '\n';
		buf_add_char(&out, (char)c);
	}
	*ret = arena_strdup(ps->arena, buf_str(&out));
	return 0;
}

static bool bare(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static int key_part(struct parser *ps, const char **ret)
{
	const char *start;

	blanks(ps);
	if (peek(ps) == '"' || peek(ps) == '\'') {
		if (string(ps, false, ret) < 0)
			return -1;
	} else {
		for (start = ps->p; bare(peek(ps));)
			ps->p++;
		if (ps->p == start)
			return bad(ps, "expected a key");
		*ret = arena_strndup(ps->arena, start, (size_t)(ps->p - start));
	}
	blanks(ps);
	return 0;
}

static struct toml *add(struct parser *ps, struct toml *parent, enum toml_type type,
			const char *key)
{
	struct toml *t = arena_alloc(ps->arena, sizeof(*t));

	*t = (struct toml){.type = type, .key = key, .line = ps->line};
	if (parent->last)
		parent->last->next = t;
	else
		parent->first = t;
	parent->last = t;
	return t;
}

struct toml *toml_get(const struct toml *t, const char *key)
{
	if (!t || t->type != TOML_TABLE)
		return NULL;
	for (struct toml *c = t->first; c; c = c->next)
		if (str_eq(c->key, key))
			return c;
	return NULL;
}

/* Steps into the table `key` of t on the way to something below it. */
static struct toml *step(struct parser *ps, struct toml *t, const char *key, unsigned how)
{
	struct toml *c = toml_get(t, key);

	if (!c) {
		c = add(ps, t, TOML_TABLE, key);
		c->how = how;
		return c;
	}
	/* below an array of tables, its last element is meant */
	if (c->type == TOML_ARRAY && how == HOW_IMPLIED && (c->how & HOW_HEADER))
		c = c->last;
	if (c->type != TOML_TABLE || (c->how & HOW_CLOSED) ||
	    (how == HOW_DOTTED && !(c->how & HOW_DOTTED))) {
		bad(ps, "%s is already something else", key);
		return NULL;
	}
	return c;
}

/* key = value, in a table or an inline table */
static int pair(struct parser *ps, struct toml *t, unsigned depth)
{
	const char *key = "";
	struct toml *v;

	for (unsigned n = 0;; n++) {
		if (key_part(ps, &key) < 0)
			return -1;
		if (peek(ps) != '.')
			break;
		ps->p++;
		if (n + depth >= TOML_MAX_DEPTH)
			return bad(ps, "nested too deep");
		t = step(ps, t, key, HOW_DOTTED);
		if (!t)
			return -1;
	}
	if (peek(ps) != '=')
		return bad(ps, "expected '=' behind %s", key);
	if (toml_get(t, key))
		return bad(ps, "%s is there twice", key);
	ps->p++;
	blanks(ps);
	v = add(ps, t, TOML_STRING, key);
	ps->key = key;
	return value(ps, v, depth + 1);
}

static int array(struct parser *ps, struct toml *v, unsigned depth)
{
	v->type = TOML_ARRAY;
	for (;;) {
		if (skip_lines(ps) < 0)
			return -1;
		if (peek(ps) == ']')
			break;
		if (value(ps, add(ps, v, TOML_STRING, ""), depth + 1) < 0 ||
		    skip_lines(ps) < 0)
			return -1;
		if (peek(ps) == ']')
			break;
		if (peek(ps) != ',')
			return bad(ps, "expected ',' or ']' in an array");
		ps->p++;
	}
	ps->p++;
	return 0;
}

static int inline_table(struct parser *ps, struct toml *v, unsigned depth)
{
	v->type = TOML_TABLE;
	blanks(ps);
	if (peek(ps) != '}')
		for (;;) {
			if (pair(ps, v, depth) < 0)
				return -1;
			blanks(ps);
			if (peek(ps) == '}')
				break;
			if (peek(ps) != ',')
				return bad(ps, "expected ',' or '}' in an inline table");
			ps->p++;
		}
	ps->p++;
	v->how = HOW_CLOSED;
	return 0;
}

static int digit_of(char c, unsigned base)
{
	int d = c >= '0' && c <= '9'			 ? c - '0'
		: (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
							 : 99;

	return d < (int)base ? d : -1;
}

static int integer(struct parser *ps, struct toml *v)
{
	bool negative = peek(ps) == '-';
	bool sign = negative || peek(ps) == '+';
	unsigned base = 10;
	uint64_t n = 0, max = (uint64_t)INT64_MAX + negative;
	const char *start;

	ps->p += sign;
	if (!sign && peek(ps) == '0' && ps->p + 1 < ps->end) {
		char c = ps->p[1];

		base = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 10;
		ps->p += base == 10 ? 0 : 2;
	}
	for (start = ps->p; ps->p < ps->end; ps->p++) {
		int d = digit_of(*ps->p, base);

		if (*ps->p == '_' && ps->p > start && ps->p[-1] != '_' &&
		    ps->p + 1 < ps->end && digit_of(ps->p[1], base) >= 0)
			continue;
		if (d < 0)
			break;
		if (n > (max - (uint64_t)d) / base)
			return bad(ps, "integer out of range");
		n = n * base + (uint64_t)d;
	}
	if (ps->p == start)
		return bad(ps, "expected a value");
	if (base == 10 && *start == '0' && ps->p > start + 1)
		return bad(ps, "an integer cannot begin with 0 (and dates are not used)");
	if (peek(ps) && strchr(".eE:-", peek(ps)))
		return bad(ps, "floats and dates are not used here");
	v->type = TOML_INT;
	v->num = negative ? (int64_t)(0 - n) : (int64_t)n;
	return 0;
}

static int value(struct parser *ps, struct toml *v, unsigned depth)
{
	v->line = ps->line;
	if (depth > TOML_MAX_DEPTH)
		return bad(ps, "nested too deep");
	switch (peek(ps)) {
	case '"':
	case '\'':
		return string(ps, true, &v->str);
	case '[':
		ps->p++;
		return array(ps, v, depth);
	case '{':
		ps->p++;
		return inline_table(ps, v, depth);
	default:
		break;
	}
	for (unsigned i = 0; i < 2; i++) {
		const char *word = i ? "true" : "false";

		if (at(ps, word)) {
			ps->p += strlen(word);
			v->type = TOML_BOOL;
			v->flag = i;
			return 0;
		}
	}
	return integer(ps, v);
}

/* The last part of a header: the table that the following lines fill. */
static struct toml *open_table(struct parser *ps, struct toml *t, const char *key,
			       bool is_array)
{
	struct toml *c = toml_get(t, key);

	if (is_array) {
		if (!c) {
			c = add(ps, t, TOML_ARRAY, key);
			c->how = HOW_HEADER;
		}
		if (c->type == TOML_ARRAY && (c->how & HOW_HEADER)) {
			c = add(ps, c, TOML_TABLE, "");
			c->how = HOW_HEADER;
			return c;
		}
	} else if (!c) {
		c = add(ps, t, TOML_TABLE, key);
		c->how = HOW_HEADER;
		return c;
	} else if (c->type == TOML_TABLE && c->how == HOW_IMPLIED) {
		c->how = HOW_HEADER;
		c->line = ps->line;
		return c;
	}
	bad(ps, "%s is already something else", key);
	return NULL;
}

/* [a.b] or [[a.b]] */
static struct toml *header(struct parser *ps, struct toml *root)
{
	bool is_array = at(ps, "[[");
	const char *close = is_array ? "]]" : "]";
	struct toml *t = root;
	const char *key = "";

	ps->p += is_array ? 2 : 1;
	for (unsigned n = 0; t; n++) {
		if (key_part(ps, &key) < 0)
			return NULL;
		if (peek(ps) != '.')
			break;
		ps->p++;
		if (n >= TOML_MAX_DEPTH) {
			bad(ps, "nested too deep");
			return NULL;
		}
		t = step(ps, t, key, HOW_IMPLIED);
	}
	if (!t)
		return NULL;
	if (!at(ps, close)) {
		bad(ps, "expected '%s' behind %s", close, key);
		return NULL;
	}
	ps->p += strlen(close);
	return open_table(ps, t, key, is_array);
}

struct toml *toml_parse(const void *text, size_t n, struct arena *a, struct err *err)
{
	struct parser ps = {.p = text,
			    .end = (const char *)text + n,
			    .line = 1,
			    .arena = a,
			    .err = err};
	struct toml *root = arena_alloc(a, sizeof(*root));
	struct toml *t = root;

	if (n > TOML_MAX) {
		err_set(err, ERR_INVALID, "larger than %d bytes", TOML_MAX);
		return NULL;
	}
	if (n && !str_is_utf8(text, n)) {
		err_set(err, ERR_INVALID, "not UTF-8");
		return NULL;
	}
	*root = (struct toml){
		.type = TOML_TABLE, .key = "", .line = 1, .how = HOW_HEADER};
	for (;;) {
		if (skip_lines(&ps) < 0)
			return NULL;
		if (ps.p == ps.end)
			return root;
		if (*ps.p == '[') {
			t = header(&ps, root);
			if (!t)
				return NULL;
		} else if (pair(&ps, t, 0) < 0) {
			return NULL;
		}
		if (line_end(&ps) < 0)
			return NULL;
		ps.key = NULL;
	}
}

int toml_bad(const struct toml *t, struct err *err, const char *fmt, ...)
{
	char why[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return err_set(err, ERR_INVALID, "line %u: %s %s", t->line, t->key, why);
}

static int typed(const struct toml *t, const char *key, enum toml_type type,
		 const struct toml **ret, struct err *err)
{
	static const char *const names[] = {[TOML_TABLE] = "a table",
					    [TOML_ARRAY] = "an array",
					    [TOML_STRING] = "a string",
					    [TOML_INT] = "an integer",
					    [TOML_BOOL] = "true or false"};
	const struct toml *c = toml_get(t, key);

	if (!c)
		return 0;
	if (c->type != type)
		return toml_bad(c, err, "must be %s", names[type]);
	*ret = c;
	return 1;
}

int toml_get_str(const struct toml *t, const char *key, const char **ret, struct err *err)
{
	const struct toml *c = NULL;
	int r = typed(t, key, TOML_STRING, &c, err);

	if (c)
		*ret = c->str;
	return r;
}

int toml_get_bool(const struct toml *t, const char *key, bool *ret, struct err *err)
{
	const struct toml *c = NULL;
	int r = typed(t, key, TOML_BOOL, &c, err);

	if (c)
		*ret = c->flag;
	return r;
}

int toml_get_int(const struct toml *t, const char *key, int64_t min, int64_t max,
		 int64_t *ret, struct err *err)
{
	const struct toml *c = NULL;
	int r = typed(t, key, TOML_INT, &c, err);

	if (!c)
		return r;
	if (c->num < min || c->num > max)
		return toml_bad(c, err, "must be between %lld and %lld", (long long)min,
				(long long)max);
	*ret = c->num;
	return 1;
}

int toml_get_table(const struct toml *t, const char *key, const struct toml **ret,
		   struct err *err)
{
	return typed(t, key, TOML_TABLE, ret, err);
}

int toml_get_array(const struct toml *t, const char *key, const struct toml **ret,
		   struct err *err)
{
	return typed(t, key, TOML_ARRAY, ret, err);
}
