#!/usr/bin/python3
"""The console beside a daemon with pods: what its screen says of them, and exec with a terminal
from its prompt, whose output is the last that should control the console."""

import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
import crid  # noqa: E402
from crid import NS_NODE  # noqa: E402
from frame import equal, holds, until  # noqa: E402
from terminal import PROMPT, Terminal  # noqa: E402


def sleeper(b):
    b.pull()
    pod = b.pod(namespaces={"network": NS_NODE})
    return pod, b.sleeper(pod)


def test_screen_shows_pods(b):
    with Terminal("status") as t:
        holds(t.expect("again").replace("\r", ""), "pods        none\n")
        pod, _ = sleeper(b)
        name = b.client.PodSandboxStatus(pod_sandbox_id=pod).status.metadata
        text = t.expect("again", 40)
        holds(text, "1 ready, 0 not ready")
        holds(text, "%s/%s" % (name.namespace, name.name))
        holds(text, "ready, 1 of 1 running")
        b.client.StopPodSandbox(pod_sandbox_id=pod)
        t.send("\n")
        text = t.expect("again")
        holds(text, "0 ready, 1 not ready")
        holds(text, "not ready, 0 of 1 running")


def test_screen_of_a_daemon_that_hangs(b):
    b.daemon.send_signal(signal.SIGSTOP)
    try:
        with Terminal("status") as t:
            holds(t.expect("again", 15), "the CRI daemon does not answer")
    finally:
        b.daemon.send_signal(signal.SIGCONT)


def test_exec_with_a_terminal(b):
    _, ctr = sleeper(b)
    with Terminal() as t:
        t.prompt()
        t.send("ctl exec -it %s /bin/sh\n" % ctr)
        t.expect("# ")
        t.send("stty size; tty; echo $((6*7))\n")
        text = t.expect("42\r\n")
        holds(text, "24 80\r\n")
        holds(text, "/dev/")
        # Ctrl-C is for the program in the container, not for ctl
        t.expect("# ")
        t.send("sleep 1000; echo after $?\n")
        time.sleep(0.5)
        t.send("\x03")
        time.sleep(0.3)
        t.send("echo still\"\"here\n")
        t.expect("stillhere")
        start = t.at
        t.send("printf '\\033[2J\\033]0;t\\007\\233H'; echo done\"\"now\n")
        t.expect("donenow")
        raw = t.text[start:]
        holds(raw.decode(), "\\x1b[2J\\x1b]0;t\\x07")
        allowed = set(range(0x20, 0x7F)) | {8, 9, 10, 13} | set(range(0x80, 0x100))
        equal(sorted(set(raw) - allowed), [], "control bytes")
        t.send("exit 5\n")
        holds(t.expect("(?m)^" + PROMPT), "[status 5]")
        equal(t.run("/bin/echo 'cooked again'"), "cooked again\n")


def test_exec_can_be_left(b):
    """A session in which nobody answers: Ctrl-] three times."""
    _, ctr = sleeper(b)
    with Terminal() as t:
        t.prompt()
        t.send("ctl exec -it %s /bin/sh -c 'trap \"\" INT QUIT; echo deaf; sleep 1000'\n" % ctr)
        t.expect("deaf\r\n")
        t.send("\x03\x03")
        t.send("\x1d\x1d\x1d")
        holds(t.expect("(?m)^" + PROMPT), "[status 137]")
        holds(t.run("ctl exec %s /bin/echo fine" % ctr), "fine\n")


def test_ps_knows_containers(b):
    pod, ctr = sleeper(b)
    pid = b.info(ctr)["pid"]
    with Terminal() as t:
        t.prompt()
        rows = [r.split() for r in t.run("ps").split("\n")]
        row = [r for r in rows if r and r[0] == str(pid)][0]
        equal(row[6], ctr[:13], "container of the process")
        until(lambda: "sleep 1000" in t.run("ps -C " + ctr[:13]), 5, "ps of the container")
        equal(t.run("ps -C %s" % ctr[:13]).count("\n") >= 2, True)


crid.main(crid.tests_of(globals()))
