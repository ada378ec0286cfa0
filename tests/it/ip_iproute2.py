#!/usr/bin/python3
"""ip and ping beside iproute2's and iputils': what they print, byte by byte, and exit with."""
import difflib
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402
from frame import CRIBOX, equal, holds, sh  # noqa: E402

PREPARE = """
link add v0 type veth peer name v1
link add br0 type bridge
netns add far
link add v2 type veth peer name v3 netns far
link set v1 master br0
link property add dev v2 altname a-longer-name-than-fits
link set v0 up alias hello
link set v1 up
link set br0 up
link set v2 up mtu 1400
addr add 10.1.0.5/24 brd + dev v0
addr add 10.1.0.6/24 dev v0 valid_lft 500 preferred_lft 300
addr add 10.2.0.1 peer 10.2.0.2/32 dev v2 label v2:x
addr add fd00::5/64 dev v0 nodad
addr add fd00::6/64 dev v0 nodad noprefixroute
route add default via 10.1.0.1 dev v0 proto dhcp metric 100 src 10.1.0.5
route add 10.50.0.0/16 via 10.1.0.1 mtu lock 1400
route add 10.51.0.0/16 via 99.1.0.1 dev v0 onlink
route add blackhole 10.60.0.0/16
route add 10.70.0.0/16 nexthop via 10.1.0.1 dev v0 weight 2 nexthop dev br0
route add 10.80.0.0/16 dev v0 table 100 scope link
route add 10.81.0.0/16 dev v0 proto 99 metric 7
-6 route add default via fd00::1 dev v0 metric 5 expires 500
-6 route add fd05::/64 dev br0
neigh add 10.1.0.9 lladdr 02:00:00:00:00:09 dev v0
neigh add fd00::9 lladdr 02:00:00:00:00:09 dev v0 router nud stale
rule add from 10.1.0.0/24 table 100 prio 99
rule add fwmark 0x4000/0x4000 lookup main prio 50
rule add iif v0 unreachable prio 60
"""

SHOW = """
addr; a; addr show dev v0; addr show v0; -4 addr; -6 a s; -br addr; -br a s dev v0; -br link; -o addr
-o -4 addr show scope global; addr show up; -s addr; link; l; link show dev br0; link show up
link show master br0; link show type veth; -s link; -o link; -d route
route; r; route show table all; -6 route; -6 route show table all; route show default
route show dev v0; route show table 100; route show table local; route show 10.50.0.0/16
route show proto dhcp; route show scope link; route list; -4 r s; -6 r s default; route show via 10.1.0.1
route get 10.99.0.1; route get 127.0.0.1; route get 10.1.0.255; route get fd00::7; route get 10.60.0.1
neigh; -6 neigh; n show dev v0; -4 neigh show; rule; -6 rule; rule list; netns list; netns
link show dev nosuch; addr show dev nosuch; -n far link; -n far -br addr
"""

PINGS = """
-c2 -i0.2 127.0.0.1; -c1 ::1; -c1 -s4 127.0.0.1; -q -c1 127.0.0.1; -c1 -W1 10.2.0.2
-c1 -s 1400 fd00::5; -c1 -t 5 127.0.0.1; -w1 -i0.3 127.0.0.1
"""


def words(text):
    return [w.strip() for line in text.strip().splitlines() for w in line.split(";")]


def both(program, line, plain):
    """What the peer and we print and return; plain() takes out what differs from time to time."""
    got = []
    for command in ([program], [CRIBOX, program]):
        done = subprocess.run(command + line.split(), stdout=subprocess.PIPE, check=False,
                              stderr=subprocess.STDOUT, text=True, timeout=30)
        got.append("%s[%d]" % (plain(done.stdout), done.returncode))
    return got


def seconds(text):
    return re.sub(r"(expires|valid_lft|preferred_lft) \d+sec", r"\1 Nsec", text)


def times(text):
    return re.sub(r"time \d+ms", "Tms", re.sub(r"[\d.]+(/[\d.]+)* ms", "T ms", text))


def test_show(_):
    for line in PREPARE.strip().splitlines():
        sh("ip", *line.split())
    sh("sleep", "0.3")
    wrong = []
    for line in words(SHOW):
        peer, ours = both("ip", line, seconds)
        if peer != ours:
            diff = difflib.ndiff(peer.splitlines(), ours.splitlines())
            wrong.append((line, [x for x in diff if x[0] in "+-"]))
    equal(wrong, [], "differences")


# each is done by the one, undone by the other, and done by the other: the state is compared
CHANGES = """
addr add 10.3.0.1/24 dev v2 / addr del 10.3.0.1/24 dev v2
addr add 10.3.0.1/24 brd + dev v2 label v2:y / addr del 10.3.0.1/24 dev v2
addr add 10.3.0.1 peer 10.3.0.2/30 dev v2 / addr flush dev v2 label v2
addr add fd03::1/64 dev v2 nodad preferred_lft 0 / addr del fd03::1/64 dev v2
addr replace 127.0.0.9/8 dev lo / addr del 127.0.0.9/8 dev lo
route add 10.90.0.0/16 via 10.1.0.1 / route del 10.90.0.0/16
route add 10.90.0.0/16 dev v0 metric 9 proto static src 10.1.0.5 mtu 1300 / route del 10.90.0.0/16
route replace default via 10.1.0.7 metric 9 / route del default metric 9
route add unreachable 10.91.0.0/16 / route del unreachable 10.91.0.0/16
route add 10.92.0.0/16 dev v0 table 77 / route flush table 77
route append 10.93.0.0/16 via 10.1.0.1 onlink dev v0 / route del 10.93.0.0/16 dev v0
-6 route add fd07::/64 via fd00::1 dev v0 metric 3 / -6 route del fd07::/64
route add default via fd00::9 dev v0 metric 20 table 5 / -6 route flush table 5
link set v2 down / link set dev v2 up
link set v2 mtu 1300 / link set v2 mtu 1400
link set v2 alias x promisc on arp off txqueuelen 5 / link set v2 alias y promisc off arp on qlen 1000
link set v2 master br0 / link set v2 nomaster
link set v2 address 02:00:00:00:00:77 / link set v2 address 02:00:00:00:00:78
link add w0 address 02:00:00:00:00:aa type veth peer name w1 address 02:00:00:00:00:ab / link del w0
link add name w2 mtu 1280 address 02:00:00:00:00:ac type bridge / link delete dev w2
"""


def state():
    """What is there, once the kernel is done: it adds routes of IPv6 a little later."""
    now, before = snapshot(), None
    while now != before:
        time.sleep(0.05)
        now, before = snapshot(), now
    return now


def snapshot():
    text = "".join(sh("ip", *w.split()) for w in ("-d addr", "route show table all", "-d link"))
    text = re.sub(r"(?m)^\d+: (w\d)", r"N: \1", seconds(text))
    # what the kernel does in its own time, and random addresses
    drop = ("fe80::", "ff00::", "timer ", "designated_root", "bridge_id")
    return "\n".join(sorted(x.strip() for x in text.splitlines() if not any(d in x for d in drop)))


def test_changes(_):
    for line in CHANGES.strip().splitlines():
        do, undo = (x.split() for x in line.split(" / "))
        sh("ip", *do)
        peer = state()
        sh(CRIBOX, "ip", *undo)
        before = state()
        sh(CRIBOX, "ip", *do)
        ours = state()
        if ours != peer:
            diff = set(ours.splitlines()) ^ set(peer.splitlines())
            raise AssertionError("ip %s: %s" % (" ".join(do), sorted(diff)))
        if before == peer:
            raise AssertionError("ip %s did nothing" % " ".join(undo))
        sh("ip", *undo)


def test_errors(_):
    for line in ("addr add 10.1.0.5/24 dev v0", "route add 10.50.0.0/16 via 10.1.0.1",
                 "route del 10.123.0.0/16", "addr add 10.9.9.9/24 dev nosuch",
                 "route add 10.99.0.0/16 via 1.2.3.4"):
        peer, ours = both("ip", line, seconds)
        if peer != ours:
            raise AssertionError("ip %s: %r, not %r" % (line, ours, peer))
    for line in ("addr add 10.1.0.300/24 dev v0", "addr add 10.1.0.3/33 dev v0", "nonsense",
                 "addr nonsense", "-zz addr", "link set v0 mtu many", "route add 10.0.0.0/8 via",
                 "link set v0 netns nosuch", "link set v0 address zz", "addr flush", "link add x"):
        done = subprocess.run([CRIBOX, "ip"] + line.split(), capture_output=True, text=True,
                              check=False)
        equal(done.stderr.count("\n"), 1, "lines of: ip %s: %s" % (line, done.stderr))
        if done.returncode not in (1, 2):
            raise AssertionError("ip %s: status %d" % (line, done.returncode))


def test_ping(_):
    for line in words(PINGS):
        peer, ours = both("ping", line, times)
        equal(ours, peer, "ping " + line)


def test_ping_interrupted(_):
    """Ctrl-C ends it with the summary."""
    with subprocess.Popen([CRIBOX, "ping", "127.0.0.1"], stdout=subprocess.PIPE, text=True) as p:
        for _ in range(2):
            p.stdout.readline()
        p.send_signal(2)
        holds(p.communicate(timeout=5)[0], "1 packets transmitted, 1 received, 0% packet loss")
        equal(p.returncode, 0)


if __name__ == "__main__":
    frame.isolate()
    sys.exit(1 if frame.run([f for n, f in list(globals().items()) if n.startswith("test_")]) else 0)
