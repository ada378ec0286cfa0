/* umount: with the messages and exit statuses of util-linux, which the kubelet reads. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "applets.h"
#include "base/buf.h"
#include "base/str.h"
#include "os/mounts.h"
#include "tool.h"

enum { STATUS_FAILED = 32 };

static const char usage[] =
	"  -f, --force             for a server that does not answer\n"
	"  -l, --lazy              now from the tree, later from its users\n"
	"  -R, --recursive         with all that is mounted below\n"
	"  -r, --read-only         if it cannot be unmounted, remount it read-only\n"
	"  -a, --all               everything but /proc, /sys, /dev and the root\n"
	"  -t, --types TYPE        with -a: only of these types (a,b)\n"
	"  -d, --detach-loop       (the kernel does so by itself)\n"
	"  -n, --no-mtab           (there is none)\n"
	"  -c, --no-canonicalize   (never)\n"
	"  -i, --internal-only     (there are no helpers)\n"
	"  -q, --quiet             silence about what is not mounted\n"
	"  -v, --verbose           say what is done\n"
	"\n"
	"Exit status: 32 if something could not be unmounted.\n";

struct umount {
	struct tool t;
	int flags;
	bool quiet, verbose, read_only;
};

static const char *why(int sys)
{
	switch (sys) {
	case EINVAL:
		return "not mounted";
	case ENOENT:
		return "no mount point specified";
	case EBUSY:
		return "target is busy";
	case EPERM:
		return "must be superuser to unmount";
	default:
		return strerror(sys);
	}
}

static void one(struct umount *u, const char *target)
{
	int sys;

	if (umount2(target, u->flags) == 0) {
		if (u->verbose)
			printf("umount: %s unmounted\n", target);
		return;
	}
	sys = errno;
	if (sys == EBUSY && u->read_only &&
	    mount(NULL, target, NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0)
		return;
	if (u->quiet && sys == EINVAL)
		return;
	tool_warn(&u->t, 0, "%s: %s.", target, why(sys));
	u->t.status = STATUS_FAILED;
}

/* A block device stands for what was last mounted of it. Caller frees; NULL: it is none. */
static char *of_device(const char *path)
{
	BUF_AUTO text = {0};
	struct mounts_line m;
	struct err ignored;
	struct stat st;
	char *at, *target = NULL;

	if (stat(path, &st) < 0 || !S_ISBLK(st.st_mode) ||
	    mounts_read(&text, &ignored) < 0)
		return NULL;
	at = (char *)(uintptr_t)buf_str(&text);
	while (mounts_next(&at, &m)) {
		if (makedev(m.major, m.minor) != st.st_rdev)
			continue;
		free(target);
		target = xstrdup(m.target);
	}
	return target;
}

static bool below(const char *path, const char *top)
{
	size_t n = strlen(top);

	return strncmp(path, top, n) == 0 && (path[n] == '/' || !path[n]);
}

static bool type_listed(const char *types, const char *type)
{
	size_t n = strlen(type);

	for (const char *p = types; *p; p += strcspn(p, ","), p += *p == ',')
		if (strcspn(p, ",") == n && memcmp(p, type, n) == 0)
			return true;
	return false;
}

/* Newest first: everything at and below top, or with top NULL what may go (types, or all). */
static int many(struct umount *u, const char *top, const char *types, struct err *err)
{
	static const char kept[][8] = {"/proc", "/sys", "/dev", "/run"};
	BUF_AUTO text = {0};
	struct mounts_line m;
	char **found = NULL, *at;
	size_t n = 0;

	if (mounts_read(&text, err) < 0)
		return -1;
	at = (char *)(uintptr_t)buf_str(&text);
	while (mounts_next(&at, &m)) {
		bool take = top ? below(m.target, top) : !str_eq(m.target, "/");

		for (size_t i = 0; take && !top && i < ARRAY_LEN(kept); i++)
			take = !below(m.target, kept[i]);
		if (!take || (types && !type_listed(types, m.type)))
			continue;
		found = xrealloc(found, (n + 1) * sizeof(*found));
		found[n++] = m.target;
	}
	if (n == 0 && top)
		one(u, top); /* says why */
	while (n)
		one(u, found[--n]);
	free(found);
	return 0;
}

static int target_of(struct umount *u, const char *arg, struct err *err)
{
	STR_AUTO by_device = of_device(arg);
	STR_AUTO real = NULL;

	if (!opts_flag(&u->t.o, "recursive")) {
		one(u, by_device ? by_device : arg);
		return 0;
	}
	real = realpath(by_device ? by_device : arg, NULL);
	return many(u, real ? real : arg, NULL, err);
}

static int run(int argc, char **argv, struct err *err)
{
	struct umount u = {0};

	if (tool_start(&u.t, &applet_umount, argc, argv, 0, -1, err) < 0)
		return -1;
	u.flags = (opts_flag(&u.t.o, "force") ? MNT_FORCE : 0) |
		  (opts_flag(&u.t.o, "lazy") ? MNT_DETACH : 0);
	u.quiet = opts_flag(&u.t.o, "quiet");
	u.verbose = opts_flag(&u.t.o, "verbose");
	u.read_only = opts_flag(&u.t.o, "read-only");
	if (opts_flag(&u.t.o, "all")) {
		if (many(&u, NULL, opts_text(&u.t.o, "types"), err) < 0)
			return -1;
	} else if (u.t.o.argc == 0) {
		return err_set(err, ERR_INVALID, "umount: which mount? (see --help)");
	}
	for (int i = 0; i < u.t.o.argc; i++)
		if (target_of(&u, u.t.o.argv[i], err) < 0)
			return -1;
	return tool_end(&u.t, err);
}

const struct applet applet_umount = {
	.name = "umount",
	.purpose = "unmount file systems",
	.synopsis = "[OPTION]... DIRECTORY|DEVICE...",
	.usage = usage,
	.run = run,
};
