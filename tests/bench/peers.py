#!/usr/bin/python3
"""Side by side with Debian's containerd, runc and crun, in one run: sizes, memory, times.

Both daemons run at the same time in namespaces of the bench's own and take turns, so that
whatever else the machine does hits both. Medians, with the minimum in parentheses.
BENCH_QUICK=yes: fewer rounds.
"""

import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "it", "lib"))
import frame  # noqa: E402

frame.isolate()
import containerd  # noqa: E402
import crid  # noqa: E402

QUICK = os.environ.get("BENCH_QUICK") == "yes"
STARTS, EXECS, PULLS = (5, 20, 1) if QUICK else (20, 100, 3)
PODS, IDLE_SECONDS = (10, 10) if QUICK else (20, 30)
FLUSHES = "fsync,fdatasync,sync,syncfs,sync_file_range,msync"
rows = []


class Side:
    """One contestant: a bed and the handler to ask for."""

    def __init__(self, name, bed, handler=""):
        self.name, self.bed, self.handler = name, bed, handler

    def start(self, pid=crid.NS_CONTAINER):
        """A pod with a container; returns (seconds, pod, container). A PID namespace for each
        container is what the kubelet asks for unless shareProcessNamespace is set."""
        begin = time.monotonic()
        pod = self.bed.pod(handler=self.handler, namespaces={"pid": pid})
        ctr = self.bed.start_ctr(pod, ["sleep", "1000000"])
        return time.monotonic() - begin, pod, ctr

    def remove(self, pod):
        self.bed.client.StopPodSandbox(pod_sandbox_id=pod)
        self.bed.client.RemovePodSandbox(pod_sandbox_id=pod)

    def processes(self):
        """Processes of this side's pods but the workload: name and pid."""
        found = {}
        for pid, text in crid.processes().items():
            words = text.split()
            name = os.path.basename(words[0]) if words else ""
            if name in ("shim", "pause", "containerd-shim-runc-v2"):
                found[pid] = name
        return found


def row(what, ours, theirs, unit, ratio=None, aim=""):
    if ratio is None and ours is not None and theirs:
        ratio = ours / theirs
    text = [what] + ["-" if v is None else ("%.3g" % v if v < 100 else "%.0f" % v) for v in
                     (ours, theirs)]  # fmt: skip
    rows.append(text + [unit, "" if ratio is None else "%.3f" % ratio, aim])
    print("%-44s %10s %10s %-6s ratio %-8s %s" % tuple(rows[-1]))


def rollup(pid, key):
    try:
        with open("/proc/%d/smaps_rollup" % pid) as f:
            return sum(int(x.split()[1]) for x in f if x.startswith(key + ":"))
    except OSError:
        return 0


def sizes():
    def total(*names):
        return sum(os.path.getsize(n) for n in names if os.path.exists(n)) / 1048576

    peers = ["/usr/bin/containerd", "/usr/bin/containerd-shim-runc-v2"]
    ours = total(frame.CRIBOX)
    row("size: cribox / containerd+shim+runc", ours, total(*peers, "/usr/sbin/runc"), "MiB", aim="<= 2.5")
    row("size: cribox / containerd+shim+crun", ours, total(*peers, "/usr/bin/crun"), "MiB")


def idle_memory(a, b):
    pids = a.bed.daemon.pid, b.bed.daemon.pid
    pss = [rollup(p, "Pss") / 1024 for p in pids]
    row("idle daemon, PSS", pss[0], pss[1], "MiB", aim="<= 3")
    dirty = [rollup(p, "Private_Dirty") / 1024 for p in pids]
    row("idle daemon, private dirty", dirty[0], dirty[1], "MiB")


def many_pods(sides):
    """Memory and wake-ups of idle pods, one side after the other."""
    per_pod, wakes = {}, {}
    pods = [sides[0].start(crid.NS_POD)[1] for _ in range(PODS)]
    time.sleep(3)
    shared = sum(rollup(p, "Pss") for p in sides[0].processes()) / PODS
    row("PSS per pod, shareProcessNamespace", shared, None, "KiB")
    for pod in pods:
        sides[0].remove(pod)
    for side in sides:
        pods = [side.start()[1] for _ in range(PODS)]
        time.sleep(3)
        own = side.processes()
        per_pod[side.name] = sum(rollup(p, "Pss") for p in own) / PODS
        wakes[side.name] = wakeups(list(own) + [side.bed.daemon.pid])
        for pod in pods:
            side.remove(pod)
    first = sides[0].name
    for side in sides[1:]:
        row("PSS per pod / " + side.name, per_pod[first], per_pod[side.name], "KiB", aim="<= 250")
        row("wakeups per minute, %d idle pods / %s" % (PODS, side.name), wakes[first],
            wakes[side.name], "", aim="0")  # fmt: skip


def switches(pids):
    count = 0
    for pid in pids:
        try:
            for task in os.listdir("/proc/%d/task" % pid):
                with open("/proc/%d/task/%s/status" % (pid, task)) as f:
                    count += sum(int(x.split()[1]) for x in f if x.startswith("voluntary_ctxt"))
        except OSError:
            pass
    return count


def wakeups(pids):
    before = switches(pids)
    time.sleep(IDLE_SECONDS)
    return (switches(pids) - before) * 60 / IDLE_SECONDS


def compare(what, samples, sides, unit, scale, aim=""):
    first = sides[0].name
    for side in sides[1:]:
        mine = [statistics.median(samples[n]) * scale for n in (first, side.name)]
        row("%s / %s" % (what, side.name), mine[0], mine[1], unit, aim=aim)
        low = [min(samples[n]) * scale for n in (first, side.name)]
        row("   minimum", low[0], low[1], unit)


def starts(sides):
    samples = {s.name: [] for s in sides}
    for _ in range(STARTS):
        for side in sides:
            seconds, pod, _ = side.start()
            samples[side.name].append(seconds)
            side.remove(pod)
    compare("pod + container started", samples, sides, "ms", 1000, "<= 0.25")


def flushes(sides):
    """System calls that flush to disk, of the daemon and all it starts, for one pod."""
    count = {}
    for side in sides:
        trace = side.bed.base + "/trace"
        tracer = subprocess.Popen(
            ["strace", "-f", "-q", "-o", trace, "-e", "trace=" + FLUSHES]
            + ["-p", str(side.bed.daemon.pid)],
            stderr=subprocess.DEVNULL,
        )
        time.sleep(1)
        pod = side.start()[1]
        time.sleep(0.5)
        with open(trace) as f:
            calls = [x for x in f if "resumed" not in x and "(" in x and "---" not in x]
        side.remove(pod)
        tracer.terminate()
        tracer.wait()
        count[side.name] = len(calls)
    first = sides[0].name
    for side in sides[1:]:
        row("disk flushes of a pod start / " + side.name, count[first], count[side.name], "",
            aim="0")  # fmt: skip


def cpu(pids):
    ticks = 0
    for pid in pids:
        try:
            with open("/proc/%d/stat" % pid) as f:
                ticks += sum(int(x) for x in f.read().rsplit(")", 1)[1].split()[11:15])
        except OSError:
            pass
    return ticks / os.sysconf("SC_CLK_TCK")


def execs(sides):
    wall, used = {s.name: [] for s in sides}, {}
    for side in sides:
        _, pod, ctr = side.start()
        pids = list(side.processes()) + [side.bed.daemon.pid]
        before = cpu(pids)
        for _ in range(EXECS):
            begin = time.monotonic()
            side.bed.client.ExecSync(container_id=ctr, cmd=["true"], timeout=10)
            wall[side.name].append(time.monotonic() - begin)
        time.sleep(0.3)
        used[side.name] = (cpu(pids) - before) / EXECS
        side.remove(pod)
    compare("ExecSync, wall", wall, sides, "ms", 1000)
    first = sides[0].name
    for side in sides[1:]:
        row("ExecSync, CPU / " + side.name, used[first] * 1000, used[side.name] * 1000, "ms",
            aim="<= 0.1")  # fmt: skip


def big_image():
    """Four layers, over 200 MB compressed: programs and data as images have them."""
    text = b"".join(b"line %d of a file that compresses well\n" % i for i in range(20000))
    layers = []
    for number in range(4):
        layer = crid.oci.Layer().dir("data%d" % number)
        for i in range(208):
            layer.file("data%d/%d" % (number, i), os.urandom(256 << 10) + text[: 64 << 10])
        layers.append(layer)
    return crid.oci.Image([crid.box_layer()] + layers, crid.box_config(), compress="gzip")


def pulls(a, b):
    crid.push_images({"big": big_image()})
    name = crid.REGISTRY + "/big:latest"
    samples = {a.name: [], b.name: []}
    for _ in range(PULLS):
        for side in (a, b):
            begin = time.monotonic()
            image = side.bed.pull(name)
            samples[side.name].append(time.monotonic() - begin)
            side.bed.client.RemoveImage(image={"image": image})
            time.sleep(1)
    compare("pull of 220 MB", samples, [a, b], "s", 1, "<= 1")


def main():
    # Debian's crun refuses hybrid hosts when it sees controllers on the unified hierarchy.
    unified = "/sys/fs/cgroup/unified/cgroup.controllers"
    if os.path.exists(unified):
        frame.sh("mount", "--bind", "/dev/null", unified)
    print("load at the start: %s" % open("/proc/loadavg").read().strip())
    with crid.Bed() as ours, containerd.Bed(images=False, registry=ours.registry) as theirs:
        for bed in (ours, theirs):
            bed.pull()
        a, b = Side("cribox", ours), Side("containerd+runc", theirs, "runc")
        sides = [a, b]
        c = Side("containerd+crun", theirs, "crun")
        try:
            c.remove(c.start()[1])
            sides.append(c)
        except crid.grpc.RpcError as e:
            theirs.clean()
            print("# no crun: %s" % e.details()[:200])
        time.sleep(5)
        sizes()
        idle_memory(a, b)
        starts(sides)
        flushes(sides)
        execs(sides)
        many_pods(sides)
        pulls(a, b)
    print("load at the end: %s" % open("/proc/loadavg").read().strip())
    print("\n| what | cribox | peer | unit | ratio | aim |\n|---|---|---|---|---|---|")
    for r in rows:
        print("| %s |" % " | ".join(r))


main()
