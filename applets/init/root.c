/*
 * root: from the kernel's rootfs to a root that containers can pivot away from, and the
 * mounts that the kernel's interfaces, CNI plugins and a kubelet expect.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/str.h"
#include "init/init.h"
#include "os/fd.h"

#define NSX (MS_NOSUID | MS_NODEV | MS_NOEXEC)

/* In this order. What is optional is for kernels that have it. */
static const struct {
	const char *type, *at, *options;
	unsigned long flags;
	bool needed, make; /* make: the directory is ours to make */
} mounts[] = {
	{"proc", "/proc", NULL, NSX, true, true},
	{"sysfs", "/sys", NULL, NSX, true, true},
	{"devtmpfs", "/dev", "mode=0755", MS_NOSUID, true, true},
	{"devpts", "/dev/pts", "gid=5,mode=620,ptmxmode=000", MS_NOSUID | MS_NOEXEC, true,
	 true},
	{"tmpfs", "/dev/shm", "mode=1777", MS_NOSUID | MS_NODEV, true, true},
	{"mqueue", "/dev/mqueue", NULL, NSX, false, true},
	{"hugetlbfs", "/dev/hugepages", NULL, MS_NOSUID | MS_NODEV, false, true},
	{"tmpfs", "/run", "mode=0755", MS_NOSUID | MS_NODEV, true, true},
	{"tmpfs", "/tmp", "mode=1777,size=64m", MS_NOSUID | MS_NODEV, true, true},
	{"cgroup2", "/sys/fs/cgroup", "nsdelegate,memory_recursiveprot", NSX, false,
	 false},
	{"bpf", "/sys/fs/bpf", "mode=0700", NSX, false, false},
	{"securityfs", "/sys/kernel/security", NULL, NSX, false, false},
	{"debugfs", "/sys/kernel/debug", NULL, NSX, false, false},
	{"tracefs", "/sys/kernel/tracing", NULL, NSX, false, false},
	{"configfs", "/sys/kernel/config", NULL, NSX, false, false},
	{"pstore", "/sys/fs/pstore", NULL, NSX, false, false},
	{"efivarfs", "/sys/firmware/efi/efivars", NULL, NSX | MS_RDONLY, false, false},
	{"fusectl", "/sys/fs/fuse/connections", NULL, NSX, false, false},
	{"binfmt_misc", "/proc/sys/fs/binfmt_misc", NULL, NSX, false, false},
};
enum { FIRST = 3 }; /* before the root is moved */

/* What must be there, and be writable, whether a disk is or not. */
static const struct {
	const char *path;
	mode_t mode;
} dirs[] = {
	{"/etc", 0755},
	{"/etc/cribox", 0755},
	{"/etc/cni", 0755},
	{"/etc/cni/net.d", 0755},
	{"/etc/kubernetes", 0755},
	{"/etc/kubernetes/manifests", 0755},
	{"/opt", 0755},
	{"/opt/cni", 0755},
	{"/opt/cni/bin", 0755},
	{"/usr", 0755},
	{"/usr/libexec", 0755},
	{"/usr/libexec/kubernetes", 0755},
	{"/usr/libexec/kubernetes/kubelet-plugins", 0755},
	{"/usr/libexec/kubernetes/kubelet-plugins/volume", 0755},
	{"/usr/libexec/kubernetes/kubelet-plugins/volume/exec", 0755},
	{"/var", 0755},
	{"/var/lib", 0755},
	{"/var/lib/cribox", 0700},
	{"/var/lib/kubelet", 0750},
	{"/var/lib/cni", 0755},
	{"/var/log", 0755},
	{"/var/log/pods", 0750},
	{"/var/log/containers", 0755},
	{"/var/log/cribox", 0755},
	{"/var/tmp", 01777},
	{"/run/cribox", 0755},
	{"/run/netns", 0755},
	{"/run/lock", 01777},
	{"/state", 0700},
	{"/payload", 0755},
	{"/mnt", 0755},
	{"/root", 0700},
};

static int mount_one(size_t i)
{
	unsigned long flags = mounts[i].flags;

	if (mounts[i].make && mkdir(mounts[i].at, 0755) < 0 && errno != EEXIST)
		return -1;
	if (mount(mounts[i].type, mounts[i].at, mounts[i].type, flags,
		  mounts[i].options) == 0)
		return 0;
	/* an option that this kernel does not know is not worth the mount */
	if (errno == EINVAL && mounts[i].options && !mounts[i].needed &&
	    mount(mounts[i].type, mounts[i].at, mounts[i].type, flags, NULL) == 0)
		return 0;
	return errno == EBUSY ? 0 : -1; /* there already */
}

int root_mounts_first(struct init *in)
{
	int fd, r = 0;

	(void)in;
	for (size_t i = 0; i < FIRST; i++)
		r |= mount_one(i);
	/* a kernel that found no /dev/console has given us no fd 0 to 2 */
	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd < 3);
	if (fd >= 0)
		close(fd);
	return r;
}

/* --- the rootfs ----------------------------------------------------------------------------- */

static int copy_file(int from, int to, const char *name, const struct stat *st)
{
	FD_AUTO in = openat(from, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	FD_AUTO out = in < 0 ? -1
			     : openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
				      st->st_mode & 07777);
	off_t left = st->st_size;

	if (out < 0)
		return -1;
	while (left > 0) {
		ssize_t n = sendfile(out, in, NULL, (size_t)left);

		if (n <= 0)
			return -1;
		left -= n;
	}
	return fchmod(out, st->st_mode & 07777);
}

static int move_tree(int from, int to, dev_t dev, unsigned depth);

static int move_entry(int from, int to, const char *name, dev_t dev, unsigned depth)
{
	char link[256];
	struct stat st;
	ssize_t n;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	if (S_ISDIR(st.st_mode)) {
		FD_AUTO a = -1;
		FD_AUTO b = -1;

		if (mkdirat(to, name, st.st_mode & 07777) < 0 && errno != EEXIST)
			return -1;
		if (st.st_dev != dev)
			return 0; /* a mount: it is moved as one */
		a = openat(from, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		b = openat(to, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (a < 0 || b < 0 || move_tree(a, b, dev, depth + 1) < 0)
			return -1;
		unlinkat(from, name, AT_REMOVEDIR);
		return 0;
	}
	if (S_ISREG(st.st_mode)) {
		if (copy_file(from, to, name, &st) < 0)
			return -1;
	} else if (S_ISLNK(st.st_mode)) {
		n = readlinkat(from, name, link, sizeof(link) - 1);
		if (n < 0)
			return -1;
		link[n] = 0;
		if (symlinkat(link, to, name) < 0)
			return -1;
	} else if (mknodat(to, name, st.st_mode, st.st_rdev) < 0) {
		return -1;
	}
	/* one file at a time is there twice, not all of them */
	return unlinkat(from, name, 0);
}

static int move_tree(int from, int to, dev_t dev, unsigned depth)
{
	DIR *d = depth < 16 ? fdopendir(dup(from)) : NULL;
	const struct dirent *e;
	int r = d ? 0 : -1;

	while (r == 0 && (e = readdir(d)) != NULL)
		if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, "..") &&
		    !(depth == 0 && str_eq(e->d_name, ".root")))
			r = move_entry(from, to, e->d_name, dev, depth);
	if (d)
		closedir(d);
	return r;
}

static int copy_root(struct err *err)
{
	static const char *const moved[] = {"proc", "sys", "dev"};
	FD_AUTO from = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FD_AUTO to = -1;
	struct stat st;

	if (mount("root", "/.root", "tmpfs", 0, "mode=0755") < 0)
		return err_sys(err, errno, "a tmpfs for the root");
	to = open("/.root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (from < 0 || to < 0 || fstat(from, &st) < 0 ||
	    move_tree(from, to, st.st_dev, 0) < 0)
		return err_sys(err, errno, "copy the root to a tmpfs");
	for (size_t i = 0; i < ARRAY_LEN(moved); i++) {
		char a[16], b[24];

		snprintf(a, sizeof(a), "/%s", moved[i]);
		snprintf(b, sizeof(b), "/.root/%s", moved[i]);
		if (mount(a, b, NULL, MS_MOVE, NULL) < 0)
			return err_sys(err, errno, "move %s", a);
	}
	return 0;
}

/*
 * pivot_root(2) refuses a process whose root is the rootfs, the one mount that has nothing
 * beneath it. A rootfs that is a tmpfs needs no copy: a bind mount of it, moved over it, is
 * a root like any other, and costs neither time nor memory. From a ramfs, which has no
 * limits and cannot be unmounted, all is moved to a tmpfs, file by file.
 */
int root_move(struct init *in, char *note, size_t size, struct err *err)
{
	struct statfs fs;
	bool copy;

	(void)in;
	if (statfs("/", &fs) < 0)
		return err_sys(err, errno, "statfs /");
	copy = (unsigned long)fs.f_type == RAMFS_MAGIC;
	if (!copy && (unsigned long)fs.f_type != TMPFS_MAGIC) {
		snprintf(note, size, "a disk's");
		return 0; /* booted with root=: nothing to move */
	}
	if (mkdir("/.root", 0755) < 0 && errno != EEXIST)
		return err_sys(err, errno, "mkdir /.root");
	if (copy ? copy_root(err) < 0
		 : mount("/", "/.root", NULL, MS_BIND | MS_REC, NULL) < 0)
		return copy ? -1 : err_sys(err, errno, "bind the root");
	if (chdir("/.root") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 ||
	    chroot(".") < 0 || chdir("/") < 0)
		return err_sys(err, errno, "move the root");
	rmdir("/.root");
	snprintf(note, size, copy ? "a tmpfs, copied" : "a tmpfs");
	return 0;
}

/* --- the rest ------------------------------------------------------------------------------- */

static void share(const char *path)
{
	/* a mount point of its own, so that what is mounted below is seen by pods */
	if (mount(path, path, NULL, MS_BIND, NULL) == 0)
		mount(NULL, path, NULL, MS_SHARED | MS_REC, NULL);
}

static void links(void)
{
	static const struct {
		const char *target, *path;
	} all[] = {
		{"/run", "/var/run"},
		{"/run/lock", "/var/lock"},
		{"/proc/self/fd", "/dev/fd"},
		{"/proc/self/fd/0", "/dev/stdin"},
		{"/proc/self/fd/1", "/dev/stdout"},
		{"/proc/self/fd/2", "/dev/stderr"},
		{"pts/ptmx", "/dev/ptmx"},
		{"/proc/self/mounts", "/etc/mtab"},
		{"/run/cribox/resolv.conf", "/etc/resolv.conf"},
	};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (symlink(all[i].target, all[i].path) < 0 && errno != EEXIST)
			continue; /* it will be missed by the one who needs it */
	/* the kernel's own node would be another instance of devpts */
	chmod("/dev/pts/ptmx", 0666);
}

int root_mounts(struct init *in, struct err *err)
{
	for (size_t i = FIRST; i < ARRAY_LEN(mounts); i++)
		if (mount_one(i) < 0 && mounts[i].needed)
			return err_sys(err, errno, "mount %s at %s", mounts[i].type,
				       mounts[i].at);
	if (mkdir("/var", 0755) < 0 && errno != EEXIST)
		return err_sys(err, errno, "mkdir /var");
	/* so that images that fill it leave the root as it is */
	if (mount("tmpfs", "/var", "tmpfs", MS_NODEV, "mode=0755,size=75%") < 0)
		say(in, SAY_WARN, "mounts", "no tmpfs for /var: %s", strerror(errno));
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		if (mkdir(dirs[i].path, dirs[i].mode) == 0)
			chmod(dirs[i].path, dirs[i].mode);
	links();
	/* last: whatever is mounted from now on is seen by the pods that share it */
	if (mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL) < 0)
		return err_sys(err, errno, "make the root shared");
	share("/run/netns");
	return 0;
}
