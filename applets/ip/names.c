/* Numbers that have names, and links. */
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/num.h"
#include "base/str.h"
#include "ip.h"
#include "wire/rtnl.h"

struct name {
	uint32_t number;
	const char *name;
};

static const struct name scopes[] = {
	{RT_SCOPE_UNIVERSE, "global"}, {RT_SCOPE_NOWHERE, "nowhere"},
	{RT_SCOPE_HOST, "host"},       {RT_SCOPE_LINK, "link"},
	{RT_SCOPE_SITE, "site"},       {0, NULL},
};

static const struct name protos[] = {
	{0, "unspec"}, {1, "redirect"}, {2, "kernel"},	    {3, "boot"},
	{4, "static"}, {8, "gated"},	{9, "ra"},	    {10, "mrt"},
	{11, "zebra"}, {12, "bird"},	{13, "dnrouted"},   {14, "xorp"},
	{15, "ntk"},   {16, "dhcp"},	{18, "keepalived"}, {42, "babel"},
	{99, "openr"}, {186, "bgp"},	{187, "isis"},	    {188, "ospf"},
	{189, "rip"},  {192, "eigrp"},	{0, NULL},
};

static const struct name tables[] = {
	{RT_TABLE_MAIN, "main"},
	{RT_TABLE_LOCAL, "local"},
	{RT_TABLE_DEFAULT, "default"},
	{0, NULL},
};

static const struct name rtypes[] = {
	{RTN_UNSPEC, "none"},
	{RTN_UNICAST, "unicast"},
	{RTN_LOCAL, "local"},
	{RTN_BROADCAST, "broadcast"},
	{RTN_ANYCAST, "anycast"},
	{RTN_MULTICAST, "multicast"},
	{RTN_BLACKHOLE, "blackhole"},
	{RTN_UNREACHABLE, "unreachable"},
	{RTN_PROHIBIT, "prohibit"},
	{RTN_THROW, "throw"},
	{RTN_NAT, "nat"},
	{RTN_XRESOLVE, "xresolve"},
	{0, NULL},
};

static const char *name_of(const struct name *n, char dst[IP_NAME], uint32_t number)
{
	for (; n->name; n++)
		if (n->number == number)
			return n->name;
	snprintf(dst, IP_NAME, "%u", number);
	return dst;
}

static int number_of(const struct name *n, const char *s, uint32_t max, uint32_t *ret)
{
	uint64_t v;

	for (; n->name; n++)
		if (str_eq(n->name, s)) {
			*ret = n->number;
			return 0;
		}
	if (num_u64(s, 0, max, &v) < 0)
		return -1;
	*ret = (uint32_t)v;
	return 0;
}

const char *ip_scope(char dst[IP_NAME], uint8_t scope)
{
	return name_of(scopes, dst, scope);
}

const char *ip_proto(char dst[IP_NAME], uint8_t proto)
{
	return name_of(protos, dst, proto);
}

const char *ip_table(char dst[IP_NAME], uint32_t table)
{
	return name_of(tables, dst, table);
}

const char *ip_rtype(char dst[IP_NAME], uint8_t type)
{
	return name_of(rtypes, dst, type);
}

static int bad(const char *what, const char *s, struct err *err)
{
	return err_set(err, ERR_INVALID,
		       "ip: argument \"%s\" is wrong: \"%s\" value is invalid", s, what);
}

int ip_scope_of(const char *s, uint8_t *ret, struct err *err)
{
	uint32_t v;

	if (number_of(scopes, s, 255, &v) < 0)
		return bad("scope", s, err);
	*ret = (uint8_t)v;
	return 0;
}

int ip_proto_of(const char *s, uint8_t *ret, struct err *err)
{
	uint32_t v;

	if (number_of(protos, s, 255, &v) < 0)
		return bad("protocol", s, err);
	*ret = (uint8_t)v;
	return 0;
}

int ip_table_of(const char *s, uint32_t *ret, struct err *err)
{
	return number_of(tables, s, UINT32_MAX, ret) < 0 ? bad("table", s, err) : 0;
}

int ip_rtype_of(const char *s, uint8_t *ret)
{
	uint32_t v;

	if ((*s >= '0' && *s <= '9') || number_of(rtypes, s, 0, &v) < 0)
		return -1;
	*ret = (uint8_t)v;
	return 0;
}

const char *ip_text(char dst[IP_TEXT], int family, struct nl_view a)
{
	struct ip ip = {.v6 = family == AF_INET6};

	*dst = 0;
	if (!a.data || a.len != ip_len(&ip))
		return dst;
	memcpy(ip.b, a.data, a.len);
	return ip_format(dst, &ip);
}

/* --- links ------------------------------------------------------------------------------- */

const struct buf *ip_links(struct ip_run *r, struct err *err)
{
	struct ifinfomsg ifi = {.ifi_family = AF_UNSPEC};
	BUF_AUTO req = {0};
	size_t at;

	if (r->links.len)
		return &r->links;
	at = nl_begin(&req, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP);
	nl_put(&req, &ifi, sizeof(ifi));
	nl_end(&req, at);
	return ip_call(r, &req, &r->links, err) < 0 ? NULL : &r->links;
}

static bool next_link(struct nl_view *v, struct rtnl_link *ret)
{
	struct nl_msg m;

	while (nl_next(v, &m))
		if (rtnl_link_parse(&m, ret))
			return true;
	return false;
}

const char *ip_link_name(struct ip_run *r, uint32_t index)
{
	static char name[RTNL_NAME];
	struct rtnl_link l;
	struct nl_view v;
	struct err ignored;

	if (ip_links(r, &ignored)) {
		v = (struct nl_view){r->links.data, r->links.len};
		while (next_link(&v, &l))
			if (l.index == index) {
				memcpy(name, l.name, sizeof(name));
				return name;
			}
	}
	snprintf(name, sizeof(name), "if%u", index);
	return name;
}

uint32_t ip_link_index(struct ip_run *r, const char *name, struct err *err)
{
	struct rtnl_link l;
	struct nl_view v;

	if (!ip_links(r, err))
		return 0;
	v = (struct nl_view){r->links.data, r->links.len};
	while (next_link(&v, &l))
		if (str_eq(l.name, name))
			return l.index;
	err_set(err, ERR_NOT_FOUND, "Cannot find device \"%s\"", name);
	r->status = 1;
	return 0;
}
