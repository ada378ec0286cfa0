#!/usr/bin/python3
"""A node with a payload, as 'make image IMAGES=... KUBELET=...' makes it: its disk is found and can only
be read, its images get into the store, run without any registry, and its kubelet is a service."""
# timeout: 600

import os
import shutil
import subprocess
import sys
import tempfile

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(REPO, "tests/it/lib"))
sys.path.insert(0, os.path.join(REPO, "tests/boot"))
sys.dont_write_bytecode = True
import frame  # noqa: E402
import node as boot  # noqa: E402
from frame import equal, holds  # noqa: E402

os.chdir(REPO)
if os.environ.get("CRIBOX_TEST_ISOLATED") != "yes":
    boot.make("image", "build/x86_64/demo", "build/x86_64/kubelet")
frame.isolate()

IMAGE = "docker.io/library/demo:latest"  # of a layout in a directory "demo", with the tag latest


class Bed:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="payload.", dir="build")
        layout, out = (os.path.join(self.dir, name) for name in ("demo", "image"))
        subprocess.run(["/usr/bin/python3", "images/build-demo.py", layout, "x86_64"], check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
        boot.make("image", "IMAGE_DIR=" + out, "IMAGES=" + layout, "KUBELET=build/x86_64/kubelet")
        files = boot.demo_files(5000)
        for name in ("web", "watch"):
            path = "root/%s.json" % name
            files[path] = files[path].replace(boot.HOST + ":5000/demo:latest", IMAGE)
        files["etc/kubernetes/bootstrap-kubelet.conf"] = "is the API server's to read\n"
        disk = boot.Disk(os.path.join(out, "payload.img"), "any", readonly=True)
        self.node = boot.Node("x86_64", net=None, image=out, files=files, disks=[disk],
                              name="payload-%d" % os.getpid())  # fmt: skip
        self.run = self.node.run

    def close(self):
        self.node.close()
        shutil.rmtree(self.dir)


def test_the_disk(b):
    b.node.ready(120)
    holds(b.run("mount -t erofs"), "on /payload type erofs (ro,nodev")
    equal(b.run("ls /payload").split(), ["bin", "images"])
    holds(b.run("cp /bin/cribox /payload/bin/x", status=1), "Read-only file system")


def test_the_images_are_in_the_store(b):
    b.node.until("service status", r"(?m)^preload +done", 60)
    b.node.until("ctl images", r"(?m)^docker.io/library/demo +latest ", 10)


def test_a_pod_without_a_registry(b):
    pod = boot.one_id(b.run("ctl runp /root/pod.json", timeout=90))
    ctr = boot.one_id(b.run("ctl create --no-pull %s /root/watch.json /root/pod.json" % pod))
    web = boot.one_id(b.run("ctl create %s /root/web.json /root/pod.json" % pod))
    b.run("ctl start %s %s" % (web, ctr))
    holds(b.run("ctl exec %s /bin/demo cat /etc/motd" % web), "Welcome to a container")
    b.node.until("ctl logs " + ctr, "the neighbour says: pid ", 30)


def test_the_kubelet(b):
    b.node.until("service status kubelet", r"(?m)^kubelet +up ", 30)
    words = b.run("cat /run/kubelet-words").split("\n")
    for word in ("/payload/bin/kubelet", "--container-runtime-endpoint=unix:///run/cribox/crid.sock",
                 "--root-dir=/var/lib/kubelet", "--pod-manifest-path=/etc/kubernetes/manifests",
                 "--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf",
                 # which it writes: without it, it would run on its own
                 "--kubeconfig=/etc/kubernetes/kubelet.conf"):  # fmt: skip
        equal(word in words, True, "%s among %s" % (word, words))
    holds(b.run("service logs kubelet"), "the stand-in for a kubelet runs")
    holds(b.run("cat /sys/fs/cgroup/cribox/kubelet/cgroup.procs"), "\n")
    b.run("kill -9 " + b.run("cat /sys/fs/cgroup/cribox/kubelet/cgroup.procs").split()[0])
    b.node.until("service status kubelet", r"(?m)^kubelet +up .* 1 ", 30)


def test_power_off(b):
    b.node.send("poweroff")
    equal(b.node.wait(90), 0, "QEMU's status")
    equal("was busy" in b.node.text, False, "a file system that was busy")


tests = [f for n, f in list(globals().items()) if n.startswith("test_")]
bed = Bed()
try:
    sys.exit(1 if frame.run(tests, bed) else 0)
finally:
    bed.close()
