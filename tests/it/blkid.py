#!/usr/bin/python3
"""blkid and /dev/disk: what the mkfs programs of the world make is found and named as util-linux
and udev do; and what is no file system is never taken for one by the kubelet's question."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
from frame import CRIBOX, Skip, equal, holds, sh  # noqa: E402

DIR = tempfile.mkdtemp(prefix="cribox-blkid-", dir="/var/tmp")
ENV = dict(os.environ, PATH="/usr/sbin:/usr/bin:/sbin:/bin")

# name: (MiB, command, what newer or older versions of blkid know better)
IMAGES = {
    "ext2": (1, "mkfs.ext2 -q -L two @", ""),
    "ext3": (8, "mkfs.ext3 -q @", ""),
    "ext4": (8, "mkfs.ext4 -q -L label @", ""),
    "ext4_nojournal": (8, "mkfs.ext4 -q -O ^has_journal -L 0123456789abcdef @", ""),
    "journal": (8, "mke2fs -q -O journal_dev @", "LOGUUID"),
    "xfs": (300, "mkfs.xfs -q -L xlabel @", ""),
    "btrfs": (120, "mkfs.btrfs -q -L btr @", ""),
    "fat32": (64, "mkfs.vfat -F32 -n FAT @", "LABEL_FATBOOT"),
    "fat16": (16, "mkfs.vfat -F16 -n 16 @", "LABEL_FATBOOT"),
    "fat12": (1, "mkfs.vfat @", ""),
    "fat_sectors": (64, "mkfs.vfat -S 4096 -n 4K @", "LABEL_FATBOOT"),
    "exfat": (16, "mkfs.exfat -L exlabel @", "PTTYPE"),
    "swap": (1, "mkswap -L sw @", ""),
    "swap64": (2, "mkswap -p 65536 -L s64 @", ""),
    "squashfs": (0, "mksquashfs DIR @ -quiet -noappend", ""),
    "erofs": (0, "mkfs.erofs @ DIR", ""),
    "iso": (0, "xorriso -as mkisofs -quiet -V ISOLABEL -o @ DIR", "DATA_PREPARER|PUBLISHER|SYSTEM|VERSION|APPLICATION"),
    "luks1": (20, "cryptsetup luksFormat --type luks1 -q --pbkdf-force-iterations 1000 @ KEY", ""),
    "luks2": (20, "cryptsetup luksFormat -q --label lk --pbkdf pbkdf2 --pbkdf-force-iterations 1000 @ KEY", ""),
    "gpt": (4, "sfdisk -q @ < label: gpt\nstart=2048,size=2048,name=one", ""),
    "dos": (4, "sfdisk -q @ < label: dos\nstart=2048,size=2048", ""),
    "nothing": (1, "true", ""),
    "random": (1, "dd if=/dev/urandom of=@ bs=1M count=1 status=none", ""),
    "text": (0, "cp /etc/passwd @", ""),
}


def make(name):
    size, command, _ = IMAGES[name]
    path = os.path.join(DIR, name)
    os.makedirs(DIR + "/tree", exist_ok=True)
    open(DIR + "/tree/file", "w").write("x")
    open(DIR + "/key", "w").write("secret")
    if size:
        with open(path, "wb") as f:
            f.truncate(size << 20)
    command, _, stdin = command.partition(" < ")
    words = [w.replace("@", path).replace("DIR", DIR + "/tree").replace("KEY", DIR + "/key") for w in command.split()]
    if not shutil.which(words[0], path=ENV["PATH"]):
        raise Skip("no " + words[0])
    done = subprocess.run(words, input=stdin, text=True, capture_output=True, env=ENV)
    if done.returncode:
        raise AssertionError("%s: %s" % (command, done.stderr))
    return path


def call(*words):
    done = subprocess.run(words, capture_output=True, text=True, env=ENV)
    return done.returncode, done.stdout, done.stderr


def tags(text, unless):
    pairs = re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', text)
    return {k: v for k, v in pairs if not re.search("^(%s)" % unless, k)} if unless else dict(pairs)


def test_images(_):
    """All tags of each image, and the kubelet's question (mount_linux.go: blkid -p -s TYPE -s PTTYPE -o export)."""
    missing = []
    for name in IMAGES:
        try:
            path = make(name)
        except Skip as e:
            missing.append(str(e))
            continue
        unless = IMAGES[name][2]
        want, got = call("blkid", "-p", path), call(CRIBOX, "blkid", "-p", path)
        equal(got[0], want[0], name + ": status")
        equal(tags(got[1], unless), tags(want[1], unless), name)
        ask = ("-p", "-s", "TYPE", "-s", "PTTYPE", "-o", "export", path)
        want, got = call("blkid", *ask), call(CRIBOX, "blkid", *ask)
        equal(got[0], want[0], name + ": status for the kubelet")
        rows = [r for r in want[1].splitlines() if "PTTYPE" not in unless or not r.startswith("PTTYPE")]
        equal(got[1].splitlines(), rows, name + ": answer for the kubelet")
        for row in got[1].splitlines():
            equal(row.count("="), 1, row)
        # every file system without its first bytes is another thing, or nothing, but no crash
        with open(path, "rb") as f:
            head = f.read(70000)
        for cut in (1, 512, 1024, 1080, 4096, 65536):
            with open(DIR + "/cut", "wb") as f:
                f.write(head[:cut])
            equal(call(CRIBOX, "blkid", "-p", DIR + "/cut")[0] in (0, 2), True, "%s cut at %d" % (name, cut))
        os.unlink(path)
    print("# not compared: %s" % (", ".join(missing) or "none"))
    equal(len(missing) < 12, True, "enough mkfs programs are there: " + " ".join(missing))


def test_statuses(_):
    """2 means "format me" to the kubelet: only for what was read and found empty, or is not there."""
    equal(call(CRIBOX, "blkid", "-p", DIR + "/none")[0], call("blkid", "-p", DIR + "/none")[0])
    status, _, error = call(CRIBOX, "blkid", "-p", DIR)
    equal((status, error.count("\n")), (4, 1), "a directory")
    equal(call(CRIBOX, "blkid", "--bogus")[0], 1)
    equal(call(CRIBOX, "blkid", "-o", "xml", "/dev/null")[0], 1)


def test_formats(_):
    path = make("ext4")
    sh("tune2fs", "-L", 'a "b\\c', path, env=ENV)
    holds(call(CRIBOX, "blkid", path)[1], 'LABEL="a \\"b\\\\c"')
    equal(call(CRIBOX, "blkid", "-s", "LABEL", "-o", "value", path)[1], 'a "b\\c\n')
    holds(call(CRIBOX, "blkid", "-o", "export", path)[1], "LABEL=a\\ \\\"b\\\\c\n")
    holds(call("blkid", "-p", "-o", "export", path)[1], "LABEL=a\\ \\\"b\\\\c\n")
    equal(call(CRIBOX, "blkid", "-o", "device", path)[1], path + "\n")
    equal(call(CRIBOX, "blkid", "-t", "TYPE=xfs", path)[0], 2)
    equal(call(CRIBOX, "blkid", "-t", "TYPE=ext4", "-o", "device", path)[1], path + "\n")
    with open(path, "r+b") as f:  # a label that would control the terminal
        f.seek(1024 + 0x78)
        f.write(b"\033[2Jx\0")
    holds(call(CRIBOX, "blkid", path)[1], 'LABEL="\\\\x1b[2Jx"')


# --- devices ----------------------------------------------------------------------------------


class Loop:
    """A disk with partitions, in a /dev of our own."""

    def __init__(self, path, *options):
        done = call(CRIBOX, "losetup", "--show", "-P", *options, "-f", path)
        if done[0]:
            raise Skip("no loop devices here: " + done[2].strip())
        self.name = os.path.basename(done[1].strip())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        call(CRIBOX, "losetup", "-d", "/dev/" + self.name)


def own_dev():
    """A /dev in which nobody else's daemon makes links: only device nodes, as devtmpfs has."""
    top = tempfile.mkdtemp(dir="/run")
    sh("mount", "-t", "tmpfs", "-o", "mode=755", "dev", top)
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        st = os.stat("/dev/" + name)
        os.mknod(top + "/" + name, st.st_mode, st.st_rdev)
    sh("mount", "--move", top, "/dev")
    os.mkdir("/dev/pts")


def nodes():
    for name in os.listdir("/sys/class/block"):
        major, minor = open("/sys/class/block/%s/dev" % name).read().split(":")
        try:
            os.mknod("/dev/" + name, 0o60600, os.makedev(int(major), int(minor)))
        except FileExistsError:
            pass


def links():
    found = {}
    for at, _, files in os.walk("/dev/disk"):
        for name in files:
            path = os.path.join(at, name)
            found[path[len("/dev/disk/") :]] = os.path.basename(os.readlink(path))
    return found


def devlinks(*names):
    """Some of the machine's own devices may be closed to us."""
    error = call(CRIBOX, "devlinks", *names)[2]
    equal([r for r in error.splitlines() if "Operation not permitted" not in r], [])


def of(device):
    return sorted(k for k, v in links().items() if v.startswith(device))


def test_devlinks(_):
    disk = DIR + "/disk"
    with open(disk, "wb") as f:
        f.truncate(16 << 20)
    table = ("label: gpt\nlabel-id: 11111111-2222-3333-4444-555555555555\n"
             'start=2048,size=8192,uuid=AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEE1,name="a state/1"\n'
             'size=8192,uuid=AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEE2,name="../x"\n')  # fmt: skip
    subprocess.run(["/usr/sbin/sfdisk", "-q", disk], input=table, text=True, check=True)
    with open(DIR + "/part", "wb") as f:
        f.truncate(4 << 20)
    sh("mkfs.ext4", "-q", "-L", "the label é", "-U", "12345678-9abc-def0-1234-56789abcdef0", DIR + "/part", env=ENV)
    sh("dd", "if=" + DIR + "/part", "of=" + disk, "bs=1M", "seek=1", "conv=notrunc", "status=none")
    sh("mkswap", "-q", "-L", "..", DIR + "/part", env=ENV, stdin=subprocess.DEVNULL)
    sh("dd", "if=" + DIR + "/part", "of=" + disk, "bs=1M", "seek=5", "conv=notrunc", "status=none")
    control = os.stat("/dev/loop-control").st_rdev
    own_dev()
    os.mknod("/dev/loop-control", 0o20600, control)
    nodes()
    with Loop(disk) as loop:
        one, two = loop.name + "p1", loop.name + "p2"
        if not os.path.exists("/sys/class/block/" + one):  # a kernel that reads no GPT
            sh("partx", "-a", "/dev/" + loop.name, env=ENV)
        nodes()
        devlinks()
        equal({k: v for k, v in links().items() if v.startswith(loop.name)}, {
            "by-label/the\\x20label\\x20é": one,
            "by-uuid/12345678-9abc-def0-1234-56789abcdef0": one,
            "by-partlabel/a\\x20state\\x2f1": one,
            "by-partuuid/aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeee1": one,
            "by-partlabel/..\\x2fx": two,
            "by-partuuid/aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeee2": two,
            "by-uuid/" + call(CRIBOX, "blkid", "-s", "UUID", "-o", "value", "/dev/" + two)[1].strip(): two,
        })  # fmt: skip
        before = links()
        devlinks(one, two)
        equal(links(), before, "after a second time")
        # a changed label takes the old link away
        sh("tune2fs", "-L", "new", "/dev/" + one, env=ENV)
        devlinks(one)
        equal([k for k in of(one) if "label/" in k and "part" not in k], ["by-label/new"])
        # the first stays where two have the same name; when it goes, the other gets it
        with Loop(disk, "-r") as twin:
            if not os.path.exists("/sys/class/block/%sp1" % twin.name):
                sh("partx", "-a", "/dev/" + twin.name, env=ENV)
            nodes()
            devlinks(twin.name + "p1")
            equal(links()["by-label/new"], one)
            equal(call(CRIBOX, "blkid", "-L", "new")[1] in ("/dev/%s\n" % one, "/dev/%sp1\n" % twin.name), True)
        for spec, want in (("PARTUUID=AAAAAAAA-bbbb-cccc-dddd-eeeeeeeeeee2", two),
                           ("PARTLABEL=a state/1", one)):  # fmt: skip
            os.makedirs(DIR + "/mnt", exist_ok=True)
            status, _, error = call(CRIBOX, "mount", "-f", "-v", "-t", "ext4", spec, DIR + "/mnt")
            equal((status, error), (0, ""))
        row = [r for r in call(CRIBOX, "lsblk")[1].splitlines() if one in r][0].split()
        equal((row[3], row[5], row[6], row[7]), ("4.0M", "part", "ext4", "new"))
    devlinks(one, two, loop.name)
    equal(of(loop.name), [], "links of devices that are gone")


def test_devlinks_all_removes_stale(_):
    os.makedirs("/dev/disk/by-label", exist_ok=True)
    os.symlink("../../gone1", "/dev/disk/by-label/stale")
    nodes()
    devlinks()
    equal("by-label/stale" in links(), False)


tests = [globals()[n] for n in list(globals()) if n.startswith("test_")]
try:
    status = frame.run(tests)
finally:
    shutil.rmtree(DIR, ignore_errors=True)
sys.exit(1 if status else 0)
