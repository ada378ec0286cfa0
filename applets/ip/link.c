/* ip link: show, set, add, del; and the head of a link that ip addr prints as well. */
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/num.h"
#include "base/str.h"
#include "ip.h"
#include "os/fd.h"
#include "os/netns.h"
#include "wire/rtnl.h"

#ifndef IFF_LOWER_UP
#define IFF_LOWER_UP 0x10000
#define IFF_DORMANT 0x20000
#define IFF_ECHO 0x40000
#endif

/* --- printing -------------------------------------------------------------------------------- */

static void print_flags(struct buf *out, uint32_t flags)
{
	static const struct {
		uint32_t flag;
		const char *name;
	} names[] = {
		{IFF_LOOPBACK, "LOOPBACK"},
		{IFF_BROADCAST, "BROADCAST"},
		{IFF_POINTOPOINT, "POINTOPOINT"},
		{IFF_MULTICAST, "MULTICAST"},
		{IFF_NOARP, "NOARP"},
		{IFF_ALLMULTI, "ALLMULTI"},
		{IFF_PROMISC, "PROMISC"},
		{IFF_MASTER, "MASTER"},
		{IFF_SLAVE, "SLAVE"},
		{IFF_DEBUG, "DEBUG"},
		{IFF_DYNAMIC, "DYNAMIC"},
		{IFF_AUTOMEDIA, "AUTOMEDIA"},
		{IFF_PORTSEL, "PORTSEL"},
		{IFF_NOTRAILERS, "NOTRAILERS"},
		{IFF_UP, "UP"},
		{IFF_LOWER_UP, "LOWER_UP"},
		{IFF_DORMANT, "DORMANT"},
		{IFF_ECHO, "ECHO"},
	};

	buf_add_char(out, '<');
	if ((flags & IFF_UP) && !(flags & IFF_RUNNING))
		buf_add_fmt(out, "NO-CARRIER%s",
			    flags & ~(uint32_t)IFF_RUNNING ? "," : "");
	flags &= ~(uint32_t)IFF_RUNNING;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (flags & names[i].flag) {
			flags &= ~names[i].flag;
			buf_add_fmt(out, "%s%s", names[i].name, flags ? "," : "");
		}
	if (flags)
		buf_add_fmt(out, "%x", flags);
	buf_add_str(out, "> ");
}

static const char *oper_state(uint8_t state)
{
	static const char *const names[] = {"UNKNOWN", "NOTPRESENT",
					    "DOWN",    "LOWERLAYERDOWN",
					    "TESTING", "DORMANT",
					    "UP"};

	return state < ARRAY_LEN(names) ? names[state] : "UNKNOWN";
}

static const char *link_type(char dst[IP_NAME], uint16_t type)
{
	static const struct {
		uint16_t type;
		const char *name;
	} names[] = {
		{ARPHRD_ETHER, "ether"},     {ARPHRD_LOOPBACK, "loopback"},
		{ARPHRD_TUNNEL, "ipip"},     {ARPHRD_TUNNEL6, "tunnel6"},
		{ARPHRD_SIT, "sit"},	     {ARPHRD_IPGRE, "gre"},
		{ARPHRD_PPP, "ppp"},	     {ARPHRD_INFINIBAND, "infiniband"},
		{ARPHRD_NONE, "none"},	     {ARPHRD_VOID, "void"},
		{ARPHRD_SLIP, "slip"},	     {ARPHRD_IP6GRE, "gre6"},
		{ARPHRD_NETLINK, "netlink"},
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (names[i].type == type)
			return names[i].name;
	snprintf(dst, IP_NAME, "[%u]", (unsigned)type);
	return dst;
}

/* A link-layer address: of tunnels an IPv4 one. */
static void print_lladdr(struct buf *out, uint16_t type, struct nl_view a)
{
	char text[IP_TEXT];

	if (a.len == 4 &&
	    (type == ARPHRD_TUNNEL || type == ARPHRD_SIT || type == ARPHRD_IPGRE)) {
		buf_add_str(out, ip_text(text, AF_INET, a));
		return;
	}
	if (a.len == 16 && (type == ARPHRD_TUNNEL6 || type == ARPHRD_IP6GRE)) {
		buf_add_str(out, ip_text(text, AF_INET6, a));
		return;
	}
	for (size_t i = 0; i < a.len; i++)
		buf_add_fmt(out, "%s%02x", i ? ":" : "", a.data[i]);
}

/* "eth0@if2": a veth, or a VLAN's lower link. */
static void print_name(struct ip_run *r, struct buf *out, struct nl_view *a)
{
	buf_add_str(out, nl_str(a[IFLA_IFNAME]));
	if (!a[IFLA_LINK].data)
		return;
	if (!nl_u32(a[IFLA_LINK]))
		buf_add_str(out, "@NONE");
	else if (a[IFLA_LINK_NETNSID].data)
		buf_add_fmt(out, "@if%u", nl_u32(a[IFLA_LINK]));
	else
		buf_add_fmt(out, "@%s", ip_link_name(r, nl_u32(a[IFLA_LINK])));
}

static void print_brief(struct ip_run *r, const struct ifinfomsg *ifi, struct nl_view *a,
			bool link_only)
{
	BUF_AUTO name = {0};
	size_t at;

	print_name(r, &name, a);
	buf_add_fmt(&r->out, "%-16s ", buf_str(&name));
	buf_add_fmt(&r->out, "%-14s ", oper_state(nl_u8(a[IFLA_OPERSTATE])));
	if (!link_only)
		return;
	at = r->out.len;
	print_lladdr(&r->out, ifi->ifi_type, a[IFLA_ADDRESS]);
	while (r->out.len - at < 18)
		buf_add_char(&r->out, ' ');
	if (r->out.data[r->out.len - 1] != ' ')
		buf_add_char(&r->out, ' ');
	print_flags(&r->out, ifi->ifi_flags);
	buf_add_char(&r->out, '\n');
}

enum { STATS = 6 };

/* A line of headings and a line of numbers, in columns that fit both directions. */
static void print_table(struct ip_run *r, const char *head, const char *const *names,
			const uint64_t *values, const int *width)
{
	buf_add_fmt(&r->out, "    %s:", head);
	for (int i = 0; i < STATS; i++)
		buf_add_fmt(&r->out, " %*s", i ? width[i] : width[i] - 4, names[i]);
	/* a column for "compressed", which nobody has any more */
	buf_add_fmt(&r->out, " %10s%s    ", "", ip_newline(r));
	for (int i = 0; i < STATS; i++)
		buf_add_fmt(&r->out, "%*llu ", width[i], (unsigned long long)values[i]);
}

static void print_stats(struct ip_run *r, struct nl_view stats)
{
	static const char *const names[2][STATS] = {
		{"bytes", "packets", "errors", "dropped", "missed", "mcast"},
		{"bytes", "packets", "errors", "dropped", "carrier", "collsns"}};
	/* places in struct rtnl_link_stats64 */
	static const uint8_t places[2][STATS] = {{2, 0, 4, 6, 15, 8},
						 {3, 1, 5, 7, 17, 9}};
	int width[STATS] = {10, 7, 6, 7, 7, 7};
	uint64_t all[18] = {0}, v[2][STATS];

	memcpy(all, stats.data, MIN(stats.len, sizeof(all)));
	for (int k = 0; k < 2; k++)
		for (int i = 0; i < STATS; i++) {
			char digits[24];

			v[k][i] = all[places[k][i]];
			width[i] = MAX(width[i], snprintf(digits, sizeof(digits), "%llu",
							  (unsigned long long)v[k][i]));
		}
	print_table(r, "RX", names[0], v[0], width);
	buf_add_str(&r->out, ip_newline(r));
	print_table(r, "TX", names[1], v[1], width);
}

void ip_print_stats(struct ip_run *r, const struct nl_msg *m)
{
	struct nl_view body = m->body, a[IFLA_MAX + 1];

	if (!nl_take(&body, sizeof(struct ifinfomsg)))
		return;
	nl_attrs(body, a, ARRAY_LEN(a));
	if (!a[IFLA_STATS64].data)
		return;
	print_stats(r, a[IFLA_STATS64]);
	buf_add_char(&r->out, '\n');
}

static void print_group(struct ip_run *r, struct nl_view a)
{
	if (!a.data)
		return;
	if (nl_u32(a))
		buf_add_fmt(&r->out, "group %u ", nl_u32(a));
	else
		buf_add_str(&r->out, "group default ");
}

static void print_alias(struct ip_run *r, const char *alias)
{
	if (!*alias)
		return;
	buf_add_fmt(&r->out, "%s    alias ", ip_newline(r));
	str_escape(&r->out, alias, strlen(alias));
}

static void print_altnames(struct ip_run *r, struct nl_view list)
{
	struct nl_view name;
	uint16_t type;

	while (nl_attr_next(&list, &type, &name))
		if (type == IFLA_ALT_IFNAME)
			buf_add_fmt(&r->out, "%s    altname %s", ip_newline(r),
				    nl_str(name));
}

static void print_second(struct ip_run *r, const struct ifinfomsg *ifi, struct nl_view *a)
{
	char type[IP_NAME];

	buf_add_fmt(&r->out, "%s    link/%s ", ip_newline(r),
		    link_type(type, ifi->ifi_type));
	print_lladdr(&r->out, ifi->ifi_type, a[IFLA_ADDRESS]);
	if (a[IFLA_BROADCAST].data) {
		buf_add_str(&r->out,
			    ifi->ifi_flags & IFF_POINTOPOINT ? " peer " : " brd ");
		print_lladdr(&r->out, ifi->ifi_type, a[IFLA_BROADCAST]);
	}
}

/* Where the other end of a veth is: by name if there is one, which tells the pod. */
static void print_netns(struct ip_run *r, struct nl_view a)
{
	const char *name;

	if (!a.data)
		return;
	name = ip_netns_name(r, (int)nl_u32(a));
	if (*name)
		buf_add_fmt(&r->out, " link-netns %s", name);
	else
		buf_add_fmt(&r->out, " link-netnsid %d", (int)nl_u32(a));
}

void ip_print_link(struct ip_run *r, const struct nl_msg *m, bool link_only)
{
	struct nl_view body = m->body, a[IFLA_MAX + 1];
	struct ifinfomsg ifi;
	const uint8_t *p = nl_take(&body, sizeof(ifi));

	/* iproute2 asks for the links of IPv6 then, and the kernel says less of them */
	bool inet6 = r->family == AF_INET6 && !link_only;

	if (!p)
		return;
	memcpy(&ifi, p, sizeof(ifi));
	nl_attrs(body, a, ARRAY_LEN(a));
	if (r->brief) {
		print_brief(r, &ifi, a, link_only);
		return;
	}
	buf_add_fmt(&r->out, "%d: ", ifi.ifi_index);
	print_name(r, &r->out, a);
	buf_add_str(&r->out, ": ");
	print_flags(&r->out, ifi.ifi_flags);
	buf_add_fmt(&r->out, "mtu %u ", nl_u32(a[IFLA_MTU]));
	if (a[IFLA_QDISC].data && !inet6)
		buf_add_fmt(&r->out, "qdisc %s ", nl_str(a[IFLA_QDISC]));
	if (nl_u32(a[IFLA_MASTER]) && !inet6)
		buf_add_fmt(&r->out, "master %s ",
			    ip_link_name(r, nl_u32(a[IFLA_MASTER])));
	buf_add_fmt(&r->out, "state %s ", oper_state(nl_u8(a[IFLA_OPERSTATE])));
	if (link_only)
		buf_add_fmt(&r->out, "mode %s ",
			    nl_u8(a[IFLA_LINKMODE]) ? "DORMANT" : "DEFAULT");
	if (!inet6)
		print_group(r, a[IFLA_GROUP]);
	if (nl_u32(a[IFLA_TXQLEN]))
		buf_add_fmt(&r->out, "qlen %u", nl_u32(a[IFLA_TXQLEN]));
	if (!r->family || r->details)
		print_second(r, &ifi, a);
	print_netns(r, a[IFLA_LINK_NETNSID]);
	if (link_only || r->details)
		print_alias(r, nl_str(a[IFLA_IFALIAS]));
	if (r->stats && link_only && a[IFLA_STATS64].data) {
		buf_add_str(&r->out, ip_newline(r));
		print_stats(r, a[IFLA_STATS64]);
	}
	print_altnames(r, a[IFLA_PROP_LIST]);
	buf_add_char(&r->out, '\n');
}

/* --- show -------------------------------------------------------------------------------------- */

struct filter {
	uint32_t index, master;
	bool up;
	const char *kind;
};

static int read_filter(struct ip_run *r, struct ip_args *a, struct filter *f,
		       struct err *err)
{
	while (*a->v) {
		const char *word = *a->v++;
		bool dev = str_eq(word, "dev"), master = str_eq(word, "master");

		if (str_eq(word, "up")) {
			f->up = true;
			continue;
		}
		if (str_eq(word, "type")) {
			if (!(f->kind = ip_word(a, "TYPE", err)))
				return -1;
			continue;
		}
		if ((dev || master) && !(word = ip_word(a, "NAME", err)))
			return -1;
		*(master ? &f->master : &f->index) = ip_link_index(r, word, err);
		if (!(master ? f->master : f->index))
			return err_set(err, ERR_NOT_FOUND,
				       "Device \"%s\" does not exist.", word);
	}
	return 0;
}

static int show(struct ip_run *r, struct ip_args *a, struct err *err)
{
	struct filter f = {0};
	struct rtnl_link l;
	struct nl_view v;
	struct nl_msg m;

	if (read_filter(r, a, &f, err) < 0 || !ip_links(r, err))
		return -1;
	v = (struct nl_view){r->links.data, r->links.len};
	while (nl_next(&v, &m))
		if (rtnl_link_parse(&m, &l) && (!f.index || f.index == l.index) &&
		    (!f.master || f.master == l.master) &&
		    (!f.up || (l.flags & IFF_UP)) && (!f.kind || str_eq(f.kind, l.kind)))
			ip_print_link(r, &m, true);
	return 0;
}

/* --- set, add, del ------------------------------------------------------------------------------- */

struct change {
	struct ip_run *r;
	struct ifinfomsg ifi;
	struct buf attrs;
	int netns; /* -1: none */
};

static void set_flag(struct change *c, uint32_t flag, bool on)
{
	c->ifi.ifi_change |= flag;
	c->ifi.ifi_flags = on ? c->ifi.ifi_flags | flag : c->ifi.ifi_flags & ~flag;
}

static int set_netns(struct change *c, const char *value, struct err *err)
{
	STR_AUTO path = NULL;
	uint64_t pid;

	if (num_u64(value, 1, INT32_MAX, &pid) == 0) {
		nl_attr_u32(&c->attrs, IFLA_NET_NS_PID, (uint32_t)pid);
		return 0;
	}
	path = strchr(value, '/') ? xstrdup(value) : xasprintf("/run/netns/%s", value);
	fd_close(&c->netns);
	c->netns = netns_open(path, err);
	if (c->netns < 0)
		return err_wrap(err, "ip: netns %s", value);
	nl_attr_u32(&c->attrs, IFLA_NET_NS_FD, (uint32_t)c->netns);
	return 0;
}

static int set_mac(struct change *c, const char *value, struct err *err)
{
	uint8_t mac[RTNL_MAC];

	if (rtnl_mac_parse(value, mac) < 0)
		return err_set(err, ERR_INVALID, "ip: \"%s\" is invalid lladdr.", value);
	nl_attr(&c->attrs, IFLA_ADDRESS, mac, sizeof(mac));
	return 0;
}

static int set_name(struct change *c, const char *value, struct err *err)
{
	if (!rtnl_name_ok(value))
		return err_set(err, ERR_INVALID, "ip: \"%s\" is not a valid ifname",
			       value);
	nl_attr_str(&c->attrs, IFLA_IFNAME, value);
	return 0;
}

/* "on" or "off" for flags that have such a word. 1: it was one; 0: no; -1. */
static int set_switch(struct change *c, const char *word, struct ip_args *a,
		      struct err *err)
{
	static const struct {
		const char *word;
		uint32_t flag;
		bool reverse;
	} flags[] = {{"promisc", IFF_PROMISC, false},
		     {"allmulticast", IFF_ALLMULTI, false},
		     {"multicast", IFF_MULTICAST, false},
		     {"arp", IFF_NOARP, true}};
	const char *value;

	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		if (!str_eq(word, flags[i].word))
			continue;
		if (!(value = ip_word(a, "on or off", err)))
			return -1;
		if (!str_eq(value, "on") && !str_eq(value, "off"))
			return err_set(err, ERR_INVALID,
				       "ip: %s must be \"on\" or \"off\", not \"%s\"",
				       word, value);
		set_flag(c, flags[i].flag, str_eq(value, "on") != flags[i].reverse);
		return 1;
	}
	return 0;
}

/* A word that takes a value. */
static int set_value(struct change *c, const char *word, const char *value,
		     struct err *err)
{
	static const struct {
		const char *word;
		uint16_t attr;
	} numbers[] = {{"mtu", IFLA_MTU},
		       {"txqueuelen", IFLA_TXQLEN},
		       {"qlen", IFLA_TXQLEN},
		       {"txqlen", IFLA_TXQLEN},
		       {"group", IFLA_GROUP}};
	uint32_t n;

	if (str_eq(word, "name"))
		return set_name(c, value, err);
	if (str_eq(word, "netns"))
		return set_netns(c, value, err);
	if (str_eq(word, "address"))
		return set_mac(c, value, err);
	if (str_eq(word, "alias")) {
		nl_attr_str(&c->attrs, IFLA_IFALIAS, value);
		return 0;
	}
	if (str_eq(word, "master")) {
		n = ip_link_index(c->r, value, err);
		nl_attr_u32(&c->attrs, IFLA_MASTER, n);
		return n ? 0 : -1;
	}
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (str_eq(word, numbers[i].word)) {
			if (ip_number(value, word, &n, err) < 0)
				return -1;
			nl_attr_u32(&c->attrs, numbers[i].attr, n);
			return 0;
		}
	return err_set(err, ERR_INVALID, "ip: link: \"%s\" is not known", word);
}

/* The settings that `set` and `add` share. 0 or -1. */
static int set_word(struct change *c, const char *word, struct ip_args *a,
		    struct err *err)
{
	const char *value;
	int r;

	if (str_eq(word, "up") || str_eq(word, "down")) {
		set_flag(c, IFF_UP, str_eq(word, "up"));
		return 0;
	}
	if (str_eq(word, "nomaster")) {
		nl_attr_u32(&c->attrs, IFLA_MASTER, 0);
		return 0;
	}
	if ((r = set_switch(c, word, a, err)))
		return r < 0 ? -1 : 0;
	if (!(value = ip_word(a, word, err)))
		return -1;
	return set_value(c, word, value, err);
}

static int send_change(struct change *c, uint16_t type, uint16_t flags, struct err *err)
{
	BUF_AUTO req = {0};
	size_t at = nl_begin(&req, type, NLM_F_REQUEST | NLM_F_ACK | flags);

	nl_put(&req, &c->ifi, sizeof(c->ifi));
	buf_add(&req, c->attrs.data, c->attrs.len);
	nl_end(&req, at);
	return ip_call(c->r, &req, NULL, err);
}

static int set(struct ip_run *r, struct ip_args *a, struct err *err)
{
	struct change c = {.r = r, .netns = -1};
	const char *word = ip_word(a, "NAME", err);
	int ok = 0;

	if (word && str_eq(word, "dev"))
		word = ip_word(a, "NAME", err);
	if (!word || !(c.ifi.ifi_index = (int)ip_link_index(r, word, err)))
		return -1;
	while (ok == 0 && *a->v) {
		word = *a->v++;
		ok = set_word(&c, word, a, err);
	}
	if (ok == 0)
		ok = send_change(&c, RTM_NEWLINK, 0, err);
	fd_close(&c.netns);
	buf_done(&c.attrs);
	return ok;
}

/* What follows "type KIND". */
static int add_kind(struct change *c, const char *kind, uint32_t lower, struct ip_args *a,
		    struct err *err)
{
	size_t info = nl_nest(&c->attrs, IFLA_LINKINFO), data, peer;
	struct ifinfomsg ifi = {.ifi_family = AF_UNSPEC};
	const char *word;
	uint32_t id;

	nl_attr_str(&c->attrs, IFLA_INFO_KIND, kind);
	while ((word = *a->v)) {
		a->v++;
		data = nl_nest(&c->attrs, IFLA_INFO_DATA);
		if (str_eq(kind, "veth") && str_eq(word, "peer")) {
			peer = nl_nest(&c->attrs, VETH_INFO_PEER);
			nl_put(&c->attrs, &ifi, sizeof(ifi));
			while (*a->v) {
				word = *a->v++;
				if (set_word(c, word, a, err) < 0)
					return -1;
			}
			nl_nest_end(&c->attrs, peer);
		} else if (str_eq(kind, "vlan") && str_eq(word, "id") && lower) {
			if (!(word = ip_word(a, "id", err)) ||
			    ip_number(word, "id", &id, err) < 0)
				return -1;
			nl_attr_u16(&c->attrs, IFLA_VLAN_ID, (uint16_t)id);
		} else {
			return err_set(err, ERR_INVALID,
				       "ip: link add: \"%s\" is not known", word);
		}
		nl_nest_end(&c->attrs, data);
	}
	nl_nest_end(&c->attrs, info);
	return 0;
}

static int add(struct ip_run *r, struct ip_args *a, struct err *err)
{
	struct change c = {.r = r, .netns = -1};
	bool named = false, typed = false;
	uint32_t lower = 0;
	int ok = 0;

	while (ok == 0 && *a->v) {
		const char *word = *a->v++;

		if (str_eq(word, "type")) {
			typed = true;
			ok = (word = ip_word(a, "TYPE", err))
				     ? add_kind(&c, word, lower, a, err)
				     : -1;
		} else if (str_eq(word, "link")) {
			ok = (word = ip_word(a, "NAME", err)) &&
					     (lower = ip_link_index(r, word, err))
				     ? 0
				     : -1;
			nl_attr_u32(&c.attrs, IFLA_LINK, lower);
		} else if (str_eq(word, "name") || str_eq(word, "dev") || !named) {
			if (str_eq(word, "name") || str_eq(word, "dev"))
				word = ip_word(a, "NAME", err);
			ok = word ? set_name(&c, word, err) : -1;
			named = true;
		} else {
			ok = set_word(&c, word, a, err);
		}
	}
	if (ok == 0 && !typed)
		ok = err_set(err, ERR_INVALID, "ip: link add: \"type\" is missing");
	if (ok == 0)
		ok = send_change(&c, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, err);
	fd_close(&c.netns);
	buf_done(&c.attrs);
	return ok;
}

static int del(struct ip_run *r, struct ip_args *a, struct err *err)
{
	const char *word = ip_word(a, "NAME", err);
	BUF_AUTO req = {0};
	uint32_t index;

	if (word && str_eq(word, "dev"))
		word = ip_word(a, "NAME", err);
	if (!word || !(index = ip_link_index(r, word, err)))
		return -1;
	rtnl_link_del(&req, index);
	return ip_call(r, &req, NULL, err);
}

int ip_link(struct ip_run *r, struct ip_args *a, struct err *err)
{
	const char *word = *a->v ? *a->v++ : "show";

	if (ip_is(word, "add"))
		return add(r, a, err);
	if (ip_is(word, "set") || ip_is(word, "change"))
		return set(r, a, err);
	if (ip_is(word, "delete"))
		return del(r, a, err);
	if (ip_is_show(word))
		return show(r, a, err);
	return ip_unknown(word, err);
}
