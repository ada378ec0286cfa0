/* losetup: loop devices, as the kubelet and people call it. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets.h"
#include "base/num.h"
#include "base/str.h"
#include "os/fd.h"
#include "os/loopdev.h"
#include "tool.h"

static const char usage[] =
	"  -f, --find [FILE]       use the first free device; alone: print it\n"
	"  -d, --detach            give the devices up\n"
	"  -D, --detach-all        all of them\n"
	"  -a, --all               list, one line each\n"
	"  -j, --associated FILE   list those of this file\n"
	"  -o, --offset SIZE       start in the file\n"
	"      --sizelimit SIZE    bytes of the file to use\n"
	"  -b, --sector-size SIZE  logical block size (512)\n"
	"  -P, --partscan          make devices of its partitions\n"
	"  -r, --read-only\n"
	"      --direct-io [on]    pass the page cache by\n"
	"      --show              print the device that was set up\n"
	"\n"
	"Without arguments: a table of all that are in use.\n";

static int by_number(const struct dirent **a, const struct dirent **b)
{
	return strverscmp((*a)->d_name, (*b)->d_name);
}

static int is_loop(const struct dirent *e)
{
	return str_starts(e->d_name, "loop") && e->d_name[4] >= '0' &&
	       e->d_name[4] <= '9';
}

/* Calls fn for each device that has a file. */
static int each(int (*fn)(void *arg, const struct loopdev *l), void *arg, struct err *err)
{
	struct dirent **list;
	int n = scandir("/sys/block", &list, is_loop, by_number), r = 0;

	if (n < 0)
		return err_sys(err, errno, "/sys/block");
	for (int i = 0; i < n; i++) {
		struct loopdev l;
		uint64_t number;

		if (r == 0 && num_u64(list[i]->d_name + 4, 0, 1 << 20, &number) == 0 &&
		    loopdev_get((unsigned)number, &l))
			r = fn(arg, &l);
		free(list[i]);
	}
	free(list);
	return r;
}

static int print_row(void *arg, const struct loopdev *l)
{
	bool *any = arg;

	if (!*any)
		puts("NAME         SIZELIMIT OFFSET AUTOCLEAR RO DIO BACK-FILE");
	*any = true;
	printf("/dev/loop%-4u%9" PRIu64 " %6" PRIu64 " %9d %2d %3d ", l->number,
	       l->size_limit, l->offset, l->autoclear, l->read_only, l->direct_io);
	tool_print(l->file);
	putchar('\n');
	return 0;
}

static int print_line(void *arg, const struct loopdev *l)
{
	const struct stat *of = arg;

	if (of && (l->dev != of->st_dev || l->inode != of->st_ino))
		return 0;
	printf("/dev/loop%u: [%04" PRIu64 "]:%" PRIu64 " (", l->number, l->dev, l->inode);
	tool_print(l->file);
	putchar(')');
	if (l->offset)
		printf(", offset %" PRIu64, l->offset);
	if (l->size_limit)
		printf(", sizelimit %" PRIu64, l->size_limit);
	putchar('\n');
	return 0;
}

static int detach_one(void *arg, const struct loopdev *l)
{
	struct tool *t = arg;
	char path[LOOPDEV_PATH];
	struct err err;

	snprintf(path, sizeof(path), "/dev/loop%u", l->number);
	if (loopdev_detach(path, &err) < 0)
		tool_complain(t, &err);
	return 0;
}

static int size_of(const struct opts *o, const char *name, uint64_t *ret, struct err *err)
{
	const char *text = opts_text(o, name);

	if (text && num_size(text, ret) < 0)
		return err_set(err, ERR_INVALID, "losetup: --%s: '%.100s' is no size",
			       name, text);
	return 0;
}

static int attach(struct tool *t, const char *device, const char *file, struct err *err)
{
	struct loopdev_setup s = {
		.file = file,
		.device = device,
		.read_only = opts_flag(&t->o, "read-only"),
		.partitions = opts_flag(&t->o, "partscan"),
		.direct_io = opts_get(&t->o, "direct-io")->set &&
			     !str_eq(str_or_empty(opts_text(&t->o, "direct-io")), "off"),
	};
	char path[LOOPDEV_PATH];
	uint64_t sector = 0;
	FD_AUTO fd = -1;

	if (size_of(&t->o, "offset", &s.offset, err) < 0 ||
	    size_of(&t->o, "sizelimit", &s.size_limit, err) < 0 ||
	    size_of(&t->o, "sector-size", &sector, err) < 0)
		return -1;
	s.sector = (uint32_t)MIN(sector, 1U << 20);
	fd = loopdev_attach(&s, path, err);
	if (fd < 0)
		return err_wrap(err, "losetup");
	if (opts_flag(&t->o, "show"))
		puts(path);
	return 0;
}

static int find(struct tool *t, struct err *err)
{
	const char *file = opts_text(&t->o, "find");
	char path[LOOPDEV_PATH];

	if (!file && t->o.argc)
		file = t->o.argv[0];
	if (file)
		return attach(t, NULL, file, err);
	if (loopdev_free(path, err) < 0)
		return -1;
	puts(path);
	return 0;
}

static int work(struct tool *t, struct err *err)
{
	const char *file = opts_text(&t->o, "associated");
	struct stat st;
	bool any = false;

	if (opts_flag(&t->o, "detach")) {
		for (int i = 0; i < t->o.argc; i++)
			if (loopdev_detach(t->o.argv[i], err) < 0)
				tool_complain(t, err);
		return 0;
	}
	if (opts_flag(&t->o, "detach-all"))
		return each(detach_one, t, err);
	if (file) {
		if (stat(file, &st) < 0)
			return err_sys(err, errno, "losetup: %s", file);
		return each(print_line, &st, err);
	}
	if (opts_flag(&t->o, "all"))
		return each(print_line, NULL, err);
	if (opts_get(&t->o, "find")->set)
		return find(t, err);
	if (t->o.argc == 2)
		return attach(t, t->o.argv[0], t->o.argv[1], err);
	if (t->o.argc)
		return err_set(err, ERR_INVALID, "losetup: DEVICE FILE, or --find FILE");
	return each(print_row, &any, err);
}

static int run(int argc, char **argv, struct err *err)
{
	struct tool t;

	if (tool_start(&t, &applet_losetup, argc, argv, 0, -1, err) < 0 ||
	    work(&t, err) < 0)
		return -1;
	return tool_end(&t, err);
}

const struct applet applet_losetup = {
	.name = "losetup",
	.purpose = "make block devices of files",
	.synopsis = "[OPTION]... [DEVICE] [FILE]",
	.usage = usage,
	.run = run,
};
