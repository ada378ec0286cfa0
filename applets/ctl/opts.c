#include "opts.h"

#include <stdlib.h>

#include "base/num.h"
#include "base/str.h"

struct parser {
	struct opts *o;
	struct arena *a;
	struct err *err;
	int argc;
	char **argv;
	int at;
};

static const struct opt *find_long(const struct opt *table, const char *name, size_t n)
{
	for (; table->name; table++) {
		if (strlen(table->name) == n && memcmp(table->name, name, n) == 0)
			return table;
		if (table->alias && strlen(table->alias) == n &&
		    memcmp(table->alias, name, n) == 0)
			return table;
	}
	return NULL;
}

static const struct opt *find_letter(const struct opt *table, char letter)
{
	for (; table->name; table++)
		if (letter && table->letter == letter)
			return table;
	return NULL;
}

static int bad_value(const struct opt *opt, const char *text, const char *want,
		     struct err *err)
{
	return err_set(err, ERR_INVALID, "--%s: '%.200s' is not %s", opt->name, text,
		       want);
}

static int parse_flag(const struct opt *opt, const char *text, bool *ret, struct err *err)
{
	if (!text || str_eq(text, "true") || str_eq(text, "1"))
		*ret = true;
	else if (str_eq(text, "false") || str_eq(text, "0"))
		*ret = false;
	else
		return bad_value(opt, text, "true or false", err);
	return 0;
}

static int set(struct opts *o, struct arena *a, const struct opt *opt, const char *text,
	       struct err *err)
{
	struct opt_value *v = &o->values[opt - o->table];
	const char **list;

	switch (opt->type) {
	case OPT_FLAG:
		if (parse_flag(opt, text, &v->flag, err) < 0)
			return -1;
		break;
	case OPT_INT:
		if (num_i64(text, INT64_MIN, INT64_MAX, &v->num) < 0)
			return bad_value(opt, text, "a number", err);
		break;
	case OPT_DURATION:
		if (num_duration(text, &v->num) < 0)
			return bad_value(opt, text, "a duration (10s, 1m30s)", err);
		break;
	case OPT_LIST:
		list = arena_array(a, v->n + 2, sizeof(*list));
		for (unsigned i = 0; i < v->n; i++)
			list[i] = v->list[i];
		list[v->n++] = text;
		v->list = list;
		break;
	case OPT_TEXT:
		break;
	}
	v->text = text;
	v->set = true;
	return 0;
}

/* The value of an option that needs one: what follows in the word, or the next word. */
static int value_of(struct parser *p, const struct opt *opt, const char *rest,
		    const char **ret)
{
	if (!rest && p->at + 1 >= p->argc)
		return err_set(p->err, ERR_INVALID, "--%s needs a value", opt->name);
	*ret = rest ? rest : p->argv[++p->at];
	return 0;
}

static int parse_long(struct parser *p, const struct opt *opt, const char *rest)
{
	if (opt->type != OPT_FLAG && value_of(p, opt, rest, &rest) < 0)
		return -1;
	return set(p->o, p->a, opt, rest, p->err);
}

/* -it, -ojson, -o=json */
static int parse_letters(struct parser *p, const char *word)
{
	for (const char *c = word + 1; *c; c++) {
		const struct opt *opt = find_letter(p->o->table, *c);
		const char *rest = NULL;

		if (!opt)
			return err_set(p->err, ERR_INVALID,
				       "unknown option: %.100s (see --help)", word);
		if (c[1] == '=')
			rest = c + 2;
		else if (opt->type != OPT_FLAG && c[1])
			rest = c + 1;
		if (parse_long(p, opt, rest) < 0)
			return -1;
		if (rest || opt->type != OPT_FLAG)
			return 0;
	}
	return 0;
}

static int parse_option(struct parser *p, const char *word)
{
	const char *name = word + (word[1] == '-' ? 2 : 1);
	size_t n = strcspn(name, "=");
	const struct opt *opt = n > 1 ? find_long(p->o->table, name, n) : NULL;

	if (opt)
		return parse_long(p, opt, name[n] ? name + n + 1 : NULL);
	if (word[1] == '-')
		return err_set(p->err, ERR_INVALID, "unknown option: %.100s (see --help)",
			       word);
	return parse_letters(p, word);
}

static int from_env(struct opts *o, struct arena *a, struct err *err)
{
	for (const struct opt *opt = o->table; opt->name; opt++) {
		const char *text = opt->env ? getenv(opt->env) : NULL;

		if (str_empty(text) || o->values[opt - o->table].set)
			continue;
		if (set(o, a, opt, text, err) < 0)
			return err_wrap(err, "%s", opt->env);
	}
	return 0;
}

int opts_parse(struct opts *o, const struct opt *table, bool ordered, int argc,
	       char **argv, struct arena *a, struct err *err)
{
	struct parser p = {o, a, err, argc, argv, 0};

	*o = (struct opts){.table = table};
	o->argv = arena_array(a, (size_t)argc + 1, sizeof(*o->argv));
	for (; p.at < argc; p.at++) {
		char *word = argv[p.at];

		if (word[0] != '-' || !word[1]) {
			if (ordered)
				break;
			o->argv[o->argc++] = word;
		} else if (str_eq(word, "--")) {
			p.at++;
			break;
		} else if (parse_option(&p, word) < 0) {
			return -1;
		}
	}
	for (; p.at < argc; p.at++)
		o->argv[o->argc++] = argv[p.at];
	return from_env(o, a, err);
}

const struct opt_value *opts_get(const struct opts *o, const char *name)
{
	const struct opt *opt = find_long(o->table, name, strlen(name));

	if (!opt)
		abort(); /* a command asks for an option that its table lacks */
	return &o->values[opt - o->table];
}

bool opts_flag(const struct opts *o, const char *name)
{
	return opts_get(o, name)->flag;
}

const char *opts_text(const struct opts *o, const char *name)
{
	return opts_get(o, name)->text;
}

int64_t opts_num(const struct opts *o, const char *name, int64_t def)
{
	const struct opt_value *v = opts_get(o, name);

	return v->set ? v->num : def;
}

void opts_help(const struct opt *table, struct buf *out)
{
	for (; table->name; table++) {
		BUF_AUTO left = {0};

		if (table->letter)
			buf_add_fmt(&left, "-%c, --%s", table->letter, table->name);
		else
			buf_add_fmt(&left, "    --%s", table->name);
		if (table->value)
			buf_add_fmt(&left, " %s", table->value);
		buf_add_fmt(out, "  %-27s %s\n", buf_str(&left), table->help);
	}
}
