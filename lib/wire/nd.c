#include "wire/nd.h"

#include <ctype.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "base/num.h"

enum { ROUTER_ADVERTISEMENT = 134, OPT_RDNSS = 25, OPT_DNSSL = 31, OPT_HEAD = 8 };

/* RFC 8106 5.1: 8 bytes of head, then addresses. */
static bool servers(const uint8_t *p, size_t n, struct nd_option *o)
{
	if (n < OPT_HEAD + 16 || (n - OPT_HEAD) % 16)
		return false;
	for (p += OPT_HEAD, n -= OPT_HEAD; n && o->nservers < ND_ITEMS;
	     n -= 16, p += 16) {
		struct ip ip = {.v6 = true};

		memcpy(ip.b, p, 16);
		if (p[0] != 0xff && (p[0] || p[15])) /* not multicast, not :: */
			o->servers[o->nservers++] = ip;
	}
	return o->nservers > 0;
}

/* A name without compression at *at; false at damage. "" is padding. */
static bool name(const uint8_t *p, size_t n, size_t *at, char ret[ND_NAME])
{
	size_t len = 0, i = *at;

	for (; i < n && p[i]; i += 1u + p[i]) {
		if (p[i] > 63 || p[i] >= n - i || len + p[i] + 1 >= ND_NAME)
			return false;
		for (size_t k = 1; k <= p[i]; k++) {
			uint8_t c = p[i + k];

			if (!isalnum(c) && c != '_' && (c != '-' || k == 1))
				return false;
			ret[len++] = (char)c;
		}
		ret[len++] = '.';
	}
	if (i >= n)
		return false;
	ret[len ? len - 1 : 0] = 0;
	*at = i + 1;
	return true;
}

static bool domains(const uint8_t *p, size_t n, struct nd_option *o)
{
	size_t at = OPT_HEAD;

	while (at < n && o->ndomains < ND_ITEMS) {
		if (!name(p, n, &at, o->domains[o->ndomains]))
			return false;
		if (o->domains[o->ndomains][0])
			o->ndomains++;
	}
	return o->ndomains > 0;
}

bool nd_parse(const struct nl_msg *m, struct nd_option *ret)
{
	struct nl_view body = m->body;
	struct nd_option o = {0};
	struct nduseroptmsg head;
	const uint8_t *p;
	size_t n;

	if (m->type != RTM_NEWNDUSEROPT || !(p = nl_take(&body, sizeof(head))))
		return false;
	memcpy(&head, p, sizeof(head));
	if (head.nduseropt_family != AF_INET6 ||
	    head.nduseropt_icmp_type != ROUTER_ADVERTISEMENT ||
	    head.nduseropt_ifindex <= 0)
		return false;
	p = body.data;
	n = MIN(body.len, head.nduseropt_opts_len);
	/* the second byte is the length in units of 8 */
	if (n < OPT_HEAD || p[1] * 8u > n || !p[1])
		return false;
	n = p[1] * 8u;
	o.index = (uint32_t)head.nduseropt_ifindex;
	o.lifetime = get_be32(p + 4);
	if (p[0] == OPT_RDNSS ? !servers(p, n, &o)
			      : p[0] != OPT_DNSSL || !domains(p, n, &o))
		return false;
	*ret = o;
	return true;
}
