/* ss: sockets of the network, by sock_diag(7). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "applets.h"
#include "base/buf.h"
#include "base/num.h"
#include "base/str.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/netlink.h"
#include "tool.h"
#include "wire/ip.h"
#include "wire/nl.h"

enum { LISTEN = 10, ESTABLISHED = 1, CLOSED = 7 };

static const char usage[] =
	"  -t, --tcp\n"
	"  -u, --udp               (both, if none is named)\n"
	"  -l, --listening         only what waits for others\n"
	"  -a, --all               also what waits (default: only what is connected)\n"
	"  -p, --processes         whose they are\n"
	"  -n, --numeric           (always so)\n"
	"  -4, --ipv4\n"
	"  -6, --ipv6\n";

static const char states[][12] = {"?",		"ESTAB",      "SYN-SENT",  "SYN-RECV",
				  "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "UNCONN",
				  "CLOSE-WAIT", "LAST-ACK",   "LISTEN",	   "CLOSING",
				  "NEW-SYN"};

/* Whose a socket is: found once, by the inode that /proc/PID/fd shows. */
struct owner {
	uint64_t inode;
	int pid;
	char name[20];
};

struct ss {
	struct tool t;
	struct owner *owners;
	size_t n;
};

static void own(struct ss *s, uint64_t inode, int pid, const char *name)
{
	if (!(s->n & (s->n - 1)))
		s->owners =
			xrealloc(s->owners, (s->n ? 2 * s->n : 1) * sizeof(*s->owners));
	s->owners[s->n] = (struct owner){.inode = inode, .pid = pid};
	str_copy(s->owners[s->n++].name, sizeof(s->owners->name), name);
}

static void find_of(struct ss *s, int pid)
{
	char path[64], target[64], name[20] = "?";
	BUF_AUTO comm = {0};
	struct err ignored;
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	if (file_read(AT_FDCWD, path, 64, &comm, &ignored) == 0 && comm.len) {
		comm.len--;
		str_copy(name, sizeof(name), buf_str(&comm));
	}
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		ssize_t n = readlinkat(dirfd(d), e->d_name, target, sizeof(target) - 1);

		target[MAX(n, 0)] = 0;
		if (str_starts(target, "socket:["))
			own(s, strtoull(target + 8, NULL, 10), pid, name);
	}
	if (d)
		closedir(d);
}

static void find_owners(struct ss *s)
{
	DIR *d = opendir("/proc");
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9')
			find_of(s, atoi(e->d_name));
	if (d)
		closedir(d);
}

static void print_owners(const struct ss *s, uint64_t inode)
{
	bool any = false;

	for (size_t i = 0; i < s->n; i++) {
		if (s->owners[i].inode != inode)
			continue;
		printf("%s", any ? "," : " ");
		tool_print(s->owners[i].name);
		printf("[%d]", s->owners[i].pid);
		any = true;
	}
}

static void print_end(uint8_t family, const void *address, uint16_t port)
{
	struct ip ip = {.v6 = family == AF_INET6};
	char text[IP_TEXT], end[IP_TEXT + 10], number[8] = "*";

	memcpy(ip.b, address, ip_len(&ip));
	ip_format(text, &ip);
	if (port)
		snprintf(number, sizeof(number), "%u", ntohs(port));
	snprintf(end, sizeof(end), ip.v6 ? "[%s]:%s" : "%s:%s", text, number);
	printf(" %-27s", end);
}

static void print(const struct ss *s, bool tcp, const struct inet_diag_msg *m)
{
	printf("%s %-10s %6u %6u", tcp ? "tcp" : "udp",
	       m->idiag_state < ARRAY_LEN(states) ? states[m->idiag_state] : "?",
	       m->idiag_rqueue, m->idiag_wqueue);
	print_end(m->idiag_family, m->id.idiag_src, m->id.idiag_sport);
	print_end(m->idiag_family, m->id.idiag_dst, m->id.idiag_dport);
	if (s->n)
		print_owners(s, m->idiag_inode);
	putchar('\n');
}

static int dump(struct ss *s, int fd, bool tcp, uint8_t family, uint32_t want,
		struct err *err)
{
	const struct inet_diag_req_v2 req = {
		.sdiag_family = family,
		.sdiag_protocol = tcp ? IPPROTO_TCP : IPPROTO_UDP,
		.idiag_states = want,
	};
	BUF_AUTO request = {0};
	BUF_AUTO reply = {0};
	struct nl_view view;
	struct nl_msg msg;
	size_t at = nl_begin(&request, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP);

	nl_put(&request, &req, sizeof(req));
	nl_end(&request, at);
	if (netlink_call(fd, request.data, request.len, &reply, err) < 0) {
		/* a kernel without this protocol or without its module has no sockets of it */
		return err->sys == ENOENT ? 0 : err_wrap(err, "ss");
	}
	view = (struct nl_view){reply.data, reply.len};
	while (nl_next(&view, &msg)) {
		struct inet_diag_msg m;
		const uint8_t *head = nl_take(&msg.body, sizeof(m));

		if (!head)
			continue;
		memcpy(&m, head, sizeof(m));
		print(s, tcp, &m);
	}
	return 0;
}

static uint32_t states_of(const struct ss *s, bool tcp)
{
	uint32_t waits = tcp ? 1U << LISTEN : 1U << CLOSED;

	if (opts_flag(&s->t.o, "listening"))
		return waits;
	return opts_flag(&s->t.o, "all") ? ~0U : ~(waits | 1U << LISTEN | 1U << CLOSED);
}

static int run(int argc, char **argv, struct err *err)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	FD_AUTO fd = -1;
	struct ss s = {0};
	bool v4, v6, tcp, udp;

	if (tool_start(&s.t, &applet_ss, argc, argv, 0, 0, err) < 0)
		return -1;
	v4 = opts_flag(&s.t.o, "ipv4");
	v6 = opts_flag(&s.t.o, "ipv6");
	tcp = opts_flag(&s.t.o, "tcp");
	udp = opts_flag(&s.t.o, "udp");
	fd = netlink_open(NETLINK_SOCK_DIAG, err);
	if (fd < 0)
		return err_wrap(err, "ss");
	if (opts_flag(&s.t.o, "processes"))
		find_owners(&s);
	printf("    STATE      RECV-Q SEND-Q %-27s %-27s\n", "LOCAL", "PEER");
	for (unsigned i = 0; i < 4; i++) {
		bool is_tcp = i < 2;

		if ((is_tcp ? !tcp && udp : !udp && tcp) ||
		    (i % 2 ? v4 && !v6 : v6 && !v4))
			continue;
		if (dump(&s, fd, is_tcp, families[i % 2], states_of(&s, is_tcp), err) < 0)
			return -1;
	}
	free(s.owners);
	return tool_end(&s.t, err);
}

const struct applet applet_ss = {
	.name = "ss",
	.alias = "netstat",
	.purpose = "list TCP and UDP sockets",
	.synopsis = "[-tulap46]",
	.usage = usage,
	.run = run,
};
