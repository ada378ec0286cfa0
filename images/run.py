#!/usr/bin/python3
"""run.py ARCH: 'make run'. Boots the node in an emulator, with its serial console on the terminal:
it comes up, pulls the demo image from a registry on this machine's loopback, runs the demo pod
through the CRI and shows it; then the console is the user's. With CI=1, or without a terminal, it
powers off by itself, and exits with 0 only if the pod's own output was seen.

Needs no root. The registry and its files are gone when it ends; what the console showed is in
build/boot/log/run.log."""

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time
import tty
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../tests/boot"))
sys.dont_write_bytecode = True
import node as boot  # noqa: E402
import oci  # noqa: E402

INTERACTIVE = sys.stdin.isatty() and sys.stdout.isatty() and not os.environ.get("CI")
CTRL_A = b"\x01"
POD_SAYS = r"serving on port 8080"


def step(text):
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    print("\n%s== %s%s" % (bold, text, plain), flush=True)


class Registry:
    """Debian's docker-registry on a free port of the loopback."""

    def __init__(self, directory):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        config = os.path.join(directory, "registry.yml")
        with open(config, "w") as f:
            f.write(
                "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
                "storage: {filesystem: {rootdirectory: %s/registry}}\n"
                "http: {addr: '127.0.0.1:%d'}\n" % (directory, self.port)
            )
        self.log = open(os.path.join(directory, "registry.log"), "wb")
        self.process = subprocess.Popen(
            ["docker-registry", "serve", config], stdout=self.log, stderr=self.log,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        for _ in range(200):
            try:
                urllib.request.urlopen("http://127.0.0.1:%d/v2/" % self.port, timeout=2).close()
                return
            except OSError:
                time.sleep(0.05)
        raise boot.Failed("the registry does not answer")

    def close(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


def show(data):
    os.write(1, data if INTERACTIVE else data.replace(b"\r", b""))


def show_pod(node, image):
    node.run("ctl pull " + image, 120)
    node.run("ctl images")
    pod = boot.one_id(node.run("ctl runp /root/pod.json", 60))
    ids = [boot.one_id(node.run("ctl create %s /root/%s.json /root/pod.json" % (pod, name)))
           for name in ("web", "watch")]  # fmt: skip
    node.run("ctl start %s %s" % tuple(ids))
    node.run("ctl pods")
    node.run("ctl ps")
    node.run("ctl exec %s /bin/demo show" % ids[0])
    node.until("ctl logs %s" % ids[1], "neighbour says", 30)
    return POD_SAYS in node.run("ctl logs %s" % ids[0])


def hand_over(node):
    """The terminal is the console until the guest powers off, or Ctrl-A x."""
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    escaped = False
    tty.setraw(fd, termios.TCSANOW)  # the guest's line discipline does the echo
    try:
        node.send("")
        while node.qemu.poll() is None:
            if not select.select([fd], [], [], 0.2)[0]:
                continue
            data = os.read(fd, 1024)
            for byte in (data[i : i + 1] for i in range(len(data))):
                if escaped and byte in b"xX":
                    node.qemu.kill()
                    return
                if byte == CTRL_A and not escaped:
                    escaped = True
                    continue
                escaped = False
                node.console.sendall(byte)
            if not data:
                return
    finally:
        termios.tcsetattr(fd, termios.TCSANOW, before)
        print()


def main():
    arch = sys.argv[1]
    work = tempfile.mkdtemp(prefix="cribox-run.")
    registry = node = None
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        step("a registry on the loopback of this machine, and the demo image for " + arch)
        registry = Registry(work)
        layout = os.path.join(work, "image")
        subprocess.run([sys.executable, HERE + "/build-demo.py", layout, arch], check=True)
        oci.Layout.read(layout).push("127.0.0.1:%d" % registry.port, "demo")
        files = boot.demo_files(registry.port)
        step("the node: %s in QEMU, kernel and initramfs of build/%s" % (arch, arch))
        node = boot.Node(arch, files=files, name="run", mem=512, show=show)
        node.ready(300)
        print("\n# the daemon answers after %.1f s" % node.seconds())
        seen = show_pod(node, "%s:%d/demo:latest" % (boot.HOST, registry.port))
        if INTERACTIVE:
            step("the console is yours; 'poweroff' ends the node, Ctrl-A x the emulator at once")
            hand_over(node)
            return 0
        node.send("poweroff")
        node.wait(120)
        if not seen:
            sys.exit("run: the pod's own output was not seen")
        print("\nThe pod said %r; the node has powered off." % POD_SAYS)
        return 0
    except (boot.Failed, OSError, subprocess.CalledProcessError) as e:
        sys.exit("\nrun: %s" % e)
    finally:
        if node:
            node.close()
        if registry:
            registry.close()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
