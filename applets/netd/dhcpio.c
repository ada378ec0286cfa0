/* The sockets of a DHCP client, and the file that keeps its lease. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "netd.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/proc.h"

enum {
	RX_MAX = DHCP4_MAX + 60 + 8, /* IP header with options, UDP header */
	PACKETS = 16,		     /* read at a time, others have a turn too */
	ARP_SIZE = 28,
	ARP_SENDER_MAC = 8,
	ARP_SENDER_IP = 14,
	ARP_TARGET_IP = 24
};

static void warn(struct dhcp *d, const char *what)
{
	log_warn(&d->link->netd->s->log, "%s: dhcp: %s: %s", d->link->is.name, what,
		 strerror(errno));
}

static void close_one(struct loop_fd *src)
{
	if (src->fd < 0)
		return;
	loop_fd_del(src);
	fd_close(&src->fd);
}

void dhcp_io_close(struct dhcp *d)
{
	close_one(&d->packet);
	close_one(&d->udp);
	close_one(&d->arp);
}

static void watch(struct dhcp *d, struct loop_fd *src, int fd_taken,
		  void (*fn)(struct loop_fd *src, unsigned events))
{
	struct err err;

	src->fd = fd_taken;
	src->fn = fn;
	if (loop_fd_add(d->link->netd->loop, src, LOOP_IN, &err) < 0) {
		log_warn(&d->link->netd->s->log, "%s", err.msg);
		fd_close(&src->fd);
	}
}

/* --- receiving --------------------------------------------------------------------------- */

static void take(struct dhcp *d, const uint8_t *p, size_t n)
{
	static const enum dhcp_event events[] = {
		[DHCP4_OFFER] = DHCP_EV_OFFER,
		[DHCP4_ACK] = DHCP_EV_ACK,
		[DHCP4_NAK] = DHCP_EV_NAK,
	};
	struct dhcp4_reply r;

	if (dhcp4_read(p, n, &r) < 0 || r.xid != d->xid ||
	    memcmp(r.mac, d->link->is.mac, DHCP4_MAC) != 0)
		return;
	d->rx = p;
	d->nrx = n;
	dhcp_event(d, events[r.type], &r);
	d->rx = NULL;
}

static void on_packet(struct loop_fd *src, unsigned events)
{
	struct dhcp *d = container_of(src, struct dhcp, packet);
	uint8_t data[RX_MAX];

	(void)events;
	for (int i = 0; i < PACKETS && src->fd >= 0; i++) {
		union {
			struct cmsghdr align;
			uint8_t bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
		} control;
		struct iovec iov = {data, sizeof(data)};
		struct msghdr msg = {.msg_iov = &iov,
				     .msg_iovlen = 1,
				     .msg_control = control.bytes,
				     .msg_controllen = sizeof(control.bytes)};
		ssize_t got = recvmsg(src->fd, &msg, 0);
		struct cmsghdr *c = got < 0 ? NULL : CMSG_FIRSTHDR(&msg);
		struct tpacket_auxdata aux = {0};
		const uint8_t *payload;
		size_t n;

		if (got < 0)
			return; /* EAGAIN, or the link has gone down */
		if (c && c->cmsg_level == SOL_PACKET && c->cmsg_type == PACKET_AUXDATA)
			memcpy(&aux, CMSG_DATA(c), sizeof(aux));
		payload = dhcp4_unframe(data, (size_t)got,
					aux.tp_status & TP_STATUS_CSUMNOTREADY, &n);
		if (payload)
			take(d, payload, n);
	}
}

static void on_udp(struct loop_fd *src, unsigned events)
{
	struct dhcp *d = container_of(src, struct dhcp, udp);
	uint8_t data[DHCP4_MAX];

	(void)events;
	for (int i = 0; i < PACKETS && src->fd >= 0; i++) {
		ssize_t got = recv(src->fd, data, sizeof(data), 0);

		/* an error here is an ICMP message about what was sent */
		if (got < 0 && (errno == EAGAIN || errno == EBADF))
			return;
		if (got > 0)
			take(d, data, (size_t)got);
	}
}

/* RFC 5227 2.1.1: who says that the address is his, or tries it out as we do? */
static bool conflicts(const struct dhcp *d, const uint8_t *p, size_t n)
{
	uint32_t sender, target;

	if (n < ARP_SIZE || get_be16(p) != ARPHRD_ETHER || get_be16(p + 2) != ETH_P_IP ||
	    memcmp(p + ARP_SENDER_MAC, d->link->is.mac, DHCP4_MAC) == 0)
		return false;
	sender = get_be32(p + ARP_SENDER_IP);
	target = get_be32(p + ARP_TARGET_IP);
	return sender == d->lease.yiaddr || (sender == 0 && target == d->lease.yiaddr &&
					     get_be16(p + 6) == ARPOP_REQUEST);
}

static void on_arp(struct loop_fd *src, unsigned events)
{
	struct dhcp *d = container_of(src, struct dhcp, arp);
	uint8_t data[64];

	(void)events;
	for (int i = 0; i < PACKETS && src->fd >= 0; i++) {
		ssize_t got = recv(src->fd, data, sizeof(data), 0);

		if (got < 0)
			return;
		if (conflicts(d, data, (size_t)got)) {
			dhcp_event(d, DHCP_EV_CONFLICT, NULL);
			return;
		}
	}
}

/* --- sockets ----------------------------------------------------------------------------- */

/* Only UDP to the client's port, no fragments: the kernel sorts out the rest. */
static int filter(int fd)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 6),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 6),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x3fff, 4, 0),
		BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
		BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, DHCP4_CLIENT_PORT, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, RX_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog prog = {.len = ARRAY_LEN(f), .filter = f};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
}

static struct sockaddr_ll everyone(const struct dhcp *d, uint16_t protocol)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET,
				 .sll_protocol = htons(protocol),
				 .sll_ifindex = (int)d->link->is.index,
				 .sll_halen = DHCP4_MAC};

	memset(to.sll_addr, 0xff, DHCP4_MAC);
	return to;
}

/* Protocol 0 hears nothing until it is bound: no packet passes before the filter is there. */
static int open_packet(const struct dhcp *d, uint16_t protocol)
{
	FD_AUTO fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_ll at = everyone(d, protocol);
	int on = 1;

	if (fd < 0 || (protocol == ETH_P_IP && filter(fd) < 0) ||
	    setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		return -1;
	return fd_take(&fd);
}

void dhcp_io_packet(struct dhcp *d)
{
	int fd;

	if (d->packet.fd >= 0)
		return;
	fd = open_packet(d, ETH_P_IP);
	if (fd < 0)
		warn(d, "open a packet socket");
	else
		watch(d, &d->packet, fd, on_packet);
}

void dhcp_io_arp(struct dhcp *d)
{
	int fd;

	if (d->arp.fd >= 0)
		return;
	fd = open_packet(d, ETH_P_ARP);
	if (fd < 0)
		warn(d, "open an ARP socket");
	else
		watch(d, &d->arp, fd, on_arp);
}

static int open_udp(const struct dhcp *d)
{
	FD_AUTO fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_port = htons(DHCP4_CLIENT_PORT)};
	const char *name = d->link->is.name;
	int on = 1;

	at.sin_addr.s_addr = htonl(d->lease.yiaddr);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name,
		       (socklen_t)strlen(name) + 1) < 0 ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		return -1;
	return fd_take(&fd);
}

void dhcp_io_udp(struct dhcp *d)
{
	int fd;

	if (d->udp.fd >= 0)
		return;
	fd = open_udp(d);
	if (fd < 0)
		warn(d, "open a UDP socket");
	else
		watch(d, &d->udp, fd, on_udp);
}

/* --- sending ----------------------------------------------------------------------------- */

static void send_to(struct dhcp *d, int fd, const struct buf *b, const void *to,
		    socklen_t len)
{
	/* a link that goes down at this moment is no news */
	if (fd >= 0 && sendto(fd, b->data, b->len, 0, to, len) < 0 && errno != ENETDOWN &&
	    errno != ENXIO && errno != ENODEV)
		warn(d, "send");
}

void dhcp_io_broadcast(struct dhcp *d, const struct dhcp4_request *r)
{
	struct sockaddr_ll to = everyone(d, ETH_P_IP);
	BUF_AUTO message = {0};
	BUF_AUTO packet = {0};

	dhcp4_write(&message, r);
	dhcp4_frame(&packet, 0, UINT32_MAX, message.data, message.len);
	send_to(d, d->packet.fd, &packet, &to, sizeof(to));
}

void dhcp_io_send(struct dhcp *d, uint32_t addr, const struct dhcp4_request *r)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(DHCP4_SERVER_PORT)};
	BUF_AUTO message = {0};

	to.sin_addr.s_addr = htonl(addr);
	dhcp4_write(&message, r);
	send_to(d, d->udp.fd, &message, &to, sizeof(to));
}

void dhcp_io_probe(struct dhcp *d, uint32_t addr, bool announce)
{
	struct sockaddr_ll to = everyone(d, ETH_P_ARP);
	uint8_t arp[ARP_SIZE] = {0};
	struct buf b = {.data = arp, .len = sizeof(arp)};

	put_be16(arp, ARPHRD_ETHER);
	put_be16(arp + 2, ETH_P_IP);
	arp[4] = DHCP4_MAC;
	arp[5] = 4;
	put_be16(arp + 6, ARPOP_REQUEST);
	memcpy(arp + ARP_SENDER_MAC, d->link->is.mac, DHCP4_MAC);
	put_be32(arp + ARP_SENDER_IP, announce ? addr : 0);
	put_be32(arp + ARP_TARGET_IP, addr);
	send_to(d, d->arp.fd, &b, &to, sizeof(to));
}

/* --- the lease's file -------------------------------------------------------------------- */

/*
 * One line, "cribox-lease 1 BOOT-ID ACQUIRED UNTIL" with times of CLOCK_BOOTTIME, and the
 * server's message as it came: reading it is the same as receiving it.
 */
static void path_of(char dst[RTNL_NAME + 8], const struct dhcp *d)
{
	snprintf(dst, RTNL_NAME + 8, "%s.lease", d->link->is.name);
}

void dhcp_lease_save(struct dhcp *d)
{
	const struct netd *n = d->link->netd;
	char boot[PROC_BOOT_ID], path[RTNL_NAME + 8];
	BUF_AUTO b = {0};
	struct err err;

	if (n->s->lease_dir < 0 || !d->nmessage || proc_boot_id(boot, &err) < 0)
		return;
	path_of(path, d);
	buf_add_fmt(&b, "cribox-lease 1 %s %lld %lld\n", boot, (long long)d->acquired,
		    (long long)d->until);
	buf_add(&b, d->message, d->nmessage);
	if (file_replace(n->s->lease_dir, path, b.data, b.len, 0600, false, &err) < 0)
		log_debug(&n->s->log, "%s", err.msg);
}

void dhcp_lease_forget(struct dhcp *d)
{
	char path[RTNL_NAME + 8];

	path_of(path, d);
	if (d->link->netd->s->lease_dir >= 0)
		unlinkat(d->link->netd->s->lease_dir, path, 0);
}

bool dhcp_lease_load(struct dhcp *d, bool *ret_valid)
{
	enum { HEAD_MAX = 160 };
	const struct netd *n = d->link->netd;
	char boot[PROC_BOOT_ID], of[PROC_BOOT_ID], path[RTNL_NAME + 8];
	long long acquired, until;
	struct dhcp4_reply r;
	BUF_AUTO b = {0};
	const uint8_t *nl;
	struct err err;
	size_t head;

	path_of(path, d);
	if (n->s->lease_dir < 0 || proc_boot_id(boot, &err) < 0 ||
	    file_read(n->s->lease_dir, path, HEAD_MAX + DHCP4_MAX, &b, &err) < 0)
		return false;
	buf_str(&b); /* sscanf wants a NUL */
	nl = memchr(b.data, '\n', MIN(b.len, (size_t)HEAD_MAX));
	if (!nl || sscanf((const char *)b.data, "cribox-lease 1 %39s %lld %lld\n", of,
			  &acquired, &until) != 3)
		return false;
	head = (size_t)(nl + 1 - b.data);
	if (dhcp4_read(nl + 1, b.len - head, &r) < 0 || r.type != DHCP4_ACK ||
	    !r.yiaddr || !r.server || memcmp(r.mac, d->link->is.mac, DHCP4_MAC) != 0)
		return false;
	d->lease = r;
	d->nmessage = b.len - head;
	memcpy(d->message, nl + 1, d->nmessage);
	*ret_valid = str_eq(of, boot) && acquired <= until && time_mono() < until &&
		     time_mono() >= acquired;
	if (*ret_valid)
		dhcp_set_times(d, acquired);
	return true;
}
