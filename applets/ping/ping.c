/*
 * ping: echo requests and what comes back (RFC 792, RFC 4443), in iputils' words: its
 * output is read by people and scripts, its exit status is 0 with an answer, 1 without.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "applet.h"
#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "os/fd.h"
#include "os/proc.h"

enum {
	HEADER = 8,
	STAMP = 8, /* bytes of time at the beginning of the payload */
	PAYLOAD = 56,
	PAYLOAD_MAX = 65507 - HEADER,
	LINGER = 10 /* seconds for the last answer, unless -W says otherwise */
};

static const char usage[] =
	"  -c N   end after N requests    -i S   seconds between requests (1)\n"
	"  -W S   wait for an answer (10) -w S   end after S seconds\n"
	"  -s N   bytes of payload (56)   -t N   time to live\n"
	"  -I IF  link or source address  -q     only the summary\n"
	"  -4 -6  family                  -n     no effect\n";

struct options {
	uint64_t count, size, ttl;
	int64_t interval, linger, deadline; /* ns; deadline 0: none */
	const char *from;
	bool quiet;
	int family;
};

struct ping {
	struct options o;
	const char *host;
	int fd, sigfd;
	bool raw; /* else the kernel's ping socket, which has an id of its own */
	uint16_t id;
	struct sockaddr_storage to;
	socklen_t tolen;
	char address[INET6_ADDRSTRLEN + IF_NAMESIZE];
	uint8_t *packet, *answer;
	uint64_t sent, received, duplicates, errors;
	uint8_t seen[65536 / 8]; /* sequence numbers that were answered */
	int64_t start, last, least, most, sum;
	uint64_t squares; /* of microseconds */
	bool stop;
};

static bool v6(const struct ping *p)
{
	return p->to.ss_family == AF_INET6;
}

/* --- options ----------------------------------------------------------------------------- */

static int number(const char *s, uint64_t max, uint64_t *ret, struct err *err)
{
	if (num_u64(s, 0, max, ret) < 0)
		return err_set(err, ERR_INVALID, "ping: invalid argument: '%s'", s);
	return 0;
}

static int seconds(const char *s, int64_t *ret, struct err *err)
{
	if (num_duration(s, ret) < 0 || *ret < 0)
		return err_set(err, ERR_INVALID, "ping: invalid argument: '%s'", s);
	return 0;
}

static int one_option(struct options *o, int c, const char *word, struct err *err)
{
	switch (c) {
	case '4':
		o->family = AF_INET;
		return 0;
	case '6':
		o->family = AF_INET6;
		return 0;
	case 'c':
		return number(optarg, INT32_MAX, &o->count, err);
	case 's':
		return number(optarg, PAYLOAD_MAX, &o->size, err);
	case 't':
		return number(optarg, 255, &o->ttl, err);
	case 'i':
		return seconds(optarg, &o->interval, err);
	case 'W':
		return seconds(optarg, &o->linger, err);
	case 'w':
		return seconds(optarg, &o->deadline, err);
	case 'I':
		o->from = optarg;
		return 0;
	case 'q':
		o->quiet = true;
		return 0;
	case 'n':
		return 0;
	default:
		return err_set(err, ERR_INVALID,
			       "ping: %s: unrecognized, or its value is missing", word);
	}
}

static int read_options(int argc, char **argv, struct ping *p, struct err *err)
{
	int c;

	opterr = 0;
	optind = 1;
	while ((c = getopt(argc, argv, "46c:s:t:i:W:w:I:qn")) >= 0)
		if (one_option(&p->o, c, argv[optind - 1], err) < 0)
			return -1;
	if (optind + 1 != argc)
		return err_set(err, ERR_INVALID, "ping: usage error: %s",
			       optind < argc ? "one destination, please"
					     : "Destination address required");
	p->host = argv[optind];
	/* a flood is nothing for a console */
	p->o.interval = MAX(p->o.interval, 2 * NS_PER_MS);
	return 0;
}

/* --- the socket -------------------------------------------------------------------------- */

static int resolve(struct ping *p, struct err *err)
{
	struct addrinfo hints = {.ai_family = p->o.family, .ai_socktype = SOCK_RAW};
	struct addrinfo *list = NULL;
	int r = getaddrinfo(p->host, NULL, &hints, &list);

	if (r != 0)
		return err_set(err, ERR_NOT_FOUND, "ping: %s: %s", p->host,
			       r == EAI_NONAME	? "Name or service not known"
			       : r == EAI_AGAIN ? "Temporary failure in name resolution"
						: gai_strerror(r));
	memcpy(&p->to, list->ai_addr, list->ai_addrlen);
	p->tolen = list->ai_addrlen;
	freeaddrinfo(list);
	getnameinfo((struct sockaddr *)&p->to, p->tolen, p->address, sizeof(p->address),
		    NULL, 0, NI_NUMERICHOST);
	return 0;
}

/* -I: a link, or one of our addresses. */
static int bind_from(struct ping *p, struct err *err)
{
	struct addrinfo hints = {.ai_family = p->to.ss_family,
				 .ai_flags = AI_NUMERICHOST};
	struct addrinfo *list = NULL;
	const char *from = p->o.from;
	int ok;

	if (getaddrinfo(from, NULL, &hints, &list) != 0) {
		if (setsockopt(p->fd, SOL_SOCKET, SO_BINDTODEVICE, from,
			       (socklen_t)strlen(from) + 1) < 0)
			return err_sys(err, errno, "ping: %s", from);
		return 0;
	}
	ok = bind(p->fd, list->ai_addr, list->ai_addrlen);
	if (ok < 0)
		err_sys(err, errno, "ping: bind to %s", from);
	freeaddrinfo(list);
	return ok;
}

/* Is there a way there at all? A packet socket would not say. */
static int check_route(const struct ping *p, struct err *err)
{
	struct sockaddr_storage to = p->to;
	FD_AUTO fd = socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	/* a port for connect(2), at the same place for both families; nothing is sent */
	((struct sockaddr_in *)(void *)&to)->sin_port = htons(1025);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&to, p->tolen) < 0 &&
	    errno != EACCES)
		return err_sys(err, errno, "ping: connect");
	return 0;
}

static int open_socket(struct ping *p, struct err *err)
{
	int proto = v6(p) ? IPPROTO_ICMPV6 : IPPROTO_ICMP, on = 1, ttl = (int)p->o.ttl;

	p->fd = socket(p->to.ss_family, SOCK_RAW | SOCK_CLOEXEC, proto);
	p->raw = p->fd >= 0;
	if (p->fd < 0) /* not root: net.ipv4.ping_group_range says who may */
		p->fd = socket(p->to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, proto);
	if (p->fd < 0)
		return err_sys(err, errno, "ping: socket");
	if (v6(p))
		setsockopt(p->fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof(on));
	else
		setsockopt(p->fd, IPPROTO_IP, IP_RECVTTL, &on, sizeof(on));
	setsockopt(p->fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
	if (ttl && setsockopt(p->fd, v6(p) ? (int)IPPROTO_IPV6 : (int)IPPROTO_IP,
			      v6(p) ? IPV6_UNICAST_HOPS : IP_TTL, &ttl, sizeof(ttl)) < 0)
		return err_sys(err, errno, "ping: time to live");
	return p->o.from ? bind_from(p, err) : 0;
}

static uint16_t checksum(const uint8_t *data, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < n; i += 2)
		sum += get_be16(data + i);
	if (n % 2)
		sum += (uint32_t)data[n - 1] << 8;
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~(sum + (sum >> 16));
}

/* --- requests ---------------------------------------------------------------------------- */

static void send_request(struct ping *p)
{
	uint8_t *m = p->packet;
	size_t n = HEADER + p->o.size;

	p->sent++;
	p->last = time_mono();
	memset(m, 0, HEADER);
	m[0] = v6(p) ? ICMP6_ECHO_REQUEST : ICMP_ECHO;
	put_be16(m + 4, p->id);
	put_be16(m + 6, (uint16_t)p->sent);
	if (p->o.size >= STAMP)
		put_be64(m + HEADER, (uint64_t)time_mono());
	p->seen[(p->sent & 0xffff) / 8] &= (uint8_t) ~(1U << p->sent % 8);
	if (!v6(p)) /* of IPv6 the kernel does it */
		put_be16(m + 2, checksum(m, n));
	if (sendto(p->fd, m, n, 0, (struct sockaddr *)&p->to, p->tolen) < 0) {
		p->errors++;
		fprintf(stderr, "ping: sendmsg: %s\n", strerror(errno));
	}
}

/* --- answers ------------------------------------------------------------------------------ */

static void print_time(int64_t ns)
{
	double ms = (double)ns / 1e6;

	printf("%.*f ms", ms >= 100 ? 0 : ms >= 10 ? 1 : ms >= 1 ? 2 : 3, ms);
}

static void echo(struct ping *p, const uint8_t *m, size_t n, int ttl, const char *from)
{
	uint16_t seq = get_be16(m + 6);
	bool again = p->seen[seq / 8] & 1U << seq % 8;
	bool timed = n >= HEADER + STAMP && p->o.size >= STAMP;
	int64_t took = timed ? time_mono() - (int64_t)get_be64(m + HEADER) : 0;

	if ((p->raw && get_be16(m + 4) != p->id) || took < 0)
		return;
	p->seen[seq / 8] |= (uint8_t)(1U << seq % 8);
	if (again) {
		p->duplicates++;
	} else {
		p->received++;
		p->least = p->received == 1 ? took : MIN(p->least, took);
		p->most = MAX(p->most, took);
		p->sum += took;
		p->squares += (uint64_t)(took / 1000) * (uint64_t)(took / 1000);
	}
	if (p->o.quiet)
		return;
	printf("%zu bytes from %s: icmp_seq=%u", n, from, seq);
	if (ttl >= 0)
		printf(" ttl=%d", ttl);
	if (timed) {
		printf(" time=");
		print_time(took);
	}
	puts(again ? " (DUP!)" : "");
}

static const char *unreachable4(unsigned type, unsigned code)
{
	static const char *const codes[] = {
		"Destination Net Unreachable",	    "Destination Host Unreachable",
		"Destination Protocol Unreachable", "Destination Port Unreachable",
		"Frag needed and DF set",	    "Source Route Failed",
	};

	if (type == ICMP_TIME_EXCEEDED)
		return code ? "Frag reassembly time exceeded" : "Time to live exceeded";
	if (type != ICMP_DEST_UNREACH)
		return NULL;
	return code < ARRAY_LEN(codes) ? codes[code]
	       : code == 13	       ? "Packet filtered"
				       : "Destination Unreachable";
}

static const char *unreachable6(unsigned type, unsigned code)
{
	static const char *const codes[] = {
		"No route",
		"Administratively prohibited",
		"Beyond scope of source address",
		"Address unreachable",
		"Port unreachable",
	};

	if (type == ICMP6_TIME_EXCEEDED)
		return code ? "Defragmentation failure" : "Time exceeded: Hop limit";
	if (type != ICMP6_DST_UNREACH)
		return NULL;
	return code < ARRAY_LEN(codes) ? codes[code] : "Destination unreachable";
}

/* An error about a request of ours: it quotes the packet's IP header and 8 bytes more. */
static void complaint(struct ping *p, const uint8_t *m, size_t n, const char *from)
{
	const char *what = v6(p) ? unreachable6(m[0], m[1]) : unreachable4(m[0], m[1]);
	const uint8_t *quoted = m + HEADER;
	size_t head = v6(p) ? 40 : (n > HEADER ? (quoted[0] & 15U) * 4 : 0);

	if (!what || n < HEADER + head + HEADER || (!v6(p) && head < 20))
		return;
	quoted += head;
	if (quoted[0] != (v6(p) ? ICMP6_ECHO_REQUEST : ICMP_ECHO) ||
	    get_be16(quoted + 4) != p->id)
		return;
	p->errors++;
	if (!p->o.quiet)
		printf("From %s icmp_seq=%u %s\n", from, get_be16(quoted + 6), what);
}

/* The only thing that was asked for beside the packet; -1: it is not there. */
static int hops(struct msghdr *msg)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	int ttl;

	if (!c || !((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL) ||
		    (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_HOPLIMIT)))
		return -1;
	memcpy(&ttl, CMSG_DATA(c), sizeof(ttl));
	return ttl;
}

static void receive(struct ping *p)
{
	char from[INET6_ADDRSTRLEN + IF_NAMESIZE] = "?";
	struct sockaddr_storage peer;
	struct iovec iov = {p->answer, 65536};
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(int)) * 2];
	} control;
	struct msghdr msg = {.msg_name = &peer,
			     .msg_namelen = sizeof(peer),
			     .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof(control.bytes)};
	ssize_t got = recvmsg(p->fd, &msg, MSG_DONTWAIT);
	const uint8_t *m = p->answer;
	size_t n = (size_t)MAX(got, 0);

	if (got < 0)
		return;
	if (p->raw && !v6(p)) { /* with its IP header */
		size_t head = n ? (m[0] & 15U) * 4 : 0;

		if (head < 20 || n < head)
			return;
		m += head;
		n -= head;
	}
	if (n < HEADER)
		return;
	p->last = time_mono();
	getnameinfo((struct sockaddr *)&peer, msg.msg_namelen, from, sizeof(from), NULL,
		    0, NI_NUMERICHOST);
	if (m[0] == (v6(p) ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY))
		echo(p, m, n, hops(&msg), from);
	else
		complaint(p, m, n, from);
}

/* --- all of it ----------------------------------------------------------------------------- */

static uint64_t root(uint64_t n)
{
	uint64_t r = 0;

	for (uint64_t bit = UINT64_C(1) << 31; bit; bit >>= 1)
		if ((r + bit) * (r + bit) <= n)
			r += bit;
	return r;
}

static void summary(const struct ping *p)
{
	uint64_t n = p->received, mean, us[4];

	printf("\n--- %s ping statistics ---\n", p->host);
	printf("%llu packets transmitted, %llu received", (unsigned long long)p->sent,
	       (unsigned long long)n);
	if (p->duplicates)
		printf(", +%llu duplicates", (unsigned long long)p->duplicates);
	if (p->errors)
		printf(", +%llu errors", (unsigned long long)p->errors);
	printf(", %.6g%% packet loss, time %lldms\n",
	       p->sent ? (double)(p->sent - n) * 100 / (double)p->sent : 0.0,
	       (long long)((p->last - p->start) / NS_PER_MS));
	if (!n || p->o.size < STAMP) {
		putchar('\n');
		return;
	}
	mean = (uint64_t)p->sum / 1000 / n;
	us[0] = (uint64_t)p->least / 1000;
	us[1] = mean;
	us[2] = (uint64_t)p->most / 1000;
	us[3] = root(p->squares / n > mean * mean ? p->squares / n - mean * mean : 0);
	printf("rtt min/avg/max/mdev = ");
	for (int i = 0; i < 4; i++)
		printf("%llu.%03llu%s", (unsigned long long)us[i] / 1000,
		       (unsigned long long)us[i] % 1000, i < 3 ? "/" : " ms\n");
}

/* Waits for an answer or a signal until a time. */
static void wait_until(struct ping *p, int64_t when)
{
	struct pollfd fds[] = {{.fd = p->fd, .events = POLLIN},
			       {.fd = p->sigfd, .events = POLLIN}};
	int64_t left = when - time_mono();

	fflush(stdout);
	if (poll(fds, 2,
		 (int)MIN((MAX(left, 0) + NS_PER_MS - 1) / NS_PER_MS,
			  INT64_C(1000000))) <= 0)
		return;
	if (fds[1].revents)
		p->stop = true;
	else
		receive(p);
}

/* With a time to end at, -c counts answers, not requests. */
static bool enough(const struct ping *p)
{
	return p->o.count && (p->o.deadline ? p->received : p->sent) >= p->o.count;
}

static void loop(struct ping *p)
{
	int64_t end = p->o.deadline ? p->start + p->o.deadline : INT64_MAX;
	int64_t next = p->start;

	while (!p->stop && time_mono() < end && !enough(p)) {
		if (time_mono() >= next) {
			send_request(p);
			next += p->o.interval;
		}
		if (!enough(p))
			wait_until(p, MIN(next, end));
	}
	end = MIN(end, time_mono() + p->o.linger);
	while (!p->stop && p->received + p->errors < p->sent && time_mono() < end)
		wait_until(p, end);
}

static int prepare(struct ping *p, struct err *err)
{
	sigset_t set;

	if (resolve(p, err) < 0 || (!p->o.from && check_route(p, err) < 0) ||
	    open_socket(p, err) < 0)
		return -1;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	p->sigfd = signalfd(-1, &set, SFD_CLOEXEC);
	if (p->sigfd < 0)
		return err_sys(err, errno, "ping: signalfd");
	proc_random(&p->id, sizeof(p->id));
	p->packet = xcalloc(1, HEADER + p->o.size);
	for (size_t i = 0; i < p->o.size; i++)
		p->packet[HEADER + i] = (uint8_t)i;
	p->answer = xmalloc(65536);
	return 0;
}

static int run(int argc, char **argv, struct err *err)
{
	static struct ping p;

	p = (struct ping){.fd = -1,
			  .sigfd = -1,
			  .o = {.size = PAYLOAD,
				.interval = NS_PER_SEC,
				.linger = LINGER * NS_PER_SEC}};
	if (read_options(argc, argv, &p, err) < 0)
		return -1;
	if (prepare(&p, err) < 0) {
		fprintf(stderr, "%s\n", err->msg);
		return 2;
	}
	if (v6(&p))
		printf("PING %s(%s) %llu data bytes\n", p.host, p.address,
		       (unsigned long long)p.o.size);
	else
		printf("PING %s (%s) %llu(%llu) bytes of data.\n", p.host, p.address,
		       (unsigned long long)p.o.size, (unsigned long long)p.o.size + 28);
	p.start = time_mono();
	loop(&p);
	summary(&p);
	free(p.packet);
	free(p.answer);
	fd_close(&p.fd);
	fd_close(&p.sigfd);
	return p.received ? 0 : 1;
}

const struct applet applet_ping = {
	.name = "ping",
	.alias = "ping6",
	.purpose = "echo requests to a host",
	.synopsis = "[OPTION]... HOST",
	.usage = usage,
	.run = run,
};
