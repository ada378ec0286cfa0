/*
 * groups: the tree of control groups. PID 1 in a leaf; the system's services; cribox (the
 * daemon, its shims, a kubelet); and, made by others, the pods. Memory is protected for the
 * first three, and their share of the processor is larger than what all pods have.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/str.h"
#include "init/init.h"
#include "os/fd.h"

enum { MIB = 1 << 20 };

static const struct {
	const char *name;
	unsigned min, low; /* MiB; of memory */
	unsigned weight;   /* of the processor and the disks; 100 is what a pod has */
	bool parent;
} groups[] = {
	{"init", 4, 8, 1000, false},
	{"system", 8, 32, 500, true},
	{"cribox", 24, 96, 500, true},
	{"cribox/crid", 8, 32, 1000, false},
	{"cribox/shims", 12, 48, 500, true},
	/* for shims that come and go: the last one would remove its parent */
	{"cribox/shims/none", 0, 0, 0, false},
};

static void put_number(int dir, const char *file, unsigned long n)
{
	char text[24];

	snprintf(text, sizeof(text), "%lu", n);
	put_text_at(dir, file, text);
}

/* All controllers that are there, for the children of a group. */
static int delegate(int dir, char *ret, size_t size)
{
	FD_AUTO fd = openat(dir, "cgroup.controllers", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, ret, size - 1);
	int on = 0;

	if (n < 0)
		return -1;
	ret[n] = 0;
	ret[strcspn(ret, "\n")] = 0;
	for (const char *p = ret; *p;) {
		char one[40];
		size_t len = strcspn(p, " ");

		snprintf(one, sizeof(one), "+%.*s", (int)len, p);
		/* one by one: a controller that cannot be had leaves the others */
		on += put_text_at(dir, "cgroup.subtree_control", one) == 0;
		p += len + strspn(p + len, " ");
	}
	return on;
}

static int refuse(struct err *err)
{
	struct statfs fs;
	bool v1 = statfs("/sys/fs/cgroup", &fs) == 0 &&
		  (unsigned long)fs.f_type != CGROUP2_SUPER_MAGIC &&
		  access("/sys/fs/cgroup/memory", F_OK) == 0;

	return err_set(err, ERR_UNIMPLEMENTED,
		       v1 ? "control groups of version 1 are mounted; this node needs "
			    "version 2 alone"
			  : "this kernel has no control groups of version 2");
}

/* A group below ours, made if it is not there: an owned fd or -1. */
static int make(struct init *in, const char *path, struct err *err)
{
	int fd = -1;

	if (mkdirat(in->cgroup_fd, path, 0755) == 0 || errno == EEXIST)
		fd = openat(in->cgroup_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_sys(err, errno, "control group %s", path) : fd;
}

int groups_make(struct init *in, struct err *err)
{
	static const char *const needed[] = {"cribox/memory.max", "cribox/cpu.weight",
					     "cribox/pids.max"};
	char have[256] = "", other[256];
	struct statfs fs;

	in->cgroup_fd = open(in->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (in->cgroup_fd < 0 || fstatfs(in->cgroup_fd, &fs) < 0 ||
	    (unsigned long)fs.f_type != CGROUP2_SUPER_MAGIC)
		return refuse(err);
	/* first into a leaf: a group with processes cannot delegate */
	if ((mkdirat(in->cgroup_fd, "init", 0755) < 0 && errno != EEXIST) ||
	    put_text_at(in->cgroup_fd, "init/cgroup.procs", "0") < 0)
		return err_sys(err, errno, "a control group for init");
	if (delegate(in->cgroup_fd, have, sizeof(have)) < 0)
		return err_sys(err, errno, "control groups");
	for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
		FD_AUTO dir = make(in, groups[i].name, err);

		if (dir < 0)
			return -1;
		if (groups[i].parent)
			delegate(dir, other, sizeof(other));
		put_number(dir, "memory.min", (unsigned long)groups[i].min * MIB);
		put_number(dir, "memory.low", (unsigned long)groups[i].low * MIB);
		if (groups[i].weight) {
			put_number(dir, "cpu.weight", groups[i].weight);
			put_number(dir, "io.weight", groups[i].weight);
		}
	}
	/* "cgroup_disable=" and mounts of version 1 take controllers away */
	for (size_t i = 0; in->machine && i < ARRAY_LEN(needed); i++)
		if (faccessat(in->cgroup_fd, needed[i], F_OK, 0) < 0)
			return err_set(err, ERR_UNIMPLEMENTED,
				       "control groups of version 2 lack a controller "
				       "that pods need: there are \"%s\"",
				       have);
	return 0;
}

void group_path(const struct service *s, char dst[GROUP_PATH])
{
	bool pods = str_eq(s->title, "crid") || str_eq(s->title, "kubelet");

	snprintf(dst, GROUP_PATH, "%s/%s", pods ? "cribox" : "system", s->title);
}

int group_open(struct init *in, const struct service *s, struct err *err)
{
	char path[GROUP_PATH];
	int fd;

	group_path(s, path);
	fd = make(in, path, err);
	if (fd >= 0 && s->def.memory_max) {
		put_number(fd, "memory.max", s->def.memory_max);
		put_text_at(fd, "memory.oom.group", "1");
	}
	return fd;
}

void group_kill(struct init *in, const char *name)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/cgroup.kill", name);
	put_text_at(in->cgroup_fd, path, "1");
}

void groups_kill_all(struct init *in)
{
	static const char *const top[] = {"kubepods", "cribox", "system"};

	for (size_t i = 0; i < ARRAY_LEN(top); i++)
		group_kill(in, top[i]);
	/* and what is in groups that others made, in a group of version 1, or in ours */
	kill(-1, SIGKILL);
}
