#!/usr/bin/python3
"""The OCI runtime on cgroup version 2: device program, freezer, kill, delegated controllers.

Where the host has its controllers on version 1, the unified tree alone is mounted for this
test: with the controllers that are left to it, and devices and freezer, which always work.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
from frame import Skip, equal, holds, until  # noqa: E402
from ocibed import Bed  # noqa: E402

TOP = "/sys/fs/cgroup"
GROUP = "/cribox-it2"


frame.sh("umount", "-l", TOP)
frame.sh("mount", "-t", "cgroup2", "cgroup2", TOP)


def setup():
    if not open(TOP + "/cgroup.controllers").read().strip():
        raise Skip("version 1 has all controllers")


def group(name):
    return open(TOP + GROUP + "/c/" + name).read()


def config(bed, *args):
    c = bed.config(*args)
    c["linux"]["cgroupsPath"] = GROUP + "/c"
    c["linux"]["namespaces"].append({"type": "cgroup"})
    options = ["nosuid", "noexec", "nodev", "ro"]
    m = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": options}
    c["mounts"].append(m)
    return c


def with_bed(fn):
    def test(_):
        setup()
        bed = Bed()
        try:
            fn(bed)
            equal(bed.leftovers(), [], "what is left behind")
        finally:
            bed.close()
            if os.path.isdir(TOP + GROUP):
                os.rmdir(TOP + GROUP)

    test.__name__ = fn.__name__
    return test


def test_devices(bed):
    """What the rules do not allow cannot be opened, though its node is there."""
    c = config(bed, "sleep", "100")
    c["linux"]["devices"] = [
        {"path": "/dev/one", "type": "c", "major": 1, "minor": 11, "fileMode": 0o666},
        {"path": "/dev/two", "type": "c", "major": 1, "minor": 5, "fileMode": 0o666},
        {"path": "/dev/mem2", "type": "c", "major": 1, "minor": 1, "fileMode": 0o666},
    ]
    rule = {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "w"}
    c["linux"]["resources"]["devices"].append(rule)
    bed.background(c)
    run = lambda s: bed.call("exec", "c", "sh", "-c", s)  # noqa: E731
    equal(run("head -c 3 /dev/two | wc -c").stdout, "3\n", "a default device")
    equal(run(": >> /dev/one").returncode, 0, "write to what may be written")
    holds(run(": < /dev/one").stderr, "Operation not permitted")
    holds(run(": < /dev/mem2").stderr, "Operation not permitted")
    equal(bed.call("delete", "-f", "c").returncode, 0)


def test_freeze_and_kill(bed):
    bed.background(config(bed, "sh", "-c", "sleep 100 & sleep 100"))
    equal(bed.call("pause", "c").returncode, 0)
    holds(group("cgroup.events"), "frozen 1")
    equal(bed.state()["status"], "paused")
    equal(bed.call("resume", "c").returncode, 0)
    holds(group("cgroup.events"), "frozen 0")
    equal(bed.call("pause", "c").returncode, 0)
    equal(bed.call("delete", "-f", "c").returncode, 0, "delete -f of a paused one")


def test_without_a_pid_namespace(bed):
    c = config(bed, "sh", "-c", "sleep 1002 & sleep 1002 & exec sleep 1002")
    c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != "pid"]
    bed.background(c)
    until(lambda: len(group("cgroup.procs").split()) == 3, 5, "three processes")
    equal(bed.call("kill", "c", "KILL").returncode, 0)
    until(lambda: "populated 0" in group("cgroup.events"), 5, "an empty group")
    equal(bed.call("delete", "c").returncode, 0)


def test_view_from_inside(bed):
    c = config(bed, "sh", "-c", "tail -n 1 /proc/self/cgroup; (mkdir /sys/fs/cgroup/x) 2>&1; "
               "grep ' /sys/fs/cgroup ' /proc/self/mountinfo | cut -d' ' -f4")
    os.symlink("busybox", os.path.join(bed.rootfs, "bin/tail"))
    out = bed.output(c)
    holds(out, "0::/\n")
    holds(out, "Read-only file system")
    equal(out.split()[-1], "/", "root of the mount")


def test_limits_of_missing_controllers(bed):
    """A limit that cannot be set is an error that names the controller, not a silent no."""
    have = open(TOP + "/cgroup.controllers").read().split()
    if "memory" in have:
        raise Skip("all controllers are here")
    c = config(bed, "true")
    c["linux"]["resources"]["memory"] = {"limit": 100 << 20}
    done = bed.run(c)
    equal(done.returncode, 1)
    holds(done.stderr, 'no cgroup controller \\"memory\\"')
    if "hugetlb" in have:
        c = config(bed, "sleep", "100")
        c["linux"]["resources"]["hugepageLimits"] = [{"pageSize": "2MB", "limit": 4 << 20}]
        bed.background(c)
        equal(group("hugetlb.2MB.max"), "%d\n" % (4 << 20))
        equal(bed.call("delete", "-f", "c").returncode, 0)


TESTS = [f for n, f in sorted(globals().items()) if n.startswith("test_")]
sys.exit(1 if frame.run([with_bed(f) for f in TESTS]) else 0)
