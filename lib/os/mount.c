#include "os/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/path.h"
#include "os/sock.h"

#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

enum { MAX_LAYERS = 500 /* of overlayfs */ };

/* struct mount_attr, which older headers lack. */
struct attr {
	uint64_t attr_set, attr_clr, propagation, userns_fd;
};

int mount_clone(int dirfd, const char *path, bool recursive, struct err *err)
{
	unsigned flags =
		OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0);
	long fd =
		syscall(SYS_open_tree, dirfd, path, flags | (*path ? 0 : AT_EMPTY_PATH));

	if (fd < 0)
		return err_sys(err, errno, "clone mount %s", path);
	return (int)fd;
}

static int setattr(int fd, bool recursive, const struct attr *a)
{
	return (int)syscall(SYS_mount_setattr, fd, "",
			    AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), a,
			    sizeof(*a));
}

int mount_idmap(int mount_fd, bool recursive, int userns_fd, struct err *err)
{
	struct attr a = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns_fd};

	if (setattr(mount_fd, recursive, &a) == 0)
		return 0;
	if (errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS)
		return err_set(err, ERR_UNIMPLEMENTED,
			       "this kernel or file system has no idmapped mounts");
	return err_sys(err, errno, "map the ids of a mount");
}

int mount_attach(int mount_fd, int target_fd, struct err *err)
{
	if (syscall(SYS_move_mount, mount_fd, "", target_fd, "",
		    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return err_sys(err, errno, "attach mount");
	return 0;
}

static int config(int fs, unsigned cmd, const char *key, const char *value)
{
	return (int)syscall(SYS_fsconfig, fs, cmd, key, value, 0);
}

/* An error of a file system context, with what the kernel logged in it. Returns -1. */
static int fail(int fs, int sys, struct err *err, const char *type, const char *what)
{
	char line[256];
	ssize_t n = read(fs, line, sizeof(line) - 1);

	err_sys(err, sys, "mount %s: %s", type, what);
	/* "e overlay: text" */
	if (n > 2) {
		line[n] = 0;
		if (line[n - 1] == '\n')
			line[n - 1] = 0;
		err_wrap(err, "%s", line + 2);
	}
	return -1;
}

/* One "key" or "key=value". */
static int set_option(int fs, const char *type, char *option, struct err *err)
{
	char *eq = strchr(option, '=');

	if (eq)
		*eq++ = 0;
	if (config(fs, eq ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, option, eq) < 0) {
		STR_AUTO what = xasprintf("option %s%s%.64s", option, eq ? "=" : "",
					  str_or_empty(eq));

		return fail(fs, errno, err, type, what);
	}
	return 0;
}

/* The next of "a,b=c,d=\"e,f\"" without its quotes; NULL at the end. */
static char *next_option(char **at)
{
	char *start = *at, *to = start;
	bool quoted = false;

	if (!start)
		return NULL;
	for (; **at && (quoted || **at != ','); ++*at) {
		if (**at == '"')
			quoted = !quoted;
		else
			*to++ = **at;
	}
	*at = **at ? *at + 1 : NULL;
	*to = 0;
	return start;
}

int mount_new(const char *type, const char *source, const char *options, uint64_t attrs,
	      struct err *err)
{
	FD_AUTO fs = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
	STR_AUTO copy = xstrdup(str_or_empty(options));
	char *at = copy, *option;
	long fd;

	if (fs < 0)
		return err_sys(err, errno, "mount %s", type);
	if (source && config(fs, FSCONFIG_SET_STRING, "source", source) < 0)
		return fail(fs, errno, err, type, "source");
	while ((option = next_option(&at)))
		if (*option && set_option(fs, type, option, err) < 0)
			return -1;
	if (config(fs, FSCONFIG_CMD_CREATE, NULL, NULL) < 0)
		return fail(fs, errno, err, type, "create");
	fd = syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, (unsigned)attrs);
	if (fd < 0)
		return fail(fs, errno, err, type, "fsmount");
	return (int)fd;
}

/* --- in a mount namespace of a child -------------------------------------------------- */

/*
 * Runs make(arg) in a short-lived child with a mount namespace of its own, whose root
 * directory is covered by an empty tmpfs (top). The mount that it returns comes back as an
 * owned fd.
 */
typedef int make_fn(int top, const void *arg, struct err *err);

static int in_namespace(make_fn *make, const void *arg, struct err *err)
{
	FD_AUTO top = -1;
	FD_AUTO root = -1;

	if (unshare(CLONE_NEWNS) < 0 ||
	    syscall(SYS_mount, NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(err, errno, "new mount namespace");
	top = mount_new("tmpfs", "tmpfs", "mode=700", 0, err);
	root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (top < 0 || mount_attach(top, root, err) < 0)
		return -1;
	return make(top, arg, err);
}

static int in_child(make_fn *make, const void *arg, struct err *err)
{
	struct err reply = {.code = ERR_NONE};
	int pair[2], fd = -1;
	size_t nfds = 1;
	ssize_t got;
	pid_t pid;

	if (sock_pair(pair, err) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		fd = in_namespace(make, arg, &reply);
		sock_send_fds(pair[1], &reply, sizeof(reply), &fd, fd >= 0);
		_exit(0);
	}
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return err_sys(err, errno, "fork");
	}
	got = sock_recv_fds(pair[0], &reply, sizeof(reply), &fd, &nfds);
	close(pair[0]);
	waitpid(pid, NULL, 0);
	if (got != (ssize_t)sizeof(reply))
		return err_set(err, ERR_INTERNAL, "mount: the helper died");
	if (reply.code != ERR_NONE || nfds != 1) {
		*err = reply;
		return -1;
	}
	return fd;
}

/* Attaches a mount under a new name, which is a directory if the mount is one. */
static int attach_at(int mount_fd, int dirfd, const char *name, struct err *err)
{
	FD_AUTO target = -1;
	struct stat st;

	if (fstat(mount_fd, &st) < 0)
		return err_sys(err, errno, "mount at %s", name);
	if ((S_ISDIR(st.st_mode) ? mkdirat(dirfd, name, 0700)
				 : mknodat(dirfd, name, S_IFREG | 0600, 0)) < 0)
		return err_sys(err, errno, "make %s", name);
	target = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (target < 0)
		return err_sys(err, errno, "open %s", name);
	return mount_attach(mount_fd, target, err);
}

struct sub {
	int mount;
	const char *path;
};

static int clone_sub(int top, const void *arg, struct err *err)
{
	const struct sub *s = arg;
	FD_AUTO root = -1;
	FD_AUTO found = -1;

	if (attach_at(s->mount, top, "mount", err) < 0)
		return -1;
	root = file_open(top, "mount", O_PATH | O_DIRECTORY, 0, err);
	if (root < 0)
		return -1;
	found = path_open_in_root(root, s->path, O_PATH, 0, err);
	return found < 0 ? -1 : mount_clone(found, "", false, err);
}

int mount_sub(int mount_fd, const char *path, struct err *err)
{
	return in_child(clone_sub, &(struct sub){mount_fd, path}, err);
}

/* --- attributes ------------------------------------------------------------------------- */

struct change {
	int fd;
	bool recursive;
	uint64_t set, clear, propagation;
};

/* What a remount keeps and changes: MS_x. */
static unsigned long remount_flags(const struct change *c, unsigned long have)
{
	static const struct {
		uint64_t attr;
		unsigned long st, ms;
	} flags[] = {
		{MOUNT_ATTR_RDONLY, ST_RDONLY, MS_RDONLY},
		{MOUNT_ATTR_NOSUID, ST_NOSUID, MS_NOSUID},
		{MOUNT_ATTR_NODEV, ST_NODEV, MS_NODEV},
		{MOUNT_ATTR_NOEXEC, ST_NOEXEC, MS_NOEXEC},
		{MOUNT_ATTR_NODIRATIME, ST_NODIRATIME, MS_NODIRATIME},
	};
	unsigned long ms = 0;

	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if ((c->set & flags[i].attr) ||
		    ((have & flags[i].st) && !(c->clear & flags[i].attr)))
			ms |= flags[i].ms;
	if (c->set & MOUNT_ATTR_NOATIME)
		return ms | MS_NOATIME;
	if (c->set & MOUNT_ATTR_STRICTATIME)
		return ms | MS_STRICTATIME;
	if (c->clear & MOUNT_ATTR__ATIME)
		return ms | MS_RELATIME;
	return ms | (have & ST_NOATIME	  ? MS_NOATIME
		     : have & ST_RELATIME ? MS_RELATIME
					  : MS_STRICTATIME);
}

/* By mount(2), which knows only what is attached in our namespace: EINVAL otherwise. */
static int remount(const struct change *c)
{
	char path[FD_PATH];
	struct statvfs st;

	fd_path(path, c->fd);
	if (c->set || c->clear) {
		if (fstatvfs(c->fd, &st) < 0 ||
		    syscall(SYS_mount, NULL, path, NULL,
			    MS_REMOUNT | MS_BIND | remount_flags(c, st.f_flag), NULL) < 0)
			return -1;
	}
	if (!c->propagation)
		return 0;
	return (int)syscall(SYS_mount, NULL, path, NULL,
			    (c->recursive ? MS_REC : 0UL) | c->propagation, NULL);
}

static int remount_detached(int top, const void *arg, struct err *err)
{
	const struct change *c = arg;

	if (attach_at(c->fd, top, "m", err) < 0)
		return -1;
	if (remount(c) < 0)
		return err_sys(err, errno, "set mount attributes");
	return mount_clone(c->fd, "", true, err);
}

/* Before Linux 5.12. A detached mount is attached for a moment, where nobody sees it. */
static int set_old(const struct change *c, struct err *err)
{
	uint64_t known = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
			 MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NODIRATIME | MOUNT_ATTR__ATIME;
	FD_AUTO fd = -1;

	if ((c->recursive && (c->set || c->clear)) || ((c->set | c->clear) & ~known))
		return err_sys(err, ENOSYS, "%s mount attributes need Linux 5.12",
			       c->recursive ? "recursive" : "these");
	if (remount(c) == 0)
		return 0;
	if (errno != EINVAL)
		return err_sys(err, errno, "set mount attributes");
	fd = in_child(remount_detached, c, err);
	if (fd < 0)
		return -1;
	return dup3(fd, c->fd, O_CLOEXEC) < 0 ? err_sys(err, errno, "dup") : 0;
}

int mount_set(int mount_fd, bool recursive, uint64_t set, uint64_t clear,
	      uint64_t propagation, struct err *err)
{
	struct attr a = {.attr_set = set, .attr_clr = clear, .propagation = propagation};
	struct change c = {mount_fd, recursive, set, clear, propagation};

	if (setattr(mount_fd, recursive, &a) == 0)
		return 0;
	if (errno == ENOSYS)
		return set_old(&c, err);
	return err_sys(err, errno, "set %smount attributes",
		       recursive ? "recursive " : "");
}

/* --- overlay ------------------------------------------------------------------------------ */

/* Clones of the lower directories, idmapped if asked for. fds[n] are owned by the caller. */
static int clone_layers(const struct mount_overlay *o, int *fds, struct err *err)
{
	for (size_t i = 0; i < o->nlower; i++) {
		fds[i] = mount_clone(o->lower[i], "", false, err);
		if (fds[i] < 0 || (o->userns_fd >= 0 &&
				   mount_idmap(fds[i], false, o->userns_fd, err) < 0))
			return err_wrap(err, "layer %zu", i);
	}
	return 0;
}

static int set_path(int fs, const char *key, int fd, const char *below, struct err *err)
{
	STR_AUTO path = xasprintf("/proc/self/fd/%d%s%s", fd, below ? "/" : "",
				  str_or_empty(below));

	if (config(fs, FSCONFIG_SET_STRING, key, path) < 0)
		return fail(fs, errno, err, "overlay", key);
	return 0;
}

/* The way of Linux 6.7: layers one by one. -1 with ERR_INVALID where it is not known. */
static int overlay_new(const struct mount_overlay *o, const int *layers, struct err *err)
{
	FD_AUTO fs = (int)syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC);
	long fd;

	if (fs < 0)
		return err_sys(err, errno, "mount overlay");
	for (size_t i = 0; i < o->nlower; i++)
		if (set_path(fs, "lowerdir+", layers[i], NULL, err) < 0)
			return -1;
	if (o->rw_fd >= 0 && (set_path(fs, "upperdir", o->rw_fd, o->upper, err) < 0 ||
			      set_path(fs, "workdir", o->rw_fd, o->work, err) < 0))
		return -1;
	if (o->rw_fd >= 0 && o->is_volatile &&
	    config(fs, FSCONFIG_SET_FLAG, "volatile", NULL) < 0 && errno != EINVAL)
		return fail(fs, errno, err, "overlay", "volatile");
	if (config(fs, FSCONFIG_CMD_CREATE, NULL, NULL) < 0)
		return fail(fs, errno, err, "overlay", "create");
	fd = syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC,
		     o->rw_fd < 0 ? MOUNT_ATTR_RDONLY : 0);
	if (fd < 0)
		return fail(fs, errno, err, "overlay", "fsmount");
	return (int)fd;
}

struct old_overlay {
	const struct mount_overlay *how;
	const int *layers;
	int rw; /* clone of how->rw_fd */
};

/*
 * Layers below a tmpfs, under names of a few bytes, so that mount(2)'s page of options
 * holds them all.
 */
static int overlay_old(int top, const void *arg, struct err *err)
{
	const struct old_overlay *old = arg;
	const struct mount_overlay *o = old->how;
	BUF_AUTO data = {0};

	if (fchdir(top) < 0)
		return err_sys(err, errno, "chdir");
	buf_add_str(&data, "lowerdir=");
	for (size_t i = 0; i < o->nlower; i++) {
		char name[24];

		snprintf(name, sizeof(name), "%zu", i);
		if (attach_at(old->layers[i], top, name, err) < 0)
			return err_wrap(err, "layer %zu", i);
		buf_add_fmt(&data, "%s%s", i ? ":" : "", name);
	}
	if (old->rw >= 0) {
		if (attach_at(old->rw, top, "u", err) < 0)
			return -1;
		buf_add_fmt(&data, ",upperdir=u/%s,workdir=u/%s%s", o->upper, o->work,
			    o->is_volatile ? ",volatile" : "");
	}
	if (mkdirat(top, "m", 0700) < 0)
		return err_sys(err, errno, "make directory m");
	if (syscall(SYS_mount, "overlay", "m", "overlay", old->rw < 0 ? MS_RDONLY : 0,
		    buf_str(&data)) < 0)
		return err_sys(err, errno, "mount overlay");
	return mount_clone(top, "m", false, err);
}

static int overlay_in_child(const struct mount_overlay *o, const int *layers,
			    struct err *err)
{
	FD_AUTO rw = o->rw_fd < 0 ? -1 : mount_clone(o->rw_fd, "", false, err);
	struct old_overlay old = {o, layers, rw};

	if (o->rw_fd >= 0 && rw < 0)
		return -1;
	return in_child(overlay_old, &old, err);
}

int mount_overlay(const struct mount_overlay *o, struct err *err)
{
	int *clones = NULL, fd = -1;

	if (o->nlower == 0 || o->nlower > MAX_LAYERS)
		return err_set(err, ERR_INVALID, "overlay of %zu layers (1 to %d)",
			       o->nlower, MAX_LAYERS);
	if (o->userns_fd < 0) {
		fd = overlay_new(o, o->lower, err);
		if (fd >= 0 || err->sys != EINVAL)
			return fd;
	}
	clones = xmalloc(o->nlower * sizeof(*clones));
	memset(clones, -1, o->nlower * sizeof(*clones));
	/*
	 * Layers that are detached mounts are refused before 6.15; 6.12 does so after it has
	 * left its mark of a volatile overlay in workdir, and then refuses that, too. So they
	 * are not tried: the child attaches them.
	 */
	if (clone_layers(o, clones, err) == 0)
		fd = overlay_in_child(o, clones, err);
	for (size_t i = 0; i < o->nlower; i++)
		fd_close(&clones[i]);
	free(clones);
	return fd;
}

int mount_id(int fd, uint64_t *ret, struct err *err)
{
	char path[48];
	BUF_AUTO text = {0};
	const char *at;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	if (file_read(AT_FDCWD, path, 4096, &text, err) < 0)
		return -1;
	at = strstr(buf_str(&text), "mnt_id:");
	if (!at)
		return err_set(err, ERR_UNIMPLEMENTED, "%s says no mnt_id", path);
	*ret = strtoull(at + strlen("mnt_id:"), NULL, 10);
	return 0;
}

int mount_propagation(const char *path, unsigned *ret, struct err *err)
{
	FD_AUTO fd = file_open(AT_FDCWD, path, O_PATH, 0, err);
	BUF_AUTO text = {0};
	uint64_t id;

	if (fd < 0 || mount_id(fd, &id, err) < 0 ||
	    file_read(AT_FDCWD, "/proc/self/mountinfo", 16 << 20, &text, err) < 0)
		return -1;
	for (const char *line = buf_str(&text); *line;) {
		size_t n = strcspn(line, "\n");
		const char *end =
			memmem(line, n, " - ", 3); /* proc(5): the optional fields end */

		if (end && strtoull(line, NULL, 10) == id) {
			size_t head = (size_t)(end - line);

			*ret = (memmem(line, head, " shared:", 8) ? MOUNT_SHARED : 0U) |
			       (memmem(line, head, " master:", 8) ? MOUNT_SLAVE : 0U);
			return 0;
		}
		line += n + (line[n] == '\n');
	}
	return err_set(err, ERR_NOT_FOUND, "%s: its mount is not in mountinfo", path);
}
