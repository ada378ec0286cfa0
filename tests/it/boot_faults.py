#!/usr/bin/python3
"""What may be wrong with a machine, each as a boot: the node reaches running services, or a screen that
says what to do, in bounded time; and says what is wrong. Two of them on s390x, too."""
# timeout: 1200

import concurrent.futures
import os
import re
import shutil
import sys
import tempfile
import time

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(REPO, "tests/it/lib"))
sys.path.insert(0, os.path.join(REPO, "tests/boot"))
sys.dont_write_bytecode = True
import frame  # noqa: E402
import node as boot  # noqa: E402
from frame import equal, holds  # noqa: E402

os.chdir(REPO)
if os.environ.get("CRIBOX_TEST_ISOLATED") != "yes":
    boot.build(["x86_64", "s390x"])
frame.isolate()

LIMIT = 180  # seconds until the services run, on a busy machine
OPEN = 'console = "open"\n'
STATE = OPEN + '[storage]\nstate = "LABEL=state"\n'
WORK = tempfile.mkdtemp(prefix="faults.", dir="build")


def disk(name, megabytes=64, fill=None):
    tree = None
    if fill:
        tree = os.path.join(WORK, name + ".tree")
        os.makedirs(tree)
        with open(tree + "/ballast", "wb") as f:
            f.write(b"x" * fill)
    return boot.make_ext4(os.path.join(WORK, name), megabytes, "state", tree)


def works(node):
    """The daemon answers, services run, and the way out is open."""
    node.ready(LIMIT)
    holds(node.run("service status"), "crid")
    holds(node.run("ctl info"), "RuntimeReady")


def ends(node):
    node.send("poweroff")
    node.wait(90)


def fault_no_nic(arch):
    with boot.Node(arch, net=None) as node:
        works(node)
        holds(node.run("ip -br link"), "lo")
        ends(node)


def fault_no_disk(arch):
    with boot.Node(arch, config=STATE) as node:
        works(node)
        holds(node.text, "LABEL=state")
        holds(node.run("df /var/lib/cribox"), "tmpfs")
        ends(node)


def fault_read_only_disk(arch):
    path = disk("readonly-" + arch)
    with boot.Node(arch, config=STATE, disks=[boot.Disk(path, "s", readonly=True)]) as node:
        works(node)
        holds(node.text.lower(), "read-only")
        ends(node)


def fault_full_disk(arch):
    path = disk("full-" + arch, 16, 12 << 20)
    with boot.Node(arch, config=STATE, disks=[boot.Disk(path, "s")]) as node:
        works(node)
        node.run("cp /bin/cribox /state/more", status=None)
        node.run("cp /bin/cribox /state/evenmore", status=None)
        holds(node.run("ctl version"), "RuntimeApiVersion")
        ends(node)


def fault_bad_config(arch):
    config = OPEN + 'hostnam = "x"\nlog-level = 7\n[net.eth0]\naddress = "nonsense"\n[[[\n'
    with boot.Node(arch, config=config, append="cribox.consle=off cribox.console=open") as node:
        works(node)
        said = node.text + node.run("config check", status=None)
        for text in ("hostname", "50-test.toml"):
            holds(said, text)
        if not re.search(r"50-test\.toml:\d+", said):
            raise AssertionError("no line number: %.900s" % said)
        ends(node)


def plausible(node):
    """No time before this release, and none long after it: certificates would not hold."""
    year = int(re.search(r"(\d{4})", node.run("date +%Y")).group(1))
    equal(2026 <= year <= 2051, True, "a year that can be (%d)" % year)


def fault_clock_of_1970(arch):
    with boot.Node(arch, args=["-rtc", "base=1970-01-01T00:00:00"]) as node:
        works(node)
        plausible(node)
        ends(node)


def fault_clock_of_2100(arch):
    with boot.Node(arch, args=["-rtc", "base=2100-01-01T00:00:00"]) as node:
        works(node)
        plausible(node)
        ends(node)


def fault_registry_down(arch):
    with boot.Node(arch, files=boot.demo_files(5999)) as node:
        works(node)
        start = time.monotonic()
        said = node.run("ctl pull %s:5999/demo:latest" % boot.HOST, 120, status=1)
        holds(said, "%s:5999" % boot.HOST)
        print("# registry down: said after %.1f s" % (time.monotonic() - start))
        holds(node.run("ctl version"), "RuntimeApiVersion")
        ends(node)


def fault_hung_disk(arch):
    """The state partition's disk answers nothing any more: the way down is bounded, and a power-off
    stays one."""
    with boot.Node(arch, config=STATE, disks=[boot.Disk(disk("hung-" + arch), "s")]) as node:
        works(node)
        node.run("cp /bin/cribox /var/lib/cribox/dirty")
        node.hang_disk(0)
        start = time.monotonic()
        node.send("poweroff")
        why = node.qmp.event("SHUTDOWN", 200)
        print("# hung disk: %s after %.1f s" % (why, time.monotonic() - start))
        equal(why and why["reason"], "guest-shutdown", "how it ended (%s)" % node.tail())


def fault_init_stands_still(arch):
    """Process 1 does not run any more: the watchdog starts the machine anew, and the node says so. As
    long as it runs it does not."""
    config = OPEN + '[watchdog]\ndevice = "/dev/watchdog0"\ntimeout = 5\n'
    with boot.Node(arch, config=config, net=None, files={"root/1": "1\n"}, reboots=True,
                   args=["-device", "i6300esb"]) as node:  # fmt: skip
        works(node)
        equal(node.qmp.event("WATCHDOG", 8), None, "what the watchdog does to a node that is well")
        node.run("cp /root/1 /sys/fs/cgroup/init/cgroup.freeze")
        start = time.monotonic()
        equal(node.qmp.event("WATCHDOG", 30), {"action": "reset"}, "the watchdog")
        print("# init stands still: reset after %.1f s" % (time.monotonic() - start))
        works(node)
        holds(node.run("cat /run/cribox/reboot-reason"), "the watchdog")
        ends(node)


def fault_missing_modules(arch):
    with open("build/%s/kernel.path" % arch) as f:
        version = os.path.basename(os.path.realpath(f.read().split()[1]))
    index = {"lib/modules/%s/cribox.index" % version: "this is no index"}
    with boot.Node(arch, files=index) as node:
        works(node)
        holds(node.text, "modules")
        ends(node)


def fault_little_memory(arch):
    with boot.Node(arch, mem=128) as node:
        works(node)
        print("# %s" % " ".join(node.run("free").split("\n")[1].split()))
        ends(node)


def one(name, fault, arch):
    title = name if arch == "x86_64" else "%s_%s" % (arch, name)
    start = time.monotonic()
    try:
        fault(arch)
        return "ok %s\n# %s: %.1f s" % (title, title, time.monotonic() - start)
    except Exception as e:
        return "not ok %s: %s" % (title, " ".join(str(e).split())[:900] or repr(e))


def main():
    faults = [(n[6:], f) for n, f in globals().items() if n.startswith("fault_")]
    todo = [(n, f, "x86_64") for n, f in faults]
    todo += [(n, f, "s390x") for n, f in faults if n in ("no_disk", "bad_config")]
    if sys.argv[1:]:
        todo = [t for t in todo if any(w in t[2] + "_" + t[0] for w in sys.argv[1:])]
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for line in pool.map(lambda t: one(*t), todo):
            bad += line.startswith("not ok")
            print(line, flush=True)
    return 1 if bad else 0


try:
    sys.exit(main())
finally:
    shutil.rmtree(WORK)
