/*
 * The applets of this build, sorted by name (main.c searches and checks).
 * Each is `const struct applet applet_NAME` in applets/NAME/NAME.c.
 */
#ifndef APPLETS_APPLETS_H
#define APPLETS_APPLETS_H

#include "applet.h"

#define APPLETS(X)  \
	X(blkid)    \
	X(boottime) \
	X(cat)      \
	X(chmod)    \
	X(cni)      \
	X(config)   \
	X(console)  \
	X(cp)       \
	X(crid)     \
	X(ctl)      \
	X(date)     \
	X(devlinks) \
	X(df)       \
	X(dmesg)    \
	X(du)       \
	X(fetch)    \
	X(free)     \
	X(grep)     \
	X(halt)     \
	X(head)     \
	X(hostname) \
	X(id)       \
	X(init)     \
	X(initjob)  \
	X(ip)       \
	X(kill)     \
	X(ln)       \
	X(losetup)  \
	X(ls)       \
	X(lsblk)    \
	X(lsmod)    \
	X(mkdir)    \
	X(modprobe) \
	X(mount)    \
	X(mv)       \
	X(netd)     \
	X(nsenter)  \
	X(nslookup) \
	X(oci)      \
	X(pause)    \
	X(ping)     \
	X(preload)  \
	X(ps)       \
	X(pull)     \
	X(rm)       \
	X(service)  \
	X(shim)     \
	X(sleep)    \
	X(ss)       \
	X(sync)     \
	X(sysctl)   \
	X(tail)     \
	X(tee)      \
	X(umount)   \
	X(uname)    \
	X(unpack)   \
	X(uptime)

#define APPLET_DECLARE(name) extern const struct applet applet_##name;
APPLETS(APPLET_DECLARE)
#undef APPLET_DECLARE

#endif
