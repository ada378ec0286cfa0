/* The bridge plugin: a veth pair from the pod to a bridge of the host. */
#include "cni/cni-int.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "os/fd.h"
#include "os/netlink.h"
#include "os/netns.h"
#include "os/proc.h"

/* The begin of the description (ifalias) of the host's end of a pod's pair. */
static const char alias_prefix[] = "cribox";

/*
 * The begin of the MAC addresses that we give, which is there from the first moment of a link:
 * an empty bridge with another address was not made by us and is not removed.
 */
static const uint8_t our_mac[] = {0x0a, 0x58};

struct bridge {
	const char *name;
	bool gateway, default_gateway, force_address, masq, hairpin, promisc, isolated;
	bool remove_unused; /* ours: with its last port the bridge goes */
	bool guard;	    /* ours: senders are checked */
	uint32_t mtu;
	const char *ipam; /* type; NULL: none */
	bool has_mac;
	uint8_t mac[RTNL_MAC]; /* of the pod's end */
};

/* One ADD on its way. */
struct add {
	const struct cni_plugin_args *p;
	const struct bridge *br;
	struct res *res;
	struct pod_ns pod;
	int rt; /* of the host */
	struct rtnl_link bridge, host, eth;
	bool made_veth;
};

/* --- configuration --------------------------------------------------------------------- */

static int refuse_unknown(yyjson_val *conf, struct err *err)
{
	static const char *const flags[] = {"macspoofchk", "disableContainerInterface"};

	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (json_bool(conf, flags[i], false))
			return err_set(err, ERR_INVALID,
				       "%s: the built-in bridge has no such option",
				       flags[i]);
	if (json_u64(conf, "vlan", 0) || yyjson_arr_size(json_arr(conf, "vlanTrunk")))
		return err_set(err, ERR_INVALID,
			       "vlan: the built-in bridge has no VLANs");
	return 0;
}

static int parse_mac(const struct cni_plugin_args *p, struct bridge *br, struct err *err)
{
	const char *mac = json_str(json_obj(p->conf, "runtimeConfig"), "mac");
	STR_AUTO arg = plugin_arg(p->call, "MAC");

	if (str_empty(mac))
		mac = json_str(json_obj(json_obj(p->conf, "args"), "cni"), "mac");
	if (str_empty(mac))
		mac = arg;
	if (str_empty(mac))
		return 0;
	if (rtnl_mac_parse(mac, br->mac) < 0)
		return err_set(err, ERR_INVALID, "mac \"%.32s\" is no MAC address", mac);
	br->has_mac = true;
	return 0;
}

static int parse_bridge(const struct cni_plugin_args *p, struct bridge *br,
			struct err *err)
{
	yyjson_val *c = p->conf;
	const char *name = json_str(c, "bridge");
	const char *ipam = json_str(json_obj(c, "ipam"), "type");

	*br = (struct bridge){
		.name = str_empty(name) ? "cni0" : name,
		.gateway = json_bool(c, "isGateway", false),
		.default_gateway = json_bool(c, "isDefaultGateway", false),
		.force_address = json_bool(c, "forceAddress", false),
		.masq = json_bool(c, "ipMasq", false),
		.hairpin = json_bool(c, "hairpinMode", false),
		.promisc = json_bool(c, "promiscMode", false),
		.isolated = json_bool(c, "portIsolation", false),
		.remove_unused = json_bool(c, "cribox.removeUnused", false),
		.guard = json_bool(c, "cribox.guard", false),
		.ipam = str_empty(ipam) ? NULL : ipam,
	};
	br->gateway = br->gateway || br->default_gateway;
	if (!rtnl_name_ok(br->name))
		return err_set(err, ERR_INVALID, "bridge \"%.64s\" cannot be a name",
			       br->name);
	/* ours would call themselves without end */
	if (br->ipam && cni_plugin_known(br->ipam) && !str_eq(br->ipam, "host-local"))
		return err_set(err, ERR_INVALID, "ipam: %s gives no addresses", br->ipam);
	if (br->hairpin && br->promisc)
		return err_set(err, ERR_INVALID,
			       "hairpinMode and promiscMode exclude each other");
	if (json_u64(c, "mtu", 0) > 65535)
		return err_set(err, ERR_INVALID, "mtu is more than 65535");
	br->mtu = (uint32_t)json_u64(c, "mtu", 0);
	return parse_mac(p, br, err);
}

/* --- the host's side ------------------------------------------------------------------- */

/*
 * The name of the host's end: a function of the attachment, so that DEL finds it when the
 * pod's namespace is gone.
 */
static void veth_name(char dst[RTNL_NAME], const struct cni_call *call)
{
	uint32_t sum = num_crc32c(0, call->container_id, strlen(call->container_id) + 1);

	sum = num_crc32c(sum, call->ifname, strlen(call->ifname));
	snprintf(dst, RTNL_NAME, "veth%08x", sum);
}

static void veth_alias(char *dst, size_t size, const struct cni_call *call)
{
	snprintf(dst, size, "%s %.160s %s", alias_prefix, call->container_id,
		 call->ifname);
}

/*
 * A locally administered address, a function of the IP address: one that is given out again
 * does not meet a neighbour's memory of another MAC address. Without an IP address: random.
 */
static void make_mac(uint8_t mac[RTNL_MAC], const struct ip *ip)
{
	memcpy(mac, our_mac, sizeof(our_mac));
	if (!ip)
		proc_random(mac + 2, RTNL_MAC - 2);
	else if (ip->v6)
		put_be32(mac + 2, num_crc32c(0, ip->b, sizeof(ip->b)));
	else
		memcpy(mac + 2, ip->b, 4);
}

/* Answers 1 if the bridge has the address, after removing a wrong one that is in its way. */
static int gateway_there(const struct add *a, const struct ip_net *gw, struct err *err)
{
	struct ip_net have[32];
	int n = link_addrs(a->rt, a->bridge.index, have, ARRAY_LEN(have), err);
	char text[IP_NET_TEXT], other[IP_NET_TEXT];
	BUF_AUTO req = {0};

	for (int i = 0; i < n; i++) {
		if (have[i].ip.v6 != gw->ip.v6)
			continue;
		if (ip_cmp(&have[i].ip, &gw->ip) == 0 && have[i].prefix == gw->prefix)
			return 1;
		/* a second subnet is fine, another address in this one is not */
		if (gw->ip.v6 && !ip_overlap(&have[i], gw))
			continue;
		if (!a->br->force_address)
			return err_set(err, ERR_STATE,
				       "bridge %s has the address %s, not %s",
				       a->br->name, ip_net_format(other, &have[i]),
				       ip_net_format(text, gw));
		rtnl_addr_del(&req, a->bridge.index, &have[i]);
		if (link_call(a->rt, &req, err) < 0)
			return err_wrap(err, "remove %s from %s",
					ip_net_format(other, &have[i]), a->br->name);
	}
	return n < 0 ? -1 : 0;
}

static int set_gateway(const struct add *a, const struct ip_net *gw, struct err *err)
{
	char text[IP_NET_TEXT];
	BUF_AUTO req = {0};
	int r = gateway_there(a, gw, err);

	if (r)
		return r < 0 ? -1 : 0;
	rtnl_addr_new(&req, a->bridge.index, gw);
	if (link_call(a->rt, &req, err) < 0 && err->sys != EEXIST)
		return err_wrap(err, "add %s to %s", ip_net_format(text, gw),
				a->br->name);
	return 0;
}

/* Makes the bridge. It gets a MAC address that stays: else it would change with its ports. */
static int make_bridge(struct add *a, struct err *err)
{
	const struct res *res = a->res;
	uint8_t mac[RTNL_MAC];
	BUF_AUTO req = {0};

	make_mac(mac, res->nips && res->ips[0].has_gw ? &res->ips[0].gw : NULL);
	rtnl_bridge_new(&req, a->br->name, mac, a->br->mtu);
	if (link_call(a->rt, &req, err) < 0 && err->sys != EEXIST)
		return err_wrap(err, "make bridge %s", a->br->name);
	return link_get(a->rt, a->br->name, &a->bridge, err) <= 0 ? -1 : 0;
}

/* Being up says that the rest has been done before. */
static int set_bridge_up(struct add *a, struct err *err)
{
	struct rtnl_change up = {.flags = IFF_UP, .mask = IFF_UP};
	STR_AUTO accept_ra = xasprintf("net/ipv6/conf/%s/accept_ra", a->br->name);
	BUF_AUTO req = {0};
	bool v6 = false;

	for (size_t i = 0; i < a->res->nips; i++)
		v6 = v6 || a->res->ips[i].addr.ip.v6;
	if (!v6 && link_no_ipv6(a->rt, a->bridge.index, err) < 0)
		return -1;
	/* what pods say about routes is not for this host (CVE-2020-13401) */
	if (link_sysctl(accept_ra, "0", err) < 0)
		return -1;
	if (a->br->promisc)
		up.flags = up.mask = IFF_UP | IFF_PROMISC;
	rtnl_link_set(&req, a->bridge.index, &up);
	if (link_call(a->rt, &req, err) < 0)
		return err_wrap(err, "set %s up", a->br->name);
	return 0;
}

static int ensure_bridge(struct add *a, struct err *err)
{
	int r = link_get(a->rt, a->br->name, &a->bridge, err);

	if (r < 0 || (r == 0 && make_bridge(a, err) < 0))
		return -1;
	if (!str_eq(a->bridge.kind, "bridge"))
		return err_set(err, ERR_STATE, "%s is there but is no bridge",
			       a->br->name);
	if (!(a->bridge.flags & IFF_UP) && set_bridge_up(a, err) < 0)
		return -1;
	for (size_t i = 0; a->br->gateway && i < a->res->nips; i++) {
		const struct res_ip *ip = &a->res->ips[i];

		if (set_gateway(a, &(struct ip_net){ip->gw, ip->addr.prefix}, err) < 0 ||
		    link_sysctl(ip->gw.v6 ? "net/ipv6/conf/all/forwarding"
					  : "net/ipv4/ip_forward",
				"1", err) < 0)
			return -1;
	}
	return 0;
}

static int make_veth(struct add *a, struct err *err)
{
	const struct cni_call *call = a->p->call;
	char name[RTNL_NAME], alias[RTNL_ALIAS];
	struct rtnl_link old;
	uint8_t mac[RTNL_MAC];
	struct rtnl_veth v = {.name = name,
			      .mtu = a->br->mtu ? a->br->mtu : a->bridge.mtu,
			      .peer_name = call->ifname,
			      .peer_netns = a->pod.fd,
			      .peer_mac = mac};
	struct rtnl_change port = {.master = a->bridge.index, .alias = alias};
	struct rtnl_change up = {.flags = IFF_UP, .mask = IFF_UP};
	BUF_AUTO req = {0};
	int r = link_get(a->pod.rt, call->ifname, &old, err);

	if (r)
		return r < 0 ? -1
			     : err_set(err, ERR_EXISTS, "the pod has an interface %s",
				       call->ifname);
	veth_name(name, call);
	veth_alias(alias, sizeof(alias), call);
	make_mac(mac, a->res->nips ? &a->res->ips[0].addr.ip : NULL);
	if (a->br->has_mac)
		memcpy(mac, a->br->mac, sizeof(mac));
	rtnl_veth_new(&req, &v);
	if (link_call(a->rt, &req, err) < 0)
		return err_wrap(err, "make veth %s", name);
	a->made_veth = true;
	if (link_get(a->rt, name, &a->host, err) <= 0 ||
	    link_get(a->pod.rt, call->ifname, &a->eth, err) <= 0)
		return -1;
	if (link_no_ipv6(a->rt, a->host.index, err) < 0)
		return -1;
	rtnl_link_set(&req, a->host.index, &port);
	if (a->br->hairpin || a->br->isolated)
		rtnl_port_set(&req, a->host.index, a->br->hairpin, a->br->isolated);
	rtnl_link_set(&req, a->host.index, &up);
	if (link_call(a->rt, &req, err) < 0)
		return err_wrap(err, "make %s a port of %s", name, a->br->name);
	return 0;
}

/* --- the pod's side -------------------------------------------------------------------- */

static int pod_sysctls(const struct add *a, struct err *err)
{
	STR_AUTO accept_ra = xasprintf("net/ipv6/conf/%s/accept_ra", a->eth.name);
	STR_AUTO disable = xasprintf("net/ipv6/conf/%s/disable_ipv6", a->eth.name);
	int home = netns_enter(a->pod.fd, err), r;
	struct err why;

	if (home < 0)
		return -1;
	/* routers that other pods pretend to be (CVE-2020-10749) */
	r = link_sysctl(accept_ra, "0", &why);
	for (size_t i = 0; r == 0 && i < a->res->nips; i++)
		if (a->res->ips[i].addr.ip.v6)
			r = link_sysctl(disable, "0", &why);
	if (netns_leave(home, err) < 0)
		return -1;
	if (r < 0)
		*err = why;
	return r;
}

static int add_route(const struct add *a, const struct res_route *route, struct err *err)
{
	const struct ip *gw = route->has_gw ? &route->gw : NULL;
	struct rtnl_route r = {.index = a->eth.index,
			       .dst = route->dst,
			       .metric = (uint32_t)route->priority,
			       .mtu = (uint32_t)route->mtu,
			       .table = (uint32_t)route->table};
	char text[IP_NET_TEXT];
	BUF_AUTO req = {0};

	for (size_t i = 0; !gw && i < a->res->nips; i++)
		if (a->res->ips[i].addr.ip.v6 == route->dst.ip.v6 &&
		    a->res->ips[i].has_gw)
			gw = &a->res->ips[i].gw;
	r.gw = gw;
	rtnl_route_new(&req, &r);
	if (link_call(a->pod.rt, &req, err) < 0 && err->sys != EEXIST)
		return err_wrap(err, "add route to %s in the pod",
				ip_net_format(text, &route->dst));
	return 0;
}

static int set_up_pod(const struct add *a, struct err *err)
{
	struct rtnl_change up = {.flags = IFF_UP, .mask = IFF_UP};
	char text[IP_NET_TEXT];
	BUF_AUTO req = {0};

	if (pod_sysctls(a, err) < 0)
		return err_wrap(err, "settings of the pod's interface");
	for (size_t i = 0; i < a->res->nips; i++) {
		rtnl_addr_new(&req, a->eth.index, &a->res->ips[i].addr);
		if (link_call(a->pod.rt, &req, err) < 0)
			return err_wrap(err, "add %s to the pod",
					ip_net_format(text, &a->res->ips[i].addr));
	}
	rtnl_link_set(&req, a->eth.index, &up);
	if (link_call(a->pod.rt, &req, err) < 0)
		return err_wrap(err, "set the pod's interface up");
	for (size_t i = 0; i < a->res->nroutes; i++)
		if (add_route(a, &a->res->routes[i], err) < 0)
			return -1;
	return 0;
}

/* --- ADD ------------------------------------------------------------------------------- */

/* Runs another plugin's ADD, CHECK or DEL for the addresses. */
static int ipam(const struct add *a, enum cni_command command, struct err *err)
{
	struct cni_call call = *a->p->call;
	BUF_AUTO out = {0};
	JSON_AUTO doc = NULL;

	if (!a->br->ipam)
		return 0;
	call.command = command;
	if (cni_invoke(&call, a->br->ipam, a->p->text, a->p->text_len, &out, err) < 0)
		return err_wrap(err, "addresses");
	if (command != CNI_ADD)
		return 0;
	doc = json_parse(out.data, out.len, err);
	if (!doc || res_parse(a->res->arena, yyjson_doc_get_root(doc), a->res, err) < 0)
		return err_wrap(err, "addresses from %s", a->br->ipam);
	if (!a->res->nips)
		return err_set(err, ERR_INVALID, "%s gave no address", a->br->ipam);
	return 0;
}

/* Fills in what the addresses' plugin has left out. */
static void complete(const struct add *a)
{
	struct res *res = a->res;

	for (size_t i = 0; i < res->nips; i++) {
		struct res_ip *ip = &res->ips[i];
		struct res_route *route;

		ip->iface = 2;
		if (!ip->has_gw && a->br->gateway) {
			ip->gw = ip_first(&ip->addr);
			ip->has_gw = ip_inc(&ip->gw);
		}
		if (!a->br->default_gateway || !ip->has_gw)
			continue;
		route = res_add_route(res);
		route->dst.ip.v6 = ip->addr.ip.v6;
		route->has_gw = true;
		route->gw = ip->gw;
	}
}

static void add_iface(const struct add *a, const struct rtnl_link *l, const char *sandbox)
{
	struct res_iface *i = res_add_iface(a->res, l->name);
	char mac[RTNL_MAC_TEXT];

	i->mac = arena_strdup(a->res->arena, rtnl_mac_format(mac, l->mac));
	i->mtu = l->mtu;
	i->sandbox = sandbox;
}

static int connect_pod(struct add *a, struct err *err)
{
	const struct cni_call *call = a->p->call;
	struct rules_owner masq = {"masq", a->p->net, call->container_id, call->ifname};
	struct rules_owner guard = masq;

	guard.kind = "guard";
	if (ensure_bridge(a, err) < 0 || make_veth(a, err) < 0)
		return -1;
	/* before the pod's end is up */
	if (a->br->guard && rules_add_guard(&guard, a->host.name, a->eth.mac, a->res->ips,
					    a->res->nips, err) < 0)
		return -1;
	if (set_up_pod(a, err) < 0)
		return -1;
	if (a->br->masq && rules_add_masq(&masq, a->res->ips, a->res->nips, err) < 0)
		return -1;
	add_iface(a, &a->bridge, NULL);
	add_iface(a, &a->host, NULL);
	add_iface(a, &a->eth, call->netns);
	return 0;
}

/* Our own bridge goes with its last port. */
static int remove_unused(int rt, const struct bridge *br, struct err *err)
{
	struct rtnl_link bridge;
	int r = br->remove_unused ? link_get(rt, br->name, &bridge, err) : 0;

	if (r <= 0)
		return r;
	if (!str_eq(bridge.kind, "bridge") || !bridge.has_mac ||
	    memcmp(bridge.mac, our_mac, sizeof(our_mac)) != 0)
		return 0;
	r = link_ports(rt, bridge.index, err);
	if (r == 0 && link_del(rt, bridge.index, err) < 0)
		return err_wrap(err, "remove bridge %s", br->name);
	return r < 0 ? -1 : 0;
}

static int remove_rules(const struct cni_plugin_args *p, const struct bridge *br,
			struct err *err)
{
	const struct cni_call *call = p->call;
	const struct rules_owner o = {"masq", p->net, call->container_id, call->ifname};

	if (!br->masq && !br->guard)
		return 0;
	return rules_del(&o, "guard", NULL, err);
}

/* What connect_pod has done before it failed. */
static void undo_connect(struct add *a)
{
	struct err ignored;

	if (a->made_veth) {
		link_del(a->rt, a->host.index, &ignored);
		remove_rules(a->p, a->br, &ignored);
	}
	remove_unused(a->rt, a->br, &ignored);
}

static int add(const struct cni_plugin_args *p, const struct bridge *br, struct res *ret,
	       struct err *err)
{
	struct add a = {
		.p = p, .br = br, .res = ret, .pod = {.fd = -1, .rt = -1}, .rt = -1};
	FD_AUTO lock = -1;
	struct err undo;
	int r = -1;

	if (refuse_unknown(p->conf, err) < 0 || pod_open(p->call->netns, &a.pod, err) < 0)
		return -1;
	a.rt = netlink_open(NETLINK_ROUTE, err);
	if (a.rt >= 0 && ipam(&a, CNI_ADD, err) == 0) {
		complete(&a);
		lock = netns_lock(err);
		r = lock < 0 ? -1 : connect_pod(&a, err);
		if (r < 0 && lock >= 0)
			undo_connect(&a);
		fd_close(&lock);
		if (r < 0)
			ipam(&a, CNI_DEL, &undo);
	}
	pod_close(&a.pod);
	fd_close(&a.rt);
	return r;
}

/* --- DEL, CHECK, GC, STATUS ------------------------------------------------------------ */

/* Removes the pair by its end in the host, which needs no namespace of the pod. */
static int remove_host_end(int rt, const struct cni_call *call, struct err *err)
{
	char name[RTNL_NAME], alias[RTNL_ALIAS];
	struct rtnl_link l;
	int r;

	veth_name(name, call);
	veth_alias(alias, sizeof(alias), call);
	r = link_get(rt, name, &l, err);
	/* without an alias: killed before it was given one */
	if (r <= 0 || !str_eq(l.kind, "veth") || (*l.alias && !str_eq(l.alias, alias)))
		return r < 0 ? -1 : 0;
	return link_del(rt, l.index, err);
}

/* Removes the pod's interface, whoever made it: some other bridge plugin before us. */
static int remove_pod_end(const struct cni_call *call, struct err *err)
{
	POD_AUTO pod = {-1, -1};
	struct rtnl_link l;
	int r;

	if (!*call->netns)
		return 0;
	if (pod_open(call->netns, &pod, err) < 0)
		return err->sys == ENOENT ? 0 : -1;
	r = link_get(pod.rt, call->ifname, &l, err);
	if (r <= 0 || !str_eq(l.kind, "veth"))
		return r < 0 ? -1 : 0;
	return link_del(pod.rt, l.index, err);
}

static int disconnect(const struct cni_plugin_args *p, const struct bridge *br,
		      struct err *err)
{
	const struct cni_call *call = p->call;
	FD_AUTO rt = netlink_open(NETLINK_ROUTE, err);
	FD_AUTO lock = -1;

	if (rt < 0)
		return -1;
	lock = netns_lock(err);
	if (lock < 0 || remove_host_end(rt, call, err) < 0 ||
	    remove_pod_end(call, err) < 0)
		return err_wrap(err, "remove the pod's interface");
	if (remove_rules(p, br, err) < 0)
		return -1;
	return remove_unused(rt, br, err);
}

static int check(const struct cni_plugin_args *p, const struct res *prev, struct err *err)
{
	const struct cni_call *call = p->call;
	POD_AUTO pod = {-1, -1};
	struct ip_net have[32];
	struct rtnl_link eth;
	char text[IP_NET_TEXT];
	int r, n;

	if (pod_open(call->netns, &pod, err) < 0)
		return -1;
	r = link_get(pod.rt, call->ifname, &eth, err);
	if (r == 0)
		return err_set(err, ERR_STATE, "the pod has no interface %s",
			       call->ifname);
	if (r < 0)
		return -1;
	n = link_addrs(pod.rt, eth.index, have, ARRAY_LEN(have), err);
	for (size_t i = 0; n >= 0 && i < prev->nips; i++) {
		int k = 0;

		while (k < n && ip_cmp(&have[k].ip, &prev->ips[i].addr.ip) != 0)
			k++;
		if (k == n)
			return err_set(err, ERR_STATE, "%s of the pod has lost %s",
				       call->ifname,
				       ip_net_format(text, &prev->ips[i].addr));
	}
	return n < 0 ? -1 : 0;
}

static int gc(const struct cni_plugin_args *p, const struct bridge *br, struct err *err)
{
	ARENA_AUTO a = {0};
	struct rules_owner *valid;
	size_t n = plugin_valid(p, &a, "masq", &valid);

	if (br->masq && rules_gc("masq", p->net, valid, n, err) < 0)
		return -1;
	n = plugin_valid(p, &a, "guard", &valid);
	return br->guard ? rules_gc("guard", p->net, valid, n, err) : 0;
}

int plugin_bridge(const struct cni_plugin_args *p, struct res *ret, struct err *err)
{
	enum cni_command command = p->call->command;
	yyjson_val *prev = json_obj(p->conf, "prevResult");
	struct add a = {.p = p, .br = NULL, .res = ret};
	struct bridge br;
	int r = 0;

	if (parse_bridge(p, &br, err) < 0)
		return -1;
	a.br = &br;
	if (command == CNI_ADD)
		return add(p, &br, ret, err);
	/* the address is free only when the interface that has it is gone */
	if (command == CNI_DEL)
		r = disconnect(p, &br, err);
	else if (command == CNI_GC)
		r = gc(p, &br, err);
	else if (command == CNI_CHECK)
		r = res_parse(ret->arena, prev, ret, err) < 0 ? -1 : check(p, ret, err);
	return r < 0 ? -1 : ipam(&a, command, err);
}
