#!/usr/bin/python3
"""enter.py COMMAND...: runs a command, from a chroot as if there were none.

In a chroot the root directory is no mount point: mounts cannot be made private there,
pivot_root and user namespaces are refused. So, in a mount namespace of its own, this leaves the
chroot for a moment, makes its directory a mount and then the root of the namespace. Elsewhere,
and without a chroot, nothing changes.
"""

import ctypes
import os
import sys

MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH, CLONE_NEWNS = 0x1000, 0x4000, 0x40000, 2, 0x20000
LIBC = ctypes.CDLL(None, use_errno=True)
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "ppc64le": 203, "s390x": 217}


def check(what, result):
    if result != 0:
        sys.exit("enter: %s: %s" % (what, os.strerror(ctypes.get_errno())))


def in_chroot():
    """True if no mount is seen at the root directory."""
    with open("/proc/self/mountinfo") as f:
        return not any(line.split()[4] == "/" for line in f)


def mount(source, target, flags):
    source = source and source.encode()
    check("mount " + target, LIBC.mount(source, target.encode(), None, flags, None))


def leave():
    """To the root of the mount namespace; returns where the chroot is in it."""
    fd = os.open("/", os.O_PATH)
    os.chdir("/")
    os.chroot("/usr")  # the working directory is now above the root
    for _ in range(128):
        os.chdir("..")
    os.chroot(".")
    return os.readlink("/proc/self/fd/%d" % fd)


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: enter.py COMMAND...")
    if in_chroot():
        here = os.getcwd()
        check("unshare", LIBC.unshare(CLONE_NEWNS))
        top = leave()
        mount(None, "/", MS_REC | MS_PRIVATE)
        mount(top, top, MS_BIND | MS_REC)
        os.chdir(top)
        number = PIVOT_ROOT[os.uname().machine]
        if LIBC.syscall(number, b".", b".") == 0:
            check("umount", LIBC.umount2(b".", MNT_DETACH))
        else:  # an initramfs cannot be left that way
            os.chroot(".")
        os.chdir(here)
    os.execvp(sys.argv[1], sys.argv[1:])


main()
