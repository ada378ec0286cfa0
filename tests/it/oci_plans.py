#!/usr/bin/python3
"""Plans of the golden configurations by the binary of every architecture that is built."""

import glob
import os
import platform
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import frame  # noqa: E402
from frame import Skip  # noqa: E402

QEMU = {"x86_64": "x86_64", "arm64": "aarch64", "ppc64le": "ppc64le", "s390x": "s390x"}
GOLDEN = "tests/golden/oci"


def plan(command, name, v1):
    with tempfile.TemporaryDirectory() as bundle:
        shutil.copy(os.path.join(GOLDEN, name + ".json"), os.path.join(bundle, "config.json"))
        done = subprocess.run(command + ["oci", "plan"] + ["--v1"] * v1 + [bundle],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=60)
    if done.returncode != 0:
        raise AssertionError("%s: %s" % (name, done.stderr))
    return done.stdout


def check(arch):
    binary = "build/%s/cribox" % arch
    if not os.path.exists(binary):
        raise Skip("%s is not built" % binary)
    command = [os.path.abspath(binary)]
    if arch != platform.machine().replace("aarch64", "arm64"):
        qemu = shutil.which("qemu-%s-static" % QEMU[arch])
        if not qemu:
            raise Skip("no qemu-%s-static" % QEMU[arch])
        command.insert(0, qemu)
    found = sorted(glob.glob(GOLDEN + "/*.plan"))
    if len(found) < 15:
        raise AssertionError("only %d golden plans" % len(found))
    for path in found:
        name = os.path.basename(path)[:-len(".plan")]
        v1 = name.endswith(".v1")
        with open(path) as f:
            want = f.read()
        got = plan(command, name[:-3] if v1 else name, v1)
        if got != want:
            pairs = zip(got.split("\n"), want.split("\n"))
            line = next((g, w) for g, w in pairs if g != w)
            raise AssertionError("%s: '%s', not '%s'" % ((name,) + line))


def test_plans_x86_64(_):
    check("x86_64")


def test_plans_arm64(_):
    check("arm64")


def test_plans_ppc64le(_):
    check("ppc64le")


def test_plans_s390x(_):
    check("s390x")


os.chdir(frame.REPO)
TESTS = [f for n, f in sorted(globals().items()) if n.startswith("test_")]
sys.exit(1 if frame.run(TESTS) else 0)
