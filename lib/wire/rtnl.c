#include "wire/rtnl.h"

#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/num.h"
#include "base/str.h"

bool rtnl_name_ok(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n >= RTNL_NAME || str_eq(name, ".") || str_eq(name, ".."))
		return false;
	for (; *name; name++)
		if (*name == '/' || *name == ':' || *name <= ' ' || *name == 0x7f)
			return false;
	return true;
}

const char *rtnl_mac_format(char dst[RTNL_MAC_TEXT], const uint8_t mac[RTNL_MAC])
{
	snprintf(dst, RTNL_MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1],
		 mac[2], mac[3], mac[4], mac[5]);
	return dst;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int rtnl_mac_parse(const char *s, uint8_t ret[RTNL_MAC])
{
	uint8_t mac[RTNL_MAC];

	for (int i = 0; i < RTNL_MAC; i++, s += 3) {
		int hi = hex_digit(s[0]), lo = hi < 0 ? -1 : hex_digit(s[1]);

		if (lo < 0 || s[2] != (i < RTNL_MAC - 1 ? ':' : 0))
			return -1;
		mac[i] = (uint8_t)(hi << 4 | lo);
	}
	memcpy(ret, mac, sizeof(mac));
	return 0;
}

/* Begins a request about a link. */
static size_t link_begin(struct buf *b, uint16_t type, uint16_t flags, uint32_t index,
			 uint32_t iff, uint32_t mask)
{
	struct ifinfomsg ifi = {.ifi_family = AF_UNSPEC,
				.ifi_index = (int)index,
				.ifi_flags = iff,
				.ifi_change = mask};
	size_t at = nl_begin(b, type, NLM_F_REQUEST | flags);

	nl_put(b, &ifi, sizeof(ifi));
	return at;
}

void rtnl_link_get(struct buf *b, const char *name)
{
	size_t at = link_begin(b, RTM_GETLINK, NLM_F_ACK, 0, 0, 0);

	nl_attr_str(b, IFLA_IFNAME, name);
	nl_attr_u32(b, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	nl_end(b, at);
}

void rtnl_links_dump(struct buf *b, uint32_t master)
{
	size_t at = link_begin(b, RTM_GETLINK, NLM_F_DUMP, 0, 0, 0);

	nl_attr_u32(b, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	if (master)
		nl_attr_u32(b, IFLA_MASTER, master);
	nl_end(b, at);
}

bool rtnl_link_parse(const struct nl_msg *m, struct rtnl_link *ret)
{
	struct nl_view body = m->body, a[IFLA_MAX + 1], info[IFLA_INFO_MAX + 1];
	struct rtnl_link l = {0};
	struct ifinfomsg ifi;
	const uint8_t *p;

	if (m->type != RTM_NEWLINK || !(p = nl_take(&body, sizeof(ifi))))
		return false;
	memcpy(&ifi, p, sizeof(ifi));
	nl_attrs(body, a, ARRAY_LEN(a));
	l.index = (uint32_t)ifi.ifi_index;
	l.flags = ifi.ifi_flags;
	l.type = ifi.ifi_type;
	l.master = nl_u32(a[IFLA_MASTER]);
	l.mtu = nl_u32(a[IFLA_MTU]);
	str_copy(l.name, sizeof(l.name), nl_str(a[IFLA_IFNAME]));
	str_copy(l.alias, sizeof(l.alias), nl_str(a[IFLA_IFALIAS]));
	if (a[IFLA_ADDRESS].len == RTNL_MAC) {
		l.has_mac = true;
		memcpy(l.mac, a[IFLA_ADDRESS].data, RTNL_MAC);
	}
	nl_attrs(a[IFLA_LINKINFO], info, ARRAY_LEN(info));
	str_copy(l.kind, sizeof(l.kind), nl_str(info[IFLA_INFO_KIND]));
	*ret = l;
	return true;
}

void rtnl_bridge_new(struct buf *b, const char *name, const uint8_t mac[RTNL_MAC],
		     uint32_t mtu)
{
	size_t at = link_begin(b, RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, 0,
			       0, 0);
	size_t info;

	nl_attr_str(b, IFLA_IFNAME, name);
	nl_attr(b, IFLA_ADDRESS, mac, RTNL_MAC);
	if (mtu)
		nl_attr_u32(b, IFLA_MTU, mtu);
	info = nl_nest(b, IFLA_LINKINFO);
	nl_attr_str(b, IFLA_INFO_KIND, "bridge");
	nl_nest_end(b, info);
	nl_end(b, at);
}

void rtnl_veth_new(struct buf *b, const struct rtnl_veth *v)
{
	size_t at = link_begin(b, RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, 0,
			       0, 0);
	struct ifinfomsg peer_ifi = {.ifi_family = AF_UNSPEC};
	size_t info, data, peer;

	nl_attr_str(b, IFLA_IFNAME, v->name);
	if (v->mtu)
		nl_attr_u32(b, IFLA_MTU, v->mtu);
	info = nl_nest(b, IFLA_LINKINFO);
	nl_attr_str(b, IFLA_INFO_KIND, "veth");
	data = nl_nest(b, IFLA_INFO_DATA);
	peer = nl_nest(b, VETH_INFO_PEER);
	nl_put(b, &peer_ifi, sizeof(peer_ifi));
	nl_attr_str(b, IFLA_IFNAME, v->peer_name);
	nl_attr_u32(b, IFLA_NET_NS_FD, (uint32_t)v->peer_netns);
	if (v->peer_mac)
		nl_attr(b, IFLA_ADDRESS, v->peer_mac, RTNL_MAC);
	if (v->mtu)
		nl_attr_u32(b, IFLA_MTU, v->mtu);
	nl_nest_end(b, peer);
	nl_nest_end(b, data);
	nl_nest_end(b, info);
	nl_end(b, at);
}

static void af_spec(struct buf *b, const struct rtnl_change *c)
{
	size_t spec = nl_nest(b, IFLA_AF_SPEC), inet, conf;

	if (c->no_ipv6) {
		inet = nl_nest(b, AF_INET6);
		nl_attr_u8(b, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
		nl_nest_end(b, inet);
	}
	if (c->route_localnet) {
		inet = nl_nest(b, AF_INET);
		conf = nl_nest(b, IFLA_INET_CONF);
		nl_attr_u32(b, IPV4_DEVCONF_ROUTE_LOCALNET, c->route_localnet > 0);
		nl_nest_end(b, conf);
		nl_nest_end(b, inet);
	}
	nl_nest_end(b, spec);
}

void rtnl_link_set(struct buf *b, uint32_t index, const struct rtnl_change *c)
{
	size_t at = link_begin(b, RTM_NEWLINK, NLM_F_ACK, index, c->flags, c->mask);

	if (c->master)
		nl_attr_u32(b, IFLA_MASTER, c->master);
	if (c->mtu)
		nl_attr_u32(b, IFLA_MTU, c->mtu);
	if (c->alias)
		nl_attr_str(b, IFLA_IFALIAS, c->alias);
	if (c->no_ipv6 || c->route_localnet)
		af_spec(b, c);
	nl_end(b, at);
}

void rtnl_port_set(struct buf *b, uint32_t index, bool hairpin, bool isolated)
{
	size_t at = link_begin(b, RTM_NEWLINK, NLM_F_ACK, index, 0, 0);
	size_t info = nl_nest(b, IFLA_LINKINFO), data;

	nl_attr_str(b, IFLA_INFO_SLAVE_KIND, "bridge");
	data = nl_nest(b, IFLA_INFO_SLAVE_DATA);
	nl_attr_u8(b, IFLA_BRPORT_MODE, hairpin);
	nl_attr_u8(b, IFLA_BRPORT_ISOLATED, isolated);
	nl_nest_end(b, data);
	nl_nest_end(b, info);
	nl_end(b, at);
}

void rtnl_link_del(struct buf *b, uint32_t index)
{
	nl_end(b, link_begin(b, RTM_DELLINK, NLM_F_ACK, index, 0, 0));
}

static uint8_t family(const struct ip *ip)
{
	return ip->v6 ? AF_INET6 : AF_INET;
}

static void addr_request(struct buf *b, uint16_t type, uint16_t flags, uint32_t index,
			 const struct ip_net *addr)
{
	struct ifaddrmsg ifa = {.ifa_family = family(&addr->ip),
				.ifa_prefixlen = (uint8_t)addr->prefix,
				.ifa_scope = RT_SCOPE_UNIVERSE,
				.ifa_flags = addr->ip.v6 ? IFA_F_NODAD : 0,
				.ifa_index = index};
	struct ip last = ip_last(addr);
	size_t at = nl_begin(b, type, NLM_F_REQUEST | NLM_F_ACK | flags);

	nl_put(b, &ifa, sizeof(ifa));
	nl_attr(b, IFA_LOCAL, addr->ip.b, ip_len(&addr->ip));
	nl_attr(b, IFA_ADDRESS, addr->ip.b, ip_len(&addr->ip));
	if (type == RTM_NEWADDR && !addr->ip.v6 && addr->prefix < 31)
		nl_attr(b, IFA_BROADCAST, last.b, 4);
	nl_end(b, at);
}

void rtnl_addr_new(struct buf *b, uint32_t index, const struct ip_net *addr)
{
	addr_request(b, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, index, addr);
}

void rtnl_addr_del(struct buf *b, uint32_t index, const struct ip_net *addr)
{
	addr_request(b, RTM_DELADDR, 0, index, addr);
}

void rtnl_addr_set(struct buf *b, const struct rtnl_addr_set *a)
{
	struct ifaddrmsg ifa = {.ifa_family = family(&a->addr.ip),
				.ifa_prefixlen = (uint8_t)a->addr.prefix,
				.ifa_scope = RT_SCOPE_UNIVERSE,
				.ifa_index = a->index};
	struct ifa_cacheinfo life = {.ifa_prefered = a->preferred, .ifa_valid = a->valid};
	struct ip last = ip_last(&a->addr);
	size_t n = ip_len(&a->addr.ip),
	       at = nl_begin(b, RTM_NEWADDR,
			     NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE);

	nl_put(b, &ifa, sizeof(ifa));
	nl_attr(b, IFA_LOCAL, a->addr.ip.b, n);
	nl_attr(b, IFA_ADDRESS, a->addr.ip.b, n);
	if (!a->addr.ip.v6 && (a->broadcast || a->addr.prefix < 31))
		nl_attr(b, IFA_BROADCAST, a->broadcast ? a->broadcast->b : last.b, 4);
	nl_attr(b, IFA_CACHEINFO, &life, sizeof(life));
	nl_end(b, at);
}

void rtnl_addrs_dump(struct buf *b)
{
	struct ifaddrmsg ifa = {.ifa_family = AF_UNSPEC};
	size_t at = nl_begin(b, RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP);

	nl_put(b, &ifa, sizeof(ifa));
	nl_end(b, at);
}

/* An address of the family in an attribute; false for any other length. */
static bool take_ip(struct nl_view a, uint8_t fam, struct ip *ret)
{
	struct ip ip = {.v6 = fam == AF_INET6};

	if ((fam != AF_INET && fam != AF_INET6) || a.len != ip_len(&ip))
		return false;
	memcpy(ip.b, a.data, a.len);
	*ret = ip;
	return true;
}

bool rtnl_addr_parse(const struct nl_msg *m, struct rtnl_addr *ret)
{
	struct nl_view body = m->body, a[IFA_MAX + 1];
	struct rtnl_addr addr = {0};
	struct ifaddrmsg ifa;
	const uint8_t *p;

	if (m->type != RTM_NEWADDR || !(p = nl_take(&body, sizeof(ifa))))
		return false;
	memcpy(&ifa, p, sizeof(ifa));
	nl_attrs(body, a, ARRAY_LEN(a));
	/* of a point-to-point link IFA_ADDRESS is the other end; IPv6 has no IFA_LOCAL else */
	if (!take_ip(a[IFA_LOCAL].data ? a[IFA_LOCAL] : a[IFA_ADDRESS], ifa.ifa_family,
		     &addr.addr.ip) ||
	    ifa.ifa_prefixlen > ip_bits(&addr.addr.ip))
		return false;
	addr.addr.prefix = ifa.ifa_prefixlen;
	addr.index = ifa.ifa_index;
	addr.scope = ifa.ifa_scope;
	*ret = addr;
	return true;
}

static void route_request(struct buf *b, uint16_t type, uint16_t flags,
			  const struct rtnl_route *r)
{
	struct rtmsg rtm = {.rtm_family = family(&r->dst.ip),
			    .rtm_dst_len = (uint8_t)r->dst.prefix,
			    .rtm_table = r->table && r->table < 256 ? (uint8_t)r->table
								    : RT_TABLE_MAIN,
			    .rtm_protocol = r->protocol ? r->protocol : RTPROT_BOOT,
			    .rtm_scope = r->gw ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
			    .rtm_type = RTN_UNICAST,
			    .rtm_flags = r->onlink ? RTNH_F_ONLINK : 0};
	struct ip dst = ip_first(&r->dst);
	size_t metrics, at = nl_begin(b, type, NLM_F_REQUEST | NLM_F_ACK | flags);

	nl_put(b, &rtm, sizeof(rtm));
	if (r->dst.prefix)
		nl_attr(b, RTA_DST, dst.b, ip_len(&dst));
	if (r->gw)
		nl_attr(b, RTA_GATEWAY, r->gw->b, ip_len(r->gw));
	if (r->src)
		nl_attr(b, RTA_PREFSRC, r->src->b, ip_len(r->src));
	nl_attr_u32(b, RTA_OIF, r->index);
	if (r->metric)
		nl_attr_u32(b, RTA_PRIORITY, r->metric);
	if (r->table)
		nl_attr_u32(b, RTA_TABLE, r->table);
	if (r->mtu) {
		metrics = nl_nest(b, RTA_METRICS);
		nl_attr_u32(b, RTAX_MTU, r->mtu);
		nl_nest_end(b, metrics);
	}
	nl_end(b, at);
}

void rtnl_route_new(struct buf *b, const struct rtnl_route *r)
{
	route_request(b, RTM_NEWROUTE,
		      NLM_F_CREATE | (r->replace ? NLM_F_REPLACE : NLM_F_EXCL), r);
}

void rtnl_route_del(struct buf *b, const struct rtnl_route *r)
{
	route_request(b, RTM_DELROUTE, 0, r);
}

void rtnl_routes_dump(struct buf *b, bool v6)
{
	struct rtmsg rtm = {.rtm_family = v6 ? AF_INET6 : AF_INET};
	size_t at = nl_begin(b, RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP);

	nl_put(b, &rtm, sizeof(rtm));
	nl_end(b, at);
}

bool rtnl_route_parse(const struct nl_msg *m, struct ip_net *ret_dst, uint32_t *ret_index)
{
	struct nl_view body = m->body, a[RTA_MAX + 1];
	struct ip_net dst = {0};
	struct rtmsg rtm;
	const uint8_t *p;
	uint32_t table;

	if (m->type != RTM_NEWROUTE || !(p = nl_take(&body, sizeof(rtm))))
		return false;
	memcpy(&rtm, p, sizeof(rtm));
	nl_attrs(body, a, ARRAY_LEN(a));
	table = a[RTA_TABLE].data ? nl_u32(a[RTA_TABLE]) : rtm.rtm_table;
	dst.ip.v6 = rtm.rtm_family == AF_INET6;
	dst.prefix = rtm.rtm_dst_len;
	if (table != RT_TABLE_MAIN || rtm.rtm_type != RTN_UNICAST ||
	    (rtm.rtm_family != AF_INET && rtm.rtm_family != AF_INET6) ||
	    dst.prefix > ip_bits(&dst.ip) ||
	    (dst.prefix && !take_ip(a[RTA_DST], rtm.rtm_family, &dst.ip)))
		return false;
	*ret_dst = dst;
	*ret_index = nl_u32(a[RTA_OIF]);
	return true;
}

bool rtnl_route_default(const struct nl_msg *m, struct ip *ret_gw, uint32_t *ret_index)
{
	struct nl_view body = m->body, a[RTA_MAX + 1];
	struct ip_net dst;
	struct ip gw;
	uint32_t index;

	if (!rtnl_route_parse(m, &dst, &index) || dst.prefix ||
	    !nl_take(&body, sizeof(struct rtmsg)))
		return false;
	nl_attrs(body, a, ARRAY_LEN(a));
	if (!take_ip(a[RTA_GATEWAY], dst.ip.v6 ? AF_INET6 : AF_INET, &gw))
		return false;
	*ret_gw = gw;
	*ret_index = index;
	return true;
}

void rtnl_route_get(struct buf *b, const struct ip *ip)
{
	struct rtmsg rtm = {.rtm_family = family(ip),
			    .rtm_dst_len = (uint8_t)ip_bits(ip)};
	size_t at = nl_begin(b, RTM_GETROUTE, NLM_F_REQUEST | NLM_F_ACK);

	nl_put(b, &rtm, sizeof(rtm));
	nl_attr(b, RTA_DST, ip->b, ip_len(ip));
	nl_end(b, at);
}

bool rtnl_route_got(const struct nl_msg *m, uint32_t *ret_index)
{
	struct nl_view body = m->body, a[RTA_MAX + 1];

	if (m->type != RTM_NEWROUTE || !nl_take(&body, sizeof(struct rtmsg)))
		return false;
	nl_attrs(body, a, ARRAY_LEN(a));
	*ret_index = nl_u32(a[RTA_OIF]);
	return *ret_index != 0;
}
