/* settings: where crid's settings come from. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "crid/crid.h"
#include "node/config.h"
#include "os/file.h"
#include "wire/json.h"
#include "wire/toml.h"

#define DEFAULT_CONFIG "/etc/cribox/config.toml"
#define DROP_INS "/etc/cribox/config.d"

/* A setting with a text. The same name is an option, a key and a --set. */
static const struct key {
	const char *name;
	size_t offset;
} keys[] = {
	{"root", offsetof(struct settings, root)},
	{"state", offsetof(struct settings, state)},
	{"registry-dir", offsetof(struct settings, registry_dir)},
	{"preload-dir", offsetof(struct settings, preload_dir)},
	{"cni-conf-dir", offsetof(struct settings, cni_conf_dir)},
	{"cni-bin-dir", offsetof(struct settings, cni_bin_dir)},
	{"cni-cache-dir", offsetof(struct settings, cni_cache_dir)},
	{"cni-subnet", offsetof(struct settings, cni_subnet)},
	{"cni-builtin", offsetof(struct settings, cni_builtin)},
	{"cgroup-driver", offsetof(struct settings, cgroup_driver)},
};

static int bad_key(const char *name, struct err *err)
{
	const char *best = NULL;
	unsigned least = 4;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		unsigned d = str_distance(keys[i].name, name);

		if (d < least) {
			least = d;
			best = keys[i].name;
		}
	}
	return err_set(err, ERR_INVALID, "unknown key \"%s\"%s%s%s", name,
		       best ? ", did you mean \"" : "", best ? best : "",
		       best ? "\"?" : "");
}

static int add_listen(struct settings *st, const char *url, struct err *err)
{
	if (!str_starts(url, "unix:///"))
		return err_set(err, ERR_INVALID,
			       "listen \"%s\": only unix:///PATH is supported", url);
	if (st->nlisten == CRID_MAX_LISTEN)
		return err_set(err, ERR_INVALID, "listen: more than %d addresses",
			       CRID_MAX_LISTEN);
	st->listen[st->nlisten++] = arena_strdup(&st->arena, url);
	return 0;
}

/* What is read later wins, so each source is applied over the one before. */
static int set(struct settings *st, const char *name, const char *value, struct err *err)
{
	if (str_eq(name, "listen"))
		return add_listen(st, value, err);
	if (str_eq(name, "log-level")) {
		if (log_level_parse(value, &st->level) < 0)
			return err_set(err, ERR_INVALID,
				       "log-level \"%s\": not error, warn, info or debug",
				       value);
		return 0;
	}
	if (str_eq(name, "cni-builtin") && !str_eq(value, "auto") &&
	    !str_eq(value, "never"))
		return err_set(err, ERR_INVALID, "cni-builtin \"%s\": not auto or never",
			       value);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (!str_eq(keys[i].name, name))
			continue;
		if (str_ends(name, "-dir") || str_eq(name, "root") ||
		    str_eq(name, "state"))
			if (*value != '/')
				return err_set(err, ERR_INVALID,
					       "%s \"%s\" is not an absolute path", name,
					       value);
		if (str_eq(name, "cgroup-driver") && !str_eq(value, "cgroupfs") &&
		    !str_eq(value, "systemd"))
			return err_set(err, ERR_INVALID,
				       "%s \"%s\": not cgroupfs or systemd", name, value);
		*(const char **)(void *)((char *)st + keys[i].offset) =
			arena_strdup(&st->arena, value);
		return 0;
	}
	return bad_key(name, err);
}

static int set_toml(struct settings *st, const struct toml *t, struct err *err)
{
	if (t->type == TOML_STRING)
		return set(st, t->key, t->str, err);
	if (t->type == TOML_ARRAY && str_eq(t->key, "listen")) {
		for (const struct toml *v = t->first; v; v = v->next)
			if (v->type != TOML_STRING || add_listen(st, v->str, err) < 0)
				return v->type == TOML_STRING
					       ? -1
					       : toml_bad(v, err, "must be a string");
		return 0;
	}
	return toml_bad(t, err, "must be a string");
}

static int read_file(struct settings *st, const char *path, bool needed, struct err *err)
{
	BUF_AUTO text = {0};
	const struct toml *root;

	if (file_read(AT_FDCWD, path, TOML_MAX, &text, err) < 0)
		return !needed && err->code == ERR_NOT_FOUND ? 0 : -1;
	root = toml_parse(text.data, text.len, &st->arena, err);
	if (!root)
		return err_wrap(err, "%s", path);
	for (const struct toml *t = root->first; t; t = t->next)
		if (!node_config_names(t->key) && set_toml(st, t, err) < 0)
			return err_wrap(err, "%s: line %u", path, t->line);
	return 0;
}

static int only_toml(const struct dirent *e)
{
	return str_ends(e->d_name, ".toml");
}

static int read_drop_ins(struct settings *st, struct err *err)
{
	struct dirent **list;
	int n = scandir(DROP_INS, &list, only_toml, alphasort), r = 0;

	for (int i = 0; i < n; i++) {
		STR_AUTO path = xasprintf(DROP_INS "/%s", list[i]->d_name);

		if (r == 0)
			r = read_file(st, path, true, err);
		free(list[i]);
	}
	if (n >= 0)
		free(list);
	return r;
}

enum { OPT_CONFIG = 256, OPT_SET, OPT_CHECK, OPT_UNIT, OPT_KEY };

static const struct option options[] = {{"config", 1, NULL, OPT_CONFIG},
					{"set", 1, NULL, OPT_SET},
					{"check-config", 0, NULL, OPT_CHECK},
					{"print-unit", 0, NULL, OPT_UNIT},
					{"root", 1, NULL, OPT_KEY},
					{"state", 1, NULL, OPT_KEY},
					{"listen", 1, NULL, OPT_KEY},
					{"registry-dir", 1, NULL, OPT_KEY},
					{"preload-dir", 1, NULL, OPT_KEY},
					{"cni-conf-dir", 1, NULL, OPT_KEY},
					{"cni-bin-dir", 1, NULL, OPT_KEY},
					{"cni-cache-dir", 1, NULL, OPT_KEY},
					{"cni-subnet", 1, NULL, OPT_KEY},
					{"cni-builtin", 1, NULL, OPT_KEY},
					{"log-level", 1, NULL, OPT_KEY},
					{"cgroup-driver", 1, NULL, OPT_KEY},
					{NULL, 0, NULL, 0}};

static int set_option(struct settings *st, int c, int index, struct err *err)
{
	char *eq;

	switch (c) {
	case OPT_CONFIG:
		return 0; /* the first pass has it */
	case OPT_SET:
		eq = strchr(optarg, '=');
		if (!eq)
			return err_set(err, ERR_INVALID, "--set %s: not KEY=VALUE",
				       optarg);
		*eq = 0;
		return set(st, optarg, eq + 1, err);
	case OPT_CHECK:
		st->check = true;
		return 0;
	case OPT_UNIT:
		st->print_unit = true;
		return 0;
	case OPT_KEY:
		return set(st, options[index].name, optarg, err);
	default:
		return err_set(err, ERR_INVALID,
			       "unrecognized option, or its value is missing");
	}
}

static int read_options(struct settings *st, int argc, char **argv, struct err *err)
{
	unsigned from_files = st->nlisten;
	int c, index = 0;

	opterr = 0;
	optind = 1;
	while ((c = getopt_long(argc, argv, "", options, &index)) >= 0) {
		const char *word = argv[optind - 1];

		if (c == OPT_KEY && str_eq(options[index].name, "listen") && from_files) {
			st->nlisten = 0; /* replaces what the files say */
			from_files = 0;
		}
		if (set_option(st, c, index, err) < 0)
			return c == '?' ? err_wrap(err, "%s", word) : -1;
	}
	if (optind < argc)
		return err_set(err, ERR_INVALID, "unexpected argument: %s", argv[optind]);
	return 0;
}

int settings_read(struct settings *st, int argc, char **argv, struct err *err)
{
	const char *config = NULL;
	int c;

	*st = (struct settings){.level = LOG_LEVEL_INFO,
				.root = "/var/lib/cribox",
				.cni_builtin = "auto",
				.state = "/run/cribox",
				.cgroup_driver = "cgroupfs"};
	opterr = 0;
	optind = 1;
	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
		if (c == OPT_CONFIG)
			config = optarg;
	if (read_file(st, config ? config : DEFAULT_CONFIG, config != NULL, err) < 0 ||
	    (!config && read_drop_ins(st, err) < 0) ||
	    read_options(st, argc, argv, err) < 0)
		return -1;
	if (!st->nlisten)
		return add_listen(st, "unix:///run/cribox/crid.sock", err);
	return 0;
}

const char *settings_json(struct settings *st)
{
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d), *arr;
	BUF_AUTO text = {0};

	json_add_str(d, root, "rootDir", st->root);
	json_add_str(d, root, "stateDir", st->state);
	json_add_str(d, root, "registryDir", st->registry_dir);
	json_add_str(d, root, "preloadDir", st->preload_dir);
	json_add_str(d, root, "cniConfDir", st->cni_conf_dir);
	json_add_str(d, root, "cniBinDir", st->cni_bin_dir);
	json_add_str(d, root, "cniBuiltin", st->cni_builtin);
	json_add_str(d, root, "cgroupDriver", st->cgroup_driver);
	arr = json_add_arr(d, root, "listen");
	for (unsigned i = 0; i < st->nlisten; i++)
		yyjson_mut_arr_add_strcpy(d, arr, st->listen[i]);
	json_write(d, false, &text);
	return arena_strdup(&st->arena, buf_str(&text));
}

int print_unit(struct err *err)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0)
		return err_sys(err, errno, "/proc/self/exe");
	self[n] = 0;
	printf("[Unit]\n"
	       "Description=cribox CRI daemon\n"
	       "After=network.target local-fs.target\n"
	       "\n"
	       "[Service]\n"
	       "ExecStart=%s crid\n"
	       "Type=notify\n"
	       "Delegate=yes\n"
	       "# only the daemon is stopped: pods go on\n"
	       "KillMode=process\n"
	       "Restart=always\n"
	       "RestartSec=1\n"
	       "LimitNOFILE=1048576\n"
	       "LimitNPROC=infinity\n"
	       "LimitCORE=0\n"
	       "TasksMax=infinity\n"
	       "OOMScoreAdjust=-999\n"
	       "\n"
	       "[Install]\n"
	       "WantedBy=multi-user.target\n",
	       self);
	return fflush(stdout) == EOF ? err_sys(err, errno, "standard output") : 0;
}
