/*
 * nft: nf_tables messages (linux/netfilter/nf_tables.h). A change is a batch, which the
 * kernel applies as a whole or not at all:
 *
 *	nft_batch_begin(&b, gen);
 *	nft_table_add(&b, NFT_IP, "t");
 *	...
 *	nft_batch_end(&b);
 *
 * A rule is nft_rule_begin, expressions in order, nft_rule_end. Expressions pass values
 * through registers; ours use register 1, addresses and ports of a translation 1 and 2. They
 * are shaped as nft(8) shapes its own, so that it can show them.
 */
#ifndef WIRE_NFT_H
#define WIRE_NFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "wire/ip.h"
#include "wire/nl.h"

/* Families of tables (NFPROTO_*). */
enum nft_family { NFT_IP = 2, NFT_BRIDGE = 7, NFT_IP6 = 10 };

/* The most bytes of a rule's comment. */
enum { NFT_COMMENT = 127 };

/*
 * gen: only if the rules are still of this generation, else ERESTART; 0: in any case.
 * The answer is to the last change in the batch; there must be one.
 */
void nft_batch_begin(struct buf *b, uint32_t gen);
void nft_batch_end(struct buf *b);

/* Asks for the generation of this namespace's rules, which every change increments. */
void nft_gen_get(struct buf *b);
bool nft_gen_parse(const struct nl_msg *m, uint32_t *ret);

/* Adding what is there already is success. */
void nft_table_add(struct buf *b, enum nft_family f, const char *table);
/* Removes the table with all that is in it; ENOENT if it is not there. */
void nft_table_del(struct buf *b, enum nft_family f, const char *table);

/* hook < 0: a chain that is only jumped to. type: "filter" or "nat". */
struct nft_chain {
	enum nft_family family;
	const char *table, *name, *type;
	int hook;     /* NF_INET_*, NF_BR_* */
	int priority; /* NF_IP_PRI_*, NF_BR_PRI_* */
};
void nft_chain_add(struct buf *b, const struct nft_chain *c);
/* Removes all rules of a chain. */
void nft_chain_flush(struct buf *b, enum nft_family f, const char *table,
		     const char *chain);

/* Removes a chain that has no rules and is not jumped to. */
void nft_chain_del(struct buf *b, enum nft_family f, const char *table,
		   const char *chain);

/* A map from an interface's name to a jump. Putting what is there already is success. */
void nft_vmap_add(struct buf *b, enum nft_family f, const char *table, const char *map);
void nft_vmap_put(struct buf *b, enum nft_family f, const char *table, const char *map,
		  const char *ifname, const char *chain);
void nft_vmap_del(struct buf *b, enum nft_family f, const char *table, const char *map,
		  const char *ifname);

struct nft_rule {
	size_t msg, exprs; /* private */
};
/* Appends a rule to a chain, with a comment (NULL: none). */
void nft_rule_begin(struct buf *b, struct nft_rule *r, enum nft_family f,
		    const char *table, const char *chain, const char *comment);
void nft_rule_end(struct buf *b, const struct nft_rule *r);
void nft_rule_del(struct buf *b, enum nft_family f, const char *table, const char *chain,
		  uint64_t handle);

/* All rules of a table; ENOENT, or nothing, if there is none. */
void nft_rules_dump(struct buf *b, enum nft_family f, const char *table);

struct nft_rule_info {
	uint8_t family;
	const char *table, *chain; /* in the message's bytes */
	uint64_t handle;
	char comment[NFT_COMMENT + 1]; /* "" for none */
};
bool nft_rule_parse(const struct nl_msg *m, struct nft_rule_info *ret);

/* --- expressions: a match ends the rule for packets that it does not hold for --- */

/* Layer 4 protocol (IPPROTO_*). */
void nft_match_l4proto(struct buf *b, uint8_t proto);
/* Destination port of TCP, UDP, SCTP; after nft_match_l4proto. */
void nft_match_dport(struct buf *b, uint16_t port);
/* Source or destination address in (or, with `not`, not in) a network. */
void nft_match_net(struct buf *b, bool source, bool not, const struct ip_net *net);
/* The destination is an address of this host. */
void nft_match_local(struct buf *b);
/* Input interface's name. */
void nft_match_iifname(struct buf *b, bool not, const char *name);
/* The connection's destination has been translated (ct status dnat). */
void nft_match_dnat(struct buf *b);
/* The destination port that the connection was begun with; after nft_match_l4proto. */
void nft_match_orig_dport(struct buf *b, uint16_t port);
/* Ethernet protocol (in the bridge family) is the EtherType. */
void nft_match_ethertype(struct buf *b, uint16_t type);
/* n bytes at an offset in a header. */
enum nft_header { NFT_LINK, NFT_NETWORK, NFT_TRANSPORT };
void nft_match_bytes(struct buf *b, enum nft_header base, unsigned offset, bool not,
		     const void *data, size_t n);

/* Jumps to where the map sends the input interface. */
void nft_jump_iifname(struct buf *b, const char *map);
void nft_jump(struct buf *b, const char *chain);
void nft_return(struct buf *b);
void nft_drop(struct buf *b);
void nft_dnat(struct buf *b, const struct ip *to, uint16_t port);
void nft_masquerade(struct buf *b);

#endif
