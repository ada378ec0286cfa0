#include "wire/http1_head.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"

enum { HEAD_END = 4 };

size_t http1_head_length(const void *data, size_t n, size_t *seen)
{
	/* the end may have come in pieces */
	size_t from = *seen > HEAD_END - 1 ? *seen - (HEAD_END - 1) : 0;
	const char *p = data;
	const char *end =
		n > from ? memmem(p + from, n - from, "\r\n\r\n", HEAD_END) : NULL;

	*seen = n;
	return end ? (size_t)(end - p) + HEAD_END : 0;
}

/* RFC 9110 5.6.2 */
static bool is_token(const char *s)
{
	static const char others[] = "!#$%&'*+-.^_`|~";

	if (!*s)
		return false;
	for (; *s; s++)
		if (!((*s >= '0' && *s <= '9') || (*s >= 'A' && *s <= 'Z') ||
		      (*s >= 'a' && *s <= 'z') || strchr(others, *s)))
			return false;
	return true;
}

static int bad(struct err *err, const char *what)
{
	return err_set(err, ERR_INVALID, "malformed HTTP head: %s", what);
}

/* Ends the line at *at (of text that ends with an empty line) and steps over it. */
static char *next_line(char **at)
{
	char *line = *at;
	char *end = strstr(line, "\r\n");

	*end = 0;
	*at = end + 2;
	return line;
}

static int parse_field(struct http1_head *h, char *line, struct err *err)
{
	char *colon = strchr(line, ':');
	char *value, *end;

	if (h->nfields == HTTP1_HEAD_MAX_FIELDS)
		return bad(err, "too many fields");
	if (!colon)
		return bad(err, "a field without a colon");
	*colon = 0;
	if (!is_token(line))
		return bad(err, "a field name that is none");
	value = colon + 1 + strspn(colon + 1, " \t");
	end = value + strlen(value);
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		*--end = 0;
	h->fields[h->nfields++] = (struct http1_field){line, value};
	return 0;
}

static int parse_fields(struct http1_head *h, char *at, struct err *err)
{
	for (;;) {
		char *line = next_line(&at);

		if (!*line)
			return 0;
		if (parse_field(h, line, err) < 0)
			return -1;
	}
}

/* Copies the head and looks for bytes that no part of it may have. */
static int load(struct http1_head *h, const char *data, size_t n, struct err *err)
{
	*h = (struct http1_head){0};
	if (n < HEAD_END || memcmp(data + n - HEAD_END, "\r\n\r\n", HEAD_END) != 0)
		return bad(err, "no end");
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)data[i];
		bool cr_lf = c == '\r' && i + 1 < n && data[i + 1] == '\n';

		if (c == '\n' ? i == 0 || data[i - 1] != '\r'
			      : (c < 0x20 && c != '\t' && !cr_lf) || c == 0x7f)
			return bad(err, "a control character");
	}
	h->text = xstrndup(data, n);
	return 0;
}

static int version(const char *s, struct err *err)
{
	if (str_eq(s, "HTTP/1.1"))
		return 0;
	if (str_starts(s, "HTTP/"))
		return err_set(err, ERR_UNIMPLEMENTED, "not HTTP/1.1");
	return bad(err, "no HTTP version");
}

static int request_line(struct http1_head *h, char *line, struct err *err)
{
	char *target = strchr(line, ' ');
	char *last = strrchr(line, ' ');

	if (!target || last == target)
		return bad(err, "request line");
	*target++ = 0;
	*last++ = 0;
	if (!is_token(line))
		return bad(err, "method");
	if (*target != '/' || strpbrk(target, " \t"))
		return bad(err, "request target");
	h->method = line;
	h->target = target;
	return version(last, err);
}

static int status_line(struct http1_head *h, char *line, struct err *err)
{
	char *code = strchr(line, ' ');

	if (!code)
		return bad(err, "status line");
	*code++ = 0;
	if (strspn(code, "0123456789") != 3 || (code[3] && code[3] != ' ') ||
	    *code == '0' || *code > '5')
		return bad(err, "status code");
	h->status = (unsigned)(code[0] - '0') * 100 + (unsigned)(code[1] - '0') * 10 +
		    (unsigned)(code[2] - '0');
	h->reason = code[3] ? code + 4 : "";
	h->http10 = str_eq(line, "HTTP/1.0");
	return h->http10 ? 0 : version(line, err);
}

static int parse(struct http1_head *h, const void *data, size_t n,
		 int (*first_line)(struct http1_head *, char *, struct err *),
		 struct err *err)
{
	char *at;

	if (load(h, data, n, err) < 0)
		return -1;
	at = h->text;
	if (first_line(h, next_line(&at), err) < 0 || parse_fields(h, at, err) < 0) {
		http1_head_done(h);
		return -1;
	}
	return 0;
}

int http1_head_request(struct http1_head *h, const void *data, size_t n, struct err *err)
{
	return parse(h, data, n, request_line, err);
}

int http1_head_response(struct http1_head *h, const void *data, size_t n, struct err *err)
{
	return parse(h, data, n, status_line, err);
}

void http1_head_done(struct http1_head *h)
{
	free(h->text);
	*h = (struct http1_head){0};
}

const char *http1_head_get(const struct http1_head *h, const char *name)
{
	for (unsigned i = 0; i < h->nfields; i++)
		if (strcasecmp(h->fields[i].name, name) == 0)
			return h->fields[i].value;
	return NULL;
}

static bool list_has(const char *list, const char *token)
{
	size_t len = strlen(token);

	while (*list) {
		size_t n;

		list += strspn(list, ", \t");
		n = strcspn(list, ", \t");
		if (n == len && strncasecmp(list, token, n) == 0)
			return true;
		list += n;
	}
	return false;
}

bool http1_head_has(const struct http1_head *h, const char *name, const char *token)
{
	for (unsigned i = 0; i < h->nfields; i++)
		if (strcasecmp(h->fields[i].name, name) == 0 &&
		    list_has(h->fields[i].value, token))
			return true;
	return false;
}
