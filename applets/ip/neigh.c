/* ip neigh, ip rule, ip netns: what is there. */
#include <dirent.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/neighbour.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/num.h"
#include "base/str.h"
#include "ip.h"
#include "os/fd.h"
#include "os/netns.h"
#include "wire/rtnl.h"

/* --- neighbours ------------------------------------------------------------------------------ */

static void print_state(struct ip_run *r, uint16_t state)
{
	static const struct {
		uint16_t state;
		const char *name;
	} names[] = {{NUD_INCOMPLETE, "INCOMPLETE"}, {NUD_REACHABLE, "REACHABLE"},
		     {NUD_STALE, "STALE"},	     {NUD_DELAY, "DELAY"},
		     {NUD_PROBE, "PROBE"},	     {NUD_FAILED, "FAILED"},
		     {NUD_NOARP, "NOARP"},	     {NUD_PERMANENT, "PERMANENT"}};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (state & names[i].state)
			buf_add_fmt(&r->out, "%s ", names[i].name);
}

static void print_neigh(struct ip_run *r, const struct nl_msg *m, uint32_t index)
{
	struct nl_view body = m->body, a[NDA_MAX + 1];
	const uint8_t *p = nl_take(&body, sizeof(struct ndmsg));
	struct ndmsg nd;
	char text[IP_TEXT];

	if (m->type != RTM_NEWNEIGH || !p)
		return;
	memcpy(&nd, p, sizeof(nd));
	nl_attrs(body, a, ARRAY_LEN(a));
	if ((index && (uint32_t)nd.ndm_ifindex != index) ||
	    (nd.ndm_family != AF_INET && nd.ndm_family != AF_INET6) ||
	    (nd.ndm_state & NUD_NOARP) || !nd.ndm_state)
		return;
	buf_add_fmt(&r->out, "%s ", ip_text(text, nd.ndm_family, a[NDA_DST]));
	if (!index)
		buf_add_fmt(&r->out, "dev %s ",
			    ip_link_name(r, (uint32_t)nd.ndm_ifindex));
	if (a[NDA_LLADDR].data) {
		buf_add_str(&r->out, "lladdr ");
		for (size_t i = 0; i < a[NDA_LLADDR].len; i++)
			buf_add_fmt(&r->out, "%s%02x", i ? ":" : "",
				    a[NDA_LLADDR].data[i]);
		buf_add_char(&r->out, ' ');
	}
	if (nd.ndm_flags & NTF_ROUTER)
		buf_add_str(&r->out, "router ");
	print_state(r, nd.ndm_state);
	buf_add_char(&r->out, '\n');
}

int ip_neigh(struct ip_run *r, struct ip_args *a, struct err *err)
{
	const char *word = *a->v ? *a->v++ : "show";
	struct ndmsg nd = {.ndm_family = (uint8_t)r->family};
	BUF_AUTO req = {0};
	BUF_AUTO reply = {0};
	uint32_t index = 0;
	struct nl_view v;
	struct nl_msg m;
	size_t at;

	if (!ip_is_show(word))
		return ip_unknown(word, err);
	while ((word = *a->v)) {
		a->v++;
		if (str_eq(word, "dev") && !(word = ip_word(a, "NAME", err)))
			return -1;
		if (!(index = ip_link_index(r, word, err)))
			return -1;
	}
	at = nl_begin(&req, RTM_GETNEIGH, NLM_F_REQUEST | NLM_F_DUMP);
	nl_put(&req, &nd, sizeof(nd));
	nl_end(&req, at);
	if (ip_call(r, &req, &reply, err) < 0)
		return -1;
	v = (struct nl_view){reply.data, reply.len};
	while (nl_next(&v, &m))
		print_neigh(r, &m, index);
	return 0;
}

/* --- rules ----------------------------------------------------------------------------------- */

static void print_match(struct ip_run *r, const struct fib_rule_hdr *h, struct nl_view *a)
{
	unsigned bits = h->family == AF_INET6 ? 128 : 32;
	char text[IP_TEXT];

	buf_add_str(&r->out, "from ");
	if (a[FRA_SRC].data)
		buf_add_str(&r->out, ip_text(text, h->family, a[FRA_SRC]));
	else
		buf_add_str(&r->out, h->src_len ? "0" : "all");
	if (h->src_len && h->src_len != bits)
		buf_add_fmt(&r->out, "/%u", h->src_len);
	if (a[FRA_DST].data) {
		buf_add_fmt(&r->out, " to %s", ip_text(text, h->family, a[FRA_DST]));
		if (h->dst_len != bits)
			buf_add_fmt(&r->out, "/%u", h->dst_len);
	}
	if (a[FRA_FWMARK].data || a[FRA_FWMASK].data) {
		buf_add_fmt(&r->out, " fwmark 0x%x", nl_u32(a[FRA_FWMARK]));
		if (a[FRA_FWMASK].data && nl_u32(a[FRA_FWMASK]) != UINT32_MAX)
			buf_add_fmt(&r->out, "/0x%x", nl_u32(a[FRA_FWMASK]));
	}
	if (a[FRA_IFNAME].data)
		buf_add_fmt(&r->out, " iif %s", nl_str(a[FRA_IFNAME]));
	if (a[FRA_OIFNAME].data)
		buf_add_fmt(&r->out, " oif %s", nl_str(a[FRA_OIFNAME]));
}

static void print_rule(struct ip_run *r, const struct nl_msg *m)
{
	struct nl_view body = m->body, a[FRA_MAX + 1];
	const uint8_t *p = nl_take(&body, sizeof(struct fib_rule_hdr));
	struct fib_rule_hdr h;
	char name[IP_NAME];
	uint32_t table;

	if (m->type != RTM_NEWRULE || !p)
		return;
	memcpy(&h, p, sizeof(h));
	if (h.family != AF_INET && h.family != AF_INET6)
		return;
	nl_attrs(body, a, ARRAY_LEN(a));
	table = a[FRA_TABLE].data ? nl_u32(a[FRA_TABLE]) : h.table;
	buf_add_fmt(&r->out, "%u:\t", nl_u32(a[FRA_PRIORITY]));
	if (h.flags & FIB_RULE_INVERT)
		buf_add_str(&r->out, "not ");
	print_match(r, &h, a);
	if (a[FRA_SUPPRESS_PREFIXLEN].data && (int)nl_u32(a[FRA_SUPPRESS_PREFIXLEN]) >= 0)
		buf_add_fmt(&r->out, " lookup %s suppress_prefixlength %u",
			    ip_table(name, table), nl_u32(a[FRA_SUPPRESS_PREFIXLEN]));
	else if (table)
		buf_add_fmt(&r->out, " lookup %s", ip_table(name, table));
	if (h.action == FR_ACT_GOTO)
		buf_add_fmt(&r->out, " goto %u", nl_u32(a[FRA_GOTO]));
	else if (h.action == FR_ACT_NOP)
		buf_add_str(&r->out, " nop");
	else if (h.action != FR_ACT_TO_TBL)
		buf_add_fmt(&r->out, " %s", ip_rtype(name, h.action));
	buf_add_char(&r->out, '\n');
}

int ip_rule(struct ip_run *r, struct ip_args *a, struct err *err)
{
	const char *word = *a->v ? *a->v++ : "show";
	struct fib_rule_hdr h = {.family = (uint8_t)(r->family ? r->family : AF_INET)};
	BUF_AUTO req = {0};
	BUF_AUTO reply = {0};
	struct nl_view v;
	struct nl_msg m;
	size_t at;

	if (!ip_is_show(word))
		return ip_unknown(word, err);
	at = nl_begin(&req, RTM_GETRULE, NLM_F_REQUEST | NLM_F_DUMP);
	nl_put(&req, &h, sizeof(h));
	nl_end(&req, at);
	if (ip_call(r, &req, &reply, err) < 0)
		return -1;
	v = (struct nl_view){reply.data, reply.len};
	while (nl_next(&v, &m))
		print_rule(r, &m);
	return 0;
}

/* --- namespaces -------------------------------------------------------------------------------- */

/* The number that this namespace has given to another one; -1: none. */
static int id_of(struct ip_run *r, int fd)
{
	struct rtgenmsg rt = {.rtgen_family = AF_UNSPEC};
	BUF_AUTO req = {0};
	BUF_AUTO reply = {0};
	struct nl_view v, a[NETNSA_MAX + 1];
	struct err ignored;
	struct nl_msg m;
	size_t at = nl_begin(&req, RTM_GETNSID, NLM_F_REQUEST | NLM_F_ACK);

	nl_put(&req, &rt, sizeof(rt));
	nl_attr_u32(&req, NETNSA_FD, (uint32_t)fd);
	nl_end(&req, at);
	if (ip_call(r, &req, &reply, &ignored) < 0)
		return r->status = 0, -1;
	v = (struct nl_view){reply.data, reply.len};
	if (!nl_next(&v, &m) || m.body.len < 4)
		return -1;
	m.body.data += 4; /* struct rtgenmsg, padded */
	m.body.len -= 4;
	nl_attrs(m.body, a, ARRAY_LEN(a));
	return a[NETNSA_NSID].data ? (int)nl_u32(a[NETNSA_NSID]) : -1;
}

/* Calls fn for each named namespace and its number (-1: none). */
static void each_netns(struct ip_run *r,
		       void (*fn)(struct ip_run *r, const char *name, int id))
{
	DIR *dir = opendir("/run/netns");
	struct dirent *d;

	while (dir && (d = readdir(dir))) {
		STR_AUTO path = xasprintf("/run/netns/%s", d->d_name);
		struct err ignored;
		FD_AUTO fd = -1;

		if (*d->d_name == '.')
			continue;
		fd = netns_open(path, &ignored);
		fn(r, d->d_name, fd < 0 ? -1 : id_of(r, fd));
	}
	if (dir)
		closedir(dir);
}

static void remember(struct ip_run *r, const char *name, int id)
{
	if (id >= 0)
		buf_add_fmt(&r->netns, "%d %s\n", id, name);
}

const char *ip_netns_name(struct ip_run *r, int id)
{
	static char name[256];
	const char *p;

	if (!r->netns_read)
		each_netns(r, remember);
	r->netns_read = true;
	for (p = buf_str(&r->netns); *p; p += strcspn(p, "\n") + 1)
		if (atoi(p) == id && sscanf(p, "%*d %255s", name) == 1)
			return name;
	return "";
}

static void print_netns(struct ip_run *r, const char *name, int id)
{
	str_escape(&r->out, name, strlen(name));
	if (id >= 0)
		buf_add_fmt(&r->out, " (id: %d)", id);
	buf_add_char(&r->out, '\n');
}

int ip_netns(struct ip_run *r, struct ip_args *a, struct err *err)
{
	const char *word = *a->v ? *a->v++ : "list";

	if (!ip_is_show(word))
		return ip_unknown(word, err);
	each_netns(r, print_netns);
	return 0;
}
