#include "wire/ctnl.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>

#include "base/num.h"
#include "base/str.h"

/* Bits of CTA_FILTER_ORIG_FLAGS, which the kernel's headers do not export. */
enum { FILTER_PROTO = 1 << 3, FILTER_DST_PORT = 1 << 5 };

static size_t begin(struct buf *b, unsigned type, uint16_t flags, bool v6)
{
	struct nfgenmsg g = {.nfgen_family = v6 ? NFPROTO_IPV6 : NFPROTO_IPV4,
			     .version = NFNETLINK_V0};
	size_t at = nl_begin(b, (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type),
			     (uint16_t)(NLM_F_REQUEST | flags));

	nl_put(b, &g, sizeof(g));
	return at;
}

void ctnl_dump(struct buf *b, bool v6, uint8_t proto, uint16_t port)
{
	size_t at = begin(b, IPCTNL_MSG_CT_GET, NLM_F_DUMP, v6), nest, part;

	nest = nl_nest(b, CTA_TUPLE_ORIG);
	part = nl_nest(b, CTA_TUPLE_PROTO);
	nl_attr_u8(b, CTA_PROTO_NUM, proto);
	nl_attr_be16(b, CTA_PROTO_DST_PORT, port);
	nl_nest_end(b, part);
	nl_nest_end(b, nest);
	nest = nl_nest(b, CTA_FILTER);
	nl_attr_u32(b, CTA_FILTER_ORIG_FLAGS, FILTER_PROTO | FILTER_DST_PORT);
	nl_attr_u32(b, CTA_FILTER_REPLY_FLAGS, 0);
	nl_nest_end(b, nest);
	nl_end(b, at);
}

bool ctnl_parse(const struct nl_msg *m, struct ctnl_flow *ret)
{
	struct nl_view body = m->body, a[CTA_MAX + 1], tuple[CTA_TUPLE_MAX + 1];
	struct nl_view proto[CTA_PROTO_MAX + 1];

	if (m->type != (NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW) ||
	    !nl_take(&body, sizeof(struct nfgenmsg)))
		return false;
	nl_attrs(body, a, ARRAY_LEN(a));
	nl_attrs(a[CTA_TUPLE_ORIG], tuple, ARRAY_LEN(tuple));
	nl_attrs(tuple[CTA_TUPLE_PROTO], proto, ARRAY_LEN(proto));
	if (proto[CTA_PROTO_NUM].len < 1 || proto[CTA_PROTO_DST_PORT].len < 2)
		return false;
	ret->proto = nl_u8(proto[CTA_PROTO_NUM]);
	ret->port = get_be16(proto[CTA_PROTO_DST_PORT].data);
	ret->tuple = a[CTA_TUPLE_ORIG];
	return true;
}

void ctnl_delete(struct buf *b, bool v6, const struct ctnl_flow *flow)
{
	size_t at = begin(b, IPCTNL_MSG_CT_DELETE, NLM_F_ACK, v6);
	size_t nest = nl_nest(b, CTA_TUPLE_ORIG);

	nl_put(b, flow->tuple.data, flow->tuple.len);
	nl_nest_end(b, nest);
	nl_end(b, at);
}
