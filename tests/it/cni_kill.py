#!/usr/bin/python3
# timeout: 900
"""SIGKILL in the middle of attaching and detaching: what was begun can be undone.

The command is traced and killed at its N-th system call, so that each place is hit and a
failure can be repeated."""
import ctypes
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402
from cnibed import UPLINK, OUTSIDE, Bed, listen, netns, tcp  # noqa: E402
from frame import equal  # noqa: E402

STEP = int(os.environ.get("STEP", "8"))
PTRACE_TRACEME, PTRACE_SYSCALL, PTRACE_SETOPTIONS, EXITKILL = 0, 24, 0x4200, 0x100000
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def run_killed(command, at):
    """Runs it with SIGKILL before its at-th system call. True if it came that far."""
    pid = os.fork()
    if pid == 0:
        null = os.open("/dev/null", os.O_WRONLY)
        os.dup2(null, 1)
        libc.ptrace(PTRACE_TRACEME, 0, None, None)
        os.execv(command[0], command)
    os.waitpid(pid, 0)  # stopped by execve
    libc.ptrace(PTRACE_SETOPTIONS, pid, None, EXITKILL)
    for stop in range(2 * at - 1):  # each call stops on its way in and out
        if libc.ptrace(PTRACE_SYSCALL, pid, None, None) != 0:
            raise OSError(ctypes.get_errno(), "ptrace")
        status = os.waitpid(pid, 0)[1]
        if not os.WIFSTOPPED(status):
            equal(status, 0, "status at stop %d" % stop)
            return False
    os.kill(pid, signal.SIGKILL)
    equal(os.waitpid(pid, 0)[1], signal.SIGKILL, "status of the killed command")
    return True


def sweep(bed, prepare, command, restore, before):
    at = 1
    while True:
        prepare()
        killed = run_killed(command, at)
        restore()
        try:
            equal(bed.state(), before, "state")
        except AssertionError as e:
            raise AssertionError("killed at system call %d: %s" % (at, e)) from e
        if not killed:
            return at
        at += STEP


def test_killed_add(bed):
    path = bed.netns("a")
    before = bed.state()
    calls = sweep(
        bed, lambda: None, bed.command("--id", "a", "--port", "8080:80", "add", path),
        lambda: bed.cni("--id", "a", "del", path), before)
    print("# killed at each %d-th of %d system calls" % (STEP, calls))
    bed.cni("--id", "a", "--port", "8080:80", "add", path)
    with listen("a", 80) as server:
        equal(tcp("outside", UPLINK, 8080, server), OUTSIDE, "afterwards")


def test_killed_add_namespace_gone(bed):
    """As when the shim dies: nobody holds the pod's namespace."""
    before = bed.state()

    def restore():
        bed.remove_netns("a")
        bed.cni("--id", "a", "del", netns("a"))

    command = bed.command("--id", "a", "--port", "8080:80", "add", netns("a"))
    sweep(bed, lambda: bed.netns("a"), command, restore, before)


def test_killed_add_again(bed):
    """The next ADD of the same pod undoes what is left of the killed one."""
    path = bed.netns("a")
    before = bed.state()

    def restore():
        bed.cni("--id", "a", "--port", "8080:80", "add", path)
        bed.cni("--id", "a", "del", path)

    sweep(bed, lambda: None, bed.command("--id", "a", "--port", "8080:80", "add", path),
          restore, before)


def test_killed_del(bed):
    path = bed.netns("a")
    before = bed.state()
    sweep(
        bed, lambda: bed.cni("--id", "a", "--port", "8080:80", "add", path),
        bed.command("--id", "a", "del", path), lambda: bed.cni("--id", "a", "del", path), before)


def test_killed_beside_another(bed):
    """The other pod notices nothing."""
    bed.add("b", "--port", "8081:80")
    path = bed.netns("a")
    before = bed.state()

    def restore():
        bed.cni("--id", "a", "del", path)
        with listen("b", 80) as server:
            equal(tcp("outside", UPLINK, 8081, server), OUTSIDE, "the other pod")

    sweep(bed, lambda: None, bed.command("--id", "a", "--port", "8080:80", "add", path),
          restore, before)


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
