#!/usr/bin/python3
"""The node image on all four architectures, in an emulator, over the serial line: each boots once,
with a state partition, a NIC with DHCP and one with a static address, and does what a node does.

boot_nodes.py [ARCH...]"""
# timeout: 1200

import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(REPO, "tests/it/lib"))
sys.path.insert(0, os.path.join(REPO, "tests/boot"))
sys.path.insert(0, os.path.join(REPO, "images"))
sys.dont_write_bytecode = True
import frame  # noqa: E402
import node as boot  # noqa: E402
from frame import equal, holds  # noqa: E402

ARCHS = sys.argv[1:] or ["x86_64", "arm64", "ppc64le", "s390x"]
os.chdir(REPO)
if os.environ.get("CRIBOX_TEST_ISOLATED") != "yes":
    boot.build(ARCHS)
frame.isolate()
import oci  # noqa: E402
import registries  # noqa: E402

STATIC = "user,id=n1,net=10.9.0.0/24,host=10.9.0.2,dns=10.9.0.3"
CONFIG = """console = "open"
hostname = "node-under-test"
[net.eth1]
address = ["10.9.0.77/24", "fd09::77/64"]
[storage]
state = "LABEL=state"
"""
CONTROLLERS = ["cpuset", "cpu", "io", "memory", "pids"]
IMAGE = boot.HOST + ":5000/demo:latest"


PARTUUID = "0a0b0c0d-0102-0304-0506-0708090a0b0c"


def partitions(work, arch):
    """A disk with a partition table and swap space in it."""
    path, swap = (os.path.join(work, arch + end) for end in (".gpt", ".swap"))
    env = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")
    for name, size in ((path, 8 << 20), (swap, 4 << 20)):
        with open(name, "wb") as f:
            f.truncate(size)
    table = 'label: gpt\nstart=2048,size=8192,uuid=%s,name="a name"\n' % PARTUUID
    subprocess.run(["sfdisk", "-q", path], input=table, text=True, env=env, check=True)
    os.chmod(swap, 0o600)
    subprocess.run(["mkswap", "-q", "-L", "spare", swap], env=env, check=True,
                   stderr=subprocess.DEVNULL)  # fmt: skip
    with open(swap, "rb") as f, open(path, "r+b") as disk:
        disk.seek(1 << 20)
        disk.write(f.read(4096))
    return boot.Disk(path, "parts-1")


class Bed:
    """One node, and what the steps before have found out about it."""

    def __init__(self, arch, work):
        self.arch = arch
        self.disk = boot.make_ext4(os.path.join(work, arch + ".img"), 128, "state")
        files, append, device = boot.demo_files(5000), "", "virtio-net-pci,netdev=n1,romfile="
        if boot.MACHINES[arch]["bus"] == "ccw":
            # the kernel finds these in any order: the second NIC is let in when the first is there
            append, device = "cio_ignore=0.0.0f03", "virtio-net-ccw,netdev=n1,devno=fe.0.0f03"
            files["root/let-in"] = "free 0.0.0f03\n"
        second = ["-netdev", STATIC, "-device", device]
        self.node = boot.Node(arch, config=CONFIG, files=files, append=append, args=second,
                              disks=[boot.Disk(self.disk, "state-1"), partitions(work, arch)])  # fmt: skip

    def run(self, command, **options):
        return self.node.run(command, **options)


def step_boots(b):
    b.node.ready(300)
    if boot.MACHINES[b.arch]["bus"] == "ccw":
        b.run("cp /root/let-in /proc/cio_ignore")
    print("# %s: CRI answers on the console after %.1f s" % (b.arch, b.node.seconds()))
    holds(b.run("boottime"), "crid")
    holds(b.run("uname -a"), "node-under-test")
    equal(b.run("hostname").strip(), "node-under-test")


def step_cgroup2_complete(b):
    have = b.run("cat /sys/fs/cgroup/cgroup.controllers").split()
    equal([c for c in CONTROLLERS if c not in have], [], "missing controllers")
    delegated = b.run("cat /sys/fs/cgroup/cgroup.subtree_control").split()
    equal(sorted(delegated), sorted(have), "delegated")
    mounts = b.run("cat /proc/mounts")
    holds(mounts, "nsdelegate")
    holds(mounts, "memory_recursiveprot")
    if re.search(r"(?m)^\S+ \S+ cgroup ", mounts):
        raise AssertionError("version 1 is mounted")


def step_modules_loaded(b):
    b.node.until("lsmod", r"(?m)^nft_masq ", 60)
    loaded = {line.split()[0] for line in b.run("lsmod").split("\n") if line}
    want = {"virtio_net", "virtio_blk", "overlay", "bridge", "br_netfilter", "veth"}
    equal(want - loaded, set(), "not loaded")
    b.run("modprobe vxlan")  # with what it needs
    holds(b.run("lsmod"), "vxlan")
    b.run("modprobe -r vxlan")
    holds(b.run("modprobe no-such-module", status=1), "no-such-module")


def step_dhcp(b):
    b.node.until("ip -4 addr show eth0", r"inet 10\.0\.2\.15/24", 30)
    holds(b.run("ip route"), "default via 10.0.2.2 dev eth0")
    holds(b.run("cat /etc/resolv.conf"), "nameserver 10.0.2.3")


def step_static_network(b):
    b.node.until("ip addr show eth1", r"inet 10\.9\.0\.77/24", 30)
    holds(b.run("ip addr show eth1"), "inet6 fd09::77/64")
    holds(b.run("ping -c 1 -W 10 10.9.0.2"), " 0% packet loss")


def step_state_partition(b):
    mounts = b.run("cat /proc/mounts")
    for place in ("/state", "/var/lib/cribox"):
        if not re.search(r"(?m)^/dev/vd\S+ %s ext4 " % place, mounts):
            raise AssertionError("%s is not on the state partition: %.900s" % (place, mounts))


def step_pull(b):
    b.run("ctl pull " + IMAGE, timeout=120)
    holds(b.run("ctl images"), "demo")


def step_pod(b):
    b.pod = boot.one_id(b.run("ctl runp /root/pod.json", timeout=90))
    b.web = boot.one_id(b.run("ctl create %s /root/web.json /root/pod.json" % b.pod))
    b.watch = boot.one_id(b.run("ctl create %s /root/watch.json /root/pod.json" % b.pod))
    b.run("ctl start %s %s" % (b.web, b.watch))
    holds(b.run("ctl ps"), "Running")


def step_exec(b):
    said = b.run("ctl exec %s /bin/demo show" % b.web)
    holds(said, "uid 1000, host demo, eth0 ")
    holds(b.run("ctl exec %s /bin/demo cat /etc/motd" % b.web), "Welcome to a container")
    holds(b.run("ctl exec %s /bin/demo cat /etc/draft" % b.web, status=None), "No such file")
    holds(b.run("ctl exec %s /bin/demo cat /proc/self/cgroup" % b.web), "0::/")


def step_logs(b):
    b.node.until("ctl logs %s" % b.watch, "the neighbour says: pid ", 30)
    holds(b.run("ctl logs %s" % b.web), "serving on port 8080")
    holds(b.run("cat /var/log/pods/demo/web.log"), " stdout F serving on port 8080")


def step_services(b):
    said = b.run("service status")
    for name in ("crid", "network"):
        if not re.search(r"(?m)^%s\s+.*(up|running)" % name, said):
            raise AssertionError("%s does not run: %.500s" % (name, said))
    holds(b.run("service logs crid"), "crid")


def step_console(b):
    """What a person looks at; and nothing that is printed controls the terminal."""
    holds(b.run("ps"), "crid")
    holds(b.run("df"), "/state")
    holds(b.run("free"), "Mem")
    holds(b.run("dmesg"), "Linux version")
    holds(b.run("ls /etc/cribox"), "config.toml")
    if "\x1b" in b.run("cat /proc/self/environ"):
        raise AssertionError("an escape sequence")
    holds(b.run("no-such-applet", status=127), "no-such-applet")


def step_status_screen(b):
    said = b.run("status")
    for part in ("cribox ", "node node-under-test", "10.9.0.77/24", "crid up", "1 ready, 0 not ready",
                 "2 of 2 running"):  # fmt: skip
        holds(said, part)
    # a terminal in the container, behind the one of the prompt
    holds(b.run("ctl exec -it %s /bin/demo show" % b.web), "uid 1000, host demo")
    longest = max(len(row) for row in said.split("\n"))
    equal(longest < 80, True, "%d columns" % longest)


def step_disks(b):
    """The links of udev, also on a machine of the other byte order."""
    for name, what in (("label/state", ""), ("id/virtio-state-1", ""), ("partuuid/" + PARTUUID, "1"),
                       ("partlabel/a\\\\x20name", "1"), ("id/virtio-parts-1-part1", "1"),
                       ("label/spare", "1")):  # fmt: skip
        said = b.run("ls -l /dev/disk/by-" + name)
        if not re.search(r"-> \.\./\.\./vd[ab]%s\n" % what, said):
            raise AssertionError("%s: %.300s" % (name, said))
    holds(b.run("ls /dev/disk/by-path"), "-part1")
    said = b.run("blkid")
    for part in ('LABEL="state"', 'TYPE="ext4"', 'PTTYPE="gpt"', 'TYPE="swap"', 'PARTLABEL="a name"'):
        holds(said, part)
    holds(b.run("lsblk"), "/state")
    holds(b.run("losetup -f"), "/dev/loop")  # the driver is a module that comes when it is asked for
    b.run("mkdir /run/mnt")
    holds(b.run("umount /run/mnt", status=32), "umount: /run/mnt: not mounted.")
    b.run("mount -t tmpfs -o size=65536,noswap tmpfs /run/mnt")
    holds(b.run("mount -t tmpfs"), "/run/mnt")
    b.run("umount /run/mnt")


def step_daemon_killed(b):
    """init starts the daemon again; the pod has not noticed."""
    pid = re.search(r"(?m)^\s*(\d+) .*crid", b.run("ps")).group(1)
    b.run("kill -9 " + pid)
    b.node.until("ctl ps", "Running", 60)
    holds(b.run("ctl exec %s /bin/demo show" % b.web), "uid 1000, host demo")


def step_power_off(b):
    """With the pod running; every file system is unmounted, the disk's is clean."""
    b.node.send("poweroff")
    b.node.wait(90)
    equal(b.node.qemu.returncode, 0, "QEMU's status")
    env = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")
    head = subprocess.run(["dumpe2fs", "-h", b.disk], stdout=subprocess.PIPE, env=env,
                          stderr=subprocess.DEVNULL, text=True, check=True).stdout  # fmt: skip
    holds(head, "Filesystem state:         clean")
    if "needs_recovery" in head:
        raise AssertionError("the state partition was not unmounted")
    check = subprocess.run(["e2fsck", "-fn", b.disk], stdout=subprocess.PIPE, text=True, env=env,
                           stderr=subprocess.STDOUT)  # fmt: skip
    equal(check.returncode, 0, "e2fsck: %.300s" % check.stdout)


def one_node(arch, work):
    """All steps on one architecture: lines of results."""
    lines, bed, begin = [], None, time.monotonic()
    steps = [(n[5:], f) for n, f in globals().items() if n.startswith("step_")]
    try:
        bed = Bed(arch, work)
        for name, step in steps:
            start = time.monotonic()
            try:
                step(bed)
                lines.append("ok %s_%s" % (arch, name))
            except Exception as e:
                why = " ".join(str(e).split())[:900] or repr(e)
                lines.append("not ok %s_%s: %s" % (arch, name, why))
                lines.append(traceback.format_exc())
                if bed.node.ended:
                    break
            lines.append("# %s_%s: %.1f s" % (arch, name, time.monotonic() - start))
    except Exception as e:
        lines.append("not ok %s: %s" % (arch, e))
    finally:
        if bed:
            bed.node.close()
    lines.append("# %s: %.1f s" % (arch, time.monotonic() - begin))
    return lines


def main():
    work = tempfile.mkdtemp(prefix="boot.", dir="build")
    registry = registries.Registry(work, 5000)
    try:
        layout = os.path.join(work, "demo")
        subprocess.run(["/usr/bin/python3", "images/build-demo.py", layout] + ARCHS, check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
        oci.Layout.read(layout).push(registry.address, "demo")
        bad = 0
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for lines in pool.map(lambda arch: one_node(arch, work), ARCHS):
                bad += sum(line.startswith("not ok") for line in lines)
                print("\n".join(lines), flush=True)
        return 1 if bad else 0
    finally:
        registry.stop()
        shutil.rmtree(work)


sys.exit(main())
