/*
 * ip: links, addresses, routes, neighbours and rules, in the words and the format of
 * iproute2, as far as a person at a node's console types them.
 */
#ifndef IP_IP_H
#define IP_IP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "wire/ip.h"
#include "wire/nl.h"

enum { IP_KERNEL_ERROR = 2 /* exit status, as iproute2's */ };

/* What -4, -br and so on say, and what all commands need. */
struct ip_run {
	int family; /* AF_UNSPEC: not said */
	bool brief, oneline, stats, details;
	int rtnl;
	struct buf out;
	struct buf links; /* a dump, once somebody has asked for a name */
	struct buf netns; /* "ID NAME" lines, likewise */
	bool netns_read;
	int status; /* of a failure that has been told */
};

/* Words that are left; NULL at the end. */
struct ip_args {
	char **v;
};

/* The next word, or NULL and *err set: "WHAT is missing". */
const char *ip_word(struct ip_args *a, const char *what, struct err *err);

/* True if word begins name and is not empty: "a" and "addr" for "address". */
bool ip_is(const char *word, const char *name);

/* True for what all objects take for listing: show, list, lst. */
bool ip_is_show(const char *word);

/* A command that an object does not have: -1 with *err. */
int ip_unknown(const char *word, struct err *err);

/* Each has the words behind its name. 0, or -1 with *err. */
int ip_link(struct ip_run *r, struct ip_args *a, struct err *err);
int ip_addr(struct ip_run *r, struct ip_args *a, struct err *err);
int ip_route(struct ip_run *r, struct ip_args *a, struct err *err);
int ip_neigh(struct ip_run *r, struct ip_args *a, struct err *err);
int ip_rule(struct ip_run *r, struct ip_args *a, struct err *err);
int ip_netns(struct ip_run *r, struct ip_args *a, struct err *err);

/* A request: the answers are appended to reply. What the kernel refuses has iproute2's words. */
int ip_call(struct ip_run *r, const struct buf *req, struct buf *reply, struct err *err);

/* The head of a link as `ip link` (link_only) and `ip addr` print it; its statistics. */
void ip_print_link(struct ip_run *r, const struct nl_msg *m, bool link_only);
void ip_print_stats(struct ip_run *r, const struct nl_msg *m);

/* A dump of links, kept. NULL on failure. */
const struct buf *ip_links(struct ip_run *r, struct err *err);
/* The name of an index ("if7" if there is none); the index of a name, or 0 and *err. */
const char *ip_link_name(struct ip_run *r, uint32_t index);
uint32_t ip_link_index(struct ip_run *r, const char *name, struct err *err);

/* The name in /run/netns of the namespace that ours knows by a number; "" if it has none. */
const char *ip_netns_name(struct ip_run *r, int id);

/* "\n", or "\" with -o. */
const char *ip_newline(const struct ip_run *r);

/* Numbers that have names. dst is for those that have none. */
enum { IP_NAME = 16 };
const char *ip_scope(char dst[IP_NAME], uint8_t scope);
const char *ip_proto(char dst[IP_NAME], uint8_t proto);
const char *ip_table(char dst[IP_NAME], uint32_t table);
const char *ip_rtype(char dst[IP_NAME], uint8_t type);
/* The reverse; numbers are taken too. 0, or -1 with *err. */
int ip_scope_of(const char *s, uint8_t *ret, struct err *err);
int ip_proto_of(const char *s, uint8_t *ret, struct err *err);
int ip_table_of(const char *s, uint32_t *ret, struct err *err);
int ip_rtype_of(const char *s, uint8_t *ret); /* -1: no type */

/* An address out of an attribute; "" if it has a wrong length. */
const char *ip_text(char dst[IP_TEXT], int family, struct nl_view a);

/* "ADDRESS", "ADDRESS/LENGTH", "default" or "any" (of family, IPv4 if unspecified). */
int ip_prefix(const char *s, int family, struct ip_net *ret, struct err *err);
int ip_number(const char *s, const char *what, uint32_t *ret, struct err *err);

#endif
