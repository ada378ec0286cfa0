"""Runs integration tests of tests/it on a booted node, from the same scripts as on the host."""

import os
import re
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import debian  # noqa: E402
import node as boot  # noqa: E402

MEGABYTES = 900


def run(title, scripts, limit, image=None, environment=""):
    """Prints their lines as title_SCRIPT_TEST; returns the exit status. Some seconds for a boot,
    and limit for the tests."""
    base = os.path.join(boot.REPO, "build/boot")
    os.makedirs(base, exist_ok=True)
    work = tempfile.mkdtemp(prefix="guest.", dir=base)
    bad = good = 0
    try:
        debian.make_tree(os.path.join(work, "top/root"), boot.REPO)
        disk = boot.make_ext4(os.path.join(work, "disk"), MEGABYTES, "tests", work + "/top")
        shutil.rmtree(os.path.join(work, "top"))
        with boot.Node("x86_64", disks=[boot.Disk(disk, "tests")], net=None, mem=1024, cpus=2,
                       image=image, name=title) as node:  # fmt: skip
            node.ready(200)
            print("# %s: %s" % (title, node.run("uname -r").strip()))
            top = "/mnt/root"
            node.run("modprobe -a @late ext4")
            node.run("mount -t ext4 /dev/disk/by-label/tests /mnt")
            for name in ("proc", "sys", "dev"):
                node.run("mount --rbind /%s %s/%s" % (name, top, name))
            node.run("mount -t tmpfs -o mode=755 run %s/run" % top)
            node.send("nsenter -r%s /usr/bin/python3 /repo/images/enter.py /usr/bin/env %s sh "
                      "/repo/tests/boot/in-guest.sh %s"
                      % (top, environment, " ".join("'%s'" % s for s in scripts)))  # fmt: skip
            node.expect(r"(?m)^# the end", limit)
            text = node.text
            node.again()
            node.send("poweroff")
            node.wait(60)
        for line in text.split("\n"):
            found = re.match(r"(ok|not ok|skip|#) (\w+)\.py:? ?(.*)", line)
            if found:
                how, script, rest = found.groups()
                bad += how == "not ok"
                good += how == "ok"
                print("%s %s_%s_%s" % (how, title, script, rest) if how != "#" else line)
            elif line.startswith("> "):
                print(line)
        if not good:
            print("not ok %s: no test passed" % title)
    except (boot.Failed, OSError) as e:
        bad += 1
        print("not ok %s: %s" % (title, e))
    finally:
        shutil.rmtree(work)
    return 1 if bad or not good else 0
