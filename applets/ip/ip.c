#include "ip.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "applet.h"
#include "base/num.h"
#include "base/str.h"
#include "os/fd.h"
#include "os/netlink.h"
#include "os/netns.h"
#include "wire/rtnl.h"

static const char usage[] =
	"  ip [-4|-6] [-br] [-o] [-s] [-d] [-n NETNS] OBJECT [COMMAND]\n\n"
	"  address  show [dev NAME] [up] [scope SCOPE], add, replace, del, flush\n"
	"  link     show [dev NAME] [up], set NAME up|down|mtu|name|netns|..., add, del\n"
	"  route    show [PREFIX] [table T] [dev NAME] ..., get ADDRESS, add, replace,\n"
	"           del, flush\n"
	"  neigh    show [dev NAME]\n"
	"  rule     show\n"
	"  netns    list\n\n"
	"Words may be cut short, as in 'ip a' and 'ip r'.\n";

const char *ip_word(struct ip_args *a, const char *what, struct err *err)
{
	if (!*a->v) {
		err_set(err, ERR_INVALID, "ip: %s is missing", what);
		return NULL;
	}
	return *a->v++;
}

bool ip_is(const char *word, const char *name)
{
	return *word && str_starts(name, word);
}

bool ip_is_show(const char *word)
{
	return ip_is(word, "show") || ip_is(word, "list") || ip_is(word, "lst");
}

int ip_unknown(const char *word, struct err *err)
{
	return err_set(err, ERR_INVALID,
		       "ip: Command \"%s\" is unknown, try \"ip --help\"", word);
}

const char *ip_newline(const struct ip_run *r)
{
	return r->oneline ? "\\" : "\n";
}

int ip_number(const char *s, const char *what, uint32_t *ret, struct err *err)
{
	uint64_t v;

	if (num_u64(s, 0, UINT32_MAX, &v) < 0)
		return err_set(err, ERR_INVALID, "ip: %s: %s is not a number", what, s);
	*ret = (uint32_t)v;
	return 0;
}

/* "netlink: WORDS: ERROR", and without words "netlink: ERROR", to what iproute2 says. */
int ip_call(struct ip_run *r, const struct buf *req, struct buf *reply, struct err *err)
{
	struct err got;
	STR_AUTO plain = NULL;

	if (netlink_call(r->rtnl, req->data, req->len, reply, &got) == 0)
		return 0;
	plain = xasprintf("netlink: %s", strerror(got.sys));
	r->status = IP_KERNEL_ERROR;
	if (!got.sys || str_eq(got.msg, plain) || !str_starts(got.msg, "netlink: ")) {
		err_set(err, got.code, "RTNETLINK answers: %s",
			got.sys ? strerror(got.sys) : got.msg);
	} else {
		got.msg[strlen(got.msg) - strlen(strerror(got.sys)) - 2] = 0;
		err_set(err, got.code, "Error: %s%s", got.msg + strlen("netlink: "),
			str_ends(got.msg, ".") ? "" : ".");
	}
	err->sys = got.sys;
	return -1;
}

int ip_prefix(const char *s, int family, struct ip_net *ret, struct err *err)
{
	struct ip_net net = {0};
	uint64_t bits;
	STR_AUTO host = xstrdup(s);
	char *slash = strchr(host, '/');

	if (str_eq(s, "default") || str_eq(s, "any") || str_eq(s, "all")) {
		net.ip.v6 = family == AF_INET6;
		*ret = net;
		return 0;
	}
	if (slash)
		*slash++ = 0;
	if (ip_parse(host, &net.ip) < 0 || (family == AF_INET && net.ip.v6) ||
	    (family == AF_INET6 && !net.ip.v6))
		return err_set(err, ERR_INVALID,
			       "ip: any valid prefix is expected rather than \"%s\"", s);
	bits = ip_bits(&net.ip);
	if (slash && num_u64(slash, 0, bits, &bits) < 0)
		return err_set(err, ERR_INVALID,
			       "ip: any valid prefix is expected rather than \"%s\"", s);
	net.prefix = (unsigned)bits;
	*ret = net;
	return 0;
}

/* --- objects and options ------------------------------------------------------------------- */

static int object(struct ip_run *r, struct ip_args *a, struct err *err)
{
	/* in iproute2's order: the first that fits a short word is meant */
	static const struct {
		const char *name;
		int (*fn)(struct ip_run *r, struct ip_args *a, struct err *err);
	} objects[] = {
		{"address", ip_addr},	{"route", ip_route},	 {"rule", ip_rule},
		{"neighbor", ip_neigh}, {"neighbour", ip_neigh}, {"link", ip_link},
		{"netns", ip_netns},
	};
	const char *word =
		ip_word(a, "OBJECT (address, link, route, neigh, rule, netns)", err);

	if (!word)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(objects); i++)
		if (ip_is(word, objects[i].name))
			return objects[i].fn(r, a, err);
	return err_set(err, ERR_INVALID,
		       "ip: Object \"%s\" is unknown, try \"ip --help\"", word);
}

static int enter(const char *name, struct err *err)
{
	STR_AUTO path =
		strchr(name, '/') ? xstrdup(name) : xasprintf("/run/netns/%s", name);
	FD_AUTO fd = netns_open(path, err);
	FD_AUTO before = -1;

	if (fd < 0)
		return err_wrap(err, "ip: Cannot open network namespace \"%s\"", name);
	before = netns_enter(fd, err);
	return before < 0 ? -1 : 0;
}

static int family(struct ip_run *r, const char *name, struct err *err)
{
	if (str_eq(name, "inet"))
		r->family = AF_INET;
	else if (str_eq(name, "inet6"))
		r->family = AF_INET6;
	else
		return err_set(err, ERR_INVALID, "ip: family %s is not known", name);
	return 0;
}

/* One option. 0 or -1. */
static int option(struct ip_run *r, const char *word, struct ip_args *a, struct err *err)
{
	const char *o = word + 1, *value;

	if (*o == '-')
		o++;
	if (str_eq(o, "4"))
		r->family = AF_INET;
	else if (str_eq(o, "6"))
		r->family = AF_INET6;
	else if (str_eq(o, "br") || (strlen(o) > 1 && ip_is(o, "brief")))
		r->brief = true;
	else if (ip_is(o, "oneline"))
		r->oneline = true;
	else if (ip_is(o, "stats") || ip_is(o, "statistics"))
		r->stats = true;
	else if (ip_is(o, "details"))
		r->details = true;
	else if (str_eq(o, "c") || str_starts(o, "color") || str_eq(o, "N"))
		return 0; /* nothing here is coloured */
	else if (ip_is(o, "family"))
		return (value = ip_word(a, "FAMILY", err)) ? family(r, value, err) : -1;
	else if (ip_is(o, "netns"))
		return (value = ip_word(a, "NETNS", err)) ? enter(value, err) : -1;
	else
		return err_set(err, ERR_INVALID,
			       "ip: Option \"%s\" is unknown, try \"ip --help\"", word);
	return 0;
}

static int command(struct ip_run *r, struct ip_args *a, struct err *err)
{
	while (*a->v && **a->v == '-' && (*a->v)[1])
		if (option(r, *a->v++, a, err) < 0)
			return -1;
	r->rtnl = netlink_open(NETLINK_ROUTE, err);
	if (r->rtnl < 0)
		return -1;
	return object(r, a, err);
}

static int run(int argc, char **argv, struct err *err)
{
	struct ip_run r = {.rtnl = -1};
	struct ip_args a = {argv + 1};
	int ok;

	(void)argc;
	ok = command(&r, &a, err);
	/* what was found before a failure is shown */
	if (r.out.len)
		fwrite(r.out.data, 1, r.out.len, stdout);
	if (ok == 0 && fflush(stdout) != 0)
		ok = err_set(err, ERR_UNKNOWN, "ip: write failed");
	fd_close(&r.rtnl);
	buf_done(&r.out);
	buf_done(&r.links);
	buf_done(&r.netns);
	if (ok < 0 && r.status) {
		fprintf(stderr, "%s\n", err->msg);
		return r.status;
	}
	return ok;
}

const struct applet applet_ip = {
	.name = "ip",
	.purpose = "links, addresses, routes",
	.synopsis = "[OPTION]... OBJECT [COMMAND]",
	.usage = usage,
	.run = run,
};
