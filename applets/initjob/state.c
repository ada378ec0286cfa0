/*
 * state: the state partition, and the payload disk. A partition that is missing, read-only,
 * full or damaged costs what would be on it, never the boot.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "devlinks/blockdev.h"
#include "initjob/initjob.h"
#include "node/config.h"
#include "os/fd.h"
#include "os/file.h"

enum {
	PATIENCE_S = 15, /* for a disk to appear */
	LOOK_MS = 100,
	EXT_STATE = 1024 + 58, /* s_state of an ext superblock, le16 */
	EXT_ERRORS = 2,
	SPARE = 16 << 20, /* bytes; with less, it is called full */
};

/* What lives on the partition, and where the node sees it. */
static const struct {
	const char *dir, *at;
	mode_t mode;
} binds[] = {
	{NODE_STATE_DIR "/lib/cribox", "/var/lib/cribox", 0700},
	{NODE_STATE_DIR "/lib/kubelet", "/var/lib/kubelet", 0750},
	{NODE_STATE_DIR "/lib/cni", "/var/lib/cni", 0755},
	{NODE_STATE_DIR "/log", "/var/log", 0755},
	{NODE_STATE_DIR "/kubernetes", "/etc/kubernetes", 0755},
	{NODE_STATE_DIR "/cni", "/etc/cni/net.d", 0755},
};

/* Disks appear when their drivers have found them. */
static int find(const char *spec, int seconds, char *dst, size_t size, struct err *err)
{
	int64_t deadline = time_mono() + seconds * NS_PER_SEC;
	const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};

	while (blockdev_find(spec, dst, size, err) < 0) {
		if (err->code != ERR_NOT_FOUND || time_mono() > deadline)
			return -1;
		nanosleep(&pause, NULL);
	}
	return 0;
}

static void check_ext(const char *path)
{
	FD_AUTO fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t state[2];

	/* the journal is the kernel's to replay; errors it has recorded are a person's */
	if (fd >= 0 && pread(fd, state, sizeof(state), EXT_STATE) == sizeof(state) &&
	    (get_le16(state) & EXT_ERRORS))
		complain("state",
			 "%s has recorded errors: check it with e2fsck elsewhere", path);
}

static bool bind_all(void)
{
	struct err err;
	bool all = true;

	for (size_t i = 0; i < ARRAY_LEN(binds); i++) {
		err.code = ERR_NONE;
		if (file_mkdirs(AT_FDCWD, binds[i].dir, binds[i].mode, &err) < 0 ||
		    chmod(binds[i].dir, binds[i].mode) < 0 ||
		    mount(binds[i].dir, binds[i].at, NULL, MS_BIND, NULL) < 0 ||
		    /* a volume mounted there is not to appear below /state, too */
		    mount(NULL, binds[i].at, NULL, MS_PRIVATE, NULL) < 0 ||
		    mount(NULL, binds[i].at, NULL, MS_SHARED, NULL) < 0) {
			complain("state", "%s stays in memory: %s", binds[i].at,
				 err.code ? err.msg : strerror(errno));
			all = false;
		}
	}
	file_mkdirs(AT_FDCWD, "/var/log/pods", 0750, &err);
	file_mkdirs(AT_FDCWD, "/var/log/containers", 0755, &err);
	file_mkdirs(AT_FDCWD, "/var/log/cribox", 0755, &err);
	file_mkdirs(AT_FDCWD, "/etc/kubernetes/manifests", 0755, &err);
	file_mkdirs(AT_FDCWD, NODE_FILES, 0700, &err);
	return all;
}

/* 0: all is on it; 1: it cannot be used; 2: it can only be read; 3: a part is on it. */
int job_state(char **args, struct err *err)
{
	char path[128];
	struct blockdev_info info;
	struct statvfs fs;
	int64_t start = time_mono();

	if (find(args[0], PATIENCE_S, path, sizeof(path), err) < 0)
		return -1;
	if (blockdev_probe_path(path, true, &info, err) < 0)
		return -1;
	if (!info.fs.type[0])
		return err_set(err, ERR_STATE, "%s has no file system that is known",
			       path);
	if (str_starts(info.fs.type, "ext"))
		check_ext(path);
	if (mount(path, NODE_STATE_DIR, info.fs.type, MS_NOATIME, NULL) < 0) {
		int why = errno;

		if ((why != EROFS && why != EACCES) ||
		    mount(path, NODE_STATE_DIR, info.fs.type, MS_RDONLY | MS_NOATIME,
			  NULL) < 0)
			return err_sys(err, why, "mount %s (%s)", path, info.fs.type);
		complain("state",
			 "%s is read-only: its configuration is used, and all else "
			 "stays in memory",
			 path);
		return 2;
	}
	tell("state", "%s (%s), mounted after %lld ms", path, info.fs.type,
	     (long long)((time_mono() - start) / NS_PER_MS));
	if (statvfs(NODE_STATE_DIR, &fs) == 0 && fs.f_bavail * fs.f_frsize < SPARE)
		complain("state", "%s is full: %llu KiB left", path,
			 (unsigned long long)(fs.f_bavail * fs.f_frsize >> 10));
	return bind_all() ? 0 : 3;
}

/*
 * The disk with what is too big for memory, by its serial or its label. 0: mounted; 1: there
 * is none.
 */
int job_payload(char **args, struct err *err)
{
	char path[128];
	struct blockdev_info info;

	(void)args;
	if (blockdev_find("SERIAL=cribox-payload", path, sizeof(path), err) < 0 &&
	    blockdev_find("LABEL=cribox-payload", path, sizeof(path), err) < 0)
		return 1;
	if (blockdev_probe_path(path, true, &info, err) < 0)
		return -1;
	if (mount(path, "/payload", info.fs.type, MS_RDONLY | MS_NODEV, NULL) < 0)
		return err_sys(err, errno, "mount %s (%s)", path, info.fs.type);
	tell("payload", "%s (%s)", path, info.fs.type);
	return 0;
}
