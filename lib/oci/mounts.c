/*
 * mounts: the plan's mounts. What lies in the host is opened by the parent (oci_prepare),
 * in the host's mount namespace; the child attaches it, makes the new file systems, and
 * enters the new root (oci_setup).
 *
 * The child never uses a path that the image controls but below the root's fd (openat2,
 * RESOLVE_IN_ROOT); mounts are attached to fds.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/str.h"
#include "oci/oci-int.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/mount.h"
#include "os/path.h"

#ifndef MNT_DETACH
#define MNT_DETACH 2
#endif

/* --- in the parent ------------------------------------------------------------------ */

/* A detached clone with the spec's attributes. Relative paths are below the bundle. */
static int apply_attrs(int fd, const struct oci_attrs *at, struct err *err)
{
	if ((at->set || at->clear) &&
	    mount_set(fd, false, at->set, at->clear, 0, err) < 0)
		return -1;
	if ((at->rset || at->rclear) &&
	    mount_set(fd, true, at->rset, at->rclear, 0, err) < 0)
		return -1;
	if (at->propagation &&
	    mount_set(fd, at->propagation_rec, 0, 0, at->propagation, err) < 0)
		return -1;
	return 0;
}

/* The mount's own mappings, or the container's, be they new or those that it joins. */
static int idmap(int fd, const struct oci_plan *p, const struct oci_mount *m, int userns,
		 struct err *err)
{
	const struct oci_spec *s = p->spec;
	FD_AUTO user = -1;

	if (m->nuids)
		user = ns_new_user(m->uids, m->nuids, m->gids, m->ngids, err);
	else if (s->nuids)
		user = ns_new_user(s->uids, s->nuids, s->gids, s->ngids, err);
	else if (userns >= 0)
		user = fcntl(userns, F_DUPFD_CLOEXEC, 0);
	else
		return err_set(err, ERR_INVALID,
			       "idmap: there is no user namespace to take mappings of");
	if (user < 0)
		return -1;
	return mount_idmap(fd, m->idmap == OCI_IDMAP_TREE, user, err);
}

/* A source that is not followed if it is a symlink, or is to be one at the destination. */
static int open_symlink(struct oci_op *op, int bundle, struct err *err)
{
	FD_AUTO at = openat(bundle, op->source, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	char link[4096];
	ssize_t n;

	if (at < 0 || fstat(at, &st) < 0)
		return err_sys(err, errno, "open %s", op->source);
	if (op->mount->copy_symlink && S_ISLNK(st.st_mode)) {
		n = readlinkat(at, "", link, sizeof(link) - 1);
		if (n < 0)
			return err_sys(err, errno, "read the link %s", op->source);
		link[n] = 0;
		op->copied_link = xstrdup(link);
		return 0;
	}
	op->fd = mount_clone(at, "", op->recursive, err);
	return op->fd < 0 ? -1 : 0;
}

static int clone_source(struct oci_plan *p, struct oci_op *op, int bundle, int userns,
			struct err *err)
{
	const struct oci_mount *m = op->mount;

	if (m->source_nofollow || m->copy_symlink) {
		if (open_symlink(op, bundle, err) < 0)
			return err_wrap(err, "bind mount %s", op->path);
		if (op->copied_link)
			return 0;
	} else {
		op->fd = mount_clone(bundle, op->source, op->recursive, err);
	}
	if (op->fd < 0)
		return err_set(err, err->code, "bind mount %s: open %s: %s", op->path,
			       op->source, strerror(err->sys));
	if ((m->idmap != OCI_IDMAP_NONE && idmap(op->fd, p, m, userns, err) < 0) ||
	    apply_attrs(op->fd, &op->attrs, err) < 0)
		return err_wrap(err, "bind mount %s at %s", op->source, op->path);
	return 0;
}

/* Paths that mean the same place: "/dev/shm/" and "/dev/shm". */
static bool same_path(const char *a, const char *b)
{
	for (;; a++, b++) {
		while (a[0] == '/' && (a[1] == '/' || !a[1]))
			a++;
		while (b[0] == '/' && (b[1] == '/' || !b[1]))
			b++;
		if (*a != *b)
			return false;
		if (!*a)
			return true;
	}
}

/* The caller's own mount in place of the spec's. True if there is one. */
static bool given(struct oci_op *op, const struct oci_start *how)
{
	for (size_t i = 0; i < how->nmounts; i++)
		if (op->path && same_path(how->mounts[i].destination, op->path)) {
			op->fd = fcntl(how->mounts[i].fd, F_DUPFD_CLOEXEC, 0);
			op->kind = OCI_OP_BIND;
			return true;
		}
	return false;
}

static int open_root(struct oci_op *op, const struct oci_start *how, int bundle,
		     struct err *err)
{
	FD_AUTO dir = -1;

	if (how->rootfs_fd >= 0) {
		op->fd = fcntl(how->rootfs_fd, F_DUPFD_CLOEXEC, 0);
		return op->fd < 0 ? err_sys(err, errno, "root") : 0;
	}
	dir = openat(bundle, op->source, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return err_sys(err, errno, "root.path %s", op->source);
	op->fd = mount_clone(dir, "", true, err);
	if (op->fd < 0 || mount_set(op->fd, true, 0, 0, MS_PRIVATE, err) < 0)
		return err_wrap(err, "root.path %s", op->source);
	return 0;
}

int oci_prepare(struct oci_plan *p, const struct oci_start *how, int userns,
		struct err *err)
{
	FD_AUTO bundle = file_open(AT_FDCWD, how->bundle ? how->bundle : ".",
				   O_PATH | O_DIRECTORY, 0, err);

	if (bundle < 0)
		return -1;
	for (size_t i = 0; i < p->n; i++) {
		struct oci_op *op = &p->ops[i];

		if (op->kind == OCI_OP_ROOT) {
			if (open_root(op, how, bundle, err) < 0)
				return -1;
		} else if (op->kind != OCI_OP_BIND && op->kind != OCI_OP_MOUNT) {
			continue;
		} else if (given(op, how)) {
			if (op->fd < 0 || apply_attrs(op->fd, &op->attrs, err) < 0)
				return err_wrap(err, "mount at %s", op->path);
		} else if (op->kind == OCI_OP_BIND &&
			   clone_source(p, op, bundle, userns, err) < 0) {
			return -1;
		}
	}
	return 0;
}

/* --- in a mount namespace that is not the container's own ----------------------------- */

bool oci_shares_mounts(const struct oci_spec *s)
{
	return !s->ns[OCI_NS_MNT].present;
}

void oci_unmount_root(const struct oci_spec *s, const char *rootfs)
{
	/* one mount, with all that hangs on it; that it is busy does not matter */
	if (oci_shares_mounts(s) && umount2(rootfs, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
		return; /* somebody has done it */
}

uint64_t oci_root_mount_id(const struct oci_start *how)
{
	FD_AUTO dir =
		open(how->bundle ? how->bundle : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	FD_AUTO root =
		dir < 0 ? -1
			: openat(dir, how->spec->root, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct err ignored;
	uint64_t id;

	return root < 0 || mount_id(root, &id, &ignored) < 0 ? 0 : id;
}

void oci_unprepare(struct oci_plan *p)
{
	for (size_t i = 0; i < p->n; i++) {
		fd_close(&p->ops[i].fd);
		free(p->ops[i].copied_link);
	}
}

/* --- lookups in the container ------------------------------------------------------- */

void oci_remember(struct oci_root *r, const char *path, int fd)
{
	r->mounted[r->nmounted].path = path;
	r->mounted[r->nmounted++].fd = fd;
}

/*
 * The file system of ours that path lies in, and the rest of the path. Later mounts hide
 * earlier ones; -1: in the image, or below a mount that is not ours to trust.
 */
static int below(const struct oci_root *r, const char *path, const char **ret_rest)
{
	for (size_t i = r->nmounted; i-- > 0;) {
		const char *base = r->mounted[i].path;
		size_t n = strlen(base);

		while (n > 1 && base[n - 1] == '/')
			n--;
		if (strncmp(base, path, n) == 0 && (path[n] == '/' || !path[n])) {
			if (r->mounted[i].fd >= 0)
				*ret_rest = path + n + strspn(path + n, "/");
			return r->mounted[i].fd;
		}
	}
	return -1;
}

static int open_how(int dirfd, const char *path, int flags, uint64_t resolve)
{
	struct open_how how = {.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
			       .resolve = resolve};
	long fd = -1;

	for (int i = 0; i < 128; i++) {
		fd = syscall(SYS_openat2, dirfd, *path ? path : ".", &how, sizeof(how));
		if (fd >= 0 || errno != EAGAIN)
			break;
	}
	return (int)fd;
}

int oci_open(struct oci_root *r, const char *path, int flags, struct err *err)
{
	const char *rest = path;
	int base = below(r, path, &rest), fd;

	if (base >= 0)
		fd = open_how(base, rest, flags,
			      RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
				      RESOLVE_NO_MAGICLINKS);
	else
		fd = open_how(r->fd, path, flags,
			      RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
	if (fd < 0)
		return err_sys(err, errno, "open %s", path);
	return fd;
}

/* /proc, /sys and /dev must be directories of the image itself, not links (R5). */
static bool must_be_plain(const char *path)
{
	return same_path(path, "/proc") || same_path(path, "/sys") ||
	       same_path(path, "/dev");
}

static int make_plain(struct oci_root *r, const char *path, struct err *err)
{
	const char *name = path + strspn(path, "/");
	STR_AUTO copy = xstrndup(name, strcspn(name, "/"));
	int fd;

	if (mkdirat(r->fd, copy, 0755) < 0 && errno != EEXIST && errno != EROFS)
		return err_sys(err, errno, "make %s", path);
	fd = open_how(r->fd, copy, O_PATH | O_DIRECTORY,
		      RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
	if (fd < 0)
		return err_sys(err, errno,
			       "%s must be mounted on ordinary directory (a symlink?)",
			       path);
	return fd;
}

int oci_make(struct oci_root *r, const char *path, bool dir, mode_t mode, struct err *err)
{
	const char *rest = path;
	int base = below(r, path, &rest);

	if (base < 0 && dir && must_be_plain(path))
		return make_plain(r, path, err);
	if (base < 0)
		base = r->fd;
	return dir ? path_mkdirs_in_root(base, rest, mode, err)
		   : path_mkfile_in_root(base, rest, mode, err);
}

/* --- in the child ------------------------------------------------------------------- */

/* Who else looks at the root's path before it is "/": hooks, and who shares the mounts. */
static bool seen_by_path(const struct oci_root *r)
{
	const struct oci_spec *s = r->plan->spec;

	return r->how->rootfs_fd < 0 && (r->foreign || s->hooks[OCI_HOOK_PRESTART].n ||
					 s->hooks[OCI_HOOK_CREATE_RUNTIME].n ||
					 s->hooks[OCI_HOOK_CREATE_CONTAINER].n);
}

/* The directory that the root was cloned from, in our mount namespace. */
static int open_root_here(const struct oci_root *r, const struct oci_op *op,
			  struct err *err)
{
	FD_AUTO bundle = file_open(AT_FDCWD, r->how->bundle ? r->how->bundle : ".",
				   O_PATH | O_DIRECTORY, 0, err);
	FD_AUTO dir = -1;
	struct stat a, b;

	if (bundle < 0)
		return -1;
	dir = file_open(bundle, op->source, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, err);
	if (dir < 0)
		return -1;
	if (fstat(dir, &a) < 0 || fstat(op->fd, &b) < 0 || a.st_dev != b.st_dev ||
	    a.st_ino != b.st_ino)
		return err_set(err, ERR_STATE, "%s: another directory is there",
			       op->source);
	return fd_take(&dir);
}

/* The new root covers the old one: our own lookups still begin below it. */
static int op_root(struct oci_root *r, const struct oci_op *op, struct err *err)
{
	FD_AUTO at = seen_by_path(r)
			     ? open_root_here(r, op, err)
			     : file_open(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0, err);

	if (at < 0 || mount_attach(op->fd, at, err) < 0)
		return err_wrap(err, "root");
	r->fd = op->fd;
	return 0;
}

/* A symlink as the source is, unless it is there already. */
static int copy_symlink(struct oci_root *r, const struct oci_op *op, struct err *err)
{
	const char *name;
	FD_AUTO dir = oci_open_parent(r, op->path, &name, err);
	char have[4096];
	ssize_t n;

	if (dir < 0)
		return -1;
	if (symlinkat(op->copied_link, dir, name) == 0)
		return 0;
	n = errno == EEXIST ? readlinkat(dir, name, have, sizeof(have) - 1) : -1;
	if (n >= 0) {
		have[n] = 0;
		if (str_eq(have, op->copied_link))
			return 0;
		errno = EEXIST;
	}
	return err_sys(err, errno, "make the link %s", op->path);
}

/* Where a mount goes whose destination may be a symlink, which is then covered itself. */
static int open_nofollow(struct oci_root *r, const char *path, bool dir, struct err *err)
{
	const char *name;
	FD_AUTO parent = oci_open_parent(r, path, &name, err);
	int fd;

	if (parent < 0)
		return -1;
	fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return oci_make(r, path, dir, 0755, err);
	return fd < 0 ? err_sys(err, errno, "open %s", path) : fd;
}

/* True if fd is in a procfs that this container has got. */
static bool on_proc(const struct oci_root *r, int fd)
{
	struct stat at, st;
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC || fstat(fd, &at) < 0)
		return false;
	for (size_t i = 0; i < r->nmounted; i++)
		if (r->mounted[i].fd >= 0 && fstat(r->mounted[i].fd, &st) == 0 &&
		    st.st_dev == at.st_dev)
			return true;
	return false;
}

/*
 * What /proc says decides what a container may do: it is a procfs, and only files that are
 * known to be harmless are covered in it (CVE-2015-3631, CVE-2019-16884).
 */
static int check_proc(const struct oci_root *r, const char *path, int mount, int target,
		      struct err *err)
{
	static const char *const harmless[] = {
		"/proc/cpuinfo",
		"/proc/diskstats",
		"/proc/loadavg",
		"/proc/meminfo",
		"/proc/net/dev",
		"/proc/slabinfo",
		"/proc/stat",
		"/proc/swaps",
		"/proc/sys/crypto/fips_enabled",
		"/proc/sys/kernel/ns_last_pid",
		"/proc/uptime",
	};
	struct statfs fs;

	if (same_path(path, "/proc")) {
		if (fstatfs(mount, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC)
			return 0;
		return err_set(
			err, ERR_INVALID,
			"\"/proc\" cannot be mounted because it is not of type proc");
	}
	for (size_t i = 0; i < ARRAY_LEN(harmless); i++)
		if (same_path(path, harmless[i]))
			return 0;
	if (on_proc(r, target))
		return err_set(err, ERR_INVALID,
			       "\"%s\" cannot be mounted because it is inside /proc",
			       path);
	return 0;
}

static int op_bind(struct oci_root *r, const struct oci_op *op, struct err *err)
{
	FD_AUTO target = -1;
	struct stat st;

	if (op->copied_link)
		return copy_symlink(r, op, err) < 0 ? err_wrap(err, "bind mount") : 0;
	if (fstatat(op->fd, "", &st, AT_EMPTY_PATH) < 0)
		return err_sys(err, errno, "bind mount %s", op->path);
	if (op->mount && op->mount->dest_nofollow)
		target = open_nofollow(r, op->path, S_ISDIR(st.st_mode), err);
	else
		target = oci_make(r, op->path, S_ISDIR(st.st_mode), 0755, err);
	if (target < 0 || check_proc(r, op->path, op->fd, target, err) < 0 ||
	    mount_attach(op->fd, target, err) < 0)
		return err_wrap(err, "bind mount %s at %s", str_or_empty(op->source),
				op->path);
	oci_remember(r, op->path, -1);
	return 0;
}

/* Copies a small tree of files: what the image has where a tmpfs goes (tmpcopyup). */
static int copy_up(int from, int to, unsigned depth, struct err *err)
{
	int list = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = list < 0 ? NULL : fdopendir(list);
	struct dirent *e;
	int r = 0;

	if (!d)
		return err_sys(err, errno, "tmpcopyup");
	while (r == 0 && (e = readdir(d)) && depth < 64) {
		BUF_AUTO data = {0};
		FD_AUTO a = -1;
		FD_AUTO b = -1;
		struct stat st;
		char link[4096];
		ssize_t n;

		if (str_eq(e->d_name, ".") || str_eq(e->d_name, "..") ||
		    fstatat(from, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISLNK(st.st_mode)) {
			n = readlinkat(from, e->d_name, link, sizeof(link) - 1);
			if (n > 0) {
				link[n] = 0;
				r = symlinkat(link, to, e->d_name);
			}
		} else if (S_ISDIR(st.st_mode)) {
			a = openat(from, e->d_name,
				   O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			r = mkdirat(to, e->d_name, st.st_mode & 07777);
			b = openat(to, e->d_name,
				   O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (r == 0 && a >= 0 && b >= 0 &&
			    copy_up(a, b, depth + 1, err) < 0) {
				closedir(d);
				return -1;
			}
		} else if (S_ISREG(st.st_mode)) {
			a = openat(from, e->d_name,
				   O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
			b = openat(to, e->d_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
				   st.st_mode & 07777);
			if (a < 0 || b < 0 || fd_read_all(a, 64 << 20, &data, err) < 0 ||
			    fd_write_all(b, data.data, data.len) < 0)
				r = -1;
		}
		if (r == 0 && fchownat(to, e->d_name, st.st_uid, st.st_gid,
				       AT_SYMLINK_NOFOLLOW) < 0)
			r = -1;
	}
	if (r < 0)
		err_sys(err, errno, "tmpcopyup");
	closedir(d);
	return r;
}

static bool has_mode(const struct oci_op *op)
{
	return op->data && strstr(op->data, "mode=");
}

/*
 * A tmpfs takes the mode of the directory that it covers (target; -1: there was none), unless
 * it is told.
 */
static int new_tmpfs(const struct oci_op *op, int target, struct err *err)
{
	struct stat st;
	STR_AUTO data = NULL;

	if (target < 0 || has_mode(op))
		return mount_new(op->type, op->source, op->data, op->attrs.set, err);
	if (fstat(target, &st) < 0)
		return err_sys(err, errno, "stat %s", op->path);
	data = xasprintf("%s%smode=%o", str_or_empty(op->data),
			 str_empty(op->data) ? "" : ",", (unsigned)st.st_mode & 07777);
	return mount_new(op->type, op->source, data, op->attrs.set, err);
}

/*
 * sysfs belongs to a network namespace: with the host's in a user namespace of our own,
 * the kernel refuses a new one, and the host's is shown instead.
 */
static int host_sys(const struct oci_op *op, struct err *err)
{
	FD_AUTO fd = mount_clone(AT_FDCWD, "/sys", true, err);

	if (fd < 0 ||
	    mount_set(fd, true, op->attrs.set | MOUNT_ATTR_RDONLY, 0, 0, err) < 0)
		return -1;
	return fd_take(&fd);
}

/* linux.mountLabel: file systems that have no labels of their own get it as a whole. */
static int labelled(const struct oci_root *r, const struct oci_op *op, struct oci_op *ret,
		    struct err *err)
{
	const char *label = r->plan->spec->mount_label;

	*ret = *op;
	if (str_empty(label) || str_eq(op->type, "proc") || str_eq(op->type, "sysfs") ||
	    str_eq(op->type, "mqueue"))
		return 0;
	if (access("/sys/fs/selinux", F_OK) < 0)
		return err_set(err, ERR_INVALID,
			       "linux.mountLabel %s: this kernel has no SELinux", label);
	ret->data = arena_fmt(r->arena, "%s%scontext=\"%s\"", str_or_empty(op->data),
			      str_empty(op->data) ? "" : ",", label);
	return 0;
}

static int new_fs(const struct oci_root *r, const struct oci_op *plain, int target,
		  struct err *err)
{
	uint64_t late = MOUNT_ATTR_NOSYMFOLLOW; /* not for fsmount before 5.14 */
	struct oci_op with, *op = &with;
	int fd;

	if (labelled(r, plain, &with, err) < 0)
		return -1;
	if (str_eq(op->type, "tmpfs"))
		fd = new_tmpfs(op, target, err);
	else
		fd = mount_new(op->type, op->source, op->data, op->attrs.set & ~late,
			       err);
	if (fd < 0 && str_eq(op->type, "sysfs") &&
	    (err->sys == EPERM || err->sys == EBUSY))
		fd = host_sys(op, err);
	return fd;
}

static int op_mount(struct oci_root *r, const struct oci_op *op, struct err *err)
{
	struct oci_attrs at = op->attrs;
	FD_AUTO covered = -1;
	FD_AUTO target = -1;
	FD_AUTO fd = -1;

	if (str_eq(op->type, "tmpfs") && !has_mode(op))
		covered = oci_open(r, op->path, O_PATH | O_DIRECTORY, err);
	target = oci_make(r, op->path, true, 0755, err);
	if (target < 0)
		return err_wrap(err, "mount %s at %s", op->type, op->path);
	fd = new_fs(r, op, covered, err);
	at.set &= MOUNT_ATTR_NOSYMFOLLOW;
	at.clear = 0;
	if (fd < 0 || apply_attrs(fd, &at, err) < 0)
		return err_wrap(err, "mount at %s", op->path);
	if (op->copy_up) {
		FD_AUTO from = openat(target, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (from < 0 || copy_up(from, fd, 0, err) < 0)
			return err_wrap(err, "mount at %s", op->path);
	}
	if (check_proc(r, op->path, fd, target, err) < 0 ||
	    mount_attach(fd, target, err) < 0)
		return err_wrap(err, "mount %s at %s", op->type, op->path);
	oci_remember(r, op->path, fd_take(&fd));
	return 0;
}

static int op_dir(struct oci_root *r, const struct oci_op *op, struct err *err)
{
	struct err ignored;
	FD_AUTO fd = oci_open(r, op->path, O_PATH | O_DIRECTORY, &ignored);

	if (fd >= 0)
		return 0;
	if (ignored.sys != ENOENT)
		return 0; /* chdir will tell */
	fd = oci_make(r, op->path, true, 0755, err);
	if (fd < 0)
		return err_wrap(err, "working directory");
	return 0;
}

static int op_hostname(struct oci_root *r, const struct oci_op *op, struct err *err)
{
	(void)r;
	if (sethostname(op->source, strlen(op->source)) < 0)
		return err_sys(err, errno, "sethostname %s", op->source);
	return 0;
}

static int op_domainname(struct oci_root *r, const struct oci_op *op, struct err *err)
{
	(void)r;
	if (setdomainname(op->source, strlen(op->source)) < 0)
		return err_sys(err, errno, "setdomainname %s", op->source);
	return 0;
}

/* A file system that had to be filled first. */
static int op_mount_ro(struct oci_root *r, const struct oci_op *op, struct err *err)
{
	FD_AUTO fd = oci_open(r, op->path, O_PATH | O_DIRECTORY, err);

	if (fd < 0 || mount_set(fd, false, MOUNT_ATTR_RDONLY, 0, 0, err) < 0)
		return err_wrap(err, "mount at %s", op->path);
	return 0;
}

static int op_root_attrs(struct oci_root *r, const struct oci_op *op, struct err *err)
{
	struct oci_attrs at = op->attrs;

	at.propagation_rec = false;
	if (apply_attrs(r->fd, &at, err) < 0)
		return err_wrap(err, "root");
	return 0;
}

/* Those of the runtime's namespaces are run by the starter, while we wait. */
static int op_hooks(struct oci_root *r, const struct oci_op *op, struct err *err)
{
	struct oci_hook_state st = {.id = r->how->id,
				    .bundle = str_or_empty(r->how->bundle),
				    .pid = getpid(),
				    .dir = r->fd};
	struct oci_msg m = {.type = OCI_MSG_HOOKS, .n = (int)op->hooks};
	mode_t old;
	int rc;

	if (op->hooks != OCI_HOOK_CREATE_CONTAINER) {
		if (send(r->sock, &m, sizeof(m), MSG_NOSIGNAL) != (ssize_t)sizeof(m))
			return err_sys(err, errno, "the starting process is gone");
		return oci_wait_go(r->sock, err);
	}
	old = umask(022);
	rc = oci_hooks_run(r->plan->spec, op->hooks, &st, NULL, err);
	umask(old);
	return rc;
}

/*
 * The old root stays in the mount namespace. Were there a procfs without masks in it, the
 * kernel would let whoever makes a user namespace mount another one.
 */
static int leave_by_chroot(struct oci_root *r, struct err *err)
{
	if (!r->foreign && oci_hide_host(r, err) < 0)
		return -1;
	if (chroot(".") < 0)
		return err_sys(err, errno, "chroot");
	return chdir("/") < 0 ? err_sys(err, errno, "chdir /") : 0;
}

/* Into the new root, and the old one, with all that hangs on it, away (R7). */
static int op_pivot(struct oci_root *r, const struct oci_op *op, struct err *err)
{
	FD_AUTO old = file_open(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0, err);

	(void)op;
	if (old < 0 || fchdir(r->fd) < 0)
		return err_sys(err, errno, "enter the root");
	if (r->foreign || r->how->no_pivot)
		return leave_by_chroot(r, err);
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		/* the initial ramfs has no parent to put it under: it stays, covered */
		return errno == EINVAL ? leave_by_chroot(r, err)
				       : err_sys(err, errno, "pivot_root");
	if (fchdir(old) < 0 || syscall(SYS_umount2, ".", MNT_DETACH) < 0 ||
	    chdir("/") < 0)
		return err_sys(err, errno, "leave the old root");
	return 0;
}

typedef int op_fn(struct oci_root *r, const struct oci_op *op, struct err *err);

static op_fn *const ops[OCI_OP_COUNT] = {
	[OCI_OP_ROOT] = op_root,
	[OCI_OP_MOUNT] = op_mount,
	[OCI_OP_BIND] = op_bind,
	[OCI_OP_CGROUP] = oci_op_cgroup,
	[OCI_OP_DIR] = op_dir,
	[OCI_OP_NODE] = oci_op_device,
	[OCI_OP_NODE_BIND] = oci_op_device,
	[OCI_OP_LINK] = oci_op_link,
	[OCI_OP_CONSOLE] = oci_op_console,
	[OCI_OP_SYSCTL] = oci_op_sysctl,
	[OCI_OP_HOSTNAME] = op_hostname,
	[OCI_OP_DOMAINNAME] = op_domainname,
	[OCI_OP_HOOKS] = op_hooks,
	[OCI_OP_READONLY] = oci_op_readonly,
	[OCI_OP_MASK] = oci_op_mask,
	[OCI_OP_MOUNT_RO] = op_mount_ro,
	[OCI_OP_ROOT_ATTRS] = op_root_attrs,
	[OCI_OP_PIVOT] = op_pivot,
};

int oci_setup(struct oci_root *r, struct err *err)
{
	FD_AUTO slash = file_open(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0, err);

	/* nothing of what follows goes back to the host */
	if (slash < 0 ||
	    (!r->foreign && mount_set(slash, true, 0, 0, MS_PRIVATE, err) < 0))
		return err_wrap(err, "make mounts private");
	for (size_t i = 0; i < r->plan->n; i++)
		if (ops[r->plan->ops[i].kind](r, &r->plan->ops[i], err) < 0)
			return -1;
	return 0;
}
