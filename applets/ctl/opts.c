#include "opts.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"

enum opt_type { OPT_FLAG, OPT_MAYBE, OPT_TEXT, OPT_LIST, OPT_INT, OPT_DURATION };

struct opt {
	char letter;	   /* 0: none */
	const char *name;  /* without dashes */
	const char *alias; /* another one, or NULL */
	const char *env;   /* variable that is used when it is not given, or NULL */
	enum opt_type type;
};

struct parser {
	struct opts *o;
	struct arena *a;
	struct err *err;
	int argc;
	char **argv;
	int at;
};

/* --- the table ------------------------------------------------------------------------- */

static enum opt_type type_of(const char *value)
{
	static const struct {
		char value[12];
		enum opt_type type;
	} types[] = {
		{"", OPT_FLAG},	      {"N", OPT_INT},	       {"SECONDS", OPT_INT},
		{"FILTER", OPT_LIST}, {"KEY=VALUE", OPT_LIST}, {"TIME", OPT_DURATION},
		{"TAG", OPT_LIST},    {"OPTIONS", OPT_LIST},
	};

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (str_eq(types[i].value, value))
			return types[i].type;
	return *value == '[' ? OPT_MAYBE : OPT_TEXT;
}

/* "(CRICTL_AUTH)" in the text, or NULL. */
static const char *env_of(struct arena *a, const char *text)
{
	for (const char *p = strchr(text, '('); p; p = strchr(p + 1, '(')) {
		size_t n = strspn(p + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_");

		if (n && p[1 + n] == ')')
			return arena_strndup(a, p + 1, n);
	}
	return NULL;
}

/* One line of the help, which is written to. */
static void read_line(struct arena *a, char *line, struct opt *opt)
{
	char *text = strstr(line, "  "), *value;

	*opt = (struct opt){.env = text ? env_of(a, text) : NULL};
	if (text)
		*text = 0;
	if (line[0] && line[1] != '-' && line[2] == ',') {
		opt->letter = line[1];
		line += strlen("-x, ");
	}
	value = strchr(line, ' ');
	opt->name = line + strlen("--");
	if (value && value[-1] == ',') {
		value[-1] = 0;
		opt->alias = value + 1 + strlen("--");
		value = strchr(value + 1, ' ');
	}
	if (value)
		*value++ = 0;
	opt->type = type_of(str_or_empty(value));
}

static void read_table(struct opts *o, const char *help, struct arena *a)
{
	char *text = arena_strdup(a, str_or_empty(help)), *line;

	o->table = arena_array(a, OPTS_MAX, sizeof(*o->table));
	while ((line = strsep(&text, "\n"))) {
		line += strspn(line, " ");
		if (*line != '-')
			continue;
		if (o->n == OPTS_MAX)
			abort(); /* a table of ours */
		read_line(a, line, &o->table[o->n++]);
	}
}

static const struct opt *find_long(const struct opts *o, const char *name, size_t n)
{
	for (const struct opt *opt = o->table; opt < o->table + o->n; opt++) {
		if (strlen(opt->name) == n && memcmp(opt->name, name, n) == 0)
			return opt;
		if (opt->alias && strlen(opt->alias) == n &&
		    memcmp(opt->alias, name, n) == 0)
			return opt;
	}
	return NULL;
}

static const struct opt *find_letter(const struct opts *o, char letter)
{
	for (const struct opt *opt = o->table; opt < o->table + o->n; opt++)
		if (opt->letter == letter)
			return opt;
	return NULL;
}

/* --- the command line ------------------------------------------------------------------ */

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
	case OPT_MAYBE:
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
	if (opt->type > OPT_MAYBE && value_of(p, opt, rest, &rest) < 0)
		return -1;
	return set(p->o, p->a, opt, rest, p->err);
}

/* -it, -ojson, -o=json */
static int parse_letters(struct parser *p, const char *word)
{
	for (const char *c = word + 1; *c; c++) {
		const struct opt *opt = find_letter(p->o, *c);
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
	const struct opt *opt = n > 1 ? find_long(p->o, name, n) : NULL;

	if (opt)
		return parse_long(p, opt, name[n] ? name + n + 1 : NULL);
	if (word[1] == '-')
		return err_set(p->err, ERR_INVALID, "unknown option: %.100s (see --help)",
			       word);
	return parse_letters(p, word);
}

static int from_env(struct opts *o, struct arena *a, struct err *err)
{
	for (const struct opt *opt = o->table; opt < o->table + o->n; opt++) {
		const char *text = opt->env ? getenv(opt->env) : NULL;

		if (str_empty(text) || o->values[opt - o->table].set)
			continue;
		if (set(o, a, opt, text, err) < 0)
			return err_wrap(err, "%s", opt->env);
	}
	return 0;
}

int opts_parse(struct opts *o, const char *help, bool ordered, int argc, char **argv,
	       struct arena *a, struct err *err)
{
	struct parser p = {o, a, err, argc, argv, 0};

	*o = (struct opts){0};
	read_table(o, help, a);
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
	const struct opt *opt = find_long(o, name, strlen(name));

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
