/* du: what trees take on disk. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets.h"
#include "base/map.h"
#include "base/num.h"
#include "base/str.h"
#include "os/fd.h"
#include "tool.h"

enum { DEPTH = 1000 };

static const char usage[] = "  -s, --summarize         only the sum of each argument\n"
			    "  -a, --all               files, too\n"
			    "  -d, --max-depth N       directories down to this depth\n"
			    "  -h, --human-readable    in units that fit\n"
			    "  -k, --kibi              (default)\n"
			    "  -m, --mebi\n"
			    "  -x, --one-file-system\n";

struct du {
	struct tool t;
	struct map links; /* files with several names: counted once */
	int64_t depth;
	bool all;
	dev_t dev;
};

static void print(const struct du *d, uint64_t bytes, const char *path)
{
	uint64_t unit = opts_flag(&d->t.o, "mebi") ? 1 << 20 : 1024;
	char text[TOOL_SIZE];

	if (opts_flag(&d->t.o, "human-readable"))
		printf("%s\t", tool_size(text, bytes));
	else
		printf("%" PRIu64 "\t", (bytes + unit - 1) / unit);
	tool_print(path);
	putchar('\n');
}

static bool counted(struct du *d, const struct stat *st)
{
	char *key;

	if (st->st_nlink < 2 || S_ISDIR(st->st_mode))
		return false;
	key = arena_fmt(&d->t.arena, "%" PRIx64 ".%" PRIx64, (uint64_t)st->st_dev,
			(uint64_t)st->st_ino);
	return map_put(&d->links, key, key);
}

static uint64_t walk(struct du *d, int dir, const char *name, const char *path,
		     int64_t depth);

static uint64_t walk_dir(struct du *d, int dir, const char *name, const char *path,
			 int64_t depth)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	uint64_t sum = 0;

	if (!list) {
		tool_warn(&d->t, errno, "%s", path);
		fd_close(&fd);
		return 0;
	}
	while ((e = readdir(list))) {
		STR_AUTO below = NULL;

		if (str_eq(e->d_name, ".") || str_eq(e->d_name, ".."))
			continue;
		below = xasprintf("%s/%s", path, e->d_name);
		sum += walk(d, dirfd(list), e->d_name, below, depth + 1);
	}
	closedir(list);
	return sum;
}

static uint64_t walk(struct du *d, int dir, const char *name, const char *path,
		     int64_t depth)
{
	struct stat st;
	uint64_t sum;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno != ENOENT || depth == 0)
			tool_warn(&d->t, errno, "%s", path);
		return 0;
	}
	if (depth == 0)
		d->dev = st.st_dev;
	if (counted(d, &st) ||
	    (st.st_dev != d->dev && opts_flag(&d->t.o, "one-file-system")))
		return 0;
	sum = (uint64_t)st.st_blocks * 512;
	if (S_ISDIR(st.st_mode) && depth < DEPTH)
		sum += walk_dir(d, dir, name, path, depth);
	if (depth == 0 || (depth <= d->depth && (d->all || S_ISDIR(st.st_mode))))
		print(d, sum, path);
	return sum;
}

static int run(int argc, char **argv, struct err *err)
{
	struct du d = {0};

	if (tool_start(&d.t, &applet_du, argc, argv, 0, -1, err) < 0)
		return -1;
	d.all = opts_flag(&d.t.o, "all");
	d.depth =
		opts_flag(&d.t.o, "summarize") ? 0 : opts_num(&d.t.o, "max-depth", DEPTH);
	for (int i = 0; i < d.t.o.argc; i++)
		walk(&d, AT_FDCWD, d.t.o.argv[i], d.t.o.argv[i], 0);
	if (d.t.o.argc == 0)
		walk(&d, AT_FDCWD, ".", ".", 0);
	map_done(&d.links);
	return tool_end(&d.t, err);
}

const struct applet applet_du = {
	.name = "du",
	.purpose = "print what directories take on disk",
	.synopsis = "[OPTION]... [PATH]...",
	.usage = usage,
	.run = run,
};
