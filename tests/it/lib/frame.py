"""The frame of the integration tests in Python.

isolate() gives a test its own network, mount, PID, IPC and UTS namespaces, with an empty /run:
nothing of it can touch the machine, and the kernel ends what is left when the test ends, even
if it is killed. run(tests, ...) runs functions and prints 'ok', 'not ok' or 'skip' lines.
"""

import os
import subprocess
import sys
import time
import traceback

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


isolated = False


class Skip(Exception):
    pass


def _arch():
    return {"aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


CRIBOX = os.environ.get("CRIBOX", os.path.join(REPO, "build", _arch(), "cribox"))


def sh(*command, **options):
    """Runs a command; returns its output. Failure is an exception with what it said."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )
    if done.returncode != 0:
        raise RuntimeError("%s: status %d: %s" % (" ".join(command), done.returncode, done.stdout))
    return done.stdout


def isolate():
    """Re-executes the test in namespaces of its own. Call it first."""
    global isolated
    name = os.path.basename(sys.argv[0])
    if os.environ.get("CRIBOX_TEST_ISOLATED") != "yes":
        if os.geteuid() != 0:
            print("skip %s: needs root" % name)
            sys.exit(0)
        os.environ["CRIBOX_TEST_ISOLATED"] = "yes"
        flags = ["--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]
        flags += ["--mount-proc", "--propagation", "private"]
        enter = os.path.join(REPO, "images", "enter.py")  # for a chroot
        command = ["/usr/bin/python3", enter, "unshare"] + flags
        os.execv(command[0], command + ["/usr/bin/python3", "-u"] + sys.argv)
    del os.environ["CRIBOX_TEST_ISOLATED"]
    isolated = os.getpid() == 1
    os.chdir(REPO)
    sh("ip", "link", "set", "lo", "up")
    sh("mount", "-t", "tmpfs", "-o", "mode=755", "run", "/run")
    if os.path.isdir("/var/lib/cni"):
        sh("mount", "-t", "tmpfs", "cni", "/var/lib/cni")
    sys.stdout.reconfigure(line_buffering=True)


def until(condition, seconds, what):
    """Waits for a true value; returns it."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("not within %g s: %s" % (seconds, what))
        time.sleep(0.02)


def equal(got, want, what="value"):
    if got != want:
        raise AssertionError("%s is %r, not %r" % (what, got, want))


def holds(text, part, what="text"):
    if part not in text:
        raise AssertionError("%s has no %r: %.300r" % (what, part, text))


def run(tests, argument=None, after=None):
    """Runs each test(argument); after(name) follows each. Exit status: did all pass?

    Arguments of the script select tests by parts of their names.
    """
    bad = 0
    for test in tests:
        name = test.__name__.replace("test_", "", 1)
        if len(sys.argv) > 1 and not any(part in name for part in sys.argv[1:]):
            continue
        start = time.monotonic()
        try:
            test(argument)
            print("ok %s" % name)
        except Skip as e:
            print("skip %s: %s" % (name, e))
        except Exception as e:  # every failure is one line, the rest is for the log
            bad += 1
            print("not ok %s: %s" % (name, " ".join(str(e).split())[:500] or repr(e)))
            traceback.print_exc(file=sys.stdout)
        print("# %s: %.2f s" % (name, time.monotonic() - start))
        if after:
            after(name)
    return bad
