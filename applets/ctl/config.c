#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "os/file.h"
#include "print.h"
#include "wire/yaml.h"

enum { CONFIG_MAX = 64 << 10 };

enum key_type { KEY_TEXT, KEY_NUMBER, KEY_BOOL };

/* The keys of the file, in the order in which crictl lists them. */
enum {
	RUNTIME_ENDPOINT,
	IMAGE_ENDPOINT,
	TIMEOUT,
	DEBUG,
	PULL_ON_CREATE,
	NO_PULL_ON_RUN,
	MAX_RETRIES,
	KEYS
};

static const struct {
	const char *name;
	enum key_type type;
	const char *zero;
} keys[KEYS] = {
	[RUNTIME_ENDPOINT] = {"runtime-endpoint", KEY_TEXT, ""},
	[IMAGE_ENDPOINT] = {"image-endpoint", KEY_TEXT, ""},
	[TIMEOUT] = {"timeout", KEY_NUMBER, "0"},
	[DEBUG] = {"debug", KEY_BOOL, "false"},
	[PULL_ON_CREATE] = {"pull-image-on-create", KEY_BOOL, "false"},
	[NO_PULL_ON_RUN] = {"disable-pull-on-run", KEY_BOOL, "false"},
	[MAX_RETRIES] = {"max-retries", KEY_NUMBER, "0"},
};

struct config {
	const char *text[KEYS]; /* as in the file, checked; the arena's or static */
	bool set[KEYS];
};

static int key_of(const char *name, struct err *err)
{
	for (int i = 0; i < KEYS; i++)
		if (str_eq(keys[i].name, name))
			return i;
	return err_set(err, ERR_INVALID, "'%.100s' is not an option of the configuration",
		       name);
}

static int set_key(struct ctl *c, struct config *cfg, const char *name, const char *text,
		   struct err *err)
{
	int i = key_of(name, err);
	int64_t n;

	if (i < 0)
		return -1;
	if (keys[i].type == KEY_NUMBER && num_i64(text, INT32_MIN, INT32_MAX, &n) < 0)
		return err_set(err, ERR_INVALID, "%s: '%.100s' is not a number", name,
			       text);
	if (keys[i].type == KEY_BOOL && !str_eq(text, "true") && !str_eq(text, "false"))
		return err_set(err, ERR_INVALID, "%s: '%.100s' is not true or false",
			       name, text);
	cfg->text[i] = arena_strdup(&c->arena, text);
	cfg->set[i] = true;
	return 0;
}

static int take_member(struct ctl *c, struct config *cfg, const char *name, yyjson_val *v,
		       struct err *err)
{
	char num[32];
	const char *text = num;

	if (yyjson_is_str(v))
		text = yyjson_get_str(v);
	else if (yyjson_is_bool(v))
		text = yyjson_get_bool(v) ? "true" : "false";
	else if (yyjson_is_int(v))
		snprintf(num, sizeof(num), "%" PRId64, yyjson_get_sint(v));
	else if (yyjson_is_null(v))
		return key_of(name, err) < 0 ? -1 : 0;
	else
		return err_set(err, ERR_INVALID, "%.100s: not a plain value", name);
	return set_key(c, cfg, name, text, err);
}

static int load(struct ctl *c, const char *path, struct config *cfg, struct err *err)
{
	BUF_AUTO text = {0};
	JSON_AUTO doc = NULL;
	yyjson_val *root, *k, *v;

	*cfg = (struct config){0};
	for (int i = 0; i < KEYS; i++)
		cfg->text[i] = keys[i].zero;
	if (file_read(AT_FDCWD, path, CONFIG_MAX, &text, err) < 0)
		return -1;
	doc = yaml_parse(text.data, text.len, err);
	if (!doc)
		return err_wrap(err, "%s", path);
	root = yyjson_doc_get_root(doc);
	if (!yyjson_is_null(root) && !yyjson_is_obj(root))
		return err_set(err, ERR_INVALID, "%s: not a mapping", path);
	json_each_member (k, v, root)
		if (take_member(c, cfg, yyjson_get_str(k), v, err) < 0)
			return err_wrap(err, "%s", path);
	return 0;
}

/* The file that was named must be there, except for `config`, which makes it. */
static int find_and_load(struct ctl *c, bool makes_it, struct config *cfg,
			 struct err *err)
{
	char self[4096];
	ssize_t n;

	if (access(c->config_file, F_OK) == 0)
		return load(c, c->config_file, cfg, err);
	if (makes_it)
		return 0;
	if (c->config_given)
		return err_sys(err, errno, "%s", c->config_file);
	/* crictl looks beside itself */
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n > 0) {
		const char *beside;

		self[n] = 0;
		beside = arena_fmt(&c->arena, "%s/crictl.yaml", dirname(self));
		if (access(beside, F_OK) == 0)
			return load(c, beside, cfg, err);
	}
	return 0;
}

static const char *endpoint(const struct opts *o, const struct config *cfg, int key)
{
	const struct opt_value *v = opts_get(o, keys[key].name);

	if (v->set)
		return v->text;
	return cfg->set[key] && *cfg->text[key] ? cfg->text[key] : NULL;
}

static int64_t number(const struct config *cfg, int key, int64_t def)
{
	int64_t v;

	if (!cfg->set[key] || num_i64(cfg->text[key], INT32_MIN, INT32_MAX, &v) < 0)
		return def;
	return v;
}

int config_apply(struct ctl *c, const struct opts *o, struct err *err)
{
	struct config cfg = {0};
	const struct opt_value *timeout = opts_get(o, "timeout");

	c->config_file = opts_text(o, "config");
	c->config_given = c->config_file != NULL;
	if (!c->config_given)
		c->config_file = "/etc/crictl.yaml";
	if (find_and_load(c, str_eq(o->argv[0], "config"), &cfg, err) < 0)
		return -1;
	c->runtime_endpoint = endpoint(o, &cfg, RUNTIME_ENDPOINT);
	c->image_endpoint = endpoint(o, &cfg, IMAGE_ENDPOINT);
	if (c->image_endpoint && c->runtime_endpoint &&
	    str_eq(c->image_endpoint, c->runtime_endpoint))
		c->image_endpoint = NULL;
	c->timeout = timeout->set ? timeout->num : number(&cfg, TIMEOUT, 0) * NS_PER_SEC;
	c->timeout_given = c->timeout > 0;
	if (!c->timeout_given)
		c->timeout = 2 * NS_PER_SEC;
	c->max_retries = opts_num(o, "max-retries", number(&cfg, MAX_RETRIES, 3));
	c->pull_on_create =
		cfg.set[PULL_ON_CREATE] && str_eq(cfg.text[PULL_ON_CREATE], "true");
	c->no_pull_on_run =
		cfg.set[NO_PULL_ON_RUN] && str_eq(cfg.text[NO_PULL_ON_RUN], "true");
	if (opts_get(o, "debug")->set ? opts_flag(o, "debug")
				      : cfg.set[DEBUG] && str_eq(cfg.text[DEBUG], "true"))
		c->log.level = LOG_LEVEL_DEBUG;
	return 0;
}

/* --- the command ---------------------------------------------------------------------------- */

/* Whether a line of the file sets this key. */
static bool sets(const char *line, const char *key)
{
	size_t n = strlen(key);

	line += strspn(line, " \"'");
	return strncmp(line, key, n) == 0 &&
	       strspn(line + n, " \"'") < strlen(line + n) &&
	       line[n + strspn(line + n, " \"'")] == ':';
}

static void add_key(struct buf *out, const struct config *cfg, int i)
{
	if (keys[i].type == KEY_TEXT) {
		buf_add_fmt(out, "%s: \"", keys[i].name);
		for (const char *p = cfg->text[i]; *p; p++) {
			if (*p == '"' || *p == '\\')
				buf_add_char(out, '\\');
			buf_add_char(out, *p);
		}
		buf_add_str(out, "\"\n");
	} else {
		buf_add_fmt(out, "%s: %s\n", keys[i].name, cfg->text[i]);
	}
}

/* Writes the file back with its comments: lines that set a key are replaced. */
static int save(struct ctl *c, const struct config *cfg, struct err *err)
{
	BUF_AUTO old = {0};
	BUF_AUTO text = {0};
	bool done[KEYS] = {0};
	char *dir = arena_strdup(&c->arena, c->config_file);

	if (access(c->config_file, F_OK) == 0 &&
	    file_read(AT_FDCWD, c->config_file, CONFIG_MAX, &old, err) < 0)
		return -1;
	for (const char *line = buf_str(&old); *line;) {
		size_t n = strcspn(line, "\n");
		int key = 0;

		while (key < KEYS && !sets(line, keys[key].name))
			key++;
		if (key == KEYS) {
			buf_add(&text, line, n);
			buf_add_char(&text, '\n');
		} else if (!done[key]) {
			add_key(&text, cfg, key);
			done[key] = true;
		}
		line += n + (line[n] == '\n');
	}
	for (int i = 0; i < KEYS; i++)
		if (!done[i])
			add_key(&text, cfg, i);
	dir = dirname(dir);
	if (file_mkdirs(AT_FDCWD, dir, 0755, err) < 0)
		return -1;
	return file_replace(AT_FDCWD, c->config_file, text.data, text.len, 0600, true,
			    err);
}

static int set_pairs(struct ctl *c, struct config *cfg, const struct opt_value *list,
		     struct err *err)
{
	for (unsigned i = 0; i < list->n; i++) {
		char *word = arena_strdup(&c->arena, list->list[i]), *next;

		for (; word; word = next) {
			char *eq;

			next = strchr(word, ',');
			if (next)
				*next++ = 0;
			eq = strchr(word, '=');
			if (!eq)
				return err_set(err, ERR_INVALID,
					       "--set: '%.100s' is not KEY=VALUE", word);
			*eq = 0;
			if (set_key(c, cfg, word, eq + 1, err) < 0)
				return -1;
		}
	}
	return save(c, cfg, err);
}

static int show_all(struct ctl *c, const struct config *cfg)
{
	static const char *const head[] = {"KEY", "VALUE", NULL};
	TABLE_AUTO t = {0};

	table_add_head(&t, head);
	for (int i = 0; i < KEYS; i++) {
		table_add(&t, keys[i].name);
		table_add(&t, cfg->text[i]);
	}
	table_print(c, &t);
	return 0;
}

static int run_config(struct ctl *c, const struct opts *o, struct err *err)
{
	struct config cfg = {0};
	const char *get = opts_text(o, "get");
	int i;

	for (i = 0; i < KEYS; i++)
		cfg.text[i] = keys[i].zero;
	if (access(c->config_file, F_OK) < 0 && save(c, &cfg, err) < 0)
		return -1;
	if (load(c, c->config_file, &cfg, err) < 0)
		return -1;
	if (get) {
		i = key_of(get, err);
		if (i < 0)
			return -1;
		ctl_say(c, "%s\n", cfg.text[i]);
		return 0;
	}
	if (opts_get(o, "set")->set)
		return set_pairs(c, &cfg, opts_get(o, "set"), err);
	if (opts_flag(o, "list"))
		return show_all(c, &cfg);
	if (o->argc == 2)
		return set_key(c, &cfg, o->argv[0], o->argv[1], err) < 0
			       ? -1
			       : save(c, &cfg, err);
	return err_set(err, ERR_INVALID, "config: KEY VALUE, --get, --set or --list?");
}

static const char config_opts[] =
	"      --get KEY               show one value\n"
	"      --set KEY=VALUE         set values, separated by commas\n"
	"      --list                  show all of it\n";

const struct command ctl_config = {
	.name = "config",
	.synopsis = "[KEY VALUE]",
	.purpose = "Show or change the configuration file",
	.opts = config_opts,
	.max = 2,
	.run = run_config,
	.notes = "Keys: runtime-endpoint, image-endpoint, timeout (seconds), debug,\n"
		 "pull-image-on-create, disable-pull-on-run, max-retries\n",
};
