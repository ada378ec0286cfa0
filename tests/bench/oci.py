#!/usr/bin/python3
"""The OCI runtime beside the newest crun and runc that Debian has, and beside the floor.

All take turns, so that whatever else the machine does hits all of them. Times are given as the
median and the minimum: on a machine that does other things the minimum says more. The floor is
floor.c: the same namespaces, /proc and root, and nothing else; "+ groups" is the same with a
control group in each hierarchy. BENCH_QUICK=yes: fewer rounds.
"""

import copy
import glob
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "it", "lib"))
import frame  # noqa: E402

PEERS = os.path.join(frame.REPO, "build", "bench", "oci-peers")
PACKAGES = "crun runc libc6 libseccomp2 libcap2 libsystemd0 libjson-c5 libblake3-0"


def fetch():
    """The newest packages of the peers and their libraries, unpacked below build/."""
    if os.path.exists(PEERS + "/usr/bin/crun"):
        return True
    script = ". arch/apt-private.sh; private_apt deb %s/apt '%s' amd64 && cd %s && apt-get download %s"
    os.makedirs(PEERS, exist_ok=True)
    for suites in ("sid forky trixie", "trixie"):
        done = subprocess.run(["sh", "-ec", script % (PEERS, suites, PEERS, PACKAGES)], cwd=frame.REPO,
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if done.returncode == 0:
            break
    for deb in glob.glob(PEERS + "/*.deb"):
        frame.sh("dpkg", "-x", deb, PEERS)
        os.unlink(deb)
    return os.path.exists(PEERS + "/usr/bin/crun")


if os.environ.get("CRIBOX_TEST_ISOLATED") != "yes":
    fetch()  # as long as there is a network
frame.isolate()
import ocibed  # noqa: E402

QUICK = os.environ.get("BENCH_QUICK") == "yes"
ROUNDS = 30 if QUICK else 150
SOURCES = {
    "true": "int main(void) { return 0; }",
    "pause": "int pause(void);\nint main(void) { for (;;) pause(); }",
    # the peak of a child of a small process: after vfork it would be that of this script
    "peak": "#include <stdio.h>\n#include <sys/resource.h>\n#include <sys/wait.h>\n#include <unistd.h>\n"
            "int main(int c, char **v) { struct rusage u; int s; pid_t p = fork(); (void)c;"
            "if (!p) { execv(v[1], v + 1); _exit(127); } wait4(p, &s, 0, &u);"
            "dprintf(2, \"%ld\\n\", u.ru_maxrss); return s != 0; }",
}


# --- contestants --------------------------------------------------------------------------------

def peers():
    """[(name, command, environment)]: those of a newer Debian with its own C library, or the host's."""
    if os.uname().machine != "x86_64" or not fetch():
        return [(n, [shutil.which(n)], {}) for n in ("crun", "runc") if shutil.which(n)]
    # crun refuses hybrid hosts when it sees controllers on the unified hierarchy
    if os.path.exists("/sys/fs/cgroup/unified/cgroup.controllers"):
        frame.sh("mount", "--bind", "/dev/null", "/sys/fs/cgroup/unified/cgroup.controllers")
    # their libraries over the host's, in this mount namespace
    place = "/usr/lib/x86_64-linux-gnu"
    frame.sh("mount", "-t", "overlay", "-o", "lowerdir=%s:%s" % (PEERS + place, place), "peers", place)
    return [(n, [os.path.join(PEERS, "usr", d, n)], {}) for n, d in (("crun", "bin"), ("runc", "sbin"))]


def build(source, out):
    """A static program against the C library that the product has, or the host's."""
    root = os.path.join(frame.REPO, "build", frame._arch(), "sysroot")
    builtin = frame.sh("gcc", "-print-file-name=include").strip()
    flags = ["-Os", "-nostdinc", "-isystem", root + "/include", "-isystem", builtin, "-static", "-nostdlib",
             root + "/lib/crt1.o", root + "/lib/crti.o", source, root + "/lib/libc.a", "-lgcc", root + "/lib/crtn.o"]
    if not os.path.exists(root + "/lib/crt1.o"):
        flags = ["-Os", "-static", source]
    frame.sh("gcc", "-o", out, *flags)


# --- specifications -----------------------------------------------------------------------------

def bare():
    return {
        "ociVersion": "1.0.2",
        "process": {"user": {"uid": 0, "gid": 0}, "args": ["/bin/true"], "env": ["PATH=/bin"], "cwd": "/"},
        "root": {"path": "rootfs"},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"namespaces": [{"type": t} for t in ("pid", "network", "ipc", "uts", "mount")]},
    }


def docker_like():
    """What dockerd gives runc: capabilities, masks, devices, limits, and its seccomp profile."""
    c = copy.deepcopy(ocibed.CONFIG)
    caps = ["CAP_" + n for n in "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP "
            "SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE".split()]
    c["process"].update(args=["/bin/true"], capabilities={k: caps for k in ("bounding", "effective", "permitted")},
                        noNewPrivileges=False)
    c["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                        "options": ["ro", "nosuid", "noexec", "nodev"]})
    c["linux"]["maskedPaths"] = ["/proc/" + n for n in "asound acpi kcore keys latency_stats timer_list "
                                 "timer_stats sched_debug scsi".split()] + ["/sys/firmware", "/sys/devices/virtual/powercap"]
    c["linux"]["readonlyPaths"] = ["/proc/" + n for n in "bus fs irq sys sysrq-trigger".split()]
    c["linux"]["resources"] = {
        "devices": [{"allow": False, "access": "rwm"}] + [
            {"allow": True, "type": "c", "major": a, "minor": b, "access": "rwm"}
            for a, b in ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0))],
        "memory": {"limit": 512 << 20}, "cpu": {"shares": 512}, "pids": {"limit": 200},
    }
    c["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [{"names": PROFILE.split(), "action": "SCMP_ACT_ALLOW"}] + [
            {"names": ["personality"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "value": v, "op": "SCMP_CMP_EQ"}]} for v in (0, 8, 131072, 131080, 4294967295)] + [
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "value": 2114060288, "op": "SCMP_CMP_MASKED_EQ"}]},
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}],
    }
    return c


PROFILE = """accept accept4 access adjtimex alarm arch_prctl bind brk capget capset chdir chmod chown chroot
clock_getres clock_gettime clock_nanosleep close close_range connect copy_file_range creat dup dup2 dup3
epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 execve execveat exit
exit_group faccessat faccessat2 fadvise64 fallocate fanotify_mark fchdir fchmod fchmodat fchown fchownat fcntl
fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstatfs fsync ftruncate futex futex_waitv
futimesat getcpu getcwd getdents getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgid getpgrp
getpid getppid getpriority getrandom getresgid getresuid getrlimit get_robust_list getrusage getsid getsockname
getsockopt get_thread_area gettid gettimeofday getuid getxattr inotify_add_watch inotify_init inotify_init1
inotify_rm_watch io_cancel ioctl io_destroy io_getevents io_pgetevents ioprio_get ioprio_set io_setup io_submit
kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lgetxattr link linkat listen listxattr
llistxattr lremovexattr lseek lsetxattr lstat madvise membarrier memfd_create memfd_secret mincore mkdir mkdirat
mknod mknodat mlock mlock2 mlockall mmap modify_ldt mprotect mq_getsetattr mq_notify mq_open mq_timedreceive
mq_timedsend mq_unlink mremap msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at
nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free
pkey_mprotect poll ppoll prctl pread64 preadv preadv2 prlimit64 process_mrelease process_vm_readv
process_vm_writev pselect6 ptrace pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recvfrom
recvmmsg recvmsg remap_file_pages removexattr rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction
rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo
sched_getaffinity sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler
sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select
semctl semget semop semtimedop sendfile sendmmsg sendmsg sendto setfsgid setfsuid setgid setgroups setitimer
setpgid setpriority setregid setresgid setresuid setreuid setrlimit set_robust_list setsid setsockopt
set_thread_area set_tid_address setuid setxattr shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4
socket socketpair splice stat statfs statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time
timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime
timerfd_settime times tkill truncate umask uname unlink unlinkat utime utimensat utimes vfork vmsplice wait4 waitid
write writev"""


# --- measuring ----------------------------------------------------------------------------------

NULL = os.open("/dev/null", os.O_RDWR)
ENV = {"PATH": os.environ["PATH"]}


class Side:
    def __init__(self, name, command, env, top):
        self.name, self.command, self.env = name, command, dict(ENV, **env)
        self.root = "/run/bench-" + name  # where states are: in memory

    def argv(self, *args):
        return self.command + ["--root", self.root] + list(args)

    def call(self, *args, expect=0, quiet=False):
        """Runs it; returns seconds."""
        argv = self.argv(*args)
        actions = [(os.POSIX_SPAWN_DUP2, NULL, n) for n in ((0, 1, 2) if quiet else (0, 1))]
        begin = time.perf_counter()
        pid = os.posix_spawn(argv[0], argv, self.env, file_actions=actions)
        _, status = os.waitpid(pid, 0)
        took = time.perf_counter() - begin
        if expect is not None and os.waitstatus_to_exitcode(status) != expect:
            raise RuntimeError("%s: status %d" % (" ".join(argv), os.waitstatus_to_exitcode(status)))
        return took

    def peak(self, top, *args):
        """Peak MiB of it and its children."""
        done = subprocess.run([top + "/peak"] + self.argv(*args), env=self.env, stdin=NULL, stdout=NULL,
                              stderr=subprocess.PIPE, text=True)
        return int(done.stderr.split()[-1]) / 1024


def bundle(top, name, config, programs):
    """A bundle; the container's cgroup is the bench's own."""
    path = os.path.join(top, name)
    for d in "bin proc sys dev etc tmp".split():
        os.makedirs(os.path.join(path, "rootfs", d))
    for p in programs:
        shutil.copy(p, os.path.join(path, "rootfs", "bin"))
    config["linux"]["cgroupsPath"] = "/%s/%s" % (os.path.basename(top), name)
    with open(os.path.join(path, "config.json"), "w") as f:
        json.dump(config, f)
    return path


rows = []


def show(what, values, unit, aims):
    """A row: medians and minima by name; aims {peer: part of it}."""
    ours = values["cribox"]
    for name, got in values.items():
        median, low = statistics.median(got), min(got)
        cells = [what, name, "%.2f" % median, "%.2f" % low, unit]
        if name != "cribox":
            ratio = statistics.median(ours) / median
            aim = aims.get(name)
            cells += ["%.2f x" % ratio, "<= %g x" % aim if aim else "",
                      "" if not aim else "yes" if ratio <= aim else "NO"]
        rows.append(cells)
        print("%-22s %-8s %9s %9s %-4s %8s %10s %s" % tuple(cells + [""] * (8 - len(cells))), flush=True)


def rounds(sides, step, count=None):
    """step(side) -> seconds, in turns; {name: [ms]}."""
    got = {s.name: [] for s in sides}
    for i in range((count or ROUNDS) + 3):
        for s in sides:
            took = step(s)
            if i >= 3:  # the first ones warm caches up
                got[s.name].append(took * 1000)
    return got


def clear_dev(bundle):
    """runc fails over the links that it has left in the root's own /dev."""
    for entry in os.scandir(bundle + "/rootfs/dev") if bundle else ():
        if not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.path)


def own_groups(top):
    """A group in each hierarchy that has the bench's own."""
    found = glob.glob("/sys/fs/cgroup/*/%s" % os.path.basename(top)) or ["/sys/fs/cgroup/" + os.path.basename(top)]
    for path in (g + "/cgroup.clone_children" for g in found):
        if os.path.exists(path):
            frame.sh("sh", "-c", "echo 1 > " + path)  # a cpuset without processors takes no process
    return [g + "/floor" for g in found if os.path.isdir(g)]


def bench_run(sides, top, programs, floor):
    for name, config, aims in (("bare", bare(), {"crun": 0.5, "floor": 1.5}),
                               ("docker", docker_like(), {"crun": 0.6, "runc": 0.15})):
        # each has its own: some leave device nodes in the root
        path = {s.name: bundle(top, "run-%s-%s" % (name, s.name), config, programs) for s in sides}
        all_sides = sides
        if name == "bare":
            low, groups = Side("floor", [floor], {}, top), Side("+ groups", [floor], {}, top)
            low.argv = lambda *a: [floor, path["cribox"] + "/rootfs", "/bin/true"]
            groups.argv = lambda *a: low.argv() + own_groups(top)
            path["floor"] = path["+ groups"] = ""
            all_sides = sides + [low, groups]

        def step(side):
            clear_dev(path[side.name])
            return side.call("run", "-b", path[side.name], "r" + side.name)

        show("run " + name, rounds(all_sides, step), "ms", aims)


def bench_life(sides, top, programs):
    """create, start, state, exec, delete of a docker-like container."""
    config = docker_like()
    config["process"]["args"] = ["/bin/pause"]
    path = {s.name: bundle(top, "life-" + s.name, config, programs) for s in sides}
    took = {v: {s.name: [] for s in sides} for v in ("create", "start", "state", "exec", "delete")}
    for i in range(ROUNDS // 2 + 2):
        for s in sides:
            id = "l" + s.name
            for verb, args, expect in (("create", ("create", "-b", path[s.name], id), 0), ("start", ("start", id), 0),
                                       ("state", ("state", id), 0), ("exec", ("exec", id, "/bin/true"), 0),
                                       ("delete", ("delete", "-f", id), 0)):
                ms = s.call(*args, expect=expect) * 1000
                if i >= 2:
                    took[verb][s.name].append(ms)
    for verb, aims in (("create", {"crun": 0.4}), ("start", {}), ("state", {}), ("exec", {"crun": 0.4}),
                       ("delete", {})):
        show(verb, took[verb], "ms", aims)


def bench_memory(sides, top, programs):
    """Peak RSS, and the least limit under which a container starts."""
    path = {s.name: bundle(top, "rss-" + s.name, docker_like(), programs) for s in sides}
    show("peak RSS of run", {s.name: [s.peak(top, "run", "-b", path[s.name], "m" + s.name)] for s in sides},
         "MiB", {"crun": 0.25})
    for name, config in (("bare", bare()), ("docker", docker_like())):
        least = {}
        for s in sides:
            for kib in (64, 128, 160, 192, 224, 256, 320, 384, 512, 768, 1024, 2048, 3072, 4096, 5120, 6144, 8192):
                config["linux"].setdefault("resources", {})["memory"] = {"limit": kib << 10}
                path = bundle(top, "least-%s-%s-%d" % (name, s.name, kib), copy.deepcopy(config), programs)
                try:
                    for _ in range(3):
                        clear_dev(path)
                        s.call("run", "-b", path, "t" + s.name, quiet=True)
                    least[s.name] = [kib]
                    break
                except RuntimeError:
                    s.call("delete", "-f", "t" + s.name, expect=None, quiet=True)
        show("least memory " + name, least, "KiB", {"crun": 1})


def private_kib(pid):
    """What is not a page of a file: also what it shares with a child that it forked."""
    with open("/proc/%d/smaps_rollup" % pid) as f:
        return sum(int(l.split()[1]) for l in f if l.startswith("Anonymous:"))


def bench_private(side, top, programs):
    """Private memory of a create that waits: for a hook, here."""
    config = docker_like()
    config["hooks"] = {"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "1"]}]}
    path = bundle(top, "private", config, programs)
    p = subprocess.Popen(side.argv("create", "-b", path, "p"), stdin=NULL, stdout=NULL)
    time.sleep(0.5)
    got = private_kib(p.pid)
    p.wait()
    side.call("delete", "-f", "p")
    rows.append(["private of create", side.name, str(got), "", "KiB", "", "< 300", "yes" if got < 300 else "NO"])
    print("%-22s %-8s %9d %9s %-4s %8s %10s %s" % ("private of create", side.name, got, "", "KiB", "", "< 300",
                                                   "yes" if got < 300 else "NO"))


def clean(top):
    for base, dirs, _ in os.walk("/sys/fs/cgroup", topdown=False):
        if "/" + os.path.basename(top) in base:
            try:
                os.rmdir(base)
            except OSError:
                pass
    shutil.rmtree(top, ignore_errors=True)


def main():
    top = tempfile.mkdtemp(prefix="cribox-bench-")
    try:
        for name, text in SOURCES.items():
            with open(os.path.join(top, name + ".c"), "w") as f:
                f.write(text + "\n")
            build(os.path.join(top, name + ".c"), os.path.join(top, name))
        build(os.path.join(HERE, "floor.c"), os.path.join(top, "floor"))
        programs = [os.path.join(top, "true"), os.path.join(top, "pause")]
        sides = [Side("cribox", [frame.CRIBOX, "oci"], {}, top)]
        sides += [Side(n, c, e, top) for n, c, e in peers()]
        for s in sides[1:]:
            text = subprocess.run(s.command + ["--version"], env=s.env, stdout=subprocess.PIPE, text=True).stdout
            print("# " + text.split("\n")[0])
        print("%-22s %-8s %9s %9s %-4s %8s %10s" % ("what", "who", "median", "min", "", "ours", "aim"))
        bench_run(sides, top, programs, os.path.join(top, "floor"))
        bench_life(sides, top, programs)
        bench_memory(sides, top, programs)
        bench_private(sides[0], top, programs)
    finally:
        clean(top)
    missed = [r for r in rows if r[-1] == "NO"]
    print("%d of the aims are missed" % len(missed))


main()
