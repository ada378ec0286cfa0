/* The portmap plugin: ports of the host that lead to a pod (capability portMappings). */
#include "cni/cni-int.h"

#include <netinet/in.h>
#include <string.h>

#include "base/str.h"
#include "os/fd.h"
#include "os/netlink.h"
#include "wire/ctnl.h"

#include <linux/netlink.h>

struct mappings {
	struct rules_port *ports;
	size_t n;
};

static int parse_proto(const char *s, uint8_t *ret, struct err *err)
{
	static const struct {
		const char *name;
		uint8_t number;
	} known[] = {{"tcp", IPPROTO_TCP}, {"udp", IPPROTO_UDP}, {"sctp", IPPROTO_SCTP}};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (strcasecmp(s, known[i].name) == 0) {
			*ret = known[i].number;
			return 0;
		}
	}
	return err_set(err, ERR_INVALID,
		       "port mapping: protocol \"%.32s\" is not tcp, udp or sctp", s);
}

static int parse_port(yyjson_val *v, const char *key, uint16_t *ret, struct err *err)
{
	uint64_t port = plugin_u64(v, key);

	if (port < 1 || port > UINT16_MAX)
		return err_set(err, ERR_INVALID, "port mapping: %s is not 1 to 65535",
			       key);
	*ret = (uint16_t)port;
	return 0;
}

static bool is_any(const struct ip *ip)
{
	static const struct ip zero;

	return memcmp(ip->b, zero.b, sizeof(zero.b)) == 0;
}

static int parse_mapping(yyjson_val *v, struct rules_port *ret, struct err *err)
{
	const char *proto = plugin_str(v, "protocol"), *host = plugin_str(v, "hostIP");
	struct rules_port p = {0};

	if (parse_proto(str_empty(proto) ? "tcp" : proto, &p.proto, err) < 0 ||
	    parse_port(v, "hostPort", &p.host_port, err) < 0 ||
	    parse_port(v, "containerPort", &p.pod_port, err) < 0)
		return -1;
	if (!str_empty(host)) {
		if (ip_parse(host, &p.host_ip) < 0)
			return err_set(err, ERR_INVALID,
				       "port mapping: hostIP \"%.64s\" is no IP address",
				       host);
		p.has_host_ip = true;
		/* "any", but of one family: 0.0.0.0 does not mean IPv6 */
		p.any_host_ip = is_any(&p.host_ip);
	}
	*ret = p;
	return 0;
}

static int parse_mappings(const struct cni_plugin_args *p, struct arena *a,
			  struct mappings *ret, struct err *err)
{
	yyjson_val *list = json_arr(json_obj(p->conf, "runtimeConfig"), "portMappings");
	yyjson_val *v;

	if (yyjson_arr_size(list) > CNI_LIST_MAX)
		return err_set(err, ERR_EXHAUSTED, "more than %d port mappings",
			       CNI_LIST_MAX);
	ret->n = 0;
	ret->ports = arena_array(a, yyjson_arr_size(list), sizeof(*ret->ports));
	json_each (v, list) {
		/* a mapping without a host port asks for nothing */
		if (plugin_get(v, "hostPort") && plugin_u64(v, "hostPort") == 0)
			continue;
		if (parse_mapping(v, &ret->ports[ret->n++], err) < 0)
			return -1;
	}
	return 0;
}

/* The pod's first address of a family, or NULL. */
static const struct ip_net *pod_address(const struct res *prev, bool v6)
{
	for (size_t i = 0; i < prev->nips; i++) {
		const struct res_ip *ip = &prev->ips[i];

		if (ip->addr.ip.v6 == v6 &&
		    (ip->iface < 0 || prev->ifaces[ip->iface].sandbox))
			return &ip->addr;
	}
	return NULL;
}

/* route_localnet of the link that leads to the pod: 127.0.0.1 of the host is to be routed. */
static int set_localnet(const struct ip *pod, bool on, struct err *err)
{
	FD_AUTO rt = netlink_open(NETLINK_ROUTE, err);
	struct rtnl_change change = {.route_localnet = on ? 1 : -1};
	BUF_AUTO req = {0};
	uint32_t index = 0;
	int found;

	if (rt < 0)
		return -1;
	found = link_route_to(rt, pod, &index, err);
	if (found <= 0)
		return found;
	rtnl_link_set(&req, index, &change);
	return link_call(rt, &req, err) < 0 ? err_wrap(err, "route_localnet") : 0;
}

static void forget_port(int nf, bool v6, const struct rules_port *p)
{
	BUF_AUTO req = {0}, reply = {0};
	struct ctnl_flow flow;
	struct err ignored;
	struct nl_view v;
	struct nl_msg m;

	ctnl_dump(&req, v6, p->proto, p->host_port);
	if (netlink_call(nf, req.data, req.len, &reply, &ignored) < 0)
		return;
	v = (struct nl_view){reply.data, reply.len};
	while (nl_next(&v, &m)) {
		if (!ctnl_parse(&m, &flow) || flow.proto != p->proto ||
		    flow.port != p->host_port)
			continue;
		buf_reset(&req);
		ctnl_delete(&req, v6, &flow);
		netlink_call(nf, req.data, req.len, NULL, &ignored);
	}
}

/*
 * UDP has no connections that end: clients that go on sending would reach the pod that had
 * the port before, or nobody, until the kernel forgets. Without connection tracking there is
 * nothing to forget.
 */
static void forget_udp(const struct mappings *m, bool v6)
{
	struct err ignored;
	FD_AUTO nf = -1;

	for (size_t i = 0; i < m->n; i++) {
		if (m->ports[i].proto != IPPROTO_UDP)
			continue;
		if (nf < 0)
			nf = netlink_open(NETLINK_NETFILTER, &ignored);
		if (nf < 0)
			return;
		forget_port(nf, v6, &m->ports[i]);
	}
}

static int add_family(const struct cni_plugin_args *p, const struct res *prev,
		      const struct mappings *m, bool v6, struct err *err)
{
	const struct rules_owner owner = {"port", p->net, p->call->container_id,
					  p->call->ifname};
	const struct ip_net *pod = pod_address(prev, v6);
	bool snat = json_bool(p->conf, "snat", true);

	if (!pod)
		return 0;
	/* rules first: while route_localnet is on, they keep 127.0.0.0/8 to ourselves */
	if (rules_add_ports(&owner, pod, m->ports, m->n, snat,
			    json_bool(p->conf, "masqAll", false), err) < 0)
		return -1;
	forget_udp(m, v6);
	return v6 || !snat ? 0 : set_localnet(&pod->ip, true, err);
}

static int del(const struct cni_plugin_args *p, const struct res *prev, struct err *err)
{
	const struct rules_owner owner = {"port", p->net, p->call->container_id,
					  p->call->ifname};
	const struct ip_net *pod = pod_address(prev, false);
	struct err ignored;
	bool last = false;

	if (rules_del(&owner, NULL, &last, err) < 0)
		return -1;
	/* without ports there may be no table, whose rule guards what this opens */
	if (pod && last)
		set_localnet(&pod->ip, false, &ignored);
	return 0;
}

static int check(const struct cni_plugin_args *p, const struct mappings *m,
		 struct err *err)
{
	const struct rules_owner owner = {"port", p->net, p->call->container_id,
					  p->call->ifname};
	int64_t n = rules_count(&owner, err);

	if (n < 0)
		return -1;
	if ((uint64_t)n < m->n)
		return err_set(err, ERR_STATE, "rules for %zu port mappings are missing",
			       m->n);
	return 0;
}

static int gc(const struct cni_plugin_args *p, struct err *err)
{
	ARENA_AUTO a = {0};
	struct rules_owner *valid;
	size_t n = plugin_valid(p, &a, "port", &valid);

	return rules_gc("port", p->net, valid, n, err);
}

/* Options of the original that act through iptables. */
static int refuse_unknown(yyjson_val *conf, struct err *err)
{
	static const char *const lists[] = {"conditionsV4", "conditionsV6"};

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		if (yyjson_arr_size(json_arr(conf, lists[i])))
			return err_set(err, ERR_INVALID,
				       "%s: the built-in portmap has no such option",
				       lists[i]);
	return 0;
}

int plugin_portmap(const struct cni_plugin_args *p, struct res *ret, struct err *err)
{
	yyjson_val *prev = json_obj(p->conf, "prevResult");
	enum cni_command command = p->call->command;
	struct mappings m = {0};

	if (command == CNI_STATUS)
		return 0;
	if (command == CNI_GC)
		return gc(p, err);
	if (res_parse(ret->arena, prev, ret, err) < 0)
		return err_wrap(err, "prevResult");
	if (command == CNI_DEL)
		return del(p, ret, err);
	if (refuse_unknown(p->conf, err) < 0 ||
	    parse_mappings(p, ret->arena, &m, err) < 0)
		return -1;
	if (command == CNI_CHECK)
		return check(p, &m, err);
	if (!prev)
		return err_set(err, ERR_INVALID,
			       "portmap needs a plugin before it in the list");
	if (!m.n)
		return 0;
	if (add_family(p, ret, &m, false, err) < 0)
		return -1;
	return add_family(p, ret, &m, true, err);
}
