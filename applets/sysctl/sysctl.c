/* sysctl: the kernel's settings below /proc/sys. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "applets.h"
#include "base/buf.h"
#include "base/str.h"
#include "os/file.h"
#include "tool.h"

static const char usage[] =
	"  -a, --all               all that can be read\n"
	"  -w, --write             (KEY=VALUE sets without it)\n"
	"  -n, --values            without keys\n"
	"  -e, --ignore            silence about keys that do not exist\n"
	"  -q, --quiet             do not print what was set\n";

static char *swapped(const char *s)
{
	char *copy = xstrdup(s);

	for (char *p = copy; *p; p++)
		*p = *p == '.' ? '/' : *p == '/' ? '.' : *p;
	return copy;
}

/*
 * A key may be written "net.ipv4.ip_forward" or "net/ipv4/ip_forward"; in each the other
 * separator stands for itself in a name. The first form; caller frees.
 */
static char *dotted(const char *key)
{
	const char *first = strpbrk(key, "./");

	return first && *first == '/' ? swapped(key) : xstrdup(key);
}

/* Caller frees. */
static char *path_of(const char *key)
{
	STR_AUTO below = swapped(key);

	return xasprintf("/proc/sys/%s", below);
}

static void print_value(const struct tool *t, const char *key, char *text)
{
	char *line;

	while ((line = strsep(&text, "\n"))) {
		if (!*line && text == NULL)
			break;
		if (!opts_flag(&t->o, "values"))
			printf("%s = ", key);
		for (char *p = line; *p; p++)
			*p = *p == '\t' ? ' ' : *p;
		tool_print(line);
		putchar('\n');
	}
}

static void show(struct tool *t, const char *key, const char *path)
{
	BUF_AUTO text = {0};
	struct err err;

	if (file_read(AT_FDCWD, path, 1 << 20, &text, &err) == 0)
		print_value(t, key, (char *)(uintptr_t)buf_str(&text));
	else if (err.sys != ENOENT || !opts_flag(&t->o, "ignore"))
		tool_warn(t, err.sys, "%s", key);
}

static void set(struct tool *t, const char *key, const char *value)
{
	STR_AUTO path = path_of(key);
	struct err err;

	value += strspn(value, " ");
	if (file_write(AT_FDCWD, path, value, &err) == 0) {
		if (!opts_flag(&t->o, "quiet"))
			printf("%s = %s\n", key, value);
	} else if (err.sys != ENOENT || !opts_flag(&t->o, "ignore")) {
		tool_warn(t, err.sys, "%s", key);
	}
}

/* All below a directory; key is what is above it, with a dot at its end. */
static void show_tree(struct tool *t, const char *path, const char *key)
{
	struct dirent **list;
	int n = scandir(path, &list, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		STR_AUTO below = xasprintf("%s/%s", path, list[i]->d_name);
		STR_AUTO name = xasprintf("%s%s", key, list[i]->d_name);
		struct stat st;

		if (list[i]->d_name[0] != '.' && lstat(below, &st) == 0) {
			if (S_ISDIR(st.st_mode)) {
				STR_AUTO more = xasprintf("%s.", name);

				show_tree(t, below, more);
			} else if (st.st_mode & 0444) {
				BUF_AUTO text = {0};
				struct err ignored;

				if (file_read(AT_FDCWD, below, 1 << 20, &text,
					      &ignored) == 0)
					print_value(t, name,
						    (char *)(uintptr_t)buf_str(&text));
			}
		}
		free(list[i]);
	}
	if (n >= 0)
		free(list);
}

static void one(struct tool *t, char *arg)
{
	char *eq = strchr(arg, '=');
	STR_AUTO key = NULL;
	STR_AUTO path = NULL;
	struct stat st;

	if (eq)
		*eq = 0;
	arg[strcspn(arg, " ")] = 0;
	key = dotted(arg);
	path = path_of(key);
	if (eq) {
		set(t, key, eq + 1);
	} else if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		STR_AUTO above = xasprintf("%s.", key);

		show_tree(t, path, above);
	} else {
		show(t, key, path);
	}
}

static int run(int argc, char **argv, struct err *err)
{
	struct tool t;

	if (tool_start(&t, &applet_sysctl, argc, argv, 0, -1, err) < 0)
		return -1;
	if (opts_flag(&t.o, "all"))
		show_tree(&t, "/proc/sys", "");
	else if (t.o.argc == 0)
		return err_set(err, ERR_INVALID, "sysctl: which key? (see --help)");
	for (int i = 0; i < t.o.argc; i++)
		one(&t, t.o.argv[i]);
	return tool_end(&t, err);
}

const struct applet applet_sysctl = {
	.name = "sysctl",
	.purpose = "print or set the kernel's settings",
	.synopsis = "[-a] [-n] [KEY | KEY=VALUE]...",
	.usage = usage,
	.run = run,
};
