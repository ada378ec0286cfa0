"""A network for netd's tests: eth0 of the test's own namespace is plugged into a bridge in the
namespace "srv", where servers listen on 10.9.0.1 and tcpdump writes down what passes."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile

import frame
from frame import CRIBOX, Skip, sh, until

DHCPD = """
authoritative; ddns-update-style none; ping-check false;
default-lease-time %d; max-lease-time %d; min-lease-time 5;
%s
"""


class Bed:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="net.", dir="/run")
        self.children = []
        self.server = None
        self.logs = []
        sh("ip", "netns", "add", "srv")
        for command in ("link add eth0 type veth peer name port0 netns srv",
                        "-n srv link set lo up", "-n srv link add sw0 type bridge forward_delay 0",
                        "-n srv link set port0 master sw0", "-n srv addr add 10.9.0.1/24 dev sw0",
                        "-n srv link set port0 up", "-n srv link set sw0 up"):
            sh("ip", *command.split())
        self.mac = re.search(r"link/ether (\S+)", sh("ip", "link", "show", "eth0")).group(1)
        self.dump = self.start("tcpdump", "-i", "sw0", "-nevvl", "-U", "ip or ip6 or arp")
        until(lambda: "listening on" in self.text(self.dump), 5, "tcpdump")

    def start(self, *command, log=None):
        """Starts a program in the namespace of the servers; returns its log's path."""
        if not shutil.which(command[0], path="/usr/sbin:/usr/bin:/sbin:/bin"):
            raise Skip("no " + command[0])
        path = log or os.path.join(self.dir, "log%d" % len(self.children))
        with open(path, "ab") as out:
            self.children.append(subprocess.Popen(
                ("nsenter", "--net=/run/netns/srv") + command, stdin=subprocess.DEVNULL,
                stdout=out, stderr=out))
        return path

    @staticmethod
    def text(path):
        with open(path, errors="replace") as f:
            return f.read()

    def serve(self, *command):
        self.logs.append(self.start(*command))
        self.server = self.children[-1]

    def log(self):
        """What the servers have said."""
        return "".join(self.text(p) for p in self.logs)

    def wire(self):
        return self.text(self.dump)

    def dnsmasq(self, *options):
        self.serve("dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0",
                   "--interface=sw0", "--no-ping", "--user=root", "--pid-file=",
                   "--dhcp-authoritative", "--dhcp-leasefile=" + self.dir + "/leases", *options)
        until(lambda: "started" in self.log(), 5, "dnsmasq")

    def dhcpd(self, seconds, subnet="10.9.0"):
        pool = "range %s.100 %s.110; option routers %s.1;" % (subnet, subnet, subnet)
        if subnet != "10.9.0":
            sh("ip", "-n", "srv", "addr", "replace", subnet + ".1/24", "dev", "sw0")
            sh("ip", "-n", "srv", "addr", "del", "10.9.0.1/24", "dev", "sw0")
        conf, leases = self.dir + "/dhcpd.conf", self.dir + "/dhcpd.leases"
        text = DHCPD % (seconds, seconds,
                        "subnet %s.0 netmask 255.255.255.0 { %s }" % (subnet, pool))
        with open(conf, "w") as f:
            f.write(text)
        open(leases, "a").close()
        self.serve("dhcpd", "-f", "-d", "-4", "-cf", conf, "-lf", leases, "-pf",
                   self.dir + "/dhcpd.pid", "-user", "root", "-group", "root", "sw0")
        until(lambda: "Server starting" in self.text(self.logs[-1]), 5, "dhcpd")

    def stop_server(self):
        self.server.kill()
        self.server.wait()

    def neighbour(self, address):
        """Another host on the bridge."""
        for command in ("netns add other", "-n other link add eth0 type veth peer name port1 netns srv",
                        "-n srv link set port1 master sw0 up", "-n other link set eth0 up",
                        "-n other addr add %s dev eth0" % address):
            sh("ip", *command.split())

    def netd(self, config, keep=False, cmdline=None, wrap=()):
        return Netd(self, config, keep, cmdline, wrap)

    @staticmethod
    def address(link="eth0"):
        """The IPv4 address of a link, or None."""
        found = re.search(r"inet ([\d.]+)/", sh("ip", "-4", "addr", "show", "dev", link))
        return found and found.group(1)

    @staticmethod
    def routes(*options):
        """Routes of eth0 as a set, metrics that contain the link's index cut short."""
        text = sh("ip", *options, "route", "show", "dev", "eth0")
        lines = (re.sub(r"metric (512|5[1-9]\d|10[2-9]\d|11\d\d) ?",
                        lambda m: "metric %s+" % ("1024" if int(m.group(1)) > 600 else "512"),
                        line).strip() for line in text.splitlines())
        return set(lines)

    def close(self):
        for child in self.children:
            child.kill()
            child.wait()
        for name in ("srv", "other"):
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL, check=False)
        for link in ("eth0", "late0"):
            subprocess.run(["ip", "link", "del", link], stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(self.dir)


class Netd:
    """A netd with directories of its own; keep: those of the one before."""

    count = 0

    def __init__(self, bed, config, keep, cmdline, wrap):
        Netd.count += 1
        self.bed = bed
        self.state, self.root = bed.dir + "/state", bed.dir + "/root"
        if not keep:
            shutil.rmtree(self.state, ignore_errors=True)
            shutil.rmtree(self.root, ignore_errors=True)
        path = "%s/netd%d" % (bed.dir, Netd.count)
        with open(path + ".toml", "w") as f:
            # the clock is the machine's, and no test's to set
            f.write(config if "[time]" in config else config + "[time]\nntp = false\n")
        self.out = path + ".log"
        self.hosts = bed.dir + "/hosts"
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.notify.bind(path + ".sock")
        args = [CRIBOX, "netd", "--config", path + ".toml", "--state", self.state, "--root",
                self.root, "--resolv-conf", "", "--hosts", self.hosts, "--log-level", "debug"]
        if cmdline is not None:
            with open(path + ".cmdline", "w") as f:
                f.write(cmdline + "\n")
            args += ["--cmdline", path + ".cmdline"]
        with open(self.out, "wb") as out:
            self.process = subprocess.Popen(
                list(wrap) + args, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env=dict(os.environ, NOTIFY_SOCKET=path + ".sock"))

    def ready(self):
        try:
            return self.notify.recv(100) == b"READY=1"
        except BlockingIOError:
            if self.process.poll() is not None:
                raise AssertionError("netd has ended: " + self.log()) from None
            return False

    def log(self):
        return Bed.text(self.out)

    def address(self):
        return Bed.address()

    def file(self, name):
        return Bed.text(self.state + "/net/" + name)

    def children(self):
        with open("/proc/%d/task/%d/children" % ((self.process.pid,) * 2)) as f:
            return f.read().split()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        finally:
            self.notify.close()
            if kind:
                print("# netd: " + self.log().replace("\n", "\n# netd: "))
                print("# server: " + self.bed.log().replace("\n", "\n# server: "))


def main(tests):
    """Runs each test with a bed of its own; the exit status."""
    frame.isolate()

    def each(test):
        def wrapped(_):
            bed = Bed()
            try:
                test(bed)
            finally:
                bed.close()
        wrapped.__name__ = test.__name__
        return wrapped

    return 1 if frame.run([each(f) for n, f in tests.items() if n.startswith("test_")]) else 0
