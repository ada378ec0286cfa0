/*
 * nd: what the kernel passes on of an IPv6 router's advertisement: RTM_NEWNDUSEROPT with the
 * options for name servers and search domains (RFC 8106). The kernel has checked where the
 * packet came from (RFC 4861 6.1.2); these options it does not look into.
 */
#ifndef WIRE_ND_H
#define WIRE_ND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/ip.h"
#include "wire/nl.h"

enum { ND_ITEMS = 8, ND_NAME = 256 };

/* One option. A lifetime of 0 takes back what it lists. */
struct nd_option {
	uint32_t index;	   /* of the link */
	uint32_t lifetime; /* seconds; UINT32_MAX: for ever */
	unsigned nservers, ndomains;
	struct ip servers[ND_ITEMS];
	char domains[ND_ITEMS][ND_NAME]; /* letters, digits, '-', '_', '.' only */
};

/* False if the message is none, or holds no option that we know, or a damaged one. */
bool nd_parse(const struct nl_msg *m, struct nd_option *ret);

#endif
