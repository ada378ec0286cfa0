#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/num.h"
#include "base/str.h"
#include "wire/yaml-int.h"
#include "wire/yaml.h"

static int append(void *arg, unsigned char *data, size_t n)
{
	buf_add(arg, data, n);
	return 1;
}

/* Base 60 ("1:30"): not a number to us, but to other readers. */
static bool is_base60(const char *s)
{
	if (*s == '-' || *s == '+')
		s++;
	return *s >= '0' && *s <= '9' && strchr(s, ':') &&
	       strspn(s, "0123456789_:.") == strlen(s);
}

/* Line breaks that only Unicode knows: NEL, LS, PS. */
static bool has_odd_break(const char *s)
{
	return strstr(s, "\xc2\x85") || strstr(s, "\xe2\x80\xa8") ||
	       strstr(s, "\xe2\x80\xa9");
}

static yaml_scalar_style_t style_of(const char *s)
{
	struct yaml_scalar is;

	if (has_odd_break(s))
		return YAML_DOUBLE_QUOTED_SCALAR_STYLE;
	if (strchr(s, '\n'))
		return YAML_LITERAL_SCALAR_STYLE;
	yaml_resolve(s, &is);
	if (is.kind != YAML_KIND_STR || is_base60(s))
		return YAML_DOUBLE_QUOTED_SCALAR_STYLE;
	return YAML_PLAIN_SCALAR_STYLE;
}

static int emit(yaml_emitter_t *e, yaml_event_t *ev, struct err *err)
{
	if (yaml_emitter_emit(e, ev))
		return 0;
	if (e->error == YAML_MEMORY_ERROR)
		err_oom(0);
	return err_set(err, ERR_INTERNAL, "YAML: %s",
		       e->problem ? e->problem : "emitter");
}

static int emit_text(yaml_emitter_t *e, const char *s, yaml_scalar_style_t style,
		     struct err *err)
{
	yaml_event_t ev;

	if (!yaml_scalar_event_initialize(&ev, NULL, NULL, (const yaml_char_t *)s,
					  (int)strlen(s), 1, 1, style))
		return err_set(err, ERR_INTERNAL, "YAML: not UTF-8");
	return emit(e, &ev, err);
}

/* The shortest text that is read as the same number, as Go's 'g' writes it. */
static void real_text(char *dst, size_t size, double v)
{
	int p = 1, exp;

	for (; p < 17; p++) {
		snprintf(dst, size, "%.*e", p - 1, v);
		if (!(strtod(dst, NULL) < v) && !(strtod(dst, NULL) > v))
			break;
	}
	snprintf(dst, size, "%.*e", p - 1, v);
	exp = atoi(strchr(dst, 'e') + 1);
	if (exp >= -4 && exp < 21)
		snprintf(dst, size, "%.*f", MAX(p - 1 - exp, 0), v);
}

/* Bytes above ASCII count as letters: in keys they hardly are anything else. */
static bool is_letter(char ch)
{
	unsigned char c = (unsigned char)ch;

	return c >= 0x80 || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

/*
 * Where two keys differ in a run of digits, what the run is worth: 1 in the highest place
 * if a digit other than 0 stands before a difference of 0 and another digit.
 */
static double run_value(const char *s, size_t at, bool zero, size_t *ret_len)
{
	double v = 0;

	for (size_t i = at; zero && i > 0 && s[i - 1] >= '0' && s[i - 1] <= '9'; i--)
		if (s[i - 1] != '0')
			v = 1;
	*ret_len = strspn(s + at, "0123456789");
	for (size_t i = 0; i < *ret_len; i++)
		v = v * 10 + (s[at + i] - '0');
	return v;
}

/* go-yaml's order of keys: letters behind all else, runs of digits by their value. */
static int compare_keys(const void *ap, const void *bp)
{
	const char *a = *(const char *const *)ap, *b = *(const char *const *)bp;
	size_t i = 0, an, bn;
	double av, bv;

	while (a[i] && a[i] == b[i])
		i++;
	if (!a[i] || !b[i])
		return a[i] ? 1 : b[i] ? -1 : 0;
	if (is_letter(a[i]) || is_letter(b[i])) {
		if (is_letter(a[i]) != is_letter(b[i]))
			return is_letter(a[i]) ? 1 : -1;
		return strcmp(a + i, b + i);
	}
	av = run_value(a, i, a[i] == '0' || b[i] == '0', &an);
	bv = run_value(b, i, a[i] == '0' || b[i] == '0', &bn);
	if (av < bv || av > bv)
		return av < bv ? -1 : 1;
	if (an != bn)
		return an < bn ? -1 : 1;
	return strcmp(a + i, b + i);
}

static int emit_val(yaml_emitter_t *e, yyjson_val *v, struct err *err);

static int emit_map(yaml_emitter_t *e, yyjson_val *obj, struct err *err)
{
	size_t n = yyjson_obj_size(obj), i = 0;
	const char **keys = xcalloc(n + 1, sizeof(*keys));
	yaml_event_t ev;
	yyjson_obj_iter it = yyjson_obj_iter_with(obj);
	int r;

	for (yyjson_val *k; (k = yyjson_obj_iter_next(&it));)
		keys[i++] = yyjson_get_str(k);
	qsort(keys, n, sizeof(*keys), compare_keys);
	yaml_mapping_start_event_initialize(&ev, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE);
	r = emit(e, &ev, err);
	for (i = 0; i < n && r == 0; i++) {
		r = emit_text(e, keys[i], style_of(keys[i]), err);
		if (r == 0)
			r = emit_val(e, yyjson_obj_get(obj, keys[i]), err);
	}
	free(keys);
	if (r < 0)
		return -1;
	yaml_mapping_end_event_initialize(&ev);
	return emit(e, &ev, err);
}

static int emit_list(yaml_emitter_t *e, yyjson_val *arr, struct err *err)
{
	yaml_event_t ev;
	yyjson_val *v;

	yaml_sequence_start_event_initialize(&ev, NULL, NULL, 1,
					     YAML_BLOCK_SEQUENCE_STYLE);
	if (emit(e, &ev, err) < 0)
		return -1;
	json_each (v, arr)
		if (emit_val(e, v, err) < 0)
			return -1;
	yaml_sequence_end_event_initialize(&ev);
	return emit(e, &ev, err);
}

static int emit_val(yaml_emitter_t *e, yyjson_val *v, struct err *err)
{
	char num[64] = "null";

	if (yyjson_is_obj(v))
		return emit_map(e, v, err);
	if (yyjson_is_arr(v))
		return emit_list(e, v, err);
	if (yyjson_is_str(v))
		return emit_text(e, yyjson_get_str(v), style_of(yyjson_get_str(v)), err);
	if (yyjson_is_raw(v))
		return emit_text(e, yyjson_get_raw(v), YAML_PLAIN_SCALAR_STYLE, err);
	if (yyjson_is_bool(v))
		snprintf(num, sizeof(num), "%s", yyjson_get_bool(v) ? "true" : "false");
	else if (yyjson_is_uint(v))
		snprintf(num, sizeof(num), "%llu",
			 (unsigned long long)yyjson_get_uint(v));
	else if (yyjson_is_sint(v))
		snprintf(num, sizeof(num), "%lld", (long long)yyjson_get_sint(v));
	else if (yyjson_is_real(v))
		real_text(num, sizeof(num), yyjson_get_real(v));
	return emit_text(e, num, YAML_PLAIN_SCALAR_STYLE, err);
}

static int emit_all(yaml_emitter_t *e, yyjson_val *v, struct err *err)
{
	yaml_event_t ev;

	yaml_stream_start_event_initialize(&ev, YAML_UTF8_ENCODING);
	if (emit(e, &ev, err) < 0)
		return -1;
	yaml_document_start_event_initialize(&ev, NULL, NULL, NULL, 1);
	if (emit(e, &ev, err) < 0 || emit_val(e, v, err) < 0)
		return -1;
	yaml_document_end_event_initialize(&ev, 1);
	if (emit(e, &ev, err) < 0)
		return -1;
	yaml_stream_end_event_initialize(&ev);
	return emit(e, &ev, err);
}

int yaml_write(yyjson_val *v, struct buf *out, struct err *err)
{
	static const char end[] = "\n...\n";
	yaml_emitter_t e;
	BUF_AUTO text = {0};
	int r;

	if (!yaml_emitter_initialize(&e))
		err_oom(0);
	yaml_emitter_set_output(&e, append, &text);
	yaml_emitter_set_unicode(&e, 1);
	r = emit_all(&e, v, err);
	yaml_emitter_delete(&e);
	if (r < 0)
		return -1;
	/* libyaml ends a document so when its last string ends in empty lines */
	if (str_ends(buf_str(&text), end))
		text.len -= strlen(end) - 1;
	buf_add(out, text.data, text.len);
	return 0;
}
