#!/usr/bin/python3
"""The built-in pod network: addresses, connections, mapped ports, and what is left of it."""
import json
import os
import re
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402
from cnibed import (  # noqa: E402
    OUTSIDE, OUTSIDE6, UPLINK, UPLINK6, Bed, arp_reply, inside, listen, make_socket, netns,
    packet_socket, tcp, udp, udp_frame)
from frame import equal, holds, sh  # noqa: E402

GATEWAY = "10.244.0.1"
UDP = socket.SOCK_DGRAM


def pod_link(name):
    return json.loads(sh("ip", "-n", name, "-j", "addr", "show", "eth0"))[0]


def test_two_pods(bed):
    a, result = bed.add("a", "--name", "web", "--namespace", "default", "--uid", "1-2-3")
    b, _ = bed.add("b")
    equal([a, b], ["10.244.0.2", "10.244.0.3"], "addresses")
    equal(result["ips"][0]["gateway"], GATEWAY)
    link = pod_link("a")
    equal(link["address"], "0a:58:0a:f4:00:02", "MAC address")
    equal(result["interfaces"][2]["mac"], link["address"])
    equal(result["interfaces"][2]["sandbox"], netns("a"))
    holds(sh("ip", "-n", "a", "route"), "default via " + GATEWAY)
    holds(sh("ip", "-n", "a", "link", "show", "lo"), "UP")
    with inside("a"):
        with open("/proc/sys/net/ipv6/conf/eth0/accept_ra") as f:
            equal(f.read(), "0\n", "accept_ra of the pod")
    with listen("b", 80) as server:
        equal(tcp("a", b, 80, server), a, "from pod to pod")
        equal(tcp(None, b, 80, server), GATEWAY, "from the host to a pod")
    with listen(None, 81) as server:
        equal(tcp("a", GATEWAY, 81, server), a, "from a pod to the host")
    bed.cni("--id", "a", "check")


def test_masquerade(bed):
    a, _ = bed.add("a")
    with listen("outside", 80) as server:
        equal(tcp("a", OUTSIDE, 80, server), UPLINK, "who the outside sees")
    with listen("outside", 53, kind=UDP) as server:
        equal(udp("a", OUTSIDE, 53, server), UPLINK)


def test_ports(bed):
    a, _ = bed.add("a", "--port", "8080:80", "--port", "5353:53/udp", "--port", "999:9/sctp")
    bed.add("b")
    for proto, ask, kind, out, port in (
            ("tcp", tcp, socket.SOCK_STREAM, 8080, 80), ("udp", udp, UDP, 5353, 53)):
        with listen("a", port, kind=kind) as server:
            equal(ask(None, "127.0.0.1", out, server), GATEWAY, proto + " from 127.0.0.1")
            equal(ask(None, UPLINK, out, server), UPLINK, proto + " from the host")
            equal(ask("outside", UPLINK, out, server), OUTSIDE, proto + " from outside")
            equal(ask("b", GATEWAY, out, server), GATEWAY, proto + " from another pod")
            equal(ask("b", UPLINK, out, server), GATEWAY, proto + " from a pod by the uplink")
            equal(ask("a", UPLINK, out, server), GATEWAY, proto + " from the pod itself")
            equal(ask("b", a, port, server), "10.244.0.3", proto + " without the mapping")
            equal(ask("outside", UPLINK, port, server), None, proto + " to a port not mapped")
    holds(sh("nft", "list", "ruleset"), "sctp dport 999 dnat to 10.244.0.2:9")


def test_ports_are_this_hosts_only(bed):
    """CVE-2025-67499: a mapped port does not catch connections to others' port."""
    bed.add("a", "--port", "8080:80")
    bed.add("b")
    with listen("outside", 8080) as server, listen("a", 80) as wrong:
        equal(tcp("b", OUTSIDE, 8080, server), UPLINK, "from a pod to another host")
        equal(tcp(None, OUTSIDE, 8080, server), UPLINK, "from here to another host")
        wrong.settimeout(0)
        try:
            wrong.accept()
            raise AssertionError("the pod got a connection that was for another host")
        except BlockingIOError:
            pass


def test_host_ip(bed):
    bed.add("a", "--port", UPLINK + ":8080:80", "--port", "127.0.0.1:8081:80",
            "--port", "0.0.0.0:8082:80")
    with listen("a", 80) as server:
        equal(tcp("outside", UPLINK, 8080, server), OUTSIDE)
        equal(tcp(None, "127.0.0.1", 8080, server), None, "at another address")
        equal(tcp(None, "127.0.0.1", 8081, server), GATEWAY)
        equal(tcp("outside", UPLINK, 8081, server), None, "loopback's from outside")
        equal(tcp("outside", UPLINK, 8082, server), OUTSIDE, "0.0.0.0")


def test_loopback_stays_ours(bed):
    """route_localnet, which mapped ports need, opens nothing (CVE-2020-8558)."""
    a, _ = bed.add("a", "--port", "8080:80")
    with open("/proc/sys/net/ipv4/conf/cribox0/route_localnet") as f:
        equal(f.read(), "1\n", "route_localnet")
    frames = udp_frame("0a:58:0a:f4:00:01", "0a:58:0a:f4:00:02", a, "127.0.0.1", 9999, b"in")
    with listen(None, 9999, kind=UDP, address="127.0.0.1") as secret, \
            packet_socket("a", "eth0") as raw:
        secret.settimeout(0.3)
        raw.send(frames)
        try:
            secret.recv(10)
            raise AssertionError("a pod reached a service at 127.0.0.1 of the host")
        except socket.timeout:
            pass
        sh("nft", "flush", "chain", "ip", "cribox", "localnet")
        raw.send(frames)
        equal(secret.recv(10), b"in", "without our rule (else this test proves nothing)")
    bed.cni("--id", "a", "del")


def test_udp_follows_the_port(bed):
    """A client that goes on sending reaches the pod that has the port now."""
    bed.add("a", "--port", "5353:53/udp")
    with make_socket("outside", UPLINK, UDP) as client:
        client.connect((UPLINK, 5353))
        with listen("a", 53, kind=UDP) as server:
            client.send(b"1")
            equal(server.recv(9), b"1")
        bed.cni("--id", "a", "del")
        bed.add("b", "--port", "5353:53/udp")
        with listen("b", 53, kind=UDP) as server:
            client.send(b"2")
            try:
                equal(server.recv(9), b"2")
            except socket.timeout:
                raise AssertionError("still sent to the pod that is gone") from None


def neighbour(name, address):
    for n in json.loads(sh("ip", "-n", name, "-j", "neigh")):
        if n["dst"] == address:
            return n.get("lladdr")
    return None


def test_spoofing(bed):
    """T-NET-03: a pod with CAP_NET_RAW cannot be another one, nor a router."""
    a, _ = bed.add("a")
    b, _ = bed.add("b")
    mine, theirs, host = "0a:58:0a:f4:00:02", "0a:58:0a:f4:00:03", "0a:58:0a:f4:00:01"
    router = (b"\x33\x33\0\0\0\1" + bytes.fromhex(mine.replace(":", "")) + b"\x86\xdd"
              + bytes.fromhex("6000000000083aff") + socket.inet_pton(socket.AF_INET6, "fe80::1")
              + socket.inet_pton(socket.AF_INET6, "ff02::1") + b"\x86\0\0\0\x40\0\xff\xff")
    cases = {
        "honest": udp_frame(theirs, mine, a, b, 7, b"spoof"),
        "ip": udp_frame(theirs, mine, GATEWAY, b, 7, b"spoof"),
        "mac": udp_frame(theirs, host, a, b, 7, b"spoof"),
        "arp": arp_reply(theirs, mine, mine, GATEWAY, b),
        "arp-mac": arp_reply(theirs, mine, host, a, b),
        "router": router,
    }
    with listen("b", 80) as server:
        equal(tcp(None, b, 80, server), GATEWAY)
    with packet_socket("a", "eth0") as raw, packet_socket("b", "eth0", 3) as seen:
        for name, frame_ in cases.items():
            raw.send(frame_)
            got = False
            end = time.monotonic() + 0.3
            while not got and time.monotonic() < end:
                try:
                    got = seen.recv(2000)[:60] == frame_[:60]
                except socket.timeout:
                    break
            equal(got, name == "honest", "frame %s gets through" % name)
    equal(neighbour("b", GATEWAY), host, "who the gateway is")


def test_nothing_left(bed):
    before = bed.state()
    bed.add("a", "--port", "8080:80")
    bed.add("b")
    bed.cni("--id", "a", "del")
    holds(sh("nft", "list", "ruleset"), "masq cribox b eth0")
    if " a eth0" in sh("nft", "list", "ruleset"):
        raise AssertionError("rules of a pod that is gone")
    bed.cni("--id", "b", "del", netns("b"))
    equal(bed.state(), before, "state")
    bed.cni("--id", "a", "del")
    bed.cni("--id", "a", "del", netns("a"))
    bed.cni("--id", "never-there", "del")
    equal(bed.state(), before, "state")


def test_same_twice(bed):
    def once():
        bed.cni("--id", "a", "--port", "8080:80", "add", netns("a"))
        state = bed.state()
        bed.cni("--id", "a", "del")
        # addresses are given out in turn; the host's end is a function of the pod
        return re.sub(r"10\.244\.0\.[2-9]|0a:58:0a:f4:00:0[2-9]", "ADDR", str(state))

    bed.netns("a")
    equal(once(), once(), "state")


def test_netns_gone(bed):
    before = bed.state()
    bed.add("a", "--port", "8080:80")
    bed.remove_netns("a")
    bed.cni("--id", "a", "del", netns("a"))
    equal(bed.state(), before, "state")


def test_others_are_left_alone(bed):
    sh("nft", "add", "table", "ip", "other")
    sh("nft", "add", "chain", "ip", "other", "c")
    sh("nft", "add", "rule", "ip", "other", "c", "ip saddr 10.1.1.1 drop")
    sh("ip", "link", "add", "other0", "type", "bridge")
    before = bed.state()
    bed.add("a", "--port", "8080:80")
    bed.cni("--id", "a", "del")
    equal(bed.state(), before, "state")
    sh("nft", "delete", "table", "ip", "other")
    sh("ip", "link", "del", "other0")


def test_rules_flushed(bed):
    """T-NET-05: after 'nft flush ruleset' the next pod and every DEL work."""
    before = bed.state()
    bed.add("a", "--port", "8080:80")
    sh("nft", "flush", "ruleset")
    bed.add("b", "--port", "8081:80")
    with listen("b", 80) as server:
        equal(tcp("outside", UPLINK, 8081, server), OUTSIDE)
    bed.cni("--id", "a", "del")
    bed.cni("--id", "b", "del")
    equal(bed.state(), before, "state")


def test_subnet_in_use(bed):
    sh("ip", "route", "add", "10.244.3.0/24", "via", OUTSIDE)
    a, _ = bed.add("a")
    equal(a, "10.88.0.2", "address when 10.244.0.0/16 is routed elsewhere")
    sh("ip", "route", "del", "10.244.3.0/24")
    b, _ = bed.add("b")
    equal(b, "10.88.0.3", "address of the second pod")


def test_refusals(bed):
    before = bed.state()
    holds(bed.fails("--id", "a", "add", "/run/netns/none"), "/run/netns/none")
    holds(bed.fails("--id", "a", "add", "/etc/passwd"), "is no network namespace")
    holds(bed.fails("--id", "../x", "add", "/run/netns/none"), "bad container id")
    path = bed.netns("busy")
    sh("ip", "-n", "busy", "link", "add", "eth0", "type", "bridge")
    holds(bed.fails("--id", "busy", "add", path), "has an interface eth0")
    holds(sh("ip", "-n", "busy", "link"), "eth0")
    equal(bed.state(), before, "state")
    path = bed.netns("a")
    holds(bed.fails("--id", "a", "--port", "80:80/icmp", "add", path), "icmp")
    holds(bed.fails("--id", "a", "--port", "1.2.3:80:80", "add", path), "1.2.3")
    equal(bed.state(), before, "state")


def test_exhausted(bed):
    before = bed.state()
    options = ("--subnet", "10.9.0.0/29")
    got = [bed.add("p%d" % i, *options)[0] for i in range(5)]
    equal(got, ["10.9.0.%d" % i for i in range(2, 7)], "addresses")
    path = bed.netns("p5")
    holds(bed.fails("--id", "p5", *options, "add", path), "no free address")
    bed.cni("--id", "p2", "del")
    equal(bed.cni("--id", "p5", *options, "add", path)["ips"][0]["address"], "10.9.0.4/29")
    for i in range(6):
        bed.cni("--id", "p%d" % i, "del")
    equal(bed.state(), before, "state")


def test_dual_stack(bed):
    before = bed.state()
    options = ("--subnet", "10.9.0.0/24,fd00:9::/64", "--port", "8080:80")
    _, result = bed.add("a", *options)
    bed.add("b", "--subnet", "10.9.0.0/24,fd00:9::/64")
    equal([ip["address"] for ip in result["ips"]], ["10.9.0.2/24", "fd00:9::2/64"])
    with listen("a", 80, v6=True) as server:
        equal(tcp("b", "fd00:9::2", 80, server), "fd00:9::3", "IPv6 from pod to pod")
        equal(tcp(None, "fd00:9::2", 80, server), "fd00:9::1", "IPv6 from the host")
        equal(tcp("outside", UPLINK6, 8080, server), OUTSIDE6, "IPv6 over a mapped port")
        equal(tcp("b", "fd00:9::1", 8080, server), "fd00:9::1", "IPv6 hairpin")
    with listen("a", 80) as server:
        equal(tcp("outside", UPLINK, 8080, server), OUTSIDE)
    with listen("outside", 80, v6=True) as server:
        equal(tcp("a", OUTSIDE6, 80, server), UPLINK6, "IPv6 masquerade")
    bed.cni("--id", "a", "del")
    bed.cni("--id", "b", "del")
    equal(bed.state(), before, "state")


def test_parallel(bed):
    before = bed.state()
    names = ["p%02d" % i for i in range(12)]
    for name in names:
        bed.netns(name)
    for round_ in range(2):
        adds = [subprocess.Popen(
            bed.command("--id", n, "--port", "%d:80" % (9000 + i), "add", netns(n)),
            stdout=subprocess.PIPE, text=True) for i, n in enumerate(names)]
        got = [json.loads(p.communicate()[0])["ips"][0]["address"] for p in adds]
        equal(len(set(got)), len(names), "different addresses")
        with listen("p07", 80) as server:
            equal(tcp("outside", UPLINK, 9007, server), OUTSIDE)
        dels = [subprocess.Popen(bed.command("--id", n, "del")) for n in names]
        equal([p.wait() for p in dels], [0] * len(names), "status of del")
        equal(bed.state(), before, "state after round %d" % round_)


def test_first_pods_at_once(bed):
    """None of them takes the route of the bridge that another has just made for somebody else's."""
    names = ["f%02d" % i for i in range(12)]
    for name in names:
        bed.netns(name)
    for round_ in range(8):
        adds = [subprocess.Popen(bed.command("--id", n, "add", netns(n)), stdout=subprocess.PIPE, text=True)
                for n in names]
        said = [p.communicate()[0] for p in adds]
        equal([p.returncode for p in adds], [0] * len(names), "statuses of round %d" % round_)
        got = [json.loads(text) for text in said]
        equal({g["ips"][0]["gateway"] for g in got}, {GATEWAY}, "gateways in round %d" % round_)
        for n in names:
            bed.cni("--id", n, "del")  # the last takes the bridge away


def test_no_process(bed):
    """The built-in chain starts no program."""
    path = bed.netns("a")
    out = sh("strace", "-f", "-qq", "-e", "trace=fork,vfork,clone,clone3,execve",
             *bed.command("--id", "a", "--port", "8080:80", "add", path))
    equal(len(re.findall(r"^(?:\[pid \d+\] )?(?:v?fork|clone3?|execve)\(", out, re.M)), 1, out)


def main():
    frame.isolate()

    def each(test):
        def wrapped(_):
            bed = Bed()
            try:
                bed.outside()
                test(bed)
            finally:
                bed.close()
        wrapped.__name__ = test.__name__
        return wrapped

    tests = [each(f) for n, f in globals().items() if n.startswith("test_")]
    return 1 if frame.run(tests) else 0


if __name__ == "__main__":
    sys.exit(main())
