/*
 * ipcmdline: network parameters of the kernel's command line:
 *
 *	ip=CLIENT:SERVER:GATEWAY:NETMASK:HOSTNAME:DEVICE:AUTOCONF:DNS0:DNS1:NTP0
 *	ip=dhcp  ip=off  (and the kernel's and dracut's other words)
 *	ip=DEVICE:dhcp   nameserver=ADDRESS
 *
 * (Documentation/admin-guide/nfs/nfsroot.rst; dracut.cmdline(7); several ip=, and IPv6 in
 * brackets, as Talos reads them.) NETMASK may be a prefix length. SERVER is for NFS only.
 */
#ifndef WIRE_IPCMDLINE_H
#define WIRE_IPCMDLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/ip.h"

enum { IPCMD_MAX = 16, IPCMD_DNS = 4, IPCMD_DEVICE = 16, IPCMD_HOSTNAME = 64 };

enum ipcmd_method {
	IPCMD_OFF,    /* nothing is to be configured automatically */
	IPCMD_STATIC, /* what the fields say */
	IPCMD_DHCP,   /* DHCPv4, and IPv6 as routers say */
	IPCMD_AUTO6   /* only IPv6 as routers say */
};

struct ipcmd {
	enum ipcmd_method method;
	char device[IPCMD_DEVICE]; /* "": any */
	struct ip_net address;	   /* IPCMD_STATIC */
	bool has_gateway;
	struct ip gateway;
	char hostname[IPCMD_HOSTNAME]; /* "": none */
	uint32_t mtu;		       /* 0: none */
	unsigned ndns;
	struct ip dns[IPCMD_DNS];
	bool has_ntp;
	struct ip ntp;
};

struct ipcmdline {
	unsigned n;
	struct ipcmd cmds[IPCMD_MAX];
	unsigned ndns;
	struct ip dns[IPCMD_DNS]; /* nameserver= */
};

/*
 * Reads the n bytes of a command line. A parameter that is wrong is left out, and bad is
 * called with its text and the reason; bad may be NULL.
 */
void ipcmdline_parse(const char *s, size_t n, struct ipcmdline *ret,
		     void (*bad)(void *arg, const char *word, const char *why),
		     void *arg);

#endif
