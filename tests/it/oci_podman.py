#!/usr/bin/python3
"""podman with our binary as its runtime, as root and as an ordinary user; buildah builds.

The images are made from busybox; nothing comes from a network. The users are those of a
private /etc, the cgroups of a parent of our own.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
from frame import CRIBOX, Skip, equal, holds, sh, until  # noqa: E402
from ocibed import APPLETS, BUSYBOX  # noqa: E402

USER, UID, SUB = "cribox-it", 47113, 4711300000 % 2**31
POLICY = {"default": [{"type": "insecureAcceptAnything"}]}


class Podman:
    """One user's podman: all of its directories below one of ours."""

    def __init__(self, top, name, rootless):
        self.rootless = rootless
        self.dir = os.path.join(top, "user" if rootless else "root")
        self.parent = "/" + os.path.basename(top)
        for d in ("bin", "home", "xdg", "tmp"):
            os.makedirs(os.path.join(self.dir, d))
        self.runtime = os.path.join(self.dir, "bin", name)
        # podman tells runtimes apart by name; what is a user's must be where he can read
        if rootless:
            shutil.copy(CRIBOX, self.runtime)
            sh("chown", "-R", "%d:%d" % (UID, UID), self.dir)
        else:
            os.symlink(CRIBOX, self.runtime)
        os.chmod(os.path.join(self.dir, "xdg"), 0o700)
        at = lambda d: os.path.join(self.dir, d)
        self.flags = ["--root", at("home/store"), "--runroot", at("xdg/run"), "--tmpdir", at("tmp/p")]
        self.flags += ["--cgroup-manager=cgroupfs", "--events-backend=file", "--storage-driver=vfs"]
        self.env = {"PATH": os.environ["PATH"], "HOME": at("home"), "TMPDIR": at("tmp")}
        self.env.update(XDG_RUNTIME_DIR=at("xdg"), BUILDAH_ISOLATION="oci", BUILDAH_RUNTIME=self.runtime)

    def spawn(self, command, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        if self.rootless:
            who = ["setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups"]
            command = who + command
        return subprocess.run(
            command, env=self.env, cwd=self.dir, text=True, timeout=90, **options
        )

    def call(self, *args, **options):
        return self.spawn(
            ["podman"] + self.flags + ["--runtime", self.runtime] + list(args), **options
        )

    def must(self, *args, **options):
        done = self.call(*args, **options)
        if done.returncode != 0:
            raise AssertionError("podman %s: %d: %s" % (" ".join(args), done.returncode, done.stderr))
        return done.stdout.strip()

    def run(self, *args, **options):
        """run, without a network: there is none."""
        return self.call("run", "--network=none", *self.group(), *args, **options)

    def group(self):
        return [] if self.rootless else ["--cgroup-parent", self.parent]


def make_image(top):
    root = os.path.join(top, "image")
    for d in "bin proc sys dev etc tmp".split():
        os.makedirs(os.path.join(root, d))
    os.chmod(os.path.join(root, "tmp"), 0o1777)
    shutil.copy(BUSYBOX, os.path.join(root, "bin/busybox"))
    for a in APPLETS:
        os.symlink("busybox", os.path.join(root, "bin", a))
    with open(os.path.join(root, "etc/passwd"), "w") as f:
        f.write("root:x:0:0:root:/:/bin/sh\napp:x:1000:1001::/tmp:/bin/sh\n")
    with open(os.path.join(root, "etc/group"), "w") as f:
        f.write("root:x:0:\napps:x:1001:\n")
    with open(os.path.join(root, "noexec"), "w") as f:
        f.write("x")
    tar = os.path.join(top, "image.tar")
    sh("tar", "-C", root, "--owner=0", "--group=0", "-cf", tar, ".")
    return tar


def private_etc(top):
    """Files of /etc with one more user, for this mount namespace alone."""
    lines = {
        "passwd": "%s:x:%d:%d::/:/bin/sh\n" % (USER, UID, UID),
        "group": "%s:x:%d:\n" % (USER, UID),
        "subuid": "%s:%d:65536\n" % (USER, SUB),
        "subgid": "%s:%d:65536\n" % (USER, SUB),
    }
    for name, line in lines.items():
        path = os.path.join(top, "etc." + name)
        with open("/etc/" + name) as f:
            text = f.read()
        with open(path, "w") as f:
            f.write(text + line)
        os.chmod(path, 0o644)
        sh("mount", "--bind", path, "/etc/" + name)


# --- the tests, each for both users ---------------------------------------------------------


def test_run(p):
    done = p.run("--rm", "it", "sh", "-c", "echo out; echo err >&2; id -u; exit 7")
    equal((done.stdout, done.stderr, done.returncode), ("out\n0\n", "err\n", 7))
    equal(p.run("--rm", "-i", "it", "cat", input="hello", stdin=None).stdout, "hello")
    equal(p.run("--rm", "--user", "app", "it", "sh", "-c", "id -u; id -g").stdout.split(), ["1000", "1001"])
    equal(p.run("--rm", "--hostname", "here", "-e", "A=b c", "it", "sh", "-c", "hostname; echo $A").stdout, "here\nb c\n")
    done = p.run("--rm", "--read-only", "--cap-drop", "all", "it", "sh", "-c", "touch /x; grep CapEff /proc/self/status")
    holds(done.stderr, "Read-only")
    holds(done.stdout, "0000000000000000")
    equal(p.run("--rm", "it", "sh", "-c", "kill -9 $$").returncode in (0, 137), True)


def test_statuses(p):
    for args, status in ((["nosuch"], 127), (["/nosuch/x"], 127), (["/noexec"], 126), (["/etc"], 126)):
        done = p.run("--rm", "it", *args)
        equal(done.returncode, status, "status of %s (%s)" % (args, done.stderr.strip()))


def test_life(p):
    p.must("run", "--network=none", *p.group(), "-d", "--name", "life", "it", "sh", "-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done")
    until(lambda: p.call("logs", "life").stdout == "ready\n", 10, "the container's log")
    holds(p.must("ps", "--format", "{{.Names}} {{.Status}}"), "life Up")
    holds(p.must("top", "life"), "sh -c")
    equal(p.must("exec", "life", "sh", "-c", "echo in; id -u"), "in\n0")
    done = p.call("exec", "-u", "app", "-w", "/tmp", "-e", "X=1", "life", "sh", "-c", "pwd; id -u; echo $X; exit 9")
    equal((done.stdout.split(), done.returncode), (["/tmp", "1000", "1"], 9))
    equal(p.call("exec", "life", "nosuch").returncode, 127)
    p.must("exec", "-d", "life", "sh", "-c", "echo x >/tmp/detached")
    until(lambda: p.call("exec", "life", "cat", "/tmp/detached").stdout == "x\n", 10, "a detached exec")
    p.must("stop", "-t", "5", "life")
    equal(p.must("inspect", "life", "--format", "{{.State.Status}} {{.State.ExitCode}}"), "exited 3")
    p.must("start", "life")
    equal(p.must("inspect", "life", "--format", "{{.State.Status}}"), "running")
    p.must("kill", "-s", "KILL", "life")
    equal(p.must("wait", "life"), "137")
    p.must("start", "life")
    p.must("rm", "-f", "-t", "0", "life")
    equal(p.must("ps", "-aq"), "")


def test_pause_stats_limits(p):
    if p.rootless:
        raise Skip("no rights to cgroups")
    p.must("run", "--network=none", *p.group(), "-d", "--name", "lim", "--memory", "64m", "--pids-limit", "50", "--cpu-shares", "512", "--cpus", "0.5", "it", "sleep", "100")
    group = p.parent + "/libpod-" + p.must("inspect", "lim", "--format", "{{.Id}}")
    read = lambda f: open("/sys/fs/cgroup/" + f.replace("/", group + "/", 1)).read().strip()
    equal(read("memory/memory.limit_in_bytes"), str(64 << 20))
    equal(read("pids/pids.max"), "50")
    equal(read("cpu/cpu.shares"), "512")
    equal(read("cpu/cpu.cfs_quota_us"), "50000")
    stats = json.loads(p.must("stats", "--no-stream", "--format", "json", "lim"))
    equal(stats[0]["name"], "lim")
    holds(stats[0]["mem_usage"], "67.11MB")
    p.must("update", "--memory", "96m", "--cpu-shares", "256", "lim")
    equal(read("memory/memory.limit_in_bytes"), str(96 << 20))
    equal(read("cpu/cpu.shares"), "256")
    equal(read("pids/pids.max"), "50")
    p.must("pause", "lim")
    equal(p.must("inspect", "lim", "--format", "{{.State.Status}}"), "paused")
    equal(read("freezer/freezer.state"), "FROZEN")
    p.must("unpause", "lim")
    equal(p.must("exec", "lim", "sh", "-c", "echo awake"), "awake")
    p.must("pause", "lim")
    p.must("rm", "-f", "-t", "0", "lim")
    equal([d for d in os.listdir("/sys/fs/cgroup/memory" + p.parent) if d.startswith("libpod")], [])


def test_terminal(p):
    script = "import pty,sys;sys.exit(pty.spawn(sys.argv[1:])>>8)"
    podman = ["podman"] + p.flags + ["--runtime", p.runtime]
    args = ["run", "--rm", "-it", "--network=none"] + p.group() + ["it", "sh", "-c", "tty; stty size; exit 4"]
    done = p.spawn(["/usr/bin/python3", "-c", script] + podman + args)
    equal(done.returncode, 4, "status (%s)" % done.stdout)
    holds(done.stdout, "/dev/pts/0")
    p.must("run", "--network=none", *p.group(), "-dt", "--name", "tty", "it", "sleep", "100")
    done = p.spawn(["/usr/bin/python3", "-c", script] + podman + ["exec", "-it", "tty", "sh", "-c", "tty; exit 5"])
    equal(done.returncode, 5, "status (%s)" % done.stdout)
    holds(done.stdout, "/dev/pts/1")
    p.must("rm", "-f", "-t", "0", "tty")


def test_volumes_and_pods(p):
    volume = os.path.join(p.dir, "home", "volume")
    p.spawn(["mkdir", volume])
    equal(p.run("--rm", "-v", volume + ":/data", "--tmpfs", "/scratch", "it", "sh", "-c", "echo v >/data/f; grep -c scratch /proc/mounts").stdout, "1\n")
    equal(open(volume + "/f").read(), "v\n")
    p.must("run", "--network=none", *p.group(), "-d", "--name", "one", "it", "sleep", "100")
    pid = p.run("--rm", "--pid", "container:one", "--ipc", "container:one", "it", "ps").stdout
    holds(pid, "sleep 100")
    p.must("rm", "-f", "-t", "0", "one")


def test_build(p):
    context = os.path.join(p.dir, "home", "context")
    p.spawn(["mkdir", context])
    with open(context + "/Containerfile", "w") as f:
        f.write("FROM localhost/it\nENV WHO=builder\nRUN echo made by $WHO >/made && test -d /proc/self\n")
        f.write("USER app\nRUN id -u >/tmp/who\nCMD [\"cat\", \"/made\", \"/tmp/who\"]\n")
    os.chmod(context + "/Containerfile", 0o644)
    out = p.must("build", "--network=none", "--isolation=oci", "-t", "built", context)
    holds(out, "COMMIT built")
    equal(p.run("--rm", "built").stdout, "made by builder\n1000\n")
    policy = ["--signature-policy", os.path.join(p.dir, "..", "policy.json")]
    storage = p.flags[:4] + ["--storage-driver", "vfs"]
    done = p.spawn(["buildah"] + storage + ["bud"] + policy + ["--network=none", "--isolation=oci", "--runtime", p.runtime, "-t", "bud", context])
    equal(done.returncode, 0, "status of buildah (%s)" % done.stderr[-400:])
    equal(p.run("--rm", "bud").stdout, "made by builder\n1000\n")


TESTS = [test_run, test_statuses, test_life, test_pause_stats_limits, test_terminal, test_volumes_and_pods, test_build]


def with_podman(fn, p):
    def test(_):
        fn(p)

    test.__name__ = fn.__name__ + ("_rootless" if p.rootless else "_root")
    return test


def remove_groups(top):
    """The groups of podman's own processes stay when it ends."""
    for tree in os.scandir("/sys/fs/cgroup"):
        for path, _, _ in os.walk(os.path.join(tree.path, top), topdown=False):
            try:
                os.rmdir(path)
            except OSError:
                pass


def main():
    for tool in ("podman", "conmon", "buildah", "newuidmap"):
        if not shutil.which(tool):
            print("skip podman: no " + tool)
            return 0
    top = tempfile.mkdtemp(prefix="cribox-podman-")
    os.chmod(top, 0o755)
    with open(os.path.join(top, "policy.json"), "w") as f:
        json.dump(POLICY, f)
    bad = 0
    try:
        private_etc(top)
        tar = make_image(top)
        for rootless, name in ((False, "crun"), (True, "runc")):
            p = Podman(top, name, rootless)
            p.must("import", tar, "it")
            bad += frame.run([with_podman(t, p) for t in TESTS])
            p.call("rm", "-fa", "-t", "0")
    finally:
        remove_groups(os.path.basename(top))
        shutil.rmtree(top, ignore_errors=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
