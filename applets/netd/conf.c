/*
 * What a link is to have: what ip= on the kernel's command line says of it, or its table in
 * the configuration, or, for an Ethernet device, DHCP.
 */
#include <linux/if.h>
#include <linux/if_arp.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "netd.h"

/* A device, not something that a CNI plugin or a person has made of others. */
static bool physical(const struct rtnl_link *l)
{
	return l->type == ARPHRD_ETHER && !(l->flags & IFF_LOOPBACK) && !*l->kind &&
	       !l->master && l->has_mac;
}

static void add_address(struct link_conf *c, const struct ip_net *addr)
{
	if (c->naddr < ARRAY_LEN(c->addr))
		c->addr[c->naddr++] = *addr;
}

static void add_dns(struct link_conf *c, const struct ip *ip)
{
	if (c->ndns < ARRAY_LEN(c->dns))
		c->dns[c->ndns++] = *ip;
}

static void set_gateway(struct link_conf *c, const struct ip *gw)
{
	c->has_gw[gw->v6] = true;
	c->gw[gw->v6] = *gw;
}

/* --- the command line ------------------------------------------------------------------- */

static void take_cmd(struct link_conf *c, const struct ipcmd *cmd)
{
	c->dhcp = c->dhcp || cmd->method == IPCMD_DHCP;
	c->ra = c->ra || cmd->method != IPCMD_OFF;
	if (cmd->method == IPCMD_STATIC)
		add_address(c, &cmd->address);
	if (cmd->has_gateway)
		set_gateway(c, &cmd->gateway);
	for (unsigned i = 0; i < cmd->ndns; i++)
		add_dns(c, &cmd->dns[i]);
	if (cmd->has_ntp) {
		c->has_ntp = true;
		c->ntp = cmd->ntp;
	}
	if (cmd->mtu)
		c->mtu = cmd->mtu;
	if (*cmd->hostname)
		str_copy(c->hostname, sizeof(c->hostname), cmd->hostname);
}

/* An ip= without a device: DHCP is for every device, an address for the first one. */
static bool unnamed_is_for(struct netd *n, const struct rtnl_link *l,
			   const struct ipcmd *cmd)
{
	if (!physical(l))
		return false;
	if (cmd->method != IPCMD_STATIC)
		return true;
	if (!n->unnamed)
		n->unnamed = l->index;
	return n->unnamed == l->index;
}

static bool from_cmdline(struct netd *n, const struct rtnl_link *l, struct link_conf *c)
{
	const struct ipcmdline *line = &n->s->cmdline;
	bool named = false, unnamed = false;

	c->origin = LINK_CMDLINE;
	for (unsigned i = 0; i < line->n; i++)
		if (str_eq(line->cmds[i].device, l->name)) {
			take_cmd(c, &line->cmds[i]);
			named = true;
		}
	for (unsigned i = 0; i < line->n && !named; i++)
		if (!*line->cmds[i].device && unnamed_is_for(n, l, &line->cmds[i])) {
			take_cmd(c, &line->cmds[i]);
			unnamed |= line->cmds[i].method != IPCMD_OFF;
		}
	return named || unnamed;
}

/* --- the configuration -------------------------------------------------------------------- */

static void from_table(const struct node_link *t, struct link_conf *c)
{
	struct ip_net net;
	struct ip ip;

	c->origin = LINK_CONFIG;
	for (unsigned i = 0; i < t->address.n; i++)
		if (ip_net_parse(t->address.v[i], &net) == 0)
			add_address(c, &net);
	if (*t->gateway && ip_parse(t->gateway, &ip) == 0)
		set_gateway(c, &ip);
	if (*t->gateway6 && ip_parse(t->gateway6, &ip) == 0)
		set_gateway(c, &ip);
	for (unsigned i = 0; i < t->dns.n; i++)
		if (ip_parse(t->dns.v[i], &ip) == 0)
			add_dns(c, &ip);
	c->mtu = (uint32_t)MIN(t->mtu, UINT64_C(65535));
	c->dhcp = t->dhcp == NODE_UNSET ? !c->naddr : t->dhcp == NODE_YES;
	c->ra = t->ra != NODE_NO;
}

bool conf_of_link(struct netd *n, const struct rtnl_link *l, struct link_conf *ret)
{
	const struct node_link *table;
	struct link_conf c = {0};

	if (l->flags & IFF_LOOPBACK)
		return false;
	if (from_cmdline(n, l, &c)) {
		*ret = c;
		return true;
	}
	c = (struct link_conf){.origin = LINK_DEFAULT, .dhcp = true, .ra = true};
	table = node_config_link(&n->s->conf, l->name);
	if (!table && n->s->cmdline.n)
		return false; /* the command line names what is to be used */
	if ((!table || str_eq(table->name, "*")) && !physical(l))
		return false;
	if (table) {
		c = (struct link_conf){0};
		from_table(table, &c);
	}
	*ret = c;
	return true;
}

const char *conf_hostname(const struct netd_setup *s)
{
	if (*s->conf.hostname)
		return s->conf.hostname;
	for (unsigned i = 0; i < s->cmdline.n; i++)
		if (*s->cmdline.cmds[i].hostname)
			return s->cmdline.cmds[i].hostname;
	return NULL;
}
