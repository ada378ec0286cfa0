/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/ipcmdline.h"

#include "unit.h"

static unsigned complaints;

static void bad(void *arg, const char *word, const char *why)
{
	(void)arg;
	(void)word;
	(void)why;
	complaints++;
}

static struct ipcmdline parse(const char *s)
{
	struct ipcmdline c;

	complaints = 0;
	ipcmdline_parse(s, strlen(s), &c, bad, NULL);
	return c;
}

static const char *text(const struct ip *ip)
{
	static char t[IP_TEXT];

	return ip_format(t, ip);
}

TEST(words)
{
	static const struct {
		const char *s;
		enum ipcmd_method method;
	} cases[] = {{"ip=dhcp", IPCMD_DHCP},	  {"ip=on", IPCMD_DHCP},
		     {"ip=any", IPCMD_DHCP},	  {"ip=off", IPCMD_OFF},
		     {"ip=none", IPCMD_OFF},	  {"ip=both", IPCMD_DHCP},
		     {"ip=", IPCMD_DHCP},	  {"ip=auto6", IPCMD_AUTO6},
		     {"ip=dhcp,1,ff", IPCMD_DHCP}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct ipcmdline c = parse(cases[i].s);

		CHECK_INT(c.n, 1);
		CHECK_INT(c.cmds[0].method, cases[i].method);
		CHECK_STR(c.cmds[0].device, "");
	}
}

TEST(all_fields)
{
	struct ipcmdline c =
		parse("quiet ip=10.0.0.5:10.0.0.9:10.0.0.1:255.255.240.0:n1:eth0:off:"
		      "10.0.0.2:10.0.0.3:10.0.0.4 nameserver=10.0.0.6");

	CHECK_INT(complaints, 0);
	CHECK_INT(c.n, 1);
	CHECK_INT(c.cmds[0].method, IPCMD_STATIC);
	CHECK_STR(text(&c.cmds[0].address.ip), "10.0.0.5");
	CHECK_INT(c.cmds[0].address.prefix, 20);
	CHECK_STR(text(&c.cmds[0].gateway), "10.0.0.1");
	CHECK_STR(c.cmds[0].hostname, "n1");
	CHECK_STR(c.cmds[0].device, "eth0");
	CHECK_INT(c.cmds[0].ndns, 2);
	CHECK_STR(text(&c.cmds[0].dns[1]), "10.0.0.3");
	CHECK_STR(text(&c.cmds[0].ntp), "10.0.0.4");
	CHECK_STR(text(&c.dns[0]), "10.0.0.6");
}

TEST(empty_fields)
{
	struct ipcmdline c =
		parse("ip=::::n2:eth1:dhcp ip=0.0.0.0:::::eth2:dhcp ip=192.168.1.5");

	CHECK_INT(complaints, 0);
	CHECK_INT(c.n, 3);
	CHECK_INT(c.cmds[0].method, IPCMD_DHCP);
	CHECK_STR(c.cmds[0].hostname, "n2");
	CHECK_INT(c.cmds[1].method, IPCMD_DHCP);
	CHECK_STR(c.cmds[1].device, "eth2");
	CHECK_INT(c.cmds[2].method, IPCMD_STATIC);
	CHECK_INT(c.cmds[2].address.prefix, 24); /* by class */
}

TEST(ipv6)
{
	struct ipcmdline c =
		parse("ip=[fd00::5]::[fd00::1]:64::eth0:off:[fd00::53]:1.1.1.1 "
		      "nameserver=fd00::54 nameserver=[fd00::55]");

	CHECK_INT(complaints, 0);
	CHECK_INT(c.n, 1);
	CHECK_STR(text(&c.cmds[0].address.ip), "fd00::5");
	CHECK_INT(c.cmds[0].address.prefix, 64);
	CHECK_STR(text(&c.cmds[0].gateway), "fd00::1");
	CHECK_INT(c.cmds[0].ndns, 2);
	CHECK_INT(c.ndns, 2);
	CHECK_STR(text(&c.dns[1]), "fd00::55");
}

TEST(dracut)
{
	struct ipcmdline c =
		parse("ip=eth0:dhcp ip=eth1:off ip=10.0.0.5:::24::eth2:none:1400 "
		      "\"ip=eth3:dhcp:9000\"");

	CHECK_INT(complaints, 0);
	CHECK_INT(c.n, 4);
	CHECK_STR(c.cmds[0].device, "eth0");
	CHECK_INT(c.cmds[1].method, IPCMD_OFF);
	CHECK_INT(c.cmds[2].mtu, 1400);
	CHECK_INT(c.cmds[3].mtu, 9000);
}

TEST(wrong)
{
	static const char *const cases[] = {
		"ip=10.0.0.300:::::", "ip=10.0.0.5:::255.0.255.0:",
		"ip=fd00::5",	      "ip=[fd00::5:::::",
		"ip=10.0.0.5:::33",   "ip=::::-n:eth0:dhcp",
		"ip=:::::e/0:dhcp",   "ip=:::::eth0:rarp",
		"ip=nonsense",	      "nameserver=x",
		"ip=::::::::::::",    "ip=:::::averyveryverylongname0:dhcp",
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct ipcmdline c = parse(cases[i]);

		CHECK_INT(c.n + c.ndns, 0);
		CHECK_INT(complaints, 1);
	}
}

TEST(too_many)
{
	char s[16 * 40 + 1] = "";

	for (int i = 0; i < 40; i++)
		strcat(s, "ip=eth0:dhcp ");
	CHECK_INT(parse(s).n, IPCMD_MAX);
	CHECK_INT(complaints, 40 - IPCMD_MAX);
}

TEST(what_is_not_ours)
{
	CHECK_INT(parse("vip=dhcp root=/dev/ip=dhcp x.ip=dhcp -- ip=dhcp").n, 0);
	CHECK_INT(complaints, 0);
}
