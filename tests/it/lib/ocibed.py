"""Bundles and containers for the tests of the OCI runtime."""

import copy
import json
import os
import shutil
import subprocess
import tempfile

from frame import CRIBOX, Skip, equal

BUSYBOX = "/bin/busybox"
APPLETS = "sh ls cat id ps mount sleep env pwd hostname grep sed true false kill head readlink \
stat test touch mkdir ln rm wc tr cut sort tty stty ulimit printf dd chmod".split()

CAPS = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]

CONFIG = {
    "ociVersion": "1.0.2",
    "process": {
        "terminal": False,
        "user": {"uid": 0, "gid": 0},
        "args": ["sh"],
        "env": ["PATH=/bin", "TERM=xterm"],
        "cwd": "/",
        "capabilities": {"bounding": CAPS, "effective": CAPS, "permitted": CAPS},
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1000}],
        "noNewPrivileges": True,
    },
    "root": {"path": "rootfs", "readonly": False},
    "hostname": "bed",
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
        },
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        },
        {
            "destination": "/dev/shm",
            "type": "tmpfs",
            "source": "shm",
            "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        },
        {
            "destination": "/dev/mqueue",
            "type": "mqueue",
            "source": "mqueue",
            "options": ["nosuid", "noexec", "nodev"],
        },
        {
            "destination": "/sys",
            "type": "sysfs",
            "source": "sysfs",
            "options": ["nosuid", "noexec", "nodev", "ro"],
        },
    ],
    "linux": {
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        "namespaces": [{"type": t} for t in ("pid", "network", "ipc", "uts", "mount")],
        "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"],
    },
}


class Bed:
    """A directory with a bundle in it; runs the runtime under test, or a peer."""

    def __init__(self, runtime=None):
        if not os.path.exists(BUSYBOX):
            raise Skip("no " + BUSYBOX)
        self.dir = tempfile.mkdtemp(prefix="cribox-oci-")
        self.root = os.path.join(self.dir, "state")
        self.bundle = os.path.join(self.dir, "bundle")
        self.rootfs = os.path.join(self.bundle, "rootfs")
        self.runtime = runtime or [CRIBOX, "oci"]
        self.ids = []
        self.make_rootfs()

    def make_rootfs(self):
        for d in "bin proc sys dev etc tmp root".split():
            os.makedirs(os.path.join(self.rootfs, d))
        os.chmod(os.path.join(self.rootfs, "tmp"), 0o1777)
        shutil.copy(BUSYBOX, os.path.join(self.rootfs, "bin/busybox"))
        for a in APPLETS:
            os.symlink("busybox", os.path.join(self.rootfs, "bin", a))
        self.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/tmp:/bin/sh\n")
        self.write("etc/group", "root:x:0:\napps:x:1001:\nvideo:x:44:app\n")

    def write(self, path, text, mode=0o644):
        path = os.path.join(self.rootfs, path)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)

    def config(self, *args, **changes):
        """A copy of the configuration with these arguments; changes are of "process"."""
        c = copy.deepcopy(CONFIG)
        if args:
            c["process"]["args"] = list(args)
        c["process"].update(changes)
        return c

    def use(self, config):
        """Makes it the bundle's; its cgroup is this bed's own, for tests may run side by side."""
        config["linux"].setdefault("cgroupsPath", "/%s/c" % os.path.basename(self.dir))
        with open(os.path.join(self.bundle, "config.json"), "w") as f:
            json.dump(config, f)

    def call(self, *args, **options):
        """Runs the runtime; returns what subprocess.run does."""
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        options.setdefault("timeout", 60)
        command = self.runtime + ["--root", self.root] + list(args)
        return subprocess.run(command, text=True, **options)

    def run(self, config, id="c", **options):
        """Runs a container in the foreground."""
        self.use(config)
        self.ids.append(id)
        return self.call("run", "--bundle", self.bundle, id, **options)

    def output(self, config, **options):
        """The same; it must succeed. Returns what it wrote."""
        done = self.run(config, **options)
        if done.returncode != 0:
            raise AssertionError("status %d: %s" % (done.returncode, done.stdout + done.stderr))
        return done.stdout

    def background(self, config, id="c"):
        """A running container that the test works on."""
        self.use(config)
        self.ids.append(id)
        null = subprocess.DEVNULL
        with tempfile.TemporaryFile("w+") as said:  # not a pipe: the container keeps it
            done = self.call("run", "-d", "-b", self.bundle, id, stdout=null, stderr=said)
            if done.returncode != 0:
                said.seek(0)
                raise AssertionError("run -d: " + said.read())

    def state(self, id="c"):
        return json.loads(self.call("state", id).stdout)

    def leftovers(self):
        """Names of states and cgroups that are still there."""
        names = os.listdir(self.root) if os.path.isdir(self.root) else []
        found = [n for n in names if n[0] != "."]
        for id in set(self.ids):
            for top, dirs, _ in os.walk("/sys/fs/cgroup"):
                if top.count("/") > 8:
                    dirs[:] = []
                mine = os.path.basename(self.dir) in top or "/cribox-it" in top
                found += [os.path.join(top, d) for d in dirs if mine and d == "c"]
        return found

    def close(self):
        for id in set(self.ids):
            self.call("delete", "-f", id)
        for top in ("/sys/fs/cgroup",) + tuple(e.path for e in os.scandir("/sys/fs/cgroup") if e.is_dir()):
            path = os.path.join(top, os.path.basename(self.dir))
            if os.path.isdir(path):
                os.rmdir(path)
        shutil.rmtree(self.dir, ignore_errors=True)


def with_bed(fn):
    """A test of a bed of its own, that leaves nothing behind."""

    def test(_):
        bed = Bed()
        try:
            fn(bed)
            for id in set(bed.ids):
                bed.call("delete", "-f", id)
            equal(bed.leftovers(), [], "what is left behind")
        finally:
            bed.close()

    test.__name__ = fn.__name__
    return test
