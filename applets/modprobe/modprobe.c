/*
 * modprobe: loads and removes kernel modules by the image's own index. The kernel calls it
 * ("modprobe -q -- ALIAS") for a file system, a protocol or a cipher that it lacks.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "applet.h"
#include "base/buf.h"
#include "base/str.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/module.h"

/* What init took from "modules.deny" of the configuration: a name a line. */
#define DENY_FILE "/run/cribox/modules.deny"

enum { DENY_MAX = 256, TEXT_MAX = 64 << 10 };

struct options {
	bool all, remove, dry, quiet, verbose, plan, names;
	const char *dir;
};

struct run {
	struct options o;
	struct module_index mi;
	char params[2048];
	struct buf cmdline, denied;
	const char *deny[DENY_MAX + 1];
};

static int parse(struct options *o, int argc, char **argv, struct err *err)
{
	int c;

	optind = 1;
	while ((c = getopt(argc, argv, "+:abqvnrDRd:s")) != -1) {
		switch (c) {
		case 'a':
			o->all = true;
			break;
		case 'b': /* what is denied is denied */
		case 's': /* there is no other log */
			break;
		case 'd':
			o->dir = optarg;
			break;
		case 'q':
			o->quiet = true;
			break;
		case 'v':
			o->verbose = true;
			break;
		case 'n':
			o->dry = true;
			break;
		case 'r':
			o->remove = true;
			break;
		case 'D':
			o->plan = true;
			break;
		case 'R':
			o->names = true;
			break;
		case ':':
			return err_set(err, ERR_INVALID, "option -%c: which?", optopt);
		default:
			return err_set(err, ERR_INVALID, "unrecognized option: -%c",
				       optopt);
		}
	}
	if (optind == argc)
		return err_set(err, ERR_INVALID, "which module? (see --help)");
	return 0;
}

static void read_policy(struct run *r)
{
	struct err ignored;
	size_t n = 0;

	if (file_read(AT_FDCWD, "/proc/cmdline", TEXT_MAX, &r->cmdline, &ignored) == 0)
		r->mi.cmdline = buf_str(&r->cmdline);
	if (file_read(AT_FDCWD, DENY_FILE, TEXT_MAX, &r->denied, &ignored) < 0)
		return;
	buf_add_char(&r->denied, 0);
	for (char *save, *w = strtok_r((char *)r->denied.data, "\n", &save);
	     w && n < DENY_MAX; w = strtok_r(NULL, "\n", &save))
		r->deny[n++] = w;
	r->mi.deny = r->deny;
}

/* --- -D, -R, -n, -v ----------------------------------------------------------------------- */

static void print_step(void *arg, const char *name, const char *file)
{
	const struct run *r = arg;

	if (!file)
		printf("builtin %s\n", name);
	else if (r->o.plan)
		printf("insmod %s\n", file);
	else if (!module_is_loaded(name))
		printf("insmod %s\n", file);
}

struct last {
	char name[MODINDEX_NAME_MAX];
};

static void keep_last(void *arg, const char *name, const char *file)
{
	struct last *l = arg;

	(void)file;
	str_copy(l->name, sizeof(l->name), name);
}

/* --- loading and removing ----------------------------------------------------------------- */

static int load(struct run *r, const char *what, struct err *err)
{
	if (r->o.names) {
		struct last last = {0};

		if (module_plan(&r->mi, what, keep_last, &last, err) < 0)
			return -1;
		puts(last.name);
		return 0;
	}
	if ((r->o.verbose || r->o.dry || r->o.plan) &&
	    module_plan(&r->mi, what, print_step, r, err) < 0)
		return -1;
	if (r->o.dry || r->o.plan)
		return 0;
	return module_load(&r->mi, what, r->params, err) < 0 ? -1 : 0;
}

struct names {
	char name[64][MODINDEX_NAME_MAX];
	size_t n;
};

static void add_name(void *arg, const char *name, const char *file)
{
	struct names *all = arg;

	if (file && all->n < ARRAY_LEN(all->name))
		str_copy(all->name[all->n++], MODINDEX_NAME_MAX, name);
}

/* The module must go; what it needed goes if nothing else needs it. */
static int unload(struct run *r, const char *what, struct err *err)
{
	struct names all = {.n = 0};
	struct err ignored;

	if (module_plan(&r->mi, what, add_name, &all, err) < 0)
		return -1;
	if (!all.n)
		return err_set(err, ERR_STATE, "%s: built into the kernel", what);
	for (size_t i = all.n; i-- > 0;) {
		bool top = i + 1 == all.n;

		if (r->o.verbose || r->o.dry)
			printf("rmmod %s\n", all.name[i]);
		if (r->o.dry)
			continue;
		if (module_remove(all.name[i], top ? err : &ignored) < 0 && top)
			return -1;
	}
	return 0;
}

static int each(struct run *r, char **words, int n, struct err *err)
{
	int status = 0;

	for (int i = 0; i < n; i++) {
		int got = r->o.remove ? unload(r, words[i], err) : load(r, words[i], err);

		if (got == 0)
			continue;
		status = 1;
		if (!r->o.quiet || err->code != ERR_NOT_FOUND)
			fprintf(stderr, "modprobe: %s\n", err->msg);
	}
	return status;
}

/* name=value words behind the module's name are its parameters. */
static int join_params(struct run *r, char **words, int n, struct err *err)
{
	BUF_AUTO text = {0};

	for (int i = 0; i < n; i++)
		buf_add_fmt(&text, "%s%s", i ? " " : "", words[i]);
	if (str_copy(r->params, sizeof(r->params), buf_str(&text)) < 0)
		return err_set(err, ERR_INVALID, "too many parameters");
	return 0;
}

static int run_words(struct run *r, char **words, int n, struct err *err)
{
	bool many = r->o.all || r->o.remove;

	if (!many && join_params(r, words + 1, n - 1, err) < 0)
		return -1;
	if (module_index_open(&r->mi, r->o.dir, err) < 0)
		return -1;
	read_policy(r);
	return each(r, words, many ? n : 1, err);
}

static int run(int argc, char **argv, struct err *err)
{
	struct run r = {.mi.dirfd = -1};
	int status;

	if (parse(&r.o, argc, argv, err) < 0)
		return -1;
	status = run_words(&r, argv + optind, argc - optind, err);
	module_index_close(&r.mi);
	buf_done(&r.cmdline);
	buf_done(&r.denied);
	return status;
}

const struct applet applet_modprobe = {
	.name = "modprobe",
	.purpose = "load kernel modules with all that they need, or remove them",
	.synopsis = "[-qvnDR] MODULE|ALIAS|@LIST [NAME=VALUE]... | -a MODULE... | -r "
		    "MODULE...",
	.usage = "  -a      every word is a module, not a parameter\n"
		 "  -r      remove, with what nothing else needs\n"
		 "  -n      only say what would be done\n"
		 "  -D      say what the module needs, in order\n"
		 "  -R      say which module an alias means\n"
		 "  -q      nothing is said of what is unknown\n"
		 "  -v      say what is done\n"
		 "  -d DIR  the index and its modules (/lib/modules/RELEASE)\n",
	.run = run,
};
