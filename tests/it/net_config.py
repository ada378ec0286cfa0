#!/usr/bin/python3
"""netd: static addresses, ip= of the kernel's command line, routers, time servers."""
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import ntpserver  # noqa: E402
from cnibed import inside  # noqa: E402
from frame import equal, holds, sh, until  # noqa: E402
from netbed import main  # noqa: E402

STATIC = """
[net]
dns = ["10.9.0.1"]
search = ["static.example"]
[net.eth0]
address = ["10.9.0.5/24", "fd09::5/64"]
gateway = "10.9.0.1"
gateway6 = "fd09::1"
mtu = 1450
"""


def test_static(bed):
    """Addresses, gateways, MTU and name servers of the configuration, within a moment."""
    start = time.monotonic()
    with bed.netd(STATIC) as netd:
        until(netd.ready, 8, "READY=1")
        if time.monotonic() - start > 1.8:  # that would be the end of its patience
            raise AssertionError("took %.1f s" % (time.monotonic() - start))
        equal(bed.routes(), {"default via 10.9.0.1 proto static metric 512+",
                             "10.9.0.0/24 proto kernel scope link src 10.9.0.5"}, "routes")
        holds("\n".join(bed.routes("-6")), "default via fd09::1 proto static metric 512+")
        holds(sh("ip", "addr", "show", "eth0"), "inet6 fd09::5/64 scope global")
        holds(sh("ip", "addr", "show", "eth0"), "brd 10.9.0.255 scope global eth0\n"
                                                "       valid_lft forever")
        holds(sh("ip", "link", "show", "eth0"), "mtu 1450 ")
        holds(netd.file("resolv.conf"), "nameserver 10.9.0.1\nsearch static.example\n")
        until(lambda: netd.file("status") ==
              "eth0 up 10.9.0.5/24,fd09::5/64 10.9.0.1 static\n", 2, "status")
        sh("ping", "-c1", "-W2", "10.9.0.1")
    equal(bed.address(), "10.9.0.5", "address after the end")
    with bed.netd(STATIC, keep=True) as netd:
        until(netd.ready, 8, "READY=1 when all is there already")
        if "warn" in netd.log():
            raise AssertionError(netd.log())


def test_gateway_elsewhere(bed):
    """A gateway outside the network of the address, as clouds have it."""
    with bed.netd('[net.eth0]\naddress = ["10.9.0.5/32"]\ngateway = "10.9.0.1"\n') as netd:
        until(netd.ready, 8, "READY=1")
        equal(bed.routes(), {"default via 10.9.0.1 proto static metric 512+onlink"})
        sh("ip", "-n", "srv", "route", "add", "10.9.0.5", "dev", "sw0")
        sh("ping", "-c1", "-W2", "10.9.0.1")


def test_down_and_up(bed):
    """Routes and addresses of IPv6 are put back after somebody has set the link down."""
    with bed.netd(STATIC) as netd:
        until(netd.ready, 8, "READY=1")
        before = bed.routes(), bed.routes("-6")
        sh("ip", "link", "set", "eth0", "down")
        equal(bed.routes(), set())
        sh("ip", "link", "set", "eth0", "up")
        until(lambda: bed.routes() == before[0], 3, "routes")
        until(lambda: "fd09::5" in sh("ip", "addr", "show", "eth0"), 3, "address of IPv6")


def cmdline_case(bed, words, address, route=None, dns=(), config=""):
    with bed.netd(config, cmdline="console=ttyS0 quiet " + words + " -- ip=1.2.3.4") as netd:
        until(netd.ready, 8, "READY=1")
        until(lambda: bed.address() == address, 3, "%s: %s" % (words, address))
        if route:
            holds("\n".join(bed.routes() | bed.routes("-6")), route)
        for server in dns:
            holds(netd.file("resolv.conf"), "nameserver %s\n" % server)
        return netd.log()


def test_cmdline(bed):
    """The forms of ip= that the kernel, dracut and Talos read."""
    cmdline_case(bed, "ip=10.9.0.7::10.9.0.1:255.255.255.0:n7:eth0:off:10.9.0.1:10.9.0.2",
                 "10.9.0.7", "default via 10.9.0.1", ("10.9.0.1", "10.9.0.2"))
    equal(sh("hostname"), "n7\n")
    holds(sh("ip", "addr", "show", "eth0"), "10.9.0.7/24")
    sh("ip", "addr", "flush", "dev", "eth0")
    sh("ip", "route", "flush", "dev", "eth0")
    # it stands above the file
    cmdline_case(bed, "ip=10.9.0.8:::24::eth0 nameserver=10.9.0.3", "10.9.0.8", None,
                 ("10.9.0.3",), config=STATIC.replace('dns = ["10.9.0.1"]', ""))
    sh("ip", "addr", "flush", "dev", "eth0")
    cmdline_case(bed, "ip=[fd09::8]::[fd09::1]:64::eth0:off:[fd09::53] ip=10.9.0.9:::24::eth0:off",
                 "10.9.0.9", "default via fd09::1", ("fd09::53",))
    sh("ip", "addr", "flush", "dev", "eth0")
    log = cmdline_case(bed, "ip=10.9.0.300::::: ip=fd09::5 ip=10.9.0.4:::255.0.255.0::eth0 "
                            "ip=10.9.0.6:::24::eth0:none", "10.9.0.6")
    holds(log, "ip=10.9.0.300:::::: not an IP address")
    holds(log, "the netmask has holes")


def test_cmdline_dhcp(bed):
    """ip=eth0:dhcp and ip=:::::eth0:dhcp; ip=off leaves everything alone."""
    bed.dnsmasq("--dhcp-range=10.9.0.100,10.9.0.110,2m")
    for words in ("ip=eth0:dhcp", "ip=:::::eth0:dhcp"):
        with bed.netd("", cmdline=words) as netd:
            until(netd.address, 8, "address: " + words)
            until(lambda: " dhcp\n" in netd.file("status"), 2, "status")
    with bed.netd("", cmdline="ip=off") as netd:
        until(netd.ready, 1.8, "READY=1")
        equal(netd.file("status"), "")
        equal(netd.address(), None)


def test_router(bed):
    """SLAAC, the default route, RDNSS and DNSSL of a router, also with forwarding on."""
    conf = bed.dir + "/radvd.conf"
    with open(conf, "w") as f:
        f.write("""interface sw0 { AdvSendAdvert on; MinRtrAdvInterval 20; MaxRtrAdvInterval 30;
            prefix 2001:db8:9::/64 { };
            RDNSS 2001:db8:9::53 fe80::53 { AdvRDNSSLifetime 30; };
            DNSSL ra.example corp.example { AdvDNSSLLifetime 30; }; };""")
    sh("ip", "-n", "srv", "addr", "add", "2001:db8:9::1/64", "dev", "sw0", "nodad")
    with inside("srv"):
        with open("/proc/sys/net/ipv6/conf/all/forwarding", "w") as f:
            f.write("1")
    until(lambda: "tentative" not in sh("ip", "-n", "srv", "addr", "show", "sw0"), 5, "DAD")
    bed.serve("radvd", "-C", conf, "-n", "-m", "stderr", "-p", bed.dir + "/radvd.pid", "-d", "1")
    for name in ("all", "default"):
        with open("/proc/sys/net/ipv6/conf/%s/forwarding" % name, "w") as f:
            f.write("1")
    with bed.netd("[net.eth0]\ndhcp = false\n") as netd:
        until(lambda: "2001:db8:9:" in sh("ip", "addr", "show", "eth0"), 15, "address")
        until(lambda: "proto ra" in "\n".join(bed.routes("-6")), 5, "default route")
        text = "nameserver 2001:db8:9::53\nnameserver fe80::53%eth0\nsearch ra.example corp.example\n"
        until(lambda: text in netd.file("resolv.conf"), 5, "name servers")
        until(lambda: re.match(r"eth0 up 2001:db8:9:\S+/64 fe80:\S+ ra\n", netd.file("status")), 3,
              "status")
        netd.kill()
    with bed.netd("[net.eth0]\ndhcp = false\n", keep=True) as netd:
        os.unlink(netd.state + "/net/resolv.conf")
        until(lambda: os.path.exists(netd.state + "/net/resolv.conf") and
              text in netd.file("resolv.conf"), 6, "name servers, asked for after a restart")
    with bed.netd("[net.eth0]\ndhcp = false\nra = false\n") as netd:
        until(netd.ready, 8, "READY=1")
        with open("/proc/sys/net/ipv6/conf/eth0/accept_ra") as f:
            equal(f.read(), "0\n")
        time.sleep(1)
        equal(netd.file("resolv.conf").count("nameserver"), 0, "name servers without RA")


def time_server(address, ahead, edit=lambda packet: packet):
    with inside("srv"):
        return ntpserver.Server(address, ahead, edit)


def user_namespace(bed):
    """A prefix for a command: root of a user namespace may not set the machine's clock."""
    bed.start("unshare", "--user", "sleep", "100")
    pid = bed.children[-1].pid
    until(lambda: os.readlink("/proc/%d/ns/user" % pid) != os.readlink("/proc/self/ns/user"), 3,
          "user namespace")
    for name in ("uid_map", "gid_map"):
        with open("/proc/%d/%s" % (pid, name), "w") as f:
            f.write("0 0 65536")
    return ["nsenter", "--user=/proc/%d/ns/user" % pid, "--", "unshare", "--net"]


def ntp(bed, servers, wanted):
    """A netd that has no right to the clock, until its log says what is wanted."""
    config = '[net]\nntp = [%s]\n[net.eth0]\naddress = ["10.9.0.5/24"]\n[time]\nntp = true\n'
    config %= ", ".join('"%s"' % s for s in servers)
    with bed.netd(config, wrap=user_namespace(bed)) as netd:
        until(lambda: netd.process.poll() is not None or netd.children(), 3, "children")
        until(netd.ready, 8, "READY=1")
        pid = netd.children()[0]
        sh("ip", "-n", "srv", "link", "add", "port9", "type", "veth", "peer", "name", "eth0",
           "netns", pid)
        sh("ip", "-n", "srv", "link", "set", "port9", "master", "sw0", "up")
        until(lambda: re.search(wanted, netd.log()), 12, wanted)
        return netd.log()


def test_time_step(bed):
    """A clock that is far off is set; here without the right to, which is told."""
    servers = [time_server("10.9.0.1", 5.35)]
    log = ntp(bed, ["10.9.0.1"], r"clock cannot be set")
    holds(log, "off by -5.3")
    holds(log, "the clock cannot be set: Operation not permitted")
    if not servers[0].polite:
        raise AssertionError("requests that say more than they have to")


def test_time_majority(bed):
    """One of three servers lies, one is not synchronized itself."""
    for n in (2, 3, 4):
        sh("ip", "-n", "srv", "addr", "add", "10.9.0.%d/24" % n, "dev", "sw0")
    time_server("10.9.0.1", 3600)
    time_server("10.9.0.2", 7.05)
    time_server("10.9.0.3", 7.06)
    time_server("10.9.0.4", 900, lambda p: bytes([p[0] | 0xc0]) + p[1:])
    log = ntp(bed, ["10.9.0.%d" % n for n in (1, 2, 3, 4)], r"off by")
    holds(log, "off by -7.0")
    holds(log, "10.9.0.4: the server's own clock is not set")


def test_time_refused(bed):
    """A kiss-o'-death, an answer to something else, a time long past: none of them counts."""
    for n in (2, 3):
        sh("ip", "-n", "srv", "addr", "add", "10.9.0.%d/24" % n, "dev", "sw0")
    denied = time_server("10.9.0.1", 0, lambda p: p[:1] + b"\0" + p[2:12] + b"DENY" + p[16:])
    time_server("10.9.0.2", 5, lambda p: p[:24] + b"spoofed!" + p[32:])
    time_server("10.9.0.3", -20 * 365 * 86400)
    log = ntp(bed, ["10.9.0.1", "10.9.0.2", "10.9.0.3"], r"no server answers")
    holds(log, "10.9.0.1 refuses to serve (DENY)")
    holds(log, "10.9.0.2: not an answer to what was asked")
    holds(log, "10.9.0.3: the server's time has long been past")
    equal(denied.asked, 1, "requests to who does not want any")


def test_time_chrony(bed):
    """A server of many networks; the clock of the same machine is right."""
    conf = bed.dir + "/chrony.conf"
    with open(conf, "w") as f:
        f.write("local stratum 8\nallow\ncmdport 0\nbindcmdaddress /\nport 123\n"
                "pidfile %s/chrony.pid\n" % bed.dir)
    bed.serve("chronyd", "-x", "-d", "-f", conf, "-u", "root")
    until(lambda: "starting" in bed.log(), 5, "chronyd")
    log = ntp(bed, ["10.9.0.1"], r"off by")
    if not re.search(r"off by -?0\.00\d+ s, says 10\.9\.0\.1 \(stratum 8\)", log):
        raise AssertionError(log)


if __name__ == "__main__":
    sys.exit(main(globals()))
