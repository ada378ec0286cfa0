#include "wire/nl.h"

#include <linux/netlink.h>
#include <string.h>

#include "base/num.h"

static void pad(struct buf *b)
{
	static const uint8_t zero[4];

	buf_add(b, zero, (4 - b->len % 4) % 4);
}

size_t nl_begin(struct buf *b, uint16_t type, uint16_t flags)
{
	size_t at = b->len;
	struct nlmsghdr h = {
		.nlmsg_type = type, .nlmsg_flags = flags, .nlmsg_seq = (uint32_t)at + 1};

	buf_add(b, &h, sizeof(h));
	return at;
}

void nl_end(struct buf *b, size_t at)
{
	uint32_t len = (uint32_t)(b->len - at);

	memcpy(b->data + at, &len, sizeof(len));
}

void nl_put(struct buf *b, const void *data, size_t n)
{
	buf_add(b, data, n);
	pad(b);
}

void nl_attr(struct buf *b, uint16_t type, const void *data, size_t n)
{
	struct nlattr a = {.nla_len = (uint16_t)(sizeof(a) + n), .nla_type = type};

	buf_add(b, &a, sizeof(a));
	if (n)
		buf_add(b, data, n);
	pad(b);
}

void nl_attr_str(struct buf *b, uint16_t type, const char *s)
{
	nl_attr(b, type, s, strlen(s) + 1);
}

void nl_attr_u8(struct buf *b, uint16_t type, uint8_t v)
{
	nl_attr(b, type, &v, sizeof(v));
}

void nl_attr_u16(struct buf *b, uint16_t type, uint16_t v)
{
	nl_attr(b, type, &v, sizeof(v));
}

void nl_attr_u32(struct buf *b, uint16_t type, uint32_t v)
{
	nl_attr(b, type, &v, sizeof(v));
}

void nl_attr_be16(struct buf *b, uint16_t type, uint16_t v)
{
	uint8_t be[2];

	put_be16(be, v);
	nl_attr(b, type, be, sizeof(be));
}

void nl_attr_be32(struct buf *b, uint16_t type, uint32_t v)
{
	uint8_t be[4];

	put_be32(be, v);
	nl_attr(b, type, be, sizeof(be));
}

void nl_attr_be64(struct buf *b, uint16_t type, uint64_t v)
{
	uint8_t be[8];

	put_be64(be, v);
	nl_attr(b, type, be, sizeof(be));
}

size_t nl_nest(struct buf *b, uint16_t type)
{
	size_t at = b->len;

	nl_attr(b, type | NLA_F_NESTED, NULL, 0);
	return at;
}

void nl_nest_end(struct buf *b, size_t at)
{
	uint16_t len = (uint16_t)(b->len - at);

	memcpy(b->data + at, &len, sizeof(len));
}

/* Drops n bytes and the padding that follows them, as far as it is there. */
static void advance(struct nl_view *v, size_t n)
{
	size_t whole = MIN((n + 3) & ~(size_t)3, v->len);

	v->data += whole;
	v->len -= whole;
}

bool nl_next(struct nl_view *v, struct nl_msg *ret)
{
	struct nlmsghdr h;

	if (v->len < sizeof(h))
		return false;
	memcpy(&h, v->data, sizeof(h));
	if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > v->len)
		return false;
	ret->type = h.nlmsg_type;
	ret->flags = h.nlmsg_flags;
	ret->seq = h.nlmsg_seq;
	ret->body = (struct nl_view){v->data + sizeof(h), h.nlmsg_len - sizeof(h)};
	advance(v, h.nlmsg_len);
	return true;
}

const uint8_t *nl_take(struct nl_view *v, size_t n)
{
	const uint8_t *p = v->data;

	if (v->len < n)
		return NULL;
	advance(v, n);
	return p;
}

bool nl_attr_next(struct nl_view *v, uint16_t *ret_type, struct nl_view *ret)
{
	struct nlattr a;

	if (v->len < sizeof(a))
		return false;
	memcpy(&a, v->data, sizeof(a));
	if (a.nla_len < sizeof(a) || a.nla_len > v->len)
		return false;
	*ret_type = (uint16_t)(a.nla_type & 0x3fff); /* NLA_TYPE_MASK */
	*ret = (struct nl_view){v->data + sizeof(a), a.nla_len - sizeof(a)};
	advance(v, a.nla_len);
	return true;
}

void nl_attrs(struct nl_view v, struct nl_view *table, size_t max)
{
	struct nl_view a;
	uint16_t type;

	memset(table, 0, max * sizeof(*table));
	while (nl_attr_next(&v, &type, &a))
		if (type < max)
			table[type] = a;
}

uint8_t nl_u8(struct nl_view a)
{
	return a.len >= 1 ? a.data[0] : 0;
}

uint32_t nl_u32(struct nl_view a)
{
	return a.len >= 4 ? nl_host32(a.data) : 0;
}

uint32_t nl_be32(struct nl_view a)
{
	return a.len >= 4 ? get_be32(a.data) : 0;
}

uint64_t nl_be64(struct nl_view a)
{
	return a.len >= 8 ? get_be64(a.data) : 0;
}

const char *nl_str(struct nl_view a)
{
	return a.len && memchr(a.data, 0, a.len) ? (const char *)a.data : "";
}

uint16_t nl_host16(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

uint32_t nl_host32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}
