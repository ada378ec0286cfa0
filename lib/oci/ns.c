/*
 * ns: a container's namespaces: joined by path, id maps, time offsets, network devices that
 * move into them (config-linux.md, Namespaces to Network Devices).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
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
#include "os/netlink.h"
#include "os/netns.h"
#include "os/proc.h"
#include "wire/rtnl.h"

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
	struct proc_spawn how = {.argv = argv, .fd3 = -1, .fds = {-1, -1, -1}};
	int pipes[2], status = 0;
	char said[256];
	size_t k = 0;

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
	if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_sys(err, errno, "pipe for %s", tool);
	how.fds[2] = pipes[1];
	pid = proc_spawn(&how, NULL, err);
	while (pid > 0 && waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			pid = err_sys(err, errno, "wait for %s", tool);
	if (pid > 0 && status) {
		ssize_t len = read(pipes[0], said, sizeof(said) - 1);

		said[len > 0 ? len : 0] = 0;
		said[strcspn(said, "\n")] = 0;
		pid = err_set(err, ERR_DENIED, "%s refused: %s", tool, said);
	}
	close(pipes[0]);
	close(pipes[1]);
	return pid > 0 ? 0 : -1;
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

/* --- network devices ---------------------------------------------------------------- */

enum { MAX_ADDRS = 64 };

/* rtnl's rule, and the names that the kernel has for itself. */
static bool name_ok(const char *name)
{
	return rtnl_name_ok(name) && !str_eq(name, ".") && !str_eq(name, "..") &&
	       !strchr(name, '%') && !str_eq(name, "all") && !str_eq(name, "default");
}

int oci_parse_netdevs(yyjson_val *lin, struct arena *a, struct oci_spec *s,
		      struct err *err)
{
	yyjson_val *obj, *k, *v;

	if (json_opt_obj(lin, "linux", "netDevices", &obj, err) < 0)
		return -1;
	s->netdevs = arena_array(a, yyjson_obj_size(obj) + 1, sizeof(*s->netdevs));
	json_each_member (k, v, obj) {
		struct oci_netdev *d = &s->netdevs[s->nnetdevs++];
		char *where = arena_fmt(a, "linux.netDevices.%s", yyjson_get_str(k));

		d->host = arena_strdup(a, yyjson_get_str(k));
		if (json_opt_str(v, where, "name", a, &d->name, err) < 0)
			return -1;
		if (str_empty(d->name))
			d->name = d->host;
		if (!name_ok(d->host) || !name_ok(d->name))
			return err_set(err, ERR_INVALID,
				       "linux.netDevices: \"%.40s\" cannot be a device's "
				       "name",
				       name_ok(d->host) ? d->name : d->host);
		for (size_t i = 0; i + 1 < s->nnetdevs; i++)
			if (str_eq(s->netdevs[i].name, d->name))
				return err_set(err, ERR_INVALID,
					       "%s.name: \"%s\" is given twice", where,
					       d->name);
	}
	return 0;
}

struct device {
	const struct oci_netdev *spec;
	struct rtnl_link link;
	struct ip_net addrs[MAX_ADDRS];
	size_t naddrs;
};

static int find_link(int fd, struct device *d, struct err *err)
{
	BUF_AUTO req = {0};
	BUF_AUTO reply = {0};
	struct nl_view v;
	struct nl_msg m;

	rtnl_link_get(&req, d->spec->host);
	if (netlink_call(fd, req.data, req.len, &reply, err) < 0)
		return -1;
	v = (struct nl_view){reply.data, reply.len};
	while (nl_next(&v, &m))
		if (rtnl_link_parse(&m, &d->link))
			return 0;
	return err_set(err, ERR_NOT_FOUND, "no such device");
}

/* Addresses that somebody configured: moving a device drops them all. */
static int find_addrs(int fd, struct device *d, struct err *err)
{
	BUF_AUTO req = {0};
	BUF_AUTO reply = {0};
	struct rtnl_addr addr;
	struct ifaddrmsg ifa;
	struct nl_view v;
	struct nl_msg m;

	rtnl_addrs_dump(&req);
	if (netlink_call(fd, req.data, req.len, &reply, err) < 0)
		return -1;
	v = (struct nl_view){reply.data, reply.len};
	while (nl_next(&v, &m)) {
		if (!rtnl_addr_parse(&m, &addr) || addr.index != d->link.index ||
		    addr.scope != RT_SCOPE_UNIVERSE || d->naddrs == MAX_ADDRS)
			continue;
		memcpy(&ifa, m.body.data, sizeof(ifa));
		if (ifa.ifa_flags & IFA_F_PERMANENT)
			d->addrs[d->naddrs++] = addr.addr;
	}
	return 0;
}

static int move(int fd, const struct device *d, int netns, struct err *err)
{
	struct ifinfomsg ifi = {.ifi_family = AF_UNSPEC,
				.ifi_index = (int)d->link.index,
				.ifi_change = IFF_UP};
	BUF_AUTO req = {0};
	size_t at = nl_begin(&req, RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK);

	nl_put(&req, &ifi, sizeof(ifi));
	nl_attr_str(&req, IFLA_IFNAME, d->spec->name);
	nl_attr_u32(&req, IFLA_NET_NS_FD, (uint32_t)netns);
	nl_end(&req, at);
	return netlink_call(fd, req.data, req.len, NULL, err);
}

/* In the container's namespace: addresses as they were, and up. */
static int restore(int fd, struct device *d, struct err *err)
{
	struct rtnl_change up = {.flags = IFF_UP, .mask = IFF_UP};
	const struct oci_netdev *spec = d->spec;
	struct oci_netdev there = {spec->name, spec->name};
	BUF_AUTO req = {0};

	d->spec = &there;
	if (find_link(fd, d, err) < 0) /* its number may be another here */
		return -1;
	d->spec = spec;
	for (size_t i = 0; i < d->naddrs; i++)
		rtnl_addr_new(&req, d->link.index, &d->addrs[i]);
	rtnl_link_set(&req, d->link.index, &up);
	return netlink_call(fd, req.data, req.len, NULL, err);
}

static int take_over(struct device *d, int host, int inside, int netns, struct err *err)
{
	if (find_link(host, d, err) < 0 || find_addrs(host, d, err) < 0 ||
	    move(host, d, netns, err) < 0 || restore(inside, d, err) < 0)
		return err_wrap(err, "linux.netDevices.%s", d->spec->host);
	return 0;
}

int oci_netdevs_move(const struct oci_spec *s, pid_t pid, struct err *err)
{
	FD_AUTO netns = -1;
	FD_AUTO host = -1;
	FD_AUTO inside = -1;
	char path[48];
	int back;

	if (!s->nnetdevs)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	netns = netns_open(path, err);
	host = netlink_open(NETLINK_ROUTE, err);
	if (netns < 0 || host < 0)
		return err_wrap(err, "linux.netDevices");
	back = netns_enter(netns, err);
	if (back < 0)
		return err_wrap(err, "linux.netDevices");
	inside = netlink_open(NETLINK_ROUTE, err); /* it stays there */
	if (netns_leave(back, err) < 0 || inside < 0)
		return err_wrap(err, "linux.netDevices");
	for (size_t i = 0; i < s->nnetdevs; i++) {
		struct device d = {.spec = &s->netdevs[i]};

		if (take_over(&d, host, inside, netns, err) < 0)
			return -1;
	}
	return 0;
}
