/* df: how full file systems are. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include "applets.h"
#include "base/buf.h"
#include "base/str.h"
#include "os/mounts.h"
#include "tool.h"

static const char usage[] =
	"  -a, --all               also those without blocks, and each mount\n"
	"  -h, --human-readable    in units that fit\n"
	"  -i, --inodes            files instead of bytes\n"
	"  -k, --kibi              (default)\n"
	"  -m, --mebi\n"
	"  -P, --portability       (one line each, as always)\n"
	"  -T, --print-type\n"
	"  -t, --type TYPE         only of this type\n";

struct df {
	struct tool t;
	bool human, inodes, type, all;
	uint64_t unit;
};

static void print_number(const struct df *d, uint64_t v, uint64_t size)
{
	char text[TOOL_SIZE];

	if (d->human)
		printf(" %9s", tool_size(text, v * size));
	else if (d->inodes)
		printf(" %9" PRIu64, v);
	else
		printf(" %9" PRIu64, (v * size + d->unit - 1) / d->unit);
}

static void print_head(const struct df *d)
{
	printf("%-15s", "Filesystem");
	if (d->type)
		printf(" %-8s", "Type");
	if (d->inodes)
		puts("    Inodes     IUsed     IFree IUse% Mounted on");
	else
		printf(" %9s      Used     %s Use%% Mounted on\n",
		       d->human		    ? "Size"
		       : d->unit == 1 << 20 ? "1M-blocks"
					    : "1K-blocks",
		       "Avail");
}

static void print_row(const struct df *d, const struct mounts_line *m,
		      const struct statvfs *st)
{
	uint64_t all = d->inodes ? st->f_files : st->f_blocks;
	uint64_t left = d->inodes ? st->f_ffree : st->f_bfree;
	uint64_t avail = d->inodes ? st->f_ffree : st->f_bavail;
	uint64_t used = all - left, size = d->inodes ? 1 : st->f_frsize;
	int pad = 15 - (int)strlen(m->source);

	tool_print(m->source);
	printf("%*s", pad > 0 ? pad : 0, "");
	if (d->type)
		printf(" %-8s", m->type);
	print_number(d, all, size);
	print_number(d, used, size);
	print_number(d, avail, size);
	if (used + avail)
		printf(" %4" PRIu64 "%% ",
		       (used * 100 + used + avail - 1) / (used + avail));
	else
		printf("    - ");
	tool_print(m->target);
	putchar('\n');
}

/* The mount that a path lies on is the last one whose device it has and that is above it. */
static bool holds(const struct mounts_line *m, const struct stat *st, const char *path)
{
	size_t n = strlen(m->target);

	return makedev(m->major, m->minor) == st->st_dev &&
	       strncmp(path, m->target, n) == 0 && (n == 1 || path[n] == '/' || !path[n]);
}

static void one_path(struct df *d, const char *text, const char *path)
{
	STR_AUTO copy = xstrdup(text);
	STR_AUTO real = realpath(path, NULL);
	struct mounts_line m, best = {0};
	struct statvfs st;
	struct stat s;
	char *at = copy;

	if (!real || stat(path, &s) < 0 || statvfs(path, &st) < 0) {
		tool_warn(&d->t, errno, "%s", path);
		return;
	}
	while (mounts_next(&at, &m))
		if (holds(&m, &s, real) &&
		    (!best.target || strlen(m.target) >= strlen(best.target)))
			best = m;
	if (!best.target) /* a subvolume, say: its device is not the mount's */
		best = (struct mounts_line){
			.source = (char *)(uintptr_t) "-",
			.type = (char *)(uintptr_t) "-",
			.target = real,
		};
	print_row(d, &best, &st);
}

/* True if a mount further down shows the same file system, or hides this one. */
static bool again(const struct mounts_line *m, char *text)
{
	struct mounts_line other;

	while (mounts_next(&text, &other))
		if (str_eq(other.target, m->target))
			return true;
	return false;
}

static bool seen(const uint64_t *devices, size_t n, uint64_t device)
{
	for (size_t i = 0; i < n; i++)
		if (devices[i] == device)
			return true;
	return false;
}

static void all_mounts(struct df *d, const char *text)
{
	STR_AUTO copy = xstrdup(text);
	const char *type = opts_text(&d->t.o, "type");
	uint64_t *devices = NULL;
	struct mounts_line m;
	struct statvfs st;
	char *at = copy;
	size_t n = 0;

	while (mounts_next(&at, &m)) {
		STR_AUTO below = at ? xstrdup(at) : NULL;
		uint64_t device = makedev(m.major, m.minor);

		if ((type && !str_eq(type, m.type)) || again(&m, below) ||
		    statvfs(m.target, &st) < 0)
			continue;
		if (!d->all && (!st.f_blocks || seen(devices, n, device)))
			continue;
		devices = xrealloc(devices, (n + 1) * sizeof(*devices));
		devices[n++] = device;
		print_row(d, &m, &st);
	}
	free(devices);
}

static int run(int argc, char **argv, struct err *err)
{
	struct df d = {0};
	BUF_AUTO text = {0};

	if (tool_start(&d.t, &applet_df, argc, argv, 0, -1, err) < 0 ||
	    mounts_read(&text, err) < 0)
		return -1;
	d.human = opts_flag(&d.t.o, "human-readable");
	d.inodes = opts_flag(&d.t.o, "inodes");
	d.type = opts_flag(&d.t.o, "print-type");
	d.all = opts_flag(&d.t.o, "all");
	d.unit = opts_flag(&d.t.o, "mebi") ? 1 << 20 : 1024;
	print_head(&d);
	for (int i = 0; i < d.t.o.argc; i++)
		one_path(&d, buf_str(&text), d.t.o.argv[i]);
	if (d.t.o.argc == 0)
		all_mounts(&d, buf_str(&text));
	return tool_end(&d.t, err);
}

const struct applet applet_df = {
	.name = "df",
	.purpose = "print how full file systems are",
	.synopsis = "[OPTION]... [PATH]...",
	.usage = usage,
	.run = run,
};
