/* netlink: a netlink socket, and one request and its answer. */
#ifndef OS_NETLINK_H
#define OS_NETLINK_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * Opens a socket of a netlink protocol (NETLINK_ROUTE, NETLINK_NETFILTER) in the current
 * network namespace; it stays there. An owned fd or -1.
 */
int netlink_open(int protocol, struct err *err);

/*
 * Opens a socket that hears the messages of multicast groups (RTNLGRP_x numbers, ended by
 * 0). Non-blocking. An owned fd or -1.
 */
int netlink_listen(int protocol, const unsigned *groups, struct err *err);

/*
 * Sends the n bytes of req, one message or a batch, and waits until the last message that
 * wants an answer (NLM_F_ACK or NLM_F_DUMP) has got it. What the kernel answered, the
 * acknowledgements aside, is appended to reply (which may be NULL). A dump that was
 * interrupted by a change is repeated. 0, or -1: err->sys is the kernel's error, with the
 * kernel's own words where it has any.
 */
int netlink_call(int fd, const void *req, size_t n, struct buf *reply, struct err *err);

#endif
