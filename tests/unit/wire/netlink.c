/* nl, rtnl and nft: what is built is well-formed, and replies are read as far as they go. */
#include "unit.h"

#include <linux/genetlink.h>
#include <linux/if_link.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "base/num.h"
#include "wire/ctnl.h"
#include "wire/genl.h"
#include "wire/nft.h"
#include "wire/nl.h"
#include "wire/rtnl.h"

static struct nl_view view(const struct buf *b)
{
	return (struct nl_view){b->data, b->len};
}

/* Every attribute ends where its container ends; padding is zero. */
static void check_attrs(struct nl_view v, int depth)
{
	while (v.len) {
		struct nlattr a;

		CHECK(v.len >= sizeof(a));
		memcpy(&a, v.data, sizeof(a));
		CHECK(a.nla_len >= sizeof(a) && a.nla_len <= v.len);
		if (a.nla_type & NLA_F_NESTED)
			check_attrs((struct nl_view){v.data + sizeof(a),
						     a.nla_len - sizeof(a)},
				    depth + 1);
		CHECK(depth < 12);
		for (size_t i = a.nla_len; i < (a.nla_len + 3u) / 4 * 4; i++)
			CHECK_INT(v.data[i], 0);
		v.data += (a.nla_len + 3u) / 4 * 4;
		v.len -= (a.nla_len + 3u) / 4 * 4;
	}
}

static unsigned check_messages(const struct buf *b, size_t fixed)
{
	struct nl_view v = view(b);
	struct nl_msg m;
	unsigned n = 0;

	while (v.len) {
		uint32_t place = (uint32_t)(v.data - b->data);

		CHECK(nl_next(&v, &m));
		CHECK_INT(m.seq, place + 1);
		CHECK(nl_take(&m.body, fixed));
		check_attrs(m.body, 0);
		n++;
	}
	return n;
}

TEST(attributes_round_trip)
{
	BUF_AUTO b = {0};
	struct nl_view v, table[8];
	struct nl_msg m;
	size_t at = nl_begin(&b, 77, NLM_F_REQUEST), nest;

	nl_put(&b, "abcde", 5);
	nl_attr_str(&b, 1, "name");
	nl_attr_u32(&b, 2, 0x01020304);
	nl_attr_be32(&b, 3, 0x01020304);
	nl_attr_be64(&b, 4, UINT64_C(0x0102030405060708));
	nest = nl_nest(&b, 5);
	nl_attr_u8(&b, 1, 9);
	nl_nest_end(&b, nest);
	nl_attr(&b, 6, NULL, 0);
	nl_attr_u32(&b, 100, 1); /* beyond the table */
	nl_end(&b, at);

	v = view(&b);
	CHECK(nl_next(&v, &m));
	CHECK_INT(v.len, 0);
	CHECK_INT(m.type, 77);
	CHECK_MEM(nl_take(&m.body, 5), "abcde\0\0\0", 8);
	nl_attrs(m.body, table, 8);
	CHECK_STR(nl_str(table[1]), "name");
	CHECK_INT(nl_u32(table[2]), 0x01020304);
	CHECK_MEM(table[3].data, "\1\2\3\4", 4);
	CHECK(nl_be64(table[4]) == UINT64_C(0x0102030405060708));
	nl_attrs(table[5], table, 8);
	CHECK_INT(nl_u8(table[1]), 9);
	CHECK(!table[7].data);
	CHECK_STR(nl_str(table[7]), "");
	CHECK_INT(nl_u32(table[1]), 0); /* too short for that */
}

TEST(string_without_its_nul_is_empty)
{
	CHECK_STR(nl_str((struct nl_view){(const uint8_t *)"abc", 3}), "");
	CHECK_STR(nl_str((struct nl_view){(const uint8_t *)"abc", 4}), "abc");
}

TEST(damaged_lengths_end_the_walk)
{
	BUF_AUTO b = {0};
	size_t at = nl_begin(&b, 20, 0);
	struct nl_view v, a;
	struct nl_msg m;
	uint16_t type;

	nl_attr_u32(&b, 1, 1);
	nl_end(&b, at);
	for (uint32_t len = 0; len < 64; len++) {
		memcpy(b.data, &len, sizeof(len));
		v = view(&b);
		if (nl_next(&v, &m)) {
			CHECK(len >= 16 && len <= b.len);
			CHECK_INT(m.body.len, len - 16);
		} else {
			CHECK(len < 16 || len > b.len);
		}
	}
	v = (struct nl_view){b.data + 16, 8};
	for (uint16_t len = 0; len < 32; len++) {
		struct nl_view w = v;

		memcpy(b.data + 16, &len, sizeof(len));
		CHECK_INT(nl_attr_next(&w, &type, &a), len >= 4 && len <= 8);
	}
}

TEST(link_requests)
{
	static const uint8_t mac[RTNL_MAC] = {2, 1, 2, 3, 4, 5};
	const struct rtnl_veth veth = {.name = "veth0",
				       .mtu = 1400,
				       .peer_name = "eth0",
				       .peer_netns = 5,
				       .peer_mac = mac};
	const struct rtnl_change all = {.flags = 1,
					.mask = 1,
					.master = 3,
					.alias = "cribox x",
					.no_ipv6 = true,
					.route_localnet = -1};
	BUF_AUTO b = {0};
	struct rtnl_link link;
	struct nl_view v;
	struct nl_msg m;

	rtnl_link_get(&b, "eth0");
	rtnl_links_dump(&b, 3);
	rtnl_bridge_new(&b, "br0", mac, 0);
	rtnl_link_set(&b, 3, &all);
	rtnl_port_set(&b, 4, true, false);
	rtnl_link_del(&b, 9);
	CHECK_INT(check_messages(&b, sizeof(struct ifinfomsg)), 6);

	/* a request to make a link reads like the answer about it */
	buf_reset(&b);
	rtnl_bridge_new(&b, "br0", mac, 1400);
	v = view(&b);
	CHECK(nl_next(&v, &m) && rtnl_link_parse(&m, &link));
	CHECK_STR(link.name, "br0");
	CHECK_STR(link.kind, "bridge");
	CHECK_INT(link.mtu, 1400);
	CHECK(link.has_mac);
	CHECK_MEM(link.mac, mac, RTNL_MAC);
	buf_reset(&b);
	rtnl_veth_new(&b, &veth);
	v = view(&b);
	CHECK(nl_next(&v, &m) && rtnl_link_parse(&m, &link));
	CHECK_STR(link.name, "veth0");
	CHECK_STR(link.kind, "veth");
	m.type = RTM_DELLINK;
	CHECK(!rtnl_link_parse(&m, &link));
}

TEST(address_and_route_requests)
{
	struct ip_net net;
	struct ip gw;
	struct rtnl_route route = {.index = 3, .metric = 5, .mtu = 1400, .table = 1000};
	struct rtnl_addr addr;
	BUF_AUTO b = {0};
	struct nl_view v;
	struct nl_msg m;
	uint32_t index;
	char text[IP_NET_TEXT];

	CHECK(ip_net_parse("10.1.2.3/16", &net) == 0 && ip_parse("10.1.0.1", &gw) == 0);
	rtnl_addr_new(&b, 7, &net);
	CHECK_INT(check_messages(&b, sizeof(struct ifaddrmsg)), 1);
	v = view(&b);
	CHECK(nl_next(&v, &m) && rtnl_addr_parse(&m, &addr));
	CHECK_INT(addr.index, 7);
	CHECK_STR(ip_net_format(text, &addr.addr), "10.1.2.3/16");

	buf_reset(&b);
	route.dst = net;
	route.gw = &gw;
	rtnl_route_new(&b, &route);
	rtnl_routes_dump(&b, true);
	rtnl_route_get(&b, &gw);
	CHECK_INT(check_messages(&b, sizeof(struct rtmsg)), 3);
	buf_reset(&b);
	route.table = 0;
	rtnl_route_new(&b, &route);
	v = view(&b);
	CHECK(nl_next(&v, &m) && rtnl_route_parse(&m, &net, &index));
	CHECK_STR(ip_net_format(text, &net), "10.1.0.0/16");
	CHECK_INT(index, 3);
}

TEST(names_and_macs)
{
	static const char *const bad[] = {
		"", ".", "..", "a/b", "a b", "a:b", "0123456789abcdef"};
	static const char *const bad_macs[] = {"",
					       "02:00:00:00:00",
					       "02:00:00:00:00:0",
					       "02:00:00:00:00:00:00",
					       "0g:00:00:00:00:00",
					       "020000000000"};
	uint8_t mac[RTNL_MAC];
	char text[RTNL_MAC_TEXT];

	CHECK(rtnl_name_ok("eth0") && rtnl_name_ok("0123456789abcde"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		CHECK(!rtnl_name_ok(bad[i]));
	CHECK(rtnl_mac_parse("0A:58:0a:f4:00:ff", mac) == 0);
	CHECK_STR(rtnl_mac_format(text, mac), "0a:58:0a:f4:00:ff");
	for (size_t i = 0; i < sizeof(bad_macs) / sizeof(*bad_macs); i++)
		CHECK(rtnl_mac_parse(bad_macs[i], mac) < 0);
}

TEST(nft_batch)
{
	const struct nft_chain chain = {.family = NFT_IP,
					.table = "t",
					.name = "c",
					.type = "nat",
					.hook = 0,
					.priority = -100};
	struct nft_rule_info info;
	struct nft_rule r;
	struct ip_net net;
	struct ip ip;
	BUF_AUTO b = {0};
	struct nl_view v;
	struct nl_msg m;
	unsigned rules = 0;

	CHECK(ip_net_parse("10.0.0.0/9", &net) == 0 && ip_parse("10.0.0.7", &ip) == 0);
	nft_batch_begin(&b, 7);
	nft_table_add(&b, NFT_IP, "t");
	nft_chain_add(&b, &chain);
	nft_vmap_add(&b, NFT_IP, "t", "m");
	nft_vmap_put(&b, NFT_IP, "t", "m", "veth0", "c");
	nft_vmap_del(&b, NFT_IP, "t", "m", "veth0");
	nft_rule_begin(&b, &r, NFT_IP, "t", "c", "port net id eth0");
	nft_match_iifname(&b, true, "lo");
	nft_match_net(&b, true, false, &net);
	nft_match_local(&b);
	nft_match_l4proto(&b, 6);
	nft_match_dport(&b, 80);
	nft_match_dnat(&b);
	nft_match_orig_dport(&b, 80);
	nft_match_ethertype(&b, 0x806);
	nft_match_bytes(&b, NFT_LINK, 6, true, "abcdef", 6);
	nft_jump_iifname(&b, "m");
	nft_jump(&b, "d");
	nft_return(&b);
	nft_drop(&b);
	nft_dnat(&b, &ip, 80);
	nft_masquerade(&b);
	nft_rule_end(&b, &r);
	nft_rule_del(&b, NFT_IP, "t", "c", 5);
	nft_chain_flush(&b, NFT_IP, "t", "c");
	nft_chain_del(&b, NFT_IP, "t", "c");
	nft_table_del(&b, NFT_IP, "t");
	nft_batch_end(&b);
	CHECK_INT(check_messages(&b, sizeof(struct nfgenmsg)), 12);

	/* a rule that is added reads like one that is listed, but for its handle */
	v = view(&b);
	while (nl_next(&v, &m)) {
		if (!nft_rule_parse(&m, &info))
			continue;
		rules++;
		CHECK_INT(info.family, NFT_IP);
		CHECK_STR(info.table, "t");
		CHECK_STR(info.chain, "c");
		CHECK_STR(info.comment, "port net id eth0");
		CHECK_INT(info.handle, 0);
	}
	CHECK_INT(rules, 1);
}

TEST(connection_requests)
{
	BUF_AUTO b = {0}, again = {0};
	struct ctnl_flow flow;
	struct nl_view v;
	struct nl_msg m;

	ctnl_dump(&b, false, 17, 5353);
	CHECK_INT(check_messages(&b, sizeof(struct nfgenmsg)), 1);
	/* what it is asked for by is what comes back */
	v = view(&b);
	CHECK(nl_next(&v, &m));
	CHECK(!ctnl_parse(&m, &flow));
	m.type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW;
	CHECK(ctnl_parse(&m, &flow));
	CHECK_INT(flow.proto, 17);
	CHECK_INT(flow.port, 5353);
	ctnl_delete(&again, false, &flow);
	CHECK_INT(check_messages(&again, sizeof(struct nfgenmsg)), 1);
	v = view(&again);
	CHECK(nl_next(&v, &m));
	m.type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW;
	CHECK(ctnl_parse(&m, &flow));
	CHECK_INT(flow.port, 5353);
}

/* The answer about a family, as the kernel puts it together; and every shorter one. */
TEST(genl_groups)
{
	const struct genlmsghdr head = {.cmd = CTRL_CMD_NEWFAMILY, .version = 2};
	BUF_AUTO b = {0};
	size_t message, groups, one;
	struct nl_view v;
	struct nl_msg m;

	genl_family_get(&b, "acpi_event");
	v = view(&b);
	CHECK(nl_next(&v, &m));
	CHECK_INT(m.type, GENL_ID_CTRL);
	CHECK(nl_take(&m.body, sizeof(head)));
	check_attrs(m.body, 0);
	buf_reset(&b);
	message = nl_begin(&b, GENL_ID_CTRL, 0);
	nl_put(&b, &head, sizeof(head));
	nl_attr_str(&b, CTRL_ATTR_FAMILY_NAME, "acpi_event");
	nl_attr_u16(&b, CTRL_ATTR_FAMILY_ID, 22);
	groups = nl_nest(&b, CTRL_ATTR_MCAST_GROUPS);
	one = nl_nest(&b, 1);
	nl_attr_u32(&b, CTRL_ATTR_MCAST_GRP_ID, 7);
	nl_attr_str(&b, CTRL_ATTR_MCAST_GRP_NAME, "acpi_mc_group");
	nl_nest_end(&b, one);
	nl_nest_end(&b, groups);
	nl_end(&b, message);
	CHECK_INT(genl_family_group(b.data, b.len), 7);
	for (size_t n = 0; n < b.len; n++)
		CHECK_INT(genl_family_group(b.data, n), 0);
	buf_reset(&b);
	message = nl_begin(&b, GENL_ID_CTRL, 0);
	nl_put(&b, &head, sizeof(head));
	nl_attr_str(&b, CTRL_ATTR_FAMILY_NAME, "no groups");
	nl_end(&b, message);
	CHECK_INT(genl_family_group(b.data, b.len), 0);
}

TEST(nft_long_comment_is_cut)
{
	char comment[300];
	struct nft_rule_info info;
	struct nft_rule r;
	BUF_AUTO b = {0};
	struct nl_view v;
	struct nl_msg m;

	memset(comment, 'x', sizeof(comment) - 1);
	comment[sizeof(comment) - 1] = 0;
	nft_rule_begin(&b, &r, NFT_IP, "t", "c", comment);
	nft_rule_end(&b, &r);
	v = view(&b);
	CHECK(nl_next(&v, &m) && nft_rule_parse(&m, &info));
	CHECK_INT(strlen(info.comment), NFT_COMMENT);
}

TEST(nft_foreign_user_data)
{
	/* type 7 first, then a comment whose NUL is missing */
	static const uint8_t udata[] = {7, 2, 1, 2, 0, 3, 'a', 'b', 'c'};
	static const uint8_t cut[] = {0, 9, 'a'};
	struct nft_rule_info info;
	struct nfgenmsg gen = {.nfgen_family = NFT_IP};
	BUF_AUTO b = {0};
	struct nl_view v;
	struct nl_msg m;
	size_t at;

	for (int i = 0; i < 2; i++) {
		buf_reset(&b);
		at = nl_begin(&b, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE, 0);
		nl_put(&b, &gen, sizeof(gen));
		nl_attr(&b, NFTA_RULE_USERDATA, i ? cut : udata,
			i ? sizeof(cut) : sizeof(udata));
		nl_end(&b, at);
		v = view(&b);
		CHECK(nl_next(&v, &m) && nft_rule_parse(&m, &info));
		CHECK_STR(info.comment, i ? "" : "abc");
	}
}
