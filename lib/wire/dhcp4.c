#include "wire/dhcp4.h"

#include <ctype.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"

/* Offsets in a message (RFC 2131 2). */
enum {
	AT_OP = 0,
	AT_HTYPE = 1,
	AT_HLEN = 2,
	AT_XID = 4,
	AT_SECS = 8,
	AT_FLAGS = 10,
	AT_CIADDR = 12,
	AT_YIADDR = 16,
	AT_CHADDR = 28,
	AT_SNAME = 44,
	AT_FILE = 108,
	AT_COOKIE = 236,
	AT_OPTIONS = 240,
	MTU_MIN = 1280, /* of IPv6: less would switch it off on the link */
	BOOTP_MIN = 300 /* shorter ones are dropped by old relays (RFC 1542 2.1) */
};

enum { BOOTREQUEST = 1, BOOTREPLY = 2, ETHERNET = 1, BROADCAST_FLAG = 0x8000 };

enum {
	OPT_PAD = 0,
	OPT_MASK = 1,
	OPT_ROUTERS = 3,
	OPT_DNS = 6,
	OPT_HOSTNAME = 12,
	OPT_DOMAIN = 15,
	OPT_MTU = 26,
	OPT_BROADCAST = 28,
	OPT_NTP = 42,
	OPT_REQUESTED = 50,
	OPT_LEASE = 51,
	OPT_OVERLOAD = 52,
	OPT_TYPE = 53,
	OPT_SERVER = 54,
	OPT_PARAMETERS = 55,
	OPT_MESSAGE = 56,
	OPT_MAX_SIZE = 57,
	OPT_T1 = 58,
	OPT_T2 = 59,
	OPT_CLIENT = 61,
	OPT_RAPID_COMMIT = 80,
	OPT_SEARCH = 119,
	OPT_ROUTES = 121,
	OPT_END = 255
};

static const uint8_t cookie[4] = {99, 130, 83, 99};

struct ip dhcp4_ip(uint32_t addr)
{
	struct ip ip = {0};

	put_be32(ip.b, addr);
	return ip;
}

uint32_t dhcp4_of_ip(const struct ip *ip)
{
	return ip->v6 ? 0 : get_be32(ip->b);
}

bool dhcp4_unicast(uint32_t addr)
{
	return addr >> 24 != 0 && addr >> 24 != 127 && addr < UINT32_C(0xe0000000);
}

/* --- writing --------------------------------------------------------------------------- */

static void opt(struct buf *b, uint8_t code, const void *data, size_t n)
{
	buf_add_char(b, (char)code);
	buf_add_char(b, (char)n);
	buf_add(b, data, n);
}

static void opt_u32(struct buf *b, uint8_t code, uint32_t v)
{
	uint8_t be[4];

	put_be32(be, v);
	if (v)
		opt(b, code, be, sizeof(be));
}

static void opt_str(struct buf *b, uint8_t code, const char *s)
{
	if (!str_empty(s))
		opt(b, code, s, MIN(strlen(s), 255u));
}

static void options(struct buf *b, const struct dhcp4_request *r)
{
	static const uint8_t wanted[] = {OPT_MASK,	OPT_ROUTES,   OPT_ROUTERS,
					 OPT_DNS,	OPT_HOSTNAME, OPT_DOMAIN,
					 OPT_MTU,	OPT_NTP,      OPT_LEASE,
					 OPT_BROADCAST, OPT_T1,	      OPT_T2,
					 OPT_SEARCH};
	uint8_t client[1 + DHCP4_MAC] = {ETHERNET}, type = (uint8_t)r->type, max[2];

	opt(b, OPT_TYPE, &type, 1);
	memcpy(client + 1, r->mac, DHCP4_MAC);
	opt(b, OPT_CLIENT, client, sizeof(client));
	opt_u32(b, OPT_REQUESTED, r->requested);
	opt_u32(b, OPT_SERVER, r->server);
	opt_str(b, OPT_MESSAGE, r->message);
	if (r->type != DHCP4_DISCOVER && r->type != DHCP4_REQUEST)
		return;
	put_be16(max, DHCP4_MAX);
	opt(b, OPT_MAX_SIZE, max, sizeof(max));
	if (r->rapid_commit)
		opt(b, OPT_RAPID_COMMIT, NULL, 0);
	opt_str(b, OPT_HOSTNAME, r->hostname);
	opt(b, OPT_PARAMETERS, wanted, sizeof(wanted));
}

void dhcp4_write(struct buf *b, const struct dhcp4_request *r)
{
	size_t at = b->len;
	uint8_t *m = buf_reserve(b, AT_OPTIONS);

	memset(m, 0, AT_OPTIONS);
	m[AT_OP] = BOOTREQUEST;
	m[AT_HTYPE] = ETHERNET;
	m[AT_HLEN] = DHCP4_MAC;
	put_be32(m + AT_XID, r->xid);
	put_be16(m + AT_SECS, r->secs);
	put_be16(m + AT_FLAGS, r->broadcast ? BROADCAST_FLAG : 0);
	put_be32(m + AT_CIADDR, r->ciaddr);
	memcpy(m + AT_CHADDR, r->mac, DHCP4_MAC);
	memcpy(m + AT_COOKIE, cookie, sizeof(cookie));
	b->len += AT_OPTIONS;
	options(b, r);
	buf_add_char(b, (char)OPT_END);
	while (b->len - at < BOOTP_MIN)
		buf_add_char(b, 0);
}

/* --- reading --------------------------------------------------------------------------- */

/* One value of an option: all its instances one after the other (RFC 3396). */
struct value {
	uint8_t data[DHCP4_MAX];
	size_t n;
	bool found;
};

static void gather_in(const uint8_t *p, size_t n, uint8_t code, struct value *v)
{
	for (size_t i = 0; i < n && p[i] != OPT_END;) {
		size_t len;

		if (p[i] == OPT_PAD) {
			i++;
			continue;
		}
		if (n - i < 2 || p[i + 1] > n - i - 2)
			return; /* cut off: what is behind is lost */
		len = p[i + 1];
		if (p[i] == code) {
			v->found = true;
			len = MIN(len, sizeof(v->data) - v->n);
			memcpy(v->data + v->n, p + i + 2, len);
			v->n += len;
		}
		i += 2u + p[i + 1];
	}
}

struct message {
	const uint8_t *p;
	size_t n;
	unsigned overload; /* RFC 2132 9.3: 1 `file`, 2 `sname` hold options as well */
};

static bool gather(const struct message *m, uint8_t code, struct value *v)
{
	v->n = 0;
	v->found = false;
	gather_in(m->p + AT_OPTIONS, m->n - AT_OPTIONS, code, v);
	if (m->overload & 1)
		gather_in(m->p + AT_FILE, AT_COOKIE - AT_FILE, code, v);
	if (m->overload & 2)
		gather_in(m->p + AT_SNAME, AT_FILE - AT_SNAME, code, v);
	return v->found;
}

static uint32_t get_u32(const struct message *m, uint8_t code, struct value *v)
{
	return gather(m, code, v) && v->n == 4 ? get_be32(v->data) : 0;
}

/* Addresses of hosts. */
static unsigned get_list(const struct message *m, uint8_t code, struct value *v,
			 uint32_t *ret, unsigned max)
{
	unsigned count = 0;

	gather(m, code, v);
	for (size_t i = 0; i + 4 <= v->n && count < max; i += 4) {
		uint32_t addr = get_be32(v->data + i);

		if (dhcp4_unicast(addr))
			ret[count++] = addr;
	}
	return count;
}

/* The mask as a length; 0 if it is none. */
static uint8_t prefix_of(uint32_t mask)
{
	uint8_t n = 0;

	for (; mask & UINT32_C(0x80000000); mask <<= 1)
		n++;
	return mask ? 0 : n;
}

/*
 * A host or domain name: letters, digits, '-', '_' and dots between labels. Anything else
 * is refused as a whole: these names are copied into files.
 */
static int get_name(const uint8_t *p, size_t n, char ret[DHCP4_NAME])
{
	while (n && (!p[n - 1] || p[n - 1] == '.'))
		n--;
	if (n == 0 || n >= DHCP4_NAME - 2)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '.' ? i == 0 || p[i - 1] == '.' || p[i - 1] == '-'
				: !isalnum(p[i]) && p[i] != '-' && p[i] != '_')
			return -1;
		if (p[i] == '-' && (i == 0 || p[i - 1] == '.'))
			return -1;
	}
	memcpy(ret, p, n);
	ret[n] = 0;
	return 0;
}

/*
 * One name of option 119 at *at (RFC 1035 4.1.4): pointers lead back within the option.
 * Returns 0 with *at behind it, or -1 at damage.
 */
static int search_name(const struct value *v, size_t *at, char ret[DHCP4_NAME])
{
	uint8_t text[DHCP4_NAME];
	size_t n = 0, i = *at, end = 0;

	while (i < v->n && v->data[i]) {
		size_t len = v->data[i];

		if (len >= 0xc0) {
			size_t to;

			if (i + 1 >= v->n)
				return -1;
			to = (len & 0x3f) << 8 | v->data[i + 1];
			end = end ? end : i + 2;
			if (to >= i) /* only back: no loop */
				return -1;
			i = to;
			continue;
		}
		if (len > 63 || len >= v->n - i || n + len + 1 > sizeof(text))
			return -1;
		memcpy(text + n, v->data + i + 1, len);
		n += len;
		text[n++] = '.';
		i += 1 + len;
	}
	if (i >= v->n)
		return -1;
	*at = end ? end : i + 1;
	return get_name(text, n, ret) < 0 ? 1 : 0;
}

static void get_search(const struct message *m, struct value *v, struct dhcp4_reply *r)
{
	size_t at = 0;

	gather(m, OPT_SEARCH, v);
	while (at < v->n && r->nsearch < DHCP4_SEARCH) {
		int got = search_name(v, &at, r->search[r->nsearch]);

		if (got < 0)
			break;
		if (got == 0)
			r->nsearch++;
	}
	if (!r->nsearch && gather(m, OPT_DOMAIN, v) &&
	    get_name(v->data, v->n, r->search[0]) == 0)
		r->nsearch = 1;
}

static void get_routes(const struct message *m, struct value *v, struct dhcp4_reply *r)
{
	uint32_t routers[DHCP4_ROUTES];

	/* RFC 3442: with this option the routers of option 3 do not count */
	gather(m, OPT_ROUTES, v);
	for (size_t i = 0; i < v->n && r->nroutes < DHCP4_ROUTES;) {
		struct dhcp4_route to = {.prefix = v->data[i]};
		size_t len = (to.prefix + 7u) / 8;
		uint8_t dst[4] = {0};

		if (to.prefix > 32 || v->n - i < 1 + len + 4)
			break;
		memcpy(dst, v->data + i + 1, len);
		to.dst = get_be32(dst);
		to.gw = get_be32(v->data + i + 1 + len);
		if (to.prefix < 32)
			to.dst &= ~(UINT32_MAX >> to.prefix);
		if (!to.gw || dhcp4_unicast(to.gw))
			r->routes[r->nroutes++] = to;
		i += 1 + len + 4;
	}
	if (r->nroutes || !get_list(m, OPT_ROUTERS, v, routers, DHCP4_ROUTES))
		return;
	r->routes[0] = (struct dhcp4_route){.gw = routers[0]};
	r->nroutes = 1;
}

static void get_message(const struct message *m, struct value *v, struct dhcp4_reply *r)
{
	size_t n;

	gather(m, OPT_MESSAGE, v);
	n = MIN(v->n, sizeof(r->message) - 1);
	for (size_t i = 0; i < n; i++)
		r->message[i] =
			(char)(v->data[i] >= ' ' && v->data[i] < 0x7f ? v->data[i] : '?');
	r->message[n] = 0;
}

static void get_options(const struct message *m, struct value *v, struct dhcp4_reply *r)
{
	uint32_t mask = get_u32(m, OPT_MASK, v);

	r->rapid_commit = gather(m, OPT_RAPID_COMMIT, v);
	r->server = get_u32(m, OPT_SERVER, v);
	r->prefix = prefix_of(mask);
	if (!r->prefix)
		r->prefix = r->yiaddr >> 31 == 0 ? 8 : r->yiaddr >> 30 == 2 ? 16 : 24;
	r->broadcast = get_u32(m, OPT_BROADCAST, v);
	if (gather(m, OPT_MTU, v) && v->n == 2 && get_be16(v->data) >= MTU_MIN)
		r->mtu = get_be16(v->data);
	r->lease = get_u32(m, OPT_LEASE, v);
	r->t1 = get_u32(m, OPT_T1, v);
	r->t2 = get_u32(m, OPT_T2, v);
	if (!r->t1 || !r->t2 || r->t1 >= r->t2 || r->t2 >= r->lease)
		r->t1 = r->t2 = 0;
	r->ndns = get_list(m, OPT_DNS, v, r->dns, DHCP4_SERVERS);
	r->nntp = get_list(m, OPT_NTP, v, r->ntp, DHCP4_SERVERS);
	if (!gather(m, OPT_HOSTNAME, v) || get_name(v->data, v->n, r->hostname) < 0)
		r->hostname[0] = 0;
	get_routes(m, v, r);
	get_search(m, v, r);
	get_message(m, v, r);
}

int dhcp4_read(const void *data, size_t n, struct dhcp4_reply *ret)
{
	struct message m = {.p = data, .n = n};
	struct dhcp4_reply r = {0};
	struct value v;

	if (n < AT_OPTIONS || n > DHCP4_MAX || m.p[AT_OP] != BOOTREPLY ||
	    m.p[AT_HTYPE] != ETHERNET || m.p[AT_HLEN] != DHCP4_MAC ||
	    memcmp(m.p + AT_COOKIE, cookie, sizeof(cookie)) != 0)
		return -1;
	if (gather(&m, OPT_OVERLOAD, &v) && v.n == 1)
		m.overload = v.data[0];
	if (!gather(&m, OPT_TYPE, &v) || v.n != 1 ||
	    (v.data[0] != DHCP4_OFFER && v.data[0] != DHCP4_ACK &&
	     v.data[0] != DHCP4_NAK))
		return -1;
	r.type = v.data[0];
	r.xid = get_be32(m.p + AT_XID);
	r.yiaddr = get_be32(m.p + AT_YIADDR);
	if (!dhcp4_unicast(r.yiaddr))
		r.yiaddr = 0;
	memcpy(r.mac, m.p + AT_CHADDR, DHCP4_MAC);
	get_options(&m, &v, &r);
	*ret = r;
	return 0;
}

/* --- IP and UDP ------------------------------------------------------------------------ */

enum { IP_HEADER = 20, UDP_HEADER = 8, PROTO_UDP = 17, TTL = 64 };

/* RFC 1071, before the final complement. */
static uint32_t sum(uint32_t acc, const uint8_t *p, size_t n)
{
	for (; n > 1; n -= 2, p += 2)
		acc += get_be16(p);
	return n ? acc + ((uint32_t)*p << 8) : acc;
}

static uint16_t fold(uint32_t acc)
{
	acc = (acc & 0xffff) + (acc >> 16);
	return (uint16_t)(acc + (acc >> 16));
}

/* The UDP checksum of a packet; ip has a 20-byte header, n is of the UDP part. */
static uint16_t udp_sum(const uint8_t *addresses, const uint8_t *udp, size_t n)
{
	return fold(sum(sum(PROTO_UDP + (uint32_t)n, addresses, 8), udp, n));
}

void dhcp4_frame(struct buf *b, uint32_t src, uint32_t dst, const void *data, size_t n)
{
	uint8_t h[IP_HEADER + UDP_HEADER] = {0x45, 0xc0 /* CS6: network control */};
	uint8_t *udp = h + IP_HEADER;
	uint16_t check;

	put_be16(h + 2, (uint16_t)(sizeof(h) + n));
	h[8] = TTL;
	h[9] = PROTO_UDP;
	put_be32(h + 12, src);
	put_be32(h + 16, dst);
	put_be16(h + 10, (uint16_t)~fold(sum(0, h, IP_HEADER)));
	put_be16(udp, DHCP4_CLIENT_PORT);
	put_be16(udp + 2, DHCP4_SERVER_PORT);
	put_be16(udp + 4, (uint16_t)(UDP_HEADER + n));
	check = (uint16_t)~fold(
		sum(udp_sum(h + 12, udp, UDP_HEADER) + (uint32_t)n, data, n));
	put_be16(udp + 6, check ? check : 0xffff);
	buf_add(b, h, sizeof(h));
	buf_add(b, data, n);
}

const uint8_t *dhcp4_unframe(const void *data, size_t n, bool partial, size_t *ret_n)
{
	const uint8_t *p = data, *udp;
	size_t header, total, len;

	if (n < IP_HEADER || p[0] >> 4 != 4)
		return NULL;
	header = (p[0] & 15u) * 4;
	total = get_be16(p + 2);
	if (header < IP_HEADER || total > n || total < header + UDP_HEADER ||
	    p[9] != PROTO_UDP || (get_be16(p + 6) & 0x3fff) /* a fragment */ ||
	    fold(sum(0, p, header)) != 0xffff)
		return NULL;
	udp = p + header;
	len = get_be16(udp + 4);
	if (len < UDP_HEADER || len > total - header ||
	    get_be16(udp) != DHCP4_SERVER_PORT || get_be16(udp + 2) != DHCP4_CLIENT_PORT)
		return NULL;
	if (!partial && get_be16(udp + 6) && udp_sum(p + 12, udp, len) != 0xffff)
		return NULL;
	*ret_n = len - UDP_HEADER;
	return udp + UDP_HEADER;
}
