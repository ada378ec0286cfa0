#!/usr/bin/python3
"""How a node ends, as QEMU sees it: by signals, keys and commands, with a disk that hangs, with a process 1
that stands still, with watchdogs."""
# timeout: 1200

import os
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
boot.make("image", "build/x86_64/wedge")
OPEN = 'console = "open"\n'
WATCHDOG = OPEN + '[watchdog]\ndevice = "/dev/watchdog0"\ntimeout = 5\n'
ESB = ["-device", "i6300esb"]
ONE = {"root/1": "1\n"}
FREEZE = "cp /root/1 /sys/fs/cgroup/init/cgroup.freeze"
WORK = tempfile.mkdtemp(prefix="ends.", dir="build")


def ended(node, want, seconds):
    """Waits until QEMU says that the machine ended so."""
    event = node.qmp.event("SHUTDOWN", seconds)
    equal(event and event["reason"], want, "how it ended (%s)" % node.tail())


def test_signals_and_keys(_):
    """busybox's signals, SIGPWR, ctrl-alt-del from the kernel, and the words for people."""
    for what, want in (("kill -USR2 1", "guest-shutdown"), ("kill -TERM 1", "guest-reset"),
                       ("kill -PWR 1", "guest-shutdown"), ("kill -INT 1", "guest-reset"),
                       ("reboot", "guest-reset")):  # fmt: skip
        with boot.Node(net=None) as node:
            node.ready()
            node.send(what)
            ended(node, want, 60)


def test_the_power_button(_):
    """What a hypervisor presses to shut down a guest."""
    with boot.Node(net=None) as node:
        node.ready()
        node.until("lsmod", "(?m)^button ", 30)
        node.qmp.ask("system_powerdown")
        ended(node, "guest-shutdown", 60)


def test_halt_stands_still(_):
    """Halted is halted, by command and by signal: no watchdog turns it into a reboot."""
    for what in ("halt", "kill -USR1 1"):
        with boot.Node(net=None, config=WATCHDOG, args=ESB) as node:
            node.ready()
            node.send(what)
            node.expect("System halted", 60)
            equal(node.qmp.event("SHUTDOWN", 75 if what == "halt" else 3), None, "what comes after")


def test_reboot_with_a_watchdog(_):
    """An ordinary reboot: the machine comes back by itself, not by the watchdog."""
    with boot.Node(net=None, config=WATCHDOG, args=ESB, reboots=True) as node:
        node.ready()
        node.qmp.events.clear()
        node.send("reboot")
        equal(node.qmp.event("RESET", 60), {"guest": True, "reason": "guest-reset"}, "the reset")
        node.ready()
        equal("watchdog" in node.run("cat /run/cribox/reboot-reason"), False, "the watchdog did it")
        equal(node.qmp.event("WATCHDOG", 0), None, "the watchdog")
        node.send("poweroff")
        ended(node, "guest-shutdown", 60)


def test_reboot_with_a_hung_disk(_):
    state = boot.make_ext4(os.path.join(WORK, "state"), 64, "state")
    config = OPEN + '[storage]\nstate = "LABEL=state"\n'
    with boot.Node(config=config, disks=[boot.Disk(state, "s")]) as node:
        node.ready()
        node.run("cp /bin/cribox /var/lib/cribox/dirty")
        node.hang_disk(0)
        start = time.monotonic()
        node.send("reboot")
        ended(node, "guest-reset", 200)
        print("# reset after %.1f s" % (time.monotonic() - start))


def test_a_kernel_that_crashes(_):
    """It starts anew after ten seconds; its last words, which the firmware kept, are in a log."""
    state = boot.make_ext4(os.path.join(WORK, "crash"), 64, "state")
    nvram = os.path.join(WORK, "nvram")
    with open(nvram, "wb") as f:
        f.truncate(0x10000)
    args = ["-object", "memory-backend-file,id=n,size=0x10000,share=on,mem-path=" + nvram,
            "-device", "acpi-erst,memdev=n"]  # fmt: skip
    config = OPEN + '[storage]\nstate = "LABEL=state"\n'
    with boot.Node(net=None, config=config, disks=[boot.Disk(state, "s")], args=args,
                   files={"root/c": "c\n"}, reboots=True) as node:  # fmt: skip
        node.ready()
        node.send("cp /root/c /proc/sysrq-trigger")
        equal(bool(node.qmp.event("RESET", 60)), True, "a reset")
        node.ready()
        holds(node.run("cat /run/cribox/reboot-reason"), "the kernel crashed")
        top = "/var/log/cribox/pstore/" + node.run("ls /var/log/cribox/pstore").split()[0]
        said = "".join(node.run("cat %s/%s" % (top, f)) for f in node.run("ls " + top).split())
        holds(said, "sysrq triggered crash")
        equal(node.run("ls /sys/fs/pstore"), "", "what is left there")
        node.send("poweroff")
        ended(node, "guest-shutdown", 60)


def test_init_stands_still_on_the_way_down(_):
    """The watchdog was given a minute for the way down, and takes it to its end."""
    with open("build/x86_64/wedge", "rb") as f:
        files = {"bin/wedge": (0o755, f.read())}
    config = WATCHDOG + '[service.wedge]\nexec = "/bin/wedge"\n'
    with boot.Node(net=None, config=config, files=files, args=ESB) as node:
        node.ready()
        start = time.monotonic()
        node.send("poweroff")
        equal(node.qmp.event("WATCHDOG", 90), {"action": "reset"}, "the watchdog")
        took = time.monotonic() - start
        print("# reset after %.1f s" % took)
        equal(took > 30, True, "a minute (%.1f s)" % took)


def test_a_watchdog_whose_driver_comes_late(_):
    """One that is loaded because the configuration says so, when the services run."""
    config = '[modules]\nload = ["softdog"]\n' + WATCHDOG.replace(OPEN, "")
    with boot.Node(net=None, config=OPEN + config, files=ONE) as node:
        node.ready()
        node.until("dmesg", "watchdog: /dev/watchdog0, 5 s", 60)
        equal(node.qmp.event("SHUTDOWN", 12), None, "what it does to a node that is well")
        node.run(FREEZE)
        ended(node, "guest-reset", 20)


def test_a_watchdog_that_is_not_there(_):
    with boot.Node(net=None, config=WATCHDOG) as node:
        node.ready()
        node.until("dmesg", "watchdog: /dev/watchdog0: No such file or directory", 60)
        node.send("poweroff")
        ended(node, "guest-shutdown", 60)


tests = [f for n, f in list(globals().items()) if n.startswith("test_")]
try:
    sys.exit(1 if frame.run(tests) else 0)
finally:
    shutil.rmtree(WORK)
