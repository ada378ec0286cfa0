#!/usr/bin/python3
"""What the runtime-spec 1.3 has for Linux beyond the everyday: by what is seen inside."""

import array
import ctypes
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
from frame import Skip, equal, holds  # noqa: E402
from ocibed import Bed, with_bed  # noqa: E402

NULL = subprocess.DEVNULL
CACHE = ".seccomp"  # below the root of the states


def fails(bed, config, *parts):
    """The container does not start, one line says why, and nothing is left."""
    done = bed.run(config)
    if done.returncode == 0:
        raise AssertionError("it started: " + done.stdout)
    equal(len(done.stderr.strip().split("\n")), 1, "lines of " + done.stderr)
    for p in parts:
        holds(done.stderr, p)
    equal(bed.leftovers(), [], "what is left")


def hook(bed, name, script, **more):
    """A hook of the host: a shell script."""
    path = os.path.join(bed.dir, name + ".sh")
    with open(path, "w") as f:
        f.write("#!/bin/sh\n" + script + "\n")
    os.chmod(path, 0o755)
    return dict({"path": path}, **more)


# --- namespaces ---------------------------------------------------------------------------------

def test_time_namespace(bed):
    if not os.path.exists("/proc/self/ns/time"):
        raise Skip("no time namespaces in this kernel")
    for user in (False, True):
        c = bed.config("sh", "-c", "cut -d. -f1 /proc/uptime; readlink /proc/self/ns/time")
        c["linux"]["namespaces"].append({"type": "time"})
        c["linux"]["timeOffsets"] = {"boottime": {"secs": 10000000}, "monotonic": {"secs": 5, "nanosecs": 7}}
        if user:
            c["linux"]["namespaces"].append({"type": "user"})
            c["linux"]["uidMappings"] = c["linux"]["gidMappings"] = [
                {"containerID": 0, "hostID": 100000, "size": 65536}]
            os.chmod(bed.dir, 0o755)
        up, ns = bed.output(c).split()
        equal(int(up) > 10000000, True, "uptime %s" % up)
        equal(ns != os.readlink("/proc/self/ns/time"), True, "a time namespace of its own")
    c["linux"]["timeOffsets"]["boottime"]["secs"] = -(1 << 40)
    fails(bed, c, "linux.timeOffsets")


def test_namespaces_by_path(bed):
    c = bed.config("sleep", "100")
    c["linux"]["namespaces"].append({"type": "time"})
    c["linux"]["timeOffsets"] = {"boottime": {"secs": 20000000}}
    bed.background(c, "a")
    pid = bed.state("a")["pid"]
    files = {"pid": "pid", "network": "net", "ipc": "ipc", "uts": "uts", "time": "time"}
    c = bed.config("sh", "-c", "hostname; cut -d. -f1 /proc/uptime")
    c["linux"]["namespaces"] = [{"type": t, "path": "/proc/%d/ns/%s" % (pid, f)} for t, f in files.items()]
    c["linux"]["namespaces"].append({"type": "mount"})
    c["linux"]["cgroupsPath"] = "/%s/c/b" % os.path.basename(bed.dir)
    del c["hostname"]
    name, up = bed.output(c, id="b").split()
    equal(name, "bed")
    equal(int(up) > 20000000, True, "uptime %s" % up)
    bed.call("delete", "-f", "b")
    # another type, and what is no namespace
    c["linux"]["namespaces"][1]["path"] = "/proc/%d/ns/ipc" % pid
    done = bed.run(c, id="b")
    holds(done.stderr, "network namespace: /proc/%d/ns/ipc is a namespace of another type" % pid)
    c["linux"]["namespaces"][1]["path"] = "/dev/null"
    holds(bed.run(c, id="b").stderr, "/dev/null is no namespace")
    c["linux"]["namespaces"][1]["path"] = "/nosuch"
    holds(bed.run(c, id="b").stderr, "/nosuch")


def test_the_hosts_namespaces_in_a_user_namespace(bed):
    """Whoever is inside has no rights over them: they are joined before."""
    files = {"network": "net", "ipc": "ipc", "uts": "uts"}
    holder = subprocess.Popen(["unshare", "-n", "-i", "-u", "sh", "-c", "echo; exec sleep 100"], stdout=subprocess.PIPE)
    holder.stdout.readline()
    maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    os.chmod(bed.dir, 0o755)
    try:
        c = bed.config("sleep", "100")
        del c["hostname"]
        c["mounts"] = [m for m in c["mounts"] if m["type"] not in ("sysfs", "mqueue")]
        c["linux"]["namespaces"] = [{"type": t, "path": "/proc/%d/ns/%s" % (holder.pid, f)} for t, f in files.items()]
        c["linux"]["namespaces"] += [{"type": t} for t in ("mount", "pid", "user")]
        c["linux"]["uidMappings"] = c["linux"]["gidMappings"] = maps
        bed.background(c)
        pid = bed.state()["pid"]
        for f in files.values():
            equal(os.readlink("/proc/%d/ns/%s" % (pid, f)), os.readlink("/proc/%d/ns/%s" % (holder.pid, f)))
        theirs = os.readlink("/proc/%d/ns/user" % pid)
        equal(theirs != os.readlink("/proc/self/ns/user"), True, "a user namespace of its own")
        look = ["sh", "-c", "readlink /proc/self/ns/net; readlink /proc/self/ns/user"]
        done = bed.call("exec", "c", *look)
        equal(done.stdout.split(), [os.readlink("/proc/%d/ns/net" % holder.pid), theirs], done.stderr)
        # one that is there already
        c["linux"]["namespaces"][-1]["path"] = "/proc/%d/ns/user" % pid
        c["linux"]["cgroupsPath"] = "/%s/c/b" % os.path.basename(bed.dir)
        c["process"]["args"] = look
        equal(bed.output(c, id="b").split(), done.stdout.split())
    finally:
        holder.kill()
        holder.wait()


def test_exec_in_a_time_namespace(bed):
    c = bed.config("sleep", "100")
    c["linux"]["namespaces"].append({"type": "time"})
    c["linux"]["timeOffsets"] = {"boottime": {"secs": 30000000}}
    bed.background(c)
    up = bed.call("exec", "c", "cut", "-d.", "-f1", "/proc/uptime").stdout
    equal(int(up) > 30000000, True, "uptime %s" % up)


def test_host_mount_namespace(bed):
    c = bed.config("sh", "-c", "readlink /proc/self/ns/mnt; ls /bin/busybox")
    c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != "mount"]
    c["linux"]["maskedPaths"] = c["linux"]["readonlyPaths"] = []
    ns, file = bed.output(c).split()
    equal(ns, os.readlink("/proc/self/ns/mnt"))
    equal(file, "/bin/busybox")
    left = [line for line in open("/proc/self/mountinfo") if bed.dir in line]
    equal(left, [], "mounts on the host")
    c["process"]["args"] = ["nosuch"]
    fails(bed, c, "executable file not found")
    left = [line for line in open("/proc/self/mountinfo") if bed.dir in line]
    equal(left, [], "mounts on the host after a failure")


# --- hooks --------------------------------------------------------------------------------------

def test_hooks_in_order(bed):
    log = os.path.join(bed.dir, "log")
    c = bed.config("sh", "-c", "echo program >>/log/log; sleep 0.2")
    os.mkdir(log)
    c["mounts"].append({"destination": "/log", "type": "bind", "source": log, "options": ["bind"]})
    c["annotations"] = {"some.key": "some value"}
    line = 'echo "$0 $(readlink /proc/self/ns/mnt) $(pwd) $1 $A $(cat)" >>%s/log'
    c["hooks"] = {
        k: [hook(bed, k, line % log, args=[k, "one"], env=["A=env", "PATH=/bin:/usr/bin"])]
        for k in ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
    }
    bed.write("in.sh", '#!/bin/sh\necho "startContainer $(readlink /proc/self/ns/mnt) $(pwd) $HOME - $(cat)" >>/log/log\n', 0o755)
    c["hooks"]["startContainer"] = [{"path": "/in.sh"}]
    bed.output(c)
    lines = open(log + "/log").read().strip().split("\n")
    names = [l.split()[0].split("/")[-1].replace(".sh", "") for l in lines]
    equal(names[:3], ["prestart", "createRuntime", "createContainer"])
    equal(names[3], "startContainer")
    # the program is not waited for
    equal(sorted(names[4:-1]), ["poststart", "program"])
    equal(names[-1], "poststop")
    ours = os.readlink("/proc/self/ns/mnt")
    wanted = {"prestart": ("creating", True), "createRuntime": ("creating", True),
              "createContainer": ("creating", False), "startContainer": ("created", False),
              "poststart": ("running", True), "poststop": ("stopped", True)}
    for l in lines:
        words = l.split(" ", 5)
        name = words[0].split("/")[-1].replace(".sh", "")
        if name == "program":
            continue
        state = json.loads(words[5])
        equal(state["status"], wanted[name][0], "status for " + name)
        equal(words[1] == ours, wanted[name][1], "namespace of " + name)
        equal(state["id"], "c")
        equal(state["bundle"], bed.bundle)
        equal(state["annotations"], {"some.key": "some value"})
        equal(state.get("pid", 0) > 0, name != "poststop", "pid for " + name)
        if name in ("createContainer", "startContainer"):
            equal(state["pid"], 1, "pid as seen inside")
        if name in ("prestart", "createRuntime"):
            equal(words[2], bed.bundle, "directory of " + name)
        if name == "startContainer":
            equal(words[3], "/root", "HOME, which the process has")
        else:
            equal(words[3:5], ["one", "env"], "argument and environment of " + name)


def test_hooks_that_fail(bed):
    for kind in ("prestart", "createRuntime", "createContainer"):
        c = bed.config("true")
        c["hooks"] = {kind: [hook(bed, kind, "echo so it is >&2; exit 3")]}
        fails(bed, c, "error running %s hook #0" % kind, "exit status 3", "so it is")
        c["hooks"] = {kind: [{"path": "/no/such/hook"}]}
        fails(bed, c, "error running %s hook #0" % kind, "/no/such/hook")


def create(bed, config):
    bed.use(config)
    bed.ids.append("c")
    with open(bed.dir + "/said", "w") as said:  # not a pipe: the container keeps it
        done = bed.call("create", "-b", bed.bundle, "c", stdout=said, stderr=said)
    equal(done.returncode, 0, open(bed.dir + "/said").read())


def test_a_start_that_fails(bed):
    """runtime.md, Lifecycle: an error, and the container is destroyed."""
    bed.write("bad.sh", "#!/bin/sh\necho so it is >&2\nexit 3\n", 0o755)
    bed.write("last.sh", "#!/bin/sh\nkill -9 $PPID\nsleep 9\n", 0o755)
    bed.write("notes.txt", "no program\n", 0o755)
    c = bed.config("touch", "/ran")
    for hooks, args, words in (
        ([{"path": "/bin/true"}, {"path": "/bad.sh"}], None,
         ("error running startContainer hook #1: /bad.sh: exit status 3", "output: so it is")),
        ([{"path": "/nosuch"}], None, ("error running startContainer hook #0", "/nosuch")),
        ([{"path": "/bin/true"}], ["/notes.txt"], ("exec /notes.txt: Exec format error",)),
    ):
        c["hooks"] = {"startContainer": hooks}
        c["process"]["args"] = args or ["touch", "/ran"]
        fails(bed, c, *words)
        create(bed, c)
        done = bed.call("start", "c")
        equal(done.returncode, 1)
        for word in words:
            holds(done.stderr, word)
        equal(open(bed.dir + "/said").read(), "", "what the container said")
        equal(bed.leftovers(), [], "what is left")
    c["process"]["args"] = ["touch", "/ran"]
    # it dies without a word: in a pid namespace of its own a hook cannot do that
    c["hooks"] = {"startContainer": [{"path": "/last.sh"}]}
    c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != "pid"]
    create(bed, c)
    holds(bed.call("start", "c").stderr, "the container died in its startContainer hooks")
    equal(os.path.exists(bed.rootfs + "/ran"), False, "the program ran")
    # poststart: as for startContainer, but the program has run
    log = os.path.join(bed.dir, "log")
    c["process"]["args"] = ["sh", "-c", "touch /ran; sleep 100"]
    c["hooks"] = {"poststart": [hook(bed, "late", "while [ ! -e %s/ran ]; do sleep 0.1; done; exit 4" % bed.rootfs)],
                  "poststop": [hook(bed, "end", "cat >" + log)]}
    create(bed, c)
    holds(bed.call("start", "c").stderr, "error running poststart hook #0: %s/late.sh: exit status 4" % bed.dir)
    equal(json.load(open(log))["status"], "stopped")
    equal(bed.leftovers(), [], "what is left")


def test_a_hook_that_takes_too_long(bed):
    c = bed.config("true")
    c["hooks"] = {"createRuntime": [hook(bed, "slow", "sleep 30 & sleep 30", timeout=1)]}
    begin = time.monotonic()
    fails(bed, c, "hook ran past specified timeout of 1.0s")
    equal(time.monotonic() - begin < 10, True, "killed in time")


def test_a_hook_sees_the_root_with_its_mounts(bed):
    """What a device hook relies on: it mounts below root.path before the root is left."""
    c = bed.config("cat", "/extra")
    bed.write("extra", "")
    c["hooks"] = {"createContainer": [hook(
        bed, "mounts", "test -e rootfs/proc/self -o -e %s/proc/1/stat && "
        "echo from the hook >%s/x && mount --bind %s/x %s/extra" % (bed.rootfs, bed.dir, bed.dir, bed.rootfs))]}
    equal(bed.output(c), "from the hook\n")


# --- the process --------------------------------------------------------------------------------

def test_scheduler_and_priorities(bed):
    libc = ctypes.CDLL(None, use_errno=True)
    c = bed.config("sleep", "100", scheduler={"policy": "SCHED_BATCH", "nice": 5},
                   ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 6})
    bed.background(c)
    pid = bed.state()["pid"]
    equal(os.sched_getscheduler(pid), os.SCHED_BATCH)
    equal(os.getpriority(os.PRIO_PROCESS, pid), 5)
    equal(libc.syscall(252, 1, pid), 2 << 13 | 6, "ioprio_get")
    bed.call("exec", "-d", "--pid-file", bed.dir + "/pid", "c", "sleep", "50", stdout=NULL, stderr=NULL)
    other = int(open(bed.dir + "/pid").read())
    equal(os.sched_getscheduler(other), os.SCHED_BATCH, "policy of an exec")


def test_few_open_files(bed):
    c = bed.config("sh", "-c", "ulimit -n; ulimit -Hn", rlimits=[{"type": "RLIMIT_NOFILE", "soft": 16, "hard": 16}])
    c["process"]["noNewPrivileges"] = False
    c["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["reboot"], "action": "SCMP_ACT_ERRNO"}]}
    c["mounts"] += [{"destination": "/m%d" % i, "type": "bind", "source": bed.dir, "options": ["bind"]} for i in range(30)]
    bed.write("hook.sh", "#!/bin/sh\ncat >/dev/null\n", 0o755)
    c["hooks"] = {"startContainer": [{"path": "/hook.sh"}]}
    equal(bed.output(c).split(), ["16", "16"])


def test_cpu_affinity(bed):
    if os.cpu_count() < 2:
        raise Skip("one CPU")
    c = bed.config("sleep", "100", execCPUAffinity={"initial": "0-1", "final": "1"})
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {0})
    try:
        bed.background(c)
        equal(len(os.sched_getaffinity(bed.state()["pid"])) >= 2, True, "our own mask is not the container's")
        out = bed.call("exec", "c", "grep", "Cpus_allowed_list", "/proc/self/status").stdout
    finally:
        os.sched_setaffinity(0, before)
    equal(out.split()[-1], "1")


def test_personality_and_memory_policy(bed):
    c = bed.config("cat", "/proc/self/personality")
    c["linux"]["personality"] = {"domain": "LINUX32"}
    equal(int(bed.output(c), 16) & 0xff, 8)
    c = bed.config("grep", "heap", "/proc/self/numa_maps")
    c["linux"]["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "0"}
    if os.path.exists("/proc/self/numa_maps"):
        holds(bed.output(c), "bind:0")
    c["linux"]["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "63"}
    fails(bed, c, "linux.memoryPolicy MPOL_BIND")


def test_hostname_and_domainname(bed):
    c = bed.config("sh", "-c", "hostname; cat /proc/sys/kernel/domainname")
    c["domainname"] = "example.net"
    equal(bed.output(c).split(), ["bed", "example.net"])


def test_what_the_kernel_lacks_is_said(bed):
    c = bed.config("true")
    c["linux"]["intelRdt"] = {"closID": "x"}
    if not os.path.exists("/sys/fs/resctrl/schemata"):
        fails(bed, c, "linux.intelRdt", "no /sys/fs/resctrl")
    c = bed.config("true", apparmorProfile="nosuch")
    if not os.path.exists("/sys/kernel/security/apparmor"):
        fails(bed, c, "AppArmor")
    c = bed.config("true", selinuxLabel="a:b:c:s0")
    if not os.path.exists("/sys/fs/selinux/enforce"):
        fails(bed, c, "SELinux")
        c = bed.config("true")
        c["linux"]["mountLabel"] = "system_u:object_r:container_file_t:s0:c1,c2"
        fails(bed, c, "linux.mountLabel", "no SELinux")


def test_groups_that_are_kept(bed):
    c = bed.config("grep", "Groups", "/proc/self/status")
    for keep, want in (("1", "77 78"), ("0", "")):
        c["annotations"] = {"run.oci.keep_original_groups": keep}
        done = bed.run(c, preexec_fn=lambda: os.setgroups([77, 78]))
        equal(" ".join(done.stdout.split()[1:]), want, done.stderr)


# --- mounts -------------------------------------------------------------------------------------

def test_recursive_read_only(bed):
    source = os.path.join(bed.dir, "source")
    os.makedirs(source + "/sub")
    frame.sh("mount", "-t", "tmpfs", "sub", source + "/sub")
    try:
        script = "touch /m/sub/x && echo sub; touch /m/x && echo top; true"
        for options, want in ((["rbind", "ro"], ["sub"]), (["rbind", "rro"], []), (["rbind"], ["sub", "top"]),
                              (["rbind", "rro", "rrw"], ["sub", "top"])):
            c = bed.config("sh", "-c", script)
            c["mounts"].append({"destination": "/m", "type": "bind", "source": source, "options": options})
            done = bed.run(c)
            equal(done.stdout.split(), want, "writable with %s" % options)
        c = bed.config("grep", " /m", "/proc/self/mountinfo")
        c["mounts"].append({"destination": "/m", "type": "bind", "source": source,
                            "options": ["rbind", "rnosuid", "rnodev", "rnoexec", "rnoatime"]})
        lines = bed.output(c).strip().split("\n")
        equal(len(lines), 2)
        for l in lines:
            for word in ("nosuid", "nodev", "noexec", "noatime"):
                holds(l, word)
    finally:
        frame.sh("umount", source + "/sub")


def test_idmapped_mounts(bed):
    source = os.path.join(bed.dir, "source")
    os.mkdir(source)
    open(source + "/f", "w").close()
    os.chown(source + "/f", 1000, 1000)
    maps = [{"containerID": 1000, "hostID": 2000, "size": 1}]
    c = bed.config("stat", "-c", "%u", "/m/f")
    c["mounts"].append({"destination": "/m", "type": "bind", "source": source, "options": ["bind", "idmap"],
                        "uidMappings": maps, "gidMappings": maps})
    done = bed.run(c)
    if "no idmapped mounts" in done.stderr:
        raise Skip("no idmapped mounts of this file system")
    equal(done.stdout, "2000\n", "owner (%s)" % done.stderr)
    c["mounts"][-1] = {"destination": "/m", "type": "bind", "source": source,
                       "options": ["bind", "idmap=uids=1000-3000-1;gids=1000-3000-1"]}
    equal(bed.output(c), "3000\n")
    c["mounts"][-1]["options"] = ["bind", "idmap"]
    fails(bed, c, "idmap")


def test_copied_symlinks_and_copy_up(bed):
    os.symlink("/the/target", bed.dir + "/link")
    os.makedirs(bed.rootfs + "/up/d")
    bed.write("up/d/f", "kept")
    c = bed.config("sh", "-c", "readlink /l; cat /up/d/f; grep -c ' /up ' /proc/self/mountinfo")
    c["mounts"] += [
        {"destination": "/l", "type": "bind", "source": bed.dir + "/link", "options": ["bind", "copy-symlink"]},
        {"destination": "/up", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]},
    ]
    equal(bed.output(c).split(), ["/the/target", "kept1"])


def test_a_dev_that_is_read_only(bed):
    c = bed.config("sh", "-c", "grep ' /dev ' /proc/mounts; echo ok >/dev/null && ls /dev/pts/ptmx; touch /dev/x || echo refused")
    [m for m in c["mounts"] if m["destination"] == "/dev"][0]["options"].append("ro")
    words = bed.output(c, stderr=NULL).split()
    equal(words[:3] + words[-2:], ["tmpfs", "/dev", "tmpfs", "/dev/pts/ptmx", "refused"])
    equal(words[3].split(",")[0], "ro")


def test_a_tmpfs_where_nothing_was(bed):
    c = bed.config("stat", "-c", "%a", "/new/place", "/new", "/tmp")
    c["mounts"] += [{"destination": d, "type": "tmpfs", "source": "tmpfs"} for d in ("/new/place", "/tmp")]
    equal(bed.output(c).split(), ["1777", "755", "1777"])
    os.chmod(bed.rootfs + "/new/place", 0o710)
    equal(bed.output(c).split(), ["710", "755", "1777"])


def test_a_path_that_is_masked_twice(bed):
    os.mkdir(bed.rootfs + "/hidden")
    c = bed.config("grep", "-c", " /hidden ", "/proc/mounts")
    c["linux"]["maskedPaths"] = ["/hidden", "/proc/keys", "/hidden"]
    equal(bed.output(c), "1\n")


def test_destinations_that_are_dangling_links(bed):
    """What they name is made, within the root, and covered."""
    source = os.path.join(bed.dir, "source")
    with open(source, "w") as f:
        f.write("mounted\n")
    for target in ("/run/x/hosts", "../run/y/hosts", "/jump/hosts"):
        os.symlink(target, bed.rootfs + "/etc/hosts")
        if target.startswith("/jump"):
            os.symlink("/run/z", bed.rootfs + "/jump")
            target = "/run/z/hosts"
        path = target.replace("..", "")
        c = bed.config("sh", "-c", "cat /etc/hosts %s; grep -c ' %s ' /proc/mounts" % (path, path))
        c["mounts"].append({"destination": "/etc/hosts", "type": "bind", "source": source, "options": ["bind"]})
        equal(bed.output(c).split(), ["mounted", "mounted", "1"], target)
        os.unlink(bed.rootfs + "/etc/hosts")
    os.symlink("hosts", bed.rootfs + "/etc/hosts")
    fails(bed, c, "Symbolic link loop")


def test_no_procfs_without_masks_behind_a_chroot(bed):
    """The kernel lets a user namespace mount only what it sees already, as it sees it."""
    applets = subprocess.run(["/bin/busybox", "--list"], stdout=subprocess.PIPE, text=True).stdout.split()
    if "unshare" not in applets:
        raise Skip("no unshare in busybox")
    c = bed.config("busybox", "unshare", "-mrpf", "busybox", "mount", "-t", "proc", "none", "/tmp")
    c["process"]["capabilities"] = {k: ["CAP_SETFCAP"] for k in ("bounding", "effective", "permitted")}
    for flags in ([], ["--no-pivot"]):
        bed.use(c)
        bed.ids.append("c")
        done = bed.call("run", *flags, "-b", bed.bundle, "c")
        equal(done.returncode, 1, "%s: %s" % (flags, done.stdout + done.stderr))
        holds(done.stderr, "ermission denied")


# --- network devices ----------------------------------------------------------------------------

def test_network_devices(bed):
    if subprocess.run(["ip", "link", "add", "crd0", "type", "veth", "peer", "name", "crp0"], stderr=NULL).returncode != 0:
        raise Skip("no veth devices")
    for command in ("addr add 192.0.2.7/24 dev crd0", "addr add 2001:db8::7/64 dev crd0", "link set crd0 mtu 1400 up"):
        frame.sh("ip", *command.split())
    c = bed.config("sleep", "100")
    c["linux"]["netDevices"] = {"crd0": {"name": "inside0"}}
    bed.background(c)
    pid = str(bed.state()["pid"])
    out = frame.sh("nsenter", "--net=/proc/%s/ns/net" % pid, "ip", "addr", "show", "dev", "inside0")
    for part in ("inet 192.0.2.7/24", "inet6 2001:db8::7/64", "mtu 1400", ",UP"):
        holds(out, part)
    equal(subprocess.run(["ip", "link", "show", "crd0"], stdout=NULL, stderr=NULL).returncode != 0, True, "it has moved")
    bed.call("delete", "-f", "c")
    c["linux"]["netDevices"] = {"nosuchdev": {}}
    fails(bed, c, "linux.netDevices.nosuchdev")


# --- seccomp ------------------------------------------------------------------------------------

class Agent(threading.Thread):
    """Receives a listener and answers mkdir with EXDEV."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(4)
        self.states = []
        self.start()

    def run(self):
        while True:
            conn, _ = self.listener.accept()
            data, ancillary, _, _ = conn.recvmsg(65536, socket.CMSG_SPACE(4))
            fds = array.array("i")
            fds.frombytes(ancillary[0][2][:4])
            self.states.append(json.loads(data))
            threading.Thread(target=self.answer, args=(fds[0],), daemon=True).start()

    def answer(self, fd):
        libc = ctypes.CDLL(None, use_errno=True)
        while True:
            request = ctypes.create_string_buffer(80)
            if libc.ioctl(fd, ctypes.c_ulong(0xC0502100), request) < 0:
                return
            (id,) = struct.unpack_from("<Q", request.raw)
            reply = ctypes.create_string_buffer(struct.pack("<QqiI", id, 0, -18, 0), 24)
            libc.ioctl(fd, ctypes.c_ulong(0xC0182101), reply)


def test_seccomp_listener(bed):
    if os.uname().machine != "x86_64":
        raise Skip("the agent's ioctls are x86_64's")
    path = os.path.join(bed.dir, "agent.sock")
    agent = Agent(path)
    for nnp in (True, False):
        c = bed.config("sh", "-c", "mkdir /x; echo $?; sleep 100", noNewPrivileges=nnp)
        c["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path, "listenerMetadata": "some words",
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}],
        }
        out = os.path.join(bed.dir, "out-%s" % nnp)
        bed.use(c)
        bed.ids.append("c")
        with open(out, "w") as f:
            equal(bed.call("run", "-d", "-b", bed.bundle, "c", stdout=f, stderr=f).returncode, 0)
        frame.until(lambda: "1\n" in open(out).read(), 5, "the agent's answer in " + out)
        holds(open(out).read(), "Invalid cross-device link")
        state = agent.states[-1]
        equal(state["metadata"], "some words")
        equal(state["fds"], ["seccompFd"])
        equal(state["pid"], bed.state()["pid"])
        equal(state["state"]["id"], "c")
        done = bed.call("exec", "c", "mkdir", "/y")
        holds(done.stderr, "Invalid cross-device link")
        equal(len(agent.states) % 2, 0, "listeners: one of the init, one of the exec")
        bed.call("delete", "-f", "c")
    c["linux"]["seccomp"]["listenerPath"] = bed.dir + "/nobody"
    fails(bed, c, "linux.seccomp.listenerPath")


def test_seccomp_cache(bed):
    """A filter is compiled once, and a false file in its place is not believed."""
    cache = os.path.join(bed.root, CACHE)
    c = bed.config("sh", "-c", "mkdir /x; echo $?")
    c["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW",
                             "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 18}]}
    equal(bed.output(c), "1\n")
    files = os.listdir(cache)
    equal(len(files), 1)
    path = os.path.join(cache, files[0])
    good = open(path, "rb").read()
    equal(os.stat(path).st_mode & 0o777, 0o600)
    equal(os.stat(cache).st_mode & 0o022, 0)
    # a filter that allows everything: without its digest, and of another owner
    allow = struct.pack("<HBBI", 6, 0, 0, 0x7fff0000)
    for data, uid in ((good[:32] + allow, 0), (good[:40], 0), (b"", 0), (good, 1000)):
        os.unlink(path)
        with open(path, "wb") as f:
            f.write(data)
        os.chown(path, uid, uid)
        equal(bed.output(c), "1\n")
        equal(open(path, "rb").read(), good, "written anew")
        equal(os.stat(path).st_uid, 0)
    os.unlink(path)
    os.symlink("/dev/zero", path)
    equal(bed.output(c), "1\n")
    os.chmod(cache, 0o777)
    os.unlink(path)
    equal(bed.output(c), "1\n")
    equal(os.listdir(cache), [], "a directory that others write to is not used")
    os.chmod(cache, 0o711)


def test_seccomp_flags_and_errors(bed):
    c = bed.config("grep", "Seccomp", "/proc/self/status")
    for flags in ([], ["SECCOMP_FILTER_FLAG_LOG"], ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"]):
        c["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "flags": flags}
        holds(bed.output(c), "Seccomp:\t2")
    c["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_NOTIFY"}
    fails(bed, c, "linux.seccomp.defaultAction")
    c["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}
    fails(bed, c, "linux.seccomp.defaultErrnoRet")


# --- without root's rights ----------------------------------------------------------------------

USER = 12345


def as_user(bed):
    """The bed becomes an ordinary user's."""
    shutil.copy(frame.CRIBOX, bed.dir)
    frame.sh("chown", "-R", "%d:%d" % (USER, USER), bed.dir)
    bed.runtime = ["setpriv", "--reuid=%d" % USER, "--regid=%d" % USER, "--clear-groups",
                   os.path.join(bed.dir, "cribox"), "oci"]


def rootless(bed, *args):
    c = bed.config(*args)
    c["linux"]["namespaces"] = [{"type": t} for t in ("pid", "ipc", "uts", "mount", "user")]
    c["linux"]["uidMappings"] = [{"containerID": 0, "hostID": USER, "size": 1}]
    c["linux"]["gidMappings"] = [{"containerID": 0, "hostID": USER, "size": 1}]
    c["linux"]["resources"] = {}
    c["mounts"] = [m for m in c["mounts"] if m["destination"] not in ("/sys", "/dev/pts")]
    c["mounts"].append({"destination": "/sys", "type": "none", "source": "/sys", "options": ["rbind", "ro"]})
    c["mounts"].append({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                        "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]})
    return c


def test_rootless_with_one_id(bed):
    as_user(bed)
    c = rootless(bed, "sh", "-c", "id -u; stat -c %u /bin/busybox; cat /proc/self/setgroups; touch /sys/x || echo ro")
    done = bed.run(c)
    equal(done.stdout.split(), ["0", "0", "deny", "ro"], done.stderr)
    c = rootless(bed, "sleep", "100")
    bed.background(c, "d")
    equal(bed.call("exec", "d", "id", "-u").stdout, "0\n")
    holds(bed.call("exec", "-t", "d", "tty").stdout, "/dev/pts/")
    equal(bed.call("delete", "-f", "d").returncode, 0)
    c = rootless(bed, "true")
    c["process"]["user"]["additionalGids"] = [0]
    fails(bed, c, "additional groups")
    c = rootless(bed, "true")
    c["linux"]["uidMappings"][0]["hostID"] = 0
    fails(bed, c, "linux.uidMappings")


def test_rootless_with_many_ids(bed):
    if not shutil.which("newuidmap"):
        raise Skip("no newuidmap")
    as_user(bed)
    for name, line in (("passwd", "cru:x:%d:%d::/:/bin/sh" % (USER, USER)), ("group", "cru:x:%d:" % USER),
                       ("subuid", "cru:500000:1000"), ("subgid", "cru:500000:1000")):
        path = os.path.join(bed.dir, name)
        old = open("/etc/" + name).read() if os.path.exists("/etc/" + name) else ""
        with open(path, "w") as f:
            f.write(old + line + "\n")
        if not os.path.exists("/etc/" + name):
            raise Skip("no /etc/" + name)
        frame.sh("mount", "--bind", path, "/etc/" + name)
    try:
        c = rootless(bed, "sh", "-c", "tail -1 /proc/self/uid_map; touch /tmp/f && chown 7:8 /tmp/f && stat -c %u:%g /tmp/f")
        for name in ("bounding", "effective", "permitted"):
            c["process"]["capabilities"][name] = ["CAP_CHOWN"]
        for key in ("uidMappings", "gidMappings"):
            c["linux"][key].append({"containerID": 1, "hostID": 500000, "size": 1000})
        done = bed.run(c)
        equal(done.stdout.split(), ["1", "500000", "1000", "7:8"], done.stderr)
        equal(os.stat(bed.rootfs + "/tmp/f").st_uid, 500006)
        os.unlink(bed.rootfs + "/tmp/f")
        c["linux"]["uidMappings"][1]["size"] = 2000
        fails(bed, c, "linux.uidMappings: newuidmap refused")
    finally:
        for name in ("passwd", "group", "subuid", "subgid"):
            subprocess.run(["umount", "/etc/" + name], stderr=NULL)


TESTS = [f for n, f in sorted(globals().items()) if n.startswith("test_")]
sys.exit(1 if frame.run([with_bed(f) for f in TESTS]) else 0)
