"""ctl against a real CRI server, in a bed of crid.py or containerd.py: from the pull to the
removal, with crictl's files."""

import json
import os
import pty
import re
import select
import shlex
import signal
import struct
import subprocess
import termios
import time

import fcntl
from crid import BOX, REGISTRY
from frame import CRIBOX, equal, holds, until

POD = """metadata:
  name: {name}
  namespace: tests
  attempt: 1
  uid: {name}-uid
log_directory: {logs}/{name}
labels: {{app: demo, tier: "1"}}
linux:
  cgroup_parent: {cgroup}
  security_context:
    namespace_options: {{network: {network}, pid: 1}}
"""

CONTAINER = {
    "metadata": {"name": "box"},
    "image": {"image": BOX},
    "command": ["sh", "-c", "echo out; echo err >&2; trap 'exit 3' TERM; sleep 1000 & wait"],
    "envs": [{"key": "GREETING", "value": "hello there"}],
    "log_path": "box.log",
    "linux": {},
}


class Ctl:
    def __init__(self, bed):
        self.bed = bed
        self.stderr = ""

    def argv(self, *args):
        return [CRIBOX, "ctl", "-r", self.bed.socket, *args]

    def __call__(self, *args, status=0, stdin=b""):
        done = subprocess.run(self.argv(*args), input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=120)  # fmt: skip
        self.stderr = done.stderr.decode(errors="replace")
        if done.returncode != status:
            raise AssertionError("ctl %s: status %d, not %d: %s%s" % (
                " ".join(args), done.returncode, status, done.stdout.decode(errors="replace"),
                self.stderr))  # fmt: skip
        return done.stdout.decode(errors="replace")

    def json(self, *args):
        return json.loads(self(*args))

    def files(self, network=2, **more):
        """A pod's YAML file and a container's JSON file."""
        self.bed.count += 1
        name = "ctl%d" % self.bed.count
        pod, ctr = "/run/%s.yaml" % name, "/run/%s.json" % name
        with open(pod, "w") as f:
            f.write(POD.format(name=name, logs=self.bed.logs, cgroup=self.bed.cgroup,
                               network=network))  # fmt: skip
        security = {"namespace_options": {"network": network, "pid": 1}}
        with open(ctr, "w") as f:
            json.dump(dict(CONTAINER, linux={"security_context": security}, **more), f)
        return pod, ctr

    def run(self, **more):
        """Runs a pod with a container; their ids."""
        pod_file, ctr_file = self.files(**more)
        pod = self("runp", pod_file).strip()
        ctr = self("create", pod, ctr_file, pod_file).strip()
        self.bed.ids.update((pod, ctr))
        equal(self("start", ctr), ctr + "\n", "what start prints")
        return pod, ctr


def test_runtime(b):
    ctl = Ctl(b)
    holds(ctl("version"), "RuntimeApiVersion:  v1")
    info = ctl.json("info")
    conditions = {c["type"]: c["status"] for c in info["status"]["conditions"]}
    equal(conditions["RuntimeReady"], True, "RuntimeReady")
    equal(ctl.json("info", "-q")["status"], info["status"], "status with and without details")
    # containerd 1.6 does not know this call
    done = subprocess.run(ctl.argv("runtime-config"), stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.PIPE)  # fmt: skip
    if done.returncode:
        holds(done.stderr, "RuntimeConfig: Unimplemented")
    else:
        holds(done.stdout, "cgroup driver:   CGROUPFS")


def test_images(b):
    ctl = Ctl(b)
    image = ctl("pull", BOX).split()[-1]
    ctl("pull", REGISTRY + "/entry:latest")
    equal(len(image.split(":")[-1]), 64, "length of the image's id")
    line = [x for x in ctl("images").splitlines() if "/box" in x][0]
    equal(line.split()[:3], [REGISTRY + "/box", "latest", image.split(":")[-1][:13]])
    equal(re.fullmatch(r"[0-9.]+[kM]B", line.split()[3]) is not None, True, "a size")
    got = ctl.json("inspecti", BOX)
    equal((got["status"]["id"], got["status"]["repoTags"]), (image, [BOX]))
    holds(ctl("images", "-q"), image)
    holds(ctl("images", "-q", BOX).split(), image)  # containerd 1.6 lists all of them
    fs = ctl.json("imagefsinfo")["status"]["imageFilesystems"][0]
    equal(fs["fsId"]["mountpoint"].startswith("/"), True, "a mount point")
    ctl("pull", REGISTRY + "/none:latest", status=1)
    holds(ctl.stderr, "NotFound")
    holds(ctl("rmi", REGISTRY + "/entry:latest"), "Deleted: " + REGISTRY + "/entry:latest")
    ctl("rmi", REGISTRY + "/entry:latest", status=1)
    holds(ctl.stderr, "no such image")


def test_life(b):
    ctl = Ctl(b)
    ctl("pull", BOX)
    pod, ctr = ctl.run()
    equal((len(pod), len(ctr)), (64, 64), "lengths of the ids")
    line = [x for x in ctl("ps").splitlines() if ctr[:13] in x][0].split()
    holds(line, "Running")
    holds(line, pod[:13])
    line = [x for x in ctl("pods", "--label", "app=demo").splitlines() if pod[:13] in x][0]
    holds(line, "Ready")
    holds(line, "seconds ago" if "seconds" in line else "second ago")
    equal(ctl("pods", "-q", "--label", "app=other"), "", "pods with another label")
    equal(ctl("ps", "-q", "-p", pod[:8]), ctr + "\n", "containers of a pod")
    got = ctl.json("inspect", ctr[:10])
    equal(got["status"]["state"], "CONTAINER_RUNNING", "state")
    equal(got["status"]["finishedAt"], "0001-01-01T00:00:00Z", "an end that has not come")
    equal(got["info"]["pid"] > 1, True, "a pid")
    p = ctl.json("inspectp", pod[:10])
    equal((p["status"]["metadata"]["attempt"], p["status"]["labels"]["tier"]), (1, "1"))
    equal(p["info"]["pid"] > 0, True, "the pod's pid")
    ctl("rm", ctr, status=1)
    holds(ctl.stderr, "is running")
    equal(ctl("stop", "-t", "10", ctr[:9]), ctr[:9] + "\n", "what stop prints")
    got = ctl.json("inspect", ctr)["status"]
    equal((got["state"], got["exitCode"], got["reason"]), ("CONTAINER_EXITED", 3, "Error"))
    equal(got["finishedAt"] > got["startedAt"] > got["createdAt"], True, "order of times")
    equal(ctl("ps", "-q", "-p", pod), "", "what runs")
    equal(ctl("ps", "-aq", "-p", pod), ctr + "\n", "what does not run")
    log = got["logPath"]
    ctl("rm", ctr)
    equal(os.path.exists(log), False, "the log of a container that was removed")
    equal(ctl("stopp", pod), "Stopped sandbox %s\n" % pod)
    holds(ctl("pods", "--state", "notready", "--no-trunc"), pod)
    equal(ctl("rmp", pod[:6]), "Removed sandbox %s\n" % pod[:6])
    equal(ctl("pods", "-q", "--id", pod), "", "pods that are left")


def test_run_command(b):
    ctl = Ctl(b)
    pod_file, ctr_file = ctl.files()
    ctr = ctl("run", ctr_file, pod_file).strip()
    b.ids.add(ctr)
    equal(ctl("exec", "-s", ctr, "sh", "-c", "echo $GREETING"), "hello there\n")
    pod = ctl.json("ps", "-o", "json", "--id", ctr)["containers"][0]["podSandboxId"]
    b.ids.add(pod)
    equal(ctl("rmp", "-f", pod), "Stopped sandbox %s\nRemoved sandbox %s\n" % (pod, pod))


def test_exec_sync(b):
    ctl = Ctl(b)
    ctl("pull", BOX)
    _, ctr = ctl.run()
    equal(ctl("exec", "--sync", ctr, "sh", "-c", "echo o; echo e >&2; exit 7", status=7), "o\n")
    equal(ctl.stderr, "e\n", "stderr")
    ctl("exec", "-s", "--timeout", "1", ctr, "sleep", "100", status=1)
    holds(ctl.stderr, "DeadlineExceeded")
    ctl("exec", "-s", ctr, "/no/such/program", status=1)
    ctl("exec", "-s", "0" * 64, "true", status=1)
    holds(ctl.stderr, "NotFound")


def test_exec_stream(b):
    ctl = Ctl(b)
    ctl("pull", BOX)
    _, ctr = ctl.run()
    equal(ctl("exec", ctr[:8], "sh", "-c", "echo o; echo e >&2; exit 9", status=9), "o\n")
    equal(ctl.stderr, "e\n", "stderr")
    equal(ctl("exec", ctr, "true"), "", "output")
    equal(ctl("exec", ctr, "seq", "1", "50000"), "".join("%d\n" % i for i in range(1, 50001)))
    ctl("exec", ctr, "/no/such/program", status=ctl_status_of_missing(ctl, ctr))
    data = os.urandom(300000).hex().encode()
    # head ends by itself: a server that speaks only v4 cannot be told that the input ends
    got = ctl("exec", "-i", ctr, "head", "-c", str(len(data)), stdin=data)
    equal(got == data.decode(), True, "600 kB through cat")
    with open("/run/input", "wb") as f:
        f.write(data[:200000])
    with open("/run/input", "rb") as f:
        done = subprocess.run(ctl.argv("exec", "-i", ctr, "head", "-c", "200000"), stdin=f,
                              stdout=subprocess.PIPE, timeout=30)  # fmt: skip
    equal(done.stdout == data[:200000], True, "input from a file")


def ctl_status_of_missing(ctl, ctr):
    """Servers differ: a failure to start (1), or the exit code of one that did not (126, 127)."""
    done = subprocess.run(ctl.argv("exec", ctr, "/no/such/program"), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=30)  # fmt: skip
    equal(done.returncode in (1, 126, 127), True, "a status of failure")
    return done.returncode


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, argv, rows=30, cols=100):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(argv[0], argv)
        self.resize(rows, cols)
        self.text = b""

    def resize(self, rows, cols):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def send(self, data):
        os.write(self.fd, data)

    def read(self, seconds=0.1):
        while select.select([self.fd], [], [], seconds)[0]:
            try:
                data = os.read(self.fd, 4096)
            except OSError:
                return
            if not data:
                return
            self.text += data

    def expect(self, part):
        def there():
            self.read()
            return part in self.text

        try:
            until(there, 10, "the terminal shows %r" % part)
        except AssertionError:
            raise AssertionError("no %r on the terminal: %r" % (part, self.text)) from None
        self.text = self.text[self.text.index(part) + len(part) :]

    def modes(self):
        return termios.tcgetattr(self.fd)[:4]

    def end(self, seconds=10):
        """The exit status; killed if it does not come."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.read(0.02)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise AssertionError("ctl did not end")


def test_exec_terminal(b):
    ctl = Ctl(b)
    ctl("pull", BOX)
    _, ctr = ctl.run()
    # a shell of the machine around it keeps the terminal open to look at its modes
    t = Terminal(["/bin/sh", "-c", "stty -a | grep -o -- '-*icanon'; %s; echo status=$?; "
                  "stty -a | grep -o -- '-*icanon'; read x"
                  % shlex.join(ctl.argv("exec", "-it", ctr, "sh"))])  # fmt: skip
    t.expect(b"icanon")
    t.send(b"echo te''rm; tty\n")
    t.expect(b"term\r\n")
    t.expect(b"/dev/pts/")
    t.resize(41, 133)
    t.send(b"sleep 0.5; stty size\n")
    t.expect(b"41 133")
    t.send(b"sleep 100\n")
    time.sleep(0.3)
    t.send(b"\x03")  # ends the sleep, not ctl
    t.send(b"echo al''ive\n")
    t.expect(b"alive")
    t.send(b"exit 5\n")
    t.expect(b"status=5")
    t.expect(b"\nicanon")
    t.send(b"\n")
    t.end()
    t = Terminal(["/bin/sh", "-c", "%s; echo status=$?; stty -a | grep -o -- '-*icanon'; read x"
                  % shlex.join(ctl.argv("exec", "-it", ctr, "sh", "-c", "echo re''ady; cat"))])  # fmt: skip
    t.expect(b"ready")
    t.send(b"\x10x\x10\x11")  # the first Ctrl-P goes to cat, the second leaves
    t.expect(b"status=0")
    t.expect(b"\nicanon")
    t.send(b"\n")
    t.end()
    t = Terminal(ctl.argv("exec", "-it", ctr, "sh", "-c", "echo re''ady; sleep 1000"))
    t.expect(b"ready")
    os.kill(t.pid, signal.SIGTERM)
    equal(t.end(), 128 + signal.SIGTERM, "exit status by a signal")


def test_logs(b):
    ctl = Ctl(b)
    ctl("pull", BOX)
    _, ctr = ctl.run()
    until(lambda: "out" in ctl("logs", ctr) and ctl.stderr, 5, "the first lines")
    equal(ctl("logs", ctr[:8]), "out\n")
    equal(ctl.stderr, "err\n", "stderr")
    equal(re.fullmatch(r"\d{4}-\d\d-\d\dT[0-9:]+\.\d{9}Z out\n", ctl("logs", "-t", "-s", "stdout",
                                                                    ctr)) is not None, True)  # fmt: skip
    equal(ctl("logs", "--since", "1h", "--tail", "0", ctr), "")
    ctl("logs", "-r", ctr)
    p = subprocess.Popen(ctl.argv("logs", "-f", ctr), stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)  # fmt: skip
    try:
        ctl("exec", "-s", ctr, "sh", "-c", "echo later >/proc/1/fd/1")
        time.sleep(0.3)
        ctl("stop", "-t", "5", ctr)
        out, _ = p.communicate(timeout=10)
        equal((out, p.returncode), (b"out\nlater\n", 0), "what was followed")
    finally:
        p.kill()
        p.wait()
