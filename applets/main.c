/*
 * main: one binary, many programs. Which one it is says basename(argv[0]);
 * called as "cribox" (or "cribox-*"), the first argument says it. busybox's
 * conventions, so that fingers that know one know the other.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets.h"
#include "base/buf.h"
#include "base/num.h"
#include "base/str.h"
#include "heap.h"

#ifndef CRIBOX_VERSION
#define CRIBOX_VERSION "unknown"
#endif
#ifndef CRIBOX_ARCH
#define CRIBOX_ARCH "unknown"
#endif

#define APPLET_ENTRY(name) &applet_##name,
static const struct applet *const applets[] = {APPLETS(APPLET_ENTRY) NULL};

/* Calls fn for each name of an applet: its own, then the aliases. */
static const struct applet *find(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; applets[i]; i++) {
		if (str_eq(applets[i]->name, name))
			return applets[i];
		for (const char *p = applets[i]->alias; *p;) {
			size_t len = strcspn(p, " ");

			if (len == n && memcmp(p, name, n) == 0)
				return applets[i];
			p += len + strspn(p + len, " ");
		}
	}
	return NULL;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void print_version(FILE *out)
{
	fprintf(out, "cribox %s (%s, musl)\n", CRIBOX_VERSION, CRIBOX_ARCH);
}

static int flush(struct err *err)
{
	if (fflush(stdout) == EOF || ferror(stdout))
		return err_sys(err, errno, "write to standard output");
	return 0;
}

static void print_help(const struct applet *a, const char *name)
{
	printf("usage: %s%s%s\n\n%s\n", name, str_empty(a->synopsis) ? "" : " ",
	       str_or_empty(a->synopsis), str_or_empty(a->purpose));
	if (a->usage)
		printf("\n%s", a->usage);
}

static void print_overview(void)
{
	print_version(stdout);
	puts("A container node in one binary.\n\n"
	     "usage: cribox APPLET [ARGUMENTS]...\n"
	     "   or: cribox --list | --install [-s] DIR | --help [APPLET] | --version\n"
	     "   or: APPLET [ARGUMENTS]... through a link with the applet's name\n\n"
	     "Applets:");
	for (size_t i = 0; applets[i]; i++)
		if (applets[i]->purpose)
			printf("  %-12s %s\n", applets[i]->name, applets[i]->purpose);
}

/* Calls fn with each public name of each applet until it fails. */
static int each_name(int (*fn)(void *arg, const char *name, struct err *err), void *arg,
		     struct err *err)
{
	for (size_t i = 0; applets[i]; i++) {
		const char *p = applets[i]->alias;

		if (!applets[i]->purpose)
			continue;
		if (fn(arg, applets[i]->name, err) < 0)
			return -1;
		while (*p) {
			size_t len = strcspn(p, " ");
			STR_AUTO alias = xstrndup(p, len);

			if (fn(arg, alias, err) < 0)
				return -1;
			p += len + strspn(p + len, " ");
		}
	}
	return 0;
}

static int list_one(void *arg, const char *name, struct err *err)
{
	(void)arg;
	(void)err;
	puts(name);
	return 0;
}

struct install {
	const char *dir;
	const char *self;
	bool symbolic;
};

static int install_one(void *arg, const char *name, struct err *err)
{
	const struct install *in = arg;
	STR_AUTO path = xasprintf("%s/%s", in->dir, name);
	int r = in->symbolic ? symlink(in->self, path) : link(in->self, path);

	if (r < 0 && errno != EEXIST)
		return err_sys(err, errno, "--install: %s", path);
	return 0;
}

static int install(int argc, char **argv, struct err *err)
{
	char self[4096];
	struct install in = {.self = self};
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0)
		return err_sys(err, errno, "--install: /proc/self/exe");
	self[n] = 0;
	for (int i = 2; i < argc; i++) {
		if (str_eq(argv[i], "-s"))
			in.symbolic = true;
		else if (*argv[i] == '-' || in.dir)
			return err_set(err, ERR_INVALID,
				       "--install: unexpected argument: %s", argv[i]);
		else
			in.dir = argv[i];
	}
	if (!in.dir)
		return err_set(err, ERR_INVALID, "--install: which directory?");
	return each_name(install_one, &in, err);
}

static int unknown_applet(const char *name)
{
	const char *best = NULL;
	unsigned least = 4;
	BUF_AUTO line = {0};

	for (size_t i = 0; applets[i]; i++) {
		unsigned d = str_distance(name, applets[i]->name);

		if (applets[i]->purpose && d < least && d < strlen(applets[i]->name)) {
			least = d;
			best = applets[i]->name;
		}
	}
	buf_add_str(&line, "cribox: ");
	str_escape(&line, name, strnlen(name, 200));
	buf_add_str(&line, ": applet not found");
	if (best)
		buf_add_fmt(&line, " (did you mean '%s'?)", best);
	fprintf(stderr, "%s\n", buf_str(&line));
	return 127;
}

static int run(const struct applet *a, int argc, char **argv, struct err *err)
{
	if (argc == 2 && str_eq(argv[1], "--help") && a->purpose) {
		print_help(a, base_name(argv[0]));
		return flush(err);
	}
	prctl(PR_SET_NAME, a->name); /* not the name of an fd it was started from */
	if (a->brief)
		heap_brief();
	return a->run(argc, argv, err);
}

/* What "cribox ARGUMENTS" does. */
static int multiplex(int argc, char **argv, struct err *err)
{
	const struct applet *a;

	if (argc < 2 ||
	    (argc == 2 && (str_eq(argv[1], "--help") || str_eq(argv[1], "-h")))) {
		print_overview();
		return flush(err);
	}
	if (str_eq(argv[1], "--version") || str_eq(argv[1], "-V")) {
		print_version(stdout);
		return flush(err);
	}
	if (str_eq(argv[1], "--list")) {
		each_name(list_one, NULL, err);
		return flush(err);
	}
	if (str_eq(argv[1], "--install"))
		return install(argc, argv, err);
	if (str_eq(argv[1], "--help")) {
		a = find(argv[2]);
		if (!a || !a->purpose)
			return unknown_applet(argv[2]);
		print_help(a, a->name);
		return flush(err);
	}
	if (*argv[1] == '-')
		return err_set(err, ERR_INVALID, "unrecognized option: %s (see --help)",
			       argv[1]);
	a = find(base_name(argv[1]));
	return a ? run(a, argc - 1, argv + 1, err) : unknown_applet(base_name(argv[1]));
}

int main(int argc, char **argv)
{
	const char *name = argc && argv[0] ? base_name(argv[0]) : "cribox";
	struct err err = {0};
	BUF_AUTO line = {0};
	const struct applet *a;
	int status;

	if (*name == '-') /* a login shell */
		name++;
	a = find(name);
	if (a)
		status = run(a, argc, argv, &err);
	else if (str_starts(name, "cribox"))
		status = multiplex(argc, argv, &err);
	else
		status = unknown_applet(name);
	if (status >= 0)
		return status;
	buf_add_str(&line, "cribox: ");
	str_escape(&line, err.msg, strlen(err.msg));
	buf_add_char(&line, '\n');
	/* one write: callers read it in one piece */
	if (write(STDERR_FILENO, line.data, line.len) < 0)
		return 2;
	return 1;
}
