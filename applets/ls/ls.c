/* ls: what is in directories. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "applets.h"
#include "base/buf.h"
#include "base/num.h"
#include "base/str.h"
#include "os/tty.h"
#include "tool.h"

enum { DEPTH = 200 };

static const char usage[] =
	"  -l, --long              type, mode, links, owner, group, size, time\n"
	"  -a, --all               names that begin with a dot, too\n"
	"  -A, --almost-all        but not . and ..\n"
	"  -d, --directory         directories themselves, not what is in them\n"
	"  -h, --human-readable    sizes in units that fit\n"
	"  -i, --inode\n"
	"  -n, --numeric-uid-gid\n"
	"  -L, --dereference       what symbolic links point to\n"
	"  -R, --recursive\n"
	"  -S, --by-size           largest first\n"
	"  -t, --by-time           newest first\n"
	"  -r, --reverse\n"
	"  -F, --classify          / behind directories, @ links, * programs\n"
	"  -1, --one               one name a line\n";

struct entry {
	char *name;
	struct stat st;
};

struct entries {
	struct entry *v;
	size_t n;
};

struct ls {
	struct tool t;
	bool more; /* names stand above lists */
	int (*order)(const void *a, const void *b);
};

static bool flag(const struct ls *l, const char *name)
{
	return opts_flag(&l->t.o, name);
}

/* --- order --------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static int by_size(const void *a, const void *b)
{
	off_t x = ((const struct entry *)a)->st.st_size;
	off_t y = ((const struct entry *)b)->st.st_size;

	return x == y ? by_name(a, b) : x < y ? 1 : -1;
}

static int by_time(const void *a, const void *b)
{
	struct timespec x = ((const struct entry *)a)->st.st_mtim;
	struct timespec y = ((const struct entry *)b)->st.st_mtim;

	if (x.tv_sec != y.tv_sec)
		return x.tv_sec < y.tv_sec ? 1 : -1;
	if (x.tv_nsec != y.tv_nsec)
		return x.tv_nsec < y.tv_nsec ? 1 : -1;
	return by_name(a, b);
}

static void sort(const struct ls *l, struct entries *e)
{
	if (e->n < 2)
		return;
	qsort(e->v, e->n, sizeof(*e->v), l->order);
	for (size_t i = 0; flag(l, "reverse") && i < e->n / 2; i++) {
		struct entry first = e->v[i];

		e->v[i] = e->v[e->n - 1 - i];
		e->v[e->n - 1 - i] = first;
	}
}

/* --- printing ------------------------------------------------------------------------------ */

static void mode_text(char dst[11], mode_t m)
{
	static const char bits[] = "rwxrwxrwx";

	dst[0] = S_ISDIR(m)    ? 'd'
		 : S_ISLNK(m)  ? 'l'
		 : S_ISCHR(m)  ? 'c'
		 : S_ISBLK(m)  ? 'b'
		 : S_ISFIFO(m) ? 'p'
		 : S_ISSOCK(m) ? 's'
			       : '-';
	for (unsigned i = 0; i < 9; i++)
		dst[1 + i] = m & (0400U >> i) ? bits[i] : '-';
	if (m & S_ISUID)
		dst[3] = m & 0100 ? 's' : 'S';
	if (m & S_ISGID)
		dst[6] = m & 0010 ? 's' : 'S';
	if (m & S_ISVTX)
		dst[9] = m & 0001 ? 't' : 'T';
	dst[10] = 0;
}

static char mark_of(const struct ls *l, mode_t m)
{
	if (!flag(l, "classify"))
		return 0;
	return S_ISDIR(m)		  ? '/'
	       : S_ISLNK(m)		  ? '@'
	       : S_ISFIFO(m)		  ? '|'
	       : S_ISSOCK(m)		  ? '='
	       : S_ISREG(m) && (m & 0111) ? '*'
					  : 0;
}

/* The name as it is printed: what could control a terminal is escaped. */
static void add_name(const struct ls *l, const struct entry *e, struct buf *out)
{
	char mark = mark_of(l, e->st.st_mode);

	if (flag(l, "inode"))
		buf_add_fmt(out, "%" PRIu64 " ", (uint64_t)e->st.st_ino);
	str_escape(out, e->name, strlen(e->name));
	if (mark && !(flag(l, "long") && mark == '@'))
		buf_add_char(out, mark);
}

static void print_size(const struct ls *l, const struct stat *st)
{
	char text[TOOL_SIZE];

	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
		printf(" %4u,%4u", major(st->st_rdev), minor(st->st_rdev));
	else if (flag(l, "human-readable"))
		printf(" %5s", tool_size(text, (uint64_t)st->st_size));
	else
		printf(" %9" PRIu64, (uint64_t)st->st_size);
}

static void print_long(const struct ls *l, const char *dir, const struct entry *e)
{
	char mode[11], user[TOOL_ID], group[TOOL_ID], when[24], target[4096];
	bool old = e->st.st_mtime < time(NULL) - 15768000 || e->st.st_mtime > time(NULL);
	BUF_AUTO name = {0};
	struct tm tm;

	mode_text(mode, e->st.st_mode);
	if (flag(l, "numeric-uid-gid")) {
		snprintf(user, sizeof(user), "%u", e->st.st_uid);
		snprintf(group, sizeof(group), "%u", e->st.st_gid);
	} else {
		tool_user(user, e->st.st_uid);
		tool_group(group, e->st.st_gid);
	}
	localtime_r(&e->st.st_mtime, &tm);
	strftime(when, sizeof(when), old ? "%b %e  %Y" : "%b %e %H:%M", &tm);
	printf("%s %2u %-5s %-5s", mode, (unsigned)e->st.st_nlink, user, group);
	print_size(l, &e->st);
	add_name(l, e, &name);
	printf(" %s %s", when, buf_str(&name));
	if (S_ISLNK(e->st.st_mode)) {
		STR_AUTO path = xasprintf("%s%s%s", dir, *dir ? "/" : "", e->name);
		ssize_t n = readlink(path, target, sizeof(target) - 1);

		target[MAX(n, 0)] = 0;
		fputs(" -> ", stdout);
		tool_print(target);
	}
	putchar('\n');
}

/* Names in columns, from top to bottom, on a terminal. */
static void print_columns(const struct ls *l, const struct entries *e, unsigned width)
{
	BUF_AUTO name = {0};
	size_t longest = 1, columns, rows;

	for (size_t i = 0; i < e->n; i++) {
		buf_reset(&name);
		add_name(l, &e->v[i], &name);
		longest = MAX(longest, name.len);
	}
	columns = MAX((size_t)width / (longest + 2), (size_t)1);
	rows = (e->n + columns - 1) / columns;
	for (size_t row = 0; row < rows; row++) {
		for (size_t i = row; i < e->n; i += rows) {
			buf_reset(&name);
			add_name(l, &e->v[i], &name);
			printf(i + rows < e->n ? "%-*s" : "%.0d%s",
			       i + rows < e->n ? (int)longest + 2 : 0, buf_str(&name));
		}
		putchar('\n');
	}
}

static void print_entries(const struct ls *l, const char *dir, const struct entries *e)
{
	unsigned short rows, cols;

	if (!flag(l, "long") && !flag(l, "one") &&
	    tty_get_size(STDOUT_FILENO, &rows, &cols) == 0) {
		print_columns(l, e, cols ? cols : 80);
		return;
	}
	for (size_t i = 0; i < e->n; i++) {
		BUF_AUTO name = {0};

		if (flag(l, "long")) {
			print_long(l, dir, &e->v[i]);
		} else {
			add_name(l, &e->v[i], &name);
			puts(buf_str(&name));
		}
	}
}

/* --- reading ------------------------------------------------------------------------------- */

static void add_entry(struct entries *e, const char *name, const struct stat *st)
{
	if (!(e->n & (e->n - 1)))
		e->v = xrealloc(e->v, (e->n ? 2 * e->n : 1) * sizeof(*e->v));
	e->v[e->n++] = (struct entry){.name = xstrdup(name), .st = *st};
}

static void free_entries(struct entries *e)
{
	for (size_t i = 0; i < e->n; i++)
		free(e->v[i].name);
	free(e->v);
}

static int stat_of(const struct ls *l, int dir, const char *path, struct stat *st)
{
	if (flag(l, "dereference") && fstatat(dir, path, st, 0) == 0)
		return 0;
	return fstatat(dir, path, st, AT_SYMLINK_NOFOLLOW);
}

static bool hidden(const struct ls *l, const char *name)
{
	if (name[0] != '.' || flag(l, "all"))
		return false;
	return !flag(l, "almost-all") || str_eq(name, ".") || str_eq(name, "..");
}

static void list_dir(struct ls *l, const char *path, unsigned depth)
{
	struct entries all = {0};
	DIR *d = opendir(path);
	struct dirent *e;
	struct stat st;

	if (!d) {
		tool_warn(&l->t, errno, "%s", path);
		return;
	}
	while ((e = readdir(d))) {
		if (hidden(l, e->d_name))
			continue;
		if (stat_of(l, dirfd(d), e->d_name, &st) < 0) {
			if (errno != ENOENT) /* gone since */
				tool_warn(&l->t, errno, "%s/%s", path, e->d_name);
			continue;
		}
		add_entry(&all, e->d_name, &st);
	}
	closedir(d);
	sort(l, &all);
	if (l->more) {
		tool_print(path);
		puts(":");
	}
	print_entries(l, path, &all);
	for (size_t i = 0; flag(l, "recursive") && i < all.n && depth < DEPTH; i++) {
		STR_AUTO below = xasprintf("%s/%s", path, all.v[i].name);

		if (!S_ISDIR(all.v[i].st.st_mode) || str_eq(all.v[i].name, ".") ||
		    str_eq(all.v[i].name, ".."))
			continue;
		putchar('\n');
		list_dir(l, below, depth + 1);
	}
	free_entries(&all);
}

/* Files first, then what is in the directories. */
static void list_args(struct ls *l, char **argv, int argc)
{
	struct entries files = {0}, dirs = {0};
	struct stat st;

	for (int i = 0; i < argc; i++) {
		/* a link to a directory on the command line is the directory, but for -l */
		bool follow = !flag(l, "long") && !flag(l, "directory");

		if ((!follow || stat(argv[i], &st) < 0) &&
		    stat_of(l, AT_FDCWD, argv[i], &st) < 0) {
			tool_warn(&l->t, errno, "%s", argv[i]);
			l->t.status = 2;
			continue;
		}
		add_entry(S_ISDIR(st.st_mode) && !flag(l, "directory") ? &dirs : &files,
			  argv[i], &st);
	}
	sort(l, &files);
	sort(l, &dirs);
	if (files.n)
		print_entries(l, "", &files);
	for (size_t i = 0; i < dirs.n; i++) {
		if (files.n || i)
			putchar('\n');
		list_dir(l, dirs.v[i].name, 0);
	}
	free_entries(&files);
	free_entries(&dirs);
}

static int run(int argc, char **argv, struct err *err)
{
	static char *here[] = {(char *)(uintptr_t) "."};
	struct ls l = {0};

	if (tool_start(&l.t, &applet_ls, argc, argv, 0, -1, err) < 0)
		return -1;
	l.order = flag(&l, "by-size") ? by_size : flag(&l, "by-time") ? by_time : by_name;
	l.more = l.t.o.argc > 1 || flag(&l, "recursive");
	if (l.t.o.argc)
		list_args(&l, l.t.o.argv, l.t.o.argc);
	else
		list_args(&l, here, 1);
	return tool_end(&l.t, err);
}

const struct applet applet_ls = {
	.name = "ls",
	.purpose = "list directories",
	.synopsis = "[OPTION]... [PATH]...",
	.usage = usage,
	.run = run,
};
