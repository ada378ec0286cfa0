/*
 * The applets of this build, sorted by name (main.c searches and checks).
 * Each is `const struct applet applet_NAME` in applets/NAME/NAME.c.
 */
#ifndef APPLETS_APPLETS_H
#define APPLETS_APPLETS_H

#include "applet.h"

#define APPLETS(X)  \
	X(blkid)    \
	X(cni)      \
	X(console)  \
	X(crid)     \
	X(ctl)      \
	X(devlinks) \
	X(fetch)    \
	X(losetup)  \
	X(lsmod)    \
	X(modprobe) \
	X(mount)    \
	X(netd)     \
	X(nsenter)  \
	X(oci)      \
	X(pause)    \
	X(pull)     \
	X(shim)     \
	X(umount)   \
	X(unpack)

#define APPLET_DECLARE(name) extern const struct applet applet_##name;
APPLETS(APPLET_DECLARE)
#undef APPLET_DECLARE

#endif
