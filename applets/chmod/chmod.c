/* chmod: modes of files, in octal or as u+x,go-w. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "applets.h"
#include "base/num.h"
#include "base/str.h"
#include "tool.h"

enum { DEPTH = 500 };

static const char usage[] = "  -R, --recursive         directories and all in them\n";

/* One "ug+rw" of a list; *p ends behind it. The mode that it makes of mode, or -1. */
static int clause(const char **p, mode_t mode, bool dir)
{
	mode_t who = 0, bits = 0;
	char op;

	for (;; (*p)++) {
		if (**p == 'u')
			who |= S_ISUID | 0700;
		else if (**p == 'g')
			who |= S_ISGID | 0070;
		else if (**p == 'o')
			who |= S_ISVTX | 0007;
		else if (**p == 'a')
			who |= 07777;
		else
			break;
	}
	if (!who)
		who = 07777;
	op = **p;
	if (op != '+' && op != '-' && op != '=')
		return -1;
	for ((*p)++; **p && **p != ','; (*p)++) {
		if (**p == 'r')
			bits |= 0444;
		else if (**p == 'w')
			bits |= 0222;
		else if (**p == 'x' || (**p == 'X' && (dir || mode & 0111)))
			bits |= 0111;
		else if (**p == 's')
			bits |= S_ISUID | S_ISGID;
		else if (**p == 't')
			bits |= S_ISVTX;
		else if (**p != 'X')
			return -1;
	}
	bits &= who;
	if (op == '+')
		return (int)(mode | bits);
	if (op == '-')
		return (int)(mode & ~bits);
	return (int)((mode & ~who) | bits);
}

static int apply(const char *text, mode_t mode, bool dir)
{
	uint64_t octal;

	if (num_octal(text, 07777, &octal) == 0)
		return (int)octal;
	for (;;) {
		int made = clause(&text, mode, dir);

		if (made < 0 || !*text)
			return made;
		mode = (mode_t)made;
		text++;
	}
}

static void change(struct tool *t, const char *text, const char *path, unsigned depth)
{
	struct stat st;

	if ((depth ? lstat(path, &st) : stat(path, &st)) < 0) {
		tool_warn(t, errno, "%s", path);
		return;
	}
	if (S_ISLNK(st.st_mode)) /* it has no mode of its own */
		return;
	if (chmod(path, (mode_t)apply(text, st.st_mode & 07777, S_ISDIR(st.st_mode))) < 0)
		tool_warn(t, errno, "%s", path);
	if (S_ISDIR(st.st_mode) && opts_flag(&t->o, "recursive") && depth < DEPTH) {
		DIR *d = opendir(path);
		struct dirent *e;

		if (!d) {
			tool_warn(t, errno, "%s", path);
			return;
		}
		while ((e = readdir(d))) {
			STR_AUTO below = xasprintf("%s/%s", path, e->d_name);

			if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, ".."))
				change(t, text, below, depth + 1);
		}
		closedir(d);
	}
}

static int run(int argc, char **argv, struct err *err)
{
	struct tool t;

	if (tool_start(&t, &applet_chmod, argc, argv, 2, -1, err) < 0)
		return -1;
	if (apply(t.o.argv[0], 0, false) < 0)
		return err_set(err, ERR_INVALID, "chmod: '%.50s' is no mode",
			       t.o.argv[0]);
	for (int i = 1; i < t.o.argc; i++)
		change(&t, t.o.argv[0], t.o.argv[i], 0);
	return tool_end(&t, err);
}

const struct applet applet_chmod = {
	.name = "chmod",
	.purpose = "change the modes of files",
	.synopsis = "[-R] MODE FILE...",
	.usage = usage,
	.run = run,
};
