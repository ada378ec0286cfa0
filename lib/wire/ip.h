/* ip: IPv4 and IPv6 addresses and networks as values and as text. */
#ifndef WIRE_IP_H
#define WIRE_IP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ip {
	bool v6;
	uint8_t b[16]; /* network order; of IPv4 the first 4, the others are 0 */
};

/* An address and a prefix length; host bits may be set. */
struct ip_net {
	struct ip ip;
	unsigned prefix;
};

enum { IP_TEXT = 48, IP_NET_TEXT = 52 };

static inline size_t ip_len(const struct ip *ip)
{
	return ip->v6 ? 16 : 4;
}

static inline unsigned ip_bits(const struct ip *ip)
{
	return ip->v6 ? 128 : 32;
}

/* "10.0.0.1" or "fd00::1". 0 or -1. */
int ip_parse(const char *s, struct ip *ret);

/* "10.0.0.1/16"; the prefix length is required. 0 or -1. */
int ip_net_parse(const char *s, struct ip_net *ret);

/* Both return dst. */
const char *ip_format(char dst[IP_TEXT], const struct ip *ip);
const char *ip_net_format(char dst[IP_NET_TEXT], const struct ip_net *net);

/* Negative, 0 or positive, by family, then by number. */
int ip_cmp(const struct ip *a, const struct ip *b);

/* True if ip is in the network; false for another family. */
bool ip_in(const struct ip_net *net, const struct ip *ip);

/* True if the two networks share an address. */
bool ip_overlap(const struct ip_net *a, const struct ip_net *b);

/* The first (all host bits 0) and the last address of a network. */
struct ip ip_first(const struct ip_net *net);
struct ip ip_last(const struct ip_net *net);

/* The next or the previous address. False, and no change, at the end of the space. */
bool ip_inc(struct ip *ip);
bool ip_dec(struct ip *ip);

#endif
