#!/usr/bin/python3
"""Images and programs that mean harm to the OCI runtime: the known attacks of its kind.

The names in the docstrings are those of the vulnerabilities in other runtimes.
"""

import copy
import hashlib
import os
import shutil
import socket
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
                holds(done.stderr, "/%s must be mounted on ordinary directory" % name)
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
        high = os.dup2(leak.fileno(), 40)  # low ones may be taken by what comes after them
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
        options = {"stdout": null, "stderr": null, "pass_fds": [3, high]}
        equal(bed.call(*run, **options).returncode, 0)
        equal(fds(open(pid_file).read()), ["0", "1", "2", "3"], "fds with one preserved")
        os.close(high)
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


# A running program cannot be opened for writing; a copy of its fd can, once it has ended.
ATTACK = r"""
for p in /proc/[0-9]*; do
	case $(readlink $p/exe) in
	/bin/busybox | "") ;;
	*)
		echo SEEN
		(echo x >> $p/exe) 2>/dev/null && echo WRITTEN
		(
			kill -9 ${p#/proc/}
			for i in 1 2 3 4 5 6 7 8; do
				sleep 0.1
				(echo x >> /proc/self/fd/9) 2>/dev/null && echo WRITTEN
			done
		) 9<$p/exe
		;;
	esac
done
echo done
"""


def test_our_binary_is_not_written(bed):
    """CVE-2019-5736: #!/proc/self/exe is what is started, and its file is written to."""
    target = os.path.join(bed.dir, "cribox")
    shutil.copy(CRIBOX, target)
    digest = hashlib.sha256(open(target, "rb").read()).hexdigest()
    bed.runtime = [target, "oci"]
    bed.write("entry", "#!/proc/self/exe\n", 0o755)
    done = bed.run(bed.config("/entry"))
    # what runs now, if anything, is our own program without an applet of this name
    equal(done.returncode != 0, True, "status of #!/proc/self/exe")
    c = bed.config("sleep", "100")
    for s in c["process"]["capabilities"].values():
        s += ["CAP_DAC_OVERRIDE", "CAP_SYS_PTRACE"]
    bed.background(c)
    # it hangs on its way to say so, for it writes to a pipe that is full
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, bytes(4096))
    except BlockingIOError:
        os.set_blocking(writer, True)
    command = bed.runtime + ["--root", bed.root, "exec", "c", "/entry"]
    ours = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=writer, stderr=writer)
    running = lambda: "/proc/self/exe" in bed.call("exec", "c", "ps").stdout  # noqa: E731
    frame.until(running, 10, "our binary runs inside")
    with open(os.path.join(bed.dir, "out"), "w+") as out:
        # in the background: while a process of ours runs from the file, it cannot be written
        done = bed.call("exec", "-d", "c", "sh", "-c", ATTACK, stdout=out, stderr=out)
        equal(done.returncode, 0)
        equal(ours.wait(10), 137, "status of what was killed")
        frame.until(lambda: "done" in open(out.name).read(), 10, "the attack is over")
        equal(open(out.name).read().split(), ["SEEN", "done"], "what was seen and done")
    os.close(reader)
    os.close(writer)
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


def receive_fd(listener):
    conn, _ = listener.accept()
    _, fds, _, _ = socket.recv_fds(conn, 256, 1)
    conn.close()
    return fds[0]


def test_terminal_in_a_hostile_dev(bed):
    """CVE-2025-52565: what /dev/pts, /dev/console and /dev/ptmx of the image point to."""
    path = canary(bed)
    for mounted in (True, False):  # with a devpts of its own, and without any
        dev = os.path.join(bed.dir, "dev-%s" % mounted)
        os.mkdir(dev)
        for name in ("console", "ptmx", "tty", "null"):
            os.symlink(os.path.join(path, "file"), os.path.join(dev, name))
        os.symlink(path, os.path.join(dev, "pts"))
        before = snapshot(path)
        c = bed.config("sh", "-c", "ls -l /dev/console | cut -c1; sleep 100", terminal=True)
        keep = ("/dev/pts",) if mounted else ()
        c["mounts"] = [
            m for m in c["mounts"] if not m["destination"].startswith("/dev") or m["destination"] in keep
        ]
        c["mounts"].insert(0, {"destination": "/dev", "type": "bind", "source": dev, "options": ["bind"]})
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(os.path.join(bed.dir, "console-%s" % mounted))
        listener.listen(1)
        listener.settimeout(5)
        bed.use(c)
        bed.ids.append("c")
        null = subprocess.DEVNULL
        create = ("create", "-b", bed.bundle, "--console-socket", listener.getsockname(), "c")
        if bed.call(*create, stdout=null, stderr=null).returncode == 0:
            master = receive_fd(listener)
            equal(os.major(os.fstat(master).st_rdev) in (5, 128), True, "the master is a terminal")
            equal(bed.call("start", "c").returncode, 0)
            equal(os.read(master, 100).decode()[:1], "c", "the type of /dev/console")
            os.close(master)
        listener.close()
        equal(bed.call("delete", "-f", "c").returncode, 0)
        equal(snapshot(path), before, "the host's directory")


def test_a_false_proc_of_the_image(bed):
    """CVE-2019-16884, CVE-2025-52881: what we write to /proc is not written to a copy."""
    fake = os.path.join(bed.dir, "proc")
    for name in ("sys/net/ipv4/ip_forward", "self/attr/exec", "self/attr/apparmor/exec", "self/oom_score_adj"):
        os.makedirs(os.path.dirname(os.path.join(fake, name)), exist_ok=True)
        open(os.path.join(fake, name), "w").write("fake")
    before = snapshot(fake)
    # what shows the sysctl is a procfs beside the false one
    c = bed.config("cat", "/real/sys/net/ipv4/ip_forward")
    for m in c["mounts"]:
        if m["destination"] == "/proc":
            m.update(type="bind", source=fake, options=["bind"])
    c["mounts"].append({"destination": "/real", "type": "proc", "source": "proc"})
    c["linux"]["maskedPaths"] = c["linux"]["readonlyPaths"] = []
    c["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
    c["process"]["oomScoreAdj"] = 500
    done = bed.run(c)
    equal(done.returncode, 1, "status with a false /proc: %r" % done)
    holds(done.stderr, "not of type proc")
    # where it is not /proc, nothing of ours goes there either
    for m in c["mounts"]:
        if m["destination"] == "/proc":
            m["destination"] = "/fake"
    c["mounts"].insert(0, {"destination": "/proc", "type": "proc", "source": "proc"})
    equal(bed.output(c), "1\n")
    for label in ("apparmorProfile", "selinuxLabel"):
        c = copy.deepcopy(c)
        c["process"][label] = "cribox-none"
        equal(bed.run(c).returncode, 1, "status with the label of a profile that is not there")
    equal(snapshot(fake), before, "the false /proc")


def test_nothing_covers_proc(bed):
    """CVE-2015-3629, CVE-2015-3631: volumes over what /proc says, by name and through links."""
    src = os.path.join(bed.dir, "src")
    os.mkdir(src)
    open(os.path.join(bed.dir, "file"), "w").write("mine")
    os.symlink("/proc/sys", os.path.join(bed.rootfs, "way"))
    for path in ("/proc/sys", "/proc/sys/kernel", "/proc/1", "/proc/self/attr", "/proc/../proc/sys", "/way", "//proc//sys/"):
        for mount in ({"type": "bind", "source": src, "options": ["bind"]}, {"type": "tmpfs", "source": "x"}):
            c = bed.config("true")
            c["mounts"].append(dict(mount, destination=path))
            done = bed.run(c)
            equal(done.returncode, 1, "status of a %s over %s: %r" % (mount["type"], path, done.stderr))
    c = bed.config("cat", "/proc/meminfo")
    file = {"type": "bind", "source": os.path.join(bed.dir, "file"), "options": ["bind"]}
    c["mounts"].append(dict(file, destination="/proc/meminfo"))
    equal(bed.output(c), "mine")


def test_names_of_digits(bed):
    """CVE-2016-3697: a user of the image whose name is a number."""
    bed.write("etc/passwd", "31337:x:0:0:root:/root:/bin/sh\n")
    bed.background(bed.config("sleep", "100"))
    equal(bed.call("exec", "-u", "31337", "c", "id", "-u").stdout, "31337\n")
    equal(bed.call("delete", "-f", "c").returncode, 0)


def test_chains_of_links(bed):
    """CVE-2019-18837: links to links, and back up through the last.

    The kernel's limit is 40, but a lookup that it has to begin anew counts them twice.
    """
    path = canary(bed)
    before = snapshot(path)
    for n, last in ((13, "/../../.." + path), (13, "../../../../../../.." + path), (60, "/etc")):
        for i in range(n):
            place = os.path.join(bed.rootfs, "l%d" % i)
            if os.path.lexists(place):
                os.unlink(place)
            os.symlink("l%d" % (i + 1) if i < n - 1 else last, place)
        c = bed.config("sh", "-c", "ls /l0/made; cat /proc/self/mountinfo | grep -c ' ro,.* tmpfs chain'")
        c["mounts"].append(
            {"destination": "/l0/made", "type": "tmpfs", "source": "chain", "options": ["ro", "size=4k"]}
        )
        done = bed.run(c)
        equal(done.returncode, 1 if n > 13 else 0, "status with %d links: %s" % (n, done.stderr))
        equal(done.stdout.strip(), "" if n > 13 else "1")
        equal("Too many levels of symbolic links" in done.stderr or "Symbolic link loop" in done.stderr, n > 13)
        equal(snapshot(path), before, "the host's directory")


def test_many_id_mappings(bed):
    """CVE-2021-43784: more mappings than a message's length can say."""
    c = bed.config("cat", "/proc/self/uid_map")
    c["linux"]["namespaces"].append({"type": "user"})
    one = [{"containerID": i, "hostID": 1000 + 2 * i, "size": 1} for i in range(70000)]
    c["linux"]["uidMappings"], c["linux"]["gidMappings"] = one, one[:1]
    done = bed.run(c)
    equal((done.returncode, len(done.stderr.splitlines())), (1, 1), "70000 mappings: " + done.stderr[:200])
    holds(done.stderr, "uidMappings")
    c["linux"]["uidMappings"] = c["linux"]["gidMappings"] = one[:340]
    for m in c["mounts"]:  # a group that is not mapped
        m["options"] = [o for o in m.get("options", []) if not o.startswith("gid=")]
    equal(len(bed.output(c).splitlines()), 340, "mappings")


def test_no_rights_beyond_the_user(bed):
    """CVE-2016-8867, CVE-2023-27561's kin: no ambient capabilities for a user that is not root."""
    c = bed.config("sleep", "100", user={"uid": 1000, "gid": 1000, "additionalGids": [44]})
    bed.background(c)
    for args in (["cat", "/proc/1/status"], ["cat", "/proc/self/status"]):
        status = bed.call("exec", "c", *args).stdout
        lines = dict(l.split(":\t", 1) for l in status.splitlines() if ":\t" in l)
        for key in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            equal(lines[key], "0" * 16, "%s of %s" % (key, args))
        equal(lines["Uid"].split(), ["1000"] * 4)
        equal(lines["NoNewPrivs"], "1")
    equal(bed.call("delete", "-f", "c").returncode, 0)


def test_users_as_they_are_written(bed):
    """CVE-2026-30892, CVE-2024-40635: a number is that number, and nothing else becomes 0."""
    bed.background(bed.config("sleep", "100"))
    for text, want in (
        ("1", "1 0"), ("1:1", "1 1"), ("01", "1 0"), ("0:7", "0 7"), ("65534:65534", "65534 65534"),
        ("4294967294", "4294967294 0"), ("4294967295", None), ("4294967296", None), ("-1", None),
        ("+1", None), (" 1", None), ("1 ", None), ("0x1", None), ("1:", "1 0"),
        ("1:-1", None), ("1:4294967296", None), ("18446744073709551617", None), ("1:1:1", None),
    ):  # fmt: skip
        done = bed.call("exec", "-u", text, "c", "sh", "-c", "echo $(id -u) $(id -g)")
        if want is None:
            equal(done.returncode != 0, True, "status of exec -u %r: %r" % (text, done.stdout))
            equal(done.stdout, "", "exec -u %r" % text)
        else:
            equal(done.stdout.strip(), want, "exec -u %r: %s" % (text, done.stderr))
    equal(bed.call("delete", "-f", "c").returncode, 0)


def test_cgroup_mounts_are_read_only(bed):
    """CVE-2023-25809: a read-only cgroup mount is so in each of its hierarchies."""
    for namespace in (True, False):
        c = bed.config("cat", "/proc/self/mountinfo")
        if namespace:
            c["linux"]["namespaces"].append({"type": "cgroup"})
        c["mounts"].append(
            {
                "destination": "/sys/fs/cgroup",
                "type": "cgroup",
                "source": "cgroup",
                "options": ["nosuid", "noexec", "nodev", "relatime", "ro"],
            }
        )
        lines = [l.split() for l in bed.output(c).splitlines() if " - cgroup" in l]
        equal(len(lines) > 0, True, "there are cgroup mounts")
        for words in lines:
            equal(words[5].split(",")[0], "ro", "cgroup namespace %s: %s" % (namespace, words[4]))


def test_seccomp_arguments_all_count(bed):
    """CVE-2017-18367: several conditions of one rule must all hold."""
    c = bed.config("sh", "-c", "kill -0 1 && echo a; kill -CONT $$ && echo b; kill -CONT 1 && echo c")
    c["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            {
                "names": ["kill"],
                "action": "SCMP_ACT_ERRNO",
                "errnoRet": 1,
                "args": [
                    {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"},
                    {"index": 1, "value": 0, "op": "SCMP_CMP_EQ"},
                ],
            }
        ],
    }
    c["process"]["args"][2] = "(kill -0 1 && echo a; kill -CONT 1 && echo b; kill -0 $(sh -c 'echo $PPID') && echo c) 2>/dev/null; true"
    equal(bed.output(c).split(), ["b", "c"])


TESTS = [f for n, f in sorted(globals().items()) if n.startswith("test_")]
sys.exit(1 if frame.run([with_bed(f) for f in TESTS]) else 0)
