#include "unit.h"
#include "wire/ip.h"

static struct ip addr(const char *s)
{
	struct ip ip;

	CHECK(ip_parse(s, &ip) == 0);
	return ip;
}

static struct ip_net net(const char *s)
{
	struct ip_net n;

	CHECK(ip_net_parse(s, &n) == 0);
	return n;
}

TEST(text)
{
	static const char *const good[] = {"0.0.0.0", "10.244.0.7", "255.255.255.255",
					   "::",      "fd00::1",    "2001:db8::a:0:0:b"};
	static const char *const bad[] = {"",	    "1.2.3",	"1.2.3.256", "1.2.3.4 ",
					  "01x",    "g::",	":::",	     "1.2.3.4/8",
					  "::1%lo", "1.2.3.4.5"};
	char back[IP_TEXT];
	struct ip ip;

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		ip = addr(good[i]);
		CHECK_STR(ip_format(back, &ip), good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (ip_parse(bad[i], &ip) == 0)
			FAIL("%s was taken", bad[i]);
}

TEST(networks)
{
	static const char *const bad[] = {"1.2.3.4",	"1.2.3.4/33", "::/129",
					  "1.2.3.4/",	"/8",	      "1.2.3.4/-1",
					  "1.2.3.4/8/8"};
	struct ip_net n = net("10.1.2.3/20");
	struct ip ip;
	char text[IP_NET_TEXT];

	CHECK_STR(ip_net_format(text, &n), "10.1.2.3/20");
	ip = ip_first(&n);
	CHECK_STR(ip_format(text, &ip), "10.1.0.0");
	ip = ip_last(&n);
	CHECK_STR(ip_format(text, &ip), "10.1.15.255");
	n = net("fd00::5/127");
	ip = ip_last(&n);
	CHECK_STR(ip_format(text, &ip), "fd00::5");
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (ip_net_parse(bad[i], &n) == 0)
			FAIL("%s was taken", bad[i]);
}

static int in(const char *n, const char *ip)
{
	struct ip_net a = net(n);
	struct ip b = addr(ip);

	return ip_in(&a, &b);
}

static int overlap(const char *a, const char *b)
{
	struct ip_net x = net(a), y = net(b);

	CHECK_INT(ip_overlap(&x, &y), ip_overlap(&y, &x));
	return ip_overlap(&x, &y);
}

TEST(membership)
{
	CHECK(in("10.0.0.0/8", "10.255.0.1"));
	CHECK(!in("10.0.0.0/8", "11.0.0.0"));
	CHECK(in("0.0.0.0/0", "1.2.3.4"));
	CHECK(!in("0.0.0.0/0", "::1"));
	CHECK(in("1.2.3.4/32", "1.2.3.4"));
	CHECK(!in("1.2.3.4/32", "1.2.3.5"));
	CHECK(in("fd00::/9", "fd7f::1"));
	CHECK(overlap("10.0.0.0/8", "10.1.0.0/16"));
	CHECK(!overlap("10.0.0.0/16", "10.1.0.0/16"));
	CHECK(!overlap("::/0", "0.0.0.0/0"));
}

TEST(steps)
{
	struct ip ip = addr("10.0.255.255");
	char text[IP_TEXT];

	CHECK(ip_inc(&ip));
	CHECK_STR(ip_format(text, &ip), "10.1.0.0");
	CHECK(ip_dec(&ip));
	CHECK_STR(ip_format(text, &ip), "10.0.255.255");
	ip = addr("255.255.255.255");
	CHECK(!ip_inc(&ip));
	CHECK_STR(ip_format(text, &ip), "255.255.255.255");
	ip = addr("::");
	CHECK(!ip_dec(&ip));
	CHECK_STR(ip_format(text, &ip), "::");
	ip = addr("fd00::ffff:ffff:ffff:ffff");
	CHECK(ip_inc(&ip));
	CHECK_STR(ip_format(text, &ip), "fd00:0:0:1::");
}
