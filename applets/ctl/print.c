#include "print.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "os/fd.h"
#include "wire/yaml.h"

/* One conversion; returns how many characters of the format it took. */
static size_t say_one(struct buf *out, const char *p, va_list *ap)
{
	const char *s;

	switch (*p) {
	case 's':
		s = va_arg(*ap, const char *);
		str_escape(out, str_or_empty(s), strlen(str_or_empty(s)));
		return 1;
	case 'd':
		buf_add_fmt(out, "%d", va_arg(*ap, int));
		return 1;
	case 'u':
		buf_add_fmt(out, "%u", va_arg(*ap, unsigned));
		return 1;
	case 'l':
		if (p[1] == 'd')
			buf_add_fmt(out, "%ld", va_arg(*ap, long));
		else if (p[1] == 'u')
			buf_add_fmt(out, "%lu", va_arg(*ap, unsigned long));
		else
			abort();
		return 2;
	case '%':
		buf_add_char(out, '%');
		return 1;
	default:
		abort(); /* a conversion that nobody has needed so far */
	}
}

void ctl_say(struct ctl *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	while (*fmt) {
		if (*fmt == '%')
			fmt += 1 + say_one(&c->out, fmt + 1, &ap);
		else
			buf_add_char(&c->out, *fmt++);
	}
	va_end(ap);
}

int ctl_flush(struct ctl *c, struct err *err)
{
	int r = fd_write_all(STDOUT_FILENO, c->out.data, c->out.len);

	if (r < 0)
		err_sys(err, errno, "write to standard output");
	buf_reset(&c->out);
	return r;
}

int ctl_write_bytes(int fd, const void *data, size_t n, struct err *err)
{
	BUF_AUTO safe = {0};
	const char *p = data, *end = p + n;

	if (isatty(fd)) {
		while (p < end) {
			const char *q = p;

			while (q < end && *q != '\n' && *q != '\t')
				q++;
			str_escape(&safe, p, (size_t)(q - p));
			if (q < end)
				buf_add_char(&safe, *q++);
			p = q;
		}
		data = safe.data;
		n = safe.len;
	}
	if (n && fd_write_all(fd, data, n) < 0)
		return err_sys(err, errno, "write to standard %s",
			       fd == STDERR_FILENO ? "error" : "output");
	return 0;
}

/* --- tables ------------------------------------------------------------------------------ */

void table_add(struct table *t, const char *text)
{
	BUF_AUTO cell = {0};

	if (t->n == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 64;
		t->cells = xrealloc(t->cells, t->cap * sizeof(*t->cells));
	}
	str_escape(&cell, str_or_empty(text), strlen(str_or_empty(text)));
	t->cells[t->n++] = buf_detach(&cell);
}

void table_add_head(struct table *t, const char *const *names)
{
	for (t->columns = 0; names[t->columns]; t->columns++)
		table_add(t, names[t->columns]);
}

/* Characters, each one column wide, as Go's tabwriter counts. */
static size_t width_of(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += (*s & 0xc0) != 0x80;
	return n;
}

void table_print(struct ctl *c, const struct table *t)
{
	size_t width[16];

	if (t->columns > ARRAY_LEN(width))
		abort(); /* a table of ours */
	for (unsigned i = 0; i < t->columns; i++) {
		width[i] = t->min_width ? t->min_width : 20;
		for (size_t k = i; k < t->n; k += t->columns)
			width[i] = MAX(width[i], width_of(t->cells[k]) + 3);
	}
	for (size_t k = 0; k < t->n; k++) {
		unsigned col = (unsigned)(k % t->columns);

		buf_add_str(&c->out, t->cells[k]);
		if (col + 1 == t->columns) {
			buf_add_char(&c->out, '\n');
			continue;
		}
		for (size_t n = width_of(t->cells[k]); n < width[col]; n++)
			buf_add_char(&c->out, ' ');
	}
}

void table_done(struct table *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->cells[i]);
	free(t->cells);
	*t = (struct table){0};
}

/* --- words ------------------------------------------------------------------------------- */

void print_ago(char dst[PRINT_SHORT], int64_t ns)
{
	int64_t sec = (time_real() - ns) / NS_PER_SEC, min = sec / 60;
	int64_t hours = (sec + 1800) / 3600;

	if (sec < 1)
		snprintf(dst, PRINT_SHORT, "Less than a second ago");
	else if (sec == 1)
		snprintf(dst, PRINT_SHORT, "1 second ago");
	else if (sec < 60)
		snprintf(dst, PRINT_SHORT, "%" PRId64 " seconds ago", sec);
	else if (min == 1)
		snprintf(dst, PRINT_SHORT, "About a minute ago");
	else if (min < 60)
		snprintf(dst, PRINT_SHORT, "%" PRId64 " minutes ago", min);
	else if (hours == 1)
		snprintf(dst, PRINT_SHORT, "About an hour ago");
	else if (hours < 48)
		snprintf(dst, PRINT_SHORT, "%" PRId64 " hours ago", hours);
	else if (hours < 24 * 14)
		snprintf(dst, PRINT_SHORT, "%" PRId64 " days ago", hours / 24);
	else if (hours < 24 * 60)
		snprintf(dst, PRINT_SHORT, "%" PRId64 " weeks ago", hours / 24 / 7);
	else if (hours < 24 * 365 * 2)
		snprintf(dst, PRINT_SHORT, "%" PRId64 " months ago", hours / 24 / 30);
	else
		snprintf(dst, PRINT_SHORT, "%" PRId64 " years ago",
			 sec / 3600 / 24 / 365);
}

void print_size(char dst[PRINT_SHORT], uint64_t bytes, int digits)
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
	double size = (double)bytes;
	size_t i = 0;

	while (size >= 1000 && i + 1 < ARRAY_LEN(units)) {
		size /= 1000;
		i++;
	}
	snprintf(dst, PRINT_SHORT, "%.*g%s", digits, size, units[i]);
}

/* ".123" without trailing zeros, or nothing. */
static void fraction(char dst[16], int64_t ns)
{
	size_t n;

	snprintf(dst, 16, ".%09d", (int)(ns % NS_PER_SEC));
	for (n = strlen(dst); n && (dst[n - 1] == '0' || dst[n - 1] == '.'); n--)
		dst[n - 1] = 0;
}

/* The local time of ns, and "+0200" or "+02:00". */
static bool local(int64_t ns, const char *sep, struct tm *tm, char zone[16])
{
	time_t sec = (time_t)(ns / NS_PER_SEC);
	long off;

	if (ns <= 0 || !localtime_r(&sec, tm))
		return false;
	off = labs(tm->tm_gmtoff) / 60;
	snprintf(zone, 16, "%c%02d%s%02d", tm->tm_gmtoff < 0 ? '-' : '+',
		 (int)(off / 60 % 100), sep, (int)(off % 60));
	return true;
}

void print_time(char dst[PRINT_SHORT], int64_t ns)
{
	char date[32], frac[16], zone[16];
	struct tm tm;

	if (!local(ns, ":", &tm, zone)) {
		snprintf(dst, PRINT_SHORT, "0001-01-01T00:00:00Z");
		return;
	}
	fraction(frac, ns);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(dst, PRINT_SHORT, "%s%s%s", date, frac, tm.tm_gmtoff ? zone : "Z");
}

void print_time_go(char dst[PRINT_SHORT], int64_t ns)
{
	char date[32], frac[16], zone[16];
	struct tm tm;

	if (!local(ns, "", &tm, zone)) {
		snprintf(dst, PRINT_SHORT, "1970-01-01 00:00:00 +0000 UTC");
		return;
	}
	fraction(frac, ns);
	strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
	snprintf(dst, PRINT_SHORT, "%s%s %s %s", date, frac, zone, tm.tm_zone);
}

const char *print_id(struct ctl *c, const char *id, bool full)
{
	id = str_or_empty(id);
	if (full)
		return id;
	if (str_starts(id, "sha256:"))
		id += strlen("sha256:");
	return arena_strndup(&c->arena, id, PRINT_ID);
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(yyjson_get_str(*(yyjson_val *const *)a),
		      yyjson_get_str(*(yyjson_val *const *)b));
}

/* The keys of obj in byte order, NULL at the end; the caller frees the array. */
static yyjson_val **sorted_keys(yyjson_val *obj)
{
	size_t n = yyjson_obj_size(obj), i = 0;
	yyjson_val **keys = xcalloc(n + 1, sizeof(*keys));
	yyjson_obj_iter it = yyjson_obj_iter_with(obj);

	for (yyjson_val *k; (k = yyjson_obj_iter_next(&it));)
		keys[i++] = k;
	qsort(keys, n, sizeof(*keys), compare_keys);
	return keys;
}

void print_map(struct ctl *c, const char *heading, yyjson_val *obj)
{
	yyjson_val **keys;

	if (!yyjson_obj_size(obj))
		return;
	keys = sorted_keys(obj);
	ctl_say(c, "%s:\n", heading);
	for (size_t i = 0; keys[i]; i++)
		ctl_say(c, "\t%s -> %s\n", yyjson_get_str(keys[i]),
			yyjson_get_str(yyjson_obj_iter_get_val(keys[i])));
	free(keys);
}

void print_info(struct ctl *c, yyjson_val *info)
{
	yyjson_val **keys = sorted_keys(info);

	ctl_say(c, "Info: map[");
	for (size_t i = 0; keys[i]; i++)
		ctl_say(c, "%s%s:%s", i ? " " : "", yyjson_get_str(keys[i]),
			yyjson_get_str(yyjson_obj_iter_get_val(keys[i])));
	ctl_say(c, "]\n");
	free(keys);
}

/* --- documents --------------------------------------------------------------------------- */

int print_format_of(const char *text, enum print_format def, enum print_format *ret,
		    struct err *err)
{
	if (str_empty(text))
		*ret = def;
	else if (str_eq(text, "json"))
		*ret = PRINT_JSON;
	else if (str_eq(text, "yaml"))
		*ret = PRINT_YAML;
	else if (str_eq(text, "table"))
		*ret = PRINT_TABLE;
	else if (str_eq(text, "go-template"))
		return err_set(
			err, ERR_UNIMPLEMENTED,
			"--output: go-template is not there yet; json works with jq");
	else
		return err_set(err, ERR_INVALID,
			       "--output: '%.100s' is not one of json, yaml, table",
			       text);
	return 0;
}

/* JSON leaves DEL and C1 as they are; to a terminal they are commands. */
static void add_json_safely(struct buf *out, const struct buf *json)
{
	for (size_t i = 0; i < json->len; i++) {
		uint8_t ch = json->data[i];

		if (ch == 0x7f) {
			buf_add_str(out, "\\u007f");
		} else if (ch == 0xc2 && i + 1 < json->len && json->data[i + 1] < 0xa0) {
			buf_add_fmt(out, "\\u00%02x", json->data[++i]);
		} else {
			buf_add_char(out, (char)ch);
		}
	}
}

int print_doc(struct ctl *c, yyjson_val *v, enum print_format format, struct err *err)
{
	BUF_AUTO text = {0};

	if (format == PRINT_YAML) {
		if (yaml_write(v, &c->out, err) < 0)
			return -1;
	} else {
		json_write_val(v, true, &text);
		add_json_safely(&c->out, &text);
	}
	buf_add_char(&c->out, '\n');
	return 0;
}

int print_mut(struct ctl *c, yyjson_mut_val *v, enum print_format format, struct err *err)
{
	JSON_AUTO doc = yyjson_mut_val_imut_copy(v, NULL);

	if (!doc)
		err_oom(0);
	return print_doc(c, yyjson_doc_get_root(doc), format, err);
}

/* 0.1, not 0.10000000000000001: the shortest text that is read as the same number. */
static yyjson_mut_val *short_real(yyjson_mut_doc *d, double v)
{
	char text[40];

	for (int digits = 15; digits <= 17; digits++) {
		double back;

		snprintf(text, sizeof(text), "%.*g", digits, v);
		back = strtod(text, NULL);
		if (back <= v && back >= v)
			break;
	}
	return yyjson_mut_rawcpy(d, text);
}

static yyjson_mut_val *sorted(yyjson_mut_doc *d, yyjson_val *v)
{
	yyjson_mut_val *copy;
	yyjson_val *child, **keys;

	if (yyjson_is_arr(v)) {
		copy = yyjson_mut_arr(d);
		json_each (child, v)
			yyjson_mut_arr_append(copy, sorted(d, child));
		return copy;
	}
	if (yyjson_is_real(v))
		return short_real(d, yyjson_get_real(v));
	if (!yyjson_is_obj(v))
		return yyjson_val_mut_copy(d, v);
	copy = yyjson_mut_obj(d);
	keys = sorted_keys(v);
	for (size_t i = 0; keys[i]; i++)
		yyjson_mut_obj_add(copy, yyjson_val_mut_copy(d, keys[i]),
				   sorted(d, yyjson_obj_iter_get_val(keys[i])));
	free(keys);
	return copy;
}

int print_sorted(struct ctl *c, yyjson_mut_val *v, enum print_format format,
		 struct err *err)
{
	JSON_AUTO doc = yyjson_mut_val_imut_copy(v, NULL);
	JSON_MUT_AUTO out = json_new();

	if (!doc)
		err_oom(0);
	return print_mut(c, sorted(out, yyjson_doc_get_root(doc)), format, err);
}

/* A member of info: a JSON object's text as the object, other text without its quotes. */
static int add_info(yyjson_mut_doc *d, yyjson_mut_val *obj, yyjson_val *k,
		    struct err *err)
{
	const char *text = yyjson_get_str(yyjson_obj_iter_get_val(k));
	size_t n = strlen(str_or_empty(text));
	yyjson_mut_val *v;

	if (n && *text == '{') {
		JSON_AUTO doc = json_parse(text, n, err);

		if (!doc)
			return err_wrap(err, "info %s", yyjson_get_str(k));
		v = yyjson_val_mut_copy(d, yyjson_doc_get_root(doc));
	} else {
		while (n && *text == '"') {
			text++;
			n--;
		}
		while (n && text[n - 1] == '"')
			n--;
		v = yyjson_mut_strncpy(d, str_or_empty(text), n);
	}
	yyjson_mut_obj_put(obj, yyjson_val_mut_copy(d, k), v);
	return 0;
}

yyjson_mut_val *print_status(yyjson_mut_doc *d, yyjson_mut_val *status, yyjson_val *info,
			     struct err *err)
{
	yyjson_mut_val *obj = yyjson_mut_obj(d);
	yyjson_obj_iter it = yyjson_obj_iter_with(info);

	yyjson_mut_obj_add_val(d, obj, "status", status);
	for (yyjson_val *k; (k = yyjson_obj_iter_next(&it));)
		if (add_info(d, obj, k, err) < 0)
			return NULL;
	return obj;
}
