#!/usr/bin/python3
"""checkpoint and restore: what is asked of criu, by a stub; and real ones, where criu works.

Debian's criu of this suite may be older than the kernel: then the newest one that Debian has,
with its libraries, is unpacked below build/.
"""

import glob
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

PLACE = os.path.join(frame.REPO, "build", "check", "criu")
PACKAGES = """criu libprotobuf-c1 libc6 libnl-3-200 libnet9 libbsd0 libmd0 libnftables1 libnftnl11 libmnl0 libcap2
libgnutls30t64 libdrm2 libunistring5 libnettle8t64 libhogweed6t64 libgmp10 libp11-kit0 libuuid1 libtasn1-6
libidn2-0 libjansson4 libffi8 libzstd1 zlib1g""".split()


def works(criu):
    try:
        null = subprocess.DEVNULL
        return subprocess.run([criu, "check"], stdin=null, stdout=null, stderr=null, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def find():
    """A criu that works here, or None."""
    newest = os.path.join(PLACE, "criu")
    for criu in ("/usr/sbin/criu", newest):
        if os.path.exists(criu) and works(criu):
            return criu
    if os.path.exists(PLACE) or os.uname().machine != "x86_64":
        return None
    os.makedirs(PLACE)
    script = ". arch/apt-private.sh; private_apt deb %s/apt 'sid trixie' amd64 && cd %s && apt-get download %s"
    null = subprocess.DEVNULL
    subprocess.run(["sh", "-ec", script % (PLACE, PLACE, " ".join(PACKAGES))], cwd=frame.REPO, stdin=null, stdout=null, stderr=null, timeout=120)
    for deb in glob.glob(PLACE + "/*.deb"):
        subprocess.run(["dpkg", "-x", deb, PLACE], check=True)
        os.unlink(deb)
    loader = glob.glob(PLACE + "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2") + glob.glob(PLACE + "/usr/lib64/ld-linux*")
    if not loader:
        return None
    with open(newest, "w") as f:
        f.write('#!/bin/sh\nexec %s --library-path %s/usr/lib/x86_64-linux-gnu:%s/lib/x86_64-linux-gnu %s/usr/sbin/criu "$@"\n' % (loader[0], PLACE, PLACE, PLACE))
    os.chmod(newest, 0o755)
    return newest if works(newest) else None


if os.environ.get("CRIBOX_TEST_ISOLATED") != "yes":
    os.environ["CRIBOX_CRIU"] = find() or ""  # as long as there is a network
frame.isolate()
from frame import CRIBOX, Skip, equal, holds, until  # noqa: E402
from ocibed import Bed  # noqa: E402

NULL = subprocess.DEVNULL

STUB = r'''#!/usr/bin/python3
import json, os, socket, subprocess, sys
sock = socket.socket(fileno=int(sys.argv[2]))
assert sys.argv[1] == "swrk"
def varint(b, i):
    v = s = 0
    while True:
        v |= (b[i] & 127) << s; s += 7; i += 1
        if not b[i - 1] & 128: return v, i
def fields(b):
    i, out = 0, []
    while i < len(b):
        key, i = varint(b, i)
        if key & 7 == 0: v, i = varint(b, i)
        else:
            n, i = varint(b, i); v = b[i:i + n]; i += n
        out.append((key >> 3, v))
    return out
def put(n, v):
    def var(x):
        o = b""
        while x > 127: o += bytes([x & 127 | 128]); x >>= 7
        return o + bytes([x])
    return var(n << 3) + var(v) if isinstance(v, int) else var(n << 3 | 2) + var(len(v)) + v
req = dict(fields(sock.recv(65536)))
opts = fields(req[2])
json.dump({"type": req[1], "opts": [[n, v if isinstance(v, int) else v.decode("latin1")] for n, v in opts]}, open("REPORT", "w"))
def notify(script, pid=0):
    sock.send(put(1, 6) + put(2, 1) + put(5, put(1, script) + put(2, pid)))
    answer = dict(fields(sock.recv(65536)))
    assert answer == {1: 6, 3: 1}, answer
if os.path.exists("FAIL"):
    sock.send(put(1, req[1]) + put(2, 0) + put(7, 3) + put(9, b"no such luck\n"))
elif req[1] == 2:
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    notify(b"setup-namespaces", child.pid)
    notify(b"post-restore", child.pid)
    sock.send(put(1, 2) + put(2, 1) + put(4, put(1, child.pid)))
else:
    notify(b"post-dump")
    sock.send(put(1, req[1]) + put(2, 1))
'''


def with_bed(fn):
    def test(criu):
        bed = Bed()
        try:
            fn(bed, criu)
            bed.call("delete", "-f", "c")
            equal(bed.leftovers(), [], "what is left behind")
        finally:
            bed.close()

    test.__name__ = fn.__name__
    return test


class Stub:
    def __init__(self, bed):
        self.report, self.fail = bed.dir + "/report", bed.dir + "/fail"
        self.path = bed.dir + "/criu"
        with open(self.path, "w") as f:
            f.write(STUB.replace("REPORT", self.report).replace("FAIL", self.fail))
        os.chmod(self.path, 0o755)
        bed.runtime = [CRIBOX, "oci", "--criu", self.path]

    def asked(self):
        with open(self.report) as f:
            r = json.load(f)
        return r["type"], r["opts"]


def test_requests(bed, _):
    stub = Stub(bed)
    c = bed.config("sleep", "1000")
    c["mounts"].append({"destination": "/tmp", "type": "bind", "source": bed.dir, "options": ["rbind"]})
    bed.background(c)
    pid, image = bed.state()["pid"], bed.dir + "/image"
    flags = "--tcp-established --ext-unix-sk --shell-job --file-locks --link-remap --tcp-skip-in-flight --lazy-pages --auto-dedup"
    flags += " --empty-ns network --manage-cgroups-mode=full --page-server 10.0.0.1:77 --network-lock nftables --status-fd 1"
    done = bed.call("checkpoint", "--image-path", image, "--leave-running", *flags.split(), "c")
    equal((done.returncode, done.stderr), (0, ""))
    kind, opts = stub.asked()
    given = dict((n, v) for n, v in opts)
    equal(kind, 1)
    want = {2: pid, 3: 1, 4: 1, 5: 1, 7: 1, 8: 1, 9: 4, 10: "dump.log", 12: 1, 13: bed.rootfs, 16: 1, 18: 1, 24: 1}
    want.update({34: 4, 38: 0x40000000, 46: 1, 48: 1, 49: 1, 50: 1, 64: 2, 11: "\n\x0810.0.0.1\x10M"})
    equal({k: given.get(k) for k in want}, want, "criu_opts")
    mounts = [v for n, v in opts if n == 23]
    equal("\n\x04/tmp\x12\x04/tmp" in mounts and "\n\x0a/proc/keys\x12\x09/dev/null" in mounts, True, str(mounts))
    if os.path.isdir("/sys/fs/cgroup/freezer"):
        equal(given[44], "/sys/fs/cgroup/freezer/%s/c" % os.path.basename(bed.dir))
    equal(len(json.load(open(image + "/descriptors.json"))), 3)
    equal(bed.state()["status"], "running")
    bed.call("checkpoint", "--pre-dump", "--image-path", image, "--parent-path", "../x", "c")
    kind, opts = stub.asked()
    equal((kind, dict(opts)[14], dict(opts)[15]), (4, "../x", 1))
    open(stub.fail, "w").close()
    done = bed.call("checkpoint", "--image-path", image, "c")
    equal(done.returncode, 1)
    holds(done.stderr, "criu failed: type DUMP errno 3: no such luck (log file: %s/dump.log)" % image)
    equal(bed.state()["status"], "running", "status after a failure")
    os.unlink(stub.fail)
    for args, text in ((["--manage-cgroups-mode", "x"], "manage cgroups mode"), (["--page-server", "x"], "page server"), (["--empty-ns", "pid"], "not supported")):
        holds(bed.call("checkpoint", *args, "c").stderr, text)
    bed.runtime = [CRIBOX, "oci", "--criu", "/nosuch/criu"]
    holds(bed.call("checkpoint", "--image-path", image, "c").stderr, "restore need criu")
    bed.runtime = [CRIBOX, "oci", "--criu", stub.path]
    equal(bed.call("checkpoint", "--image-path", image, "c").returncode, 0)
    equal(bed.leftovers(), [], "after a checkpoint")
    pid_file = bed.dir + "/pid"
    restore = ["restore", "-d", "-b", bed.bundle, "--image-path", image, "--pid-file", pid_file, "--tcp-close"]
    restore += ["--lsm-profile", "selinux:x", "--lsm-mount-context", "y", "--no-subreaper", "c"]
    equal(bed.call(*restore, stdout=NULL, stderr=NULL).returncode, 0)
    kind, opts = stub.asked()
    given = dict((n, v) for n, v in opts)
    equal(kind, 2)
    want = {6: 1, 10: "restore.log", 13: bed.root + "/c/criu-root", 26: 1, 52: 1, 53: "selinux:x", 63: "y"}
    equal({k: given.get(k) for k in want}, want, "criu_opts")
    equal("\n\x04/tmp\x12%c%s" % (len(bed.dir), bed.dir) in [v for n, v in opts if n == 23], True)
    equal(bed.state()["pid"], int(open(pid_file).read()))
    bed.call("kill", "c", "KILL")
    until(lambda: bed.state()["status"] == "stopped", 5, "the end")
    bed.call("delete", "c")
    open(stub.fail, "w").close()
    done = bed.call(*restore)
    equal(done.returncode, 1)
    holds(done.stderr, "no such luck (log file: %s/restore.log)" % image)


def test_real(bed, criu):
    """A counter in a file and in a pipe goes on where it was."""
    if not criu:
        raise Skip("no criu that works with this kernel")
    bed.runtime = [CRIBOX, "oci", "--criu", criu]
    c = bed.config("sh", "-c", "i=0; while :; do i=$((i+1)); printf '%s\\n' $i; printf '%s\\n' $i >/count; sleep 0.1; done")
    c["process"]["rlimits"] = []
    bed.use(c)
    bed.ids.append("c")
    image, count = bed.dir + "/image", os.path.join(bed.rootfs, "count")
    read, write = os.pipe()
    equal(bed.call("run", "-d", "-b", bed.bundle, "c", stdout=write, stderr=write).returncode, 0)
    os.close(write)
    number = lambda: int(open(count).read() or 0) if os.path.exists(count) else 0
    until(lambda: number() > 3, 5, "the counter")
    done = bed.call("checkpoint", "--image-path", bed.dir + "/running", "--leave-running", "c")
    equal((done.returncode, done.stderr), (0, ""))
    before = number()
    until(lambda: number() > before, 5, "the counter goes on")
    done = bed.call("checkpoint", "--image-path", image, "c")
    equal((done.returncode, done.stderr), (0, ""))
    equal(bed.leftovers(), [], "after a checkpoint")
    stopped = number()
    time.sleep(0.3)
    equal(number(), stopped, "the counter of a container that is not there")
    mounts = open("/proc/self/mountinfo").read()
    again, write = os.pipe()
    done = bed.call("restore", "-d", "-b", bed.bundle, "--image-path", image, "c", stdout=write, stderr=write)
    os.close(write)
    equal(done.returncode, 0, "status of restore")
    equal(open("/proc/self/mountinfo").read(), mounts, "mount table")
    first = int(os.read(again, 100).split()[0])
    equal(stopped <= first <= stopped + 3, True, "%d after %d" % (first, stopped))
    until(lambda: number() > stopped + 2, 5, "the counter goes on after the restore")
    equal(bed.state()["status"], "running")
    holds(bed.call("exec", "c", "ps").stdout, "sh -c i=0")
    equal(bed.call("delete", "-f", "c").returncode, 0)
    os.close(read)
    os.close(again)


if __name__ == "__main__":
    sys.exit(frame.run([with_bed(test_requests), with_bed(test_real)], os.environ.get("CRIBOX_CRIU")) != 0)
