#!/usr/bin/python3
"""Side by side with Debian's containerd, runc and crun, in one run: sizes, memory, times.

Both daemons run at the same time in namespaces of the bench's own and take turns, so that
whatever else the machine does hits both. Times are given as the median and as the minimum: on a
machine that does other things the minimum says more. BENCH_QUICK=yes: fewer rounds.
"""

import os
import shutil
import statistics
import subprocess
import tempfile
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "it", "lib"))
import frame  # noqa: E402

frame.isolate()
import containerd  # noqa: E402
import crid  # noqa: E402

QUICK = os.environ.get("BENCH_QUICK") == "yes"
STARTS, EXECS, PULLS = (5, 20, 1) if QUICK else (20, 100, 2)
PODS, IDLE_SECONDS = (10, 10) if QUICK else (20, 30)
FLUSHES = "fsync,fdatasync,sync,syncfs,sync_file_range,msync"
IMAGE_LAYERS, IMAGE_SIZE = 5, 202 * 10**6  # compressed
LAYER_FILES = 3000
IMAGE_FILES = ("/usr/lib", "/usr/share", "/usr/bin")
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

    def some_pods(self, count, **kw):
        """Starts pods; returns them and the processes they brought, the workload aside."""
        before = crid.processes()
        pods = [self.start(**kw)[1] for _ in range(count)]
        time.sleep(3)
        new = {p: t for p, t in crid.processes().items() if p not in before}
        return pods, [p for p, t in new.items() if not t.startswith(("sleep ", "(", "["))]


def number(value):
    return "-" if value is None else "%.3g" % value if value < 100 else "%.0f" % value


def row(what, ours, peer, theirs, unit, limit=None, part=None):
    """limit: the aim for ours; part: the aim for ours as a part of the peer's."""
    ratio = ours / theirs if theirs else None
    aim, met = "", None
    if limit is not None:
        aim, met = "<= %g%s" % (limit, " " + unit if unit else ""), ours <= limit
    if part is not None:
        aim, met = "<= %g x" % part, ratio is not None and ratio <= part
    cells = [what, number(ours), peer, number(theirs), unit, number(ratio), aim]
    rows.append(cells + [{True: "yes", False: "NO", None: ""}[met]])
    print("%-38s %8s  %-16s %8s %-4s %8s  %-10s %s" % tuple(rows[-1]), flush=True)


def versus(what, values, unit, limit=None, part=None):
    """A row for each peer, out of {name: value} with ours first."""
    names = list(values)
    for peer in names[1:]:
        row(what, values[names[0]], peer, values[peer], unit, limit, part)


def rollup(pid, key):
    try:
        with open("/proc/%d/smaps_rollup" % pid) as f:
            return sum(int(x.split()[1]) for x in f if x.startswith(key + ":"))
    except OSError:
        return 0


def sizes():
    def total(*names):
        return sum(os.path.getsize(n) for n in names) / 1048576

    peers = ["/usr/bin/containerd", "/usr/bin/containerd-shim-runc-v2"]
    values = {"cribox": total(crid.CRIBOX)}
    for runtime in ("/usr/sbin/runc", "/usr/bin/crun"):
        values["containerd+" + os.path.basename(runtime)] = total(*peers, runtime)
    versus("binaries", values, "MiB", limit=2.5)


def daemon_memory(when, sides, **aim):
    for key, name in (("Pss", "PSS"), ("Private_Dirty", "private dirty")):
        ours, theirs = (rollup(s.bed.daemon.pid, key) / 1024 for s in sides[:2])
        row("daemon, %s, %s" % (when, name), ours, "containerd", theirs, "MiB", **aim)


def many_pods(sides):
    """Memory and wake-ups of idle pods, one side after the other."""
    memory, dirty, wakes, daemons = {}, {}, {}, {}
    for side in sides:
        pods, own = side.some_pods(PODS)
        memory[side.name] = sum(rollup(p, "Pss") for p in own) / PODS
        dirty[side.name] = sum(rollup(p, "Private_Dirty") for p in own) / PODS
        daemons[side.name] = rollup(side.bed.daemon.pid, "Pss") / 1024
        wakes[side.name] = wakeups(own + [side.bed.daemon.pid])
        for pod in pods:
            side.remove(pod)
    versus("a pod of %d, PSS" % PODS, memory, "KiB", limit=250)
    versus("a pod of %d, private dirty" % PODS, dirty, "KiB")
    versus("daemon, %d pods, PSS" % PODS, daemons, "MiB", limit=3)
    versus("wakeups per minute, %d idle pods" % PODS, wakes, "", limit=0)
    shared = {}
    for side in sides[:2]:
        pods, own = side.some_pods(PODS // 2, pid=crid.NS_POD)
        shared[side.name] = sum(rollup(p, "Pss") for p in own) / len(pods)
        for pod in pods:
            side.remove(pod)
    versus("... of %d, shareProcessNamespace" % (PODS // 2), shared, "KiB")


def switches(pids):
    count = 0
    for pid in pids:
        try:
            for task in os.listdir("/proc/%d/task" % pid):
                with open("/proc/%d/task/%s/status" % (pid, task)) as f:
                    count += sum(int(x.split()[1]) for x in f if "voluntary_ctxt_switches" in x)
        except OSError:
            pass
    return count


def wakeups(pids):
    before = switches(pids)
    time.sleep(IDLE_SECONDS)
    return (switches(pids) - before) * 60 / IDLE_SECONDS


def compare(what, samples, unit, scale, part):
    for kind, function in (("median", statistics.median), ("minimum", min)):
        values = {name: function(times) * scale for name, times in samples.items()}
        versus("%s, %s" % (what, kind), values, unit, part=part)


def starts(sides):
    """On a node that already runs a pod: its bridge and its rules are there."""
    samples = {s.name: [] for s in sides}
    standing = [(s, s.start()[1]) for s in sides]
    for _ in range(STARTS):
        for side in sides:
            seconds, pod, _ = side.start()
            samples[side.name].append(seconds)
            side.remove(pod)
    for side, pod in standing:
        side.remove(pod)
    compare("run pod, create, start", samples, "ms", 1000, 0.25)


def flushes(sides):
    """System calls that flush to disk, of the daemon and all it starts, for one pod."""
    count = {}
    for side in sides:
        trace = side.bed.base + "/trace"
        tracer = subprocess.Popen(
            ["strace", "-f", "-q", "-o", trace, "-e", "trace=execve,execveat," + FLUSHES]
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
        if not any('execve("/bin/sleep"' in x for x in calls):
            raise RuntimeError("strace did not see the pod of %s start" % side.name)
        count[side.name] = sum("execve" not in x for x in calls)
    versus("... its disk flushes", count, "", limit=0)


def cpu(pids):
    """Seconds of processes and of their children that have been waited for."""
    ticks = 0
    for pid in pids:
        try:
            with open("/proc/%d/stat" % pid) as f:
                ticks += sum(int(x) for x in f.read().rsplit(")", 1)[1].split()[11:15])
        except OSError:
            pass
    return ticks / os.sysconf("SC_CLK_TCK")


def execs(sides):
    """The workload's share (true of busybox) is in all of them."""
    wall, used, beds = {s.name: [] for s in sides}, {}, []
    for side in sides:
        before = set(crid.processes())
        _, pod, ctr = side.start()
        pids = [p for p in crid.processes() if p not in before] + [side.bed.daemon.pid]
        beds.append((side, pod, ctr, pids))
    for side, _, ctr, pids in beds:
        time.sleep(1)
        before = cpu(pids)
        for _ in range(EXECS):
            begin = time.monotonic()
            side.bed.client.ExecSync(container_id=ctr, cmd=["true"], timeout=10)
            wall[side.name].append(time.monotonic() - begin)
        time.sleep(0.5)
        used[side.name] = (cpu(pids) - before) / EXECS * 1000
    for side, pod, _, _ in beds:
        side.remove(pod)
    compare("ExecSync, wall", wall, "ms", 1000, None)
    versus("ExecSync, CPU", used, "ms", part=0.1)


def gzipped(tar):
    with tempfile.TemporaryFile() as out:
        subprocess.run(["gzip", "-1", "-n"], input=tar, stdout=out, check=True)
        out.seek(0)
        return out.read()


def some_files(top):
    """Files and directories of this machine: programs, libraries, texts."""
    for path, dirs, names in os.walk(top):
        dirs.sort()
        yield path, None
        for name in sorted(names):
            file = os.path.join(path, name)
            if os.path.isfile(file) and not os.path.islink(file):
                if os.path.getsize(file) < 16 << 20 and not name.endswith(".a"):
                    yield file, os.path.getsize(file)


def big_image():
    """(layout, compressed bytes, layers, bytes, files) of an image in several layers."""
    layout, kinds = crid.oci.Layout(), crid.oci.TYPES["oci"]
    tops = [some_files(top) for top in IMAGE_FILES]
    layers, diff_ids, unpacked, count = [], [], 0, 0
    while sum(d["size"] for d in layers) < IMAGE_SIZE and tops:
        layer, size, more = crid.oci.Layer(), 0, 0
        tops.append(tops.pop(0))
        for name, length in tops[-1]:
            if length is None:
                layer.dir(name[1:])
                continue
            with open(name, "rb") as f:
                layer.file(name[1:], f.read(), os.stat(name).st_mode & 0o755)
            size, more = size + length, more + 1
            if more == LAYER_FILES or size > 2.8 * IMAGE_SIZE / IMAGE_LAYERS:  # gzip's work
                break
        count += more
        if not more:
            tops.pop()
            continue
        tar = layer.data()
        unpacked += len(tar)
        diff_ids.append(crid.oci.digest_of(tar))
        layers.append(layout.blob(gzipped(tar), kinds["layer-gzip"]))
    config = {"architecture": crid.oci.GOARCH[os.uname().machine], "os": "linux", "config": {}}
    config["rootfs"] = {"type": "layers", "diff_ids": diff_ids}
    manifest = {"schemaVersion": 2, "mediaType": kinds["manifest"], "layers": layers}
    manifest["config"] = layout.blob(crid.oci.to_json(config), kinds["config"])
    layout.add(manifest, "latest")
    return layout, sum(d["size"] for d in layers), len(layers), unpacked, count


def pulls(sides):
    a, b = sides[:2]
    begin = time.monotonic()
    layout, size, layers, unpacked, count = big_image()
    layout.push(crid.REGISTRY, "big")
    del layout
    text = "# image: %d layers, %.0f MB of gzip, %.0f MB in %d files; made and pushed in %.0f s"
    values = (layers, size / 1e6, unpacked / 1e6, count, time.monotonic() - begin)
    print(text % values, flush=True)
    name = crid.REGISTRY + "/big:latest"
    samples = {a.name: [], "containerd": []}
    for _ in range(PULLS):
        for side, label in ((a, a.name), (b, "containerd")):
            os.sync()
            begin = time.monotonic()
            image = side.bed.pull(name)
            samples[label].append(time.monotonic() - begin)
            side.bed.client.RemoveImage(image={"image": image})
            time.sleep(2)
    compare("pull of %.0f MB" % (size / 1e6), samples, "s", 1, 1)


def load():
    with open("/proc/loadavg") as f:
        return " ".join(f.read().split()[:3])


def main():
    # Debian's crun refuses hybrid hosts when it sees controllers on the unified hierarchy.
    unified = "/sys/fs/cgroup/unified/cgroup.controllers"
    if os.path.exists(unified):
        frame.sh("mount", "--bind", "/dev/null", unified)
    print("%d processors, load at the start: %s" % (os.cpu_count(), load()))
    ours = crid.Bed()
    # a file of its own: no other process on this machine shares its pages
    crid.CRIBOX = shutil.copy(frame.CRIBOX, ours.base + "/cribox")
    os.sync()
    with ours, containerd.Bed(images=False, registry=ours.registry) as theirs:
        for bed in (ours, theirs):
            bed.pull()
        sides = [Side("cribox", ours), Side("containerd+runc", theirs, "runc")]
        other = Side("containerd+crun", theirs, "crun")
        try:
            other.remove(other.start()[1])
            sides.append(other)
        except crid.grpc.RpcError as e:
            theirs.clean()
            print("# no crun: %s" % e.details()[:200])
        for side in sides[:2]:
            side.remove(side.start()[1])
        time.sleep(5)
        sizes()
        daemon_memory("idle", sides, limit=3)
        for part in (starts, flushes, execs, many_pods, pulls):
            begin = time.monotonic()
            part(sides)
            print("# %s: %.0f s" % (part.__name__, time.monotonic() - begin), flush=True)
    print("load at the end: %s" % load())
    print("\n| | cribox | peer | its | unit | ratio | aim | met |\n|---|---|---|---|---|---|---|---|")
    for cells in rows:
        print("| %s |" % " | ".join(cells))


main()
