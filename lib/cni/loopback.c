/* The loopback plugin: lo up in the pod. The loader does that too; this is for others' chains. */
#include "cni/cni-int.h"

#include <linux/if.h>

static int check(int rt, struct err *err)
{
	struct rtnl_link lo;
	int r = link_get(rt, "lo", &lo, err);

	if (r < 0)
		return -1;
	if (r == 0 || !(lo.flags & IFF_UP))
		return err_set(err, ERR_STATE, "lo is not up");
	return 0;
}

static void fill(struct res *ret, const char *netns)
{
	static const char *const addrs[] = {"127.0.0.1/8", "::1/128"};
	struct res_iface *i = res_add_iface(ret, "lo");

	i->mac = "00:00:00:00:00:00";
	i->sandbox = netns;
	for (int n = 0; n < 2; n++) {
		struct res_ip *ip = res_add_ip(ret);

		ip_net_parse(addrs[n], &ip->addr);
		ip->iface = 0;
	}
}

int plugin_loopback(const struct cni_plugin_args *p, struct res *ret, struct err *err)
{
	const struct cni_call *call = p->call;
	yyjson_val *prev = json_obj(p->conf, "prevResult");
	POD_AUTO pod = {-1, -1};

	if (call->command != CNI_ADD && call->command != CNI_CHECK)
		return 0;
	if (pod_open(call->netns, &pod, err) < 0)
		return -1;
	if (call->command == CNI_CHECK)
		return check(pod.rt, err);
	if (link_loopback_up(pod.rt, err) < 0)
		return -1;
	if (prev)
		return res_parse(ret->arena, prev, ret, err);
	fill(ret, call->netns);
	return 0;
}
