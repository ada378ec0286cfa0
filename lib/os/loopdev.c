#include "os/loopdev.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/num.h"
#include "base/str.h"
#include "os/fd.h"
#include "os/file.h"

enum { MISC_MAJOR = 10, LOOP_CTRL_MINOR = 237 };

/* C libraries do not agree on the type of a request. */
static int control(int fd, unsigned long request, uintptr_t arg)
{
	return (int)syscall(SYS_ioctl, fd, request, arg);
}

/* Where the driver is a module: to open its node has the kernel load it. */
static int open_control(struct err *err)
{
	static const char path[] = "/dev/loop-control";
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT &&
	    mknod(path, S_IFCHR | 0600, makedev(MISC_MAJOR, LOOP_CTRL_MINOR)) == 0) {
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			unlink(path);
	}
	return fd < 0 ? file_open(AT_FDCWD, path, O_RDWR, 0, err) : fd;
}

int loopdev_free(char ret[LOOPDEV_PATH], struct err *err)
{
	FD_AUTO fd = open_control(err);
	int n;

	if (fd < 0)
		return -1;
	n = control(fd, LOOP_CTL_GET_FREE, 0);
	if (n < 0)
		return err_sys(err, errno, "no free loop device");
	snprintf(ret, LOOPDEV_PATH, "/dev/loop%d", n);
	return 0;
}

static int attach(int file, const struct loopdev_setup *s, bool read_only,
		  const char *device, struct err *err)
{
	struct loop_config c = {
		.fd = (uint32_t)file,
		.block_size = s->sector,
		.info = {.lo_offset = s->offset,
			 .lo_sizelimit = s->size_limit,
			 .lo_flags = (read_only ? LO_FLAGS_READ_ONLY : 0U) |
				     (s->autoclear ? LO_FLAGS_AUTOCLEAR : 0U) |
				     (s->partitions ? LO_FLAGS_PARTSCAN : 0U) |
				     (s->direct_io ? LO_FLAGS_DIRECT_IO : 0U)},
	};
	FD_AUTO fd = file_open(AT_FDCWD, device, read_only ? O_RDONLY : O_RDWR, 0, err);

	if (fd < 0)
		return -1;
	/* only for who asks the device; the kernel's own view is in sysfs */
	strncpy((char *)c.info.lo_file_name, s->file, LO_NAME_SIZE - 1);
	if (control(fd, LOOP_CONFIGURE, (uintptr_t)&c) < 0)
		return err_sys(err, errno, "%s: attach %s", device, s->file);
	return fd_take(&fd);
}

int loopdev_attach(const struct loopdev_setup *s, char ret[LOOPDEV_PATH], struct err *err)
{
	bool read_only = s->read_only;
	FD_AUTO file = open(s->file, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	int fd = -1;

	if (file < 0 && !read_only && (errno == EROFS || errno == EACCES)) {
		read_only = true;
		file = open(s->file, O_RDONLY | O_CLOEXEC);
	}
	if (file < 0)
		return err_sys(err, errno, "open %s", s->file);
	if (s->device) {
		if (str_copy(ret, LOOPDEV_PATH, s->device) < 0)
			return err_set(err, ERR_INVALID, "%s: no loop device", s->device);
		return attach(file, s, read_only, s->device, err);
	}
	/* another process may take what is free */
	for (int tries = 0; tries < 64; tries++) {
		if (loopdev_free(ret, err) < 0)
			return -1;
		fd = attach(file, s, read_only, ret, err);
		if (fd >= 0 || (err->sys != EBUSY && err->sys != ENXIO))
			break;
	}
	return fd;
}

int loopdev_detach(const char *device, struct err *err)
{
	FD_AUTO fd = file_open(AT_FDCWD, device, O_RDONLY, 0, err);

	if (fd < 0)
		return -1;
	if (control(fd, LOOP_CLR_FD, 0) < 0)
		return err_sys(err, errno, "%s: detach", device);
	return 0;
}

bool loopdev_get(unsigned number, struct loopdev *ret)
{
	char path[64];
	struct loop_info64 info;
	struct err ignored;
	BUF_AUTO file = {0};
	FD_AUTO fd = -1;

	snprintf(path, sizeof(path), "/sys/block/loop%u/loop/backing_file", number);
	if (file_read(AT_FDCWD, path, sizeof(ret->file), &file, &ignored) < 0)
		return false;
	snprintf(path, sizeof(path), "/dev/loop%u", number);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || control(fd, LOOP_GET_STATUS64, (uintptr_t)&info) < 0)
		return false;
	if (file.len && file.data[file.len - 1] == '\n')
		file.len--;
	*ret = (struct loopdev){
		.number = number,
		.dev = info.lo_device,
		.inode = info.lo_inode,
		.offset = info.lo_offset,
		.size_limit = info.lo_sizelimit,
		.read_only = info.lo_flags & LO_FLAGS_READ_ONLY,
		.autoclear = info.lo_flags & LO_FLAGS_AUTOCLEAR,
		.direct_io = info.lo_flags & LO_FLAGS_DIRECT_IO,
	};
	str_copy(ret->file, sizeof(ret->file), buf_str(&file));
	return true;
}
