#include "wire/genl.h"

#include <linux/genetlink.h>
#include <linux/netlink.h>

#include "base/str.h"
#include "wire/nl.h"

void genl_family_get(struct buf *b, const char *name)
{
	const struct genlmsghdr get = {.cmd = CTRL_CMD_GETFAMILY, .version = 1};
	size_t head = nl_begin(b, GENL_ID_CTRL, NLM_F_REQUEST | NLM_F_ACK);

	nl_put(b, &get, sizeof(get));
	nl_attr_str(b, CTRL_ATTR_FAMILY_NAME, name);
	nl_end(b, head);
}

unsigned genl_family_group(const void *reply, size_t n)
{
	struct nl_view at = {reply, n}, group, table[CTRL_ATTR_MAX + 1];
	struct nl_msg m;
	uint16_t type;

	if (!nl_next(&at, &m) || m.type != GENL_ID_CTRL ||
	    !nl_take(&m.body, sizeof(struct genlmsghdr)))
		return 0;
	nl_attrs(m.body, table, ARRAY_LEN(table));
	if (!nl_attr_next(&table[CTRL_ATTR_MCAST_GROUPS], &type, &group))
		return 0;
	nl_attrs(group, table, ARRAY_LEN(table));
	return nl_u32(table[CTRL_ATTR_MCAST_GRP_ID]);
}
