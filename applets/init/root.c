/*
 * root: from the kernel's rootfs to a root that containers can pivot away from, and the
 * mounts that the kernel's interfaces, CNI plugins and a kubelet expect.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "init/init.h"
#include "os/file.h"

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

/*
 * What must be there, and be writable, whether a disk is or not. Directories above one are made
 * with its mode: those for all come first.
 */
static const struct {
	const char *path;
	mode_t mode;
} dirs[] = {
	{"/etc/cribox", 0755},
	{"/etc/cni/net.d", 0755},
	{"/etc/kubernetes/manifests", 0755},
	{"/opt/cni/bin", 0755},
	{"/usr/libexec/kubernetes/kubelet-plugins/volume/exec", 0755},
	{"/var/lib/cni", 0755},
	{"/var/lib/cribox", 0700},
	{"/var/lib/kubelet", 0750},
	{"/var/log/containers", 0755},
	{"/var/log/pods", 0750},
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

int root_mounts_first(void)
{
	int fd, r = 0;

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

/*
 * pivot_root(2) refuses a process whose root is the rootfs, the one mount that has nothing
 * beneath it. No copy is needed: a bind mount of it, moved over it, is a root like any
 * other, and costs neither time nor memory. What grows is on file systems of its own.
 */
int root_move(struct err *err)
{
	if (mkdir("/.root", 0755) < 0 && errno != EEXIST)
		return err_sys(err, errno, "mkdir /.root");
	if (mount("/", "/.root", NULL, MS_BIND | MS_REC, NULL) < 0 ||
	    chdir("/.root") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 ||
	    chroot(".") < 0 || chdir("/") < 0)
		return err_sys(err, errno, "move the root");
	rmdir("/.root");
	return 0;
}

/* --- the rest ------------------------------------------------------------------------------- */

static void share(const char *path)
{
	/* with peers of its own: what is mounted below is not to appear beneath it, too */
	if (mount(path, path, NULL, MS_BIND, NULL) == 0 &&
	    mount(NULL, path, NULL, MS_PRIVATE, NULL) == 0)
		mount(NULL, path, NULL, MS_SHARED, NULL);
}

static void links(void)
{
	static const struct {
		const char *target, *path;
	} all[] = {
		/* here: the kernel's own start is to find no modprobe */
		{"bin", "/sbin"},
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
	struct err ignored;

	for (size_t i = FIRST; i < ARRAY_LEN(mounts); i++)
		if (mount_one(i) < 0 && mounts[i].needed)
			return err_sys(err, errno, "mount %s at %s", mounts[i].type,
				       mounts[i].at);
	if (mkdir("/var", 0755) < 0 && errno != EEXIST)
		return err_sys(err, errno, "mkdir /var");
	/* so that images that fill it leave the root as it is */
	if (mount("tmpfs", "/var", "tmpfs", MS_NODEV, "mode=0755,size=75%") < 0)
		say(in, SAY_WARN, "mounts", "no tmpfs for /var: %s", strerror(errno));
	umask(0); /* so that modes are as they stand there */
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		file_mkdirs(AT_FDCWD, dirs[i].path, dirs[i].mode, &ignored);
	umask(022);
	links();
	/* last: whatever is mounted from now on is seen by the pods that share it */
	if (mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL) < 0)
		return err_sys(err, errno, "make the root shared");
	share("/run/netns");
	return 0;
}
