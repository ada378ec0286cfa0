/* lsblk: disks, their partitions, and what is on them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "applets.h"
#include "base/buf.h"
#include "base/str.h"
#include "devlinks/blockdev.h"
#include "os/mounts.h"
#include "tool.h"

static const char usage[] = "  -b, --bytes             sizes in bytes\n";

struct lsblk {
	struct tool t;
	const char *mounts;
};

/* Where a device is mounted, the first place. Caller frees; NULL: nowhere. */
static char *mounted_at(const struct lsblk *l, const char *number)
{
	STR_AUTO copy = xstrdup(l->mounts);
	struct mounts_line m;
	char *at = copy, here[32];

	while (mounts_next(&at, &m)) {
		snprintf(here, sizeof(here), "%u:%u", m.major, m.minor);
		if (str_eq(here, number))
			return xstrdup(m.target);
	}
	return NULL;
}

static const char *type_of(const struct blockdev *d)
{
	return d->number		     ? "part"
	       : str_starts(d->name, "loop") ? "loop"
	       : str_starts(d->name, "sr")   ? "rom"
	       : str_starts(d->name, "dm-")  ? "dm"
	       : str_starts(d->name, "md")   ? "raid"
					     : "disk";
}

static int print(void *arg, const struct blockdev *d)
{
	struct lsblk *l = arg;
	struct blockdev_info info = {0};
	char number[32] = "?", size[TOOL_SIZE], name[BLOCKDEV_NAME + 4];
	STR_AUTO at = NULL;
	struct err ignored; /* no medium, no permission: the size is known all the same */

	blockdev_attr(d->name, "dev", number, sizeof(number));
	at = mounted_at(l, number);
	blockdev_probe(d, &info, &ignored);
	snprintf(name, sizeof(name), "%s%s", d->number ? "`-" : "", d->name);
	printf("%-14s %7s %2d ", name, number, d->removable);
	if (opts_flag(&l->t.o, "bytes"))
		printf("%14llu", (unsigned long long)d->size);
	else
		printf("%6s", tool_size(size, d->size));
	printf(" %2d %-5s %-12s ", d->read_only, type_of(d),
	       *info.fs.type ? info.fs.type : info.fs.pttype);
	tool_print(*info.fs.label ? info.fs.label : info.part.label);
	fputs(at ? "  " : "", stdout);
	tool_print(str_or_empty(at));
	putchar('\n');
	return 0;
}

static int run(int argc, char **argv, struct err *err)
{
	BUF_AUTO text = {0};
	struct lsblk l = {0};

	if (tool_start(&l.t, &applet_lsblk, argc, argv, 0, 0, err) < 0 ||
	    mounts_read(&text, err) < 0)
		return -1;
	l.mounts = buf_str(&text);
	printf("NAME           MAJ:MIN RM %*s RO TYPE  FSTYPE       LABEL  MOUNTPOINT\n",
	       opts_flag(&l.t.o, "bytes") ? 14 : 6, "SIZE");
	if (blockdev_each(print, &l, err) < 0)
		return -1;
	return tool_end(&l.t, err);
}

const struct applet applet_lsblk = {
	.name = "lsblk",
	.purpose = "list disks, partitions and what is on them",
	.synopsis = "[-b]",
	.usage = usage,
	.run = run,
};
