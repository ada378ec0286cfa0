/*
 * netd: the node's network. Three processes (netd.c):
 *
 *	netd		root; reads no byte of a network. Starts the other two, and sets
 *			the host name that the worker asks for.
 *	  worker	a user of its own, with CAP_NET_ADMIN, CAP_NET_RAW and
 *			CAP_NET_BIND_SERVICE and few system calls: rtnetlink, DHCP
 *	  time		the same user with CAP_SYS_TIME: SNTP
 *
 * This header is the worker's inside.
 */
#ifndef NETD_NETD_H
#define NETD_NETD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/log.h"
#include "loop/loop.h"
#include "node/config.h"
#include "wire/dhcp4.h"
#include "wire/ipcmdline.h"
#include "wire/nd.h"
#include "wire/rtnl.h"

enum {
	NETD_USER = 970, /* owns nothing but its two directories */
	NETD_HOSTNAME = 64,
	NETD_DNS = 8,	 /* of a link, and RAs' */
	NETD_NTP = 4,	 /* servers that the time process gets */
	NETD_SEARCH = 8, /* domains */
};

/* What the processes have from the one that starts them. fds are open or -1. */
struct netd_setup {
	struct log log;
	struct node_config conf;
	struct ipcmdline cmdline;
	int run_dir;		    /* resolv.conf, status */
	int lease_dir;		    /* NAME.lease; -1: leases are not kept */
	int notify;		    /* the service manager's socket */
	int parent;		    /* the worker's end towards netd: host names */
	int time_worker, time_self; /* the two ends between worker and time */
};

/* The worker's and the time process's life; they return an exit status. */
int worker_run(struct netd_setup *s);
int time_run(struct netd_setup *s);

/* What the time process gets: the servers that DHCP named; it asks with an empty one. */
struct netd_servers {
	uint32_t n;
	struct ip servers[NETD_NTP];
};

struct netd {
	struct netd_setup *s;
	struct loop *loop;
	int sysctl_dir; /* /proc/sys/net */
	int rtnl;
	struct loop_fd monitor, time;
	struct list links;
	uint32_t unnamed; /* link that an ip= without device is for; 0: none so far */
	struct loop_timer publish, ready;
	bool is_ready, publishing;
	char hostname[NETD_HOSTNAME]; /* that was asked for last */
	struct netd_servers servers;
};

enum link_origin { LINK_CONFIG, LINK_CMDLINE, LINK_DEFAULT };

/* What a link is to have. */
struct link_conf {
	enum link_origin origin;
	bool dhcp, ra;
	uint32_t mtu; /* 0: as it is, or as DHCP says */
	unsigned naddr, ndns;
	struct ip_net addr[NODE_LIST];
	struct ip dns[NETD_DNS];
	bool has_gw[2]; /* IPv4, IPv6 */
	struct ip gw[2];
	bool has_ntp;
	struct ip ntp;
	char hostname[NETD_HOSTNAME]; /* of ip=; "": none */
};

enum dhcp_state {
	DHCP_STOPPED, /* no carrier, or not wanted */
	DHCP_INIT,    /* waits before it asks */
	DHCP_SELECTING,
	DHCP_REQUESTING,
	DHCP_REBOOTING, /* asks for the address it had (INIT-REBOOT) */
	DHCP_PROBING,	/* is anybody using the address? */
	DHCP_BOUND,
	DHCP_RENEWING,
	DHCP_REBINDING,
	DHCP_STATES
};

struct link;

struct dhcp {
	struct link *link;
	enum dhcp_state state;
	uint32_t xid;
	int64_t since; /* began to ask */
	unsigned tries, failures;
	struct loop_timer timer;
	struct loop_fd packet, udp, arp; /* fd -1: closed */
	/* What is offered, then what is leased; message is lease as it came. */
	struct dhcp4_reply lease;
	uint8_t message[DHCP4_MAX];
	size_t nmessage;
	const uint8_t *rx; /* the message that an event is about */
	size_t nrx;
	bool has_lease;			 /* lease is ours until `until` */
	bool configured;		 /* and on the link */
	int64_t acquired, t1, t2, until; /* CLOCK_BOOTTIME; INT64_MAX: for ever */
};

struct link_dns {
	struct ip ip;
	int64_t until;
};

struct link_domain {
	char name[ND_NAME];
	int64_t until;
};

/* A link that is ours to configure. */
struct link {
	struct list node;
	struct netd *netd;
	struct rtnl_link is;
	bool seen;    /* in a scan */
	bool applied; /* static settings are on it */
	struct link_conf conf;
	struct dhcp dhcp;
	struct dhcp4_reply on; /* what of a lease is on the link, if dhcp.configured */
	unsigned nrdnss, ndnssl;
	struct link_dns rdnss[NETD_DNS];
	struct link_domain dnssl[NETD_SEARCH];
};

/* --- conf.c: what a link is to have ----------------------------------------------------- */

/* False if the link is none of ours. */
bool conf_of_link(struct netd *n, const struct rtnl_link *l, struct link_conf *ret);

/* The host name that the configuration or the command line gives; NULL: none. */
const char *conf_hostname(const struct netd_setup *s);

/* --- link.c: links as the kernel shows them --------------------------------------------- */

/* Starts to listen and takes up what is there. 0 or -1. */
int links_start(struct netd *n, struct err *err);
void links_stop(struct netd *n); /* releases leases */

/* Puts a lease on the link, in place of the one before; takes it off. */
void link_lease(struct link *l, const struct dhcp4_reply *lease, uint32_t seconds);
void link_lease_drop(struct link *l);

/* True if everything that could be done for the links at this time has been. */
bool links_settled(struct netd *n);

/* --- dhcp.c ------------------------------------------------------------------------------ */

enum dhcp_event {
	DHCP_EV_UP,   /* the link has a carrier */
	DHCP_EV_DOWN, /* it has none any more */
	DHCP_EV_TIMER,
	DHCP_EV_OFFER,
	DHCP_EV_ACK,
	DHCP_EV_NAK,
	DHCP_EV_CONFLICT, /* another host answers for the address */
	DHCP_EVENTS
};

void dhcp_init(struct dhcp *d, struct link *l);
void dhcp_event(struct dhcp *d, enum dhcp_event ev, const struct dhcp4_reply *r);

/* The lease is ours since a time: sets when it has to be renewed, with some fuzz (4.4.5). */
void dhcp_set_times(struct dhcp *d, int64_t acquired);

/* Puts the lease on the link for as long as it still runs. */
void dhcp_configure(struct dhcp *d);

void dhcp_release(struct dhcp *d); /* gives the lease back and ends */
void dhcp_done(struct dhcp *d);	   /* the link is gone */

/* --- dhcpio.c: its sockets, and the lease's file ------------------------------------------ */

/* Open if they are not; failure is logged and is as a packet that was lost. */
void dhcp_io_packet(struct dhcp *d);
void dhcp_io_udp(struct dhcp *d);
void dhcp_io_arp(struct dhcp *d);
void dhcp_io_close(struct dhcp *d);

/* Through the packet socket by broadcast, or the UDP socket to an address. */
void dhcp_io_broadcast(struct dhcp *d, const struct dhcp4_request *r);
void dhcp_io_send(struct dhcp *d, uint32_t to, const struct dhcp4_request *r);

/* A probe for an address (from 0), or an announcement of it (RFC 5227). */
void dhcp_io_probe(struct dhcp *d, uint32_t addr, bool announce);

void dhcp_lease_save(struct dhcp *d);
/* Sets lease, message and times from the file. *ret_valid: it has not run out in this boot. */
bool dhcp_lease_load(struct dhcp *d, bool *ret_valid);
void dhcp_lease_forget(struct dhcp *d);

/* --- publish.c: resolv.conf, status, host name, NTP servers ------------------------------- */

void publish_later(struct netd *n);
void publish_now(struct netd *n);
void publish_ra(struct link *l, const struct nd_option *o);

#endif
