#!/usr/bin/python3
"""Layers that mean harm: what they name outside must not change, what is odd is refused with
one line, and the process that reads them can do little."""

import gzip
import hashlib
import os
import resource
import shutil
import stat
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
from frame import CRIBOX, equal, holds, sh, until  # noqa: E402
from layers import entry as E, leave, mount, tar, workplace  # noqa: E402


def d(name, **k):
    return E(name, "dir", **k)


def s(name, to):
    return E(name, "sym", link=to, mode=0o777)


def h(name, to):
    return E(name, "link", link=to)


f = E
REFUSED = "refused"

# name: (layers, what must come of it: REFUSED, or {path in the merged tree: contents})
BREAKOUTS = {
    "symlink absolute": ([[s("l", "/canary"), f("l/file", data=b"x")]], {"canary/file": b"x"}),
    "symlink up and out": ([[s("l", "../../../canary"), f("l/file", data=b"x")]],
                           {"canary/file": b"x"}),
    "symlink, several absolute": (
        [[s("a", "/b"), s("b", "/canary"), f("a/file", data=b"x")]], {"canary/file": b"x"}),
    "symlink, several relative": (
        [[d("x"), s("x/a", "../b"), s("b", "../../canary"), f("x/a/file", data=b"x")]],
        {"canary/file": b"x"}),
    "symlink to a file outside": ([[s("l", "../../canary/file"), f("l", data=b"x")]],
                                  {"l": b"x"}),
    "symlink to the parent": ([[s("l", ".."), f("l/canary/file", data=b"x")]],
                              {"canary/file": b"x"}),
    "symlink, empty name": ([[s("l", "../.."), f("l/", data=b"x")]], {"l": b"x"}),
    "symlink to the parent, relative": (
        [[d("a"), s("a/l", "../.."), f("a/l/canary/file", data=b"x")]], {"canary/file": b"x"}),
    "symlink with a slash": ([[s("l/", "../../canary"), f("l/file", data=b"x")]],
                             {"canary/file": b"x"}),
    "symlink overrides a directory": (
        [[d("dir"), f("dir/x")], [s("dir", "/canary"), f("dir/file", data=b"x")]],
        {"canary/file": b"x"}),
    "symlink overrides a directory, relative": (
        [[d("dir"), s("dir", "../../canary"), f("dir/file", data=b"x")]], {"canary/file": b"x"}),
    "symlink overrides a path": (
        [[f("a/b/file", data=b"1")], [s("a", "../../.."), f("a/canary/file", data=b"x")]],
        {"canary/file": b"x"}),
    "hard link relative": ([[h("h", "../../canary/file")]], REFUSED),
    "hard link down and out": ([[d("a"), h("h", "a/../../../canary/file")]], REFUSED),
    "hard link absolute": ([[h("h", "/canary/file")]], REFUSED),
    "hard link, long": ([[h("h", "../" * 60 + "canary/file")]], REFUSED),
    "hard link name up and out": ([[f("a"), h("../../canary/h", "a")]], REFUSED),
    "hard link direct, relative": ([[h("../h", "../canary/file")]], REFUSED),
    "hard link direct, absolute": ([[h("/canary/h", "/canary/file")]], REFUSED),
    "hard link to a symlink, then written": (
        [[s("l", "../../canary/file"), h("h", "l"), f("h", data=b"x")]], {"h": b"x"}),
    "hard link to a symlink, relative": (
        [[s("l", "../../canary/file"), h("h", "l"), f("h", data=b"x", mode=0o777)]],
        {"h": b"x"}),
    "hard link to a symlink, absolute": (
        [[s("l", "/canary/file"), h("h", "l"), h("i", "h")]], {}),
    "hard link to a symlink, chmod": (
        [[s("l", "/canary/file"), h("h", "l"), f("h", mode=0o4777, uid=12)]], {"h": b""}),
    "directory overrides symlink": (
        [[s("l", "../../canary"), d("l", mode=0o777), f("l/file", data=b"x")]],
        {"l/file": b"x"}),
    "directory overrides symlink and hard link": (
        [[s("l", "../../canary"), h("h", "l"), d("l"), f("h", data=b"y"),
          f("l/file", data=b"x")]], {"l/file": b"x", "h": b"y"}),
    "whiteout of the root's parent": ([[f("../.wh..")]], REFUSED),
    "whiteout of the parent": ([[f("a/.wh...")]], REFUSED),
    "whiteout of the root": ([[f(".wh..")]], REFUSED),
    "whiteout of nothing": ([[d("a")], [f("a/.wh.")]], REFUSED),
    "whiteout of the current directory": ([[d("a")], [f("a/.wh..")]], REFUSED),
    "whiteout of an unknown kind": ([[d("a")], [f("a/.wh..wh.zzz")]], REFUSED),
    "whiteout through a symlink": (
        [[s("l", "../../canary"), f("a")], [f("l/.wh.file"), f("b")]], {"a": b"", "b": b""}),
    "whiteout of a symlink": ([[s("l", "../../canary")], [f(".wh.l"), f("b")]], {"b": b""}),
    "whiteout by a directory": ([[d("a"), f("a/x"), f("b")], [d(".wh.a")]], {"b": b""}),
    "whiteout below a dead symlink": ([[s("l", "nothing"), f("b")], [f("l/.wh.x")]],
                                      {"b": b""}),
    "whiteout, relative path": ([[f("a/.wh.x/../../../.wh.canary")]], REFUSED),
    "name up and out": ([[f("../../canary/file", data=b"x")]], REFUSED),
    "name that ends in ..": ([[d("a"), f("a/../..")]], REFUSED),
    "absolute name": ([[f("/canary/file", data=b"x")]], {"canary/file": b"x"}),
    "rename race by order": (
        [[d("d"), f("d/x"), s("d", "../../canary"), f("d/file", data=b"x"), d("d"),
          f("d/y", data=b"y")]], {"canary/file": b"x", "d/y": b"y"}),
    "file through a fifo": ([[E("p", "fifo"), f("p", data=b"x")]], {"p": b"x"}),
    "control characters in a name": ([[f("../\x1b]0;x\x07\n", data=b"x")]], REFUSED),
}


class Bed:
    """A directory with a canary beside the place where layers go."""

    def __init__(self):
        self.base = workplace("unpack-attack")
        os.mkdir(self.base + "/canary")
        with open(self.base + "/canary/file", "w") as out:
            out.write("do not touch\n")
        os.mkdir(self.base + "/in")
        self.before = self.outside()

    def outside(self):
        """All that is not in out/ and in/, and the root directory's names."""
        seen = [sorted(os.listdir("/"))]
        for at, dirs, files in os.walk(self.base):
            if at == self.base:
                dirs[:] = [x for x in dirs if x not in ("in", "out", "merged")]
            for name in sorted(files) + ["."]:
                path = os.path.join(at, name)
                st = os.lstat(path)
                data = open(path, "rb").read() if stat.S_ISREG(st.st_mode) else b""
                if at != self.base:
                    seen.append((path, st.st_mode, st.st_uid, st.st_nlink, st.st_mtime_ns, data))
        return hashlib.sha256(repr(seen).encode()).hexdigest()

    def blob(self, name, data):
        path = f"{self.base}/in/{name}"
        with open(path, "wb") as out:
            out.write(data)
        return path

    def unpack(self, blobs, *options):
        """(status, one line of error). The blobs are bytes."""
        shutil.rmtree(self.base + "/out", ignore_errors=True)
        paths = [self.blob(str(i), x) for i, x in enumerate(blobs)]
        r = subprocess.run([CRIBOX, "unpack", *options, self.base + "/out", *paths],
                           capture_output=True, timeout=120)
        text = r.stderr.decode()
        if r.returncode:
            equal(text.count("\n"), 1, "lines of error")
            equal([c for c in text.rstrip("\n") if ord(c) < 32], [], "control characters")
        return r.returncode, text.strip()

    def refused(self, blobs, part, *options):
        code, text = self.unpack(blobs, *options)
        if code == 0:
            raise AssertionError("was taken")
        holds(text, part, "the error")
        return text

    def close(self):
        leave(self.base)


def breakout(name):
    layers, want = BREAKOUTS[name]

    def test(bed):
        for option in ([], ["--one-by-one"]):
            code, text = bed.unpack([tar(x) for x in layers], *option)
            equal(bed.outside(), bed.before, "what is outside")
            if want is REFUSED:
                equal(code, 1, "status")
                holds(text, "layer 0: " if len(layers) == 1 else "layer 1: ")
                continue
            equal((code, text), (0, ""))
            os.makedirs(bed.base + "/merged", exist_ok=True)
            mount(bed.base + "/out", len(layers), bed.base + "/merged")
            try:
                for path, data in want.items():
                    with open(f"{bed.base}/merged/{path}", "rb") as got:
                        equal(got.read(), data, path)
            finally:
                sh("umount", bed.base + "/merged")

    test.__name__ = "test_breakout: " + name
    return test


def test_devices_are_not_made(bed):
    raw = tar([E("sda", "blk", dev=(8, 0)), E("null", "chr"), E("wh", "chr", dev=(0, 0)), f("a")])
    equal(bed.unpack([raw]), (0, ""))
    equal(sorted(os.listdir(bed.base + "/out/0/fs")), ["a"])


def test_reserved_attributes_are_left_out(bed):
    names = ["trusted.overlay.opaque", "trusted.overlay.redirect", "trusted.x",
             "security.selinux", "security.ima", "user.overlay.opaque", "user.ok"]
    equal(bed.unpack([tar([f("a", xattrs={n: "y" for n in names})])]), (0, ""))
    equal(os.listxattr(bed.base + "/out/0/fs/a"), ["user.ok"])


def test_capabilities_of_files_are_kept(bed):
    value = bytes.fromhex("0100000200040000000000000000000000000000").decode("latin-1")
    equal(bed.unpack([tar([f("ping", xattrs={"security.capability": value})])]), (0, ""))
    equal(os.getxattr(bed.base + "/out/0/fs/ping", "security.capability"), value.encode("latin-1"))


def test_bad_archives(bed):
    good = tar([d("a"), f("a/x", data=b"x" * 3000), f("b")])
    bad = bytearray(good)
    bad[512 + 148] ^= 1
    bed.refused([bytes(bad)], "checksum")
    bed.refused([b"this is no tar archive" * 100], "not a tar archive")
    bed.refused([b"\x7fELF" + bytes(2000)], "not a tar archive")
    whole = [512, 512 + 512 + 3072, 512 + 512 + 3072 + 512]  # between two entries
    for cut in (100, 511, 513, 1024, 1100, 4000, 4095, 4097, 4600):
        holds(bed.refused([good[:cut]], "tar"), "cut short")
    for cut in whole:
        equal(bed.unpack([good[:cut]]), (0, ""), f"{cut} bytes")
    packed = gzip.compress(good)
    for cut in (1, 20, len(packed) // 2, len(packed) - 1):
        if bed.unpack([packed[:cut]])[0] == 0:
            raise AssertionError(f"{cut} bytes of gzip were taken")
    bed.refused([packed + b"trailing"], "garbage")
    bed.refused([b"\x28\xb5\x2f\xfd" + bytes(50)], "zstd")


def test_long_and_deep_names(bed):
    equal(bed.unpack([tar([f("/".join(["d"] * 255))])]), (0, ""))
    bed.refused([tar([f("/".join(["d"] * 256))])], "levels deep")
    equal(bed.unpack([tar([f("n" * 255)])]), (0, ""))
    bed.refused([tar([f("n" * 256)])], "too long")
    bed.refused([tar([f("n/" * 2100)])], "longer than 4095")
    bed.refused([tar([s("l", "t" * 5000)])], "longer than 4095")
    bed.refused([tar([f("x", xattrs={"user.big": "v" * 1100000})])], "1 MiB")


def endless_file():
    """The header of a file of 8 GiB."""
    head = bytearray(tar([f("zeros")])[:512])
    head[124:136] = b"77777777777\0"
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


def written(bed):
    return sum(os.lstat(os.path.join(at, x)).st_blocks * 512
               for at, _, files in os.walk(bed.base + "/out") for x in files)


def test_bomb(bed):
    zeros = gzip.compress(bytes(80 << 20), 9)
    layer = gzip.compress(endless_file(), 9) + zeros
    bed.refused([layer], "a bomb: 500 times larger", "--max=512m")
    if written(bed) > 42 << 20:
        raise AssertionError(f"{written(bed)} bytes were written")
    if shutil.which("zstd"):
        layer = subprocess.run(["zstd", "-c"], input=endless_file() + bytes(80 << 20),
                               capture_output=True, check=True).stdout
        bed.refused([layer], "a bomb: 500 times larger", "--max=512m")


def test_limit(bed):
    bed.refused([endless_file() + bytes(17 << 20)], "more than 16777216 bytes", "--max=16m")
    if written(bed) > 17 << 20:
        raise AssertionError(f"{written(bed)} bytes were written")
    # what compresses well and is small is no bomb
    equal(bed.unpack([gzip.compress(tar([f("zeros", data=bytes(30 << 20))]))], "--max=512m")[0],
          0)


def test_memory_is_bounded(bed):
    many = tar([f(f"d{i % 50}/f{i}", data=b"x" * 100) for i in range(20000)])
    equal(bed.unpack([tar([d("x")]), gzip.compress(many, 1)]), (0, ""))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    if peak > 150000:  # the largest child of all tests so far, python's own gzip among them
        raise AssertionError(f"{peak} KiB resident")


def test_full_disk(bed):
    small = bed.base + "/out"
    os.makedirs(small, exist_ok=True)
    for option in ("size=1m", "nr_inodes=20"):
        sh("mount", "-t", "tmpfs", "-o", option, "small", small)
        try:
            raw = tar([f(f"f{i}", data=b"x" * 100000) for i in range(40)])
            for how in ([], ["--one-by-one"]):
                for name in os.listdir(small):
                    shutil.rmtree(small + "/" + name)
                r = subprocess.run(
                    [CRIBOX, "unpack", *how, small, bed.blob("0", tar([d("a")])),
                     bed.blob("1", raw)], capture_output=True, timeout=60)
                equal(r.returncode, 1, "status")
                holds(r.stderr.decode(), "No space left on device")
        finally:
            sh("umount", small)


def child_of(pid):
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/stat") as stat_file:
                if name.isdigit() and stat_file.read().rsplit(")", 1)[1].split()[1] == str(pid):
                    return int(name)
        except OSError:
            pass
    return None


def test_what_the_unpacker_may_do(bed):
    fifo = bed.base + "/in/fifo"
    os.mkfifo(fifo)
    shutil.rmtree(bed.base + "/out", ignore_errors=True)
    p = subprocess.Popen([CRIBOX, "unpack", bed.base + "/out", fifo], stderr=subprocess.PIPE)
    with open(fifo, "wb") as feed:
        feed.write(tar([d("a")])[:512])
        feed.flush()
        pid = until(lambda: child_of(p.pid), 5, "the unpacker")

        def status(key):
            with open(f"/proc/{pid}/status") as text:
                return [x.split(":")[1].strip() for x in text if x.startswith(key + ":")][0]

        until(lambda: os.path.isdir(bed.base + "/out/0/fs/a"), 5, "the first entry")
        equal(status("Seccomp"), "2", "seccomp mode")
        equal(status("NoNewPrivs"), "1", "no_new_privs")
        caps = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 31
        for which in ("CapPrm", "CapEff", "CapBnd"):
            equal(int(status(which), 16), caps, which)
        equal(int(status("CapInh"), 16), 0, "CapInh")
        root = os.stat(f"/proc/{pid}/root/")
        inside = os.stat(bed.base + "/out/0")
        equal((root.st_dev, root.st_ino), (inside.st_dev, inside.st_ino), "its root")
        for fd in os.listdir(f"/proc/{pid}/fd"):
            if int(fd) > 3:
                st = os.stat(f"/proc/{pid}/fd/{fd}")
                where = os.path.realpath(f"/proc/{pid}/fd/{fd}")
                if not stat.S_ISDIR(st.st_mode) or st.st_dev != inside.st_dev:
                    raise AssertionError(f"fd {fd} is {where}")
        with open(f"/proc/{pid}/limits") as limits:
            for line in limits:
                if line.startswith("Max core file size"):
                    equal(line.split()[4], "0", "core size")
        p.kill()  # it goes with its parent
        until(lambda: status("State").startswith("Z"), 5, "the end of the unpacker")
    p.wait()
    p.stderr.close()
    equal(bed.outside(), bed.before, "what is outside")


def test_an_unpacker_that_dies_is_reported(bed):
    fifo = bed.base + "/in/fifo2"
    os.mkfifo(fifo)
    shutil.rmtree(bed.base + "/out", ignore_errors=True)
    p = subprocess.Popen([CRIBOX, "unpack", bed.base + "/out", fifo], stderr=subprocess.PIPE)
    with open(fifo, "wb") as feed:
        feed.write(tar([d("a")])[:512])
        feed.flush()
        pid = until(lambda: child_of(p.pid), 5, "the unpacker")
        until(lambda: os.path.isdir(bed.base + "/out/0/fs/a"), 5, "the first entry")
        os.kill(pid, 11)
        text = p.communicate(timeout=10)[1].decode()
    equal(p.returncode, 1, "status")
    holds(text, "layer 0: the unpacker was killed by signal 11")


TESTS = [breakout(name) for name in BREAKOUTS] + [
    test_devices_are_not_made, test_reserved_attributes_are_left_out,
    test_capabilities_of_files_are_kept, test_bad_archives, test_long_and_deep_names, test_bomb,
    test_limit,
    test_memory_is_bounded, test_full_disk, test_what_the_unpacker_may_do,
    test_an_unpacker_that_dies_is_reported]

if __name__ == "__main__":
    the_bed = Bed()
    try:
        bad = frame.run(TESTS, the_bed)
    finally:
        the_bed.close()
    sys.exit(bad != 0)
