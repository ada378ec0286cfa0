#!/usr/bin/python3
"""netd's leases: with dnsmasq and ISC dhcpd as servers, on a bridge that tcpdump watches."""
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from cnibed import inside  # noqa: E402
from frame import equal, holds, sh, until  # noqa: E402
from netbed import main  # noqa: E402

RANGE = "--dhcp-range=10.9.0.100,10.9.0.110,2m"


def test_lease(bed):
    """Everything that a server can say is on the link, in the files, and the host has its name."""
    sh("hostname", "nobody")
    with open(bed.dir + "/hosts", "w") as f:
        f.write("127.0.0.1 localhost\n192.0.2.7 other")
    bed.dnsmasq(RANGE, "--dhcp-option=option:dns-server,10.9.0.1,10.9.0.2",
                "--dhcp-option=119,a.example,b.example", "--dhcp-option=26,1400",
                "--dhcp-option=121,0.0.0.0/0,10.9.0.1,172.20.0.0/16,10.9.0.2",
                "--dhcp-option=option:router,10.9.0.77", "--dhcp-host=%s,node7" % bed.mac)
    with bed.netd("[net.eth0]\ndhcp = true\n") as netd:
        until(netd.ready, 8, "READY=1")
        address = netd.address()
        holds(address, "10.9.0.")
        holds(sh("ip", "addr", "show", "eth0"), " dynamic eth0")
        equal(bed.routes(), {
            "default via 10.9.0.1 proto dhcp src %s metric 1024+" % address,
            "10.9.0.0/24 proto kernel scope link src %s" % address,
            "172.20.0.0/16 via 10.9.0.2 proto dhcp src %s metric 1024+" % address,
        }, "routes: option 121 takes the place of option 3")
        holds(sh("ip", "link", "show", "eth0"), "mtu 1400 ")
        holds(netd.file("resolv.conf"), "nameserver 10.9.0.1\nnameserver 10.9.0.2\n"
                                        "search a.example b.example\n")
        equal(netd.file("status"), "eth0 up %s/24 10.9.0.1 dhcp\n" % address)
        equal(os.readlink(netd.state + "/resolv.conf"), "net/resolv.conf")
        until(lambda: sh("hostname") == "node7\n", 2, "host name")
        hosts = "127.0.0.1 localhost\n192.0.2.7 other\n127.0.1.1\tnode7\n"
        until(lambda: bed.text(netd.hosts) == hosts, 2, "the name among the hosts")
        wire = bed.wire()
        holds(wire, "udp sum ok] BOOTP/DHCP, Request from " + bed.mac)
        for word in ("Client-ID (61), length 7: ether " + bed.mac, "MSZ (57), length 2: 1500"):
            holds(wire, word)
        ours = [x for x in wire.splitlines() if ".68 > " in x or "ethertype ARP" in x]
        if "bad" in "".join(ours):
            raise AssertionError("tcpdump finds fault: %s" % ours)
    until(lambda: "DHCPRELEASE" in bed.log(), 2, "release at the end")
    equal(bed.address(), None, "address after the end")


def test_rapid_commit(bed):
    """Two messages instead of four (RFC 4039)."""
    bed.dnsmasq(RANGE, "--dhcp-rapid-commit")
    with bed.netd("[net.eth0]\ndhcp = true\n") as netd:
        until(netd.ready, 8, "READY=1")
        equal(re.findall(r"DHCP[A-Z]+\(", bed.log()), ["DHCPDISCOVER(", "DHCPACK("])


def test_probed_in_no_time(bed):
    """From DISCOVER to an address that has been tried out with ARP: well under a second."""
    bed.dnsmasq(RANGE)
    start = time.monotonic()
    with bed.netd("[net.eth0]\ndhcp = true\n") as netd:
        until(netd.address, 8, "address")
        took = time.monotonic() - start
        if took > 1.5:
            raise AssertionError("took %.1f s" % took)
        holds(bed.wire(), "who-has %s" % netd.address())


def test_renew_rebind_expire(bed):
    """The server is asked in time; another one may answer later; without any the lease ends."""
    bed.dhcpd(12)
    with bed.netd("[net.eth0]\ndhcp = true\n") as netd:
        address = until(netd.address, 8, "address")
        until(lambda: bed.log().count("DHCPACK") >= 2, 8, "a renewal at half of 12 s")
        until(lambda: "%s.68 > 10.9.0.1.67" % address in bed.wire(), 2, "unicast")
        life = int(re.search(r"valid_lft (\d+)sec", sh("ip", "addr", "show", "eth0")).group(1))
        if life < 9:
            raise AssertionError("lifetime after the renewal: %d s" % life)
        bed.stop_server()
        until(lambda: "%s.68 > 255.255.255.255.67" % address in bed.wire(), 12, "rebinding")
        equal(netd.address(), address, "address while the lease runs")
        until(lambda: not netd.address(), 5, "end of the lease")
        equal(bed.routes(), set(), "routes after the end of the lease")
        bed.dhcpd(12)
        until(netd.address, 12, "address of the server that is back")
        holds(netd.log(), "has run out")


def test_nak(bed):
    """A lease of another network is refused, and a new one taken at once."""
    bed.dhcpd(600)
    with bed.netd("[net.eth0]\ndhcp = true\n") as netd:
        until(netd.address, 8, "address")
        netd.kill()
    bed.stop_server()
    sh("ip", "addr", "flush", "dev", "eth0")
    bed.dhcpd(600, subnet="10.44.0")
    with bed.netd("[net.eth0]\ndhcp = true\n", keep=True) as netd:
        until(lambda: (netd.address() or "").startswith("10.44.0."), 5, "the new address")
        holds(bed.log(), "DHCPNAK")
        holds(netd.log(), "refused by 10.44.0.1")


def test_duplicate(bed):
    """An address that somebody uses is declined, and another one asked for."""
    bed.dnsmasq(RANGE, "--dhcp-host=%s,10.9.0.50" % bed.mac)
    bed.neighbour("10.9.0.50/24")
    with bed.netd("[net.eth0]\ndhcp = true\n") as netd:
        until(lambda: "DHCPDECLINE" in bed.log(), 5, "DHCPDECLINE")
        holds(netd.log(), "10.9.0.50 is in use by another host")
        until(netd.address, 16, "another address")
        if netd.address() == "10.9.0.50":
            raise AssertionError("the address that is in use")


def test_carrier(bed):
    """A cable that comes back: the address stays, the server is asked whether it still may."""
    bed.dnsmasq(RANGE)
    with bed.netd("[net.eth0]\ndhcp = true\n") as netd:
        address = until(netd.address, 8, "address")
        routes = bed.routes()
        seen = len(bed.log())
        sh("ip", "-n", "srv", "link", "set", "port0", "down")
        until(lambda: "no-carrier" in netd.file("status"), 3, "loss of the carrier")
        equal(netd.address(), address, "address without carrier")
        sh("ip", "-n", "srv", "link", "set", "port0", "up")
        until(lambda: "DHCPACK" in bed.log()[seen:], 8, "DHCPACK")
        if "DHCPDISCOVER" in bed.log()[seen:]:
            raise AssertionError("began anew instead of asking for what it had")
        equal(netd.address(), address)
        equal(bed.routes(), routes)


def test_link_down_and_up(bed):
    """Somebody sets the link down, which loses the routes: they come back."""
    bed.dnsmasq(RANGE)
    with bed.netd("[net.eth0]\ndhcp = true\n") as netd:
        until(netd.address, 8, "address")
        routes = bed.routes()
        sh("ip", "link", "set", "eth0", "down")
        time.sleep(0.2)
        sh("ip", "link", "set", "eth0", "up")
        until(lambda: bed.routes() == routes, 3, "routes as they were")


def test_killed(bed):
    """netd is killed and comes back: the address was never gone."""
    bed.dnsmasq(RANGE)
    with bed.netd("[net.eth0]\ndhcp = true\n") as netd:
        address = until(netd.address, 8, "address")
        until(lambda: os.path.exists(netd.root + "/net/eth0.lease"), 2, "lease file")
        with open("/run/monitor", "w+") as out:
            with subprocess.Popen(["ip", "monitor", "address"], stdout=out) as monitor:
                try:
                    netd.kill()
                    equal(bed.address(), address, "address without netd")
                    seen = len(bed.log())
                    with bed.netd("[net.eth0]\ndhcp = true\n", keep=True) as again:
                        until(again.ready, 8, "READY=1")
                        equal(again.address(), address)
                        until(lambda: "DHCPACK" in bed.log()[seen:], 8, "DHCPACK")
                        if "DHCPDISCOVER" in bed.log()[seen:]:
                            raise AssertionError("asked for a new address")
                        out.seek(0)
                        if "Deleted" in out.read():
                            raise AssertionError("the address was taken off")
                finally:
                    monitor.kill()


def test_no_server(bed):
    """Nobody answers: that is told, and who waits for netd waits 2 s at most."""
    start = time.monotonic()
    with bed.netd("[net.eth0]\ndhcp = true\n") as netd:
        until(netd.ready, 8, "READY=1")
        took = time.monotonic() - start
        if not 1.9 < took < 4:
            raise AssertionError("ready after %.1f s" % took)
        equal(netd.file("status"), "eth0 asking - - -\n")
        bed.dnsmasq(RANGE)
        until(netd.address, 10, "address of a server that came later")


def test_link_comes_later(bed):
    """A NIC whose driver is late."""
    bed.dnsmasq(RANGE)
    with bed.netd("[net.late0]\ndhcp = true\n") as netd:
        until(netd.ready, 1.8, "READY=1 without any link")
        sh("ip", "link", "set", "eth0", "down")
        sh("ip", "link", "set", "eth0", "name", "late0")
        until(lambda: bed.address("late0"), 5, "address")
        sh("ip", "-n", "srv", "link", "del", "port0")
        until(lambda: netd.file("status") == "", 3, "status without the link that is gone")


def test_confined(bed):
    """The worker has three capabilities, its own user, few system calls; netd parses nothing."""
    bed.dnsmasq(RANGE)
    with bed.netd("[net.eth0]\ndhcp = true\n[time]\nntp = false\n") as netd:
        until(netd.address, 8, "address")
        worker = netd.children()
        equal(len(worker), 1, "children")
        with open("/proc/%s/status" % worker[0]) as f:
            status = f.read()
        caps = (1 << 10 | 1 << 12 | 1 << 13)
        for key, value in (("CapEff", "%016x" % caps), ("CapPrm", "%016x" % caps),
                           ("CapBnd", "%016x" % caps), ("NoNewPrivs", "1"), ("Seccomp", "2"),
                           ("Uid", "970\t970\t970\t970"), ("Gid", "970\t970\t970\t970")):
            holds(status, "%s:\t%s\n" % (key, value))


def option(code, data):
    return bytes([code, len(data)]) + data


def reply(request, kind):
    """A server's message to a request, damaged at random, often in places that matter."""
    head = bytes([2, 1, 6, 0]) + request[4:8] + bytes(8) + random.randbytes(4) + bytes(8)
    body = [option(53, bytes([kind])), option(54, b"\x0a\x09\0\1"), option(51, b"\0\0\0\x0c"),
            option(1, random.randbytes(4)), option(121, random.randbytes(40)),
            option(119, random.randbytes(60)), option(12, b"a\nb;$(reboot)"),
            option(15, b"x\nnameserver 6.6.6.6"), option(6, random.randbytes(8)),
            option(26, random.randbytes(2)), option(80, b""), option(52, b"\3")]
    random.shuffle(body)
    data = bytearray(head + request[28:44] + random.randbytes(192) + b"\x63\x82\x53\x63" +
                     b"".join(body) + b"\xff")
    for _ in range(random.randrange(4)):
        data[random.choice([random.randrange(240, len(data)), 0, 2, 239])] = random.randrange(256)
    return bytes(data)


def test_hostile(bed):
    """A server that sends nothing but damage: netd survives it, and nothing of it gets into files."""
    random.seed(1)
    with inside("srv"):
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"sw0")
    server.bind(("", 67))
    server.settimeout(3)
    with bed.netd("[net.eth0]\ndhcp = true\n") as netd:
        for _ in range(4):
            try:
                request = server.recv(2000)
            except TimeoutError:
                break  # it has found something that may be true, and has an address
            for _ in range(300):
                kind = random.choice([2, 5, 6])
                server.sendto(reply(request, kind), ("255.255.255.255", 68))
        server.close()
        text = netd.file("resolv.conf")
        if not re.fullmatch(r"(#.*\n)?(nameserver [\d.]+\n)*(search [\w.-]+( [\w.-]+)*\n)?", text):
            raise AssertionError("resolv.conf: %r" % text)
        if "6.6.6.6" in text:
            raise AssertionError("a line of the server's")
        bed.dnsmasq(RANGE)
        until(lambda: (netd.address() or "").startswith("10.9.0."), 60, "address of a true server")
        equal(netd.process.poll(), None, "exit status")


def test_worker_dies(bed):
    """Without its worker netd ends, and says so: its service manager starts it again."""
    with bed.netd("[net.eth0]\ndhcp = true\n") as netd:
        until(netd.ready, 8, "READY=1")
        os.kill(int(netd.children()[0]), signal.SIGKILL)
        equal(netd.process.wait(5), 1, "exit status")
        holds(netd.log(), "the worker has ended with signal 9")


if __name__ == "__main__":
    sys.exit(main(globals()))
