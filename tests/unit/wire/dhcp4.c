/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/dhcp4.h"

#include "base/num.h"
#include "unit.h"

static const uint8_t mac[] = {2, 0, 0, 0, 0, 7};

/* A server's message: the fixed part, and options as they are given. */
static size_t message(uint8_t m[DHCP4_MAX], const void *options, size_t n)
{
	memset(m, 0, DHCP4_MAX);
	m[0] = 2;
	m[1] = 1;
	m[2] = 6;
	put_be32(m + 4, 0x12345678);
	put_be32(m + 16, 0x0a090064);
	memcpy(m + 28, mac, sizeof(mac));
	memcpy(m + 236, "\x63\x82\x53\x63", 4);
	memcpy(m + 240, options, n);
	return 240 + n;
}

#define READ(text)                                                          \
	struct dhcp4_reply r = {0};                                         \
	uint8_t m[DHCP4_MAX];                                               \
	int got = dhcp4_read(m, message(m, "" text, sizeof(text) - 1), &r); \
	(void)got

TEST(reads_a_lease)
{
	READ("\x35\1\5\x36\4\x0a\x09\0\1\1\4\xff\xff\xff\0\x33\4\0\0\x0e\x10\3\4\x0a\x09"
	     "\0\1"
	     "\6\x08\x0a\x09\0\1\x0a\x09\0\2\x0f\x08t."
	     "exampl\x0c\2n7\x1a\2\5\x78\x2a\4\x0a\x09\0\3"
	     "\x3a\4\0\0\1\0\x3b\4\0\0\2\0\xff");

	CHECK_INT(got, 0);
	CHECK_INT(r.type, DHCP4_ACK);
	CHECK_INT(r.xid, 0x12345678);
	CHECK_INT(r.yiaddr, 0x0a090064);
	CHECK_INT(r.server, 0x0a090001);
	CHECK_INT(r.prefix, 24);
	CHECK_INT(r.lease, 3600);
	CHECK_INT(r.t1, 256);
	CHECK_INT(r.t2, 512);
	CHECK_INT(r.mtu, 1400);
	CHECK_INT(r.ndns, 2);
	CHECK_INT(r.nntp, 1);
	CHECK_INT(r.nroutes, 1);
	CHECK_INT(r.routes[0].gw, 0x0a090001);
	CHECK_INT(r.routes[0].prefix, 0);
	CHECK_STR(r.search[0], "t.exampl");
	CHECK_STR(r.hostname, "n7");
}

/* RFC 3442: the example's encodings, and that option 3 does not count beside it. */
TEST(classless_routes)
{
	READ("\x35\1\5\3\4\x0a\x09\0\x63\x79\x1a"
	     "\0\x0a\x09\0\1"
	     "\x08\x0a\0\0\0\0"
	     "\x19\x0a\x1b\x81\xff\x0a\x09\0\2"
	     "\x20\x0a\0\0\5\x0a\xff");

	/* the last one is cut off */
	CHECK_INT(r.nroutes, 3);
	CHECK_INT(r.routes[0].prefix, 0);
	CHECK_INT(r.routes[0].gw, 0x0a090001);
	CHECK_INT(r.routes[1].dst, 0x0a000000);
	CHECK_INT(r.routes[1].gw, 0);
	CHECK_INT(r.routes[2].dst, 0x0a1b8180); /* host bits are cleared */
	CHECK_INT(r.routes[2].prefix, 25);
}

/* RFC 3397: names that point back, over two instances of the option (RFC 3396). */
TEST(search_list)
{
	READ("\x35\1\5\x77\7\1a\7exam\x77\x0bple\0\1b\xc0\2\1\x21\0\x0f\4x.io\xff");

	CHECK_INT(r.nsearch, 2);
	CHECK_STR(r.search[0], "a.example");
	CHECK_STR(r.search[1], "b.example");
}

TEST(search_list_that_bites_its_tail)
{
	READ("\x35\1\5\x77\6\1a\xc0\2\xc0\0\x0f\4x.io\xff");

	CHECK_STR(r.search[0], "x.io");
	CHECK_INT(r.nsearch, 1);
}

/* What is copied into files must not bring lines or terminals' sequences along. */
TEST(names_with_anything_in_them)
{
	READ("\x35\1\5\x0f\x0c"
	     "a\nnameserver"
	     "\x0c\6-rf; x\x38\5no\x1b[m\xff");

	CHECK_INT(r.nsearch, 0);
	CHECK_STR(r.hostname, "");
	CHECK_STR(r.message, "no?[m");
}

TEST(bad_values_are_left_out)
{
	READ("\x35\1\5\1\4\xff\0\xff\0\6\5\x7f\0\0\1\1\x1a\2\2\x40\x33\4\0\0\0\x64\x3a\4"
	     "\0\0\0\x5a"
	     "\x3b\4\0\0\0\x50\x36\3\1\2\3\xff");

	CHECK_INT(got, 0);
	CHECK_INT(r.prefix, 8); /* the class's */
	CHECK_INT(r.ndns, 0);
	CHECK_INT(r.mtu, 0);
	CHECK_INT(r.t1, 0);
	CHECK_INT(r.t2, 0);
	CHECK_INT(r.server, 0);
}

/* RFC 2132 9.3: `file` and `sname` hold options. */
TEST(overload)
{
	uint8_t m[DHCP4_MAX];
	size_t n = message(m, "\x34\1\3\x35\1\2\xff", 7);
	struct dhcp4_reply r;

	memcpy(m + 108, "\x36\4\x0a\x09\0\1\xff", 7);
	memcpy(m + 44, "\6\4\x0a\x09\0\2\xff", 7);
	CHECK_INT(dhcp4_read(m, n, &r), 0);
	CHECK_INT(r.type, DHCP4_OFFER);
	CHECK_INT(r.server, 0x0a090001);
	CHECK_INT(r.dns[0], 0x0a090002);
}

TEST(no_message)
{
	uint8_t m[DHCP4_MAX];
	size_t n = message(m, "\x35\1\5\xff", 4);
	struct dhcp4_reply r;

	CHECK_INT(dhcp4_read(m, n, &r), 0);
	CHECK_INT(dhcp4_read(m, 239, &r), -1);
	m[0] = 1;
	CHECK_INT(dhcp4_read(m, n, &r), -1); /* a client's */
	m[0] = 2;
	m[242] = 3;
	CHECK_INT(dhcp4_read(m, n, &r), -1); /* a client's type */
	m[242] = 5;
	m[238] = 0;
	CHECK_INT(dhcp4_read(m, n, &r), -1); /* BOOTP */
}

TEST(addresses_nobody_can_have)
{
	uint8_t m[DHCP4_MAX];
	size_t n = message(m, "\x35\1\5\xff", 4);
	struct dhcp4_reply r;

	for (uint32_t bad = 0; bad < 4; bad++) {
		static const uint32_t addr[] = {0, 0x7f000001, 0xe0000001, 0xffffffff};

		put_be32(m + 16, addr[bad]);
		CHECK_INT(dhcp4_read(m, n, &r), 0);
		CHECK_INT(r.yiaddr, 0);
	}
}

TEST(request)
{
	struct dhcp4_request r = {.type = DHCP4_REQUEST,
				  .xid = 7,
				  .broadcast = true,
				  .requested = 0x0a090064,
				  .server = 0x0a090001,
				  .hostname = "n7"};
	BUF_AUTO b = {0};

	memcpy(r.mac, mac, sizeof(mac));
	dhcp4_write(&b, &r);
	CHECK_INT(b.len >= 300, 1);
	CHECK_INT(b.data[0], 1);
	CHECK_INT(get_be16(b.data + 10), 0x8000);
	CHECK_MEM(b.data + 240,
		  "\x35\1\3\x3d\7\1\2\0\0\0\0\7\x32\4\x0a\x09\0\x64\x36\4\x0a\x09\0\1",
		  24);
}

static size_t framed(struct buf *b, uint8_t reply[DHCP4_MAX + 28])
{
	dhcp4_frame(b, 0x0a090001, 0x0a090064, "hello", 5);
	memcpy(reply, b->data, b->len);
	/* from the server to the client: the sum of the ports is the same */
	put_be16(reply + 20, 67);
	put_be16(reply + 22, 68);
	return b->len;
}

TEST(frame)
{
	uint8_t p[DHCP4_MAX + 28];
	BUF_AUTO b = {0};
	size_t n = framed(&b, p), len;
	const uint8_t *payload = dhcp4_unframe(p, n, false, &len);

	CHECK(payload);
	CHECK_INT(len, 5);
	CHECK_MEM(payload, "hello", 5);
	CHECK(!dhcp4_unframe(p, n - 1, false, &len));
	CHECK(!dhcp4_unframe(b.data, n, false, &len)); /* to the server */
	p[n - 1] ^= 1;
	CHECK(!dhcp4_unframe(p, n, false, &len));
	CHECK(dhcp4_unframe(p, n, true, &len)); /* the kernel has not summed it up */
	p[6] |= 0x20;
	CHECK(!dhcp4_unframe(p, n, true, &len));
}
