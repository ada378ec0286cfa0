#!/usr/bin/python3
"""The runtime is killed at each of its system calls in turn: delete --force leaves nothing."""

import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
from frame import Skip, equal  # noqa: E402
from ocibed import Bed  # noqa: E402

NULL = subprocess.DEVNULL


def alive():
    """Processes that are there beside us; the dead are reaped, for orphans are ours."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                with open("/proc/%s/stat" % name) as f:
                    if f.read().rsplit(")", 1)[1].split()[0] != "Z":
                        found.append(open("/proc/%s/cmdline" % name).read())
            except OSError:
                pass
    return found


class Sweep:
    def __init__(self):
        if not shutil.which("strace"):
            raise Skip("no strace")
        self.bed = Bed()
        c = self.bed.config("sleep", "1000")
        c["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW"}
        c["linux"]["resources"]["memory"] = {"limit": 64 << 20}
        self.bed.use(c)
        self.bed.ids.append("c")
        self.call("run", "-d", "-b", self.bed.bundle, "c")  # what is made once: the filter
        self.call("delete", "-f", "c")
        self.mounts = open("/proc/self/mountinfo").read()
        self.bundle = self.list_bundle()

    def list_bundle(self):
        return sorted(os.path.join(top, n) for top, dirs, names in os.walk(self.bed.bundle) for n in dirs + names)

    def call(self, *args):
        return self.bed.call(*args, stdout=NULL, stderr=NULL).returncode

    def killed(self, n, *args):
        """The command, killed at its n-th system call. None: it had fewer."""
        command = ["strace", "-o", "/dev/null", "-e", "inject=all:signal=KILL:when=%d" % n]
        command += self.bed.runtime + ["--root", self.bed.root] + list(args)
        done = subprocess.run(command, stdin=NULL, stdout=NULL, stderr=NULL, timeout=60)
        return None if done.returncode == 0 else done.returncode

    def check(self, what):
        equal(self.call("delete", "--force", "c"), 0, "status of delete --force after " + what)
        equal(self.bed.leftovers(), [], "what is left after " + what)
        equal(alive(), [], "processes after " + what)
        equal(open("/proc/self/mountinfo").read(), self.mounts, "mounts after " + what)
        equal(self.list_bundle(), self.bundle, "the bundle after " + what)

    def all(self, args, before=()):
        n = 0
        while n < 1000:
            n += 1
            for command in before:
                equal(self.call(*command), 0, "status of " + command[0])
            last = self.killed(n, *args) is None
            self.check("%s, call %d" % (args[0], n))
            if last:
                break
        print("# %s: killed at each of %d calls" % (args[0], n))
        equal(n > 20, True, "the number of calls")


def test_create(_):
    s = Sweep()
    pid_file = os.path.join(s.bed.dir, "pid")
    try:
        s.all(["create", "-b", s.bed.bundle, "--pid-file", pid_file, "c"])
        equal([n for n in os.listdir(s.bed.dir) if n not in ("bundle", "state")], ["pid"])
    finally:
        s.bed.close()


def test_start(_):
    s = Sweep()
    try:
        s.all(["start", "c"], before=[["create", "-b", s.bed.bundle, "c"]])
    finally:
        s.bed.close()


def test_delete(_):
    s = Sweep()
    try:
        s.all(["delete", "--force", "c"], before=[["run", "-d", "-b", s.bed.bundle, "c"]])
    finally:
        s.bed.close()


if __name__ == "__main__":
    sys.exit(frame.run([test_create, test_start, test_delete]) != 0)
