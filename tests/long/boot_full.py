#!/usr/bin/python3
"""A node with the drivers of hardware (MODULE_SET=full): they are on the payload disk, and the NIC, the
disk of the state partition, an SD card and a USB stick need them."""
# timeout: 900

import os
import shutil
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
os.makedirs("build/boot", exist_ok=True)
WORK = tempfile.mkdtemp(prefix="full.", dir="build/boot")
CONFIG = 'console = "open"\n[storage]\nstate = "LABEL=state"\nrequired = true\n'


def disk(name, label):
    path = boot.make_ext4(os.path.join(WORK, name), 64, label)
    return ["-drive", "file=%s,format=raw,if=none,id=%s,cache=unsafe" % (path, name)]


class Bed:
    def __init__(self):
        boot.make("image", "IMAGE_DIR=" + WORK, "MODULE_SET=full")
        args = disk("nvme", "state") + ["-device", "nvme,drive=nvme,serial=n1"]
        args += disk("usb", "stick") + ["-device", "qemu-xhci", "-device", "usb-storage,drive=usb"]
        args += disk("card", "card") + ["-device", "sdhci-pci", "-device", "sd-card,drive=card"]
        args += ["-netdev", "user,id=n9", "-device", "e1000e,netdev=n9,romfile="]
        payload = boot.Disk(os.path.join(WORK, "payload.img"), "any", readonly=True)
        self.node = boot.Node(net=None, image=WORK, config=CONFIG, disks=[payload], args=args,
                              mem=384, name="full-%d" % os.getpid())  # fmt: skip
        self.run = self.node.run


def test_it_boots(b):
    b.node.ready(200)
    holds(b.run("mount -t erofs"), "on /payload type erofs (ro,nodev")
    print("# %s" % " ".join(b.run("ls -l /payload/lib/modules").split()))
    for line in b.run("boottime").split("\n"):
        print("# " + line)


def test_the_nic(b):
    holds(b.run("lsmod"), "e1000e")
    b.node.until("ip -4 addr show eth0", r"inet 10\.0\.2\.15/24", 30)


def test_the_state_partition(b):
    holds(b.run("mount"), "/dev/nvme0n1 on /var/lib/cribox type ext4")


def test_disks_of_other_kinds(b):
    b.node.until("blkid -t LABEL=stick", "/dev/sd", 60)
    b.node.until("blkid -t LABEL=card", "/dev/mmcblk", 30)
    for name in ("label/stick", "label/card", "label/state"):
        b.node.until("ls -l /dev/disk/by-" + name, r"-> \.\./\.\./", 30)
    said = b.run("ls /dev/disk/by-id /dev/disk/by-path")
    for part in ("nvme-", "usb-", "mmc-"):
        holds(said, part)


def test_more_modules(b):
    """One that only the full set has, with what it needs; one that the initramfs has, too."""
    for name in ("wireguard", "vxlan"):
        b.run("modprobe " + name)
        holds(b.run("lsmod"), name)


def test_power_off(b):
    b.node.send("poweroff")
    equal(b.node.wait(90), 0, "QEMU's status")


tests = [f for n, f in list(globals().items()) if n.startswith("test_")]
bed = None
try:
    bed = Bed()
    sys.exit(1 if frame.run(tests, bed) else 0)
finally:
    if bed:
        bed.node.close()
    shutil.rmtree(WORK)
