/* netdev: network devices of the host for a container (config-linux.md, Network Devices). */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "oci/oci-int.h"
#include "os/fd.h"
#include "os/netlink.h"
#include "os/netns.h"
#include "wire/rtnl.h"

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
