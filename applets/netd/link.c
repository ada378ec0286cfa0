/* Links: what the kernel tells of them, and what is set on them. */
#include <errno.h>
#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "netd.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/netlink.h"

#ifndef IFF_LOWER_UP
#define IFF_LOWER_UP 0x10000
#endif

enum {
	DATAGRAM = 32768, /* the kernel's largest */
	METRIC_STATIC = 512,
	METRIC_DHCP = 1024 /* as that of routers' advertisements */
};

static struct log *log_of(const struct netd *n)
{
	return &n->s->log;
}

/* Carries out one request; EEXIST and ESRCH say that it was so already. */
static int ask(struct netd *n, const struct buf *b, const char *name, const char *what)
{
	struct err err;

	if (netlink_call(n->rtnl, b->data, b->len, NULL, &err) == 0 ||
	    err.sys == EEXIST || err.sys == ESRCH)
		return 0;
	log_warn(log_of(n), "%s: %s: %s", name, what, err.msg);
	return -1;
}

static void set_link(struct link *l, const struct rtnl_change *c, const char *what)
{
	BUF_AUTO b = {0};

	rtnl_link_set(&b, l->is.index, c);
	ask(l->netd, &b, l->is.name, what);
}

static void set_mtu(struct link *l, uint32_t mtu)
{
	const struct rtnl_change c = {.mtu = mtu};

	if (mtu && l->is.mtu != mtu)
		set_link(l, &c, "set the MTU");
}

static void set_address(struct link *l, const struct ip_net *addr,
			const struct ip *broadcast, uint32_t seconds)
{
	const struct rtnl_addr_set a = {.index = l->is.index,
					.addr = *addr,
					.broadcast = broadcast,
					.valid = seconds,
					.preferred = seconds};
	BUF_AUTO b = {0};
	STR_AUTO what = NULL;
	char text[IP_NET_TEXT];

	what = xasprintf("add %s", ip_net_format(text, addr));
	rtnl_addr_set(&b, &a);
	ask(l->netd, &b, l->is.name, what);
}

static void set_route(struct link *l, const struct rtnl_route *r)
{
	BUF_AUTO b = {0};
	STR_AUTO what = NULL;
	char text[IP_NET_TEXT];

	what = xasprintf("add a route to %s", ip_net_format(text, &r->dst));
	rtnl_route_new(&b, r);
	ask(l->netd, &b, l->is.name, what);
}

/* --- static settings ---------------------------------------------------------------------- */

/* A gateway that no address of the link covers is reached on the link all the same. */
static bool covered(const struct link_conf *c, const struct ip *gw)
{
	if (gw->v6 && gw->b[0] == 0xfe && (gw->b[1] & 0xc0) == 0x80)
		return true;
	for (unsigned i = 0; i < c->naddr; i++)
		if (ip_in(&c->addr[i], gw))
			return true;
	return false;
}

static void static_routes(struct link *l)
{
	for (int v6 = 0; v6 < 2; v6++) {
		const struct rtnl_route r = {
			.index = l->is.index,
			.dst = {.ip = {.v6 = v6}},
			.gw = &l->conf.gw[v6],
			.metric = METRIC_STATIC + l->is.index,
			.protocol = RTPROT_STATIC,
			.onlink = !covered(&l->conf, &l->conf.gw[v6]),
			.replace = true,
		};

		if (l->conf.has_gw[v6])
			set_route(l, &r);
	}
}

static void sysctl(struct link *l, const char *name, const char *value)
{
	STR_AUTO path = xasprintf("ipv6/conf/%s/%s", l->is.name, name);
	struct err err;

	if (l->netd->sysctl_dir >= 0 &&
	    file_write(l->netd->sysctl_dir, path, value, &err) < 0 && err.sys != ENOENT)
		log_warn(log_of(l->netd), "%s: %s", l->is.name, err.msg);
}

/* Before the link is up, so that the kernel's first solicitation is answered. */
static void prepare(struct link *l)
{
	const struct rtnl_change up = {.flags = IFF_UP, .mask = IFF_UP};

	/* 2: on a host that forwards as well, which a node is */
	sysctl(l, "accept_ra", l->conf.ra ? "2" : "0");
	sysctl(l, "autoconf", l->conf.ra ? "1" : "0");
	set_mtu(l, l->conf.mtu);
	if (!(l->is.flags & IFF_UP))
		set_link(l, &up, "set up");
}

static void apply_static(struct link *l)
{
	for (unsigned i = 0; i < l->conf.naddr; i++)
		set_address(l, &l->conf.addr[i], NULL, UINT32_MAX);
	static_routes(l);
	l->applied = true;
}

/* --- leases ------------------------------------------------------------------------------- */

static struct ip_net lease_net(const struct dhcp4_reply *r)
{
	return (struct ip_net){.ip = dhcp4_ip(r->yiaddr), .prefix = r->prefix};
}

static void lease_route(struct link *l, const struct dhcp4_reply *lease,
			const struct dhcp4_route *to, bool add)
{
	const struct ip_net net = lease_net(lease);
	const struct ip gw = dhcp4_ip(to->gw);
	const struct rtnl_route r = {
		.index = l->is.index,
		.dst = {.ip = dhcp4_ip(to->dst), .prefix = to->prefix},
		.gw = to->gw ? &gw : NULL,
		.metric = METRIC_DHCP + l->is.index,
		.src = add ? &net.ip : NULL,
		.protocol = RTPROT_DHCP,
		.onlink = add && to->gw && !ip_in(&net, &gw),
		.replace = true,
	};
	BUF_AUTO b = {0};

	if (add) {
		set_route(l, &r);
		return;
	}
	rtnl_route_del(&b, &r);
	ask(l->netd, &b, l->is.name, "remove a route");
}

static bool has_route(const struct dhcp4_reply *r, const struct dhcp4_route *to)
{
	for (unsigned i = 0; i < r->nroutes; i++)
		if (r->routes[i].dst == to->dst && r->routes[i].gw == to->gw &&
		    r->routes[i].prefix == to->prefix)
			return true;
	return false;
}

void link_lease(struct link *l, const struct dhcp4_reply *lease, uint32_t seconds)
{
	const struct ip_net net = lease_net(lease);
	const struct ip broadcast = dhcp4_ip(lease->broadcast);

	if (l->dhcp.configured) {
		const struct ip_net before = lease_net(&l->on);

		if (ip_cmp(&before.ip, &net.ip) != 0 || before.prefix != net.prefix)
			link_lease_drop(l);
		else
			for (unsigned i = 0; i < l->on.nroutes; i++)
				if (!has_route(lease, &l->on.routes[i]))
					lease_route(l, &l->on, &l->on.routes[i], false);
	}
	if (!l->conf.mtu)
		set_mtu(l, lease->mtu);
	set_address(l, &net, lease->broadcast ? &broadcast : NULL, seconds);
	/* those on the link first: others go through them */
	for (int pass = 0; pass < 2; pass++)
		for (unsigned i = 0; i < lease->nroutes; i++)
			if (!lease->routes[i].gw == !pass)
				lease_route(l, lease, &lease->routes[i], true);
	l->on = *lease;
	publish_later(l->netd);
}

void link_lease_drop(struct link *l)
{
	const struct ip_net net = lease_net(&l->on);
	BUF_AUTO b = {0};
	struct err err;

	for (unsigned i = 0; i < l->on.nroutes; i++)
		lease_route(l, &l->on, &l->on.routes[i], false);
	rtnl_addr_del(&b, l->is.index, &net);
	/* the kernel may have been quicker: it knows when the lease ends */
	if (netlink_call(l->netd->rtnl, b.data, b.len, NULL, &err) < 0 &&
	    err.sys != EADDRNOTAVAIL && err.sys != ENODEV)
		log_warn(log_of(l->netd), "%s: remove an address: %s", l->is.name,
			 err.msg);
	publish_later(l->netd);
}

/* --- the table of links ---------------------------------------------------------------------- */

static struct link *find(struct netd *n, uint32_t index)
{
	list_each (p, &n->links) {
		struct link *l = container_of(p, struct link, node);

		if (l->is.index == index)
			return l;
	}
	return NULL;
}

static void forget(struct link *l)
{
	dhcp_done(&l->dhcp);
	publish_later(l->netd);
	list_del(&l->node);
	free(l);
}

static bool has_carrier(const struct rtnl_link *l)
{
	return (l->flags & IFF_UP) && (l->flags & IFF_LOWER_UP);
}

/* Takes up a link that is ours from now on. */
static void adopt(struct link *l)
{
	static const char *const origins[] = {
		[LINK_CONFIG] = "configuration",
		[LINK_CMDLINE] = "kernel command line",
		[LINK_DEFAULT] = "default",
	};
	struct log *log = log_of(l->netd);

	log_info(log, "%s: %s%s%s (%s)", l->is.name, l->conf.naddr ? "static" : "",
		 l->conf.naddr && l->conf.dhcp ? ", " : "",
		 l->conf.dhcp	 ? "DHCP"
		 : l->conf.naddr ? ""
				 : "no IPv4",
		 origins[l->conf.origin]);
	if (l->conf.dhcp && !l->is.has_mac) {
		log_warn(log, "%s: not Ethernet: no DHCP", l->is.name);
		l->conf.dhcp = false;
	}
	prepare(l);
}

/* What has changed since the kernel told of the link before. */
static void follow(struct link *l, const struct rtnl_link *now)
{
	const struct rtnl_link before = l->is;
	bool was = has_carrier(&before), is = has_carrier(now);

	l->is = *now;
	/* addresses of IPv4 outlive "down", routes and IPv6 do not */
	if ((now->flags & IFF_UP) && (!l->applied || !(before.flags & IFF_UP))) {
		apply_static(l);
		if (l->dhcp.configured)
			dhcp_configure(&l->dhcp);
	}
	if (l->conf.dhcp && was != is)
		dhcp_event(&l->dhcp, is ? DHCP_EV_UP : DHCP_EV_DOWN, NULL);
	if (before.flags != now->flags || !str_eq(before.name, now->name))
		publish_later(l->netd);
}

static void on_link(struct netd *n, const struct rtnl_link *now)
{
	struct link *l = find(n, now->index);

	if (now->flags & IFF_LOOPBACK) {
		const struct rtnl_change up = {.flags = IFF_UP, .mask = IFF_UP};
		struct link lo = {.netd = n, .is = *now};

		if (!(now->flags & IFF_UP))
			set_link(&lo, &up, "set up");
		return;
	}
	if (!l) {
		struct link_conf conf;

		/* of the veths of a thousand pods nothing is kept */
		if (!conf_of_link(n, now, &conf))
			return;
		l = xcalloc(1, sizeof(*l));
		l->netd = n;
		l->conf = conf;
		l->is = *now;
		/* what is there is news to it */
		l->is.flags &= ~(uint32_t)(IFF_UP | IFF_LOWER_UP);
		dhcp_init(&l->dhcp, l);
		list_add(&n->links, &l->node);
		adopt(l);
	}
	l->seen = true;
	follow(l, now);
}

static void take(struct netd *n, const struct nl_msg *m)
{
	struct nl_msg as_new = *m;
	struct nd_option option;
	struct rtnl_addr addr;
	struct rtnl_link link;
	struct link *l = NULL;

	switch (m->type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		as_new.type = RTM_NEWLINK;
		/* of another family it is a port's message, not a link's */
		if (!m->body.len || m->body.data[0] != AF_UNSPEC ||
		    !rtnl_link_parse(&as_new, &link))
			return;
		if (m->type == RTM_NEWLINK)
			on_link(n, &link);
		else if ((l = find(n, link.index)))
			forget(l);
		return;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		as_new.type = RTM_NEWADDR;
		if (rtnl_addr_parse(&as_new, &addr))
			l = find(n, addr.index);
		if (l)
			publish_later(n);
		return;
	case RTM_NEWNDUSEROPT:
		if (nd_parse(m, &option) && (l = find(n, option.index)) && l->conf.ra)
			publish_ra(l, &option);
		return;
	default:
		return;
	}
}

/* Compares with all that is there: at the start, and when messages were lost. */
static int scan(struct netd *n, struct err *err)
{
	BUF_AUTO req = {0};
	BUF_AUTO reply = {0};
	struct nl_view v;
	struct nl_msg m;

	rtnl_links_dump(&req, 0);
	if (netlink_call(n->rtnl, req.data, req.len, &reply, err) < 0)
		return err_wrap(err, "list links");
	list_each (p, &n->links)
		container_of(p, struct link, node)->seen = false;
	v = (struct nl_view){reply.data, reply.len};
	while (nl_next(&v, &m))
		if (m.type == RTM_NEWLINK)
			take(n, &m);
	list_each (p, &n->links) {
		struct link *l = container_of(p, struct link, node);

		if (!l->seen)
			forget(l);
	}
	return 0;
}

static void on_monitor(struct loop_fd *src, unsigned events)
{
	struct netd *n = container_of(src, struct netd, monitor);
	static uint8_t data[DATAGRAM];
	struct err err;

	(void)events;
	for (;;) {
		ssize_t got = recv(src->fd, data, sizeof(data), 0);
		struct nl_view v = {data, (size_t)MAX(got, 0)};
		struct nl_msg m;

		if (got < 0 && errno == ENOBUFS && scan(n, &err) < 0)
			log_warn(log_of(n), "%s", err.msg);
		if (got < 0 && errno != ENOBUFS)
			return;
		while (nl_next(&v, &m))
			take(n, &m);
	}
}

int links_start(struct netd *n, struct err *err)
{
	static const unsigned groups[] = {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR,
					  RTNLGRP_IPV6_IFADDR, RTNLGRP_ND_USEROPT, 0};

	list_init(&n->links);
	n->rtnl = netlink_open(NETLINK_ROUTE, err);
	if (n->rtnl < 0)
		return -1;
	n->monitor = (struct loop_fd){.fn = on_monitor};
	n->monitor.fd = netlink_listen(NETLINK_ROUTE, groups, err);
	if (n->monitor.fd < 0 || loop_fd_add(n->loop, &n->monitor, LOOP_IN, err) < 0)
		return -1;
	return scan(n, err);
}

void links_stop(struct netd *n)
{
	list_each (p, &n->links) {
		struct link *l = container_of(p, struct link, node);

		dhcp_release(&l->dhcp);
	}
}

bool links_settled(struct netd *n)
{
	list_each (p, &n->links) {
		const struct link *l = container_of(p, struct link, node);

		if (!l->applied || (l->conf.dhcp && !l->dhcp.configured))
			return false;
	}
	return true;
}
