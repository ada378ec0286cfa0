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
	X(cni)      \
	X(config)   \
	X(console)  \
	X(crid)     \
	X(ctl)      \
	X(date)     \
	X(devlinks) \
	X(df)       \
	X(fetch)    \
	X(free)     \
	X(grep)     \
	X(halt)     \
	X(head)     \
	X(hostname) \
	X(id)       \
	X(init)     \
	X(initjob)  \
	X(kill)     \
	X(ip)       \
	X(losetup)  \
	X(lsmod)    \
	X(modprobe) \
	X(mount)    \
	X(netd)     \
	X(nsenter)  \
	X(oci)      \
	X(pause)    \
	X(pull)     \
	X(service)  \
	X(shim)     \
	X(sleep)    \
	X(sync)     \
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
