#include "wire/ip.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"

int ip_parse(const char *s, struct ip *ret)
{
	struct ip ip = {.v6 = strchr(s, ':') != NULL};

	if (inet_pton(ip.v6 ? AF_INET6 : AF_INET, s, ip.b) != 1)
		return -1;
	*ret = ip;
	return 0;
}

int ip_net_parse(const char *s, struct ip_net *ret)
{
	const char *slash = strchr(s, '/');
	char text[IP_TEXT] = "";
	struct ip_net net;
	uint64_t prefix;

	if (!slash || (size_t)(slash - s) >= sizeof(text))
		return -1;
	memcpy(text, s, (size_t)(slash - s));
	if (ip_parse(text, &net.ip) < 0 ||
	    num_u64(slash + 1, 0, ip_bits(&net.ip), &prefix) < 0)
		return -1;
	net.prefix = (unsigned)prefix;
	*ret = net;
	return 0;
}

const char *ip_format(char dst[IP_TEXT], const struct ip *ip)
{
	return inet_ntop(ip->v6 ? AF_INET6 : AF_INET, ip->b, dst, IP_TEXT);
}

const char *ip_net_format(char dst[IP_NET_TEXT], const struct ip_net *net)
{
	char text[IP_TEXT];

	snprintf(dst, IP_NET_TEXT, "%s/%u", ip_format(text, &net->ip), net->prefix);
	return dst;
}

int ip_cmp(const struct ip *a, const struct ip *b)
{
	if (a->v6 != b->v6)
		return a->v6 ? 1 : -1;
	return memcmp(a->b, b->b, ip_len(a));
}

/* Sets all host bits to 0 or 1. */
static struct ip fill_host(const struct ip_net *net, bool ones)
{
	struct ip ip = net->ip;

	for (unsigned bit = net->prefix; bit < ip_bits(&ip); bit++) {
		uint8_t mask = (uint8_t)(0x80u >> bit % 8);

		if (ones)
			ip.b[bit / 8] |= mask;
		else
			ip.b[bit / 8] &= (uint8_t)~mask;
	}
	return ip;
}

struct ip ip_first(const struct ip_net *net)
{
	return fill_host(net, false);
}

struct ip ip_last(const struct ip_net *net)
{
	return fill_host(net, true);
}

bool ip_in(const struct ip_net *net, const struct ip *ip)
{
	struct ip a = ip_first(net), b = ip_first(&(struct ip_net){*ip, net->prefix});

	return net->ip.v6 == ip->v6 && ip_cmp(&a, &b) == 0;
}

bool ip_overlap(const struct ip_net *a, const struct ip_net *b)
{
	return a->prefix <= b->prefix ? ip_in(a, &b->ip) : ip_in(b, &a->ip);
}

bool ip_inc(struct ip *ip)
{
	struct ip next = *ip;

	for (size_t i = ip_len(ip); i-- > 0;) {
		if (++next.b[i]) {
			*ip = next;
			return true;
		}
	}
	return false;
}

bool ip_dec(struct ip *ip)
{
	struct ip next = *ip;

	for (size_t i = ip_len(ip); i-- > 0;) {
		if (next.b[i]--) {
			*ip = next;
			return true;
		}
	}
	return false;
}
