#include "node/config.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/num.h"
#include "base/str.h"
#include "node/config-int.h"
#include "os/file.h"

#define KERNEL "kernel command line"

const struct node_sources node_sources = {
	.file = NODE_CONFIG_FILE,
	.dir = NODE_CONFIG_DIR,
	.state = NODE_STATE_DIR,
	.cmdline = NODE_CMDLINE,
};

/* One reading of all sources. */
struct reader {
	struct arena arena; /* of the source at hand */
	struct node_config *c;
	const char *path;
	char where[NODE_SERVICES][96], console[96]; /* where they were spoken of */
	struct arena *keep;	   /* of the settings below; NULL: nobody wants them */
	struct node_setting *head; /* sorted by key */
};

const char *node_console_name(enum node_console c)
{
	static const char *const names[] = {
		[NODE_STATUS] = "status",
		[NODE_LOGIN] = "login",
		[NODE_OPEN] = "open",
		[NODE_OFF] = "off",
	};

	return (unsigned)c < ARRAY_LEN(names) ? names[c] : "?";
}

const struct node_link *node_config_link(const struct node_config *c, const char *name)
{
	const struct node_link *any = NULL;

	for (unsigned i = 0; i < c->nlinks; i++) {
		if (str_eq(c->links[i].name, name))
			return &c->links[i];
		if (str_eq(c->links[i].name, "*"))
			any = &c->links[i];
	}
	return any;
}

static const char *place(struct reader *r, unsigned line)
{
	return line ? arena_fmt(&r->arena, "%s:%u", r->path, line) : r->path;
}

__attribute__((format(printf, 3, 4))) static void complain(struct reader *r,
							   unsigned line, const char *fmt,
							   ...)
{
	struct node_complaint *to = r->c->ncomplaints < NODE_COMPLAINTS
					    ? &r->c->complaints[r->c->ncomplaints]
					    : NULL;
	BUF_AUTO raw = {0}, text = {0};
	va_list ap;

	r->c->ncomplaints++;
	if (!to)
		return;
	va_start(ap, fmt);
	buf_add_vfmt(&raw, fmt, ap);
	va_end(ap);
	str_escape(&text, (const char *)raw.data, raw.len); /* a console shows it */
	str_copy(to->where, sizeof(to->where), place(r, line));
	str_copy(to->text, sizeof(to->text), buf_str(&text));
}

/* --- what was set, for people --------------------------------------------------------------- */

static void show_string(struct buf *b, const char *s)
{
	buf_add_char(b, '"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			buf_add_char(b, '\\');
		buf_add_char(b, *s);
	}
	buf_add_char(b, '"');
}

static void show_value(struct buf *b, const struct toml *v)
{
	switch (v->type) {
	case TOML_STRING:
		show_string(b, v->str);
		break;
	case TOML_INT:
		buf_add_fmt(b, "%lld", (long long)v->num);
		break;
	case TOML_BOOL:
		buf_add_str(b, v->flag ? "true" : "false");
		break;
	case TOML_ARRAY:
		buf_add_char(b, '[');
		for (const struct toml *e = v->first; e; e = e->next) {
			if (e != v->first)
				buf_add_str(b, ", ");
			show_value(b, e);
		}
		buf_add_char(b, ']');
		break;
	case TOML_TABLE:
		buf_add_str(b, "{}");
		break;
	}
}

static void remember(struct reader *r, const char *key, const char *value,
		     const char *origin)
{
	struct node_setting **at = &r->head, *s;
	int order = -1;

	if (!r->keep)
		return;
	while (*at && (order = strcmp((*at)->key, key)) < 0)
		at = &(*at)->next;
	if (*at && order == 0) {
		s = *at;
	} else {
		s = arena_alloc(r->keep, sizeof(*s));
		s->next = *at;
		*at = s;
	}
	s->key = arena_strdup(r->keep, key);
	s->value = arena_strdup(r->keep, value);
	s->origin = arena_strdup(r->keep, origin);
}

/* --- sources ------------------------------------------------------------------------------ */

/* For complaints about what is right in itself: where it was said. */
static void remember_place(struct reader *r, const struct key_match *m, const char *key,
			   unsigned line)
{
	if (str_eq(key, "console"))
		str_copy(r->console, sizeof(r->console), place(r, line));
	for (unsigned i = 0; str_starts(key, "service.") && i < r->c->nservices; i++)
		if (str_eq(r->c->services[i].name, m->star[0]) &&
		    (!r->where[i][0] || str_ends(key, ".after")))
			str_copy(r->where[i], sizeof(r->where[i]), place(r, line));
}

static void set(struct reader *r, const struct key_match *m, const char *key,
		const struct toml *v, unsigned line)
{
	struct err err = {0};
	BUF_AUTO text = {0};
	int done = key_set(m, v, r->c, &err);

	remember_place(r, m, key, line);
	if (done < 0) {
		complain(r, line, "%s %s", key, err.msg);
		return;
	}
	/* a hash is no secret to keep in a file, but none to show around either */
	if (str_eq(key, "password"))
		buf_add_str(&text, "\"...\"");
	else
		show_value(&text, v);
	remember(r, key, buf_str(&text), place(r, line));
}

static void unknown(struct reader *r, const char *key, unsigned line)
{
	const char *meant = key_suggest(key, &r->arena);

	if (meant)
		complain(r, line, "unknown key %s, did you mean %s?", key, meant);
	else
		complain(r, line, "unknown key %s", key);
}

/* All below a table, with the dotted names that the kernel's command line would use. */
static void take_table(struct reader *r, const struct toml *t, const char *prefix)
{
	for (const struct toml *v = t->first; v; v = v->next) {
		const char *key = arena_fmt(&r->arena, "%s%s%s", prefix,
					    *prefix ? "." : "", v->key);
		struct key_match m;

		if (v->type == TOML_TABLE)
			take_table(r, v, key);
		else if (key_find(key, &m) == 0)
			set(r, &m, key, v, v->line);
		else
			unknown(r, key, v->line);
	}
}

/* A line that is not TOML is blanked out: the rest of the file holds all the same. */
static bool blank_line(struct buf *text, unsigned line)
{
	uint8_t *p = text->data, *end = text->data + text->len;
	bool any = false;

	for (unsigned n = 1; n < line && p; n++) {
		p = memchr(p, '\n', (size_t)(end - p));
		if (p)
			p++;
	}
	for (; p && p < end && *p != '\n'; p++) {
		any = any || *p != ' ';
		*p = ' ';
	}
	return any;
}

static void take_text(struct reader *r, struct buf *text)
{
	const struct toml *root;
	struct err err = {0};

	for (int tries = 0; tries < 16; tries++) {
		unsigned line = 0;

		root = toml_parse(text->data, text->len, &r->arena, &err);
		if (root) {
			take_table(r, root, "");
			return;
		}
		if (sscanf(err.msg, "line %u", &line) == 1) {
			const char *why = strstr(err.msg, ": ");

			complain(r, line, "%s", why ? why + 2 : err.msg);
		}
		if (!line || !blank_line(text, line))
			break;
	}
	complain(r, 0, "cannot be read as TOML, and is left out");
}

static void take_file(struct reader *r, const char *path, bool must)
{
	BUF_AUTO text = {0};
	struct err err = {0};

	r->path = path;
	if (file_read(AT_FDCWD, path, TOML_MAX, &text, &err) == 0)
		take_text(r, &text);
	else if (must || err.code != ERR_NOT_FOUND)
		complain(r, 0, "%s", err.msg);
	arena_done(&r->arena);
}

static int only_toml(const struct dirent *e)
{
	return e->d_name[0] != '.' && str_ends(e->d_name, ".toml");
}

static void take_dir(struct reader *r, const char *dir)
{
	struct dirent **list;
	int n = scandir(dir, &list, only_toml, alphasort);

	for (int i = 0; i < n; i++) {
		STR_AUTO path = xasprintf("%s/%s", dir, list[i]->d_name);

		take_file(r, path, true);
		free(list[i]);
	}
	if (n >= 0)
		free(list);
}

/* Words of the kernel's command line; double quotes hold blanks together, as there. */
static char *next_word(char **at)
{
	char *p = *at + strspn(*at, " \t\n"), *start = p, *to = p;
	bool quoted = false;

	if (!*p)
		return NULL;
	for (; *p && (quoted || !strchr(" \t\n", *p)); p++) {
		if (*p == '"')
			quoted = !quoted;
		else
			*to++ = *p;
	}
	*at = p + (*p != 0);
	*to = 0;
	return start;
}

static void take_cmdline(struct reader *r, const char *path)
{
	BUF_AUTO text = {0};
	struct err err = {0};
	char *at, *word;

	r->path = KERNEL;
	if (file_read(AT_FDCWD, path, 1 << 16, &text, &err) < 0) {
		complain(r, 0, "%s", err.msg);
		return;
	}
	at = (char *)(uintptr_t)buf_str(&text);
	while ((word = next_word(&at)) != NULL) {
		struct key_match m;
		char *eq;

		if (str_eq(word, "--"))
			break; /* init's own arguments */
		if (!str_starts(word, "cribox."))
			continue;
		word += strlen("cribox.");
		eq = strchr(word, '=');
		if (eq)
			*eq++ = 0;
		if (key_find(word, &m) < 0)
			unknown(r, word, 0);
		else
			set(r, &m, word, key_value(&m, eq ? eq : "true", &r->arena), 0);
	}
	arena_done(&r->arena);
}

/* That what a service comes after is one; if not, the one with the nearest name is suggested. */
static void check_after(struct reader *r, const struct node_service *s, const char *after)
{
	unsigned least = UINT_MAX;
	const char *meant = "";

	for (unsigned i = 0; i < r->c->nservices; i++) {
		unsigned d = str_distance(r->c->services[i].name, after);

		if (d < least) {
			least = d;
			meant = r->c->services[i].name;
		}
	}
	if (least)
		complain(r, 0,
			 "service.%s comes after %s, which is none, did you mean %s?",
			 s->name, after, meant);
}

/* What is right in itself, but not together. */
static void check_whole(struct reader *r)
{
	struct node_config *c = r->c;
	unsigned n = 0;

	for (unsigned i = 0; i < c->nservices; i++) {
		r->path = r->where[i];
		if (!c->services[i].argv[0]) {
			complain(r, 0, "service.%s has no exec, and is left out",
				 c->services[i].name);
		} else if (n++ != i) {
			c->services[n - 1] = c->services[i];
			memcpy(r->where[n - 1], r->where[i], sizeof(r->where[i]));
		}
	}
	c->nservices = n;
	for (unsigned i = 0; i < n; i++) {
		r->path = r->where[i];
		for (unsigned a = 0; a < c->services[i].after.n; a++)
			check_after(r, &c->services[i], c->services[i].after.v[a]);
	}
	r->path = r->console;
	if (c->console == NODE_LOGIN && !c->password[0]) {
		complain(r, 0, "login needs a password: it is \"status\" instead");
		c->console = NODE_STATUS;
	}
	arena_done(&r->arena);
}

static void load(struct reader *r, const struct node_sources *from, bool must)
{
	config_defaults(r->c);
	if (from->file)
		take_file(r, from->file, must);
	if (from->dir)
		take_dir(r, from->dir);
	if (from->state) {
		STR_AUTO file = xasprintf("%s/config.toml", from->state);
		STR_AUTO dir = xasprintf("%s/config.d", from->state);

		take_file(r, file, false);
		take_dir(r, dir);
	}
	if (from->cmdline)
		take_cmdline(r, from->cmdline);
	check_whole(r);
}

void node_config_load(const struct node_sources *from, bool must, struct node_config *c)
{
	struct reader r = {.c = c};

	load(&r, from, must);
}

const struct node_setting *node_config_show(const struct node_sources *from,
					    struct arena *a)
{
	struct node_config *c = arena_alloc(a, sizeof(*c));
	struct reader r = {.c = c, .keep = a};
	const char *pattern, *text;

	for (unsigned i = 0; key_default(i, &pattern, &text); i++)
		if (text && !strchr(pattern, '*'))
			remember(&r, pattern, text, "built-in");
	load(&r, from, false);
	return r.head;
}
