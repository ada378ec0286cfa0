#!/usr/bin/python3
"""ctl against crid."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
import crid  # noqa: E402
import ctl_tests  # noqa: E402
from crid import BOX  # noqa: E402
from frame import equal, holds, until  # noqa: E402


def test_end_of_input(b):
    """The v5 protocol can tell a process that its input has ended."""
    ctl = ctl_tests.Ctl(b)
    ctl("pull", BOX)
    _, ctr = ctl.run()
    data = os.urandom(200000).hex()
    equal(ctl("exec", "-i", ctr, "cat", stdin=data.encode()) == data, True, "400 kB through cat")
    equal(ctl("exec", "-i", ctr, "wc", "-c", stdin=b"").strip(), "0", "an empty input")
    # containerd 1.6 hangs when a process ends with input left
    got = ctl("exec", "-i", ctr, "head", "-c", "1000", stdin=data.encode())
    equal(got == data[:1000], True, "what a process took that ends early")


def test_session_outlives_the_daemon(b):
    ctl = ctl_tests.Ctl(b)
    ctl("pull", BOX)
    _, ctr = ctl.run()
    t = ctl_tests.Terminal(ctl.argv("exec", "-it", ctr, "sh"))
    t.send(b"echo be''fore\n")
    t.expect(b"before")
    b.restart()
    t.send(b"echo af''ter\n")
    t.expect(b"after")
    follow = subprocess.Popen(ctl.argv("logs", "-f", ctr), stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        until(lambda: follow.stdout.readline() == b"out\n", 5, "the log")
        b.restart()
        ctl("exec", "-s", ctr, "sh", "-c", "echo later >/proc/1/fd/1")
        equal(follow.stdout.readline(), b"later\n", "a line after the restart")
        t.send(b"exit 4\n")
        equal(t.end(), 4, "exit status of the session")
        ctl("stop", ctr)
        equal(follow.wait(10), 0, "exit status of logs -f")
    finally:
        follow.kill()
        follow.wait()
    holds(ctl("ps", "-a"), "Exited")


if __name__ == "__main__":
    crid.main(crid.tests_of(vars(ctl_tests)) + crid.tests_of(globals()))
