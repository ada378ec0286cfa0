/*
 * dhcp4: messages of DHCP for IPv4 (RFC 2131, 2132, 3396, 3397, 3442, 4039) as a client
 * writes and reads them, and the IP and UDP headers that they need on a packet socket.
 */
#ifndef WIRE_DHCP4_H
#define WIRE_DHCP4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "wire/ip.h"

enum dhcp4_type {
	DHCP4_DISCOVER = 1,
	DHCP4_OFFER,
	DHCP4_REQUEST,
	DHCP4_DECLINE,
	DHCP4_ACK,
	DHCP4_NAK,
	DHCP4_RELEASE
};

enum {
	DHCP4_SERVER_PORT = 67,
	DHCP4_CLIENT_PORT = 68,
	DHCP4_MAC = 6,
	DHCP4_SERVERS = 4, /* of each kind, more are passed over */
	DHCP4_ROUTES = 32,
	DHCP4_NAME = 256,	   /* bytes of a domain name as text, with NUL */
	DHCP4_SEARCH = 8,	   /* domains */
	DHCP4_MAX = 1500,	   /* bytes of a message that is read or written */
	DHCP4_FOREVER = UINT32_MAX /* a lease that does not end */
};

/* IPv4 addresses are numbers in host order here; 0 is none. */
struct dhcp4_route {
	uint32_t dst, gw; /* gw 0: on the link */
	uint8_t prefix;
};

/* What a client says. 0, NULL and "" leave a field or option out. */
struct dhcp4_request {
	enum dhcp4_type type;
	uint32_t xid;
	uint16_t secs;	    /* since it began to ask */
	bool broadcast;	    /* the answer is to be broadcast */
	bool rapid_commit;  /* RFC 4039 */
	uint32_t ciaddr;    /* address in use */
	uint32_t requested; /* option 50 */
	uint32_t server;    /* option 54 */
	uint8_t mac[DHCP4_MAC];
	const char *hostname; /* option 12 */
	const char *message;  /* option 56 */
};

/* What a server says, checked: nothing in it can do harm to who copies it into a file. */
struct dhcp4_reply {
	enum dhcp4_type type;
	uint32_t xid;
	uint8_t mac[DHCP4_MAC];
	bool rapid_commit;
	uint32_t yiaddr;    /* a unicast address, or 0 */
	uint32_t server;    /* option 54 */
	uint8_t prefix;	    /* option 1; without it that of the address's class */
	uint32_t broadcast; /* option 28 */
	uint16_t mtu;	    /* option 26, at least IPv6's 1280; 0: none */
	uint32_t lease;	    /* seconds; 0: none was given */
	uint32_t t1, t2;    /* seconds; 0: none were given, or they make no sense */
	unsigned ndns, nntp, nroutes;
	uint32_t dns[DHCP4_SERVERS], ntp[DHCP4_SERVERS];
	/* option 121, or what option 3 says when there is none (RFC 3442) */
	struct dhcp4_route routes[DHCP4_ROUTES];
	char hostname[DHCP4_NAME]; /* option 12 */
	unsigned nsearch;	   /* option 119, or 15 */
	char search[DHCP4_SEARCH][DHCP4_NAME];
	char message[DHCP4_NAME]; /* option 56: printable ASCII */
};

/* Appends a message, without IP and UDP headers. */
void dhcp4_write(struct buf *b, const struct dhcp4_request *r);

/*
 * Reads a server's message. What is damaged in a single option is left out. Returns 0, or
 * -1 if this is no message of DHCP from a server for an Ethernet client.
 */
int dhcp4_read(const void *data, size_t n, struct dhcp4_reply *ret);

/* Appends IP and UDP headers from the client's to the server's port, and the payload. */
void dhcp4_frame(struct buf *b, uint32_t src, uint32_t dst, const void *data, size_t n);

/*
 * Finds a UDP payload from the server's to the client's port in an IP packet. partial: the
 * kernel has not filled in the UDP checksum (TP_STATUS_CSUMNOTREADY). NULL if it is
 * anything else, a fragment, or damaged.
 */
const uint8_t *dhcp4_unframe(const void *data, size_t n, bool partial, size_t *ret_n);

/* True for an address that a host can have: not 0, loopback, multicast or reserved. */
bool dhcp4_unicast(uint32_t addr);

/* The two forms of an IPv4 address. */
struct ip dhcp4_ip(uint32_t addr);
uint32_t dhcp4_of_ip(const struct ip *ip);

#endif
