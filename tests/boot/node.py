"""A node in an emulator, for the boot tests: our kernel and initramfs, a serial console to expect
and send, disks, and a network in which the host is 10.0.2.2.

    with Node("x86_64", append="quiet", config='console = "open"') as node:
        node.ready()
        print(node.run("uname -m"))

Files of the test go into a second archive behind the initramfs. Logs are kept in build/boot/.
"""

import json
import os
import re
import select
import socket
import subprocess
import sys
import threading
import time

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(REPO, "initramfs"))
sys.dont_write_bytecode = True
import cpio  # noqa: E402

LOGS = os.path.join(REPO, "build/boot/log")
HOST = "10.0.2.2"  # as the guest sees this machine's loopback
PROMPT = r"(?m)^cribox# "

# What works with QEMU 7.2 (reference: -cx16 since its cmpxchg16b is wrong now and then, vx=off
# since the vector instructions break TCP's checksums, x-vof since SLOF takes ten seconds).
MACHINES = {
    "x86_64": {
        "qemu": "qemu-system-x86_64",
        "args": "-M q35 -cpu max,-cx16 -serial chardev:con",
        "console": "ttyS0",
        "mem": 256,
        "bus": "pci",
    },
    "arm64": {
        "qemu": "qemu-system-aarch64",
        "args": "-M virt -cpu cortex-a72 -serial chardev:con",
        "console": "ttyAMA0",
        "mem": 256,
        "bus": "pci",
    },
    "ppc64le": {
        "qemu": "qemu-system-ppc64",
        "args": "-M pseries,x-vof=on,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,"
        "cap-ccf-assist=off -cpu power9 -serial chardev:con",
        "console": "hvc0",
        "mem": 512,
        "bus": "pci",
    },
    "s390x": {
        "qemu": "qemu-system-s390x",
        "args": "-M s390-ccw-virtio -cpu max,vx=off -device sclpconsole,chardev=con",
        "console": "ttysclp0",
        "mem": 256,
        "bus": "ccw",
    },
}


class Disk:
    """A disk of the node: a raw image. serial: what the guest finds it by."""

    def __init__(self, path, serial, readonly=False):
        self.path, self.serial, self.readonly = path, serial, readonly

    def args(self, number, bus):
        drive = "file=%s,format=raw,if=none,id=d%d,cache=unsafe" % (self.path, number)
        if self.readonly:
            drive += ",readonly=on"
        device = "virtio-blk-%s,drive=d%d,serial=%s" % (bus, number, self.serial)
        return ["-drive", drive, "-device", device]


def make_ext4(path, megabytes, label, directory=None):
    """A disk image with ext4 on it and nothing else."""
    with open(path, "wb") as f:
        f.truncate(megabytes << 20)
    command = ["mke2fs", "-q", "-F", "-t", "ext4", "-L", label, "-E", "root_owner=0:0"]
    if directory:
        command += ["-d", directory]
    env = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")
    subprocess.run(command + [path], check=True, env=env, stdout=subprocess.DEVNULL)
    return path


def overlay(files):
    """A cpio archive of {path: text, bytes, or (mode, data)}."""
    tree = cpio.Tree()
    tree.char("dev/console", 0o600, 5, 1)  # of a process 1 that is alone here
    for path, what in files.items():
        mode, data = what if isinstance(what, tuple) else (0o644, what)
        tree.file(path, data, mode)
    return tree.cpio()


def make(*words):
    """Runs make; a failure is a failed test."""
    drop = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    env = {k: v for k, v in os.environ.items() if k not in drop}
    done = subprocess.run(["make"] + list(words), cwd=REPO, env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)  # fmt: skip
    if done.returncode:
        print("not ok build: make %s: %s" % (" ".join(words), done.stdout[-500:]))
        sys.exit(1)


def build(archs):
    """What the tests boot: images and the program of the demo image, for each of them."""
    for arch in archs:
        make("ARCH=" + arch, "image", "build/%s/demo" % arch)


def demo_files(port):
    """Files of a node that is to run the demo: that the registry on this machine's PORT speaks
    plain HTTP, and descriptions of a pod with two containers."""
    registry = "%s:%d" % (HOST, port)
    pod = {
        "metadata": {"name": "demo-pod", "uid": "demo-uid", "namespace": "default"},
        "hostname": "demo",
        "log_directory": "/var/log/pods/demo",
        "dns_config": {"servers": ["192.0.2.1"]},
    }
    labels = {"io.kubernetes.pod.name": "demo-pod", "io.kubernetes.pod.namespace": "default"}
    web = {"metadata": {"name": "web"}, "image": {"image": registry + "/demo:latest"},
           "log_path": "web.log", "labels": labels}  # fmt: skip
    watch = dict(web, metadata={"name": "watch"}, log_path="watch.log",
                 args=["/bin/demo", "watch", "8080"])  # fmt: skip
    return {
        "etc/cribox/certs.d/%s/hosts.toml" % registry: 'server = "http://%s"\n' % registry,
        "root/pod.json": json.dumps(pod),
        "root/web.json": json.dumps(web),
        "root/watch.json": json.dumps(watch),
    }


def one_id(text):
    """The id that a command of ctl printed."""
    found = re.search(r"(?m)^[0-9a-f]{12,64}$", text)
    if not found:
        raise Failed("no id: %.300s" % text)
    return found.group(0)


class Failed(AssertionError):
    pass


class Qmp:
    """QEMU's own side of a machine: what it is told (QMP), and what it says happened."""

    def __init__(self, sock):
        self.sock, self.data, self.events = sock, b"", []
        self._next(30)  # the greeting
        self.ask("qmp_capabilities")

    def _next(self, seconds):
        """The next message; None after that time, or when QEMU has ended."""
        while b"\n" not in self.data:
            if not select.select([self.sock], [], [], max(0, seconds))[0]:
                return None
            more = self.sock.recv(65536)
            if not more:
                return None
            self.data += more
        line, _, self.data = self.data.partition(b"\n")
        return json.loads(line)

    def ask(self, command, **arguments):
        self.sock.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while True:
            message = self._next(30)
            if message is None or "error" in message:
                raise Failed("QMP %s: %s" % (command, message))
            if "return" in message:
                return message["return"]
            self.events.append(message)

    def event(self, name, timeout):
        """Waits for it, if it has not happened yet: what QEMU says about it, or None."""
        end = time.monotonic() + timeout
        while True:
            for number, message in enumerate(self.events):
                if message["event"] == name:
                    return self.events.pop(number).get("data", {})
            message = self._next(end - time.monotonic())
            if message is None:
                return None
            self.events.append(message)


class Node:
    count = 0

    def __init__(self, arch="x86_64", append="", config='console = "open"\n', files=None,
                 disks=(), net=True, mem=0, cpus=1, image=None, name=None, args=(),
                 show=None, bare=False, reboots=False):  # fmt: skip
        """config: a drop-in of the node's configuration; files: {path: contents} more; net: True
        for a NIC with user networking, or QEMU's options of it, or None; image: the
        directory of vmlinuz and initramfs.img; args: more of QEMU's; show: is called with what the
        console says, as it comes; bare: without the node's own initramfs; reboots: a reset starts
        it again, and does not end it."""
        Node.count += 1
        self.show = show
        machine = MACHINES[arch]
        self.arch, self.text, self.at, self.begin = arch, "", 0, time.monotonic()
        image = image or os.path.join(REPO, "build", arch)
        base = os.path.join(LOGS, name or "%s-%d-%d" % (arch, os.getpid(), Node.count))
        os.makedirs(LOGS, exist_ok=True)
        self.log_path = base + ".log"
        self.log = open(self.log_path, "wb")
        self.initrd = base + ".initrd"
        files = dict(files or {})
        if config:
            files["etc/cribox/config.d/50-test.toml"] = config
        data = b""
        if not bare:
            with open(os.path.join(image, "initramfs.img"), "rb") as f:
                data = f.read()
        with open(self.initrd, "wb") as f:
            f.write(data + bytes(-len(data) % 4) + overlay(files))
        command = [machine["qemu"]] + machine["args"].split() + [
            "-accel", "tcg", "-smp", str(cpus), "-m", "%dM" % (mem or machine["mem"]),
            "-nodefaults", "-display", "none", "-monitor", "none",
            "-chardev", "stdio,id=con,signal=off",
            "-kernel", os.path.join(image, "vmlinuz"), "-initrd", self.initrd,
            "-append", ("console=%s panic=-1 quiet %s" % (machine["console"], append)).strip(),
        ]  # fmt: skip
        if net:
            option = net if isinstance(net, str) else "user,id=n0"
            command += ["-netdev", option, "-device",
                        "virtio-net-%s,netdev=n0%s" % (machine["bus"], ",romfile=" if machine["bus"] == "pci" else "")]  # fmt: skip
        for number, disk in enumerate(disks):
            command += disk.args(number, machine["bus"])
        if not reboots:
            command.append("-no-reboot")
        control, its = socket.socketpair()
        command += ["-chardev", "socket,id=qmp,fd=%d" % its.fileno(), "-mon", "qmp,mode=control"]
        command += args
        self.console, theirs = socket.socketpair()
        self.qemu = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs,
                                     pass_fds=[its.fileno()])  # fmt: skip
        theirs.close()
        its.close()
        self.lock = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.qmp = Qmp(control)

    def _read(self):
        while True:
            try:
                data = self.console.recv(65536)
            except OSError:
                data = b""
            if data and self.show:
                self.show(data)
            with self.lock:
                if not data:
                    self.ended = True
                    self.lock.notify_all()
                    return
                self.log.write(data)
                self.log.flush()
                self.text += data.decode("latin1").replace("\r", "")
                self.lock.notify_all()

    ended = False

    def tail(self):
        lines = [line for line in self.text.split("\n") if line.strip()]
        return " | ".join(lines[-6:])[-600:]

    def expect(self, pattern, timeout=60):
        """Waits until the pattern appears in what was not looked at yet. The match."""
        compiled = re.compile(pattern)
        end = time.monotonic() + timeout
        with self.lock:
            while True:
                found = compiled.search(self.text, self.at)
                if found:
                    self.at = found.end()
                    return found
                left = end - time.monotonic()
                if left <= 0 or self.ended:
                    raise Failed(
                        "%s: %s, waiting for %r (%s): %s"
                        % (self.arch, "the guest ended" if self.ended else "%g s passed" % timeout,
                           pattern, os.path.relpath(self.log_path, REPO), self.tail())
                    )  # fmt: skip
                self.lock.wait(min(left, 1.0))

    def write(self, text):
        self.console.sendall(text.encode())

    def send(self, line):
        self.write(line + "\n")

    def prompt(self, timeout=120):
        """To the prompt of the open console; it shows up after one Enter."""
        self.expect("Press Enter for a prompt", timeout)
        self.send("")
        self.expect(PROMPT, timeout)

    def again(self, timeout=30):
        """To the next prompt, after a command that was sent."""
        self.expect(PROMPT, timeout)

    def run(self, command, timeout=60, status=0):
        """A command on the console: what it printed. status None: any; else it must end so."""
        with self.lock:
            self.at = len(self.text)
        # hvc0 holds back what it cannot echo at once, and shows it among the output
        for piece in (command[i : i + 8] for i in range(0, len(command), 8)):
            self.write(piece)
            try:
                self.expect(re.escape(piece), 1)
            except Failed:
                if self.ended:
                    raise
        self.send("")
        begin = self.at
        self.expect(PROMPT, timeout)
        with self.lock:
            text = self.text[begin : self.at]
        text = re.sub(PROMPT + r"$", "", text)
        echo = text.find("\n")  # the command, as the terminal echoed it
        text = text[echo + 1 :] if echo >= 0 else text
        ended = re.search(r"(?m)^\[status (\d+)\]\n", text)
        got = int(ended.group(1)) if ended else 0
        if status is not None and got != status:
            raise Failed("%s: %s: status %d: %.300s" % (self.arch, command, got, text))
        return text

    def until(self, command, pattern, timeout=60):
        """Repeats a command until its output matches."""
        end = time.monotonic() + timeout
        while True:
            text = self.run(command, status=None)
            found = re.search(pattern, text)
            if found:
                return found
            if time.monotonic() > end:
                raise Failed("%s: %s: not %r within %g s: %.300s"
                             % (self.arch, command, pattern, timeout, text))  # fmt: skip
            time.sleep(0.3)

    def ready(self, timeout=120):
        """Until the daemon answers on the open console."""
        end = time.monotonic() + timeout
        self.prompt(timeout)
        self.until("ctl version", r"RuntimeApiVersion", end - time.monotonic())

    def wait(self, timeout=60):
        """Until the guest powers off; what QEMU says about it."""
        try:
            return self.qemu.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failed("%s: has not powered off within %g s: %s"
                         % (self.arch, timeout, self.tail())) from None  # fmt: skip

    def hang_disk(self, number):
        """From now on the disk answers nothing: a byte a second."""
        limits = dict.fromkeys(("bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"), 0)
        self.qmp.ask("block_set_io_throttle", device="d%d" % number, bps=1, **limits)

    def seconds(self):
        return time.monotonic() - self.begin

    def close(self):
        if self.qemu.poll() is None:
            self.qemu.kill()
        self.qemu.wait()
        self.reader.join(5)
        self.console.close()
        self.qmp.sock.close()
        self.log.close()
        if os.path.exists(self.initrd):
            os.unlink(self.initrd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
