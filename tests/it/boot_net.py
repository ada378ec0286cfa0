#!/usr/bin/python3
"""A node whose network is on the kernel's command line and whose clock is in no hardware: s390x,
the one with the other byte order, without a clock that survives power-off.

boot_net.py [ARCH]"""
# timeout: 300

import os
import sys
import time

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(REPO, "tests/it/lib"))
sys.path.insert(0, os.path.join(REPO, "tests/boot"))
sys.dont_write_bytecode = True
import frame  # noqa: E402
import node as boot  # noqa: E402
import ntpserver  # noqa: E402
from frame import equal, holds  # noqa: E402

ARCH = sys.argv[1] if len(sys.argv) > 1 else "s390x"
os.chdir(REPO)
if os.environ.get("CRIBOX_TEST_ISOLATED") != "yes":
    boot.build([ARCH])
frame.isolate()

AHEAD = 86400
LINE = "ip=10.0.2.77:::24:n9:eth0:off:10.0.2.3::10.0.2.2 ip=[fec0::77]:::64::eth0 nameserver=10.9.9.9"


def test_command_line(node):
    """Addresses of both families, name servers and the host's name are what ip= says."""
    node.prompt(180)
    node.until("cat /run/cribox/net/status", r"eth0 up 10\.0\.2\.77/24", 60)
    holds(node.run("ip addr show eth0"), "inet6 fec0::77/64")
    resolv = node.run("cat /etc/resolv.conf")
    holds(resolv, "nameserver 10.9.9.9")
    holds(resolv, "nameserver 10.0.2.3")
    holds(node.run("hostname"), "n9")
    holds(node.run("ping -c 1 -W 10 10.0.2.2"), " 0% packet loss")


def test_time(node):
    """The server that ip= names has set the clock; the kernel holds it to be right."""
    day = time.strftime("%b %e", time.gmtime(time.time() + AHEAD))
    node.until("date", day, 60)
    holds(node.run("service logs network"), "time: the clock is set")
    if not server.polite:
        raise AssertionError("a request that tells more than it has to")


def test_no_dhcp(node):
    equal("DHCP" in node.run("service logs network"), False, "DHCP")
    node.send("poweroff")
    node.wait(90)


server = ntpserver.Server("127.0.0.1", AHEAD)
with boot.Node(ARCH, append=LINE) as machine:
    tests = [f for n, f in list(globals().items()) if n.startswith("test_")]
    status = 1 if frame.run(tests, machine) else 0
sys.exit(status)
