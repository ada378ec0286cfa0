#!/usr/bin/python3
"""nslookup, with dnsmasq as the server."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402
from frame import CRIBOX, equal, holds, sh, until  # noqa: E402


def lookup(*args, status=0):
    done = subprocess.run([CRIBOX, "nslookup", *args], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, timeout=30)
    equal(done.returncode, status, "status of nslookup %s: %s" % (" ".join(args), done.stdout))
    return done.stdout


def resolv(text):
    """/etc/resolv.conf of this mount namespace."""
    with open("/run/resolv.conf", "w") as f:
        f.write(text)


def test_names(_):
    resolv("nameserver 127.0.0.53\nsearch none.example corp.example\n")
    text = lookup("registry.corp.example")
    holds(text, "Server:\t\t127.0.0.53\nAddress:\t127.0.0.53#53\n\nName:\tregistry.corp.example\n"
                "Address: 10.1.2.3\nName:\tregistry.corp.example\nAddress: fd00::3\n")
    holds(lookup("registry"), "Name:\tregistry.corp.example\nAddress: 10.1.2.3\n")
    holds(lookup("alias.corp.example"), "canonical name = registry.corp.example.")
    holds(lookup("10.1.2.3"), "3.2.1.10.in-addr.arpa\tname = registry.corp.example.")
    holds(lookup("fd00::3"), "ip6.arpa\tname = registry.corp.example.")


def test_failures(_):
    resolv("nameserver 127.0.0.53\n")
    holds(lookup("nothing.corp.example", status=1), "** server can't find nothing.corp.example: NXDOMAIN")
    holds(lookup("registry.corp.example", "127.0.0.99", status=1), "no servers could be reached")
    holds(lookup("a" * 64 + ".example", status=1), "is not a legal name")
    resolv("")
    holds(lookup("x", status=1), "names none")


def test_second_server(_):
    """One server is dead, the next one answers: both are told."""
    resolv("nameserver\nnameserver 127.0.0.99\n\nnameserver 127.0.0.53\n")
    text = lookup("registry.corp.example")
    holds(text, "127.0.0.99")
    holds(text, "Address: 10.1.2.3")


if __name__ == "__main__":
    frame.isolate()
    open("/run/resolv.conf", "w").close()
    sh("mount", "--bind", "/run/resolv.conf", "/etc/resolv.conf")
    with open("/run/log", "w+b") as log, subprocess.Popen(
            ["/usr/sbin/dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
             "--listen-address=127.0.0.53", "--bind-interfaces", "--local=/example/",
             "--local=/arpa/", "--host-record=registry.corp.example,10.1.2.3,fd00::3",
             "--cname=alias.corp.example,registry.corp.example", "--user=root", "--pid-file="],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log) as server:
        try:
            until(lambda: b"started" in open("/run/log", "rb").read(), 5, "dnsmasq")
            tests = [f for n, f in list(globals().items()) if n.startswith("test_")]
            status = 1 if frame.run(tests) else 0
        finally:
            server.kill()
    sys.exit(status)
