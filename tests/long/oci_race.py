#!/usr/bin/python3
"""The race explorer: somebody who can change the root file system of a container, at any moment.

The runtime is stopped before each system call that takes a path or makes a mount, in each of its
processes, once per run; then what the attacker owns is flipped (a directory becomes a link to the
host's canary, or to elsewhere), and the runtime goes on. The attacker flips it back before the next
of those calls, or when the program of the container begins. Whatever the runtime does, container or
error: nothing of the host's changes, and a container that starts has all its mounts with their
masks, and nothing of the canary's. Every stop of the undisturbed run is tried with every flip; the
last line says how many.

STRIDE=N    only every Nth stop
"""
# timeout: 2400

import ctypes
import os
import shutil
import signal
import stat
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "it", "lib"))
import frame  # noqa: E402

frame.isolate()
from frame import CRIBOX, equal  # noqa: E402
from ocibed import Bed  # noqa: E402

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

TRACEME, CONT, SYSCALL, SETOPTIONS, GET_SYSCALL_INFO, GETEVENTMSG = 0, 7, 24, 0x4200, 0x420E, 0x4201
OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x100000  # SYSGOOD FORK VFORK CLONE EXEC EXITKILL
EVENT_EXEC = 4
WALL = 0x40000000
RENAME_EXCHANGE = 2
AT_FDCWD = -100

# System calls of x86_64 that take a path, or make, move or change a mount.
NAMES = {
    2: "open", 4: "stat", 6: "lstat", 21: "access", 59: "execve", 80: "chdir", 81: "fchdir",
    82: "rename", 83: "mkdir", 84: "rmdir", 86: "link", 87: "unlink", 88: "symlink",
    89: "readlink", 90: "chmod", 92: "chown", 94: "lchown", 133: "mknod", 155: "pivot_root",
    161: "chroot", 165: "mount", 166: "umount2", 188: "setxattr", 189: "lsetxattr",
    257: "openat", 258: "mkdirat", 259: "mknodat", 260: "fchownat", 262: "newfstatat",
    263: "unlinkat", 264: "renameat", 265: "linkat", 266: "symlinkat", 267: "readlinkat",
    268: "fchmodat", 269: "faccessat", 316: "renameat2", 322: "execveat", 332: "statx",
    428: "open_tree", 429: "move_mount", 430: "fsopen", 431: "fsconfig", 432: "fsmount",
    433: "fspick", 437: "openat2", 439: "faccessat2", 442: "mount_setattr", 452: "fchmodat2",
}  # fmt: skip


class SyscallInfo(ctypes.Structure):
    _fields_ = [
        ("op", ctypes.c_uint8),
        ("pad", ctypes.c_uint8 * 3),
        ("arch", ctypes.c_uint32),
        ("ip", ctypes.c_uint64),
        ("sp", ctypes.c_uint64),
        ("nr", ctypes.c_uint64),
        ("args", ctypes.c_uint64 * 6),
    ]


def ptrace(request, pid, addr=0, data=0):
    if libc.ptrace(request, pid, addr, data) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def entry(pid):
    """The number of the system call that is about to begin; None at its end."""
    info = SyscallInfo()
    ptrace(GET_SYSCALL_INFO, pid, ctypes.sizeof(info), ctypes.addressof(info))
    return info.nr if info.op == 1 else None


def exchange(a, b):
    if libc.renameat2(AT_FDCWD, a.encode(), AT_FDCWD, b.encode(), RENAME_EXCHANGE) < 0:
        raise OSError(ctypes.get_errno(), "exchange %s and %s" % (a, b))


def snapshot(path):
    """All that a change of the tree would show."""
    found = {}
    for top, dirs, files in os.walk(path):
        for n in ["."] + dirs + files:
            p = os.path.join(top, n)
            st = os.lstat(p)
            text = open(p).read() if stat.S_ISREG(st.st_mode) else ""
            found[p] = (st.st_mode, st.st_uid, st.st_gid, st.st_rdev, st.st_nlink, st.st_mtime_ns, text)
    return found


class Run:
    """One traced run of the runtime."""

    def __init__(self, command, at, flip, short):
        self.at, self.flip, self.short = at, flip, short
        self.flipped = False
        self.stops = []  # names of the system calls
        self.program = None  # what the container had when its program began
        self.status = None
        self.out = os.memfd_create("out")
        self.first = os.fork()
        if self.first == 0:
            null = os.open("/dev/null", os.O_RDWR)
            for fd, to in ((null, 0), (self.out, 1), (self.out, 2)):
                os.dup2(fd, to)
            libc.ptrace(TRACEME, 0, None, None)
            os.kill(os.getpid(), signal.SIGSTOP)
            os.execv(command[0], command)
        os.waitpid(self.first, 0)
        ptrace(SETOPTIONS, self.first, 0, OPTIONS)
        ptrace(SYSCALL, self.first)
        self.follow()

    def follow(self):
        alive = {self.first}
        while alive:
            try:
                pid, status = os.waitpid(-1, WALL)
            except ChildProcessError:
                break
            if os.WIFEXITED(status) or os.WIFSIGNALED(status):
                alive.discard(pid)
                if pid == self.first:
                    self.status = os.waitstatus_to_exitcode(status)
                continue
            alive.add(pid)
            try:
                ptrace(SYSCALL, pid, 0, self.stopped(pid, status))
            except OSError:  # killed meanwhile: its end is still to be told
                pass

    def back(self):
        if self.flipped:
            self.flip()
        self.flipped = False

    def stopped(self, pid, status):
        """Returns the signal to hand on."""
        sig = os.WSTOPSIG(status)
        if sig == signal.SIGTRAP | 0x80:
            nr = entry(pid)
            if nr in NAMES:
                self.stops.append(NAMES[nr])
                if len(self.stops) == self.at:
                    self.flip()
                    self.flipped = True
                elif self.short:
                    self.back()
            return 0
        if status >> 16:
            if status >> 16 == EVENT_EXEC and os.readlink("/proc/%d/exe" % pid).endswith("busybox"):
                self.back()
                self.program = open("/proc/%d/mountinfo" % pid).read()
                os.kill(pid, signal.SIGKILL)
            return 0
        return 0 if sig in (signal.SIGSTOP, signal.SIGTRAP) else sig

    def said(self):
        return os.pread(self.out, 4096, 0).decode("utf-8", "replace").strip()


class Scene:
    """A bundle whose root file system the attacker can change, and the canary of the host."""

    def __init__(self):
        self.bed = Bed()
        self.canary = os.path.join(self.bed.dir, "canary")
        self.n = 0
        for d in ("", "pts", "shm", "sys", "fs", "fd", "b", "sub"):
            os.makedirs(os.path.join(self.canary, d))
        for f in ("ptmx", "null", "console", "kcore", "file", "b/file", "sub/file", "sys/file"):
            with open(os.path.join(self.canary, f), "w") as out:
                out.write("host")
        self.volume = os.path.join(self.bed.dir, "volume")
        self.before = snapshot(self.canary)
        self.mounts = open("/proc/self/mountinfo").read()

    def build(self):
        """The attacker's tree as it is at the start of each run."""
        rootfs, volume = self.bed.rootfs, self.volume
        for path in (os.path.join(rootfs, n) for n in ("proc", "sys", "dev", "vol", "work", "etc")):
            remove(path)
        remove(volume)
        for d in ("proc", "sys", "dev", "dev/pts", "dev/shm", "vol", "work/sub", "etc"):
            os.makedirs(os.path.join(rootfs, d))
        os.makedirs(os.path.join(volume, "a", "b"))
        os.makedirs(os.path.join(volume, "new"))
        for n in os.listdir(rootfs + "/tmp"):
            remove(os.path.join(rootfs, "tmp", n))

    def config(self):
        c = self.bed.config("sh", "-c", "exit 0", cwd="/work/sub")
        c["mounts"] += [
            {"destination": "/vol", "type": "bind", "source": self.volume, "options": ["rbind", "rw"]},
            {"destination": "/vol/a/b", "type": "tmpfs", "source": "x", "options": ["size=64k"]},
            {"destination": "/vol/new/made/here", "type": "tmpfs", "source": "x", "options": ["size=64k"]},
            {"destination": "/etc/hosts", "type": "bind", "source": "/etc/hosts", "options": ["bind", "ro"]},
        ]
        c["linux"]["devices"] = [{"path": "/dev/extra/kmsg", "type": "c", "major": 1, "minor": 3}]
        c["linux"]["maskedPaths"] = ["/proc/kcore", "/proc/keys", "/sys/firmware", "/vol/a"]
        c["linux"]["readonlyPaths"] = ["/proc/sys", "/proc/bus"]
        c["linux"]["cgroupsPath"] = "/" + os.path.basename(self.bed.dir)
        return c

    def flips(self):
        """Name: what the attacker does at that moment."""
        up, made = "../" * 12, []

        def link(place, target):
            other = os.path.join(self.bed.dir, "other%d" % len(made))
            made.append(other)
            os.symlink(target, other)
            return lambda: exchange(other, place)

        rootfs, vol = self.bed.rootfs, self.volume
        c = self.canary
        return {
            "/proc is a link to the canary": link(rootfs + "/proc", c),
            "/proc is a link to the container's /work": link(rootfs + "/proc", "work"),
            "/dev is a link to the canary": link(rootfs + "/dev", up + c),
            "/dev/pts is a link to the canary": link(rootfs + "/dev/pts", c + "/pts"),
            "/sys is a link to the canary": link(rootfs + "/sys", c),
            "/etc is a link to the canary": link(rootfs + "/etc", c),
            "/vol is a link to the canary": link(rootfs + "/vol", c),
            "/vol/a is a link to the canary": link(vol + "/a", up + c),
            "/vol/a/b is a link to /proc/self/fd": link(vol + "/a/b", "/proc/self/fd"),
            "/vol/new is a link to the canary": link(vol + "/new", c),
            "/work is a link to the canary": link(rootfs + "/work", c),
            "the root is a link to the canary": link(rootfs, c),
        }

    def run(self, at, flip, short=False):
        self.build()
        self.bed.use(self.config())
        self.n += 1
        id = "race%d" % self.n
        command = [CRIBOX, "oci", "--root", self.bed.root, "run", "-b", self.bed.bundle, id]
        run = Run(command, at, flip, short)
        run.back()
        bad = []
        if snapshot(self.canary) != self.before:
            bad.append("the canary has changed")
            for p, value in self.before.items():
                if snapshot(self.canary).get(p) != value:
                    bad.append(p)
        if open("/proc/self/mountinfo").read() != self.mounts:
            bad.append("the host's mounts have changed")
        if run.program:
            bad += self.wrong_mounts(run.program)
        elif run.status == 0:
            bad.append("neither a program nor an error")
        elif len(run.said().splitlines()) != 1:
            bad.append("said: %r" % run.said()[:300])
        if os.path.isdir(self.bed.root) and os.listdir(self.bed.root):
            bad.append("a state is left behind")
            self.bed.call("delete", "-f", id)
        return run, bad

    def wrong_mounts(self, mountinfo):
        bad, have = [], {}
        for line in mountinfo.splitlines():
            words, rest = line.split(" - ")
            words, rest = words.split(), rest.split()
            have[words[4]] = (rest[0], words[5].split(","))
            if "/canary" in words[3]:  # words[4] is a place inside of the container
                bad.append("a mount of the canary: " + line)
        for place, kind in (("/proc", "proc"), ("/sys", "sysfs"), ("/dev", "tmpfs"), ("/dev/pts", "devpts")):
            if have.get(place, ("none",))[0] != kind:
                bad.append("%s is %s" % (place, have.get(place)))
        for place in ("/proc/kcore", "/proc/keys", "/sys/firmware"):
            if place not in have and os.path.exists(place):
                bad.append("%s is not masked" % place)
        for place in ("/proc/sys", "/proc/bus"):
            if "ro" not in have.get(place, ("", []))[1]:
                bad.append("%s is not read-only" % place)
        return bad

    def close(self):
        self.bed.close()


def remove(path):
    if os.path.islink(path) or os.path.isfile(path):
        os.unlink(path)
    elif os.path.isdir(path):
        shutil.rmtree(path)


def test_every_stop_of_a_create_with_every_flip(_):
    if os.uname().machine != "x86_64":
        raise frame.Skip("the numbers of system calls are those of x86_64")
    scene = Scene()
    try:
        plain, bad = scene.run(0, None)
        equal(bad, [], "the undisturbed run")
        if not plain.program:
            raise AssertionError("the undisturbed run: " + plain.said())
        total, stride = len(plain.stops), int(os.environ.get("STRIDE", "1"))
        wrong, runs, started, refused, visited = [], 0, 0, 0, set()
        tries = [(n, f, s) for n, f in scene.flips().items() for s in (False, True)]
        for name, flip, short in tries:
            for at in range(1, total + 1, stride):
                run, bad = scene.run(at, flip, short)
                runs += 1
                started += run.program is not None
                refused += run.program is None
                if len(run.stops) >= at:
                    visited.add(at)
                where = "%s %s stop %d" % (name, "at" if short else "from", at)
                if len(run.stops) >= at:
                    where += " (%s)" % run.stops[at - 1]
                wrong += ["%s: %s" % (where, ", ".join(bad))] if bad else []
        for w in wrong[:40]:
            print("# " + w)
        print(
            "# %d stops, %d visited, %d runs: %d started, %d refused"
            % (total, len(visited), runs, started, refused)
        )
        equal(len(visited), len(range(1, total + 1, stride)), "visited stops")
        equal(len(wrong), 0, "runs that went wrong")
        if not started or not refused:
            raise AssertionError("the flips had no effect")
        equal(scene.bed.leftovers(), [], "what is left behind")
    finally:
        scene.close()


sys.exit(1 if frame.run([test_every_stop_of_a_create_with_every_flip]) else 0)
