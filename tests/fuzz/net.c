/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the network daemon reads: the first byte chooses DHCP ('d'), a packet with DHCP ('p'), the
 * command line ('c'), an SNTP answer ('s') or a router's option ('n'). Names that come out of it
 * are copied into files: they may hold nothing but what names are made of.
 */
#include <linux/rtnetlink.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "wire/dhcp4.h"
#include "wire/ipcmdline.h"
#include "wire/nd.h"
#include "wire/sntp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void name_ok(const char *s, size_t size)
{
	static const char alphabet[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

	if (strnlen(s, size) == size || strspn(s, alphabet) != strlen(s))
		abort();
}

static void dhcp(const uint8_t *data, size_t size)
{
	struct dhcp4_reply r;

	if (dhcp4_read(data, size, &r) < 0)
		return;
	if (r.ndns > DHCP4_SERVERS || r.nntp > DHCP4_SERVERS ||
	    r.nroutes > DHCP4_ROUTES || r.nsearch > DHCP4_SEARCH || r.prefix > 32 ||
	    (r.yiaddr && !dhcp4_unicast(r.yiaddr)) || (r.mtu && r.mtu < 1280) ||
	    (r.t1 && (r.t1 >= r.t2 || r.t2 >= r.lease)))
		abort();
	name_ok(r.hostname, sizeof(r.hostname));
	for (unsigned i = 0; i < r.nsearch; i++)
		name_ok(r.search[i], sizeof(r.search[i]));
	for (unsigned i = 0; i < r.nroutes; i++)
		if (r.routes[i].prefix > 32 ||
		    (r.routes[i].prefix < 32 &&
		     r.routes[i].dst & UINT32_MAX >> r.routes[i].prefix))
			abort();
	for (const char *p = r.message; *p; p++)
		if (*p < ' ' || *p > '~')
			abort();
}

static void packet(const uint8_t *data, size_t size)
{
	size_t n;
	const uint8_t *p = dhcp4_unframe(data, size, true, &n);

	if (!p)
		return;
	if (p < data || n > size || p + n > data + size)
		abort();
	dhcp(p, n);
}

static void cmdline(const uint8_t *data, size_t size)
{
	struct ipcmdline c;

	ipcmdline_parse((const char *)data, size, &c, NULL, NULL);
	if (c.n > IPCMD_MAX || c.ndns > IPCMD_DNS)
		abort();
	for (unsigned i = 0; i < c.n; i++) {
		name_ok(c.cmds[i].hostname, sizeof(c.cmds[i].hostname));
		if (c.cmds[i].ndns > IPCMD_DNS ||
		    strnlen(c.cmds[i].device, IPCMD_DEVICE) == IPCMD_DEVICE ||
		    c.cmds[i].address.prefix > ip_bits(&c.cmds[i].address.ip))
			abort();
	}
}

static void sntp(const uint8_t *data, size_t size)
{
	const int64_t now = INT64_C(1800000000) * 1000000000,
		      floor = INT64_C(1767225600) * 1000000000;
	struct sntp_sample s[2];
	struct err err;

	if (sntp_answer(data, size, size >= 32 ? get_be64(data + 24) : 0, now,
			now + 1000000, floor, &s[0], &err) < 0)
		return;
	if (s[0].delay < 0 || s[0].distance < 0 || strlen(s[0].kiss) > 4)
		abort();
	s[1] = s[0];
	if (!*s[0].kiss && sntp_select(s, 2) < 0)
		abort();
}

static void router(const uint8_t *data, size_t size)
{
	struct nl_msg m = {.type = RTM_NEWNDUSEROPT, .body = {data, size}};
	struct nd_option o;

	if (!nd_parse(&m, &o))
		return;
	if (o.nservers > ND_ITEMS || o.ndomains > ND_ITEMS)
		abort();
	for (unsigned i = 0; i < o.ndomains; i++)
		name_ok(o.domains[i], sizeof(o.domains[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	switch (data[0]) {
	case 'd':
		dhcp(data + 1, size - 1);
		break;
	case 'p':
		packet(data + 1, size - 1);
		break;
	case 'c':
		cmdline(data + 1, size - 1);
		break;
	case 's':
		sntp(data + 1, size - 1);
		break;
	default:
		router(data + 1, size - 1);
	}
	return 0;
}
