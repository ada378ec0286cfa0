#!/usr/bin/python3
"""Boots the node beside the same kernel with a process 1 that does nothing, in turns, in an emulator:
time until the CRI answers, memory in use without pods, and the sizes of all that are built.

boot.py [--runs N] [--arch ARCH]"""

import argparse
import os
import re
import statistics
import sys
import time

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(REPO, "tests/boot"))
sys.dont_write_bytecode = True
import node as boot  # noqa: E402

AIM_TIME, AIM_MEMORY = 1.5, 20


def memory(text):
    value = {k: int(v) for k, v in re.findall(r"(Mem\w+):\s+(\d+) kB", text)}
    return (value["MemTotal"] - value["MemAvailable"]) / 1024


def nothing(arch):
    """(seconds on the guest's clock, seconds here, MiB)"""
    files = {"nothing": (0o755, open("build/%s/nothing" % arch, "rb").read())}
    with boot.Node(arch, append="rdinit=/nothing", config=None, files=files, bare=True,
                   name="bench-nothing", net=None) as node:  # fmt: skip
        guest = float(node.expect(r"started after ([\d.]+) s", 120).group(1))
        here = node.seconds()
        node.expect("the end", 60)
        return guest, here, memory(node.text)


def ready_time(text):
    """(until crid was ready, what loading modules took, until process 1 ran), in seconds of the
    guest's clock, from the milliseconds of 'boottime'."""
    ready = re.search(r"(?m)^crid\s+([\d.]+)", text)
    modules = re.search(r"(?m)^modules\s+[\d.]+\s+([\d.]+)", text)
    kernel = re.search(r"(?m)^kernel\s+([\d.]+)", text)
    if not ready or not modules or not kernel:
        raise boot.Failed("no time in: " + text)
    return tuple(float(m.group(1)) / 1000 for m in (ready, modules, kernel))


def ours(arch):
    with boot.Node(arch, name="bench-node", net=None) as node:
        node.ready(300)
        time.sleep(3)  # what comes after the daemon, too
        text = node.run("boottime")
        in_use = memory(node.run("cat /proc/meminfo"))
        node.send("poweroff")
        node.wait(60)
    return text, in_use


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--arch", default=os.uname().machine.replace("aarch64", "arm64"))
    args = p.parse_args()
    os.chdir(REPO)
    boot.build([args.arch])
    boot.make("ARCH=" + args.arch, "build/%s/nothing" % args.arch)
    base, node = [], []
    for _ in range(args.runs):
        base.append(nothing(args.arch))
        text, in_use = ours(args.arch)
        node.append(ready_time(text) + (in_use,))
    print(text)
    # of times the least: what else the machine does can only add to them
    floor, ready = (min(r[0] for r in rows) for rows in (base, node))
    print("%s, %d runs in turns, minima of times, medians of memory" % (args.arch, args.runs))
    print("process 1 of nothing  %6.2f s after the kernel's start" % floor)
    print("CRI ready             %6.2f s, %.2f times that (aim: at most %.1f)"
          % (ready, ready / floor, AIM_TIME))  # fmt: skip
    print("  of that, modules    %6.2f s" % min(r[1] for r in node))
    print("  in the same boot    %6.2f times the start of process 1"
          % statistics.median(r[0] / r[2] for r in node))  # fmt: skip
    less, more = (statistics.median(r[-1] for r in rows) for rows in (base, node))
    print("memory in use         %6.1f MiB, %.1f above nothing's %.1f (aim: at most %d above)"
          % (more, more - less, less, AIM_MEMORY))  # fmt: skip
    for arch in boot.MACHINES:
        for name in ("cribox", "initramfs.img", "vmlinuz"):
            path = "build/%s/%s" % (arch, name)
            if os.path.exists(path):
                print("%-8s %-14s %6.2f MiB" % (arch, name, os.path.getsize(path) / 2**20))


main()
