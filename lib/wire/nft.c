#include "wire/nft.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"

/* A comment in a rule's user data: type 0, a length with the NUL, the text. */
enum { UDATA_COMMENT = 0 };

enum { IFNAME_SIZE = 16 };

/* nft(8)'s number for the type of interface names, by which it shows a map's keys. */
enum { TYPE_IFNAME = 41 };

/* Begins a message of the nf_tables subsystem, or of nfnetlink itself (subsys NONE). */
static size_t begin(struct buf *b, unsigned subsys, unsigned type, uint16_t flags,
		    uint8_t family, uint16_t res_id)
{
	struct nfgenmsg g = {.nfgen_family = family, .version = NFNETLINK_V0};
	size_t at = nl_begin(b, (uint16_t)(subsys << 8 | type),
			     (uint16_t)(NLM_F_REQUEST | flags));

	put_be16(&g.res_id, res_id);
	nl_put(b, &g, sizeof(g));
	return at;
}

static size_t change(struct buf *b, unsigned type, uint16_t flags, enum nft_family f)
{
	return begin(b, NFNL_SUBSYS_NFTABLES, type, (uint16_t)(NLM_F_ACK | flags),
		     (uint8_t)f, 0);
}

void nft_batch_begin(struct buf *b, uint32_t gen)
{
	size_t at = begin(b, NFNL_SUBSYS_NONE, NFNL_MSG_BATCH_BEGIN, 0, NFPROTO_UNSPEC,
			  NFNL_SUBSYS_NFTABLES);

	if (gen)
		nl_attr_be32(b, NFNL_BATCH_GENID, gen);
	nl_end(b, at);
}

void nft_batch_end(struct buf *b)
{
	nl_end(b, begin(b, NFNL_SUBSYS_NONE, NFNL_MSG_BATCH_END, 0, NFPROTO_UNSPEC,
			NFNL_SUBSYS_NFTABLES));
}

void nft_gen_get(struct buf *b)
{
	nl_end(b, change(b, NFT_MSG_GETGEN, 0, 0));
}

static bool is(const struct nl_msg *m, unsigned type)
{
	return m->type == (NFNL_SUBSYS_NFTABLES << 8 | type);
}

bool nft_gen_parse(const struct nl_msg *m, uint32_t *ret)
{
	struct nl_view body = m->body, a[NFTA_GEN_MAX + 1];

	if (!is(m, NFT_MSG_NEWGEN) || !nl_take(&body, sizeof(struct nfgenmsg)))
		return false;
	nl_attrs(body, a, ARRAY_LEN(a));
	*ret = nl_be32(a[NFTA_GEN_ID]);
	return true;
}

void nft_table_add(struct buf *b, enum nft_family f, const char *table)
{
	size_t at = change(b, NFT_MSG_NEWTABLE, NLM_F_CREATE, f);

	nl_attr_str(b, NFTA_TABLE_NAME, table);
	nl_end(b, at);
}

void nft_table_del(struct buf *b, enum nft_family f, const char *table)
{
	size_t at = change(b, NFT_MSG_DELTABLE, 0, f);

	nl_attr_str(b, NFTA_TABLE_NAME, table);
	nl_end(b, at);
}

void nft_chain_add(struct buf *b, const struct nft_chain *c)
{
	size_t hook, at = change(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE, c->family);

	nl_attr_str(b, NFTA_CHAIN_TABLE, c->table);
	nl_attr_str(b, NFTA_CHAIN_NAME, c->name);
	if (c->hook >= 0) {
		hook = nl_nest(b, NFTA_CHAIN_HOOK);
		nl_attr_be32(b, NFTA_HOOK_HOOKNUM, (uint32_t)c->hook);
		nl_attr_be32(b, NFTA_HOOK_PRIORITY, (uint32_t)c->priority);
		nl_nest_end(b, hook);
		nl_attr_str(b, NFTA_CHAIN_TYPE, c->type);
		nl_attr_be32(b, NFTA_CHAIN_POLICY, NF_ACCEPT);
	}
	nl_end(b, at);
}

void nft_chain_flush(struct buf *b, enum nft_family f, const char *table,
		     const char *chain)
{
	size_t at = change(b, NFT_MSG_DELRULE, 0, f);

	nl_attr_str(b, NFTA_RULE_TABLE, table);
	nl_attr_str(b, NFTA_RULE_CHAIN, chain);
	nl_end(b, at);
}

void nft_chain_del(struct buf *b, enum nft_family f, const char *table, const char *chain)
{
	size_t at = change(b, NFT_MSG_DELCHAIN, 0, f);

	nl_attr_str(b, NFTA_CHAIN_TABLE, table);
	nl_attr_str(b, NFTA_CHAIN_NAME, chain);
	nl_end(b, at);
}

void nft_rule_begin(struct buf *b, struct nft_rule *r, enum nft_family f,
		    const char *table, const char *chain, const char *comment)
{
	uint8_t udata[2 + NFT_COMMENT + 1] = {UDATA_COMMENT};
	size_t n = comment ? strnlen(comment, NFT_COMMENT) : 0;

	r->msg = change(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, f);
	nl_attr_str(b, NFTA_RULE_TABLE, table);
	nl_attr_str(b, NFTA_RULE_CHAIN, chain);
	if (n) {
		udata[1] = (uint8_t)(n + 1);
		memcpy(udata + 2, comment, n);
		nl_attr(b, NFTA_RULE_USERDATA, udata, n + 3);
	}
	r->exprs = nl_nest(b, NFTA_RULE_EXPRESSIONS);
}

void nft_rule_end(struct buf *b, const struct nft_rule *r)
{
	nl_nest_end(b, r->exprs);
	nl_end(b, r->msg);
}

void nft_rule_del(struct buf *b, enum nft_family f, const char *table, const char *chain,
		  uint64_t handle)
{
	size_t at = change(b, NFT_MSG_DELRULE, 0, f);

	nl_attr_str(b, NFTA_RULE_TABLE, table);
	nl_attr_str(b, NFTA_RULE_CHAIN, chain);
	nl_attr_be64(b, NFTA_RULE_HANDLE, handle);
	nl_end(b, at);
}

void nft_rules_dump(struct buf *b, enum nft_family f, const char *table)
{
	size_t at = begin(b, NFNL_SUBSYS_NFTABLES, NFT_MSG_GETRULE, NLM_F_DUMP,
			  (uint8_t)f, 0);

	nl_attr_str(b, NFTA_RULE_TABLE, table);
	nl_end(b, at);
}

static void take_comment(struct nl_view udata, char dst[NFT_COMMENT + 1])
{
	while (udata.len >= 2 && udata.data[1] <= udata.len - 2) {
		uint8_t n = udata.data[1];

		if (udata.data[0] == UDATA_COMMENT) {
			size_t len = strnlen((const char *)udata.data + 2, n);

			len = MIN(len, (size_t)NFT_COMMENT);
			memcpy(dst, udata.data + 2, len);
			dst[len] = 0;
			return;
		}
		udata.data += n + 2;
		udata.len -= n + 2u;
	}
}

bool nft_rule_parse(const struct nl_msg *m, struct nft_rule_info *ret)
{
	struct nl_view body = m->body, a[NFTA_RULE_MAX + 1];
	const uint8_t *gen;

	if (!is(m, NFT_MSG_NEWRULE) || !(gen = nl_take(&body, sizeof(struct nfgenmsg))))
		return false;
	nl_attrs(body, a, ARRAY_LEN(a));
	*ret = (struct nft_rule_info){.family = gen[0],
				      .table = nl_str(a[NFTA_RULE_TABLE]),
				      .chain = nl_str(a[NFTA_RULE_CHAIN]),
				      .handle = nl_be64(a[NFTA_RULE_HANDLE])};
	take_comment(a[NFTA_RULE_USERDATA], ret->comment);
	return true;
}

/* --- expressions ----------------------------------------------------------------------- */

struct expr {
	size_t elem, data;
};

static struct expr expr_begin(struct buf *b, const char *name)
{
	struct expr e = {.elem = nl_nest(b, NFTA_LIST_ELEM)};

	nl_attr_str(b, NFTA_EXPR_NAME, name);
	e.data = nl_nest(b, NFTA_EXPR_DATA);
	return e;
}

static void expr_end(struct buf *b, struct expr e)
{
	nl_nest_end(b, e.data);
	nl_nest_end(b, e.elem);
}

static void value(struct buf *b, uint16_t attr, const void *data, size_t n)
{
	size_t at = nl_nest(b, attr);

	nl_attr(b, NFTA_DATA_VALUE, data, n);
	nl_nest_end(b, at);
}

static void cmp(struct buf *b, bool not, const void *data, size_t n)
{
	struct expr e = expr_begin(b, "cmp");

	nl_attr_be32(b, NFTA_CMP_SREG, NFT_REG_1);
	nl_attr_be32(b, NFTA_CMP_OP, not ? NFT_CMP_NEQ : NFT_CMP_EQ);
	value(b, NFTA_CMP_DATA, data, n);
	expr_end(b, e);
}

static void bitwise(struct buf *b, const void *mask, size_t n)
{
	static const uint8_t zero[16];
	struct expr e = expr_begin(b, "bitwise");

	nl_attr_be32(b, NFTA_BITWISE_SREG, NFT_REG_1);
	nl_attr_be32(b, NFTA_BITWISE_DREG, NFT_REG_1);
	nl_attr_be32(b, NFTA_BITWISE_LEN, (uint32_t)n);
	value(b, NFTA_BITWISE_MASK, mask, n);
	value(b, NFTA_BITWISE_XOR, zero, n);
	expr_end(b, e);
}

static void payload(struct buf *b, unsigned base, unsigned offset, size_t n)
{
	struct expr e = expr_begin(b, "payload");

	nl_attr_be32(b, NFTA_PAYLOAD_DREG, NFT_REG_1);
	nl_attr_be32(b, NFTA_PAYLOAD_BASE, base);
	nl_attr_be32(b, NFTA_PAYLOAD_OFFSET, offset);
	nl_attr_be32(b, NFTA_PAYLOAD_LEN, (uint32_t)n);
	expr_end(b, e);
}

static void meta(struct buf *b, uint32_t key)
{
	struct expr e = expr_begin(b, "meta");

	nl_attr_be32(b, NFTA_META_DREG, NFT_REG_1);
	nl_attr_be32(b, NFTA_META_KEY, key);
	expr_end(b, e);
}

static void immediate(struct buf *b, uint32_t reg, const void *data, size_t n)
{
	struct expr e = expr_begin(b, "immediate");

	nl_attr_be32(b, NFTA_IMMEDIATE_DREG, reg);
	value(b, NFTA_IMMEDIATE_DATA, data, n);
	expr_end(b, e);
}

static void verdict_data(struct buf *b, uint16_t attr, int code, const char *chain)
{
	size_t data = nl_nest(b, attr), v = nl_nest(b, NFTA_DATA_VERDICT);

	nl_attr_be32(b, NFTA_VERDICT_CODE, (uint32_t)code);
	if (chain)
		nl_attr_str(b, NFTA_VERDICT_CHAIN, chain);
	nl_nest_end(b, v);
	nl_nest_end(b, data);
}

static void verdict(struct buf *b, int code, const char *chain)
{
	struct expr e = expr_begin(b, "immediate");

	nl_attr_be32(b, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	verdict_data(b, NFTA_IMMEDIATE_DATA, code, chain);
	expr_end(b, e);
}

void nft_match_l4proto(struct buf *b, uint8_t proto)
{
	meta(b, NFT_META_L4PROTO);
	cmp(b, false, &proto, 1);
}

void nft_match_dport(struct buf *b, uint16_t port)
{
	uint8_t be[2];

	put_be16(be, port);
	payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, 2, sizeof(be));
	cmp(b, false, be, sizeof(be));
}

void nft_match_net(struct buf *b, bool source, bool not, const struct ip_net *net)
{
	size_t n = ip_len(&net->ip);
	unsigned offset = net->ip.v6 ? (source ? 8 : 24) : (source ? 12 : 16);
	struct ip_net all = {.prefix = net->prefix};
	struct ip first = ip_first(net), mask;

	all.ip.v6 = net->ip.v6;
	mask = ip_last(&all); /* the host bits ... */
	for (size_t i = 0; i < n; i++)
		mask.b[i] = (uint8_t)~mask.b[i];
	payload(b, NFT_PAYLOAD_NETWORK_HEADER, offset, n);
	if (net->prefix < ip_bits(&net->ip))
		bitwise(b, mask.b, n);
	cmp(b, not, first.b, n);
}

void nft_match_local(struct buf *b)
{
	uint32_t type = RTN_LOCAL;
	struct expr e = expr_begin(b, "fib");

	nl_attr_be32(b, NFTA_FIB_DREG, NFT_REG_1);
	nl_attr_be32(b, NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
	nl_attr_be32(b, NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
	expr_end(b, e);
	cmp(b, false, &type, sizeof(type));
}

void nft_match_iifname(struct buf *b, bool not, const char *name)
{
	char padded[IFNAME_SIZE] = "";

	str_copy(padded, sizeof(padded), name);
	meta(b, NFT_META_IIFNAME);
	cmp(b, not, padded, sizeof(padded));
}

void nft_match_dnat(struct buf *b)
{
	uint32_t mask = IPS_DST_NAT, none = 0;
	struct expr e = expr_begin(b, "ct");

	nl_attr_be32(b, NFTA_CT_DREG, NFT_REG_1);
	nl_attr_be32(b, NFTA_CT_KEY, NFT_CT_STATUS);
	expr_end(b, e);
	bitwise(b, &mask, sizeof(mask));
	cmp(b, true, &none, sizeof(none));
}

void nft_match_orig_dport(struct buf *b, uint16_t port)
{
	struct expr e = expr_begin(b, "ct");
	uint8_t be[2];

	put_be16(be, port);
	nl_attr_be32(b, NFTA_CT_DREG, NFT_REG_1);
	nl_attr_be32(b, NFTA_CT_KEY, NFT_CT_PROTO_DST);
	nl_attr_u8(b, NFTA_CT_DIRECTION, IP_CT_DIR_ORIGINAL);
	expr_end(b, e);
	cmp(b, false, be, sizeof(be));
}

void nft_match_ethertype(struct buf *b, uint16_t type)
{
	uint8_t be[2];

	put_be16(be, type);
	meta(b, NFT_META_PROTOCOL);
	cmp(b, false, be, sizeof(be));
}

void nft_match_bytes(struct buf *b, enum nft_header base, unsigned offset, bool not,
		     const void *data, size_t n)
{
	payload(b, base, offset, n);
	cmp(b, not, data, n);
}

void nft_jump_iifname(struct buf *b, const char *map)
{
	struct expr e;

	meta(b, NFT_META_IIFNAME);
	e = expr_begin(b, "lookup");
	nl_attr_str(b, NFTA_LOOKUP_SET, map);
	nl_attr_be32(b, NFTA_LOOKUP_SREG, NFT_REG_1);
	nl_attr_be32(b, NFTA_LOOKUP_DREG, NFT_REG_VERDICT);
	expr_end(b, e);
}

void nft_jump(struct buf *b, const char *chain)
{
	verdict(b, NFT_JUMP, chain);
}

void nft_return(struct buf *b)
{
	verdict(b, NFT_RETURN, NULL);
}

void nft_drop(struct buf *b)
{
	verdict(b, NF_DROP, NULL);
}

void nft_dnat(struct buf *b, const struct ip *to, uint16_t port)
{
	uint8_t be[2];
	struct expr e;

	put_be16(be, port);
	immediate(b, NFT_REG_1, to->b, ip_len(to));
	immediate(b, NFT_REG_2, be, sizeof(be));
	e = expr_begin(b, "nat");
	nl_attr_be32(b, NFTA_NAT_TYPE, NFT_NAT_DNAT);
	nl_attr_be32(b, NFTA_NAT_FAMILY, to->v6 ? NFPROTO_IPV6 : NFPROTO_IPV4);
	nl_attr_be32(b, NFTA_NAT_REG_ADDR_MIN, NFT_REG_1);
	nl_attr_be32(b, NFTA_NAT_REG_PROTO_MIN, NFT_REG_2);
	expr_end(b, e);
}

void nft_masquerade(struct buf *b)
{
	expr_end(b, expr_begin(b, "masq"));
}

/* --- maps ------------------------------------------------------------------------------ */

void nft_vmap_add(struct buf *b, enum nft_family f, const char *table, const char *map)
{
	size_t at = change(b, NFT_MSG_NEWSET, NLM_F_CREATE, f);
	/* for nft(8): type 0, length 4, the keys are in the machine's byte order (1) */
	uint8_t order[6] = {0, 4};
	uint32_t host_order = 1;

	nl_attr_str(b, NFTA_SET_TABLE, table);
	nl_attr_str(b, NFTA_SET_NAME, map);
	nl_attr_be32(b, NFTA_SET_FLAGS, NFT_SET_MAP);
	nl_attr_be32(b, NFTA_SET_KEY_TYPE, TYPE_IFNAME);
	nl_attr_be32(b, NFTA_SET_KEY_LEN, IFNAME_SIZE);
	nl_attr_be32(b, NFTA_SET_DATA_TYPE, NFT_DATA_VERDICT);
	nl_attr_be32(b, NFTA_SET_ID, 1); /* wanted, but the name is what we refer by */
	memcpy(order + 2, &host_order, sizeof(host_order));
	nl_attr(b, NFTA_SET_USERDATA, order, sizeof(order));
	nl_end(b, at);
}

static void element(struct buf *b, unsigned type, enum nft_family f, const char *table,
		    const char *map, const char *ifname, const char *chain)
{
	size_t at = change(b, type, chain ? NLM_F_CREATE : 0, f), list, elem;
	char key[IFNAME_SIZE] = "";

	str_copy(key, sizeof(key), ifname);
	nl_attr_str(b, NFTA_SET_ELEM_LIST_TABLE, table);
	nl_attr_str(b, NFTA_SET_ELEM_LIST_SET, map);
	list = nl_nest(b, NFTA_SET_ELEM_LIST_ELEMENTS);
	elem = nl_nest(b, NFTA_LIST_ELEM);
	value(b, NFTA_SET_ELEM_KEY, key, sizeof(key));
	if (chain)
		verdict_data(b, NFTA_SET_ELEM_DATA, NFT_JUMP, chain);
	nl_nest_end(b, elem);
	nl_nest_end(b, list);
	nl_end(b, at);
}

void nft_vmap_put(struct buf *b, enum nft_family f, const char *table, const char *map,
		  const char *ifname, const char *chain)
{
	element(b, NFT_MSG_NEWSETELEM, f, table, map, ifname, chain);
}

void nft_vmap_del(struct buf *b, enum nft_family f, const char *table, const char *map,
		  const char *ifname)
{
	element(b, NFT_MSG_DELSETELEM, f, table, map, ifname, NULL);
}
