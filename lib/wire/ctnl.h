/* ctnl: connection tracking messages (linux/netfilter/nfnetlink_conntrack.h). */
#ifndef WIRE_CTNL_H
#define WIRE_CTNL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "wire/nl.h"

/*
 * Asks for the connections of a protocol (IPPROTO_*) to a port. Kernels before 5.8 answer
 * with all of the family: look at what comes.
 */
void ctnl_dump(struct buf *b, bool v6, uint8_t proto, uint16_t port);

struct ctnl_flow {
	uint8_t proto;
	uint16_t port;	      /* destination, as the connection was begun */
	struct nl_view tuple; /* names the connection; in the message's bytes */
};
bool ctnl_parse(const struct nl_msg *m, struct ctnl_flow *ret);

/* Forgets a connection; ENOENT if it has ended. */
void ctnl_delete(struct buf *b, bool v6, const struct ctnl_flow *flow);

#endif
