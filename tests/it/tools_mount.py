#!/usr/bin/python3
"""mount, umount and losetup as the kubelet and CSI drivers execute them: what util-linux's
programs answer, ours answer too - exit status, message and table of mounts."""

import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
from frame import Skip, equal, holds, sh  # noqa: E402

TOP = tempfile.mkdtemp(prefix="cribox-tools-", dir="/run")
ENV = dict(os.environ, LC_ALL="C")


class Side:
    """A directory in which one of the two does everything."""

    def __init__(self, name, prefix):
        self.prefix = prefix
        self.dir = os.path.join(TOP, name)
        for sub in ("a/sub", "b", "c", "file.d"):
            os.makedirs(os.path.join(self.dir, sub), exist_ok=True)
        open(os.path.join(self.dir, "file"), "w").close()

    def run(self, line):
        """(status, output, messages) with the directory's name taken out."""
        words = line.replace("@", self.dir + "/").split()
        done = subprocess.run(self.prefix + words, capture_output=True, text=True, env=ENV)
        clean = lambda s: s.replace(self.dir + "/", "@")  # noqa: E731
        # util-linux adds a hint at dmesg
        error = re.sub(r"\n +dmesg\(1\).*", "", clean(done.stderr))
        return done.returncode, clean(done.stdout), error

    def mounts(self):
        """mountinfo below the directory, without numbers."""
        rows = []
        for row in open("/proc/self/mountinfo"):
            f = row.split()
            if f[4].startswith(self.dir + "/"):
                tags = [re.sub(r":\d+", "", t) for t in f[6 : f.index("-")]]
                rest = f[f.index("-") + 1 :]
                # loop devices have different numbers
                rest = [re.sub(r"/dev/loop\d+", "/dev/loop", x) for x in rest]
                root = f[3].replace(self.dir[len("/run") :], "")
                rows.append((root, f[4][len(self.dir) :], f[5], tags, rest))
        return rows


THEIRS = Side("theirs", [])
OURS = Side("ours", [frame.CRIBOX])


def both(line, message=True):
    """The same command on both sides; returns ours. message False: only the status must agree."""
    want, got = THEIRS.run(line), OURS.run(line)
    if not message:
        want, got = want[:1], got[:1]
    equal(got, want, line)
    equal(OURS.mounts(), THEIRS.mounts(), "mounts after " + line)
    return got


def clean():
    for side in (THEIRS, OURS):
        for _ in range(20):
            rows = side.mounts()
            if not rows:
                break
            subprocess.run(["/usr/bin/umount", "-l", side.dir + rows[-1][1]])


# --- the kubelet's own argument lists (mount-utils/mount_linux.go) ----------------------------


def test_kubelet_tmpfs(_):
    both("mount -t tmpfs -o size=65536 tmpfs @a")
    both("mount --no-canonicalize -t tmpfs -o noswap tmpfs @b")
    both("umount @b")
    both("umount @a")


def test_kubelet_detects_not_mounted(_):
    """At its start the kubelet unmounts a directory to learn whether umount tells it so."""
    status, _, error = OURS.run("umount @a")
    equal(status, 32)
    holds(error, "not mounted")
    both("umount @a")
    both("umount -f @a")
    both("umount @nothing")


def test_kubelet_bind(_):
    both("mount -t tmpfs tmpfs @a")
    both("mount --no-canonicalize -o bind @a @b")
    both("mount --no-canonicalize -o bind,remount,ro @a @b")
    both("umount @b")
    both("mount --no-canonicalize -o rbind @a @b")
    both("mount --make-rshared @b")
    both("mount --make-rslave @b")
    both("mount --make-private @b")
    both("umount @b")
    both("umount @a")


def test_bind_keeps_what_protects(_):
    """A bind mount's second call must not drop nosuid and nodev of where it comes from."""
    both("mount -t tmpfs -o nosuid,nodev,noexec tmpfs @a")
    OURS.run("mount -o bind,ro @a @b")
    row = OURS.mounts()[-1]
    equal(row[2], "ro,nosuid,nodev,noexec,relatime")


def test_options(_):
    for options in (
        "ro",
        "ro,rw",
        "nosuid,nodev,noexec",
        "defaults,noauto,nofail,x-systemd.automount",
        "noatime,nodiratime",
        "strictatime",
        "size=1m,mode=700,nr_inodes=100",
        "sync,dirsync",
        "shared",
        "size=1m,private,ro",
    ):
        both("mount -t tmpfs -o %s tmpfs @a" % options)
        both("umount @a")
    both("mount -r -t tmpfs tmpfs @a")
    both("mount -o remount,rw @a")
    both("mount -o remount,nosuid @a")
    both("mount -o remount,noexec,size=2m @a")
    both("umount @a")


def test_move_and_recursive(_):
    both("mount -t tmpfs tmpfs @a")
    for side in (THEIRS, OURS):
        os.mkdir(side.dir + "/a/sub")
    both("mount -t tmpfs inner @a/sub")
    both("mount --rbind @a @b")
    both("mount --move @a @c")
    both("umount @c")  # busy
    both("umount -R @c")
    both("umount -R @b")


def test_files(_):
    both("mount --bind @file @a", message=False)
    for side in (THEIRS, OURS):
        open(side.dir + "/other", "w").write("x")
    both("mount --bind @other @file")
    both("umount @file")


def test_failures(_):
    for line in (
        "mount -t tmpfs tmpfs @none",
        "mount /dev/nothing @a",
        "mount -t ext4 /dev/nothing @a",
        "mount @c @a",
        "mount -o bind @none @a",
        "mount -t tmpfs -o bogus=1 tmpfs @a",
        "mount -o remount,ro @b",
        "mount -t tmpfs tmpfs @file",
    ):
        both(line)
    for line in ("mount --bogus", "mount @a", "umount", "umount --bogus @a", "losetup -d @a",
                 "losetup -f @none", "mount LABEL=nothing @a"):  # fmt: skip
        status = OURS.run(line)
        if status[0] == 0 or not status[2].strip():
            raise AssertionError("%s: %r" % (line, status))
        equal(status[2].count("\n"), 1, "lines of the message of " + line)


def test_busy(_):
    both("mount -t tmpfs tmpfs @a")
    held = [open(s.dir + "/a/held", "w") for s in (THEIRS, OURS)]
    both("umount @a")
    both("umount -l @a")
    for f in held:
        f.close()


def test_list(_):
    sh("mount", "-t", "tmpfs", "with space", OURS.dir + "/a")
    want = subprocess.run(["/usr/bin/mount"], capture_output=True, text=True).stdout
    got = subprocess.run([frame.CRIBOX, "mount"], capture_output=True, text=True).stdout
    equal(got.splitlines(), want.splitlines(), "mount")
    got = subprocess.run([frame.CRIBOX, "mount", "-t", "proc"], capture_output=True, text=True)
    equal({row.split()[4] for row in got.stdout.splitlines()}, {"proc"})
    sh("umount", OURS.dir + "/a")


# --- loop devices -----------------------------------------------------------------------------


def image(side):
    path = side.dir + "/image"
    with open(path, "w") as f:
        f.truncate(4 << 20)
    sh("mkfs.ext4", "-q", "-L", "a label", "-U", "random", path)
    return path


def loops():
    done = subprocess.run(["/usr/sbin/losetup", "-a"], capture_output=True, text=True)
    return [row for row in done.stdout.splitlines() if TOP in row]


def need_loop():
    if subprocess.run(["/usr/sbin/losetup", "-f"], capture_output=True).returncode:
        raise Skip("no loop devices here")


def test_kubelet_losetup(_):
    """losetup -f PATH, then -d of the device that sysfs names: volumepathhandler_linux.go."""
    need_loop()
    path = image(OURS)
    equal(OURS.run("losetup -f @image"), (0, "", ""))
    row = loops()
    equal(len(row), 1, "loop devices of the image")
    device = row[0].split(":")[0]
    try:
        equal(OURS.run("losetup -a")[1].replace("@", OURS.dir + "/").strip() in row, True)
        equal(OURS.run("losetup -j @image")[1].split(":")[0], device)
        equal(open("/sys/block/%s/loop/backing_file" % device[5:]).read().strip(), path)
    finally:
        equal(OURS.run("losetup -d " + device), (0, "", ""))
    equal(loops(), [])
    status, _, error = OURS.run("losetup -d " + device)
    equal((status, error.count("\n")), (1, 1))


def test_mount_an_image(_):
    """A file is mounted through a loop device that goes with the mount."""
    need_loop()
    for side in (THEIRS, OURS):
        image(side)
    both("mount @image @a")
    both("umount @a")
    both("mount -o loop,ro -t ext4 @image @a")
    both("umount @a")
    equal(loops(), [], "loop devices after umount")


def test_mount_by_label(_):
    need_loop()
    path = image(OURS)
    sh("/usr/sbin/tune2fs", "-L", "cribox-test-%d" % os.getpid(), path)
    device = OURS.run("losetup --show -f @image")[1].strip()
    try:
        uuid = sh("/usr/sbin/blkid", "-p", "-s", "UUID", "-o", "value", path).strip()
        for spec in ("UUID=" + uuid, "UUID=" + uuid.upper()):
            equal(OURS.run("mount %s @a" % spec), (0, "", ""))
            equal(OURS.run("umount " + device), (0, "", ""))
    finally:
        OURS.run("losetup -d " + device)


def test_nsenter(_):
    """kubectl-node-shell's argument list, and the statuses."""
    box = [frame.CRIBOX, "nsenter"]
    child = subprocess.Popen(["unshare", "-mun", "sleep", "100"])
    try:
        pid = str(child.pid)
        frame.until(lambda: os.readlink("/proc/%s/ns/uts" % pid) != os.readlink("/proc/self/ns/uts"),
                    5, "unshare")  # fmt: skip
        spaces = "readlink /proc/self/ns/uts /proc/self/ns/net /proc/self/ns/mnt /proc/self/ns/pid"
        command = ["--target", pid, "--mount", "--uts", "--ipc", "--net", "--pid", "--"]
        want = sh("/usr/bin/nsenter", *command, *spaces.split())
        equal(sh(*box, *command, *spaces.split()), want)
        equal(sh(*box, "-t", pid, "-a", *spaces.split()), want)
        equal(sh(*box, "-t", pid, "-u", "readlink", "/proc/self/ns/uts"), want.splitlines()[0] + "\n")
        equal(sh(*box, "--net=/proc/%s/ns/net" % pid, "readlink", "/proc/self/ns/net"),
              want.splitlines()[1] + "\n")  # fmt: skip
        for script, status in (("exit 7", 7), ("kill -9 $$", -9)):
            done = subprocess.run(box + ["-t", pid, "-p", "-m", "sh", "-c", script])
            equal(done.returncode, status, script)
        done = subprocess.run(box + ["-t", pid, "-m", "/nosuch"], capture_output=True, text=True)
        equal(done.returncode, 127)
        done = subprocess.run(box + ["-m", "true"], capture_output=True, text=True)
        holds(done.stderr, "no target PID")
    finally:
        child.kill()
        child.wait()


def after(_):
    clean()


names = [n for n in list(globals()) if n.startswith("test_")]
sys.exit(1 if frame.run([globals()[n] for n in names], after=after) else 0)
