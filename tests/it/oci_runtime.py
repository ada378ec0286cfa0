#!/usr/bin/python3
"""The OCI runtime by its command line: life cycle, texts, what a program finds inside."""

import array
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
from frame import Skip, equal, holds, until  # noqa: E402
from ocibed import Bed  # noqa: E402


def with_bed(fn):
    def test(_):
        bed = Bed()
        mounts = open("/proc/self/mountinfo").read()
        try:
            fn(bed)
            equal(bed.leftovers(), [], "what is left behind")
            equal(open("/proc/self/mountinfo").read(), mounts, "mount table")
        finally:
            bed.close()

    test.__name__ = fn.__name__
    return test


# --- what runs, and how it ends ------------------------------------------------------------


def test_run_output_and_status(bed):
    done = bed.run(bed.config("sh", "-c", "echo out; echo err >&2; exit 3"))
    equal((done.stdout, done.stderr, done.returncode), ("out\n", "err\n", 3))
    c = bed.config("sh", "-c", "kill -9 $$")
    c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != "pid"]
    equal(bed.run(c).returncode, 137, "status of a program that was killed")
    equal(bed.run(bed.config("sh", "-c", "cat"), input="in\n", stdin=None).stdout, "in\n")


def test_missing_programs(bed):
    bed.write("noexec", "x", 0o644)
    for args, text in (
        (["nosuch"], 'exec: "nosuch": executable file not found in $PATH'),
        (["/nosuch"], 'exec: "/nosuch": stat /nosuch: no such file or directory'),
        (["/noexec"], 'exec: "/noexec": permission denied'),
        (["/bin"], 'exec: "/bin": is a directory'),
    ):
        bed.use(bed.config(*args))
        done = bed.call("create", "-b", bed.bundle, "c")
        equal(done.returncode, 1, "status of create")
        holds(done.stderr, json.dumps(text)[1:-1])
        equal(bed.leftovers(), [], "after " + text)


def test_errors_in_the_log(bed):
    log = os.path.join(bed.dir, "log")
    bed.use(bed.config("nosuch"))
    done = bed.call("--log", log, "--log-format", "json", "create", "--bundle=" + bed.bundle, "c")
    equal(done.returncode, 1)
    lines = open(log).read().splitlines()
    equal(len(lines), 1, "lines in the log")
    entry = json.loads(lines[0])
    equal(entry["level"], "error")
    holds(entry["msg"], "executable file not found in $PATH")
    holds(done.stderr, "executable file not found in $PATH")


def test_life_cycle(bed):
    bed.use(bed.config("sleep", "100"))
    bed.ids.append("c")
    pid_file = os.path.join(bed.dir, "pid")
    null = subprocess.DEVNULL
    create = ("create", "--bundle", bed.bundle, "--pid-file", pid_file, "c")
    equal(bed.call(*create, stdout=null, stderr=null).returncode, 0, "create")
    state = bed.state()
    equal(state["status"], "created")
    equal(open(pid_file).read(), str(state["pid"]), "pid file")
    equal(state["bundle"], bed.bundle)
    equal(state["rootfs"], bed.rootfs)
    holds(bed.call(*create).stderr, "container with given ID already exists")
    equal(bed.state()["status"], "created", "after a second create")
    equal(bed.call("start", "c").returncode, 0, "start")
    equal(bed.state()["status"], "running")
    holds(bed.call("start", "c").stderr, "cannot start an already running container")
    holds(bed.call("delete", "c").stderr, "that is not stopped: running")
    equal(json.loads(bed.call("ps", "-f", "json", "c").stdout), [state["pid"]], "ps")
    holds(bed.call("list").stdout, "running")
    equal([c["id"] for c in json.loads(bed.call("list", "-f", "json").stdout)], ["c"])
    equal(bed.call("pause", "c").returncode, 0, "pause")
    equal(bed.state()["status"], "paused")
    holds(bed.call("exec", "c", "true").stderr, "cannot exec in a paused container")
    equal(bed.call("resume", "c").returncode, 0, "resume")
    holds(bed.call("resume", "c").stderr, "container not paused")
    equal(bed.call("kill", "c", "KILL").returncode, 0, "kill")
    until(lambda: bed.state()["status"] == "stopped", 5, "stopped")
    equal(bed.state()["pid"], 0, "pid of a stopped container")
    holds(bed.call("kill", "c", "9").stderr, "container not running")
    holds(bed.call("exec", "c", "true").stderr, "container")
    equal(bed.call("delete", "c").returncode, 0, "delete")
    for verb in ("state", "start", "kill", "delete", "pause"):
        holds(bed.call(verb, "c").stderr, "container does not exist")
    equal(bed.call("delete", "--force", "c").returncode, 0, "delete -f of none")


def test_a_frozen_group_is_refused(bed):
    """Nobody would come to an end there (config-linux.md, Control groups)."""
    v1 = os.path.isdir("/sys/fs/cgroup/freezer")
    top = "/sys/fs/cgroup/freezer" if v1 else "/sys/fs/cgroup"
    file, words = ("freezer.state", ("FROZEN", "THAWED")) if v1 else ("cgroup.freeze", ("1", "0"))
    parent = "%s/%s" % (top, os.path.basename(bed.dir))
    for group in (parent, parent + "/c"):
        os.makedirs(group, exist_ok=True)
        with open("%s/%s" % (group, file), "w") as f:
            f.write(words[0])
        try:
            done = bed.run(bed.config("true"), timeout=20)
            equal(done.returncode, 1)
            holds(done.stderr, "container's cgroup unexpectedly frozen")
            equal(os.path.isdir(group), True, "the group is there")
        finally:
            with open("%s/%s" % (group, file), "w") as f:
                f.write(words[1])
    os.rmdir(parent + "/c")
    equal(bed.run(bed.config("true")).returncode, 0)


def test_delete_of_what_is_frozen_elsewhere(bed):
    top = "/sys/fs/cgroup/freezer"
    if not os.path.isdir(top):
        raise Skip("no freezer of cgroup version 1")
    group = "%s/%s-elsewhere" % (top, os.path.basename(bed.dir))
    os.mkdir(group)
    try:
        bed.background(bed.config("sleep", "100"))
        for file, text in (("cgroup.procs", str(bed.state()["pid"])), ("freezer.state", "FROZEN")):
            with open("%s/%s" % (group, file), "w") as f:
                f.write(text)
        done = bed.call("delete", "-f", "c")
        equal(done.returncode, 0, done.stderr)
        equal(bed.leftovers(), [], "what is left")
    finally:
        with open(group + "/freezer.state", "w") as f:
            f.write("THAWED")
        time.sleep(0.1)
        os.rmdir(group)


def test_a_signal_before_the_start(bed):
    """Process 1 has no handlers then; a container that nobody starts ends all the same."""
    c = bed.config("sleep", "100")
    for sig in ("TERM", "INT", "HUP"):
        bed.use(c)
        bed.ids.append("c")
        null = subprocess.DEVNULL
        equal(bed.call("create", "-b", bed.bundle, "c", stdout=null, stderr=null).returncode, 0)
        equal(bed.call("kill", "c", sig).returncode, 0)
        for _ in range(50):
            if bed.state()["status"] == "stopped":
                break
            time.sleep(0.1)
        equal(bed.state()["status"], "stopped", sig)
        equal(bed.call("delete", "c").returncode, 0)


def test_kill_wakes_a_paused_container(bed):
    bed.background(bed.config("sleep", "100"))
    equal(bed.call("pause", "c").returncode, 0)
    equal(bed.call("kill", "c", "SIGKILL").returncode, 0)
    until(lambda: bed.state()["status"] == "stopped", 5, "stopped")
    equal(bed.call("delete", "c").returncode, 0)


def test_delete_force_of_any_state(bed):
    bed.use(bed.config("sleep", "100"))
    bed.ids.append("c")
    null = subprocess.DEVNULL
    equal(bed.call("create", "-b", bed.bundle, "c", stdout=null, stderr=null).returncode, 0)
    equal(bed.call("delete", "c").returncode, 0, "delete of a created one")
    bed.background(bed.config("sh", "-c", "sleep 100 & sleep 100"))
    equal(bed.call("pause", "c").returncode, 0)
    equal(bed.call("delete", "-f", "c").returncode, 0, "delete -f of a paused one")


def test_without_a_pid_namespace_all_processes_end(bed):
    c = bed.config("sh", "-c", "sleep 1001 & sleep 1001 & exec sleep 1001")
    c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != "pid"]
    bed.background(c)
    pids = until(
        lambda: (lambda p: len(p) == 3 and p)(json.loads(bed.call("ps", "-f", "json", "c").stdout)),
        5,
        "three processes",
    )
    equal(bed.call("kill", "c", "KILL").returncode, 0)
    equal(bed.call("delete", "-f", "c").returncode, 0)
    alive = [p for p in pids if os.path.exists("/proc/%d/exe" % p) and os.path.exists(os.readlink("/proc/%d/exe" % p))]
    equal(alive, [], "processes alive")


def test_ids_and_flags(bed):
    bed.use(bed.config("true"))
    for id in ("", "a/b", "..", ".", "a b", "x" * 2000):
        done = bed.call("create", "-b", bed.bundle, id)
        equal(done.returncode, 1, "status for id %r" % id[:20])
    holds(bed.call("create", "-b", bed.bundle, "a/b").stderr, "invalid container ID format")
    holds(bed.call("create", "-b", bed.bundle).stderr, "container id cannot be empty")
    holds(bed.call("create", "-b", bed.dir, "c").stderr, "config.json not found")
    holds(bed.call("nosuch").stderr, "nosuch")
    equal(bed.call("run", "-bundle", bed.bundle, "c").returncode, 0, "-bundle")
    equal(bed.call("run", "--bundle=" + bed.bundle, "c").returncode, 0, "--bundle=")
    done = bed.call("--systemd-cgroup", "run", "-b", bed.bundle, "c")
    holds(done.stderr, "systemd cgroup flag passed, but systemd support")
    for help in ("create", "run", "exec", "kill"):
        holds(bed.call(help, "--help").stdout, "usage: ")


def test_names_choose_the_version_line(bed):
    for name in ("runc", "crun"):
        link = os.path.join(bed.dir, name)
        os.symlink(frame.CRIBOX, link)
        done = subprocess.run([link, "--version"], stdout=subprocess.PIPE, text=True)
        equal(done.stdout.split("\n")[0].split()[:2], [name, "version"])
    features = json.loads(bed.call("features").stdout)
    holds(features["linux"]["capabilities"], "CAP_CHOWN")
    holds(features["mountOptions"], "rro")


# --- what the program finds ----------------------------------------------------------------

LOOK = r"""
grep -E '^(Cap|NoNewPrivs|Seccomp:|Groups|Umask)' /proc/self/status | tr '\t' ' '
id -u; id -g; pwd; hostname
cat /proc/self/limits | grep 'open files' | tr -s ' '
env | grep -v SHLVL | sort
ls -l /dev | sed 's/  */ /g' | cut -d' ' -f1,3,4,5,6 | sort
ls /proc/self/fd | wc -l
cut -d' ' -f5,6 /proc/self/mountinfo | sort
"""


def test_same_as_runc(bed):
    """On one bundle, a program finds under runc what it finds under us."""
    runc = shutil.which("runc") or "/usr/sbin/runc"
    if not os.path.exists(runc):
        raise Skip("no runc")
    c = bed.config("sh", "-c", LOOK)
    c["process"]["user"] = {"uid": 1000, "gid": 1001, "additionalGids": [5, 44]}
    c["process"]["cwd"] = "/tmp"
    c["process"]["env"].append("A=b c")
    c["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
    }
    ours = bed.output(c).splitlines()
    bed.runtime = [runc]
    theirs = bed.run(c)
    if theirs.returncode != 0:
        raise Skip("runc does not run here: " + theirs.stderr[-200:])
    theirs = theirs.stdout.splitlines()
    # masks show the host's /dev/null here, and the container's own there
    masked = tuple(c["linux"]["maskedPaths"])
    ours, theirs = ([l for l in x if not l.startswith(masked)] for x in (ours, theirs))
    differ = [l for l in ours if l not in theirs], [l for l in theirs if l not in ours]
    equal(differ, ([], []), "what differs (ours, runc's)")


def test_default_user_environment(bed):
    out = bed.output(bed.config("sh", "-c", "echo $HOME; umask; id -u; cat /proc/self/oom_score_adj"))
    equal(out.split()[:3], ["/root", "0022", "0"])
    c = bed.config("sh", "-c", "echo $HOME; umask; touch /tmp/f; stat -c %u:%g:%a /tmp/f")
    c["process"]["user"] = {"uid": 1000, "gid": 1001, "umask": 0o27}
    equal(bed.output(c).split(), ["/tmp", "0027", "1000:1001:640"])


def test_masks_and_read_only(bed):
    script = """
cat /proc/keys | wc -c; cat /proc/timer_list | wc -c; ls /sys/firmware | wc -l
(echo x > /proc/sys/kernel/domainname) 2>&1 | grep -c 'Read-only'
(touch /sys/x) 2>&1 | grep -c 'Read-only'
touch /f && echo rw
"""
    equal(bed.output(bed.config("sh", "-c", script)).split(), ["0", "0", "0", "1", "1", "rw"])
    c = bed.config("sh", "-c", "touch /g 2>&1 | grep -c Read-only; touch /dev/shm/x && echo shm")
    c["root"]["readonly"] = True
    equal(bed.output(c).split(), ["1", "shm"])


def test_mounts(bed):
    src = os.path.join(bed.dir, "src")
    os.makedirs(os.path.join(src, "sub"))
    open(os.path.join(src, "file"), "w").write("text")
    frame.sh("mount", "-t", "tmpfs", "sub", os.path.join(src, "sub"))
    try:
        c = bed.config(
            "sh",
            "-c",
            """
cat /a/file; (touch /a/x) 2>&1 | grep -c Read-only; touch /a/sub/x && echo sub-rw
(touch /b/sub/x) 2>&1 | grep -c Read-only
cat /made/here/f; ls /c | wc -l; grep ' /t ' /proc/self/mountinfo | grep -c noexec
cat /up/kept; echo more > /up/more; stat -c %a /t
""",
        )
        os.makedirs(os.path.join(bed.rootfs, "up"))
        bed.write("up/kept", "kept\n")
        m = c["mounts"]
        b = "rbind rprivate".split()
        m.append({"destination": "/a", "type": "bind", "source": src, "options": b + ["ro"]})
        m.append({"destination": "/b", "type": "bind", "source": src, "options": b + ["rro"]})
        m.append({"destination": "/c", "type": "bind", "source": src + "/sub", "options": ["bind"]})
        f = src + "/file"
        m.append({"destination": "/made/here/f", "type": "bind", "source": f, "options": ["bind"]})
        t = ["noexec", "mode=711"]
        m.append({"destination": "/t", "type": "tmpfs", "source": "t", "options": t})
        up = {"destination": "/up", "type": "tmpfs", "source": "t", "options": ["tmpcopyup"]}
        m.append(up)
        want = ["text1", "sub-rw", "1", "text1", "1", "kept", "711"]
        equal(bed.output(c).split(), want)
        equal(os.path.exists(os.path.join(bed.rootfs, "up/more")), False, "written through")
        m.append({"destination": "/z", "type": "bind", "source": "/no/such", "options": ["bind"]})
        done = bed.run(c)
        equal(done.returncode, 1)
        holds(done.stderr, "bind mount /z: open /no/such: No such file or directory")
    finally:
        frame.sh("umount", os.path.join(src, "sub"))


def test_user_namespace(bed):
    c = bed.config("sh", "-c", "id -u; cat /proc/self/uid_map | tr -s ' '; echo x > /dev/null && echo dev")
    c["linux"]["namespaces"].append({"type": "user"})
    c["linux"]["uidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    c["linux"]["gidMappings"] = c["linux"]["uidMappings"]
    os.chmod(bed.dir, 0o755)
    equal(bed.output(c).split(), ["0", "0", "100000", "65536", "dev"])
    # exec enters it, too
    c["process"]["args"] = ["sleep", "100"]
    bed.background(c)
    equal(bed.call("exec", "c", "sh", "-c", "id -u; cut -c1-30 /proc/self/uid_map | tr -s ' '").stdout.split()[:3],
          ["0", "0", "100000"])
    equal(bed.call("delete", "-f", "c").returncode, 0)


def test_join_namespaces(bed):
    """A second container in the namespaces of the first, user and pid included."""
    c = bed.config("sleep", "100")
    c["linux"]["namespaces"].append({"type": "user"})
    c["linux"]["uidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    c["linux"]["gidMappings"] = c["linux"]["uidMappings"]
    os.chmod(bed.dir, 0o755)
    bed.background(c, "first")
    pid = bed.state("first")["pid"]
    look = "for n in user net ipc uts pid; do readlink /proc/self/ns/$n; done; ps | grep -c 'sleep 100'"
    c["process"]["args"] = ["sh", "-c", look]
    del c["linux"]["uidMappings"], c["linux"]["gidMappings"], c["hostname"]
    names = {"user": "user", "network": "net", "ipc": "ipc", "uts": "uts", "pid": "pid"}
    c["linux"]["namespaces"] = [{"type": "mount"}] + [
        {"type": t, "path": "/proc/%d/ns/%s" % (pid, f)} for t, f in names.items()
    ]
    c["linux"]["cgroupsPath"] = "/%s/second" % os.path.basename(bed.dir)
    out = bed.output(c, id="second").split()
    want = [os.readlink("/proc/%d/ns/%s" % (pid, f)) for f in "user net ipc uts pid".split()]
    equal(out[:5], want)
    equal(int(out[5]) >= 1, True, "the other's process is seen")
    equal(bed.call("delete", "-f", "first").returncode, 0)


def test_resources(bed):
    if not os.path.isdir("/sys/fs/cgroup/memory"):
        raise Skip("no cgroup version 1")
    c = bed.config("sleep", "100")
    c["linux"]["cgroupsPath"] = "/cribox-it/c"
    c["linux"]["resources"] = {
        "memory": {"limit": 67108864},
        "cpu": {"shares": 512, "quota": 20000, "period": 50000},
        "pids": {"limit": 33},
        "devices": [
            {"allow": False, "access": "rwm"},
            {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"},
        ],
    }
    bed.background(c)
    try:
        for path, want in (
            ("memory/cribox-it/c/memory.limit_in_bytes", "67108864"),
            ("cpu/cribox-it/c/cpu.shares", "512"),
            ("cpu/cribox-it/c/cpu.cfs_quota_us", "20000"),
            ("cpu/cribox-it/c/cpu.cfs_period_us", "50000"),
            ("pids/cribox-it/c/pids.max", "33"),
        ):
            equal(open("/sys/fs/cgroup/" + path).read().strip(), want, path)
        devices = open("/sys/fs/cgroup/devices/cribox-it/c/devices.list").read()
        holds(devices, "c 10:229 rw")
        equal("a *:* rwm" in devices, False, "everything is allowed")
        pid = bed.state()["pid"]
        for line in open("/proc/%d/cgroup" % pid):
            holds(line, "/cribox-it/c")
    finally:
        equal(bed.call("delete", "-f", "c").returncode, 0)
        for top in os.listdir("/sys/fs/cgroup"):
            if os.path.isdir("/sys/fs/cgroup/%s/cribox-it" % top):
                os.rmdir("/sys/fs/cgroup/%s/cribox-it" % top)


def test_memory_too_small(bed):
    """An init that dies before its program runs says why, and nothing is left behind."""
    if not os.path.isdir("/sys/fs/cgroup/memory"):
        raise Skip("no cgroup version 1")
    c = bed.config("true")
    c["linux"]["resources"]["memory"] = {"limit": 16 << 10}
    done = bed.run(c)
    equal(done.returncode, 1)
    holds(done.stderr, "container init was OOM-killed (memory limit too low?)")
    equal(bed.leftovers(), [], "what is left behind")
    c["linux"]["resources"]["memory"] = {"limit": 512 << 10}
    equal(bed.run(c).returncode, 0, "status with 512 KiB")


def test_clamped_rights(bed):
    """Without CAP_SYS_RESOURCE what cannot be raised is left as it is, and said."""
    c = bed.config("sh", "-c", "ulimit -Hn; grep CapBnd /proc/self/status")
    if int(open("/proc/self/status").read().split("CapBnd:")[1].split()[0], 16) >> 24 & 1:
        raise Skip("we have CAP_SYS_RESOURCE")
    c["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "hard": 99999999, "soft": 100}]
    c["process"]["oomScoreAdj"] = -999
    for s in c["process"]["capabilities"].values():
        s.append("CAP_SYS_RESOURCE")
    done = bed.run(c)
    equal(done.returncode, 0, done.stderr)
    holds(done.stderr, "clamped")
    holds(done.stderr, "CAP_SYS_RESOURCE")
    equal(done.stderr.count("CAP_SYS_RESOURCE"), 1)


# --- exec, terminals -----------------------------------------------------------------------


def test_exec(bed):
    bed.background(bed.config("sleep", "100"))
    run = lambda *a, **k: bed.call("exec", *a, **k)  # noqa: E731
    equal(run("c", "sh", "-c", "exit 9").returncode, 9)
    done = run("c", "nosuch")
    equal(done.returncode, 255, "status of an exec that failed")
    holds(done.stderr, "executable file not found in $PATH")
    equal(run("-u", "1000:1001", "c", "id", "-u").stdout, "1000\n")
    equal(run("-u", "app", "c", "id", "-u").stdout, "1000\n")
    for bad in ("-1", "4294967295", "0x1", "nobody"):
        equal(run("--user=" + bad, "c", "id").returncode, 255, "--user " + bad)
    out = run("-e", "A=1", "--env=PATH=/bin", "--cwd", "/tmp", "c", "sh", "-c", "echo $A $PWD").stdout
    equal(out, "1 /tmp\n")
    equal(run("c", "cat", input="hello", stdin=None).stdout, "hello")
    inside = run("c", "grep", "-E", "^(Cap|NoNew|Seccomp:)", "/proc/self/status").stdout
    init = run("c", "grep", "-E", "^(Cap|NoNew|Seccomp:)", "/proc/1/status").stdout
    equal(inside, init, "rights of an exec")
    holds(run("-c", "CAP_CHOWN", "c", "grep", "CapEff", "/proc/self/status").stdout, "0000000020000421")
    holds(run("--cap", "CAP_NOPE", "c", "true").stderr, "CAP_NOPE")
    groups = open("/proc/%d/cgroup" % bed.state()["pid"]).read()
    equal(run("c", "cat", "/proc/self/cgroup").stdout, groups, "cgroup of an exec")
    exec_in_subgroups(bed, run, groups)
    done = run("-t", "c", "sh", "-c", "echo no carriage return")
    equal(done.stdout, "no carriage return\n", done.stderr)
    process = os.path.join(bed.dir, "process.json")
    json.dump({"args": ["sh", "-c", "pwd; id -u"], "cwd": "/tmp", "env": ["PATH=/bin"], "user": {"uid": 5, "gid": 5}}, open(process, "w"))
    equal(run("--process", process, "c").stdout.split(), ["/tmp", "5"])
    with open(process) as f:
        equal(run("--process", "/dev/stdin", "c", stdin=None, input=f.read()).stdout.split(), ["/tmp", "5"], "of a pipe")
    pid_file = os.path.join(bed.dir, "pid")
    null = subprocess.DEVNULL
    equal(run("-d", "--pid-file", pid_file, "c", "sleep", "50", stdout=null, stderr=null).returncode, 0)
    holds(open("/proc/%s/cmdline" % open(pid_file).read()).read(), "sleep")
    equal(bed.call("delete", "-f", "c").returncode, 0)


def test_from_a_group_that_was_killed(bed):
    """Kernels from 6.12.13 on kill at birth whom such a group's process makes in another."""
    tree = "/sys/fs/cgroup" + ("" if os.path.exists("/sys/fs/cgroup/cgroup.procs") else "/unified")
    group = "%s/%s-killed" % (tree, os.path.basename(bed.dir))
    if not os.path.exists(tree + "/cgroup.procs"):
        raise Skip("no cgroup version 2")
    os.mkdir(group)
    try:
        if not os.path.exists(group + "/cgroup.kill"):
            raise Skip("no cgroup.kill in this kernel")

        def enter():
            with open(group + "/cgroup.procs", "w") as f:
                f.write("0")

        victim = subprocess.Popen(["sleep", "100"], preexec_fn=enter)
        with open(group + "/cgroup.kill", "w") as f:
            f.write("1")
        equal(victim.wait(), -9)
        for spaces in ((), ("user",)):
            c = bed.config("sleep", "100")
            c["linux"]["namespaces"] += [{"type": t} for t in spaces]
            if spaces:
                c["linux"]["uidMappings"] = c["linux"]["gidMappings"] = [
                    {"containerID": 0, "hostID": 100000, "size": 65536}]
                os.chmod(bed.dir, 0o755)
            bed.use(c)
            bed.ids.append("c")
            null = subprocess.DEVNULL
            with open(bed.dir + "/said", "w") as said:
                done = bed.call("create", "-b", bed.bundle, "c", stdout=null, stderr=said, preexec_fn=enter)
            equal(done.returncode, 0, open(bed.dir + "/said").read())
            equal(bed.state()["status"], "created")
            equal(bed.call("start", "c", preexec_fn=enter).returncode, 0)
            done = bed.call("exec", "c", "cat", "/proc/self/cgroup", preexec_fn=enter)
            equal(done.returncode, 0, done.stderr)
            equal(done.stdout, open("/proc/%d/cgroup" % bed.state()["pid"]).read())
            equal(bed.call("delete", "-f", "c").returncode, 0)
    finally:
        os.rmdir(group)


def exec_in_subgroups(bed, run, groups):
    """exec --cgroup: a path, or controller[,controller]:path of version 1."""
    base = "/%s/c" % os.path.basename(bed.dir)
    one = {c: "/sys/fs/cgroup/%s%s/one" % (c, base) for c in ("memory", "pids")}
    if not os.path.isdir("/sys/fs/cgroup/memory" + base):
        return

    def where(*args):
        done = run(*args, "c", "cat", "/proc/self/cgroup")
        equal(done.returncode, 0, done.stderr)
        return {c: line.split(":", 2)[2] for line in done.stdout.split() for c in line.split(":")[1].split(",")}

    plain = where()
    os.mkdir(one["memory"])
    os.mkdir(one["pids"])
    equal(where("--cgroup", "memory:one"), dict(plain, memory=plain["memory"] + "/one"))
    both = dict(plain, memory=plain["memory"] + "/one", pids=plain["pids"] + "/one")
    equal(where("--cgroup", "memory,pids:one"), both)
    equal(where("--cgroup", "memory:one", "--cgroup=pids:/one"), both)
    equal(where("--cgroup", "/"), plain)
    # of a path alone there must be one group in each hierarchy
    holds(run("--cgroup", "one", "c", "true").stderr, "No such file or directory")
    for top in ("/sys/fs/cgroup/" + t for t in os.listdir("/sys/fs/cgroup")):
        if not os.path.exists(top + "/cgroup.procs"):
            continue
        os.makedirs(top + base + "/one", exist_ok=True)
        for f in ("cpuset.cpus", "cpuset.mems"):
            if os.path.exists(top + base + "/one/" + f):
                shutil.copyfile(top + base + "/" + f, top + base + "/one/" + f)
    equal(set(where("--cgroup", "one").values()), {base + "/one"})
    for args, words in (
        (["memory:nosuch"], "controller memory: cgroup %s/nosuch: open tasks: No such" % base),
        (["memory:../x"], "bad sub cgroup path: ../x"),
        (["../x"], "bad sub cgroup path: ../x"),
        ([":one"], "--cgroup :one: empty controller"),
        (["memory,:one"], "--cgroup memory,:one: empty controller"),
        (["nosuch:one"], "--cgroup nosuch:one: unknown controller nosuch"),
        (["pids:one", "pids,memory:one"], "controller pids specified multiple times"),
        (["pids:one", "one"], "--cgroup one: several need a controller each"),
    ):
        done = run(*["--cgroup=" + a for a in args], "c", "true")
        equal(done.returncode, 255)
        holds(done.stderr, words)


def receive_master(listener):
    conn, _ = listener.accept()
    data, ancillary, _, _ = conn.recvmsg(4096, socket.CMSG_SPACE(4))
    fds = array.array("i")
    fds.frombytes(ancillary[0][2][:4])
    return data.decode(), fds[0]


def test_console_socket(bed):
    path = os.path.join(bed.dir, "console")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)
    listener.settimeout(10)
    c = bed.config("sh", "-c", "tty; stty size; ls -l /dev/console | cut -c1; sleep 100", terminal=True)
    c["process"]["consoleSize"] = {"height": 11, "width": 33}
    c["process"]["user"] = {"uid": 1000, "gid": 5}
    bed.use(c)
    bed.ids.append("c")
    null = subprocess.DEVNULL
    holds(bed.call("create", "-b", bed.bundle, "c").stderr, "console socket")
    done = bed.call("create", "-b", bed.bundle, "--console-socket", path, "c", stdout=null, stderr=null)
    equal(done.returncode, 0)
    name, master = receive_master(listener)
    holds(name, "/dev/pts/")
    equal(bed.call("start", "c").returncode, 0)
    text = ""
    while text.count("\n") < 3:
        text += os.read(master, 4096).decode()
    equal(text.split("\r\n")[:3], [name, "11 33", "c"])
    done = bed.call("exec", "-t", "-d", "--console-socket", path, "c", "sh", "-c", "tty; sleep 5", stdout=null, stderr=null)
    equal(done.returncode, 0, "exec -t")
    other, fd = receive_master(listener)
    holds(os.read(fd, 4096).decode(), other)
    os.close(fd)
    os.close(master)
    listener.close()
    equal(bed.call("delete", "-f", "c").returncode, 0)


def test_foreground_terminal(bed):
    """run with a terminal of ours: bytes both ways, size, raw mode undone, status."""
    import pty
    import struct
    import termios
    from fcntl import ioctl

    c = bed.config("sh", "-c", "stty size; read x; echo got-$x; test -t 1 && exit 5", terminal=True)
    bed.use(c)
    bed.ids.append("c")
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 17, 55, 0, 0))
    before = termios.tcgetattr(slave)
    run = subprocess.Popen(
        bed.runtime + ["--root", bed.root, "run", "-b", bed.bundle, "c"],
        stdin=slave, stdout=slave, stderr=slave,
    )
    text = b""
    while b"17 55" not in text:
        text += os.read(master, 4096)
    os.write(master, b"hello\r")
    while b"got-hello" not in text:
        text += os.read(master, 4096)
    equal(run.wait(20), 5, "status")
    equal(termios.tcgetattr(slave)[:4], before[:4], "modes of our terminal")
    os.close(master)
    os.close(slave)


def test_foreground_signals(bed):
    """What is sent to run goes to the container's init."""
    import signal
    import time

    script = "trap 'echo term; exit 4' TERM; echo ready; while true; do sleep 0.05; done"
    bed.use(bed.config("sh", "-c", script))
    bed.ids.append("c")
    command = bed.runtime + ["--root", bed.root, "run", "-b", bed.bundle, "c"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    equal(run.stdout.readline(), "ready\n")
    time.sleep(0.1)
    run.send_signal(signal.SIGTERM)
    equal(run.stdout.readline(), "term\n")
    equal(run.wait(20), 4, "status")


def test_churn_leaves_nothing(bed):
    """Thirty containers: no fd, process, mount or cgroup more than before (REL-LEAK)."""
    c = bed.config("true")
    bed.use(c)
    before = sorted(os.listdir("/proc"))
    for i in range(30):
        equal(bed.run(c, id="churn%d" % (i % 3)).returncode, 0)
    ours = [p for p in sorted(os.listdir("/proc")) if p.isdigit() and p not in before]
    equal([p for p in ours if os.path.exists("/proc/%s/exe" % p)], [], "processes")


TESTS = [f for n, f in sorted(globals().items()) if n.startswith("test_")]
sys.exit(1 if frame.run([with_bed(f) for f in TESTS]) else 0)
