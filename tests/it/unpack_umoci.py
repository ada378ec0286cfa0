#!/usr/bin/python3
# timeout: 600
"""Layers unpacked by us, in parallel and one by one, mounted as overlay, against umoci's
sequential unpack: every entry, type, mode, owner, time, attribute, content and hard link.

Left out, for we differ on purpose: device nodes (not made), names and hard links that leave
the root (refused; umoci cuts them at the root), trusted.* and other reserved attributes.
"now" stands for the time of unpacking, which umoci gives to directories that a layer implies
and to those in which it makes or removes something below what it restores.

    unpack_umoci.py [SEED...]  runs these random cases only, and says more.
"""
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
from layers import (differences, entry as E, layout, leave, mount, tar, tree,  # noqa: E402
                    unpack, workplace)

RANDOM_CASES = int(os.environ.get("CASES", "200"))


def handmade():
    d = lambda name, **k: E(name, "dir", **k)
    f = lambda name, data=b"x", **k: E(name, "file", data, **k)
    s = lambda name, to, **k: E(name, "sym", link=to, mode=0o777, **k)
    h = lambda name, to, **k: E(name, "link", link=to, **k)
    w = lambda name: E(name)
    old = "1234567890.123456789"
    yield "plain", [[d("./", mtime=old, mode=0o711, uid=5), d("etc"), f("etc/passwd")]]
    yield "root without entry", [[f("a")], [f("b")]]
    yield "root entry in a later layer", [[f("a")], [d(".", mode=0o700, mtime=old)], [f("b")]]
    yield "implied parents are new", [[f("a/b/c/d")], [f("e/f")]]
    yield "implied parents are below", [
        [d("a", mode=0o2770, uid=7, gid=8, mtime=old, xattrs={"user.k": "v"}),
         d("a/b", mtime=old, uid=9)], [f("a/b/c")], [f("a/b/c2"), f("a/x/y")]]
    yield "implied parent between explicit ones", [
        [d("a", mtime=old)], [d("a", mtime="1111111111"), f("a/b/c"), d("a/b", mtime=old)]]
    yield "var/run", [
        [d("run", mtime=old), d("var", mtime=old), s("var/run", "/run"), s("var/lock", "../run")],
        [f("var/run/x"), f("var/lock/y", uid=3)], [w("var/run/.wh.x"), f("run/z")]]
    yield "usr merge", [
        [d("usr"), d("usr/lib", mtime=old), s("lib", "usr/lib"), s("lib64", "lib")],
        [f("lib/a"), f("lib64/b"), d("lib/c"), f("lib/c/d")],
        [h("lib64/e", "usr/lib/a"), h("usr/lib/f", "lib64/b")]]
    yield "dangling parent", [[s("l", "x/y")], [f("l/a")], [f("x/y/b"), f("l/c")]]
    yield "symlink out of the root", [
        [d("in", mtime=old), s("in/up", "../../../../up"), s("abs", "/../in")],
        [f("in/up/a"), f("abs/b")]]
    yield "dir replaces symlink to dir", [
        [d("t"), f("t/old"), s("l", "t")], [d("l", mtime=old), f("l/new")], [f("l/more")]]
    yield "before and after in one layer", [
        [d("t"), s("l", "t")], [f("l/f", b"1"), d("l"), f("l/f", b"2")]]
    yield "symlink replaces dir", [[d("l"), f("l/old"), d("t")], [s("l", "t"), f("l/x")]]
    yield "file over dir over file", [
        [d("a"), f("a/x"), d("a/y"), f("a/y/z")], [f("a")], [d("a", mtime=old), f("a/n")]]
    yield "file over dir and back in one layer", [
        [d("a"), f("a/x")], [f("a"), d("a", mtime=old), f("a/n")]]
    yield "whiteout then dir", [[d("a"), f("a/x")], [w(".wh.a"), d("a"), f("a/y")]]
    yield "dir then whiteout", [
        [d("a"), f("a/x"), d("a/s"), f("a/s/t")], [d("a", mtime=old), f("a/y"), w(".wh.a")]]
    yield "implied dir then whiteout", [[d("a"), f("a/x")], [f("a/y"), w(".wh.a")]]
    yield "whiteout then dir in the next layer", [
        [d("a"), f("a/x")], [w(".wh.a")], [d("a", mtime=old), f("a/y")]]
    yield "whiteout then implied dir", [[d("a"), f("a/x")], [w(".wh.a"), f("a/y/z")]]
    yield "whiteout inside then of the dir", [
        [d("a"), f("a/x"), f("a/y")], [w("a/.wh.x"), w(".wh.a")]]
    yield "whiteout of nothing", [[d("a")], [w("a/.wh.x"), w("b/c/.wh.d"), w(".wh.zz")]]
    yield "whiteout of its own file", [[d("a")], [f("a/x"), w("a/.wh.x")]]
    yield "whiteout through a symlink", [
        [d("t", mtime=old), f("t/x"), f("t/y"), s("l", "t")], [w("l/.wh.x")], [w(".wh.l")]]
    yield "whiteout below a file", [[f("a")], [w("a/.wh.x"), f("b")]]
    yield "opaque", [
        [d("a", mtime=old), f("a/x"), d("a/s", mtime=old), f("a/s/t")],
        [w("a/.wh..wh..opq"), f("a/n")], [f("a/s/u")]]
    yield "opaque after files", [
        [d("a"), f("a/x"), d("a/s", mtime=old), f("a/s/t"), d("a/k", mtime=old), f("a/k/l")],
        [d("a", mtime=old), f("a/n"), d("a/s", mtime="1111111111"), f("a/s/u"),
         w("a/.wh..wh..opq")]]
    yield "opaque root", [
        [d("a"), f("a/x"), f("b"), d("c", mtime=old), f("c/old")],
        [d("c", mtime=old), f("c/d"), w(".wh..wh..opq"), f("e")]]
    yield "opaque of nothing", [[d("a")], [w("b/.wh..wh..opq"), f("a/x")]]
    yield "opaque through a symlink", [[d("t"), f("t/x"), s("l", "t")], [w("l/.wh..wh..opq")]]
    yield "opaque twice", [[d("a"), f("a/x")], [w("a/.wh..wh..opq"), f("a/y"),
                                                w("a/.wh..wh..opq"), f("a/z")]]
    yield "hard link below", [
        [f("a", b"data", mtime=old, uid=4, xattrs={"user.q": "1"}), h("b", "a"), d("d"),
         h("d/c", "a")], [h("n", "b")], [h("m", "n"), f("o")]]
    yield "hard link below, a name replaced", [
        [f("a"), h("b", "a"), h("c", "a")], [f("b", b"new")], [h("d", "a")], [w(".wh.c")]]
    yield "hard link below, a name whited out first", [
        [f("a"), h("b", "a"), h("c", "a")], [w(".wh.b"), h("d", "a"), w(".wh.a")]]
    yield "hard link to a symlink", [[f("t"), s("l", "t")], [h("n", "l")], [h("m", "n")]]
    yield "hard link to a fifo", [[E("p", "fifo", mode=0o622, uid=3)], [h("q", "p")]]
    yield "hard link over its target's dir", [[d("a"), f("a/x"), f("y")], [h("a", "y")]]
    yield "hard link replaces", [[f("a"), f("b", b"2")], [h("b", "a")], [h("a", "b"), f("b")]]
    yield "hard link, absolute target", [[d("d"), f("d/a")], [h("b", "/d/a")]]
    yield "hard link, then the target is replaced", [[f("a"), h("b", "a"), f("a", b"new")]]
    yield "same name twice", [[f("a", b"1"), f("a", b"2"), s("b", "a"), f("b", b"3")]]
    yield "odd names", [[f("./x//y/../z"), d("q/"), f("q/./w"), f("/abs"), f("a b\n\x01\u00e4")]]
    yield "modes", [[f("suid", mode=0o4755, uid=1), f("sgid", mode=0o2755, gid=2),
                     d("sticky", mode=0o1777), f("none", mode=0), d("no", mode=0),
                     f("no/x")], [f("no/y"), f("sticky/z")]]
    yield "setgid parents", [[d("g", mode=0o2775, gid=77)], [f("g/i/f"), f("g/h")]]
    yield "attributes", [
        [f("a", xattrs={"user.a": "1", "user.b": "\u00e9"}),
         d("d", xattrs={"user.d": "x"})], [d("d", xattrs={"user.e": "y"}), f("d/f")]]
    acl = b"\2\0\0\0" + b"".join(bytes([t, 0, p, 0]) + i for t, p, i in (
        (1, 6, b"\xff" * 4), (2, 4, b"\x39\5\0\0"), (4, 4, b"\xff" * 4), (16, 4, b"\xff" * 4),
        (32, 0, b"\xff" * 4)))
    acl = acl.decode("utf-8", "surrogateescape")
    yield "access control lists", [
        [f("a", mode=0o640, xattrs={"system.posix_acl_access": acl}),
         d("d", mode=0o750, xattrs={"system.posix_acl_default": acl}), f("d/x"), d("d/y")],
        [f("d/z"), f("d/new/w"), d("d/v"), h("l", "a")]]
    yield "times", [[f("neg", mtime="-1.25"), f("zero", mtime="0"), f("ns", mtime=old),
                     s("l", "x", mtime=old), d("d", mtime="-5"), f("far", mtime="4000000000.5")]]
    yield "device replaces", [[f("a"), d("d"), f("d/x")],
                              [E("a", "chr"), E("d", "blk"), E("n/dev", "chr")]]
    yield "device whited out, linked, replaced", [
        [E("a", "chr"), h("b", "a"), E("c", "chr"), f("c"), h("d", "c")], [w(".wh.a"), h("e", "c")]]
    yield "whiteout device is no whiteout", [[f("a")], [E("a", "chr", dev=(0, 0))]]
    yield "big and empty files", [[f("big", bytes(range(256)) * 4000), f("empty", b"")],
                                  [h("l", "big"), h("m", "empty")]]
    yield "dot-wh in the middle", [[f(".wh.d/x")], [f("a")]]
    # from here on: umoci refuses, and so do we
    yield "refused: parent is a file", [[f("a")], [f("a/x")]]
    yield "refused: hard link to nothing", [[f("a")], [h("b", "c")]]
    yield "refused: hard link to a directory", [[d("a")], [h("b", "a")]]
    yield "refused: hard link to itself", [[f("a")], [h("a", "a")]]
    yield "refused: symlink loop", [[s("a", "b"), s("b", "a")], [f("a/x")]]
    yield "refused: root as a file", [[f("a")], [f(".")]]


class Model:
    """Roughly what is where, so that most random layers are valid: literal paths only."""

    def __init__(self):
        self.kind = {}

    def parent_ok(self, p):
        parts = p.split("/")[:-1]
        return all(self.kind.get("/".join(parts[:i + 1]), "dir") in ("dir", "sym")
                   for i in range(len(parts)))

    def remove(self, p):
        for q in [q for q in self.kind if q == p or q.startswith(p + "/")]:
            del self.kind[q]

    def put(self, p, kind):
        if kind != "dir" or self.kind.get(p) != "dir":
            self.remove(p)
        self.kind[p] = kind
        parts = p.split("/")
        for i in range(1, len(parts)):
            self.kind.setdefault("/".join(parts[:i]), "dir")

    def files(self):
        return [p for p, k in self.kind.items() if k in ("file", "link", "fifo")]


def random_case(seed):
    r = random.Random(seed)
    names = ["a", "b", "c", "d"][:r.randint(2, 4)]
    m = Model()

    def path():
        for _ in range(20):
            if m.kind and r.random() < 0.4:
                p = r.choice(sorted(m.kind))
                p = p if r.random() < 0.4 else p + "/" + r.choice(names)
            else:
                p = "/".join(r.choice(names) for _ in range(r.choice([1, 1, 2, 2, 3])))
            if m.parent_ok(p):
                return p
        return r.choice(names)

    def some(xattrs=True):
        mtime = f"{r.randint(1, 1400000000)}" + r.choice(["", f".{r.randint(0, 999999999):09d}"])
        x = {f"user.{r.choice(names)}": r.choice("xyz")} if xattrs and r.random() < 0.15 else {}
        return dict(mtime=mtime, xattrs=x, uid=r.choice([0, 0, 1, 1000]), gid=r.choice([0, 0, 5]))

    def one():
        p, kind, files = path(), r.random(), m.files()
        if kind < 0.25:
            m.put(p, "dir")
            return E(p, "dir", mode=r.choice([0o755, 0o700, 0o2775, 0o1777]), **some())
        if kind < 0.52:
            m.put(p, "file")
            return E(p, data=r.randbytes(r.choice([0, 10, 5000])),
                     mode=r.choice([0o644, 0o4755, 0o600]), **some())
        if kind < 0.62:
            dirs = [q for q, k in m.kind.items() if k == "dir"] or ["a"]
            to = r.choice([r.choice(dirs), "/" + r.choice(dirs), "../" + path(), path()])
            m.put(p, "sym")
            return E(p, "sym", link=to, mode=0o777, **some(False))
        if kind < 0.76 and files:
            to = r.choice(files)
            if to != p and not to.startswith(p + "/"):
                m.put(p, "link")
                return E(p, "link", link=to)
        if kind < 0.79:
            if r.random() < 0.2: # where nothing can be put below what we leave out
                return E(f"dev{r.randint(0, 2)}", "chr", **some(False))
            m.put(p, "fifo")
            return E(p, "fifo", mode=0o644, **some(False))
        head, _, tail = p.rpartition("/")
        if kind < 0.92:
            m.remove(p)
            return E((head + "/" if head else "") + ".wh." + tail)
        if r.random() < 0.1:
            m.kind.clear()
            return E(".wh..wh..opq")
        for q in [q for q in m.kind if q.startswith(p + "/")]:
            m.remove(q)
        return E(p + "/.wh..wh..opq")

    return [[one() for _ in range(r.choice([1, 3, 6, 10]))] for _ in range(r.randint(2, 5))]


def compare(work, layers):
    """Yields what differs. Returns whether umoci took it at all."""
    since = (time.time_ns() // 10**9 - 1) * 10**9
    paths = layout(work + "/oci", [tar(x) for x in layers])
    u = subprocess.run(["umoci", "raw", "unpack", "--image", work + "/oci:t", work + "/want"],
                       capture_output=True, timeout=60)
    want = tree(work + "/want", since) if u.returncode == 0 else None
    for mode in (False, True):
        ours = f"{work}/got{int(mode)}"
        problem = unpack(ours, paths, mode)
        how = "one by one: " if mode else "parallel: "
        if want is None or problem:
            if want is not None:
                yield how + "we fail: " + problem
            elif not problem:
                yield how + "umoci fails, we do not: " + u.stderr.decode().strip()[-300:]
            continue
        mount(ours, len(layers), work + "/merged")
        try:
            for x in differences(want, tree(work + "/merged", since)):
                yield how + x
        finally:
            subprocess.run(["umount", work + "/merged"], check=True)
    return want is not None


def run(name, layers, base):
    work = tempfile.mkdtemp(dir=base)
    found, gen = [], compare(work, layers)
    try:
        while True:
            found.append(next(gen))
    except StopIteration as end:
        good = end.value
    shutil.rmtree(work)
    if found:
        print(f"not ok {name}: {len(found)} differences: {found[0]}")
    return good, found


def main():
    os.umask(0o022)
    base = workplace("unpack-umoci")
    try:
        if len(sys.argv) > 1:
            for seed in map(int, sys.argv[1:]):
                layers = random_case(seed)
                for i, x in enumerate(layers):
                    print("layer", i)
                    for e in x:
                        print("  ", {k: v for k, v in e.items() if v and k != "data"})
                for x in run(f"seed {seed}", layers, base)[1]:
                    print("  ", x)
            return
        for name, layers in handmade():
            ok, found = run(name, layers, base)
            if not found and ok == name.startswith("refused"):
                print(f"not ok {name}: umoci {'takes' if ok else 'refuses'} it")
            elif not found:
                print("ok", name)
        good = failed = bad = 0
        for seed in range(RANDOM_CASES):
            ok, found = run(f"random, seed {seed}", random_case(seed), base)
            good += bool(ok and not found)
            failed += bool(not ok and not found)
            bad += bool(found)
        if good < RANDOM_CASES / 2:
            print(f"not ok random: only {good} of {RANDOM_CASES} cases are valid layers")
        elif not bad:
            print(f"ok random: {good} cases are the same, {failed} are refused by both")
    finally:
        leave(base)


if __name__ == "__main__":
    if not shutil.which("umoci"):
        print("skip unpack-umoci: needs umoci")
    else:
        main()
