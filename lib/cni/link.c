/* Links of the host and of a pod, through rtnetlink. */
#include "cni/cni-int.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/netlink.h"
#include "os/netns.h"

int pod_open(const char *path, struct pod_ns *ret, struct err *err)
{
	FD_AUTO fd = netns_open(path, err);
	FD_AUTO rt = -1;
	struct err why;
	int home;

	if (fd < 0)
		return -1;
	home = netns_enter(fd, err);
	if (home < 0)
		return err_wrap(err, "%s", path);
	rt = netlink_open(NETLINK_ROUTE, &why);
	if (netns_leave(home, err) < 0)
		return -1;
	if (rt < 0) {
		*err = why;
		return -1;
	}
	ret->fd = fd_take(&fd);
	ret->rt = fd_take(&rt);
	return 0;
}

void pod_close(struct pod_ns *p)
{
	fd_close(&p->fd);
	fd_close(&p->rt);
}

int link_call(int rt, struct buf *b, struct err *err)
{
	int r = netlink_call(rt, b->data, b->len, NULL, err);

	buf_reset(b);
	return r;
}

int link_get(int rt, const char *name, struct rtnl_link *ret, struct err *err)
{
	BUF_AUTO req = {0}, reply = {0};
	struct nl_view v;
	struct nl_msg m;

	rtnl_link_get(&req, name);
	if (netlink_call(rt, req.data, req.len, &reply, err) < 0) {
		if (err->sys == ENODEV)
			return 0;
		return err_wrap(err, "interface %s", name);
	}
	v = (struct nl_view){reply.data, reply.len};
	while (nl_next(&v, &m))
		if (rtnl_link_parse(&m, ret))
			return 1;
	return err_set(err, ERR_INTERNAL, "interface %s: no answer", name);
}

int link_del(int rt, uint32_t index, struct err *err)
{
	BUF_AUTO req = {0};

	rtnl_link_del(&req, index);
	if (link_call(rt, &req, err) < 0 && err->sys != ENODEV)
		return -1;
	return 0;
}

int link_no_ipv6(int rt, uint32_t index, struct err *err)
{
	const struct rtnl_change none = {.no_ipv6 = true};
	BUF_AUTO req = {0};

	rtnl_link_set(&req, index, &none);
	/* no IPv6 at all: the kernel has none, or the link's MTU is too small for it */
	if (link_call(rt, &req, err) < 0 && err->sys != EAFNOSUPPORT)
		return err_wrap(err, "keep IPv6 addresses off a link");
	return 0;
}

int link_ports(int rt, uint32_t bridge, struct err *err)
{
	BUF_AUTO req = {0}, reply = {0};
	struct rtnl_link l;
	struct nl_view v;
	struct nl_msg m;
	int n = 0;

	rtnl_links_dump(&req, bridge);
	if (netlink_call(rt, req.data, req.len, &reply, err) < 0)
		return err_wrap(err, "list the ports of a bridge");
	v = (struct nl_view){reply.data, reply.len};
	while (nl_next(&v, &m))
		n += rtnl_link_parse(&m, &l) && l.master == bridge;
	return n;
}

int link_addrs(int rt, uint32_t index, struct ip_net *ret, int max, struct err *err)
{
	BUF_AUTO req = {0}, reply = {0};
	struct rtnl_addr a;
	struct nl_view v;
	struct nl_msg m;
	int n = 0;

	rtnl_addrs_dump(&req);
	if (netlink_call(rt, req.data, req.len, &reply, err) < 0)
		return err_wrap(err, "list addresses");
	v = (struct nl_view){reply.data, reply.len};
	while (n < max && nl_next(&v, &m))
		if (rtnl_addr_parse(&m, &a) && a.index == index &&
		    a.scope == RT_SCOPE_UNIVERSE)
			ret[n++] = a.addr;
	return n;
}

int link_route_to(int rt, const struct ip *ip, uint32_t *ret_index, struct err *err)
{
	BUF_AUTO req = {0}, reply = {0};
	struct nl_view v;
	struct nl_msg m;

	rtnl_route_get(&req, ip);
	if (netlink_call(rt, req.data, req.len, &reply, err) < 0) {
		if (err->sys == ENETUNREACH || err->sys == EHOSTUNREACH)
			return 0;
		return err_wrap(err, "find a route");
	}
	v = (struct nl_view){reply.data, reply.len};
	while (nl_next(&v, &m))
		if (rtnl_route_got(&m, ret_index))
			return 1;
	return 0;
}

int link_loopback_up(int rt, struct err *err)
{
	const struct rtnl_change up = {.flags = IFF_UP, .mask = IFF_UP};
	struct rtnl_link lo = {0};
	BUF_AUTO req = {0};
	int r = link_get(rt, "lo", &lo, err);

	if (r < 0)
		return -1;
	if (r == 0)
		return err_set(err, ERR_NOT_FOUND, "no loopback interface");
	if (lo.flags & IFF_UP)
		return 0;
	rtnl_link_set(&req, lo.index, &up);
	return link_call(rt, &req, err) < 0 ? err_wrap(err, "set lo up") : 0;
}

int link_sysctl(const char *name, const char *value, struct err *err)
{
	STR_AUTO path = xasprintf("/proc/sys/%s", name);
	BUF_AUTO now = {0};
	struct err why;

	if (file_read(AT_FDCWD, path, 64, &now, &why) < 0) {
		if (why.sys == ENOENT)
			return 0;
		*err = why;
		return -1;
	}
	if (now.len == strlen(value) + 1 && memcmp(now.data, value, now.len - 1) == 0)
		return 0;
	return file_write(AT_FDCWD, path, value, err);
}
