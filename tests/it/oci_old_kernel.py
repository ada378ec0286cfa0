#!/usr/bin/python3
"""The system calls that are newer than Linux 5.10 return ENOSYS: everything works, or says why not.

The tests of the runtime and of the daemon run once more, with a program in the place of cribox that
takes the calls away and becomes cribox.
"""
# timeout: 400

import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "lib"))
import frame  # noqa: E402
from frame import CRIBOX, equal, holds  # noqa: E402

# epoll_pwait2 and mount_setattr are the first after 5.10; the numbers are those of every
# architecture.
WRAPPER = r"""#!/usr/bin/python3 -SE
import ctypes, os, struct, sys

def op(code, jt, jf, k):
    return struct.pack("HBBI", code, jt, jf, k)

code = [
    op(0x20, 0, 0, 0),  # load the number
    op(0x35, 0, 2, 441),  # below: allow
    op(0x25, 1, 0, 1000),  # above: allow
    op(0x06, 0, 0, 0x00050000 | 38),  # ENOSYS
    op(0x06, 0, 0, 0x7FFF0000),  # allow
]
text = ctypes.create_string_buffer(b"".join(code))
prog = struct.pack("HxxxxxxQ", len(code), ctypes.addressof(text))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(22, 2, ctypes.c_char_p(prog), 0, 0) < 0:
    sys.exit("seccomp: " + os.strerror(ctypes.get_errno()))
os.execv(%r, sys.argv)
"""

# What cannot be had there: the test, and the words that say so.
REFUSED = {"oci_runtime.py mounts": "recursive mount attributes need Linux 5.12"}


def wrapped(dir):
    path = os.path.join(dir, "cribox")
    with open(path, "w") as f:
        f.write(WRAPPER % CRIBOX)
    os.chmod(path, 0o755)
    return path


def run_script(name):
    def test(_):
        with tempfile.TemporaryDirectory() as dir:
            env = dict(os.environ, CRIBOX=wrapped(dir))
            done = subprocess.run(
                ["/usr/bin/python3", os.path.join(HERE, name)],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        ok, bad = 0, []
        for line in done.stdout.splitlines():
            ok += line.startswith("ok ")
            if line.startswith("not ok "):
                key = "%s %s" % (name, line.split()[2].rstrip(":"))
                if key in REFUSED:
                    holds(line, REFUSED.pop(key))
                else:
                    bad.append(line)
        equal(bad, [], "tests that failed")
        equal(ok >= 5, True, "tests that passed, %d of them, with status %d" % (ok, done.returncode))

    test.__name__ = "test_old_kernel_" + name.split(".")[0]
    return test


def test_the_calls_are_gone(_):
    """The wrapper works: this test's own program would miss it if it did not."""
    with tempfile.TemporaryDirectory() as dir:
        path = wrapped(dir)
        text = open(path).read().replace(repr(CRIBOX), "'/usr/bin/python3'")
        open(path, "w").write(text)
        probe = "import ctypes; l = ctypes.CDLL(None, use_errno=True); l.syscall(442, -1, 0, 0, 0, 0); print(ctypes.get_errno())"
        equal(subprocess.run([path, "-c", probe], capture_output=True, text=True).stdout, "38\n")


if os.geteuid() != 0:
    print("skip oci_old_kernel: needs root")
    sys.exit(0)
SCRIPTS = ("oci_runtime.py", "oci_attacks.py", "cri_basic.py")
sys.exit(1 if frame.run([test_the_calls_are_gone] + [run_script(s) for s in SCRIPTS]) else 0)
