#!/usr/bin/python3
"""Images and programs that mean harm to the OCI runtime: the known attacks of its kind.

The names in the docstrings are those of the vulnerabilities in other runtimes.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
from frame import CRIBOX, equal, holds  # noqa: E402
from ocibed import Bed  # noqa: E402


def canary(bed):
    """A directory of the host that nothing may change."""
    path = os.path.join(bed.dir, "canary")
    os.mkdir(path)
    for name in ("ptmx", "null", "file"):
        open(os.path.join(path, name), "w").write("host")
    return path


def snapshot(path):
    found = {}
    for top, dirs, files in os.walk(path):
        for n in dirs + files:
            st = os.lstat(os.path.join(top, n))
            found[os.path.join(top, n)] = (st.st_mode, st.st_size, st.st_mtime_ns, st.st_rdev)
    return found


def with_bed(fn):
    def test(_):
        bed = Bed()
        try:
            fn(bed)
            equal(bed.leftovers(), [], "what is left behind")
        finally:
            bed.close()

    test.__name__ = fn.__name__
    return test


def test_links_in_place_of_system_directories(bed):
    """CVE-2019-19921, CVE-2023-27561, CVE-2026-41579, CVE-2026-47766."""
    path = canary(bed)
    before = snapshot(path)
    rel = os.path.relpath(path, bed.rootfs)
    for name in ("proc", "sys", "dev"):
        for target in (path, rel, "/tmp", "bad-" + name):
            place = os.path.join(bed.rootfs, name)
            os.makedirs(os.path.join(bed.rootfs, "bad-" + name), exist_ok=True)
            os.rmdir(place)
            os.symlink(target, place)
            for verb in ("run", "create"):
                bed.use(bed.config("true"))
                done = bed.call(verb, "-b", bed.bundle, "c")
                equal(done.returncode, 1, "%s with /%s -> %s" % (verb, name, target))
                holds(done.stderr, "/%s of the image is not a plain directory" % name)
            equal(snapshot(path), before, "the host's directory")
            equal(os.listdir(os.path.join(bed.rootfs, "tmp")), [], "the image's /tmp")
            os.unlink(place)
            os.mkdir(place)


def test_device_links_of_the_image(bed):
    """CVE-2025-31133: /dev/null of the image (a bind mount as /dev) is not what masks show."""
    path = canary(bed)
    dev = os.path.join(bed.dir, "dev")
    os.mkdir(dev)
    os.symlink("/proc/sys/kernel/core_pattern", os.path.join(dev, "null"))
    c = bed.config("sh", "-c", "wc -c < /proc/keys; grep -c ' /proc/keys ' /proc/self/mountinfo")
    c["mounts"] = [m for m in c["mounts"] if not m["destination"].startswith("/dev")]
    c["mounts"].append({"destination": "/dev", "type": "bind", "source": dev, "options": ["bind"]})
    equal(bed.output(c).split(), ["0", "1"])
    del path


def test_mount_targets_through_links(bed):
    """CVE-2021-30465 and its kind: a target's links stay inside the root."""
    path = canary(bed)
    before = snapshot(path)
    os.symlink(path, os.path.join(bed.rootfs, "abs"))
    os.symlink("../" * 30 + path[1:], os.path.join(bed.rootfs, "up"))
    src = os.path.join(bed.dir, "src")
    os.mkdir(src)
    open(os.path.join(src, "mine"), "w").close()
    for name in ("abs", "up"):
        c = bed.config("sh", "-c", "ls /%s/deep" % name)
        m = {"type": "bind", "source": src, "options": ["bind"]}
        c["mounts"].append(dict(m, destination="/%s/deep" % name))
        equal(bed.output(c).split(), ["mine"])
        equal(snapshot(path), before, "the host's directory")


def test_no_fd_of_the_host(bed):
    """CVE-2015-3627, CVE-2024-21626: nothing open but stdio, and none of it outside."""
    def fds(pid):
        return sorted(os.listdir("/proc/%s/fd" % pid), key=int)

    # what our own caller leaves open is not passed on, either
    with open("/etc/passwd") as leak:
        os.set_inheritable(leak.fileno(), True)
        bed.use(bed.config("sleep", "100"))
        bed.ids.append("c")
        null = subprocess.DEVNULL
        run = ("run", "-d", "-b", bed.bundle, "c")
        equal(bed.call(*run, stdout=null, stderr=null, close_fds=False).returncode, 0)
        equal(fds(bed.state()["pid"]), ["0", "1", "2"], "fds of init")
        pid_file = os.path.join(bed.dir, "pid")
        run = ("exec", "-d", "--pid-file", pid_file, "c", "sleep", "100")
        equal(bed.call(*run, stdout=null, stderr=null, close_fds=False).returncode, 0)
        equal(fds(open(pid_file).read()), ["0", "1", "2"], "fds of an exec")
        run = ("exec", "-d", "--preserve-fds", "1", "--pid-file", pid_file, "c", "sleep", "100")
        os.dup2(leak.fileno(), 3)
        options = {"stdout": null, "stderr": null, "pass_fds": [3]}
        equal(bed.call(*run, **options).returncode, 0)
        equal(fds(open(pid_file).read()), ["0", "1", "2", "3"], "fds with one preserved")
        if leak.fileno() != 3:
            os.close(3)
    equal(bed.call("delete", "-f", "c").returncode, 0)


def test_working_directory_outside(bed):
    """CVE-2024-21626: the working directory is one of our own fds."""
    for fd in list(range(3, 24)):
        c = bed.config("cat", "../../../../../../etc/passwd", cwd="/proc/self/fd/%d" % fd)
        done = bed.run(c)
        if done.returncode == 0:  # one of the container's own mounts
            holds(done.stdout, "app:x:1000:1001::/tmp:/bin/sh", "passwd at the top")
    os.symlink("/proc/self/fd/7/../../..", os.path.join(bed.rootfs, "way"))
    done = bed.run(bed.config("sh", "-c", "pwd", cwd="/way"))
    equal(done.returncode, 1)
    bed.background(bed.config("sleep", "100"))
    for fd in range(3, 24):
        done = bed.call("exec", "--cwd", "/proc/self/fd/%d" % fd, "c", "pwd")
        equal(done.returncode, 255, "exec in fd %d: %s" % (fd, done.stdout))
    equal(bed.call("delete", "-f", "c").returncode, 0)


ATTACK = r"""
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
for p in /proc/[0-9]*; do
	case $(readlink $p/exe) in
	/bin/busybox | "") ;;
	*) echo SEEN; (echo x >> $p/exe) 2>/dev/null && echo WRITTEN ;;
	esac
	ls $p/fd >/dev/null 2>&1 || echo HIDDEN
done; done
echo done
"""


def test_our_binary_is_not_written(bed):
    """CVE-2019-5736: #!/proc/self/exe as entry point, and writes to /proc/PID/exe."""
    target = os.path.join(bed.dir, "cribox")
    shutil.copy(CRIBOX, target)
    digest = hashlib.sha256(open(target, "rb").read()).hexdigest()
    bed.runtime = [target, "oci"]
    bed.write("entry", "#!/proc/self/exe\n", 0o755)
    done = bed.run(bed.config("/entry"))
    # what runs now, if anything, is our own program without an applet of this name
    equal(done.returncode != 0, True, "status of #!/proc/self/exe")
    c = bed.config("sh", "-c", ATTACK)
    for s in c["process"]["capabilities"].values():
        s += ["CAP_DAC_OVERRIDE", "CAP_SETUID", "CAP_FOWNER", "CAP_CHOWN"]
    out = os.path.join(bed.dir, "out")
    bed.use(c)
    bed.ids.append("c")
    with open(out, "w") as f:
        bed.call("run", "-d", "-b", bed.bundle, "c", stdout=f, stderr=f)
    end = time.monotonic() + 4
    while time.monotonic() < end and "done" not in open(out).read():
        bed.call("exec", "c", "true")
    text = open(out).read()
    equal("WRITTEN" in text, False, "our binary was opened for writing")
    equal(hashlib.sha256(open(target, "rb").read()).hexdigest(), digest, "our binary")
    equal(bed.call("delete", "-f", "c").returncode, 0)


def test_our_processes_cannot_be_looked_into(bed):
    """CVE-2016-9962: with CAP_SYS_PTRACE, too, our fds and memory are not for the container."""
    c = bed.config("sh", "-c", "while true; do for p in /proc/[0-9]*; do "
                   "for f in $p/fd/*; do readlink $f; done; done; done 2>/dev/null")
    for s in c["process"]["capabilities"].values():
        s.append("CAP_SYS_PTRACE")
    out = os.path.join(bed.dir, "out")
    bed.use(c)
    bed.ids.append("c")
    with open(out, "w") as f:
        bed.call("run", "-d", "-b", bed.bundle, "c", stdout=f, stderr=f)
    end = time.monotonic() + 3
    n = 0
    while time.monotonic() < end:
        equal(bed.call("exec", "c", "true").returncode, 0)
        n += 1
    equal(bed.call("delete", "-f", "c").returncode, 0)
    host = [l for l in set(open(out).read().split("\n")) if bed.root in l or l.startswith("/sys/fs/cgroup")]
    equal(host, [], "files of the host that were seen during %d execs" % n)


def test_inheritable_capabilities_are_empty(bed):
    """CVE-2022-29162, CVE-2022-27650."""
    bed.background(bed.config("sleep", "100"))
    for pid in ("1", "self"):
        out = bed.call("exec", "c", "grep", "CapInh", "/proc/%s/status" % pid).stdout
        holds(out, "0000000000000000")
    equal(bed.call("delete", "-f", "c").returncode, 0)


def test_cgroup_paths_stay_below(bed):
    for path in ("/../../x", "a/../../../x", "/cribox-it/.."):
        c = bed.config("true")
        c["linux"]["cgroupsPath"] = path
        done = bed.run(c)
        equal(done.returncode, 1, "status for " + path)
        holds(done.stderr, "..")


def test_sysctls_of_the_host(bed):
    """CVE-2025-52881: only what lies in the container's own namespaces."""
    before = open("/proc/sys/kernel/core_pattern").read()
    for key in ("kernel.core_pattern", "kernel/core_pattern", "net/../kernel/core_pattern", "vm.swappiness"):
        c = bed.config("true")
        c["linux"]["sysctl"] = {key: "|/x"}
        equal(bed.run(c).returncode, 1, "status for " + key)
    equal(open("/proc/sys/kernel/core_pattern").read(), before, "core_pattern")
    c = bed.config("cat", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/shmmni")
    c["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.shmmni": "99"}
    equal(bed.output(c).split(), ["1", "99"])


def test_hostile_passwd(bed):
    os.unlink(os.path.join(bed.rootfs, "etc/passwd"))
    os.mkfifo(os.path.join(bed.rootfs, "etc/passwd"))
    equal(bed.output(bed.config("sh", "-c", "echo $HOME"), timeout=10), "/\n")


TESTS = [f for n, f in sorted(globals().items()) if n.startswith("test_")]
sys.exit(1 if frame.run([with_bed(f) for f in TESTS]) else 0)
