#include "os/netlink.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "os/fd.h"

enum {
	RECV_SIZE = 65536,	   /* the kernel never fills more at a time */
	REPLY_MAX = 64 << 20,	   /* a dump of a host's links, rules or routes */
	INTERRUPTED_DUMP_TRIES = 8 /* a table that changes all the time */
};

/* How an exchange stands. */
struct talk {
	uint32_t last; /* sequence number whose answer ends it */
	bool dump;
	bool done;
	bool interrupted;
};

int netlink_open(int protocol, struct err *err)
{
	FD_AUTO fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	struct sockaddr_nl to = {.nl_family = AF_NETLINK};
	int on = 1;

	if (fd < 0)
		return err_sys(err, errno, "open a netlink socket");
	/* the kernel's words in errors; without them it works as well */
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		return err_sys(err, errno, "connect a netlink socket");
	return fd_take(&fd);
}

int netlink_listen(int protocol, const unsigned *groups, struct err *err)
{
	FD_AUTO fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
	struct sockaddr_nl self = {.nl_family = AF_NETLINK};

	if (fd < 0 || bind(fd, (struct sockaddr *)&self, sizeof(self)) < 0)
		return err_sys(err, errno, "open a netlink socket");
	for (; *groups; groups++)
		if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, groups,
			       sizeof(*groups)) < 0)
			return err_sys(err, errno, "netlink: join group %u", *groups);
	return fd_take(&fd);
}

/* Finds the last message of a request that will be answered. */
static int plan(struct talk *t, const uint8_t *req, size_t n, struct err *err)
{
	struct nlmsghdr h;
	bool found = false;

	while (n >= sizeof(h)) {
		size_t len;

		memcpy(&h, req, sizeof(h));
		len = (h.nlmsg_len + 3u) & ~(size_t)3;
		if (h.nlmsg_len < sizeof(h) || len > n)
			break;
		if (h.nlmsg_flags & (NLM_F_ACK | NLM_F_DUMP)) {
			t->last = h.nlmsg_seq;
			t->dump = (h.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
			found = true;
		}
		req += len;
		n -= len;
	}
	return found ? 0 : err_set(err, ERR_INTERNAL, "netlink: nothing would answer");
}

/* The text that NLMSGERR_ATTR_MSG of an error message carries; body is behind the header. */
static const char *kernel_words(const uint8_t *body, size_t n, uint16_t flags)
{
	size_t at = sizeof(int) + sizeof(struct nlmsghdr);
	struct nlattr a;

	if (!(flags & NLM_F_ACK_TLVS))
		return NULL;
	if (!(flags & NLM_F_CAPPED) && n >= at) {
		struct nlmsghdr h;

		memcpy(&h, body + sizeof(int), sizeof(h));
		at += ((h.nlmsg_len + 3u) & ~(size_t)3) - sizeof(h);
	}
	while (at + sizeof(a) <= n) {
		memcpy(&a, body + at, sizeof(a));
		if (a.nla_len < sizeof(a) || a.nla_len > n - at)
			return NULL;
		if (a.nla_type == NLMSGERR_ATTR_MSG && a.nla_len > sizeof(a) &&
		    !body[at + a.nla_len - 1])
			return (const char *)body + at + sizeof(a);
		at += (a.nla_len + 3u) & ~(size_t)3;
	}
	return NULL;
}

/* NLMSG_ERROR and NLMSG_DONE both begin with an errno, negated; 0 is success. */
static int verdict(const struct nlmsghdr *h, const uint8_t *body, size_t n,
		   struct err *err)
{
	const char *words;
	int code;

	if (n < sizeof(code))
		return 0;
	memcpy(&code, body, sizeof(code));
	if (code >= 0)
		return 0;
	words = h->nlmsg_type == NLMSG_ERROR ? kernel_words(body, n, h->nlmsg_flags)
					     : NULL;
	if (!words)
		return err_sys(err, -code, "netlink");
	return err_sys(err, -code, "netlink: %.200s", words);
}

/* One datagram from the kernel. */
static int take(struct talk *t, const uint8_t *p, size_t n, struct buf *reply,
		struct err *err)
{
	struct nlmsghdr h;

	while (n >= sizeof(h)) {
		size_t len;

		memcpy(&h, p, sizeof(h));
		if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > n)
			break;
		len = MIN((h.nlmsg_len + 3u) & ~(size_t)3, n);
		if (h.nlmsg_flags & NLM_F_DUMP_INTR)
			t->interrupted = true;
		if (h.nlmsg_type == NLMSG_ERROR || h.nlmsg_type == NLMSG_DONE) {
			if (verdict(&h, p + sizeof(h), h.nlmsg_len - sizeof(h), err) < 0)
				return -1;
			if (h.nlmsg_seq == t->last)
				t->done = true;
		} else if (reply && h.nlmsg_type >= NLMSG_MIN_TYPE) {
			if (reply->len > REPLY_MAX)
				return err_set(err, ERR_EXHAUSTED,
					       "netlink: the answer is too long");
			buf_add(reply, p, len);
		}
		p += len;
		n -= len;
	}
	return 0;
}

/* What is still queued belongs to a request that has failed. */
static void drain(int fd)
{
	char c;

	while (recv(fd, &c, 1, MSG_DONTWAIT | MSG_TRUNC) >= 0 || errno == EINTR)
		;
}

static int exchange(int fd, const void *req, size_t n, struct talk *t, struct buf *reply,
		    struct err *err)
{
	BUF_AUTO in = {0};

	t->done = t->interrupted = false;
	if (send(fd, req, n, 0) != (ssize_t)n)
		return err_sys(err, errno, "netlink: send");
	while (!t->done) {
		ssize_t got = recv(fd, buf_reserve(&in, RECV_SIZE), RECV_SIZE, MSG_TRUNC);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_sys(err, errno, "netlink: receive");
		if (got > RECV_SIZE)
			return err_set(err, ERR_INTERNAL,
				       "netlink: a message of %zd bytes", got);
		if (take(t, in.data, (size_t)got, reply, err) < 0)
			return -1;
	}
	return 0;
}

int netlink_call(int fd, const void *req, size_t n, struct buf *reply, struct err *err)
{
	size_t start = reply ? reply->len : 0;
	struct talk t = {0};

	if (plan(&t, req, n, err) < 0)
		return -1;
	for (int i = 0; i < INTERRUPTED_DUMP_TRIES; i++) {
		if (reply)
			reply->len = start;
		if (exchange(fd, req, n, &t, reply, err) < 0) {
			drain(fd);
			return -1;
		}
		if (!t.interrupted)
			return 0;
	}
	return err_set(err, ERR_ABORTED,
		       "netlink: what is asked for changes all the time");
}
