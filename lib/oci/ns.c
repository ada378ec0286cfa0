/* ns: a container's namespaces: joined by path, id maps, time offsets. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "oci/oci-int.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/proc.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif
/* ioctl_ns(2) */
#define NS_TYPE_OF _IO(0xb7, 3)

int oci_ns_open(const char *path, enum oci_ns type, struct err *err)
{
	const struct oci_ns_type *t = &oci_ns_types[type];
	/* O_NONBLOCK: it may be anything, and nothing must wait in open */
	FD_AUTO fd = file_open(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, err);
	int flag;

	if (fd < 0)
		return err_wrap(err, "%s namespace", t->name);
	flag = ioctl(fd, NS_TYPE_OF);
	if (flag < 0)
		return err_set(err, ERR_INVALID, "%s namespace: %s is no namespace",
			       t->name, path);
	if (flag != t->flag)
		return err_set(err, ERR_INVALID,
			       "%s namespace: %s is a namespace of another type", t->name,
			       path);
	return fd_take(&fd);
}

/* --- id maps ------------------------------------------------------------------------ */

/* Our own id alone, whatever it is inside: that the kernel lets everybody map. */
static bool own_id(const struct ns_map *maps, size_t n, unsigned id)
{
	return n == 1 && maps->count == 1 && maps->outside == id;
}

/* newuidmap PID INSIDE OUTSIDE COUNT..., setuid or with file capabilities. */
static int run_helper(const char *tool, pid_t pid, const struct ns_map *maps, size_t n,
		      struct err *err)
{
	static const char *const dirs[] = {"/usr/bin", "/bin", "/usr/local/bin",
					   "/usr/sbin"};
	ARENA_AUTO a = {0};
	const char **argv = arena_array(&a, 3 * n + 3, sizeof(*argv));
	struct proc_spawn how = {.argv = argv, .fd3 = -1};
	size_t k = 0;
	int status;

	for (size_t i = 0; i < ARRAY_LEN(dirs) && !how.path; i++) {
		char *path = arena_fmt(&a, "%s/%s", dirs[i], tool);

		if (access(path, X_OK) == 0)
			how.path = path;
	}
	if (!how.path)
		return err_set(err, ERR_DENIED,
			       "these ids are not ours to map, and there is no %s", tool);
	argv[k++] = tool;
	argv[k++] = arena_fmt(&a, "%d", (int)pid);
	for (size_t i = 0; i < n; i++) {
		argv[k++] = arena_fmt(&a, "%u", maps[i].inside);
		argv[k++] = arena_fmt(&a, "%u", maps[i].outside);
		argv[k++] = arena_fmt(&a, "%u", maps[i].count);
	}
	pid = proc_spawn(&how, NULL, err);
	if (pid < 0)
		return -1;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_sys(err, errno, "wait for %s", tool);
	if (status)
		return err_set(err, ERR_DENIED, "%s refused (are the ids in /etc/sub%s?)",
			       tool, str_eq(tool, "newuidmap") ? "uid" : "gid");
	return 0;
}

static int write_map(pid_t pid, const char *file, const struct ns_map *maps, size_t n,
		     const char *tool, struct err *err)
{
	if (ns_write_map(pid, file, maps, n, err) == 0)
		return 0;
	if (err->sys != EPERM || geteuid() == 0)
		return -1;
	return run_helper(tool, pid, maps, n, err);
}

int oci_ns_write_maps(const struct oci_spec *s, pid_t pid, struct err *err)
{
	char path[48];

	if (write_map(pid, "uid_map", s->uids, s->nuids, "newuidmap", err) < 0)
		return err_wrap(err, "linux.uidMappings");
	/* user_namespaces(7): without rights a group is mapped by who can drop none */
	snprintf(path, sizeof(path), "/proc/%d/setgroups", (int)pid);
	if (geteuid() != 0 && own_id(s->gids, s->ngids, getegid()) &&
	    file_write(AT_FDCWD, path, "deny", err) < 0)
		return err_wrap(err, "linux.gidMappings");
	if (write_map(pid, "gid_map", s->gids, s->ngids, "newgidmap", err) < 0)
		return err_wrap(err, "linux.gidMappings");
	return 0;
}

/* --- time --------------------------------------------------------------------------- */

static int parse_clock(yyjson_val *obj, const char *key, struct arena *a,
		       struct oci_time_offset *ret, struct err *err)
{
	char *where = arena_fmt(a, "linux.timeOffsets.%s", key);
	uint64_t ns = 0;
	yyjson_val *v;

	if (json_opt_obj(obj, "linux.timeOffsets", key, &v, err) < 0 ||
	    json_opt_i64(v, where, "secs", INT64_MIN, INT64_MAX, &ret->secs, NULL, err) <
		    0 ||
	    json_opt_u64(v, where, "nanosecs", 999999999, &ns, NULL, err) < 0)
		return -1;
	ret->given = v != NULL;
	ret->nanosecs = (uint32_t)ns;
	return 0;
}

int oci_parse_time_offsets(yyjson_val *lin, struct arena *a, struct oci_spec *s,
			   struct err *err)
{
	yyjson_val *obj, *k, *v;

	if (json_opt_obj(lin, "linux", "timeOffsets", &obj, err) < 0)
		return -1;
	json_each_member (k, v, obj)
		if (v && !str_eq(yyjson_get_str(k), "monotonic") &&
		    !str_eq(yyjson_get_str(k), "boottime"))
			return err_set(err, ERR_INVALID,
				       "linux.timeOffsets: unknown clock \"%.80s\"",
				       yyjson_get_str(k));
	if (parse_clock(obj, "monotonic", a, &s->monotonic, err) < 0)
		return -1;
	return parse_clock(obj, "boottime", a, &s->boottime, err);
}

int oci_ns_new_time(const struct oci_spec *s, int offsets_fd, struct err *err)
{
	FD_AUTO ns = -1;
	BUF_AUTO text = {0};

	if (unshare(CLONE_NEWTIME) < 0)
		return err_sys(err, errno, "new time namespace%s",
			       errno == EINVAL ? " (not in this kernel)" : "");
	if (s->monotonic.given)
		buf_add_fmt(&text, "monotonic %lld %u\n", (long long)s->monotonic.secs,
			    s->monotonic.nanosecs);
	if (s->boottime.given)
		buf_add_fmt(&text, "boottime %lld %u\n", (long long)s->boottime.secs,
			    s->boottime.nanosecs);
	if (text.len && write(offsets_fd, text.data, text.len) != (ssize_t)text.len)
		return err_sys(err, errno, "linux.timeOffsets");
	/* it is our children's so far; with that its offsets are final */
	ns = file_open(AT_FDCWD, "/proc/self/ns/time_for_children", O_RDONLY, 0, err);
	if (ns < 0)
		return -1;
	if (setns(ns, CLONE_NEWTIME) < 0)
		return err_sys(err, errno, "enter the new time namespace");
	return 0;
}
