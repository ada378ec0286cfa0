/*
 * What others are told of the network: resolv.conf, the status that the console shows, the
 * host name, time servers.
 */
#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "netd.h"
#include "os/file.h"
#include "os/netlink.h"

#ifndef IFF_LOWER_UP
#define IFF_LOWER_UP 0x10000
#endif

enum {
	DELAY_MS = 50,	 /* changes come in groups */
	NAMESERVERS = 3, /* more are used by nobody (resolv.conf(5)) */
	LIFE_MAX =
		86400 /* seconds that a router's word is believed without another one */
};

void publish_later(struct netd *n)
{
	if (n->publishing)
		return;
	n->publishing = true;
	loop_timer_set(n->loop, &n->publish, time_mono() + DELAY_MS * NS_PER_MS);
}

/* --- routers' advertisements ------------------------------------------------------------- */

static int64_t life(const struct nd_option *o)
{
	return time_mono() + MIN(o->lifetime, (uint32_t)LIFE_MAX) * NS_PER_SEC;
}

static void put_server(struct link *l, const struct ip *ip, int64_t until)
{
	for (unsigned i = 0; i < l->nrdnss; i++)
		if (ip_cmp(&l->rdnss[i].ip, ip) == 0) {
			l->rdnss[i].until = until;
			return;
		}
	if (l->nrdnss < NETD_DNS)
		l->rdnss[l->nrdnss++] = (struct link_dns){*ip, until};
}

static void put_domain(struct link *l, const char *name, int64_t until)
{
	for (unsigned i = 0; i < l->ndnssl; i++)
		if (str_eq(l->dnssl[i].name, name)) {
			l->dnssl[i].until = until;
			return;
		}
	if (l->ndnssl == NETD_SEARCH)
		return;
	str_copy(l->dnssl[l->ndnssl].name, sizeof(l->dnssl[0].name), name);
	l->dnssl[l->ndnssl++].until = until;
}

void publish_ra(struct link *l, const struct nd_option *o)
{
	for (unsigned i = 0; i < o->nservers; i++)
		put_server(l, &o->servers[i], life(o));
	for (unsigned i = 0; i < o->ndomains; i++)
		put_domain(l, o->domains[i], life(o));
	publish_later(l->netd);
}

/* Drops what has run out; the time at which the next one does. */
static int64_t expire(struct link *l, int64_t next)
{
	int64_t now = time_mono();
	unsigned kept = 0;

	for (unsigned i = 0; i < l->nrdnss; i++)
		if (l->rdnss[i].until > now) {
			l->rdnss[kept++] = l->rdnss[i];
			next = MIN(next, l->rdnss[i].until);
		}
	l->nrdnss = kept;
	kept = 0;
	for (unsigned i = 0; i < l->ndnssl; i++)
		if (l->dnssl[i].until > now) {
			l->dnssl[kept++] = l->dnssl[i];
			next = MIN(next, l->dnssl[i].until);
		}
	l->ndnssl = kept;
	return next;
}

/* --- resolv.conf ---------------------------------------------------------------------------- */

struct resolv {
	unsigned nservers, nsearch;
	char servers[NAMESERVERS][IP_TEXT + RTNL_NAME];
	const char *search[NETD_SEARCH];
};

static void add_server(struct resolv *r, const struct ip *ip, const struct link *l)
{
	char text[sizeof(r->servers[0])];

	ip_format(text, ip);
	if (l && ip->v6 && ip->b[0] == 0xfe && (ip->b[1] & 0xc0) == 0x80) {
		/* of this link only */
		size_t n = strlen(text);

		text[n] = '%';
		str_copy(text + n + 1, sizeof(text) - n - 1, l->is.name);
	}
	for (unsigned i = 0; i < r->nservers; i++)
		if (str_eq(r->servers[i], text))
			return;
	if (r->nservers < NAMESERVERS)
		str_copy(r->servers[r->nservers++], sizeof(text), text);
}

static void add_search(struct resolv *r, const char *name)
{
	for (unsigned i = 0; i < r->nsearch; i++)
		if (str_eq(r->search[i], name))
			return;
	if (r->nsearch < NETD_SEARCH)
		r->search[r->nsearch++] = name;
}

static void add_link(struct resolv *r, const struct link *l, bool search)
{
	const struct dhcp4_reply *lease = l->dhcp.configured ? &l->on : NULL;

	for (unsigned i = 0; i < l->conf.ndns; i++)
		add_server(r, &l->conf.dns[i], l);
	for (unsigned i = 0; lease && i < lease->ndns; i++) {
		const struct ip ip = dhcp4_ip(lease->dns[i]);

		add_server(r, &ip, l);
	}
	for (unsigned i = 0; i < l->nrdnss; i++)
		add_server(r, &l->rdnss[i].ip, l);
	for (unsigned i = 0; search && lease && i < lease->nsearch; i++)
		add_search(r, lease->search[i]);
	for (unsigned i = 0; search && i < l->ndnssl; i++)
		add_search(r, l->dnssl[i].name);
}

/* The configuration's servers come first, and its search list takes the place of others. */
static void collect(struct netd *n, struct resolv *r)
{
	const struct node_config *conf = &n->s->conf;
	struct ip ip;

	for (unsigned i = 0; i < conf->dns.n; i++)
		if (ip_parse(conf->dns.v[i], &ip) == 0)
			add_server(r, &ip, NULL);
	for (unsigned i = 0; i < n->s->cmdline.ndns; i++)
		add_server(r, &n->s->cmdline.dns[i], NULL);
	for (unsigned i = 0; i < conf->search.n; i++)
		add_search(r, conf->search.v[i]);
	list_each (p, &n->links) {
		struct link *l = container_of(p, struct link, node);

		add_link(r, l, conf->search.n == 0);
	}
}

/* Writes a file if that is not what it holds. */
static void put(struct netd *n, const char *name, const struct buf *b)
{
	BUF_AUTO old = {0};
	struct err err;

	if (file_read(n->s->run_dir, name, 1 << 16, &old, &err) == 0 &&
	    old.len == b->len && (!b->len || memcmp(old.data, b->data, b->len) == 0))
		return;
	if (file_replace(n->s->run_dir, name, b->data, b->len, 0644, false, &err) < 0)
		log_warn(&n->s->log, "%s", err.msg);
}

static void put_resolv(struct netd *n)
{
	struct resolv r = {0};
	BUF_AUTO b = {0};

	collect(n, &r);
	buf_add_str(&b, "# written by cribox netd; see [net] in config.toml\n");
	for (unsigned i = 0; i < r.nservers; i++)
		buf_add_fmt(&b, "nameserver %s\n", r.servers[i]);
	for (unsigned i = 0; i < r.nsearch; i++)
		buf_add_fmt(&b, "%s%s%s", i ? " " : "search ", r.search[i],
			    i + 1 < r.nsearch ? "" : "\n");
	put(n, "resolv.conf", &b);
}

/* --- status --------------------------------------------------------------------------------- */

static const char *state_of(const struct link *l)
{
	if (!(l->is.flags & IFF_UP))
		return "down";
	if (!(l->is.flags & IFF_LOWER_UP))
		return "no-carrier";
	if (l->conf.dhcp && !l->dhcp.configured)
		return "asking";
	return "up";
}

static void dump(struct netd *n, const struct buf *req, struct buf *reply)
{
	struct err err;

	if (netlink_call(n->rtnl, req->data, req->len, reply, &err) < 0)
		reply->len = 0;
}

static void put_addresses(struct buf *b, const struct buf *dumped, uint32_t index)
{
	struct nl_view v = {dumped->data, dumped->len};
	const char *sep = "";
	struct rtnl_addr addr;
	struct nl_msg m;
	char text[IP_NET_TEXT];

	while (nl_next(&v, &m)) {
		if (!rtnl_addr_parse(&m, &addr) || addr.index != index ||
		    addr.scope != RT_SCOPE_UNIVERSE)
			continue;
		buf_add_fmt(b, "%s%s", sep, ip_net_format(text, &addr.addr));
		sep = ",";
	}
	if (!*sep)
		buf_add_char(b, '-');
}

static void put_gateway(struct buf *b, const struct buf *dumped, uint32_t index)
{
	struct nl_view v = {dumped->data, dumped->len};
	char text[IP_TEXT];
	struct nl_msg m;
	uint32_t at;
	struct ip gw;

	while (nl_next(&v, &m))
		if (rtnl_route_default(&m, &gw, &at) && at == index) {
			buf_add_str(b, ip_format(text, &gw));
			return;
		}
	buf_add_char(b, '-');
}

static const char *origin_of(const struct link *l)
{
	if (l->dhcp.configured)
		return "dhcp";
	if (l->conf.dhcp)
		return "-";
	return l->conf.naddr ? "static" : l->conf.ra ? "ra" : "none";
}

/* One line for each link: NAME STATE ADDRESSES GATEWAY ORIGIN, "-" for what is not there. */
static void put_status(struct netd *n)
{
	BUF_AUTO req = {0};
	BUF_AUTO addrs = {0};
	BUF_AUTO routes = {0};
	BUF_AUTO b = {0};

	rtnl_addrs_dump(&req);
	dump(n, &req, &addrs);
	for (int v6 = 0; v6 < 2; v6++) {
		buf_reset(&req);
		rtnl_routes_dump(&req, v6);
		dump(n, &req, &routes);
	}
	list_each (p, &n->links) {
		struct link *l = container_of(p, struct link, node);

		buf_add_fmt(&b, "%s %s ", l->is.name, state_of(l));
		put_addresses(&b, &addrs, l->is.index);
		buf_add_char(&b, ' ');
		put_gateway(&b, &routes, l->is.index);
		buf_add_fmt(&b, " %s\n", origin_of(l));
	}
	put(n, "status", &b);
}

/* --- host name and time ----------------------------------------------------------------------- */

static void put_hostname(struct netd *n)
{
	const char *name = conf_hostname(n->s);
	char text[NETD_HOSTNAME] = "";

	if (*n->s->conf.hostname)
		return; /* init has set it */
	list_each (p, &n->links) {
		struct link *l = container_of(p, struct link, node);

		if (!name && l->dhcp.configured && *l->on.hostname &&
		    n->s->conf.hostname_from_dhcp)
			name = l->on.hostname;
	}
	if (!name)
		return;
	/* the first label: the rest is a domain */
	for (size_t i = 0; name[i] && name[i] != '.' && i + 1 < sizeof(text); i++)
		text[i] = name[i];
	if (!*text || str_eq(text, n->hostname))
		return;
	memcpy(n->hostname, text, sizeof(text));
	(void)!send(n->s->parent, text, sizeof(text), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void put_servers(struct netd *n)
{
	struct netd_servers s = {0};

	list_each (p, &n->links) {
		struct link *l = container_of(p, struct link, node);

		if (l->conf.has_ntp && s.n < NETD_NTP)
			s.servers[s.n++] = l->conf.ntp;
		for (unsigned i = 0; l->dhcp.configured && i < l->on.nntp; i++)
			if (s.n < NETD_NTP)
				s.servers[s.n++] = dhcp4_ip(l->on.ntp[i]);
	}
	if (memcmp(&s, &n->servers, sizeof(s)) == 0)
		return;
	n->servers = s;
	(void)!send(n->time.fd, &s, sizeof(s), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void publish_now(struct netd *n)
{
	int64_t next = INT64_MAX;

	n->publishing = false;
	list_each (p, &n->links)
		next = expire(container_of(p, struct link, node), next);
	put_resolv(n);
	put_status(n);
	put_hostname(n);
	put_servers(n);
	if (next < INT64_MAX)
		loop_timer_set(n->loop, &n->publish, next);
}
