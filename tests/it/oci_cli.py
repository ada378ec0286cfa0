#!/usr/bin/python3
"""The OCI runtime's commands and flags beside the life cycle: update, events, sockets, names."""

import array
import json
import os
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
from frame import CRIBOX, Skip, equal, holds, sh, until  # noqa: E402
from ocibed import Bed, with_bed  # noqa: E402

NULL = subprocess.DEVNULL


def group_file(bed, controller, file):
    """Version 1, or the unified tree."""
    for top in ("/sys/fs/cgroup/" + controller, "/sys/fs/cgroup"):
        path = "%s/%s/c/%s" % (top, os.path.basename(bed.dir), file)
        if os.path.exists(path):
            with open(path) as f:
                return f.read().strip()
    raise Skip("no %s" % file)


def is_v1():
    return os.path.isdir("/sys/fs/cgroup/memory")


def test_update(bed):
    bed.background(bed.config("sleep", "1000"))

    def update(*flags, **options):
        done = bed.call("update", *flags, "c", **options)
        equal((done.returncode, done.stderr), (0, ""), "update " + " ".join(flags))

    if not is_v1():
        raise Skip("version 1's files")
    update("--memory", "64m", "--memory-swap=96m", "--memory-reservation", "32M")
    read = lambda file: group_file(bed, file.split(".")[0], file)
    equal(read("memory.limit_in_bytes"), str(64 << 20))
    equal(read("memory.memsw.limit_in_bytes"), str(96 << 20))
    equal(read("memory.soft_limit_in_bytes"), str(32 << 20))
    update("--memory", "128m", "--memory-swap", "160m")  # above the old swap limit: order
    equal(read("memory.limit_in_bytes"), str(128 << 20))
    update("--memory=-1")
    equal(read("memory.limit_in_bytes"), read("memory.memsw.limit_in_bytes"))
    update("--cpu-quota", "30000", "--cpu-period", "60000", "--cpu-share", "700")
    update("--cpu-period", "50000")
    equal((read("cpu.cfs_quota_us"), read("cpu.cfs_period_us"), read("cpu.shares")), ("30000", "50000", "700"))
    update("--cpu-quota=-1")
    equal(read("cpu.cfs_quota_us"), "-1")
    update("--cpuset-cpus", "0", "--cpuset-mems", "0")
    equal(read("cpuset.cpus"), "0")
    update("--pids-limit", "44")
    equal(read("pids.max"), "44")
    update("--kernel-memory", "5m", "--kernel-memory-tcp", "5m")
    devices = read("devices.list")
    resources = {"pids": {"limit": 45}, "devices": [{"allow": False, "access": "rwm"}], "cpu": {"shares": 300}}
    # of the flags beside it nothing counts (runc's rule)
    update("-r", "-", "--pids-limit", "9", input=json.dumps(resources), stdin=None)
    equal((read("pids.max"), read("cpu.shares"), read("devices.list")), ("45", "300", devices))
    # what only version 1 has, alone
    update("-r", "-", input='{"memory": {"swappiness": 17}}', stdin=None)
    equal(read("memory.swappiness"), "17")
    # flags behind the container's name; nothing is passed over
    equal(bed.call("update", "c", "--pids-limit", "46").returncode, 0)
    equal(read("pids.max"), "46")
    holds(bed.call("update", "--pids-limit", "47", "c", "more").stderr, "exactly 1 argument is needed")
    equal(read("pids.max"), "46")
    for flags, text in (
        (["--memory", "x"], 'invalid value for memory: "x" is no size'),
        (["--cpu-share", "-"], 'invalid value for cpu-share: "-" is no number'),
        (["--cpuset-cpus", "7-3"], "is no list of cpus"),
        (["--memory", "4k"], "unable to set memory limit to 4096 (current usage: "),
        (["--l3-cache-schema", "L3:0=f"], "Intel RDT"),
        (["--nope", "1"], "flag provided but not defined: --nope"),
        (["--memory"], "flag needs an argument"),
    ):
        done = bed.call("update", *flags, *(["c"] if len(flags) == 2 else []))
        equal(done.returncode, 1, "status of update " + " ".join(flags))
        holds(done.stderr.replace('\\"', '"'), text)
    holds(bed.call("update", "--pids-limit", "5", "nosuch").stderr, "container does not exist")


def test_events(bed):
    c = bed.config("sh", "-c", "read x </go; dd if=/dev/zero of=/dev/null bs=200M count=1 2>/dev/null; sleep 1000")
    os.mkfifo(os.path.join(bed.rootfs, "go"))
    c["linux"]["resources"]["memory"] = {"limit": 40 << 20, "swap": 40 << 20}
    bed.background(c)
    stats = json.loads(bed.call("events", "--stats", "c").stdout)
    equal((stats["type"], stats["id"]), ("stats", "c"))
    data = stats["data"]
    equal(sorted(data), sorted("cpu cpuset memory pids blkio hugetlb intel_rdt network_interfaces".split()))
    equal(data["memory"]["usage"]["limit"], 40 << 20)
    equal(data["memory"]["usage"]["usage"] > 0, True)
    equal(data["pids"]["current"], 1)
    equal(data["cpu"]["usage"]["total"] > 0, True)
    follow = subprocess.Popen(
        bed.runtime + ["--root", bed.root, "events", "--interval=200ms", "c"], stdin=NULL, stdout=subprocess.PIPE, text=True
    )
    equal(json.loads(follow.stdout.readline())["type"], "stats")
    with open(os.path.join(bed.rootfs, "go"), "w") as f:
        f.write("x\n")
    kinds = set()
    for line in follow.stdout:
        kinds.add(json.loads(line)["type"])
        if "oom" in kinds:
            break
    equal(kinds, {"stats", "oom"} if "stats" in kinds else {"oom"})
    bed.call("kill", "c", "KILL")
    follow.stdout.read()
    equal(follow.wait(10), 0, "status of events when the container ends")
    done = bed.call("events", "--stats", "c")
    equal(done.returncode, 1)
    holds(done.stderr, "container with id c is not running")


def receive_fd(listener):
    conn = listener.accept()[0]
    with conn:
        data, extra, _, _ = conn.recvmsg(4096, socket.CMSG_SPACE(4))
    fds = array.array("i")
    fds.frombytes(extra[0][2][:4])
    return data.decode(), fds[0]


def test_pidfd_sockets(bed):
    path = os.path.join(bed.dir, "d" * 60, "s" * 60)  # longer than a socket's address
    os.mkdir(os.path.dirname(path))
    here = os.open(os.path.dirname(path), os.O_PATH)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("/proc/self/fd/%d/%s" % (here, os.path.basename(path)))
    listener.listen()
    bed.use(bed.config("sleep", "1000"))
    bed.ids.append("c")
    equal(bed.call("create", "-b", bed.bundle, "--pidfd-socket", path, "c", stdout=NULL, stderr=NULL).returncode, 0)
    what, fd = receive_fd(listener)
    holds(open("/proc/self/fdinfo/%d" % fd).read(), "Pid:\t%d\n" % bed.state()["pid"])
    equal(what, "standard")
    bed.call("start", "c")
    equal(bed.call("exec", "-d", "--pidfd-socket", path, "c", "sleep", "999", stdout=NULL, stderr=NULL).returncode, 0)
    what, fd = receive_fd(listener)
    pid = [line for line in open("/proc/self/fdinfo/%d" % fd) if line.startswith("Pid:")][0].split()[1]
    holds(open("/proc/%s/cmdline" % pid).read(), "999")
    equal(what, "setns")


def test_notify(bed):
    """READY=1 of a container reaches the manager that waits; start waits for it."""
    path = os.path.join(bed.dir, "manager")
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(path)
    bed.write("ready.py", "")
    sender = "import os,socket;s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM);s.sendto(b'STATUS=x\\nREADY=1',os.environ['NOTIFY_SOCKET'])"
    c = bed.config("python3", "-c", sender + ";import time;time.sleep(1000)")
    c["process"]["env"] = ["PATH=/usr/bin:/bin"]
    for d in ("usr", "lib", "lib64", "bin"):
        if os.path.isdir("/" + d):
            os.makedirs(os.path.join(bed.rootfs, d), exist_ok=True)
            c["mounts"].append({"destination": "/" + d, "type": "bind", "source": "/" + d, "options": ["rbind", "ro"]})
    bed.use(c)
    bed.ids.append("c")
    env = dict(os.environ, NOTIFY_SOCKET=path)
    equal(bed.call("create", "-b", bed.bundle, "c", stdout=NULL, stderr=NULL, env=env).returncode, 0)
    start = subprocess.Popen(bed.runtime + ["--root", bed.root, "start", "c"], stdin=NULL, env=env)
    manager.settimeout(20)
    text = manager.recv(4096).decode()
    equal(text.split(), ["READY=1", "MAINPID=%d" % bed.state()["pid"]])
    data, extra, _, _ = manager.recvmsg(4096, socket.CMSG_SPACE(4))
    equal(data, b"BARRIER=1")
    equal(start.poll(), None, "start before the barrier")
    fds = array.array("i")
    fds.frombytes(extra[0][2][:4])
    os.close(fds[0])
    equal(start.wait(10), 0, "status of start")


def test_listen_fds(bed):
    read, write = os.pipe()
    os.dup2(read, 3)
    os.set_inheritable(3, True)
    os.write(write, b"activated\n")
    os.close(write)
    c = bed.config("sh", "-c", "cat <&3; echo $LISTEN_FDS $LISTEN_PID")
    bed.use(c)
    bed.ids.append("c")
    # the pid that is meant is the runtime's: sh execs it
    command = " ".join(bed.runtime + ["--root", bed.root, "run", "-b", bed.bundle, "c"])
    done = subprocess.run(["sh", "-c", "LISTEN_FDS=1 LISTEN_PID=$$ exec " + command], stdin=NULL, stdout=subprocess.PIPE, pass_fds=[3], text=True, timeout=30)
    os.close(3)
    equal(done.stdout, "activated\n1 1\n")


def test_ps_list_kill(bed):
    bed.background(bed.config("sh", "-c", "sleep 1111 & sleep 1112 & wait"))
    until(lambda: len(json.loads(bed.call("ps", "-f", "json", "c").stdout)) == 3, 5, "three processes")
    lines = bed.call("ps", "c", "-o", "pid,args").stdout.splitlines()
    equal(len(lines), 4)
    holds(lines[0], "PID")
    equal(sum(line.split()[1] == "sleep" for line in lines), 2)
    listed = json.loads(bed.call("list", "-f", "json").stdout)
    equal([(c["id"], c["status"], c["owner"]) for c in listed], [("c", "running", "root")])
    equal(bed.call("list", "-q").stdout, "c\n")
    rows = bed.call("list").stdout.splitlines()
    equal(rows[0].split(), "ID PID STATUS BUNDLE CREATED OWNER".split())
    equal(rows[1].split()[0:4:3], ["c", bed.bundle])
    equal(bed.call("kill", "-a", "c", "TERM").returncode, 0)
    bed.call("kill", "c", "9")
    until(lambda: bed.state()["status"] == "stopped", 5, "the end")
    done = bed.call("kill", "c", "TERM")
    equal(done.returncode, 1)
    holds(done.stderr, "container not running")
    equal(bed.call("kill", "--all", "c", "9").returncode, 0, "kill --all of a dead one")


def test_debug(bed):
    """What is done, line by line, where the errors go."""
    log = bed.dir + "/log"
    bed.use(bed.config("sleep", "100"))
    bed.ids.append("c")
    done = bed.call("--debug", "--log", log, "--log-format", "json", "run", "-d", "-b", bed.bundle, "c", stdout=NULL, stderr=NULL)
    equal(done.returncode, 0)
    lines = [json.loads(line) for line in open(log)]
    equal({line["level"] for line in lines}, {"debug"})
    said = [line["msg"] for line in lines]
    equal(("pivot" in said, said[-1]), (True, "exec sleep 100"))
    done = bed.call("--debug", "exec", "c", "true")
    equal(done.returncode, 0)
    holds(done.stderr, 'level=debug msg="exec true in container c, process %d, cgroup /' % bed.state()["pid"])
    equal(bed.call("exec", "c", "true").stderr, "")


def test_names(bed):
    """Called as crun or runc: version line, root, columns, help."""
    for name in ("crun", "runc"):
        link = os.path.join(bed.dir, name)
        os.symlink(CRIBOX, link)
        env = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": bed.dir + "/xdg"}
        call = lambda *a: subprocess.run([link] + list(a), env=env, text=True, stdin=NULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        equal(call("--version").stdout.startswith(name + " version "), True)
        done = call("features")
        features = json.loads(done.stdout)
        equal((done.returncode, done.stderr), (0, ""))
        equal("rro" in features["mountOptions"] and features["linux"]["mountExtensions"]["idmap"]["enabled"], True)
        equal(len(features["hooks"]), 6)
        equal(call("list", "-f", "json").stdout, "null" if name == "runc" else "[]")
        equal(call("list").stdout.split()[0], "ID" if name == "runc" else "NAME")
    holds(subprocess.run([bed.dir + "/crun", "--version"], env=env, text=True, stdout=subprocess.PIPE).stdout, "rundir: %s/xdg/crun" % bed.dir)
    done = bed.call("checkpoint", "--help")
    equal(done.returncode, 0)
    holds(bed.call("restore", "--lsm-mount-context").stderr, "flag needs an argument")
    for args in (["--root", "/", "list"], ["--log-format", "x", "list"], ["--cgroup-manager", "x", "list"], ["--rootless", "x", "list"]):
        equal(subprocess.run([CRIBOX, "oci"] + args, stdin=NULL, stdout=NULL, stderr=NULL).returncode, 1, " ".join(args))


def test_rootless(bed):
    """spec --rootless, run by a user who has nothing but himself."""
    uid = 47114
    os.chmod(bed.dir, 0o755)
    program = os.path.join(bed.dir, "cribox")
    sh("cp", CRIBOX, program)
    os.mkdir(bed.dir + "/xdg", 0o700)
    sh("chown", "-R", "%d:%d" % (uid, uid), bed.dir)
    who = ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups"]
    env = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": bed.dir + "/xdg"}

    def call(*args, **options):
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        return subprocess.run(who + [program, "oci"] + list(args), env=env, cwd=bed.bundle, text=True, stdin=NULL, timeout=30, **options)

    equal(call("spec", "--rootless").returncode, 0)
    with open(bed.bundle + "/config.json") as f:
        c = json.load(f)
    c["process"].update(terminal=False, args=["sh", "-c", "id -u; echo x >/x; cat /x"])
    c["process"]["env"] = ["PATH=/bin"]
    c["root"]["readonly"] = False
    save = lambda: open(bed.bundle + "/config.json", "w").write(json.dumps(c))
    save()
    done = call("run", "r")
    equal((done.stdout, done.stderr, done.returncode), ("0\nx\n", "", 0))
    c["process"]["args"] = ["sleep", "1000"]
    save()
    equal(call("run", "-d", "r", stdout=NULL, stderr=NULL).returncode, 0)
    equal(json.loads(call("state", "r").stdout)["status"], "running")
    equal(call("exec", "r", "id", "-u").stdout, "0\n")
    equal(len(json.loads(call("ps", "-f", "json", "r").stdout)) >= 1, True)
    holds(call("pause", "r").stderr, "has no cgroup")
    equal(call("kill", "r", "KILL").returncode, 0)
    until(lambda: json.loads(call("state", "r").stdout)["status"] == "stopped", 5, "the end")
    equal(call("delete", "r").returncode, 0)
    c["linux"]["resources"] = {"memory": {"limit": 1 << 26}}
    save()
    holds(call("run", "r").stderr, "rootless needs no limits")
    equal(json.loads(call("list", "-f", "json").stdout or "null"), None)


TESTS = [f for n, f in sorted(globals().items()) if n.startswith("test_")]
sys.exit(1 if frame.run([with_bed(f) for f in TESTS]) else 0)
