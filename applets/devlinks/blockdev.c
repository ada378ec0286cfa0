#include "devlinks/blockdev.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/num.h"
#include "base/str.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/sandbox.h"

enum { SECTOR = 512 /* sysfs counts in these, whatever the device's are */ };

/* --- sysfs --------------------------------------------------------------------------------- */

bool blockdev_attr(const char *name, const char *file, char *dst, size_t size)
{
	char path[PATH_MAX];
	BUF_AUTO text = {0};
	struct err ignored;

	snprintf(path, sizeof(path), "/sys/class/block/%s/%s", name, file);
	if (file_read(AT_FDCWD, path, 4096, &text, &ignored) < 0)
		return false;
	while (text.len && text.data[text.len - 1] == '\n')
		text.len--;
	return str_copy(dst, size, buf_str(&text)) == 0;
}

static uint64_t number_attr(const char *name, const char *file)
{
	char text[32];
	uint64_t v;

	if (!blockdev_attr(name, file, text, sizeof(text)) ||
	    num_u64(text, 0, UINT64_MAX, &v) < 0)
		return 0;
	return v;
}

bool blockdev_get(const char *name, struct blockdev *ret)
{
	char link[128], path[PATH_MAX];
	struct blockdev d = {0};
	ssize_t n;

	if (strchr(name, '/') || *name == '.' ||
	    str_copy(d.name, sizeof(d.name), name) < 0)
		return false;
	snprintf(link, sizeof(link), "/sys/class/block/%s", name);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return false;
	path[n] = 0;
	d.number = (unsigned)number_attr(name, "partition");
	if (d.number) { /* .../block/vda/vda1 */
		char *slash = strrchr(path, '/');

		if (!slash)
			return false;
		*slash = 0;
	}
	if (!strrchr(path, '/') ||
	    str_copy(d.disk, sizeof(d.disk), strrchr(path, '/') + 1) < 0)
		return false;
	d.start = number_attr(name, "start") * SECTOR;
	d.size = number_attr(name, "size") * SECTOR;
	d.removable = number_attr(d.disk, "removable");
	d.read_only = number_attr(name, "ro");
	*ret = d;
	return true;
}

static int no_dots(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

int blockdev_each(int (*fn)(void *arg, const struct blockdev *d), void *arg,
		  struct err *err)
{
	struct dirent **list;
	int n = scandir("/sys/class/block", &list, no_dots, versionsort), r = 0;

	if (n < 0)
		return err_sys(err, errno, "/sys/class/block");
	for (int i = 0; i < n; i++) {
		struct blockdev d;

		if (r == 0 && blockdev_get(list[i]->d_name, &d) && d.size)
			r = fn(arg, &d);
		free(list[i]);
	}
	free(list);
	return r;
}

/* --- probing ------------------------------------------------------------------------------- */

static int read_fd(void *arg, uint64_t off, void *dst, size_t n)
{
	const int *fd = arg;
	uint8_t *p = dst;

	while (n) {
		ssize_t got = pread(*fd, p, n, (off_t)off);

		if (got <= 0)
			return -1;
		p += got;
		off += (uint64_t)got;
		n -= (size_t)got;
	}
	return 0;
}

static uint64_t size_of(int fd)
{
	off_t end = lseek(fd, 0, SEEK_END);

	return end < 0 ? 0 : (uint64_t)end;
}

/* What the child answers. */
struct answer {
	int failed;
	struct blockdev_info info;
};

struct job {
	int fd, disk_fd; /* disk_fd -1: no partition */
	struct fsprobe_dev dev, disk;
	unsigned number;
	uint64_t start;
};

static void probe(struct job *j, struct answer *a)
{
	int r = fsprobe(&j->dev, &a->info.fs);

	a->failed = r < 0;
	a->info.any = r > 0;
	if (j->disk_fd >= 0 && j->number &&
	    fsprobe_part(&j->disk, j->number, j->start, &a->info.part) < 0)
		a->info.part = (struct fsprobe_part){0};
}

/* Gives up everything but three files and three calls, then looks at the bytes. */
static void child(struct job *j, int out)
{
	static const int calls[] = {SYS_pread64, SYS_write, SYS_exit_group};
	struct answer a = {0};
	struct err ignored;
	int disk = j->disk_fd >= 0 ? j->disk_fd : j->fd;

	if (dup2(j->fd, 10) < 0 || dup2(disk, 11) < 0 || dup2(out, 12) < 0 ||
	    dup2(10, 0) < 0 || dup2(11, 1) < 0 || dup2(12, 2) < 0 ||
	    syscall(SYS_close_range, 3U, ~0U, 0U) < 0 ||
	    sandbox_calls(calls, ARRAY_LEN(calls), &ignored) < 0)
		_exit(1);
	j->fd = 0;
	if (j->disk_fd >= 0)
		j->disk_fd = 1;
	probe(j, &a);
	_exit(fd_write_all(2, &a, sizeof(a)) < 0);
}

static int probe_guarded(struct job *j, struct answer *a, struct err *err)
{
	FD_AUTO in = -1;
	FD_AUTO out = -1;
	int fds[2];
	pid_t pid;
	ssize_t n;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	in = fds[0];
	out = fds[1];
	pid = fork();
	if (pid < 0)
		return err_sys(err, errno, "fork");
	if (pid == 0)
		child(j, out);
	fd_close(&out);
	n = fd_read_full(in, a, sizeof(*a));
	waitpid(pid, NULL, 0);
	if (n != (ssize_t)sizeof(*a))
		return err_set(err, ERR_INTERNAL, "the process that probes died");
	return 0;
}

/* Ends each text, whatever the child wrote. */
static void bound(struct blockdev_info *i)
{
	char *const ends[] = {
		i->fs.type + sizeof(i->fs.type),
		i->fs.usage + sizeof(i->fs.usage),
		i->fs.sec_type + sizeof(i->fs.sec_type),
		i->fs.version + sizeof(i->fs.version),
		i->fs.uuid + sizeof(i->fs.uuid),
		i->fs.uuid_sub + sizeof(i->fs.uuid_sub),
		i->fs.label + sizeof(i->fs.label),
		i->fs.pttype + sizeof(i->fs.pttype),
		i->fs.ptuuid + sizeof(i->fs.ptuuid),
		i->part.uuid + sizeof(i->part.uuid),
		i->part.label + sizeof(i->part.label),
	};

	for (size_t k = 0; k < ARRAY_LEN(ends); k++)
		ends[k][-1] = 0;
}

static int run_job(struct job *j, const char *path, bool guarded,
		   struct blockdev_info *ret, struct err *err)
{
	struct answer a = {0};

	j->dev = (struct fsprobe_dev){.read = read_fd,
				      .arg = &j->fd,
				      .size = size_of(j->fd),
				      .sector = j->dev.sector};
	j->disk = (struct fsprobe_dev){.read = read_fd,
				       .arg = &j->disk_fd,
				       .size = j->disk_fd < 0 ? 0 : size_of(j->disk_fd),
				       .sector = j->dev.sector};
	if (!guarded)
		probe(j, &a);
	else if (probe_guarded(j, &a, err) < 0)
		return err_wrap(err, "%s", path);
	if (a.failed)
		return err_sys(err, EIO, "read %s", path);
	bound(&a.info);
	*ret = a.info;
	return 0;
}

static int open_dev(const char *path, struct err *err)
{
	return file_open(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, err);
}

static int probe_dev(const struct blockdev *d, bool guarded, struct blockdev_info *ret,
		     struct err *err)
{
	STR_AUTO path = xasprintf("/dev/%s", d->name);
	STR_AUTO disk = xasprintf("/dev/%s", d->disk);
	FD_AUTO fd = open_dev(path, err);
	FD_AUTO disk_fd = fd >= 0 && d->number ? open_dev(disk, err) : -1;
	struct job j = {.fd = fd,
			.disk_fd = disk_fd,
			.number = d->number,
			.start = d->start,
			.dev.sector = (uint32_t)number_attr(d->disk,
							    "queue/logical_block_size")};

	return fd < 0 ? -1 : run_job(&j, path, guarded, ret, err);
}

int blockdev_probe(const struct blockdev *d, struct blockdev_info *ret, struct err *err)
{
	return probe_dev(d, true, ret, err);
}

int blockdev_probe_path(const char *path, bool guarded, struct blockdev_info *ret,
			struct err *err)
{
	FD_AUTO fd = open_dev(path, err);
	struct job j = {.fd = fd, .disk_fd = -1};
	char dev[64], link[PATH_MAX];
	struct blockdev d;
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "stat %s", path);
	if (S_ISBLK(st.st_mode)) {
		snprintf(dev, sizeof(dev), "/sys/dev/block/%u:%u", major(st.st_rdev),
			 minor(st.st_rdev));
		n = readlink(dev, link, sizeof(link) - 1);
		link[n < 0 ? 0 : n] = 0;
		if (strrchr(link, '/') && blockdev_get(strrchr(link, '/') + 1, &d))
			return probe_dev(&d, guarded, ret, err);
	} else if (!S_ISREG(st.st_mode)) {
		return err_set(err, ERR_INVALID, "%s: neither a block device nor a file",
			       path);
	}
	return run_job(&j, path, guarded, ret, err);
}

/* --- searching ----------------------------------------------------------------------------- */

struct search {
	const char *key, *value;
	char found[BLOCKDEV_NAME];
};

static bool same_id(const char *a, const char *b)
{
	return *a && strcasecmp(a, b) == 0;
}

static bool matches(const struct search *s, const struct blockdev *d)
{
	struct blockdev_info i = {0};
	struct err ignored; /* a device that cannot be read is not the one */
	char serial[256];

	if (str_eq(s->key, "SERIAL"))
		return !d->number &&
		       (blockdev_attr(d->name, "serial", serial, sizeof(serial)) ||
			blockdev_attr(d->name, "device/serial", serial,
				      sizeof(serial))) &&
		       str_eq(serial + strspn(serial, " "), s->value);
	if (blockdev_probe(d, &i, &ignored) < 0)
		return false;
	if (str_eq(s->key, "LABEL"))
		return i.fs.label[0] && str_eq(i.fs.label, s->value);
	if (str_eq(s->key, "UUID"))
		return same_id(i.fs.uuid, s->value);
	if (str_eq(s->key, "PARTLABEL"))
		return i.part.label[0] && str_eq(i.part.label, s->value);
	return same_id(i.part.uuid, s->value);
}

static int look(void *arg, const struct blockdev *d)
{
	struct search *s = arg;

	if (!matches(s, d))
		return 0;
	str_copy(s->found, sizeof(s->found), d->name);
	return 1;
}

int blockdev_find(const char *spec, char *dst, size_t size, struct err *err)
{
	static const char keys[][10] = {"LABEL", "UUID", "PARTLABEL", "PARTUUID",
					"SERIAL"};
	struct search s = {0};
	struct stat st;
	int r = -1;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		size_t n = strlen(keys[i]);

		if (strncmp(spec, keys[i], n) == 0 && spec[n] == '=') {
			s.key = keys[i];
			s.value = spec + n + 1;
		}
	}
	if (s.key) {
		r = blockdev_each(look, &s, err);
		if (r < 0)
			return -1;
		if (r == 0)
			return err_set(err, ERR_NOT_FOUND, "no device has %s", spec);
		r = snprintf(dst, size, "/dev/%s", s.found) < (int)size ? 0 : -1;
	} else {
		if (stat(spec, &st) < 0)
			return err_sys(err, errno, "%s", spec);
		if (!S_ISBLK(st.st_mode))
			return err_set(err, ERR_INVALID, "%s: not a block device", spec);
		r = str_copy(dst, size, spec);
	}
	return r < 0 ? err_set(err, ERR_INVALID, "%s: the name is too long", spec) : 0;
}
