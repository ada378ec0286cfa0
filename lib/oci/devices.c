/* devices: device nodes, links, the console, masks, read-only paths, sysctls, cgroup
 * mounts. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#include "base/str.h"
#include "oci/oci-int.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/mount.h"
#include "os/mounts.h"
#include "os/path.h"
#include "os/sock.h"
#include "os/tty.h"

enum { MAX_HIDDEN = 256, MAX_TABLE = 64 << 20 };

int oci_open_parent(struct oci_root *r, const char *path, const char **ret_name,
		    struct err *err)
{
	const char *slash = strrchr(path, '/');
	STR_AUTO dir = xstrndup(path, (size_t)(slash - path));

	*ret_name = slash + 1;
	if (!**ret_name)
		return err_set(err, ERR_INVALID, "%s: not a file name", path);
	return oci_make(r, *dir ? dir : "/", true, 0755, err);
}

/* What is there already is right if it is the same device. */
static bool same_device(int dirfd, const char *name, const struct oci_device *d)
{
	struct stat st;

	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) == 0 &&
	       ((d->type == 'c' && S_ISCHR(st.st_mode)) ||
		(d->type == 'b' && S_ISBLK(st.st_mode)) ||
		(d->type == 'p' && S_ISFIFO(st.st_mode))) &&
	       (d->type == 'p' || st.st_rdev == makedev(d->major, d->minor));
}

static int make_node(struct oci_root *r, const struct oci_device *d, struct err *err)
{
	mode_t type = d->type == 'c' ? S_IFCHR : d->type == 'b' ? S_IFBLK : S_IFIFO;
	const char *name;
	FD_AUTO dir = oci_open_parent(r, d->path, &name, err);

	if (dir < 0)
		return -1;
	if (mknodat(dir, name, type | d->mode, makedev(d->major, d->minor)) < 0) {
		if (errno == EEXIST && same_device(dir, name, d))
			return 0;
		return err_sys(err, errno, "mknod");
	}
	if (fchownat(dir, name, d->uid, d->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, errno, "chown");
	return 0;
}

/* A clone of the host's node, which must be the device that is meant (R4). */
static int bind_node(struct oci_root *r, const struct oci_op *op, struct err *err)
{
	FD_AUTO fd = mount_clone(AT_FDCWD, op->source, false, err);
	FD_AUTO target = -1;

	if (fd < 0)
		return -1;
	if (!same_device(fd, "", op->device))
		return err_set(err, ERR_INVALID, "%s of the host is another device",
			       op->source);
	target = oci_make(r, op->path, false, 0666, err);
	if (target < 0 || mount_attach(fd, target, err) < 0)
		return -1;
	return 0;
}

int oci_op_device(struct oci_root *r, const struct oci_op *op, struct err *err)
{
	int rc = -1;

	if (op->kind == OCI_OP_NODE)
		rc = make_node(r, op->device, err);
	/* nodes may be forbidden to us: then as in a user namespace */
	if (op->kind == OCI_OP_NODE_BIND || (rc < 0 && err->sys == EPERM))
		rc = bind_node(r, op, err);
	return rc < 0 ? err_wrap(err, "device %s", op->path) : 0;
}

int oci_op_link(struct oci_root *r, const struct oci_op *op, struct err *err)
{
	const char *name;
	FD_AUTO dir = -1;

	if (str_eq(op->source, "/proc/kcore") && access(op->source, F_OK) < 0)
		return 0; /* not every kernel has one */
	dir = oci_open_parent(r, op->path, &name, err);
	if (dir < 0)
		return err_wrap(err, "link %s", op->path);
	if (symlinkat(op->source, dir, name) < 0 && errno != EEXIST)
		return err_sys(err, errno, "link %s", op->path);
	return 0;
}

/* --- terminal ----------------------------------------------------------------------- */

int oci_make_terminal(int devpts, const struct oci_process *p, int sock, struct err *err)
{
	FD_AUTO master = -1;
	FD_AUTO slave = -1;
	struct termios t;
	char name[32];
	unsigned n;

	/* R6: of the container's own devpts, not what an image put in its place */
	if (tty_open(devpts, &master, &slave, &n, err) < 0)
		return err_wrap(err, "terminal");
	if (p->rows || p->cols)
		tty_set_size(master, p->rows, p->cols);
	if (p->plain_newlines && tcgetattr(slave, &t) == 0) {
		t.c_oflag &= ~(tcflag_t)ONLCR;
		tcsetattr(slave, TCSANOW, &t);
	}
	snprintf(name, sizeof(name), "/dev/pts/%u", n);
	if (sock_send_fds(sock, name, strlen(name), &master, 1) < 0)
		return err_sys(err, errno, "send the terminal to the console socket");
	return fd_take(&slave);
}

int oci_op_console(struct oci_root *r, const struct oci_op *op, struct err *err)
{
	FD_AUTO target = -1;
	FD_AUTO fd = -1;

	if (r->how->console < 0) {
		FD_AUTO pts = oci_open(r, "/dev/pts", O_PATH | O_DIRECTORY, err);

		if (pts < 0)
			return err_wrap(err, "terminal");
		r->console = oci_make_terminal(pts, r->plan->spec->process,
					       r->how->console_socket, err);
		if (r->console < 0)
			return -1;
	}
	fd = op->fd >= 0 ? fcntl(op->fd, F_DUPFD_CLOEXEC, 0)
			 : mount_clone(r->console >= 0 ? r->console : r->how->console, "",
				       false, err);
	target = oci_make(r, op->path, false, 0620, err);
	/* a terminal of another mount namespace cannot be cloned: then there is no
	 * console */
	if (fd < 0 && r->how->console >= 0)
		return 0;
	if (fd < 0 || target < 0 || mount_attach(fd, target, err) < 0)
		return err_wrap(err, "/dev/console");
	return 0;
}

/* --- restrictions ------------------------------------------------------------------- */

int oci_op_readonly(struct oci_root *r, const struct oci_op *op, struct err *err)
{
	FD_AUTO target = oci_open(r, op->path, O_PATH, err);
	FD_AUTO fd = -1;

	if (target < 0)
		return err->sys == ENOENT ? 0 : err_wrap(err, "readonlyPaths");
	fd = mount_clone(target, "", true, err);
	if (fd < 0 || mount_set(fd, false, MOUNT_ATTR_RDONLY, 0, 0, err) < 0 ||
	    mount_attach(fd, target, err) < 0)
		return err_wrap(err, "readonlyPaths: %s", op->path);
	return 0;
}

static int null_clone(struct err *err)
{
	static const struct oci_device null = {.type = 'c', .major = 1, .minor = 3};
	FD_AUTO fd = mount_clone(AT_FDCWD, "/dev/null", false, err);

	if (fd < 0)
		return -1;
	if (!same_device(fd, "", &null))
		return err_set(err, ERR_INVALID,
			       "the host's /dev/null is not the device");
	return fd_take(&fd);
}

/* All masked directories show one empty read-only tmpfs. */
static int empty_clone(struct oci_root *r, struct err *err)
{
	if (r->empty >= 0)
		return mount_clone(r->empty, "", false, err);
	r->empty = mount_new("tmpfs", "tmpfs", "size=0,nr_inodes=1,mode=755",
			     MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
				     MOUNT_ATTR_NOEXEC,
			     err);
	return r->empty < 0 ? -1 : fcntl(r->empty, F_DUPFD_CLOEXEC, 0);
}

int oci_op_mask(struct oci_root *r, const struct oci_op *op, struct err *err)
{
	FD_AUTO target = oci_open(r, op->path, O_PATH, err);
	FD_AUTO fd = -1;
	struct stat st;

	if (target < 0)
		return err->sys == ENOENT ? 0 : err_wrap(err, "maskedPaths");
	if (fstat(target, &st) < 0)
		return err_sys(err, errno, "maskedPaths: %s", op->path);
	fd = S_ISDIR(st.st_mode) ? empty_clone(r, err) : null_clone(err);
	if (fd < 0 || mount_attach(fd, target, err) < 0)
		return err_wrap(err, "maskedPaths: %s", op->path);
	return 0;
}

/* Through a procfs of our own, which no mount of the container can cover (R3, R17). */
int oci_op_sysctl(struct oci_root *r, const struct oci_op *op, struct err *err)
{
	STR_AUTO path = xasprintf("sys/%s", op->path);
	FD_AUTO fd = -1;
	size_t n = strlen(op->source);

	/* "net.ipv4.x"; beside slashes, dots are part of a name ("net/ipv4/conf/a.1/x") */
	if (!strchr(op->path, '/'))
		for (char *p = path; *p; p++)
			if (*p == '.')
				*p = '/';
	if (r->proc < 0)
		r->proc = mount_new("proc", "proc", NULL, 0, err);
	if (r->proc < 0)
		return err_wrap(err, "sysctl %s", op->path);
	fd = path_open_beneath(r->proc, path, O_WRONLY, 0, err);
	if (fd < 0)
		return err_wrap(err, "sysctl %s", op->path);
	if (write(fd, op->source, n) != (ssize_t)n)
		return err_sys(err, errno, "sysctl %s = %s", op->path, op->source);
	return 0;
}

/* --- cgroup file systems ------------------------------------------------------------ */

/*
 * The same directory as seen in our own mount namespace: what was opened before it was
 * made cannot be cloned. Owned fd or -1.
 */
static int reopen_here(int dir, struct err *err)
{
	char link[FD_PATH], path[PATH_MAX];
	ssize_t n = readlink(fd_path(link, dir), path, sizeof(path) - 1);
	struct stat was, is;
	FD_AUTO fd = -1;

	if (n < 0)
		return err_sys(err, errno, "path of a cgroup");
	path[n] = 0;
	fd = file_open(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0, err);
	if (fd < 0)
		return -1;
	if (fstat(dir, &was) < 0 || fstat(fd, &is) < 0 || was.st_dev != is.st_dev ||
	    was.st_ino != is.st_ino)
		return err_set(err, ERR_STATE, "cgroup %s: another one is there", path);
	return fd_take(&fd);
}

/* The container's own group of one hierarchy: its namespace's root, or a clone of the
 * directory. */
static int cgroup_fs(const struct oci_root *r, unsigned i, const struct oci_op *op,
		     struct err *err)
{
	bool v2 = cgroups_tree_is_v2(r->cgroups, i);
	FD_AUTO dir = -1;
	FD_AUTO here = -1;
	FD_AUTO fd = -1;

	if (r->plan->spec->ns[OCI_NS_CGROUP].present)
		return mount_new(v2 ? "cgroup2" : "cgroup", "cgroup",
				 v2 ? op->data : cgroups_tree_options(r->cgroups, i),
				 op->attrs.set, err);
	dir = cgroups_tree_open(r->cgroups, i, r->how->cgroup ? r->how->cgroup : "/", ".",
				O_PATH | O_DIRECTORY, err);
	if (dir < 0)
		return -1;
	here = reopen_here(dir, err);
	if (here < 0)
		return -1;
	fd = mount_clone(here, "", false, err);
	if (fd < 0 || mount_set(fd, false, op->attrs.set, 0, MS_PRIVATE, err) < 0)
		return -1;
	return fd_take(&fd);
}

/* "cpu" beside "cpu,cpuacct". */
static void link_controllers(int top, const char *name)
{
	for (const char *p = name; strchr(name, ',') && *p;) {
		size_t n = strcspn(p, ",");
		STR_AUTO one = xstrndup(p, n);

		if (symlinkat(name, top, one) < 0 && errno != EEXIST)
			return;
		p += n + (p[n] == ',');
	}
}

static int cgroup_v1(struct oci_root *r, const struct oci_op *op, int target,
		     struct err *err)
{
	uint64_t attrs = op->attrs.set;
	FD_AUTO top = mount_new("tmpfs", "tmpfs", "mode=755,size=64k",
				attrs & ~(uint64_t)MOUNT_ATTR_RDONLY, err);

	if (top < 0 || mount_attach(top, target, err) < 0)
		return -1;
	for (unsigned i = 0; i < cgroups_count(r->cgroups); i++) {
		const char *name = cgroups_tree_name(r->cgroups, i);
		FD_AUTO fd = cgroup_fs(r, i, op, err);
		FD_AUTO at = -1;

		if (fd < 0)
			return err_wrap(err, "%s", name);
		at = path_mkdirs_in_root(top, name, 0755, err);
		if (at < 0 || mount_attach(fd, at, err) < 0)
			return err_wrap(err, "%s", name);
		link_controllers(top, name);
	}
	if ((attrs & MOUNT_ATTR_RDONLY) &&
	    mount_set(top, false, MOUNT_ATTR_RDONLY, 0, 0, err) < 0)
		return -1;
	oci_remember(r, op->path, fd_take(&top));
	return 0;
}

int oci_op_cgroup(struct oci_root *r, const struct oci_op *op, struct err *err)
{
	FD_AUTO target = oci_make(r, op->path, true, 0755, err);
	FD_AUTO fd = -1;

	if (target < 0)
		return err_wrap(err, "mount cgroup at %s", op->path);
	if (!r->cgroups)
		return 0; /* a host without cgroups has none to show */
	if (cgroups_mode(r->cgroups) != CGROUPS_V2)
		return cgroup_v1(r, op, target, err) < 0
			       ? err_wrap(err, "mount cgroup at %s", op->path)
			       : 0;
	for (unsigned i = 0; i < cgroups_count(r->cgroups) && fd < 0; i++)
		if (cgroups_tree_is_v2(r->cgroups, i))
			fd = cgroup_fs(r, i, op, err);
	if (fd < 0 || mount_attach(fd, target, err) < 0)
		return err_wrap(err, "mount cgroup at %s", op->path);
	oci_remember(r, op->path, fd_take(&fd));
	return 0;
}

/* --- a root that is left by chroot --------------------------------------------------- */

/* The mount with this id, or one that it hangs on, is the container's root. */
static bool is_inside(const struct mounts_line *lines, size_t n, uint64_t id,
		      uint64_t root)
{
	for (size_t depth = 0; depth < n && id != root; depth++) {
		size_t i = 0;

		while (i < n && lines[i].id != id)
			i++;
		if (i == n || lines[i].parent == id)
			return false;
		id = lines[i].parent;
	}
	return id == root;
}

/* Takes one away, or covers it. 1: done; 0: there is none; -1. */
static int hide_one(struct oci_root *r, int table, uint64_t root, struct err *err)
{
	struct mounts_line *lines;
	BUF_AUTO text = {0};
	size_t n = 0, cap = 1;
	char *at;

	if (lseek(table, 0, SEEK_SET) < 0 ||
	    fd_read_all(table, MAX_TABLE, &text, err) < 0)
		return err_wrap(err, "mountinfo");
	for (const char *p = buf_str(&text); *p; p++)
		cap += *p == '\n';
	lines = arena_array(r->arena, cap, sizeof(*lines));
	for (at = (char *)text.data; n < cap && mounts_next(&at, &lines[n]);)
		n++;
	for (size_t i = n; i-- > 0;) {
		const struct mounts_line *l = &lines[i];

		if ((!str_eq(l->type, "proc") && !str_eq(l->type, "sysfs")) ||
		    is_inside(lines, n, l->id, root))
			continue;
		if (umount2(l->target, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
			return err_sys(err, errno, "unmount %s of the host", l->target);
		return 1;
	}
	return 0;
}

int oci_hide_host(struct oci_root *r, struct err *err)
{
	/* it can be read when the last procfs is gone, too */
	FD_AUTO table = file_open(AT_FDCWD, "/proc/self/mountinfo", O_RDONLY, 0, err);
	uint64_t id;
	int done = 1;

	if (table < 0 || mount_id(r->fd, &id, err) < 0)
		return -1;
	for (int i = 0; done > 0 && i < MAX_HIDDEN; i++)
		done = hide_one(r, table, id, err);
	return done > 0 ? err_set(err, ERR_EXHAUSTED, "too many procfs and sysfs mounts")
			: done;
}
