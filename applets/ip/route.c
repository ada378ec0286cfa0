/* ip route: show, get, add, replace, change, append, del, flush. */
#include <linux/in_route.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/num.h"
#include "base/str.h"
#include "ip.h"
#include "wire/rtnl.h"

struct entry {
	struct rtmsg rtm;
	struct nl_view a[RTA_MAX + 1];
	uint32_t table;
};

struct filter {
	uint32_t index, table; /* table 0: all */
	bool has_table, has_proto, has_scope, has_type, exact, has_via, has_dst, has_src;
	uint8_t proto, scope, type;
	struct ip_net dst, via, src;
};

static bool parse(const struct nl_msg *m, struct entry *e)
{
	struct nl_view body = m->body;
	const uint8_t *p;

	if (m->type != RTM_NEWROUTE || !(p = nl_take(&body, sizeof(e->rtm))))
		return false;
	memcpy(&e->rtm, p, sizeof(e->rtm));
	nl_attrs(body, e->a, ARRAY_LEN(e->a));
	e->table = e->a[RTA_TABLE].data ? nl_u32(e->a[RTA_TABLE]) : e->rtm.rtm_table;
	return e->rtm.rtm_family == AF_INET || e->rtm.rtm_family == AF_INET6;
}

/* --- show --------------------------------------------------------------------------------- */

static void print_place(struct ip_run *r, const struct entry *e, struct nl_view a,
			uint8_t len)
{
	unsigned bits = e->rtm.rtm_family == AF_INET6 ? 128 : 32;
	char text[IP_TEXT];

	if (!a.data && len == 0) {
		buf_add_str(&r->out, "default ");
		return;
	}
	buf_add_str(&r->out, a.data ? ip_text(text, e->rtm.rtm_family, a) : "0");
	if (len != bits)
		buf_add_fmt(&r->out, "/%u", len);
	buf_add_char(&r->out, ' ');
}

static void print_via(struct ip_run *r, const struct entry *e, const struct nl_view *a)
{
	char text[IP_TEXT];

	if (a[RTA_GATEWAY].data)
		buf_add_fmt(&r->out, "via %s ",
			    ip_text(text, e->rtm.rtm_family, a[RTA_GATEWAY]));
	/* RTA_VIA: a gateway of the other family */
	else if (a[RTA_VIA].len > 2)
		buf_add_fmt(&r->out, "via inet6 %s ",
			    ip_text(text, AF_INET6,
				    (struct nl_view){a[RTA_VIA].data + 2,
						     a[RTA_VIA].len - 2}));
}

static void print_flags(struct ip_run *r, uint8_t flags)
{
	static const struct {
		uint8_t flag;
		const char *name;
	} names[] = {{RTNH_F_DEAD, "dead"},
		     {RTNH_F_ONLINK, "onlink"},
		     {RTNH_F_PERVASIVE, "pervasive"},
		     {RTNH_F_OFFLOAD, "offload"},
		     {RTNH_F_TRAP, "trap"},
		     {RTNH_F_LINKDOWN, "linkdown"},
		     {RTNH_F_UNRESOLVED, "unresolved"}};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (flags & names[i].flag)
			buf_add_fmt(&r->out, "%s ", names[i].name);
}

static void print_metrics(struct ip_run *r, struct nl_view list)
{
	static const char *const names[] = {
		[RTAX_MTU] = "mtu",	      [RTAX_WINDOW] = "window",
		[RTAX_RTT] = "rtt",	      [RTAX_RTTVAR] = "rttvar",
		[RTAX_SSTHRESH] = "ssthresh", [RTAX_CWND] = "cwnd",
		[RTAX_ADVMSS] = "advmss",     [RTAX_REORDERING] = "reordering",
		[RTAX_HOPLIMIT] = "hoplimit", [RTAX_INITCWND] = "initcwnd",
		[RTAX_RTO_MIN] = "rto_min",   [RTAX_INITRWND] = "initrwnd",
		[RTAX_QUICKACK] = "quickack",
	};
	struct nl_view m[RTAX_MAX + 1];
	uint32_t lock;

	nl_attrs(list, m, ARRAY_LEN(m));
	lock = nl_u32(m[RTAX_LOCK]);
	for (unsigned i = 2; i < ARRAY_LEN(names); i++)
		if (names[i] && m[i].data)
			buf_add_fmt(&r->out, "%s %s%u ", names[i],
				    lock & 1U << i ? "lock " : "", nl_u32(m[i]));
}

static void print_cache_flags(struct ip_run *r, uint32_t flags)
{
	static const struct {
		uint32_t flag;
		const char *name;
	} names[] = {{RTCF_LOCAL, "local"},
		     {RTCF_MULTICAST, "mc"},
		     {RTCF_BROADCAST, "brd"},
		     {RTCF_REDIRECTED, "redirected"}};

	flags &= RTCF_LOCAL | RTCF_MULTICAST | RTCF_BROADCAST | RTCF_REDIRECTED;
	if (!flags)
		return;
	buf_add_char(&r->out, '<');
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (flags & names[i].flag) {
			flags &= ~names[i].flag;
			buf_add_fmt(&r->out, "%s%s", names[i].name, flags ? "," : "");
		}
	buf_add_str(&r->out, "> ");
}

static void print_expiry(struct ip_run *r, const struct entry *e)
{
	struct rta_cacheinfo info;
	long ticks;

	if (e->a[RTA_CACHEINFO].len < sizeof(info))
		return;
	memcpy(&info, e->a[RTA_CACHEINFO].data, sizeof(info));
	ticks = info.rta_expires;
	if (e->rtm.rtm_flags & RTM_F_CLONED) {
		buf_add_fmt(&r->out, "%s    cache ", ip_newline(r));
		print_cache_flags(r, e->rtm.rtm_flags);
		if (ticks)
			buf_add_fmt(&r->out, "expires %ldsec ", ticks / 100);
	} else if (ticks && e->rtm.rtm_family == AF_INET6) {
		buf_add_fmt(&r->out, "expires %ldsec ", ticks / 100);
	}
	if (info.rta_error)
		buf_add_fmt(&r->out, "error %d ", (int)info.rta_error);
}

static void print_hops(struct ip_run *r, const struct entry *e)
{
	struct nl_view v = e->a[RTA_MULTIPATH];
	struct rtnexthop hop;

	while (v.len >= sizeof(hop)) {
		struct nl_view a[RTA_MAX + 1], attrs;
		size_t step;

		memcpy(&hop, v.data, sizeof(hop));
		if (hop.rtnh_len < sizeof(hop) || hop.rtnh_len > v.len)
			return;
		attrs = (struct nl_view){v.data + sizeof(hop),
					 hop.rtnh_len - sizeof(hop)};
		nl_attrs(attrs, a, ARRAY_LEN(a));
		buf_add_fmt(&r->out, "%s\tnexthop ", ip_newline(r));
		print_via(r, e, a);
		buf_add_fmt(&r->out, "dev %s ",
			    ip_link_name(r, (uint32_t)hop.rtnh_ifindex));
		if (e->rtm.rtm_family == AF_INET || hop.rtnh_hops)
			buf_add_fmt(&r->out, "weight %u ", hop.rtnh_hops + 1U);
		print_flags(r, hop.rtnh_flags);
		step = MIN((hop.rtnh_len + 3U) & ~(size_t)3, v.len);
		v.data += step;
		v.len -= step;
	}
}

static void print_pref(struct ip_run *r, struct nl_view a)
{
	uint8_t pref = nl_u8(a);

	if (a.data)
		buf_add_fmt(&r->out, "pref %s",
			    pref == 0	? "medium"
			    : pref == 1 ? "high"
			    : pref == 3 ? "low"
					: "invalid");
}

static void print_source(struct ip_run *r, const struct entry *e)
{
	char text[IP_TEXT];

	if (e->a[RTA_PREFSRC].data)
		buf_add_fmt(&r->out, "src %s ",
			    ip_text(text, e->rtm.rtm_family, e->a[RTA_PREFSRC]));
	if (e->a[RTA_PRIORITY].data)
		buf_add_fmt(&r->out, "metric %u ", nl_u32(e->a[RTA_PRIORITY]));
}

static void print_entry(struct ip_run *r, const struct entry *e, const struct filter *f)
{
	char name[IP_NAME], text[IP_TEXT];

	if ((e->rtm.rtm_type != RTN_UNICAST || r->details) && !(f->has_type))
		buf_add_fmt(&r->out, "%s ", ip_rtype(name, e->rtm.rtm_type));
	print_place(r, e, e->a[RTA_DST], e->rtm.rtm_dst_len);
	if (e->a[RTA_SRC].data)
		buf_add_fmt(&r->out, "from %s ",
			    ip_text(text, e->rtm.rtm_family, e->a[RTA_SRC]));
	if (e->rtm.rtm_tos)
		buf_add_fmt(&r->out, "tos 0x%02x ", e->rtm.rtm_tos);
	if (!f->has_via)
		print_via(r, e, e->a);
	if (e->a[RTA_OIF].data && !f->index)
		buf_add_fmt(&r->out, "dev %s ", ip_link_name(r, nl_u32(e->a[RTA_OIF])));
	if (e->table != RT_TABLE_MAIN && (!f->has_table || !f->table))
		buf_add_fmt(&r->out, "table %s ", ip_table(name, e->table));
	if (!(e->rtm.rtm_flags & RTM_F_CLONED)) {
		if ((e->rtm.rtm_protocol != RTPROT_BOOT || r->details) && !f->has_proto)
			buf_add_fmt(&r->out, "proto %s ",
				    ip_proto(name, e->rtm.rtm_protocol));
		if ((e->rtm.rtm_scope != RT_SCOPE_UNIVERSE || r->details) &&
		    !f->has_scope)
			buf_add_fmt(&r->out, "scope %s ",
				    ip_scope(name, e->rtm.rtm_scope));
	}
	print_source(r, e);
	print_flags(r, (uint8_t)e->rtm.rtm_flags);
	if (e->a[RTA_MARK].data && nl_u32(e->a[RTA_MARK]))
		buf_add_fmt(&r->out, "mark %u ", nl_u32(e->a[RTA_MARK]));
	if (e->a[RTA_UID].data)
		buf_add_fmt(&r->out, "uid %u ", nl_u32(e->a[RTA_UID]));
	if (e->rtm.rtm_family == AF_INET6) {
		print_expiry(r, e);
		print_metrics(r, e->a[RTA_METRICS]);
	} else {
		print_metrics(r, e->a[RTA_METRICS]);
		print_expiry(r, e);
	}
	print_hops(r, e);
	print_pref(r, e->a[RTA_PREF]);
	buf_add_char(&r->out, '\n');
}

static bool wanted(const struct filter *f, const struct entry *e)
{
	unsigned bits = e->rtm.rtm_family == AF_INET6 ? 128 : 32;
	struct ip_net dst = {.ip = {.v6 = bits == 128}, .prefix = e->rtm.rtm_dst_len};
	struct ip via = {.v6 = bits == 128};
	struct ip src = via;

	if (e->rtm.rtm_flags & RTM_F_CLONED || (f->table && e->table != f->table) ||
	    (f->index && nl_u32(e->a[RTA_OIF]) != f->index) ||
	    (f->has_proto && e->rtm.rtm_protocol != f->proto) ||
	    (f->has_scope && e->rtm.rtm_scope != f->scope) ||
	    (f->has_type && e->rtm.rtm_type != f->type))
		return false;
	memcpy(dst.ip.b, e->a[RTA_DST].data ? e->a[RTA_DST].data : dst.ip.b,
	       MIN(e->a[RTA_DST].len, bits / 8));
	memcpy(via.b, e->a[RTA_GATEWAY].data ? e->a[RTA_GATEWAY].data : via.b,
	       MIN(e->a[RTA_GATEWAY].len, bits / 8));
	memcpy(src.b, e->a[RTA_PREFSRC].data ? e->a[RTA_PREFSRC].data : src.b,
	       MIN(e->a[RTA_PREFSRC].len, bits / 8));
	if ((f->has_via && ip_cmp(&via, &f->via.ip) != 0) ||
	    (f->has_src && ip_cmp(&src, &f->src.ip) != 0))
		return false;
	if (!f->has_dst)
		return true;
	return dst.prefix == f->dst.prefix && ip_cmp(&dst.ip, &f->dst.ip) == 0;
}

/* One word of a filter and its value. */
static int filter_word(struct ip_run *r, const char *word, struct ip_args *a,
		       struct filter *f, struct err *err)
{
	const char *value = word;

	if (ip_rtype_of(word, &f->type) == 0) {
		f->has_type = true;
		f->table = f->has_table ? f->table : 0;
		return 0;
	}
	if (!str_eq(word, "default") && !strpbrk(word, ".:/") &&
	    !(value = ip_word(a, word, err)))
		return -1;
	if (str_eq(word, "dev") || str_eq(word, "oif"))
		return (f->index = ip_link_index(r, value, err)) ? 0 : -1;
	if (str_eq(word, "table")) {
		f->has_table = true;
		f->table = 0;
		return str_eq(value, "all") ? 0 : ip_table_of(value, &f->table, err);
	}
	if (ip_is(word, "protocol")) {
		f->has_proto = true;
		return ip_proto_of(value, &f->proto, err);
	}
	if (str_eq(word, "scope")) {
		f->has_scope = true;
		return ip_scope_of(value, &f->scope, err);
	}
	if (str_eq(word, "via")) {
		f->has_via = true;
		return ip_prefix(value, r->family, &f->via, err);
	}
	if (str_eq(word, "src")) {
		f->has_src = true;
		return ip_prefix(value, r->family, &f->src, err);
	}
	f->has_dst = true;
	if (ip_prefix(value, r->family, &f->dst, err) < 0)
		return -1;
	if (!r->family)
		r->family = f->dst.ip.v6 ? AF_INET6 : AF_INET;
	return 0;
}

static int each(struct ip_run *r, struct ip_args *a, struct filter *f, struct buf *routes,
		struct err *err)
{
	BUF_AUTO req = {0};

	f->table = RT_TABLE_MAIN;
	while (*a->v) {
		const char *word = *a->v++;

		if (filter_word(r, word, a, f, err) < 0)
			return -1;
	}
	rtnl_routes_dump(&req, r->family == AF_INET6);
	if (ip_call(r, &req, routes, err) < 0)
		return -1;
	if (f->table || r->family)
		return 0;
	/* "table all" is for both families */
	buf_reset(&req);
	rtnl_routes_dump(&req, true);
	return ip_call(r, &req, routes, err);
}

static int show(struct ip_run *r, struct ip_args *a, struct err *err)
{
	BUF_AUTO routes = {0};
	struct filter f = {0};
	struct nl_view v;
	struct nl_msg m;
	struct entry e;

	if (each(r, a, &f, &routes, err) < 0)
		return -1;
	v = (struct nl_view){routes.data, routes.len};
	while (nl_next(&v, &m))
		if (parse(&m, &e) && wanted(&f, &e))
			print_entry(r, &e, &f);
	return 0;
}

static int flush(struct ip_run *r, struct ip_args *a, struct err *err)
{
	BUF_AUTO routes = {0};
	struct filter f = {0};
	struct nl_view v;
	struct nl_msg m;
	struct entry e;

	if (!*a->v)
		return err_set(err, ERR_INVALID,
			       "ip: \"ip route flush\" requires arguments.");
	if (each(r, a, &f, &routes, err) < 0)
		return -1;
	v = (struct nl_view){routes.data, routes.len};
	while (nl_next(&v, &m)) {
		BUF_AUTO req = {0};
		size_t at;

		if (!parse(&m, &e) || !wanted(&f, &e))
			continue;
		at = nl_begin(&req, RTM_DELROUTE, NLM_F_REQUEST | NLM_F_ACK);
		nl_put(&req, m.body.data, m.body.len);
		nl_end(&req, at);
		if (ip_call(r, &req, NULL, err) < 0)
			return -1;
	}
	return 0;
}

/* --- get ---------------------------------------------------------------------------------------- */

static int get(struct ip_run *r, struct ip_args *a, struct err *err)
{
	const char *word = ip_word(a, "ADDRESS", err);
	struct rtmsg rtm = {0};
	struct filter f = {0};
	uint32_t oif = 0, iif = 0;
	struct ip_net dst, from = {0};
	bool has_from = false;
	BUF_AUTO req = {0};
	BUF_AUTO reply = {0};
	struct nl_view v;
	struct nl_msg m;
	struct entry e;
	size_t at;

	if (word && str_eq(word, "to"))
		word = ip_word(a, "ADDRESS", err);
	if (!word || ip_prefix(word, r->family, &dst, err) < 0)
		return -1;
	while ((word = *a->v)) {
		const char *value;

		a->v++;
		if (!(value = ip_word(a, word, err)))
			return -1;
		if (str_eq(word, "oif") || str_eq(word, "dev"))
			oif = ip_link_index(r, value, err);
		else if (str_eq(word, "iif"))
			iif = ip_link_index(r, value, err);
		else if (str_eq(word, "from"))
			has_from = ip_prefix(value, r->family, &from, err) == 0;
		else
			return err_set(err, ERR_INVALID,
				       "ip: route get: \"%s\" is not known", word);
		if (!oif && !iif && !has_from)
			return -1;
	}
	rtm.rtm_family = dst.ip.v6 ? AF_INET6 : AF_INET;
	rtm.rtm_dst_len = (uint8_t)dst.prefix;
	rtm.rtm_src_len = has_from ? (uint8_t)from.prefix : 0;
	rtm.rtm_flags = RTM_F_LOOKUP_TABLE;
	at = nl_begin(&req, RTM_GETROUTE, NLM_F_REQUEST | NLM_F_ACK);
	nl_put(&req, &rtm, sizeof(rtm));
	nl_attr(&req, RTA_DST, dst.ip.b, ip_len(&dst.ip));
	if (has_from)
		nl_attr(&req, RTA_SRC, from.ip.b, ip_len(&from.ip));
	if (oif)
		nl_attr_u32(&req, RTA_OIF, oif);
	if (iif)
		nl_attr_u32(&req, RTA_IIF, iif);
	nl_end(&req, at);
	if (ip_call(r, &req, &reply, err) < 0)
		return -1;
	v = (struct nl_view){reply.data, reply.len};
	while (nl_next(&v, &m))
		if (parse(&m, &e))
			print_entry(r, &e, &f);
	return 0;
}

/* --- changes ------------------------------------------------------------------------------------- */

struct change {
	struct rtmsg rtm;
	struct ip_net dst, via, src;
	bool has_dst, has_via, has_src, has_scope, has_type;
	uint32_t index, metric, table, mtu;
	bool mtu_lock;
};

static int take_value(struct ip_run *r, struct change *c, const char *word,
		      const char *value, struct err *err)
{
	if (str_eq(word, "dev") || str_eq(word, "oif"))
		return (c->index = ip_link_index(r, value, err)) ? 0 : -1;
	if (str_eq(word, "via")) {
		c->has_via = true;
		return ip_prefix(value, AF_UNSPEC, &c->via, err);
	}
	if (str_eq(word, "src")) {
		c->has_src = true;
		return ip_prefix(value, r->family, &c->src, err);
	}
	if (str_eq(word, "metric") || str_eq(word, "priority") ||
	    str_eq(word, "preference"))
		return ip_number(value, word, &c->metric, err);
	if (str_eq(word, "table"))
		return ip_table_of(value, &c->table, err);
	if (str_eq(word, "mtu"))
		return ip_number(value, word, &c->mtu, err);
	if (ip_is(word, "protocol"))
		return ip_proto_of(value, &c->rtm.rtm_protocol, err);
	if (str_eq(word, "scope")) {
		c->has_scope = true;
		return ip_scope_of(value, &c->rtm.rtm_scope, err);
	}
	c->has_dst = true;
	return ip_prefix(value, r->family, &c->dst, err);
}

static int read_change(struct ip_run *r, struct ip_args *a, struct change *c,
		       struct err *err)
{
	static const char *const with_value[] = {"dev",	      "oif",	  "via",   "src",
						 "metric",    "priority", "table", "mtu",
						 "proto",     "protocol", "scope", "to",
						 "preference"};

	while (*a->v) {
		const char *word = *a->v++, *value = word;

		if (str_eq(word, "onlink")) {
			c->rtm.rtm_flags |= RTNH_F_ONLINK;
			continue;
		}
		if (!c->has_dst && ip_rtype_of(word, &c->rtm.rtm_type) == 0) {
			c->has_type = true;
			continue;
		}
		for (size_t i = 0; i < ARRAY_LEN(with_value); i++)
			if (str_eq(word, with_value[i]) &&
			    !(value = ip_word(a, word, err)))
				return -1;
		if (str_eq(word, "mtu") && str_eq(value, "lock")) {
			c->mtu_lock = true;
			if (!(value = ip_word(a, word, err)))
				return -1;
		}
		if (take_value(r, c, word, value, err) < 0)
			return -1;
	}
	if (!c->has_dst)
		return err_set(err, ERR_INVALID, "ip: a destination is missing");
	return 0;
}

static uint8_t default_scope(const struct change *c, bool del)
{
	switch (c->rtm.rtm_type) {
	case RTN_LOCAL:
	case RTN_NAT:
		return RT_SCOPE_HOST;
	case RTN_BROADCAST:
	case RTN_MULTICAST:
	case RTN_ANYCAST:
		return RT_SCOPE_LINK;
	case RTN_UNICAST:
	case RTN_UNSPEC:
		return del	    ? RT_SCOPE_NOWHERE
		       : c->has_via ? RT_SCOPE_UNIVERSE
				    : RT_SCOPE_LINK;
	default:
		return RT_SCOPE_UNIVERSE;
	}
}

/* A destination without a family ("default") has that of its gateway. */
static void settle(const struct ip_run *r, struct change *c, bool del)
{
	bool v6 = r->family == AF_INET6 || c->dst.ip.v6 ||
		  (!r->family && !c->dst.prefix && c->has_via && c->via.ip.v6);

	c->dst.ip.v6 = v6;
	c->rtm.rtm_family = v6 ? AF_INET6 : AF_INET;
	c->rtm.rtm_dst_len = (uint8_t)c->dst.prefix;
	c->rtm.rtm_table = c->table && c->table < 256 ? (uint8_t)c->table : RT_TABLE_MAIN;
	if (!c->rtm.rtm_protocol && !del)
		c->rtm.rtm_protocol = RTPROT_BOOT;
	if (!c->has_type && !del)
		c->rtm.rtm_type = RTN_UNICAST;
	if (!c->has_scope)
		c->rtm.rtm_scope = v6 ? RT_SCOPE_UNIVERSE : default_scope(c, del);
}

/* A gateway of the other family goes into an attribute of its own. */
static void add_gateway(struct buf *req, const struct change *c)
{
	uint8_t via[2 + 16];
	uint16_t family = AF_INET6;

	if (c->via.ip.v6 == c->dst.ip.v6) {
		nl_attr(req, RTA_GATEWAY, c->via.ip.b, ip_len(&c->via.ip));
		return;
	}
	memcpy(via, &family, sizeof(family));
	memcpy(via + 2, c->via.ip.b, 16);
	nl_attr(req, RTA_VIA, via, sizeof(via));
}

static int change(struct ip_run *r, struct ip_args *a, uint16_t type, uint16_t flags,
		  struct err *err)
{
	struct change c = {0};
	BUF_AUTO req = {0};
	size_t at, metrics;

	if (read_change(r, a, &c, err) < 0)
		return -1;
	settle(r, &c, type == RTM_DELROUTE);
	at = nl_begin(&req, type, NLM_F_REQUEST | NLM_F_ACK | flags);
	nl_put(&req, &c.rtm, sizeof(c.rtm));
	if (c.dst.prefix)
		nl_attr(&req, RTA_DST, c.dst.ip.b, ip_len(&c.dst.ip));
	if (c.has_via)
		add_gateway(&req, &c);
	if (c.has_src)
		nl_attr(&req, RTA_PREFSRC, c.src.ip.b, ip_len(&c.src.ip));
	if (c.index)
		nl_attr_u32(&req, RTA_OIF, c.index);
	if (c.metric)
		nl_attr_u32(&req, RTA_PRIORITY, c.metric);
	if (c.table)
		nl_attr_u32(&req, RTA_TABLE, c.table);
	if (c.mtu) {
		metrics = nl_nest(&req, RTA_METRICS);
		if (c.mtu_lock)
			nl_attr_u32(&req, RTAX_LOCK, 1U << RTAX_MTU);
		nl_attr_u32(&req, RTAX_MTU, c.mtu);
		nl_nest_end(&req, metrics);
	}
	nl_end(&req, at);
	return ip_call(r, &req, NULL, err);
}

int ip_route(struct ip_run *r, struct ip_args *a, struct err *err)
{
	static const struct {
		const char *word;
		uint16_t type, flags;
	} changes[] = {
		{"add", RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL},
		{"change", RTM_NEWROUTE, NLM_F_REPLACE},
		{"replace", RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE},
		{"append", RTM_NEWROUTE, NLM_F_CREATE | NLM_F_APPEND},
		{"delete", RTM_DELROUTE, 0},
	};
	const char *word = *a->v ? *a->v++ : "show";

	for (size_t i = 0; i < ARRAY_LEN(changes); i++)
		if (ip_is(word, changes[i].word))
			return change(r, a, changes[i].type, changes[i].flags, err);
	if (ip_is_show(word))
		return show(r, a, err);
	if (ip_is(word, "get"))
		return get(r, a, err);
	if (ip_is(word, "flush"))
		return flush(r, a, err);
	return ip_unknown(word, err);
}
