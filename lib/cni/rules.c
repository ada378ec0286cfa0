/*
 * The pods' rules in nf_tables: table cribox in the families that have a use for it.
 *
 *	hostports    per mapping: host port -> pod
 *	prerouting   fib daddr type local jump hostports
 *	output       the same, for connections from this host
 *	postrouting  per pod: masquerading
 *	localnet     nothing from outside reaches 127.0.0.0/8, route_localnet or not
 *
 * and in family bridge, where a map leads from a port to a chain of the port's name:
 *
 *	guard        iifname vmap @ports
 *	vethX        nothing under another sender's address than the pod's
 *
 * A pod's rules carry a comment that names their owner, "KIND NETWORK CONTAINER INTERFACE".
 * Each change is one transaction of the kernel, so that there is nothing to repair after a
 * crash in the middle. A table has the rules of pods in it, or it is not there.
 */
#include "cni/cni-int.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "os/fd.h"
#include "os/netlink.h"
#include "wire/nft.h"

static const char table[] = "cribox", port_map[] = "ports";
static const enum nft_family families[] = {NFT_IP, NFT_IP6, NFT_BRIDGE};

/* A generation that somebody else ends again and again; each try is a dump. */
enum { GENERATION_TRIES = 50 };

/* Values of linux/netfilter*.h, whose headers define them for one family each. */
enum { HOOK_PREROUTING = 0, HOOK_OUTPUT = 3, HOOK_POSTROUTING = 4 };
enum {
	PRI_RAW = -300,
	PRI_DSTNAT = -100,
	PRI_SRCNAT = 100,
	PRI_BRIDGE_FILTER = -200,
};

/* --- owners ---------------------------------------------------------------------------- */

/* A name, or its checksum where the comment would become too long. */
static void add_name(char *dst, size_t size, const char *name, size_t max)
{
	size_t n = strlen(dst), len = strlen(name);

	if (len <= max)
		snprintf(dst + n, size - n, " %s", name);
	else
		snprintf(dst + n, size - n, " #%08x", num_crc32c(0, name, len));
}

static void make_tag(char dst[NFT_COMMENT + 1], const struct rules_owner *o)
{
	snprintf(dst, NFT_COMMENT + 1, "%s", o->kind);
	add_name(dst, NFT_COMMENT + 1, o->net, 28);
	add_name(dst, NFT_COMMENT + 1, o->container_id, 72);
	add_name(dst, NFT_COMMENT + 1, o->ifname, 15);
}

static bool is_tag(const char *comment)
{
	return str_starts(comment, "masq ") || str_starts(comment, "port ") ||
	       str_starts(comment, "guard ");
}

/* --- adding ---------------------------------------------------------------------------- */

static void base_chain(struct buf *b, enum nft_family f, const char *name,
		       const char *type, int hook, int priority)
{
	struct nft_chain c = {.family = f,
			      .table = table,
			      .name = name,
			      .type = type,
			      .hook = hook,
			      .priority = priority};

	nft_chain_add(b, &c);
	/* only our own rules are in it: written anew, whatever has become of them */
	if (!str_eq(name, "postrouting"))
		nft_chain_flush(b, f, table, name);
}

static void local_jump(struct buf *b, enum nft_family f, const char *chain)
{
	static const struct ip_net loopback6 = {{true, {[15] = 1}}, 128};
	struct nft_rule r;

	if (f == NFT_IP6) {
		/* ::1 cannot be routed to a pod: there is no route_localnet for IPv6 */
		nft_rule_begin(b, &r, f, table, chain, NULL);
		nft_match_net(b, false, false, &loopback6);
		nft_return(b);
		nft_rule_end(b, &r);
	}
	nft_rule_begin(b, &r, f, table, chain, NULL);
	nft_match_local(b);
	nft_jump(b, "hostports");
	nft_rule_end(b, &r);
}

/* The table and its chains, as they are without pods. */
static void skeleton(struct buf *b, enum nft_family f)
{
	static const struct ip_net loopback4 = {{false, {127}}, 8};
	struct nft_chain hostports = {
		.family = f, .table = table, .name = "hostports", .hook = -1};
	struct nft_rule r;

	nft_table_add(b, f, table);
	nft_chain_add(b, &hostports);
	base_chain(b, f, "prerouting", "nat", HOOK_PREROUTING, PRI_DSTNAT);
	local_jump(b, f, "prerouting");
	base_chain(b, f, "output", "nat", HOOK_OUTPUT, PRI_DSTNAT);
	local_jump(b, f, "output");
	base_chain(b, f, "postrouting", "nat", HOOK_POSTROUTING, PRI_SRCNAT);
	if (f != NFT_IP)
		return;
	base_chain(b, f, "localnet", "filter", HOOK_PREROUTING, PRI_RAW);
	nft_rule_begin(b, &r, f, table, "localnet", NULL);
	nft_match_iifname(b, true, "lo");
	nft_match_net(b, false, false, &loopback4);
	nft_drop(b);
	nft_rule_end(b, &r);
}

static void guard_skeleton(struct buf *b)
{
	struct nft_rule r;

	nft_table_add(b, NFT_BRIDGE, table);
	nft_vmap_add(b, NFT_BRIDGE, table, port_map);
	base_chain(b, NFT_BRIDGE, "guard", "filter", HOOK_PREROUTING, PRI_BRIDGE_FILTER);
	nft_rule_begin(b, &r, NFT_BRIDGE, table, "guard", NULL);
	nft_jump_iifname(b, port_map);
	nft_rule_end(b, &r);
}

/* Rules to add: rules() appends them to a batch, the same ones each time. */
struct change {
	void (*rules)(const struct change *c, struct buf *b);
	bool v4, v6, bridge; /* families that they are in */
	char tag[NFT_COMMENT + 1];
	const struct res_ip *ips; /* of masq */
	size_t n;
	const struct ip_net *pod; /* of ports */
	const struct rules_port *ports;
	bool snat, masq_all;
	const char *veth; /* of guard */
	const uint8_t *mac;
};

static int commit_once(int nf, const struct change *c, bool first, struct err *err)
{
	BUF_AUTO b = {0};

	nft_batch_begin(&b, 0);
	if (first && c->v4)
		skeleton(&b, NFT_IP);
	if (first && c->v6)
		skeleton(&b, NFT_IP6);
	if (first && c->bridge)
		guard_skeleton(&b);
	c->rules(c, &b);
	nft_batch_end(&b);
	return netlink_call(nf, b.data, b.len, NULL, err);
}

/*
 * Adds rules. The table is mostly there, and writing it anew each time would cost: closing
 * the socket waits until the kernel is done with what a batch has replaced.
 */
static int commit(const struct change *c, struct err *err)
{
	FD_AUTO nf = netlink_open(NETLINK_NETFILTER, err);
	int r;

	if (nf < 0)
		return err_wrap(err, "nf_tables");
	r = commit_once(nf, c, false, err);
	if (r < 0 && err->sys == ENOENT)
		r = commit_once(nf, c, true, err);
	if (r == 0)
		return 0;
	/* the batch as a whole is refused: its module is neither built in nor to be found */
	if (err->sys == EOPNOTSUPP)
		err_wrap(err, "does the kernel have what the rules need?");
	return err_wrap(err, "nf_tables");
}

static enum nft_family family_of(const struct ip *ip)
{
	return ip->v6 ? NFT_IP6 : NFT_IP;
}

static struct ip_net host_net(const struct ip *ip)
{
	return (struct ip_net){*ip, ip_bits(ip)};
}

static void masq_rule(struct buf *b, const struct ip_net *addr, const char *tag)
{
	static const struct ip_net multicast4 = {{false, {224}}, 4};
	static const struct ip_net multicast6 = {{true, {0xff}}, 8};
	struct ip_net self = host_net(&addr->ip);
	struct nft_rule r;

	nft_rule_begin(b, &r, family_of(&addr->ip), table, "postrouting", tag);
	nft_match_net(b, true, false, &self);
	nft_match_net(b, false, true, addr);
	nft_match_net(b, false, true, addr->ip.v6 ? &multicast6 : &multicast4);
	nft_masquerade(b);
	nft_rule_end(b, &r);
}

static void masq_rules(const struct change *c, struct buf *b)
{
	for (size_t i = 0; i < c->n; i++)
		masq_rule(b, &c->ips[i].addr, c->tag);
}

int rules_add_masq(const struct rules_owner *o, const struct res_ip *ips, size_t nips,
		   struct err *err)
{
	struct change c = {.rules = masq_rules, .ips = ips, .n = nips};

	make_tag(c.tag, o);
	for (size_t i = 0; i < nips; i++) {
		c.v4 = c.v4 || !ips[i].addr.ip.v6;
		c.v6 = c.v6 || ips[i].addr.ip.v6;
	}
	return nips ? commit(&c, err) : 0;
}

/* host port -> pod, for connections to an address of this host (or only to one of them) */
static void dnat_rule(struct buf *b, const struct ip *pod, const struct rules_port *p,
		      const char *tag)
{
	struct ip_net host = host_net(&p->host_ip);
	struct nft_rule r;

	nft_rule_begin(b, &r, family_of(pod), table, "hostports", tag);
	if (p->has_host_ip && !p->any_host_ip)
		nft_match_net(b, false, false, &host);
	nft_match_l4proto(b, p->proto);
	nft_match_dport(b, p->host_port);
	nft_dnat(b, pod, p->pod_port);
	nft_rule_end(b, &r);
}

/*
 * The pod must answer through this host, or the answer would not be translated back: what
 * came from `from` (NULL: anybody) over the host port gets our address as its source.
 */
static void hairpin_rule(struct buf *b, const struct ip *pod, const struct rules_port *p,
			 const struct ip_net *from, const char *tag)
{
	struct ip_net to = host_net(pod);
	struct nft_rule r;

	nft_rule_begin(b, &r, family_of(pod), table, "postrouting", tag);
	if (from)
		nft_match_net(b, true, false, from);
	nft_match_net(b, false, false, &to);
	nft_match_l4proto(b, p->proto);
	nft_match_dport(b, p->pod_port);
	nft_match_dnat(b);
	nft_match_orig_dport(b, p->host_port);
	nft_masquerade(b);
	nft_rule_end(b, &r);
}

static void port_rules(const struct change *c, struct buf *b)
{
	static const struct ip_net loopback4 = {{false, {127}}, 8};
	const struct ip *pod = &c->pod->ip;

	for (size_t i = 0; i < c->n; i++) {
		const struct rules_port *p = &c->ports[i];

		if (p->has_host_ip && p->host_ip.v6 != pod->v6)
			continue;
		dnat_rule(b, pod, p, c->tag);
		if (c->snat && c->masq_all) {
			hairpin_rule(b, pod, p, NULL, c->tag);
		} else if (c->snat) {
			hairpin_rule(b, pod, p, c->pod, c->tag);
			if (!pod->v6)
				hairpin_rule(b, pod, p, &loopback4, c->tag);
		}
	}
}

int rules_add_ports(const struct rules_owner *o, const struct ip_net *pod,
		    const struct rules_port *ports, size_t nports, bool snat,
		    bool masq_all, struct err *err)
{
	struct change c = {.rules = port_rules,
			   .v4 = !pod->ip.v6,
			   .v6 = pod->ip.v6,
			   .n = nports,
			   .pod = pod,
			   .ports = ports,
			   .snat = snat,
			   .masq_all = masq_all};
	size_t mine = 0;

	make_tag(c.tag, o);
	for (size_t i = 0; i < nports; i++)
		mine += !ports[i].has_host_ip || ports[i].host_ip.v6 == pod->ip.v6;
	return mine ? commit(&c, err) : 0;
}

/* A rule of a port's own chain: what the match holds for is dropped. */
struct guard {
	struct buf *b;
	const struct change *c;
	struct nft_rule r;
};

static void guard_begin(struct guard *g)
{
	nft_rule_begin(g->b, &g->r, NFT_BRIDGE, table, g->c->veth, g->c->tag);
}

static void guard_drop(struct guard *g)
{
	nft_drop(g->b);
	nft_rule_end(g->b, &g->r);
}

/* Drops what does not have these bytes at the place, of an EtherType if that is not 0. */
static void guard_unless(struct guard *g, uint16_t ethertype, enum nft_header header,
			 unsigned offset, const void *data, size_t n)
{
	guard_begin(g);
	if (ethertype)
		nft_match_ethertype(g->b, ethertype);
	nft_match_bytes(g->b, header, offset, true, data, n);
	guard_drop(g);
}

static void guard4(struct guard *g, const struct ip *ip)
{
	/* ARP (RFC 826): sender's MAC at 8, sender's IP at 14; IPv4: source at 12 */
	guard_unless(g, ETH_P_ARP, NFT_NETWORK, 8, g->c->mac, RTNL_MAC);
	if (!ip) {
		guard_begin(g);
		nft_match_ethertype(g->b, ETH_P_IP);
		guard_drop(g);
		return;
	}
	guard_unless(g, ETH_P_ARP, NFT_NETWORK, 14, ip->b, 4);
	guard_unless(g, ETH_P_IP, NFT_NETWORK, 12, ip->b, 4);
}

static void guard6(struct guard *g, const struct ip *ip)
{
	static const struct ip_net link_local = {{true, {0xfe, 0x80}}, 10};
	static const struct ip_net unspecified = {{true, {0}}, 128};
	static const uint8_t from_routers[] = {134, 137}; /* advertisement, redirect */
	struct ip_net own;

	if (!ip) {
		guard_begin(g);
		nft_match_ethertype(g->b, ETH_P_IPV6);
		guard_drop(g);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(from_routers); i++) {
		guard_begin(g);
		nft_match_ethertype(g->b, ETH_P_IPV6);
		nft_match_l4proto(g->b, IPPROTO_ICMPV6);
		nft_match_bytes(g->b, NFT_TRANSPORT, 0, false, &from_routers[i], 1);
		guard_drop(g);
	}
	own = host_net(ip);
	guard_begin(g);
	nft_match_ethertype(g->b, ETH_P_IPV6);
	nft_match_net(g->b, true, true, &own);
	nft_match_net(g->b, true, true, &link_local);
	nft_match_net(g->b, true, true, &unspecified);
	guard_drop(g);
}

static void guard_rules(const struct change *c, struct buf *b)
{
	struct nft_chain own = {
		.family = NFT_BRIDGE, .table = table, .name = c->veth, .hook = -1};
	struct guard g = {.b = b, .c = c};
	const struct ip *v4 = NULL, *v6 = NULL;

	for (size_t i = 0; i < c->n; i++) {
		if (c->ips[i].addr.ip.v6)
			v6 = &c->ips[i].addr.ip;
		else
			v4 = &c->ips[i].addr.ip;
	}
	nft_chain_add(b, &own);
	guard_unless(&g, 0, NFT_LINK, 6, c->mac, RTNL_MAC);
	guard4(&g, v4);
	guard6(&g, v6);
	nft_vmap_put(b, NFT_BRIDGE, table, port_map, c->veth, c->veth);
}

int rules_add_guard(const struct rules_owner *o, const char *veth,
		    const uint8_t mac[RTNL_MAC], const struct res_ip *ips, size_t nips,
		    struct err *err)
{
	struct change c = {.rules = guard_rules,
			   .bridge = true,
			   .ips = ips,
			   .n = nips,
			   .veth = veth,
			   .mac = mac};

	make_tag(c.tag, o);
	if (commit(&c, err) == 0)
		return 0;
	/* a kernel without nf_tables for bridges: the network works as others' do */
	return err->sys == EOPNOTSUPP || err->sys == EAFNOSUPPORT ? 0 : -1;
}

/* --- removing -------------------------------------------------------------------------- */

/* Which rules are to go; left counts the tagged ones that stay, by kind. */
struct sweep {
	bool (*goes)(const struct sweep *s, const char *tag);
	const char *tag;     /* of the one owner, or what the tags begin with */
	const char *and_tag; /* of the same owner's other kind; NULL: none */
	const struct rules_owner *valid;
	size_t nvalid;
	bool dry; /* only counted */
	size_t gone, left, left_ports;
};

static bool is_owners(const struct sweep *s, const char *tag)
{
	return str_eq(tag, s->tag) || (s->and_tag && str_eq(tag, s->and_tag));
}

static bool is_invalid(const struct sweep *s, const char *tag)
{
	char good[NFT_COMMENT + 1];

	if (!str_starts(tag, s->tag))
		return false;
	for (size_t i = 0; i < s->nvalid; i++) {
		make_tag(good, &s->valid[i]);
		if (str_eq(tag, good))
			return false;
	}
	return true;
}

static int generation(int nf, uint32_t *ret, struct err *err)
{
	BUF_AUTO req = {0}, reply = {0};
	struct nl_view v;
	struct nl_msg m;

	nft_gen_get(&req);
	if (netlink_call(nf, req.data, req.len, &reply, err) < 0)
		return -1;
	v = (struct nl_view){reply.data, reply.len};
	while (nl_next(&v, &m))
		if (nft_gen_parse(&m, ret))
			return 0;
	return err_set(err, ERR_INTERNAL, "no generation");
}

/* Removes one rule; of a port's own chain all that it was for. */
static void remove_rule(struct buf *batch, enum nft_family f,
			const struct nft_rule_info *r, char last[NFT_COMMENT + 1])
{
	if (f != NFT_BRIDGE) {
		nft_rule_del(batch, f, table, r->chain, r->handle);
		return;
	}
	if (str_eq(last, r->chain))
		return;
	str_copy(last, NFT_COMMENT + 1, r->chain);
	nft_vmap_del(batch, f, table, port_map, r->chain);
	nft_chain_flush(batch, f, table, r->chain);
	nft_chain_del(batch, f, table, r->chain);
}

/* The batch that removes what goes. True if there is something to do. */
static bool plan(const struct nl_view *rules, enum nft_family f, uint32_t gen,
		 struct sweep *s, struct buf *batch)
{
	struct nl_view v = *rules;
	char last[NFT_COMMENT + 1] = "";
	struct nft_rule_info r;
	bool exists = false;
	struct nl_msg m;

	s->gone = s->left = s->left_ports = 0;
	nft_batch_begin(batch, gen);
	while (nl_next(&v, &m)) {
		if (!nft_rule_parse(&m, &r) || r.family != f || !str_eq(r.table, table))
			continue;
		exists = true;
		if (!is_tag(r.comment))
			continue;
		if (s->goes(s, r.comment)) {
			remove_rule(batch, f, &r, last);
			s->gone++;
		} else {
			s->left++;
			s->left_ports += str_starts(r.comment, "port ");
		}
	}
	if (exists && !s->left) {
		buf_reset(batch);
		nft_batch_begin(batch, gen);
		nft_table_del(batch, f, table);
	}
	nft_batch_end(batch);
	return !s->dry && (s->gone || (exists && !s->left));
}

/* One try. 1: the rules changed meanwhile. */
static int sweep_once(int nf, enum nft_family f, struct sweep *s, struct err *err)
{
	BUF_AUTO req = {0}, rules = {0}, batch = {0};
	uint32_t gen = 0;

	if (generation(nf, &gen, err) < 0) /* a kernel without nf_tables has no rules */
		return err->sys == EINVAL || err->sys == EOPNOTSUPP ? 0 : -1;
	nft_rules_dump(&req, f, table);
	if (netlink_call(nf, req.data, req.len, &rules, err) < 0) {
		if (err->sys == ENOENT)
			return 0;
		return err->code == ERR_ABORTED ? 1 : -1;
	}
	if (!plan(&(struct nl_view){rules.data, rules.len}, f, gen, s, &batch))
		return 0;
	if (netlink_call(nf, batch.data, batch.len, NULL, err) < 0)
		return err->sys == ERESTART || err->sys == ENOENT ? 1 : -1;
	return 0;
}

/* Each family in turn; the counts are of all of them. */
static int sweep(struct sweep *s, struct err *err)
{
	FD_AUTO nf = netlink_open(NETLINK_NETFILTER, err);
	struct sweep sum = *s;

	if (nf < 0) /* nor one without nfnetlink */
		return err->sys == EPROTONOSUPPORT ? 0 : -1;
	sum.gone = sum.left = sum.left_ports = 0;
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		int r = 1;

		for (int n = 0; r == 1 && n < GENERATION_TRIES; n++)
			r = sweep_once(nf, families[i], s, err);
		if (r > 0)
			err_set(err, ERR_ABORTED, "the rules change all the time");
		if (r)
			return err_wrap(err, "nf_tables: remove rules");
		sum.gone += s->gone;
		sum.left += s->left;
		sum.left_ports += s->left_ports;
	}
	*s = sum;
	return 0;
}

int rules_del(const struct rules_owner *o, const char *and_kind, bool *ret_last_port,
	      struct err *err)
{
	char tag[NFT_COMMENT + 1], other[NFT_COMMENT + 1];
	struct rules_owner same = *o;
	struct sweep s = {.goes = is_owners, .tag = tag};

	make_tag(tag, o);
	if (and_kind) {
		same.kind = and_kind;
		make_tag(other, &same);
		s.and_tag = other;
	}
	if (sweep(&s, err) < 0)
		return -1;
	if (ret_last_port)
		*ret_last_port = s.gone && !s.left_ports;
	return 0;
}

int rules_gc(const char *kind, const char *net, const struct rules_owner *valid, size_t n,
	     struct err *err)
{
	char prefix[NFT_COMMENT + 1];
	struct sweep s = {.goes = is_invalid, .tag = prefix, .valid = valid, .nvalid = n};

	snprintf(prefix, sizeof(prefix), "%s", kind);
	add_name(prefix, sizeof(prefix) - 1, net, 28);
	strcat(prefix, " ");
	return sweep(&s, err);
}

int64_t rules_count(const struct rules_owner *o, struct err *err)
{
	char tag[NFT_COMMENT + 1];
	struct sweep s = {.goes = is_owners, .tag = tag, .dry = true};

	make_tag(tag, o);
	return sweep(&s, err) < 0 ? -1 : (int64_t)s.gone;
}
