#!/usr/bin/python3
"""On a booted node, the daemon is killed 100 times with pods running: init starts it again, and no
container is another one afterwards."""
# timeout: 1500

import os
import re
import shutil
import subprocess
import sys
import tempfile

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
for name in ("tests/it/lib", "tests/boot", "images"):
    sys.path.insert(0, os.path.join(REPO, name))
sys.dont_write_bytecode = True
import frame  # noqa: E402
import node as boot  # noqa: E402
from frame import equal  # noqa: E402

KILLS = 100
os.chdir(REPO)
if os.environ.get("CRIBOX_TEST_ISOLATED") != "yes":
    boot.build(["x86_64"])
frame.isolate()
import oci  # noqa: E402
import registries  # noqa: E402


def pid_of_crid(node):
    return re.search(r"(?m)^crid\s.*?\b(\d+)\b", node.run("service status")).group(1)


def containers(node):
    return sorted(re.findall(r"(?m)^([0-9a-f]{12,}) .*Running", node.run("ctl ps")))


def test_kills(work):
    layout = os.path.join(work, "demo")
    subprocess.run(["/usr/bin/python3", "images/build-demo.py", layout, "x86_64"], check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    oci.Layout.read(layout).push("127.0.0.1:5000", "demo")
    files = boot.demo_files(5000)
    for number in range(3):
        files["root/pod%d.json" % number] = files["root/pod.json"].replace("demo-", "%d-" % number)
    with boot.Node("x86_64", files=files, name="kills") as node:
        node.ready(200)
        node.run("ctl pull %s:5000/demo:latest" % boot.HOST, 120)
        for number in range(3):
            pod = boot.one_id(node.run("ctl runp /root/pod%d.json" % number, 60))
            create = "ctl create %s /root/web.json /root/pod%d.json" % (pod, number)
            ctr = boot.one_id(node.run(create))
            node.run("ctl start " + ctr)
        before = containers(node)
        equal(len(before), 3, "containers")
        for number in range(KILLS):
            old = pid_of_crid(node)
            node.run("kill -9 " + old)
            node.run("service start crid", status=None)  # instead of a back-off of 30 s
            node.until("ctl version", "RuntimeApiVersion", 60)
            new = pid_of_crid(node)
            if new == old:
                raise AssertionError("kill %d: still process %s" % (number, old))
            equal(containers(node), before, "containers after kill %d" % number)
        node.send("poweroff")
        node.wait(90)


def main():
    work = tempfile.mkdtemp(prefix="kills.", dir="build")
    registry = registries.Registry(work, 5000)
    try:
        return 1 if frame.run([test_kills], work) else 0
    finally:
        registry.stop()
        shutil.rmtree(work)


sys.exit(main())
