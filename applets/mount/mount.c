/*
 * mount: with the arguments, messages and exit statuses of util-linux that the kubelet and
 * CSI drivers use. There is no fstab, and there are no mount.TYPE helpers.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "applets.h"
#include "base/buf.h"
#include "base/str.h"
#include "devlinks/blockdev.h"
#include "options.h"
#include "os/fd.h"
#include "os/loopdev.h"
#include "os/mounts.h"
#include "tool.h"

enum { STATUS_FAILED = 32 };

static const char usage[] =
	"  -t, --types TYPE        of the file system (found by looking at it)\n"
	"  -o, --options OPTIONS   ro,nosuid,nodev,noexec,noatime,bind,remount,loop,...\n"
	"  -r, --read-only         the same as -o ro\n"
	"  -w, --rw, --read-write  and rw\n"
	"  -B, --bind              a directory or file once more, elsewhere\n"
	"  -R, --rbind             with all that is mounted below\n"
	"  -M, --move              a mount to another place\n"
	"      --make-shared       (with an r before the word: and all below)\n"
	"      --make-private\n"
	"      --make-slave\n"
	"      --make-unbindable\n"
	"      --make-rshared\n"
	"      --make-rprivate\n"
	"      --make-rslave\n"
	"      --make-runbindable\n"
	"  -L, --label LABEL       the device with this label (also LABEL=...)\n"
	"  -U, --uuid UUID\n"
	"      --source DEVICE\n"
	"      --target DIRECTORY\n"
	"  -v, --verbose           say what is done\n"
	"  -f, --fake              do not do it\n"
	"  -n, --no-mtab           (there is none)\n"
	"  -c, --no-canonicalize   (never)\n"
	"  -i, --internal-only     (there are no helpers)\n"
	"  -s, --sloppy            (options are the kernel's to judge)\n"
	"\n"
	"Exit status: 32 if the mount failed. Alone, it lists all mounts (-t: of a "
	"type).\n";

struct mounting {
	struct tool t;
	struct mount_options o;
	const char *source, *target, *type;
	char device[128]; /* that LABEL= and its like stand for, or a loop device */
	int loop;	  /* keeps an attached file until it is mounted */
};

/* --- the list ------------------------------------------------------------------------------ */

/* "rw,nosuid" of the mount, and of the file system what is not the same. */
static void print_options(const struct mounts_line *m)
{
	const char *super = m->super;

	if (str_starts(super, "rw") || str_starts(super, "ro"))
		super += 2;
	tool_print(m->options);
	tool_print(super);
}

static int list(const char *type, struct err *err)
{
	BUF_AUTO text = {0};
	struct mounts_line m;
	char *at;

	if (mounts_read(&text, err) < 0)
		return -1;
	at = (char *)(uintptr_t)buf_str(&text);
	while (mounts_next(&at, &m)) {
		if (type && !str_eq(m.type, type))
			continue;
		tool_print(m.source);
		fputs(" on ", stdout);
		tool_print(m.target);
		printf(" type %s (", m.type);
		print_options(&m);
		puts(")");
	}
	return 0;
}

/* --- what goes wrong ----------------------------------------------------------------------- */

static int fail(struct mounting *m, int sys)
{
	struct tool *t = &m->t;
	const char *at = m->target, *from = str_or_empty(m->source);
	struct stat st;

	if (sys == ENOENT && stat(m->target, &st) < 0)
		tool_warn(t, 0, "%s: mount point does not exist.", at);
	else if (sys == ENOENT || sys == ENXIO)
		tool_warn(t, 0, "%s: special device %s does not exist.", at, from);
	else if (sys == ENOTDIR)
		tool_warn(t, 0, "%s: mount point is not a directory.", at);
	else if (sys == ENODEV)
		tool_warn(t, 0, "%s: unknown filesystem type '%s'.", at,
			  str_or_empty(m->type));
	else if (sys == ENOTBLK)
		tool_warn(t, 0, "%s: %s is not a block device.", at, from);
	else if (sys == EBUSY)
		tool_warn(t, 0, "%s: %s already mounted or mount point busy.", at, from);
	else if (sys == EPERM)
		tool_warn(t, 0, "%s: permission denied.", at);
	else if (sys == EINVAL && m->o.flags & MS_REMOUNT)
		tool_warn(t, 0, "%s: mount point not mounted or bad option.", at);
	else if (sys == EINVAL)
		tool_warn(t, 0,
			  "%s: wrong fs type, bad option, bad superblock on %s, missing "
			  "codepage or helper program, or other error.",
			  at, from);
	else
		tool_warn(t, sys, "%s: mount %s", at, from);
	t->status = m->o.nofail ? 0 : STATUS_FAILED;
	return 1;
}

/* --- the calls ----------------------------------------------------------------------------- */

static bool verbose(const struct mounting *m)
{
	return opts_flag(&m->t.o, "verbose");
}

/* mount(2), or only words about it. 0, or an errno. */
static int call(struct mounting *m, const char *type, unsigned long flags,
		const char *data)
{
	if (verbose(m))
		printf("mount: %s on %s type %s flags 0x%lx options '%s'\n",
		       str_or_empty(m->source), m->target, str_or_empty(type), flags,
		       str_or_empty(data));
	if (opts_flag(&m->t.o, "fake"))
		return 0;
	return mount(m->source, m->target, type, flags, data) < 0 ? errno : 0;
}

/* The flags that a mount has: a remount would drop those that it is not given. */
static unsigned long flags_of(const char *target)
{
	const unsigned long same = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC |
				   MS_SYNCHRONOUS | MS_MANDLOCK | MS_NOATIME |
				   MS_NODIRATIME;
	struct statvfs st;

	if (statvfs(target, &st) < 0)
		return 0;
	return (st.f_flag & same) |
	       (st.f_flag & 4096 /* ST_RELATIME */ ? MS_RELATIME : 0);
}

static unsigned long merged(const struct mounting *m)
{
	return (flags_of(m->target) & ~m->o.cleared) | m->o.flags;
}

/* A bind mount has the flags of where it comes from; others need a second call. */
static int do_bind(struct mounting *m)
{
	const unsigned long kind = MS_BIND | MS_REC | MS_SILENT;
	int sys = call(m, "none", m->o.flags & kind, NULL);

	if (sys || (!(m->o.flags & ~kind) && !m->o.cleared))
		return sys;
	sys = call(m, "none",
		   ((flags_of(m->target) & ~m->o.cleared) | (m->o.flags & ~kind)) |
			   MS_REMOUNT | MS_BIND,
		   NULL);
	if (sys)
		umount2(m->target, MNT_DETACH);
	return sys;
}

/* A file system of this type; what cannot be written to is mounted read-only. */
static int do_type(struct mounting *m, const char *type)
{
	const char *data = m->o.data.len ? buf_str(&m->o.data) : NULL;
	int sys = call(m, type, m->o.flags, data);

	if ((sys == EROFS || sys == EACCES) && !(m->o.flags & MS_RDONLY) &&
	    !(m->o.cleared & MS_RDONLY)) {
		sys = call(m, type, m->o.flags | MS_RDONLY, data);
		if (!sys)
			fprintf(stderr,
				"mount: %s: WARNING: source write-protected, mounted "
				"read-only.\n",
				m->target);
	}
	return sys;
}

static int do_types(struct mounting *m)
{
	char *at = arena_strdup(&m->t.arena, m->type), *type;
	int sys = ENODEV;

	while ((type = strsep(&at, ","))) {
		sys = do_type(m, type);
		if (sys != EINVAL && sys != ENODEV)
			break;
	}
	return sys;
}

static int attach_file(struct mounting *m, struct err *err)
{
	struct loopdev_setup s = {
		.file = m->source,
		.offset = m->o.offset,
		.size_limit = m->o.size_limit,
		.read_only = m->o.flags & MS_RDONLY,
		.autoclear = true,
	};

	m->loop = loopdev_attach(&s, m->device, err);
	if (m->loop < 0)
		return -1;
	m->source = m->device;
	return 0;
}

/* Finds out what device is meant, and what is on it. 0, 1: said why not, -1. */
static int look_at_source(struct mounting *m, struct err *err)
{
	static const char keys[] = "LABEL= UUID= PARTLABEL= PARTUUID= SERIAL=";
	size_t key = strcspn(m->source, "=") + 1;
	struct blockdev_info info;
	struct stat st;

	if (m->source[key - 1] && memmem(keys, sizeof(keys), m->source, key)) {
		if (blockdev_find(m->source, m->device, sizeof(m->device), err) < 0) {
			tool_warn(&m->t, 0, "%s: can't find %s.", m->target, m->source);
			m->t.status = m->o.nofail ? 0 : STATUS_FAILED;
			return 1;
		}
		m->source = m->device;
	}
	if (m->type && !m->o.loop && !strchr(m->source, '/'))
		return 0; /* "tmpfs", "none", "server:" */
	if (stat(m->source, &st) < 0)
		return m->type && !m->o.loop ? 0 : fail(m, errno);
	if (m->o.loop || (S_ISREG(st.st_mode) && !m->type)) {
		if (attach_file(m, err) < 0)
			return -1;
	} else if (!S_ISBLK(st.st_mode)) {
		return m->type ? 0 : fail(m, ENOTBLK);
	}
	if (m->type)
		return 0;
	if (blockdev_probe_path(m->source, true, &info, err) < 0)
		return -1;
	if (!info.fs.type[0])
		return fail(m, EINVAL);
	m->type = arena_strdup(&m->t.arena, info.fs.type);
	return 0;
}

static int do_mount(struct mounting *m, struct err *err)
{
	int sys = 0, r;

	if (m->o.flags & MS_REMOUNT) {
		sys = call(m, m->type, merged(m),
			   m->o.data.len ? buf_str(&m->o.data) : NULL);
	} else if (m->o.flags & MS_MOVE) {
		sys = call(m, NULL, MS_MOVE, NULL);
	} else if (m->o.flags & MS_BIND) {
		sys = do_bind(m);
	} else if (m->source || m->type) {
		if (!m->source)
			m->source = "none";
		r = look_at_source(m, err);
		if (r)
			return r;
		sys = do_types(m);
	}
	for (unsigned i = 0; i < m->o.npropagation && !sys; i++)
		sys = call(m, NULL, m->o.propagation[i], NULL);
	return sys ? fail(m, sys) : 0;
}

/* --- the command line ---------------------------------------------------------------------- */

static int read_options(struct mounting *m, struct err *err)
{
	static const char flags[][20] = {
		"bind",
		"rbind",
		"move",
		"make-shared",
		"make-private",
		"make-slave",
		"make-unbindable",
		"make-rshared",
		"make-rprivate",
		"make-rslave",
		"make-runbindable",
	};
	const struct opt_value *o = opts_get(&m->t.o, "options");

	for (unsigned i = 0; i < o->n; i++)
		if (mount_options_add(&m->o, o->list[i], err) < 0)
			return err_wrap(err, "mount");
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (opts_flag(&m->t.o, flags[i]) &&
		    mount_options_add(&m->o,
				      flags[i] + (str_starts(flags[i], "make-") ? 5 : 0),
				      err) < 0)
			return -1;
	if (opts_flag(&m->t.o, "read-only"))
		m->o.flags |= MS_RDONLY;
	if (opts_flag(&m->t.o, "rw"))
		m->o.cleared |= MS_RDONLY;
	return 0;
}

static int read_places(struct mounting *m, struct err *err)
{
	const struct opts *o = &m->t.o;
	bool one = m->o.flags & MS_REMOUNT || m->o.npropagation;
	int at = 0;

	m->source = opts_text(o, "source");
	if (opts_text(o, "label"))
		m->source = arena_fmt(&m->t.arena, "LABEL=%s", opts_text(o, "label"));
	if (opts_text(o, "uuid"))
		m->source = arena_fmt(&m->t.arena, "UUID=%s", opts_text(o, "uuid"));
	m->target = opts_text(o, "target");
	if (!m->source && o->argc - at > (m->target || one ? 1 : 0) - (m->target ? 1 : 0))
		m->source = o->argv[at++];
	if (!m->target && at < o->argc)
		m->target = o->argv[at++];
	if (!m->target && one && m->source) {
		m->target = m->source;
		m->source = NULL;
	}
	if (at < o->argc)
		return err_set(err, ERR_INVALID, "mount: unexpected argument: %s",
			       o->argv[at]);
	if (!m->target)
		return err_set(err, ERR_INVALID, "mount: %s: can't find in /etc/fstab.",
			       str_or_empty(m->source));
	if (!m->source && !one && !m->type)
		return err_set(err, ERR_INVALID, "mount: which device? (see --help)");
	m->type = opts_text(o, "types");
	if (m->type && (str_eq(m->type, "auto") || str_eq(m->type, "none")))
		m->type = NULL;
	return 0;
}

static int run(int argc, char **argv, struct err *err)
{
	struct mounting m = {.loop = -1};
	int r = -1;

	if (tool_start(&m.t, &applet_mount, argc, argv, 0, 2, err) < 0)
		return -1;
	if (argc == 1 || (m.t.o.argc == 0 && argc == 3 && opts_text(&m.t.o, "types")))
		r = list(opts_text(&m.t.o, "types"), err);
	else if (read_options(&m, err) == 0 && read_places(&m, err) == 0)
		r = do_mount(&m, err);
	fd_close(&m.loop);
	mount_options_done(&m.o);
	if (r < 0)
		return -1;
	return tool_end(&m.t, err);
}

const struct applet applet_mount = {
	.name = "mount",
	.purpose = "mount file systems, or list what is mounted",
	.synopsis = "[-t TYPE] [-o OPTIONS] [SOURCE] DIRECTORY",
	.usage = usage,
	.run = run,
};
