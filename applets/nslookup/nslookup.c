/*
 * nslookup: asks name servers, one after the other, and says what each answers: the tool for
 * "the registry's name cannot be resolved". BIND's words, as far as they go.
 */
#include <arpa/nameser.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <resolv.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "applet.h"
#include "base/buf.h"
#include "base/str.h"
#include "base/time.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/proc.h"
#include "wire/ip.h"

enum {
	SERVERS = 3,
	SEARCH = 8,
	NAME = 256,
	ANSWER = 4096,
	TRIES = 2,
	WAIT_MS = 2000,
	CONF_MAX = 65536,
	REVERSE = 80 /* bytes of an address's name below ip6.arpa */
};

struct resolv {
	unsigned nservers, nsearch;
	char servers[SERVERS][NAME];
	char search[SEARCH][NAME];
};

/* The lines of resolv.conf(5) that matter here. */
static void read_conf(struct resolv *r)
{
	BUF_AUTO b = {0};
	struct err ignored;
	char *line, *next;

	if (file_read(AT_FDCWD, "/etc/resolv.conf", CONF_MAX, &b, &ignored) < 0)
		return;
	buf_str(&b);
	for (line = (char *)b.data; line; line = next) {
		char *word, *rest = NULL;

		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		word = strtok_r(line, " \t", &rest);
		if (!word)
			continue;
		if (str_eq(word, "nameserver")) {
			word = strtok_r(NULL, " \t", &rest);
			if (word && r->nservers < SERVERS)
				str_copy(r->servers[r->nservers++], NAME, word);
		} else if (str_eq(word, "search") || str_eq(word, "domain")) {
			while (r->nsearch < SEARCH &&
			       (word = strtok_r(NULL, " \t", &rest)))
				str_copy(r->search[r->nsearch++], NAME, word);
		}
	}
}

/* Connected to port 53 of a server, by address or name. An owned fd or -1. */
static int reach(const char *server, char address[NAME], struct err *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *list = NULL;
	FD_AUTO fd = -1;

	if (getaddrinfo(server, "53", &hints, &list) != 0)
		return err_set(err, ERR_NOT_FOUND,
			       "nslookup: couldn't get address for '%s'", server);
	getnameinfo(list->ai_addr, list->ai_addrlen, address, NAME, NULL, 0,
		    NI_NUMERICHOST);
	fd = socket(list->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, list->ai_addr, list->ai_addrlen) < 0)
		err_sys(err, errno, "nslookup: %s", server);
	else
		err->code = ERR_NONE;
	freeaddrinfo(list);
	return err->code == ERR_NONE ? fd_take(&fd) : -1;
}

/* One question. The answer's bytes; 0: none came; -1. */
static int ask(int fd, const char *name, int type, uint8_t answer[ANSWER],
	       struct err *err)
{
	uint8_t query[512];
	uint16_t id;
	int n = res_mkquery(0, name, 1 /* IN */, type, NULL, 0, NULL, query,
			    sizeof(query));

	if (n < 0)
		return err_set(err, ERR_INVALID, "nslookup: '%s' is not a legal name",
			       name);
	proc_random(&id, sizeof(id));
	memcpy(query, &id, sizeof(id));
	for (int i = 0; i < TRIES; i++) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int64_t end = time_mono() + WAIT_MS * NS_PER_MS;

		if (send(fd, query, (size_t)n, MSG_NOSIGNAL) < 0)
			return err_sys(err, errno, "nslookup: send");
		while (time_mono() < end &&
		       poll(&p, 1, (int)((end - time_mono()) / NS_PER_MS) + 1) > 0) {
			ssize_t got = recv(fd, answer, ANSWER, 0);

			if (got < 0)
				return err_sys(err, errno, "nslookup: receive");
			if (got >= 12 && memcmp(answer, query, 2) == 0)
				return (int)got;
		}
	}
	return 0;
}

/* Names come from strangers: what could control a terminal is escaped. */
static void print_name(const char *before, const char *name, const char *after)
{
	BUF_AUTO b = {0};

	str_escape(&b, name, strlen(name));
	printf("%s%s%s", before, buf_str(&b), after);
}

static void print_record(ns_msg *m, const ns_rr *rr)
{
	char text[IP_TEXT], name[NAME];
	struct ip ip = {.v6 = ns_rr_type(*rr) == ns_t_aaaa};
	int type = (int)ns_rr_type(*rr);

	if (type == ns_t_a || type == ns_t_aaaa) {
		if (ns_rr_rdlen(*rr) != ip_len(&ip))
			return;
		memcpy(ip.b, ns_rr_rdata(*rr), ip_len(&ip));
		print_name("Name:\t", ns_rr_name(*rr), "\n");
		printf("Address: %s\n", ip_format(text, &ip));
	} else if ((type == ns_t_cname || type == ns_t_ptr) &&
		   dn_expand(ns_msg_base(*m), ns_msg_end(*m), ns_rr_rdata(*rr), name,
			     sizeof(name)) >= 0) {
		print_name("", ns_rr_name(*rr), "");
		print_name(type == ns_t_ptr ? "\tname = " : "\tcanonical name = ", name,
			   ".\n");
	}
}

/* Prints the records. Their number, or -(1 + the server's refusal). */
static int print_answer(const uint8_t *answer, int n)
{
	ns_msg m;
	ns_rr rr;
	int count;

	if (ns_initparse(answer, n, &m) < 0)
		return -1 - ns_r_formerr;
	if (ns_msg_getflag(m, ns_f_rcode) != ns_r_noerror)
		return -1 - (int)ns_msg_getflag(m, ns_f_rcode);
	count = ns_msg_count(m, ns_s_an);
	for (int i = 0; i < count; i++)
		if (ns_parserr(&m, ns_s_an, i, &rr) == 0)
			print_record(&m, &rr);
	return count;
}

static const char *refusal(int code)
{
	static const char *const names[] = {"NOERROR",	"FORMERR", "SERVFAIL",
					    "NXDOMAIN", "NOTIMP",  "REFUSED"};

	return (unsigned)code < ARRAY_LEN(names) ? names[code] : "an error";
}

/* Both families, or an address's name. 1: found; 0: not; -1: the server is silent. */
static int look_up(int fd, const char *name, bool reverse, int *ret_code, struct err *err)
{
	static const int types[] = {ns_t_a, ns_t_aaaa};
	uint8_t answer[ANSWER];
	int found = 0;

	for (int i = 0; i < (reverse ? 1 : 2); i++) {
		int n = ask(fd, name, reverse ? (int)ns_t_ptr : types[i], answer, err), r;

		if (n == 0)
			err_set(err, ERR_TIMEOUT, "no answer");
		if (n <= 0)
			return -1;
		r = print_answer(answer, n);
		if (r < 0)
			*ret_code = -r - 1;
		found += r > 0 ? r : 0;
	}
	return found > 0;
}

/* The name of an address below in-addr.arpa or ip6.arpa; false: it is no address. */
static bool reverse_name(const char *s, char dst[REVERSE])
{
	struct ip ip;
	int at = 0;

	if (ip_parse(s, &ip) < 0)
		return false;
	if (!ip.v6) {
		snprintf(dst, REVERSE, "%u.%u.%u.%u.in-addr.arpa", ip.b[3], ip.b[2],
			 ip.b[1], ip.b[0]);
		return true;
	}
	for (int i = 15; i >= 0; i--)
		at += snprintf(dst + at, REVERSE - (size_t)at, "%x.%x.", ip.b[i] & 15U,
			       ip.b[i] >> 4);
	snprintf(dst + at, REVERSE - (size_t)at, "ip6.arpa");
	return true;
}

/* The name as it is and with the domains of the search list; without a dot those first. */
static int try_names(int fd, const char *name, const struct resolv *r, int *ret_code,
		     struct err *err)
{
	bool dotted = strchr(name, '.');
	int found = 0;

	for (unsigned i = 0; i <= r->nsearch && found == 0; i++) {
		unsigned which = dotted ? i : i + 1;
		STR_AUTO full = NULL;

		if (which == 0 || which > r->nsearch)
			full = xstrdup(name);
		else
			full = xasprintf("%s.%s", name, r->search[which - 1]);
		found = look_up(fd, full, false, ret_code, err);
	}
	return found;
}

/* One server's word. As look_up. */
static int with_server(const char *server, const char *name, const struct resolv *r,
		       struct err *err)
{
	char address[NAME] = "", reverse[REVERSE];
	bool is_address = reverse_name(name, reverse);
	FD_AUTO fd = reach(server, address, err);
	int code = ns_r_noerror, found;

	if (fd < 0)
		return -1;
	printf("Server:\t\t%s\nAddress:\t%s#53\n\n", server, address);
	found = is_address ? look_up(fd, reverse, true, &code, err)
			   : try_names(fd, name, r, &code, err);
	if (found < 0) {
		printf(";; communications error to %s#53: %s\n", address,
		       err->code == ERR_TIMEOUT ? "timed out" : err->msg);
	} else if (!found && code != ns_r_noerror) {
		print_name("** server can't find ", name, ": ");
		puts(refusal(code));
	} else if (!found) {
		print_name("*** Can't find ", name, ": No answer\n");
	}
	fflush(stdout);
	return found;
}

static int run(int argc, char **argv, struct err *err)
{
	struct resolv r = {0};

	if (argc < 2 || argc > 3 || *argv[1] == '-')
		return err_set(err, ERR_INVALID,
			       "nslookup: usage: nslookup NAME [SERVER]");
	read_conf(&r);
	if (argc == 3) {
		r.nservers = 1;
		str_copy(r.servers[0], NAME, argv[2]);
	}
	if (!r.nservers)
		return err_set(err, ERR_NOT_FOUND,
			       "nslookup: no name server: /etc/resolv.conf names none");
	for (unsigned i = 0; i < r.nservers; i++) {
		int found = with_server(r.servers[i], argv[1], &r, err);

		if (found >= 0)
			return !found; /* it has answered, if only that there is nothing */
		if (err->code != ERR_TIMEOUT)
			fprintf(stderr, "%s\n", err->msg);
	}
	puts(";; no servers could be reached\n");
	return 1;
}

const struct applet applet_nslookup = {
	.name = "nslookup",
	.purpose = "asks the name servers",
	.synopsis = "NAME|ADDRESS [SERVER]",
	.run = run,
};
