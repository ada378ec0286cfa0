#!/usr/bin/python3
"""Archives of GNU tar in all its formats, sparse files too, packed by gzip and zstd, against
what GNU tar makes of them."""

import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
from frame import CRIBOX, Skip, sh  # noqa: E402
from layers import differences, leave, tree, workplace  # noqa: E402

FORMATS = [["--format=v7", "--exclude=fifo"], ["--format=ustar"], ["--format=oldgnu", "-S"], ["--format=gnu", "-S"],
           ["--format=posix"]]
FORMATS += [["--format=posix", "-S", "--sparse-version=" + v] for v in ("0.0", "0.1", "1.0")]


def source(base):
    top = base + "/src"
    os.makedirs(top + "/dir/sub")
    with open(top + "/dir/file", "wb") as f:
        f.write(os.urandom(70000))
    with open(top + "/sparse", "wb") as f:
        for i in range(40):
            f.seek(i * 100000)
            f.write(b"%d" % i * 50)
        f.truncate(5000000)
    with open(top + "/hole", "wb") as f:
        f.truncate(1000000)
    with open(top + "/dir/empty", "wb"):
        pass
    os.symlink("dir/file", top + "/sym")
    os.link(top + "/dir/file", top + "/hard")
    os.mkfifo(top + "/fifo")
    os.chmod(top + "/dir/file", 0o4751)
    os.chown(top + "/dir/sub", 1234, 4321)
    for i, name in enumerate(["dir/file", "sparse", "hole", "dir/empty", "sym", "fifo",
                              "dir/sub", "dir", "."]):
        os.utime(f"{top}/{name}", ns=(10**18 + i * 10**9,) * 2, follow_symlinks=False)
    return top


def more_for_long_names(top):
    long = top + "/dir/sub/" + "n" * 120
    with open(long, "w") as f:
        f.write("long")
    os.symlink("t" * 150, top + "/dir/sub/s")
    os.utime(long, ns=(10**18,) * 2)
    os.utime(top + "/dir/sub/s", ns=(10**18,) * 2, follow_symlinks=False)
    os.utime(top + "/dir/sub", ns=(10**18,) * 2)


def check(base, archive, packed):
    want, got = base + "/want", base + "/got"
    for path in (want, got):
        shutil.rmtree(path, ignore_errors=True)
    os.mkdir(want)
    sh("tar", "-xpf", archive, "-C", want, "--numeric-owner")
    sh(CRIBOX, "unpack", got, packed)
    a, b = tree(want, 2**62), tree(got + "/0/fs", 2**62)
    found = list(differences(a, b))
    if found:
        raise AssertionError("; ".join(found[:3]))
    for name in ("sparse", "hole"):
        if os.stat(f"{got}/0/fs/{name}").st_size != os.stat(f"{want}/{name}").st_size:
            raise AssertionError("size of " + name)


def of(options):
    def test(base):
        archive = base + "/a.tar"
        sh("tar", *options, "-C", base + "/src", "-cf", archive, ".")
        check(base, archive, archive)
        if "-S" in options and os.stat(base + "/got/0/fs/sparse").st_blocks > 2000:
            raise AssertionError("a sparse file was filled")

    test.__name__ = "test_" + " ".join(options)
    return test


def packed_by(command):
    def test(base):
        if not shutil.which(command[0]):
            raise Skip("needs " + command[0])
        archive = base + "/a.tar"
        sh("tar", "-C", base + "/src", "-cf", archive, ".")
        with open(base + "/packed", "wb") as out:
            subprocess.run([*command, archive], stdout=out, check=True)
        check(base, archive, base + "/packed")

    test.__name__ = "test_" + " ".join(command)
    return test


def test_several_members(base):
    archive = base + "/a.tar"
    sh("tar", "-C", base + "/src", "-cf", archive, ".")
    with open(archive, "rb") as f:
        raw = f.read()
    with open(base + "/packed", "wb") as out:
        for at in range(0, len(raw), 1000003):
            out.write(subprocess.run(["gzip", "-c"], input=raw[at:at + 1000003],
                                     capture_output=True, check=True).stdout)
    check(base, archive, base + "/packed")


if __name__ == "__main__":
    os.umask(0o022)
    place = workplace("unpack-formats")
    try:
        top = source(place)
        bad = frame.run([of(x) for x in FORMATS[:2]], place)
        more_for_long_names(top)
        bad += frame.run([of(x) for x in FORMATS[2:]], place)
        bad += frame.run([packed_by(["gzip", "-c1"]), packed_by(["gzip", "-c9"]),
                          packed_by(["zstd", "-c"]), packed_by(["zstd", "-c", "--long=27"]),
                          packed_by(["pzstd", "-qc"]), test_several_members], place)
    finally:
        leave(place)
    sys.exit(bad != 0)
