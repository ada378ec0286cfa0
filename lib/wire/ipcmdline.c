#include "wire/ipcmdline.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "wire/rtnl.h"

enum { WORD_MAX = 512, FIELDS = 10, FIELD_MAX = 64 };
enum {
	F_CLIENT,
	F_SERVER,
	F_GATEWAY,
	F_MASK,
	F_HOSTNAME,
	F_DEVICE,
	F_AUTOCONF,
	F_DNS0,
	F_DNS1,
	F_NTP0
};

struct fields {
	unsigned n;
	char f[FIELDS][FIELD_MAX];
};

static const struct {
	const char *word;
	enum ipcmd_method method;
} methods[] = {
	{"off", IPCMD_OFF},	{"none", IPCMD_OFF},   {"static", IPCMD_OFF},
	{"dhcp", IPCMD_DHCP},	{"dhcp4", IPCMD_DHCP}, {"on", IPCMD_DHCP},
	{"any", IPCMD_DHCP},	{"both", IPCMD_DHCP},  {"bootp", IPCMD_DHCP},
	{"auto6", IPCMD_AUTO6},
};

/* True if the word is a method; "dhcp,..." is the kernel's form with a client id. */
static bool method_of(const char *word, enum ipcmd_method *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (str_eq(word, methods[i].word)) {
			*ret = methods[i].method;
			return true;
		}
	if (!str_starts(word, "dhcp,"))
		return false;
	*ret = IPCMD_DHCP;
	return true;
}

/* Splits at ':' outside brackets, which are taken off. NULL, or why not. */
static const char *split(const char *s, struct fields *ret)
{
	size_t len = 0;
	bool inside = false;

	memset(ret, 0, sizeof(*ret));
	for (ret->n = 1; *s; s++) {
		if (*s == '[' && !inside && len == 0) {
			inside = true;
		} else if (*s == ']' && inside && (!s[1] || s[1] == ':')) {
			inside = false;
		} else if (*s == ':' && !inside) {
			if (ret->n++ == FIELDS)
				return "too many fields";
			len = 0;
		} else if (len + 1 < FIELD_MAX) {
			ret->f[ret->n - 1][len++] = *s;
		} else {
			return "a field is too long";
		}
	}
	return inside ? "a ']' is missing" : NULL;
}

static const char *take_ip(const char *s, bool *ret_has, struct ip *ret)
{
	static const struct ip any4, any6 = {.v6 = true};
	struct ip ip;

	if (!*s)
		return NULL;
	if (ip_parse(s, &ip) < 0)
		return "not an IP address (IPv6 needs brackets)";
	/* 0.0.0.0 is how "none" is written where a field may not be empty */
	if (ip_cmp(&ip, &any4) == 0 || ip_cmp(&ip, &any6) == 0)
		return NULL;
	*ret = ip;
	*ret_has = true;
	return NULL;
}

/* A netmask or a prefix length; without one IPv4's class says it, as in the kernel. */
static const char *take_mask(const char *s, struct ip_net *net)
{
	uint64_t bits;
	struct ip mask;
	uint32_t m;

	if (!*s) {
		uint8_t first = net->ip.b[0];

		net->prefix = net->ip.v6 ? 64 : first < 128 ? 8 : first < 192 ? 16 : 24;
		return NULL;
	}
	if (num_u64(s, 0, ip_bits(&net->ip), &bits) == 0) {
		net->prefix = (unsigned)bits;
		return NULL;
	}
	if (net->ip.v6 || ip_parse(s, &mask) < 0 || mask.v6)
		return "the netmask is neither a mask nor a prefix length";
	m = get_be32(mask.b);
	for (net->prefix = 0; m & UINT32_C(0x80000000); m <<= 1)
		net->prefix++;
	return m ? "the netmask has holes" : NULL;
}

static const char *add_dns(const char *s, struct ip *dns, unsigned *n)
{
	bool has = false;
	struct ip ip;
	const char *why = take_ip(s, &has, &ip);

	if (has && *n < IPCMD_DNS)
		dns[(*n)++] = ip;
	return why;
}

static bool hostname_ok(const char *s)
{
	static const char alphabet[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"0123456789-.";

	return strspn(s, alphabet) == strlen(s) && *s != '-' && *s != '.';
}

/* dracut's form: what follows the method may be an MTU, and then a MAC address. */
static const char *take_rest(const struct fields *f, unsigned at, struct ipcmd *c)
{
	const char *why = NULL;
	uint64_t mtu;

	if (at < FIELDS && num_u64(f->f[at], 68, 65535, &mtu) == 0) {
		c->mtu = (uint32_t)mtu;
		return NULL;
	}
	for (unsigned i = at; i < FIELDS && !why; i++) {
		if (i == at + 2)
			why = take_ip(f->f[i], &c->has_ntp, &c->ntp);
		else if (i < at + 2)
			why = add_dns(f->f[i], c->dns, &c->ndns);
	}
	return why;
}

static const char *take_fields(const struct fields *f, struct ipcmd *c)
{
	bool has = false;
	const char *why;

	if ((why = take_ip(f->f[F_CLIENT], &has, &c->address.ip)) ||
	    (why = take_ip(f->f[F_GATEWAY], &c->has_gateway, &c->gateway)) ||
	    (has && (why = take_mask(f->f[F_MASK], &c->address))))
		return why;
	if (!hostname_ok(f->f[F_HOSTNAME]))
		return "not a host name";
	if (*f->f[F_DEVICE] && !rtnl_name_ok(f->f[F_DEVICE]))
		return "not the name of an interface";
	str_copy(c->hostname, sizeof(c->hostname), f->f[F_HOSTNAME]);
	str_copy(c->device, sizeof(c->device), f->f[F_DEVICE]);
	c->method = IPCMD_DHCP;
	if (*f->f[F_AUTOCONF] && !method_of(f->f[F_AUTOCONF], &c->method))
		return "this way of automatic configuration is not known";
	if (has)
		c->method = IPCMD_STATIC;
	return take_rest(f, F_DNS0, c);
}

static const char *take_cmd(const char *s, struct ipcmd *c)
{
	struct fields f;
	const char *why;

	if (method_of(s, &c->method))
		return NULL;
	if ((why = split(s, &f)))
		return why;
	if (f.n == 1 && !*f.f[0])
		return c->method = IPCMD_DHCP, NULL;
	if (f.n >= 2 && rtnl_name_ok(f.f[0]) && method_of(f.f[1], &c->method)) {
		str_copy(c->device, sizeof(c->device), f.f[0]);
		return take_rest(&f, 2, c);
	}
	if (f.n == 1 && ip_parse(f.f[0], &c->address.ip) < 0)
		return "neither a method that is known nor an IP address";
	return take_fields(&f, c);
}

static const char *take_word(const char *word, struct ipcmdline *ret)
{
	struct ipcmd c = {0};
	const char *why;

	if (str_starts(word, "nameserver=")) {
		word += strlen("nameserver=");
		if (*word == '[') {
			struct fields f;

			why = split(word, &f);
			return why ? why : add_dns(f.f[0], ret->dns, &ret->ndns);
		}
		return add_dns(word, ret->dns, &ret->ndns);
	}
	if (!str_starts(word, "ip="))
		return NULL;
	if (ret->n == IPCMD_MAX)
		return "too many of them";
	why = take_cmd(word + strlen("ip="), &c);
	if (!why)
		ret->cmds[ret->n++] = c;
	return why;
}

void ipcmdline_parse(const char *s, size_t n, struct ipcmdline *ret,
		     void (*bad)(void *arg, const char *word, const char *why), void *arg)
{
	char word[WORD_MAX] = "";
	size_t len = 0;
	bool quoted = false, cut = false;

	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i <= n; i++) {
		char c = i < n ? s[i] : 0;
		const char *why;

		if (c == '"') {
			quoted = !quoted;
			continue;
		}
		if (c && (quoted || (c != ' ' && c != '\t' && c != '\n'))) {
			if (len + 1 < sizeof(word))
				word[len++] = c;
			else
				cut = true;
			continue;
		}
		word[len] = 0;
		if (str_eq(word, "--"))
			return; /* what follows is for init */
		why = cut && (str_starts(word, "ip=")) ? "too long" : NULL;
		if (!cut)
			why = take_word(word, ret);
		if (why && bad)
			bad(arg, word, why);
		len = 0;
		cut = false;
	}
}
