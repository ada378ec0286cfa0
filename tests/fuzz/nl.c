/* SPDX-License-Identifier: Apache-2.0 */
/* What comes out of a netlink socket: links, addresses, routes, rules. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/ctnl.h"
#include "wire/genl.h"
#include "wire/nft.h"
#include "wire/nl.h"
#include "wire/rtnl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const void *p, size_t n)
{
	static volatile uint8_t sink;

	for (size_t i = 0; i < n; i++)
		sink = ((const uint8_t *)p)[i];
	(void)sink;
}

static void parse(const struct nl_msg *m)
{
	struct rtnl_link link;
	struct rtnl_addr addr;
	struct nft_rule_info rule;
	struct ctnl_flow flow;
	struct ip_net dst;
	uint32_t n;
	char text[IP_NET_TEXT];

	if (rtnl_link_parse(m, &link)) {
		use(link.name, strlen(link.name));
		use(link.alias, strlen(link.alias));
	}
	if (rtnl_addr_parse(m, &addr))
		use(text, strlen(ip_net_format(text, &addr.addr)));
	if (rtnl_route_parse(m, &dst, &n))
		use(text, strlen(ip_net_format(text, &dst)));
	if (rtnl_route_got(m, &n))
		use(&n, sizeof(n));
	if (ctnl_parse(m, &flow))
		use(flow.tuple.data, flow.tuple.len);
	if (nft_gen_parse(m, &n))
		use(&n, sizeof(n));
	if (nft_rule_parse(m, &rule)) {
		use(rule.table, strlen(rule.table));
		use(rule.chain, strlen(rule.chain));
		use(rule.comment, strlen(rule.comment));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct nl_view v = {data, size};
	struct nl_msg m;

	genl_family_group(data, size);
	while (nl_next(&v, &m)) {
		if (m.body.len > size || v.len > size)
			abort();
		parse(&m);
	}
	return 0;
}
