#include "console/filter.h"

#include <string.h>

#include "base/str.h"

enum verdict { PASS, SHOW, DROP, MORE };

/* Bytes of the UTF-8 character that begins with c; 0: none does. */
static size_t utf8_length(uint8_t c)
{
	return c < 0x80	  ? 1
	       : c < 0xc2 ? 0
	       : c < 0xe0 ? 2
	       : c < 0xf0 ? 3
	       : c < 0xf5 ? 4
			  : 0;
}

/* "ESC [ 1 ; 3 1 m" */
static enum verdict judge_escape(const uint8_t *p, size_t n)
{
	if (n == 1)
		return MORE;
	if (p[1] != '[')
		return SHOW;
	for (size_t i = 2; i < n; i++) {
		if (p[i] == 'm')
			return DROP;
		if ((p[i] < '0' || p[i] > '9') && p[i] != ';')
			return SHOW;
	}
	return n < sizeof(((struct filter *)NULL)->held) ? MORE : SHOW;
}

static enum verdict judge_backspace(const uint8_t *p, size_t n)
{
	static const char rub[] = "\b \b";

	if (memcmp(p, rub, n) != 0)
		return SHOW;
	return n == 3 ? PASS : MORE;
}

static enum verdict judge_wide(const uint8_t *p, size_t n)
{
	size_t length = utf8_length(p[0]);

	if (!length || (n > 1 && (p[n - 1] & 0xc0) != 0x80))
		return SHOW;
	if (n < length)
		return MORE;
	if (!str_is_utf8((const char *)p, n) || (p[0] == 0xc2 && p[1] < 0xa0))
		return SHOW;
	return PASS;
}

/* What is to be done with the n bytes that are held. */
static enum verdict judge(const uint8_t *p, size_t n)
{
	if (p[0] == 0x1b)
		return judge_escape(p, n);
	if (p[0] == '\b')
		return judge_backspace(p, n);
	if (p[0] >= 0x80)
		return judge_wide(p, n);
	return (p[0] >= 0x20 && p[0] != 0x7f) || strchr("\n\t\r", p[0]) ? PASS : SHOW;
}

/* The first byte as text; the others may begin something else. */
static void show_first(struct filter *f, struct buf *out)
{
	uint8_t rest[sizeof(f->held)];
	size_t n = f->n - 1;

	buf_add_fmt(out, f->held[0] < 0x20 || f->held[0] >= 0x7f ? "\\x%02x" : "%c",
		    f->held[0]);
	memcpy(rest, f->held + 1, n);
	f->n = 0;
	filter_add(f, rest, n, out);
}

void filter_add(struct filter *f, const void *data, size_t n, struct buf *out)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < n; i++) {
		f->held[f->n++] = p[i];
		switch (p[i] ? judge(f->held, f->n) : SHOW) {
		case PASS:
			buf_add(out, f->held, f->n);
			f->n = 0;
			break;
		case DROP:
			f->n = 0;
			break;
		case SHOW:
			show_first(f, out);
			break;
		case MORE:
			break;
		}
	}
}

void filter_end(struct filter *f, struct buf *out)
{
	while (f->n)
		show_first(f, out);
}
