"""Network namespaces and small clients and servers for the tests of pod networks.

The test's own (isolated) namespace is the host; pods and the outside are named namespaces.
Sockets of other namespaces are made by entering them for short: no helper processes.
"""

import ctypes
import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile

from frame import CRIBOX, sh

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
OUTSIDE, OUTSIDE6 = "192.0.2.2", "2001:db8::2"
UPLINK, UPLINK6 = "192.0.2.1", "2001:db8::1"


def netns(name):
    return "/run/netns/" + name


class inside:
    """with inside("pod"): ... runs in that namespace; None is the host."""

    def __init__(self, name):
        self.path = netns(name) if name else None

    def enter(self, path):
        fd = os.open(path, os.O_RDONLY)
        if libc.setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns " + path)
        os.close(fd)

    def __enter__(self):
        if self.path:
            self.home = os.open("/proc/self/ns/net", os.O_RDONLY)
            self.enter(self.path)

    def __exit__(self, *why):
        if self.path:
            if libc.setns(self.home, CLONE_NEWNET) != 0:
                os._exit(99)
            os.close(self.home)


def make_socket(ns, address, kind, bind=None):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with inside(ns):
        s = socket.socket(family, kind)
    s.settimeout(1.5)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if bind:
        s.bind(bind)
    return s


def tcp(ns, address, port, server):
    """Connects from ns to address:port, where `server` listens. The client as the server
    sees it, or None if nothing gets through."""
    with make_socket(ns, address, socket.SOCK_STREAM) as client:
        try:
            client.connect((address, port))
            conn, peer = server.accept()
        except OSError:
            return None
        with conn:
            conn.sendall(b"hello")
            if client.recv(5) != b"hello":
                return None
        return peer[0]


def udp(ns, address, port, server):
    """The same with one datagram and its answer, from where the question went to."""
    with make_socket(ns, address, socket.SOCK_DGRAM) as client:
        try:
            client.connect((address, port))
            client.send(b"hello")
            data, peer = server.recvfrom(100)
            server.sendto(data, peer)
            return peer[0] if client.recv(100) == b"hello" else None
        except OSError:
            return None


def listen(ns, port, v6=False, kind=socket.SOCK_STREAM, address=None):
    s = make_socket(ns, "::" if v6 else "0.0.0.0", kind)
    if v6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind((address or ("::" if v6 else "0.0.0.0"), port))
    if kind == socket.SOCK_STREAM:
        s.listen(8)
    return s


def packet_socket(ns, interface, protocol=0):
    with inside(ns):
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol))
        s.bind((interface, protocol))
    s.settimeout(0.3)
    return s


def mac_bytes(text):
    return bytes(int(part, 16) for part in text.split(":"))


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def udp_frame(dst_mac, src_mac, src, dst, port, payload):
    """An Ethernet frame with a UDP datagram."""
    body = struct.pack("!HHHH", 4000, port, 8 + len(payload), 0) + payload
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 1, 0, 64, 17, 0,
        socket.inet_aton(src), socket.inet_aton(dst))
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return mac_bytes(dst_mac) + mac_bytes(src_mac) + b"\x08\x00" + head + body


def arp_reply(dst_mac, src_mac, says_mac, says_ip, to_ip):
    return (
        mac_bytes(dst_mac) + mac_bytes(src_mac) + b"\x08\x06"
        + struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2)
        + mac_bytes(says_mac) + socket.inet_aton(says_ip)
        + mac_bytes(dst_mac) + socket.inet_aton(to_ip))


class Bed:
    """Directories of the loader, and namespaces; close() removes them."""

    def __init__(self):
        self.base = tempfile.mkdtemp(prefix="cni-", dir="/run")
        self.names = []
        os.mkdir(self.path("conf"))
        os.mkdir(self.path("bin"))

    def path(self, *parts):
        return os.path.join(self.base, *parts)

    def netns(self, name):
        sh("ip", "netns", "add", name)
        self.names.append(name)
        return netns(name)

    def remove_netns(self, name):
        sh("ip", "netns", "del", name)
        self.names.remove(name)

    def outside(self):
        """A network beyond the host, which knows no way to the pods."""
        self.netns("outside")
        sh("ip", "link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", "outside")
        sh("ip", "addr", "add", UPLINK + "/24", "dev", "up0")
        sh("ip", "addr", "add", UPLINK6 + "/64", "dev", "up0", "nodad")
        sh("ip", "link", "set", "up0", "up")
        for command in (
            ["addr", "add", OUTSIDE + "/24", "dev", "eth0"],
            ["addr", "add", OUTSIDE6 + "/64", "dev", "eth0", "nodad"],
            ["link", "set", "eth0", "up"],
            ["link", "set", "lo", "up"],
        ):
            sh("ip", "-n", "outside", *command)

    def conf(self, name, text):
        with open(self.path("conf", name), "w") as f:
            f.write(text if isinstance(text, str) else json.dumps(text))

    def program(self, name, text):
        with open(self.path("bin", name), "w") as f:
            f.write(text)
        os.chmod(f.name, 0o755)

    def command(self, *args, options=()):
        return [
            CRIBOX, "cni", "--conf-dir", self.path("conf"), "--bin-dir", self.path("bin"),
            "--cache-dir", self.path("cache"), *options, *args]

    def cni(self, *args, options=()):
        """Runs 'cribox cni'; the result of add. Failure is an exception."""
        out = sh(*self.command(*args, options=options))
        return json.loads(out) if "add" in args else out

    def fails(self, *args, options=()):
        """What it says when it fails, one line."""
        done = subprocess.run(
            self.command(*args, options=options), capture_output=True, text=True)
        if done.returncode == 0:
            raise AssertionError("%r succeeded: %s" % (args, done.stdout))
        if done.stderr.count("\n") != 1:
            raise AssertionError("not one line: %r" % done.stderr)
        return done.stderr.strip()

    def add(self, name, *options):
        """Makes the namespace and attaches it. Its first address and the result."""
        result = self.cni("--id", name, *options, "add", self.netns(name))
        return result["ips"][0]["address"].split("/")[0], result

    def files(self, *parts):
        top = self.path("cache", *parts)
        return sorted(
            os.path.relpath(os.path.join(d, f), top)
            for d, _, files in os.walk(top)
            for f in files
            if not f.startswith("last_reserved_ip") and f != "lock")

    def state(self):
        """What is there of links, addresses, routes, rules and files."""
        links = json.loads(sh("ip", "-j", "addr"))
        return {
            "links": sorted(
                (l["ifname"], [a["local"] for a in l["addr_info"] if a.get("scope") != "link"])
                for l in links),
            # whether the uplink has its carrier yet is not the plugin's doing
            "routes": sh("ip", "route").replace(" linkdown", ""),
            "rules": sh("nft", "list", "ruleset"),
            "files": self.files(),
        }

    def close(self):
        for name in list(self.names):
            subprocess.run(self.command("--id", name, "del"), check=False)
            self.remove_netns(name)
        subprocess.run(["ip", "link", "del", "up0"], stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(self.base)
