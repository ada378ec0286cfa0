/*
 * rtnl: rtnetlink messages (rtnetlink(7)) for links, bridge ports, addresses and routes.
 * The builders append one request that wants an acknowledgement (dumps: their end).
 */
#ifndef WIRE_RTNL_H
#define WIRE_RTNL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "wire/ip.h"
#include "wire/nl.h"

enum { RTNL_NAME = 16, RTNL_MAC = 6, RTNL_ALIAS = 256 };

struct rtnl_link {
	uint32_t index, master, mtu;
	uint32_t flags;		/* IFF_* */
	uint16_t type;		/* ARPHRD_* */
	char name[RTNL_NAME];	/* "" if unknown */
	char kind[RTNL_NAME];	/* "bridge", "veth", ...; "" for none */
	char alias[RTNL_ALIAS]; /* "" if none */
	bool has_mac;
	uint8_t mac[RTNL_MAC];
};

/* True if name can be a link's name: 1 to 15 bytes without '/', ':' and white space. */
bool rtnl_name_ok(const char *name);

/* "0a:58:0a:f4:00:02". Parsing: 0 or -1. */
enum { RTNL_MAC_TEXT = 18 };
const char *rtnl_mac_format(char dst[RTNL_MAC_TEXT], const uint8_t mac[RTNL_MAC]);
int rtnl_mac_parse(const char *s, uint8_t ret[RTNL_MAC]);

/* One link by name (no error for an answer without it: it is ENODEV). */
void rtnl_link_get(struct buf *b, const char *name);

/* All links, or the ports of a bridge (master != 0). */
void rtnl_links_dump(struct buf *b, uint32_t master);

/* False if it is no RTM_NEWLINK or damaged. */
bool rtnl_link_parse(const struct nl_msg *m, struct rtnl_link *ret);

/* A bridge, down. mtu 0: the kernel's. */
void rtnl_bridge_new(struct buf *b, const char *name, const uint8_t mac[RTNL_MAC],
		     uint32_t mtu);

struct rtnl_veth {
	const char *name; /* on this side */
	uint32_t mtu;	  /* 0: the kernel's */
	const char *peer_name;
	int peer_netns;		 /* fd of the namespace where the other end appears */
	const uint8_t *peer_mac; /* RTNL_MAC bytes */
};

/* A pair of veths, both down. */
void rtnl_veth_new(struct buf *b, const struct rtnl_veth *v);

/* What is to change of a link; 0 and NULL leave things as they are. */
struct rtnl_change {
	uint32_t flags, mask; /* those IFF_* of mask become as in flags */
	uint32_t master;      /* bridge to become a port of */
	uint32_t mtu;
	const char *alias;
	bool no_ipv6;	    /* no link-local address is generated; say it before "up" */
	int route_localnet; /* net.ipv4.conf.<link>.route_localnet: 1 on, -1 off */
};
void rtnl_link_set(struct buf *b, uint32_t index, const struct rtnl_change *c);

/* Of a bridge port. */
void rtnl_port_set(struct buf *b, uint32_t index, bool hairpin, bool isolated);

void rtnl_link_del(struct buf *b, uint32_t index);

/* Adds an address; IPv6 without duplicate address detection. EEXIST if it is there. */
void rtnl_addr_new(struct buf *b, uint32_t index, const struct ip_net *addr);
void rtnl_addr_del(struct buf *b, uint32_t index, const struct ip_net *addr);

/* Adds an address, or changes its lifetimes; IPv6 with duplicate address detection. */
struct rtnl_addr_set {
	uint32_t index;
	struct ip_net addr;
	const struct ip *broadcast; /* NULL: the last of the network */
	uint32_t valid, preferred;  /* seconds; UINT32_MAX: for ever */
};
void rtnl_addr_set(struct buf *b, const struct rtnl_addr_set *a);

/* All addresses. */
void rtnl_addrs_dump(struct buf *b);

struct rtnl_addr {
	uint32_t index;
	struct ip_net addr;
	uint8_t scope; /* RT_SCOPE_* */
};
bool rtnl_addr_parse(const struct nl_msg *m, struct rtnl_addr *ret);

/*
 * A unicast route; gw NULL: on the link. mtu, metric, table: 0: the default. EEXIST if it is
 * there.
 */
struct rtnl_route {
	uint32_t index;
	struct ip_net dst;
	const struct ip *gw;
	uint32_t metric, mtu, table;
	const struct ip *src; /* preferred source address, or NULL */
	uint8_t protocol;     /* RTPROT_*; 0: boot */
	bool onlink;	      /* the gateway is on the link whatever the routes say */
	bool replace;	      /* one to the same place with the same metric */
};
void rtnl_route_new(struct buf *b, const struct rtnl_route *r);

/* Removes the route that has all that is set in r. */
void rtnl_route_del(struct buf *b, const struct rtnl_route *r);

/* All routes of a family; parse gives those of the main table. */
void rtnl_routes_dump(struct buf *b, bool v6);
bool rtnl_route_parse(const struct nl_msg *m, struct ip_net *ret_dst,
		      uint32_t *ret_index);

/* True for a default route through a gateway in the main table. */
bool rtnl_route_default(const struct nl_msg *m, struct ip *ret_gw, uint32_t *ret_index);

/* The route that a packet to an address would take, and the link of the answer. */
void rtnl_route_get(struct buf *b, const struct ip *ip);
bool rtnl_route_got(const struct nl_msg *m, uint32_t *ret_index);

#endif
