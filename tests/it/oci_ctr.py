#!/usr/bin/python3
"""containerd with our binary in the place of runc: ctr runs, executes, pauses, kills."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
from frame import CRIBOX, equal, holds, sh, until  # noqa: E402
from ocibed import APPLETS, BUSYBOX  # noqa: E402

IMAGE = "docker.io/library/it:latest"
CONFIG = """version = 2
root = "{top}/root"
state = "{top}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
  address = "{top}/sock"
[ttrpc]
  address = "{top}/sock.ttrpc"
"""


def archive(path):
    """An image of busybox as docker-save writes it."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:

        def add(name, kind=tarfile.DIRTYPE, mode=0o755, data=b"", link=""):
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.size, info.linkname = kind, mode, len(data), link
            tar.addfile(info, io.BytesIO(data))

        for d in "bin proc sys dev etc".split():
            add(d)
        add("tmp", mode=0o1777)
        with open(BUSYBOX, "rb") as f:
            add("bin/busybox", tarfile.REGTYPE, data=f.read())
        for a in APPLETS:
            add("bin/" + a, tarfile.SYMTYPE, link="busybox")
        add("etc/passwd", tarfile.REGTYPE, 0o644, b"root:x:0:0::/:/bin/sh\napp:x:1000:1001::/tmp:/bin/sh\n")
    layer = layer.getvalue()
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine),
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
    }
    files = {
        "layer.tar": layer,
        "config.json": json.dumps(config).encode(),
        "manifest.json": json.dumps([{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]).encode(),
    }
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


class Bed:
    def __init__(self, top):
        self.top = top
        self.name = os.path.basename(top)
        # the shim's log and state say which runtime it was: its name is runc's
        self.runtime = os.path.join(top, "runc")
        os.symlink(CRIBOX, self.runtime)
        with open(top + "/config.toml", "w") as f:
            f.write(CONFIG.format(top=top))
        self.log = open(top + "/log", "w")
        self.daemon = subprocess.Popen(
            ["containerd", "-c", top + "/config.toml"], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log
        )
        until(lambda: self.ctr("version").returncode == 0, 20, "containerd's answer")
        archive(top + "/image.tar")
        self.must("image", "import", "--snapshotter", "native", top + "/image.tar")

    def ctr(self, *args, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        return subprocess.run(["ctr", "-a", self.top + "/sock", "-n", "it"] + list(args), text=True, timeout=60, **options)

    def must(self, *args, **options):
        done = self.ctr(*args, **options)
        if done.returncode != 0:
            raise AssertionError("ctr %s: %d: %s" % (" ".join(args), done.returncode, done.stderr))
        return done.stdout

    def run(self, id, *command, flags=()):
        mine = ["--runc-binary", self.runtime, "--runc-root", self.top + "/runs", "--snapshotter", "native"]
        return self.ctr("run", *mine, "--cgroup", "/%s/%s" % (self.name, id), *flags, IMAGE, id, *command)

    def start(self, id, *command, flags=()):
        null = subprocess.DEVNULL
        mine = ["--runc-binary", self.runtime, "--runc-root", self.top + "/runs", "--snapshotter", "native"]
        self.must("run", *mine, "-d", "--cgroup", "/%s/%s" % (self.name, id), *flags, IMAGE, id, *command, stdout=null, stderr=null)

    def status(self, id):
        lines = [line.split() for line in self.must("task", "ls").splitlines()]
        return next((line[2] for line in lines if line[0] == id), None)

    def remove(self, id):
        self.ctr("task", "kill", "-s", "KILL", id)
        until(lambda: self.status(id) in (None, "STOPPED"), 10, "the end of " + id)
        self.ctr("task", "rm", id)
        self.must("container", "rm", id)

    def group(self, tree, id, file):
        with open("/sys/fs/cgroup/%s/%s/%s/%s" % (tree, self.name, id, file)) as f:
            return f.read().strip()

    def close(self):
        self.daemon.terminate()
        self.daemon.wait()


def test_run(bed):
    done = bed.run("a", "sh", "-c", "echo out; echo err >&2; hostname; exit 6", flags=["--rm"])
    equal((done.stdout.splitlines()[0], done.stderr, done.returncode), ("out", "err\n", 6))
    done = bed.run("b", "nosuch", flags=["--rm"])
    holds(done.stderr, 'exec: "nosuch": executable file not found in $PATH')
    bed.ctr("container", "rm", "b")
    equal(os.listdir(bed.top + "/runs/it"), [])


def test_life(bed):
    bed.start("c", "sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.1; done", flags=["--memory-limit", str(32 << 20)])
    equal(bed.status("c"), "RUNNING")
    equal(bed.group("memory", "c", "memory.limit_in_bytes"), str(32 << 20))
    done = bed.ctr("task", "exec", "--exec-id", "x1", "c", "sh", "-c", "echo in; exit 9")
    equal((done.stdout, done.returncode), ("in\n", 9))
    equal(bed.must("task", "exec", "--exec-id", "x2", "--user", "1000", "--cwd", "/tmp", "c", "sh", "-c", "id -u; pwd"), "1000\n/tmp\n")
    done = bed.ctr("task", "exec", "--exec-id", "x3", "c", "nosuch")
    holds(done.stderr, "executable file not found in $PATH")
    pids = bed.must("task", "ps", "c").splitlines()[1:]
    holds(sh("cat", "/proc/%s/cmdline" % pids[0].split()[0]), "trap")
    holds(bed.must("task", "metrics", "c"), "memory.usage_in_bytes")
    bed.must("task", "pause", "c")
    equal(bed.status("c"), "PAUSED")
    equal(bed.group("freezer", "c", "freezer.state"), "FROZEN")
    bed.must("task", "resume", "c")
    equal(bed.status("c"), "RUNNING")
    bed.must("task", "kill", "-s", "TERM", "c")
    until(lambda: bed.status("c") == "STOPPED", 10, "the end by TERM")
    bed.ctr("task", "kill", "-s", "KILL", "c")  # of a dead one: no harm
    bed.must("task", "rm", "--force", "c")
    bed.must("container", "rm", "c")
    equal(os.listdir(bed.top + "/runs/it"), [])
    equal(os.path.exists("/sys/fs/cgroup/memory/%s/c" % bed.name), False)


def test_without_a_pid_namespace(bed):
    bed.start("h", "sh", "-c", "sleep 1234567 & sleep 1234567", flags=["--with-ns", "pid:/proc/1/ns/pid"])
    count = lambda: subprocess.run(["pgrep", "-fc", "^sleep 1234567"], stdout=subprocess.PIPE, text=True).stdout.strip()
    until(lambda: count() == "2", 5, "both processes")
    bed.remove("h")
    equal(count(), "0")


def is_dead(pid):
    """Nobody reaps orphans here: a zombie will do."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def test_shim_is_killed(bed):
    """containerd cleans up by delete --force."""
    bed.start("k", "sleep", "1000")
    pid = int(bed.must("task", "ls").splitlines()[-1].split()[1])
    shim = int(open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()[1])
    holds(open("/proc/%d/cmdline" % shim).read(), "containerd-shim-runc-v2")
    os.kill(shim, 9)
    until(lambda: is_dead(pid), 20, "the container's end")
    until(lambda: os.listdir(bed.top + "/runs/it") == [], 10, "the state's end")
    bed.ctr("task", "rm", "--force", "k")
    bed.must("container", "rm", "k")


def test_terminal(bed):
    script = "import pty,sys;sys.exit(pty.spawn(sys.argv[1:])>>8)"
    mine = ["--runc-binary", bed.runtime, "--runc-root", bed.top + "/runs", "--snapshotter", "native"]
    command = ["ctr", "-a", bed.top + "/sock", "-n", "it", "run"] + mine + ["--cgroup", "/%s/t" % bed.name, "-t", "--rm", IMAGE, "t"]
    done = subprocess.run(
        ["python3", "-c", script] + command + ["sh", "-c", "tty; exit 4"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=60
    )
    equal(done.returncode, 4, "status (%s)" % done.stdout)
    holds(done.stdout, "/dev/pts/0")


TESTS = [test_run, test_life, test_without_a_pid_namespace, test_shim_is_killed, test_terminal]


def main():
    if not shutil.which("containerd") or not shutil.which("ctr"):
        print("skip ctr: no containerd")
        return 0
    top = tempfile.mkdtemp(prefix="cribox-ctr-")
    bed = None
    try:
        bed = Bed(top)
        return 1 if frame.run(TESTS, bed) else 0
    finally:
        if bed:
            bed.close()
        for tree in os.scandir("/sys/fs/cgroup"):
            for path, _, _ in os.walk(os.path.join(tree.path, os.path.basename(top)), topdown=False):
                try:
                    os.rmdir(path)
                except OSError:
                    pass
        shutil.rmtree(top, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
