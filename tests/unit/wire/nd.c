/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/nd.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "unit.h"

/* An option of n bytes, zeros behind what is given of it. */
static bool parse_padded(const void *option, size_t given, size_t n, struct nd_option *o)
{
	uint8_t padded[64] = {0};
	struct nduseroptmsg h = {.nduseropt_family = AF_INET6,
				 .nduseropt_opts_len = (unsigned short)n,
				 .nduseropt_ifindex = 3,
				 .nduseropt_icmp_type = 134};
	BUF_AUTO b = {0};
	struct nl_msg m = {.type = RTM_NEWNDUSEROPT};

	buf_add(&b, &h, sizeof(h));
	memcpy(padded, option, given < n ? given : n);
	buf_add(&b, padded, n);
	m.body = (struct nl_view){b.data, b.len};
	return nd_parse(&m, o);
}

#define parse(text, n, o) parse_padded(text, sizeof(text) - 1, n, o)

#define SERVER "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x53"

TEST(servers)
{
	struct nd_option o;
	char text[IP_TEXT];

	CHECK(parse("\x19\3\0\0\0\0\0\x1e" SERVER, 24, &o));
	CHECK_INT(o.index, 3);
	CHECK_INT(o.lifetime, 30);
	CHECK_INT(o.nservers, 1);
	CHECK_STR(ip_format(text, &o.servers[0]), "2001:db8::53");
}

TEST(domains)
{
	struct nd_option o;

	CHECK(parse("\x1f\4\0\0\0\0\0\x1e\2ra\7example\0\1b\2io\0\0\0\0\0\0", 32, &o));
	CHECK_INT(o.ndomains, 2);
	CHECK_STR(o.domains[0], "ra.example");
	CHECK_STR(o.domains[1], "b.io");
}

TEST(damaged)
{
	struct nd_option o;

	CHECK(!parse("\x19\3\0\0\0\0\0\x1e" SERVER, 23, &o)); /* cut off */
	CHECK(!parse("\x19\0\0\0\0\0\0\x1e" SERVER, 24, &o)); /* no length */
	CHECK(!parse("\x19\2\0\0\0\0\0\x1e" SERVER, 16, &o)); /* half an address */
	CHECK(!parse("\x19\3\0\0\0\0\0\x1e\xff\2\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 24, &o));
	CHECK(!parse("\x1f\2\0\0\0\0\0\x1e\7a\nb", 16, &o)); /* a line in a name */
	CHECK(!parse("\x1f\2\0\0\0\0\0\x1e\x3f"
		     "abcdefg",
		     16, &o));
	CHECK(!parse("\x03\4\0\0\0\0\0\x1e", 32,
		     &o)); /* a prefix: the kernel's business */
}
