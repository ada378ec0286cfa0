/* genl: families of generic netlink (linux/genetlink.h) and their multicast groups. A pure codec. */
#ifndef WIRE_GENL_H
#define WIRE_GENL_H

#include "base/buf.h"

/* Appends the request for what the kernel knows of a family. */
void genl_family_get(struct buf *b, const char *name);

/* The number of the family's first multicast group, from the n bytes of the answer; 0: none. */
unsigned genl_family_group(const void *reply, size_t n);

#endif
