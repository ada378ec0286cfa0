#!/usr/bin/python3
"""init as process 1 of a PID namespace: what it does with services, orphans, logs and signals. The
same code as on a machine; only what needs a machine (mounts, modules, disks) is left out."""
# timeout: 300

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
from frame import CRIBOX, equal, holds, until  # noqa: E402

WORK = tempfile.mkdtemp(prefix="init.")
UNIFIED = "/sys/fs/cgroup/unified" if os.path.isdir("/sys/fs/cgroup/unified") else "/sys/fs/cgroup"

SCRIPTS = {
    # says when it starts and when it is told to end
    "note": 'echo "start $1 $(date +%s%N)" >>DIR/notes; '
    'trap \'echo "stop $1 $(date +%s%N)" >>DIR/notes; exit 0\' TERM; '
    "while :; do sleep 0.05; done",
    "fail": 'echo "$(date +%s%N)" >>DIR/fails; echo "it fails"; exit 3',
    # with a child, and deaf
    "deaf": "trap '' TERM; sleep 1000 & echo $! >DIR/deaf-child; while :; do sleep 1; done",
    "late": "sleep 0.5; echo \"ready $(date +%s%N)\" >>DIR/notes; "
    "python3 -c 'import socket,os; s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); "
    's.sendto(b"STATUS=x\\nREADY=1", os.environ["NOTIFY_SOCKET"])\'; '
    "exec sleep 1000",
    "listen": "sleep 0.3; exec python3 -c 'import socket,time; "
    's=socket.socket(socket.AF_UNIX); s.bind("DIR/sock"); s.listen(); time.sleep(1000)\'',
    "loud": "i=0; while [ $i -lt 6000 ]; do i=$((i+1)); "
    'echo "line $i 0123456789012345678901234567890123456789012345678901234567890123456789'
    '0123456789012345678901234567890123456789012345678901234567890123456789"; done; '
    'printf "\\033[2Jend\\n"; exec sleep 1000',
    "once": "exit 0",
}

CONFIG = """
[service.network]
exec = ["/bin/sh", "DIR/note", "network"]
ready = "none"
[service.crid]
exec = ["/bin/sh", "DIR/note", "crid"]
ready = "none"
[service.console]
exec = "/bin/false"
"""


def service(name, script, extra=""):
    return '[service.%s]\nexec = ["/bin/sh", "DIR/%s", "%s"]\n%s\n' % (name, script, name, extra)


class Init:
    """One init in namespaces of its own, below the test's."""

    def __init__(self, config):
        for name, text in SCRIPTS.items():
            with open(os.path.join(WORK, name), "w") as f:
                f.write(text.replace("DIR", WORK) + "\n")
        old = [os.path.join(WORK, n) for n in ("notes", "fails", "deaf-child", "sock")]
        for path in old + ["/run/cribox/init.sock"]:
            if os.path.exists(path):
                os.unlink(path)
        self.config = os.path.join(WORK, "config.toml")
        self.write(config)
        self.cgroup = os.path.join(UNIFIED, "cribox-init-test-%d" % os.getppid())
        os.makedirs(self.cgroup, exist_ok=True)
        setup = (
            "mkdir -p /run/cribox /var/log/cribox && mount -t tmpfs logs /var/log && "
            # a reload sets what is the machine's
            "mount --bind -o ro /proc/sys /proc/sys && "
            "mkdir -p /var/log/cribox && "
            'exec "$@"'
        )
        self.err = open(os.path.join(WORK, "err"), "w+")
        self.process = subprocess.Popen(
            ["unshare", "-pfm", "--mount-proc", "--kill-child", "sh", "-c", setup, "sh", CRIBOX,
             "init", "--supervise", "--config", self.config, "--cgroup", self.cgroup],
            stdin=subprocess.DEVNULL, stdout=self.err, stderr=self.err,
        )  # fmt: skip
        self.pid = until(self.find, 10, "init runs")
        until(lambda: os.path.exists("/run/cribox/init.sock"), 10, "init's socket")

    def write(self, config):
        with open(self.config, "w") as f:
            f.write((CONFIG + config).replace("DIR", WORK))

    def find(self):
        path = "/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)
        children = open(path).read().split()
        if children and open("/proc/%s/comm" % children[0]).read() == "init\n":
            return int(children[0])
        return None

    def enter(self, *command, status=0):
        done = subprocess.run(
            ["nsenter", "-t", str(self.pid), "-m", "-p"] + list(command),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
            timeout=120, errors="replace",
        )  # fmt: skip
        if status is not None:
            equal(done.returncode, status, "%s: %s; status" % (" ".join(command), done.stdout))
        return done.stdout

    def ctl(self, *words, status=0):
        return self.enter(CRIBOX, "service", *words, status=status)

    def row(self, name):
        for line in self.ctl().split("\n"):
            fields = line.split(None, 5)
            if fields and fields[0] == name:
                return fields
        return None

    def state(self, name):
        row = self.row(name)
        return row[1] if row else None

    def wait(self, name, state, seconds=10):
        until(lambda: self.state(name) == state, seconds, "%s is %s: %s" % (name, state, self.ctl()))

    def main_pid(self, name):
        return int(self.row(name)[2])

    def notes(self):
        try:
            with open(os.path.join(WORK, "notes")) as f:
                return [line.split() for line in f]
        except FileNotFoundError:
            return []

    def said(self):
        self.err.flush()
        return open(os.path.join(WORK, "err")).read()

    def end(self, seconds=30):
        status = self.process.wait(seconds)
        self.err.close()
        return status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        until(self.remove, 10, "the groups are gone")

    def remove(self):
        for path, _, _ in os.walk(self.cgroup, topdown=False):
            try:
                os.rmdir(path)
            except OSError:
                return False
        return True


def test_order_and_readiness(_):
    more = service("second", "note", 'after = ["first"]') + service("first", "late", 'ready = "notify"')
    more += service("sock", "listen", 'ready = "unix:DIR/sock"')
    with Init(more) as init:
        for name in ("first", "second", "sock", "crid", "network", "log"):
            init.wait(name, "up")
        at = {n[1] if n[0] == "start" else n[0]: int(n[-1]) for n in init.notes()}
        if not at["ready"] < at["second"]:
            raise AssertionError("second began before first was ready: %r" % at)
        if not at["crid"] < at["ready"]:
            raise AssertionError("crid waited for what it does not come after: %r" % at)
        holds(init.ctl("status", "nosuch", status=1), "no such service")


def test_back_off_doubles(_):
    with Init(service("bad", "fail")) as init:
        fails = os.path.join(WORK, "fails")
        until(lambda: os.path.exists(fails) and open(fails).read().count("\n") >= 6, 20, "6 starts")
        at = [int(line) / 1e9 for line in open(fails)]
        gaps = [b - a for a, b in zip(at, at[1:])]
        for i, gap in enumerate(gaps[:5]):
            want = 0.1 * 2**i
            if not want <= gap < want + 0.4:
                raise AssertionError("pause %d is %.2f s, not %.1f: %r" % (i, gap, want, gaps))
        holds(" ".join(init.row("bad")), "ended with status 3")
        holds(init.ctl("logs", "bad"), "it fails")


def test_killed_service_comes_back_alone(_):
    with Init(service("user", "note", 'after = ["crid"]')) as init:
        init.wait("user", "up")
        user, crid = init.main_pid("user"), init.main_pid("crid")
        init.enter("sh", "-c", "kill -9 %d" % crid)
        until(lambda: init.row("crid")[2] not in ("-", str(crid)), 10, "crid runs again")
        init.wait("crid", "up")
        equal(init.main_pid("user"), user, "the pid of what comes after")
        equal(init.row("crid")[3], "1", "restarts")
        # again and again: a group that was killed takes new processes
        for _n in range(3):
            init.ctl("restart", "crid")
            init.wait("crid", "up")
        holds(init.ctl("status", "crid"), "up")


def test_restart_policies(_):
    more = service("done", "once", 'restart = "on-failure"') + service("failed", "fail", 'restart = "no"')
    with Init(more) as init:
        init.wait("done", "done")
        init.wait("failed", "failed")
        holds(init.ctl("status", "failed", status=3), "failed")
        init.ctl("start", "failed", status=None)
        until(lambda: open(os.path.join(WORK, "fails")).read().count("\n") == 2, 10, "it ran twice")


def test_stop_kills_what_is_deaf(_):
    with Init(service("deaf", "deaf", "stop-timeout = 1")) as init:
        init.wait("deaf", "up")
        child = os.path.join(WORK, "deaf-child")
        until(lambda: os.path.exists(child) and open(child).read().strip(), 5, "its child")
        pid = open(child).read().strip()
        start = time.monotonic()
        init.ctl("stop", "deaf")
        took = time.monotonic() - start
        equal(init.state("deaf"), "off")
        if not 0.9 < took < 4:
            raise AssertionError("stopped after %.1f s" % took)
        until(lambda: "gone" in init.enter("sh", "-c", "kill -0 %s 2>/dev/null || echo gone" % pid,
                                           status=None), 5, "its child is gone")  # fmt: skip


def memory(pid):
    text = open("/proc/%d/smaps_rollup" % pid).read()
    maps = open("/proc/%d/maps" % pid).read()
    heap = [m for m in maps.split("\n") if m.endswith("[heap]")]
    return int(re.search(r"Private_Dirty:\s+(\d+)", text).group(1)), heap, maps.count("\n")


def test_orphans_and_memory(_):
    with Init(service("bad", "fail")) as init:
        init.wait("crid", "up")
        time.sleep(0.5)
        before = memory(init.pid)
        orphans = "i=0; while [ $i -lt 10000 ]; do (: &); i=$((i+1)); done"
        init.enter("sh", "-c", orphans)

        def zombies():
            return init.enter("sh", "-c", "grep -l '^State:.Z' /proc/[0-9]*/status | wc -l",
                              status=None).strip()  # fmt: skip

        until(lambda: zombies() == "0", 10, "no zombie is left: %s" % zombies())
        for _n in range(50):
            init.ctl()
        init.ctl("restart", "crid")
        after = memory(init.pid)
        equal(after[1:], before[1:], "heap and mappings of init after all that")
        if after[0] > 1024:
            raise AssertionError("%d KiB of private memory" % after[0])
        print("# init: %d KiB of private dirty memory" % after[0])


def test_logs(_):
    with Init(service("loud", "loud")) as init:
        until(lambda: "end" in init.ctl("logs", "loud")[-100:], 20, "it has said all")
        text = init.ctl("logs", "loud")
        holds(text, "line 6000")
        if "\x1b" in text:
            raise AssertionError("a log controls the terminal")
        if not 100000 < len(text) <= 1 << 17:
            raise AssertionError("the ring shows %d bytes" % len(text))

        def kept():
            done = init.enter("sh", "-c", "cat /var/log/cribox/loud.log.1 /var/log/cribox/loud.log",
                              status=None)  # fmt: skip
            return [int(n) for n in re.findall(r"(?m)^line (\d+) ", done)]

        until(lambda: kept()[-1:] == [6000], 10, "the file has the last line")
        # what was written faster than the keeper could read is missing; nothing comes twice
        numbers = kept()
        equal(numbers, sorted(set(numbers)), "lines of the files")
        # a keeper that hangs holds nobody, and one that is killed goes on where it was
        keeper = init.main_pid("log")
        init.enter("sh", "-c", "kill -STOP %d" % keeper)
        init.ctl("restart", "loud")
        until(lambda: "end" in init.ctl("logs", "loud")[-100:], 20, "it has said all again")
        equal(init.state("loud"), "up")
        init.enter("sh", "-c", "kill -9 %d" % keeper)
        until(lambda: init.row("log")[2] not in ("-", str(keeper)), 10, "a new keeper")
        until(lambda: kept()[-1:] == [6000] and kept().count(6000) == 2, 10, "it has caught up")


def test_reload(_):
    with Init("") as init:
        init.wait("crid", "up")
        crid = init.main_pid("crid")
        init.write(service("new", "note") + "[nonsense]\nx = 1\n")
        init.ctl("reload")
        init.wait("new", "up")
        equal(init.main_pid("crid"), crid)
        holds(init.said(), "config.toml:")
        holds(init.said(), "unknown key nonsense.x")


def test_only_root(_):
    with Init("") as init:
        said = init.enter("setpriv", "--reuid", "65534", "--clear-groups", CRIBOX, "service", status=1)
        holds(said, "Permission denied")


def down(signals, want):
    more = service("user", "note", 'after = ["crid"]') + service("deaf", "deaf", "stop-timeout = 1")
    with Init(more) as init:
        init.wait("user", "up")
        init.wait("deaf", "up")
        until(lambda: len(init.notes()) >= 3, 5, "all have started")
        start = time.monotonic()
        for one in signals:
            os.kill(init.pid, one)
            time.sleep(0.1)
        status = init.end()
        took = time.monotonic() - start
        stops = [n[1] for n in init.notes() if n[0] == "stop"]
        equal(stops[0], "user", "first to stop of %r" % stops)
        equal(sorted(stops), ["crid", "network", "user"])
        if took > 15:
            raise AssertionError("took %.1f s" % took)
        return status, want


# reboot(2) in a PID namespace ends its init with SIGHUP for a reboot, SIGINT for the others;
# unshare passes a signal on as its own end.
def test_poweroff_stays_poweroff(_):
    status, _want = down([signal.SIGUSR2, signal.SIGTERM, signal.SIGINT], None)
    if status not in (-signal.SIGINT, 128 + signal.SIGINT):
        raise AssertionError("ended with %d" % status)


def test_term_reboots(_):
    status, _want = down([signal.SIGTERM, signal.SIGUSR2], None)
    if status not in (-signal.SIGHUP, 128 + signal.SIGHUP):
        raise AssertionError("ended with %d" % status)


def test_not_process_one(_):
    done = subprocess.run([CRIBOX, "init"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    equal(done.returncode, 1)
    holds(done.stdout, "process 1")


try:
    sys.exit(frame.run([f for n, f in list(globals().items()) if n.startswith("test_")]))
finally:
    shutil.rmtree(WORK)
