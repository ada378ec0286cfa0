/* ip addr: show, add, change, replace, del, flush. */
#include <errno.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/num.h"
#include "base/str.h"
#include "ip.h"
#include "wire/rtnl.h"

struct filter {
	uint32_t index;
	bool up, scoped;
	uint8_t scope;
	const char *label;
	bool has_to;
	struct ip_net to;
};

/* One address of a dump. */
struct entry {
	struct ifaddrmsg ifa;
	struct nl_view a[IFA_MAX + 1];
	uint32_t flags;
};

static bool parse(const struct nl_msg *m, struct entry *e)
{
	struct nl_view body = m->body;
	const uint8_t *p;

	if (m->type != RTM_NEWADDR || !(p = nl_take(&body, sizeof(e->ifa))))
		return false;
	memcpy(&e->ifa, p, sizeof(e->ifa));
	nl_attrs(body, e->a, ARRAY_LEN(e->a));
	if (!e->a[IFA_LOCAL].data)
		e->a[IFA_LOCAL] = e->a[IFA_ADDRESS];
	if (!e->a[IFA_ADDRESS].data)
		e->a[IFA_ADDRESS] = e->a[IFA_LOCAL];
	e->flags = e->a[IFA_FLAGS].data ? nl_u32(e->a[IFA_FLAGS]) : e->ifa.ifa_flags;
	return e->ifa.ifa_family == AF_INET || e->ifa.ifa_family == AF_INET6;
}

static bool wanted(const struct ip_run *r, const struct filter *f, const struct entry *e,
		   uint32_t index)
{
	if (e->ifa.ifa_index != index || (r->family && e->ifa.ifa_family != r->family) ||
	    (f->scoped && e->ifa.ifa_scope != f->scope) ||
	    (f->label && !str_eq(f->label, nl_str(e->a[IFA_LABEL]))))
		return false;
	if (f->has_to) {
		char text[IP_TEXT];
		struct ip ip;

		return ip_parse(ip_text(text, e->ifa.ifa_family, e->a[IFA_LOCAL]), &ip) ==
			       0 &&
		       ip_in(&f->to, &ip);
	}
	return true;
}

/* --- show ---------------------------------------------------------------------------------- */

static void print_flags(struct ip_run *r, const struct entry *e)
{
	static const struct {
		uint32_t flag;
		const char *name;
	} names[] = {
		{IFA_F_SECONDARY, "secondary"},
		{IFA_F_NODAD, "nodad"},
		{IFA_F_OPTIMISTIC, "optimistic"},
		{IFA_F_DADFAILED, "dadfailed"},
		{IFA_F_HOMEADDRESS, "home"},
		{IFA_F_DEPRECATED, "deprecated"},
		{IFA_F_TENTATIVE, "tentative"},
		{IFA_F_PERMANENT, "dynamic"},
		{IFA_F_MANAGETEMPADDR, "mngtmpaddr"},
		{IFA_F_NOPREFIXROUTE, "noprefixroute"},
		{IFA_F_MCAUTOJOIN, "autojoin"},
		{IFA_F_STABLE_PRIVACY, "stable-privacy"},
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		bool set = e->flags & names[i].flag;

		if (names[i].flag == IFA_F_PERMANENT)
			set = !set;
		if (set)
			buf_add_fmt(&r->out, "%s ",
				    names[i].flag == IFA_F_SECONDARY &&
						    e->ifa.ifa_family == AF_INET6
					    ? "temporary"
					    : names[i].name);
	}
}

static void print_life(struct ip_run *r, const char *what, uint32_t seconds)
{
	if (seconds == UINT32_MAX)
		buf_add_fmt(&r->out, "%s forever", what);
	else
		buf_add_fmt(&r->out, "%s %usec", what, seconds);
}

static bool same(struct nl_view a, struct nl_view b)
{
	return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

static void print_local(struct ip_run *r, const struct entry *e)
{
	int family = e->ifa.ifa_family;
	char text[IP_TEXT];

	buf_add_str(&r->out, ip_text(text, family, e->a[IFA_LOCAL]));
	if (!same(e->a[IFA_LOCAL], e->a[IFA_ADDRESS]))
		buf_add_fmt(&r->out, " peer %s",
			    ip_text(text, family, e->a[IFA_ADDRESS]));
	buf_add_fmt(&r->out, "/%u ", e->ifa.ifa_prefixlen);
}

static void print_entry(struct ip_run *r, const struct entry *e)
{
	int family = e->ifa.ifa_family;
	struct ifa_cacheinfo life;
	char text[IP_TEXT], name[IP_NAME];

	if (r->oneline)
		buf_add_fmt(&r->out, "%u: %s", e->ifa.ifa_index,
			    ip_link_name(r, e->ifa.ifa_index));
	buf_add_fmt(&r->out, "    %s ", family == AF_INET ? "inet" : "inet6");
	print_local(r, e);
	if (e->a[IFA_RT_PRIORITY].data)
		buf_add_fmt(&r->out, "metric %u ", nl_u32(e->a[IFA_RT_PRIORITY]));
	if (e->a[IFA_BROADCAST].data)
		buf_add_fmt(&r->out, "brd %s ",
			    ip_text(text, family, e->a[IFA_BROADCAST]));
	if (e->a[IFA_ANYCAST].data)
		buf_add_fmt(&r->out, "any %s ", ip_text(text, family, e->a[IFA_ANYCAST]));
	buf_add_fmt(&r->out, "scope %s ", ip_scope(name, e->ifa.ifa_scope));
	print_flags(r, e);
	buf_add_str(&r->out, nl_str(e->a[IFA_LABEL]));
	if (e->a[IFA_CACHEINFO].len >= sizeof(life)) {
		memcpy(&life, e->a[IFA_CACHEINFO].data, sizeof(life));
		buf_add_fmt(&r->out, "%s       ", ip_newline(r));
		print_life(r, "valid_lft", life.ifa_valid);
		print_life(r, " preferred_lft", life.ifa_prefered);
	}
	buf_add_char(&r->out, '\n');
}

static int dump(struct ip_run *r, struct buf *ret, struct err *err)
{
	BUF_AUTO req = {0};

	rtnl_addrs_dump(&req);
	return ip_call(r, &req, ret, err);
}

static int read_filter(struct ip_run *r, struct ip_args *a, struct filter *f,
		       struct err *err)
{
	while (*a->v) {
		const char *word = *a->v++;

		if (str_eq(word, "up")) {
			f->up = true;
		} else if (str_eq(word, "scope")) {
			if (!(word = ip_word(a, "SCOPE", err)) ||
			    ip_scope_of(word, &f->scope, err) < 0)
				return -1;
			f->scoped = true;
		} else if (str_eq(word, "label")) {
			if (!(f->label = ip_word(a, "LABEL", err)))
				return -1;
		} else if (str_eq(word, "to")) {
			if (!(word = ip_word(a, "PREFIX", err)) ||
			    ip_prefix(word, r->family, &f->to, err) < 0)
				return -1;
			f->has_to = true;
		} else {
			if (str_eq(word, "dev") && !(word = ip_word(a, "NAME", err)))
				return -1;
			if (!(f->index = ip_link_index(r, word, err)))
				return err_set(err, ERR_NOT_FOUND,
					       "Device \"%s\" does not exist.", word);
		}
	}
	return 0;
}

/* The addresses of a link; their number. print false: only counts. */
static unsigned of_link(struct ip_run *r, const struct filter *f, const struct buf *addrs,
			uint32_t index, bool print)
{
	struct nl_view v = {addrs->data, addrs->len};
	struct nl_msg m;
	struct entry e;
	unsigned n = 0;

	/* IPv4 before IPv6, as the kernel lists them */
	while (nl_next(&v, &m)) {
		if (!parse(&m, &e) || !wanted(r, f, &e, index))
			continue;
		n++;
		if (print && r->brief)
			print_local(r, &e);
		else if (print)
			print_entry(r, &e);
	}
	return n;
}

static int show(struct ip_run *r, struct ip_args *a, struct err *err)
{
	BUF_AUTO addrs = {0};
	struct filter f = {0};
	struct rtnl_link l;
	struct nl_view v;
	struct nl_msg m;

	if (read_filter(r, a, &f, err) < 0 || !ip_links(r, err) ||
	    dump(r, &addrs, err) < 0)
		return -1;
	v = (struct nl_view){r->links.data, r->links.len};
	while (nl_next(&v, &m)) {
		bool narrow = r->family || f.scoped || f.label || f.has_to;

		if (!rtnl_link_parse(&m, &l) || (f.index && l.index != f.index) ||
		    (f.up && !(l.flags & IFF_UP)) ||
		    (narrow && !of_link(r, &f, &addrs, l.index, false)))
			continue;
		if (!r->oneline)
			ip_print_link(r, &m, false);
		of_link(r, &f, &addrs, l.index, true);
		if (r->stats && !r->oneline && !r->brief)
			ip_print_stats(r, &m);
		if (r->brief)
			buf_add_char(&r->out, '\n');
	}
	return 0;
}

/* --- changes ----------------------------------------------------------------------------------- */

struct change {
	struct ip_net addr;
	bool has_addr, has_peer, has_brd, auto_brd, has_scope, has_life;
	struct ip_net peer, brd;
	uint8_t scope;
	uint32_t flags, metric, index;
	const char *label;
	struct ifa_cacheinfo life;
};

static int life_of(const char *s, uint32_t *ret, struct err *err)
{
	if (str_eq(s, "forever")) {
		*ret = UINT32_MAX;
		return 0;
	}
	return ip_number(s, "lifetime", ret, err);
}

static uint32_t flag_of(const char *word)
{
	static const struct {
		const char *word;
		uint32_t flag;
	} flags[] = {{"nodad", IFA_F_NODAD},
		     {"home", IFA_F_HOMEADDRESS},
		     {"mngtmpaddr", IFA_F_MANAGETEMPADDR},
		     {"noprefixroute", IFA_F_NOPREFIXROUTE},
		     {"autojoin", IFA_F_MCAUTOJOIN},
		     {"optimistic", IFA_F_OPTIMISTIC}};

	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (str_eq(flags[i].word, word))
			return flags[i].flag;
	return 0;
}

static int take_brd(struct change *c, const char *value, int family, struct err *err)
{
	if (str_eq(value, "+")) {
		c->auto_brd = true;
		return 0;
	}
	if (str_eq(value, "-"))
		return 0;
	c->has_brd = true;
	return ip_prefix(value, family, &c->brd, err);
}

/* A word that takes a value. */
static int take_value(struct ip_run *r, struct change *c, const char *word,
		      const char *value, struct err *err)
{
	if (str_eq(word, "dev"))
		return (c->index = ip_link_index(r, value, err)) ? 0 : -1;
	if (str_eq(word, "peer") || str_eq(word, "remote")) {
		c->has_peer = true;
		return ip_prefix(value, r->family, &c->peer, err);
	}
	if (ip_is(word, "broadcast") || str_eq(word, "brd"))
		return take_brd(c, value, r->family, err);
	if (str_eq(word, "scope")) {
		c->has_scope = true;
		return ip_scope_of(value, &c->scope, err);
	}
	if (str_eq(word, "label")) {
		c->label = value;
		return 0;
	}
	if (str_eq(word, "metric") || str_eq(word, "priority") ||
	    str_eq(word, "preference"))
		return ip_number(value, word, &c->metric, err);
	if (str_eq(word, "valid_lft") || str_eq(word, "preferred_lft")) {
		c->has_life = true;
		return life_of(value,
			       *word == 'v' ? &c->life.ifa_valid : &c->life.ifa_prefered,
			       err);
	}
	c->has_addr = true;
	return ip_prefix(value, r->family, &c->addr, err);
}

static int read_change(struct ip_run *r, struct ip_args *a, struct change *c,
		       struct err *err)
{
	static const char *const with_value[] = {"dev",		  "peer",   "remote",
						 "broadcast",	  "brd",    "scope",
						 "label",	  "metric", "valid_lft",
						 "preferred_lft", "local",  "priority",
						 "preference"};

	c->life.ifa_valid = c->life.ifa_prefered = UINT32_MAX;
	while (*a->v) {
		const char *word = *a->v++, *value = word;
		uint32_t flag = flag_of(word);

		if (flag) {
			c->flags |= flag;
			continue;
		}
		for (size_t i = 0; i < ARRAY_LEN(with_value); i++)
			if (str_eq(word, with_value[i]) &&
			    !(value = ip_word(a, word, err)))
				return -1;
		if (take_value(r, c, word, value, err) < 0)
			return -1;
	}
	if (!c->index)
		return err_set(
			err, ERR_INVALID,
			"ip: Not enough information: \"dev\" argument is required.");
	return 0;
}

static uint8_t default_scope(const struct change *c)
{
	return !c->addr.ip.v6 && c->addr.ip.b[0] == 127 ? RT_SCOPE_HOST
							: RT_SCOPE_UNIVERSE;
}

static int change(struct ip_run *r, struct ip_args *a, uint16_t type, uint16_t flags,
		  struct err *err)
{
	struct change c = {0};
	struct ifaddrmsg ifa = {0};
	BUF_AUTO req = {0};
	struct ip last;
	size_t at, n;

	if (read_change(r, a, &c, err) < 0)
		return -1;
	if (!c.has_addr)
		return err_set(err, ERR_INVALID, "ip: ADDRESS is missing");
	n = ip_len(&c.addr.ip);
	last = ip_last(&c.addr);
	ifa.ifa_family = c.addr.ip.v6 ? AF_INET6 : AF_INET;
	ifa.ifa_prefixlen = (uint8_t)(c.has_peer ? c.peer.prefix : c.addr.prefix);
	ifa.ifa_scope = c.has_scope ? c.scope : default_scope(&c);
	ifa.ifa_index = c.index;
	at = nl_begin(&req, type, NLM_F_REQUEST | NLM_F_ACK | flags);
	nl_put(&req, &ifa, sizeof(ifa));
	nl_attr(&req, IFA_LOCAL, c.addr.ip.b, n);
	nl_attr(&req, IFA_ADDRESS, c.has_peer ? c.peer.ip.b : c.addr.ip.b, n);
	if (c.has_brd)
		nl_attr(&req, IFA_BROADCAST, c.brd.ip.b, n);
	else if (c.auto_brd && !c.addr.ip.v6 && c.addr.prefix < 31)
		nl_attr(&req, IFA_BROADCAST, last.b, n);
	if (c.label)
		nl_attr_str(&req, IFA_LABEL, c.label);
	if (c.metric)
		nl_attr_u32(&req, IFA_RT_PRIORITY, c.metric);
	if (c.flags)
		nl_attr_u32(&req, IFA_FLAGS, c.flags);
	if (c.has_life)
		nl_attr(&req, IFA_CACHEINFO, &c.life, sizeof(c.life));
	nl_end(&req, at);
	return ip_call(r, &req, NULL, err);
}

static int flush(struct ip_run *r, struct ip_args *a, struct err *err)
{
	struct filter f = {0};
	BUF_AUTO addrs = {0};
	struct nl_view v;
	struct nl_msg m;
	struct entry e;

	if (read_filter(r, a, &f, err) < 0)
		return -1;
	if (!f.index && !f.has_to && !f.label)
		return err_set(err, ERR_INVALID, "ip: Flush requires arguments.");
	if (dump(r, &addrs, err) < 0)
		return -1;
	v = (struct nl_view){addrs.data, addrs.len};
	while (nl_next(&v, &m)) {
		BUF_AUTO req = {0};
		size_t at;

		if (!parse(&m, &e) ||
		    !wanted(r, &f, &e, f.index ? f.index : e.ifa.ifa_index))
			continue;
		at = nl_begin(&req, RTM_DELADDR, NLM_F_REQUEST | NLM_F_ACK);
		nl_put(&req, m.body.data, m.body.len);
		nl_end(&req, at);
		/* a secondary address goes with its primary one */
		if (ip_call(r, &req, NULL, err) < 0 && err->sys != EADDRNOTAVAIL)
			return -1;
		r->status = 0;
	}
	return 0;
}

int ip_addr(struct ip_run *r, struct ip_args *a, struct err *err)
{
	static const struct {
		const char *word;
		uint16_t type, flags;
	} changes[] = {
		{"add", RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL},
		{"change", RTM_NEWADDR, NLM_F_REPLACE},
		{"replace", RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE},
		{"delete", RTM_DELADDR, 0},
	};
	const char *word = *a->v ? *a->v++ : "show";

	for (size_t i = 0; i < ARRAY_LEN(changes); i++)
		if (ip_is(word, changes[i].word))
			return change(r, a, changes[i].type, changes[i].flags, err);
	if (ip_is_show(word))
		return show(r, a, err);
	if (ip_is(word, "flush"))
		return flush(r, a, err);
	return ip_unknown(word, err);
}
