#!/usr/bin/python3
"""What is left behind: nothing. The system before and after a day's work is compared."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
import crid  # noqa: E402
from crid import BOX, NS_CONTAINER, NS_NODE, NS_POD, REGISTRY  # noqa: E402
from frame import equal, until  # noqa: E402


def namespaces():
    found = set()
    for pid in crid.processes():
        for kind in ("net", "mnt", "pid", "ipc", "uts", "user", "cgroup"):
            try:
                found.add(os.readlink("/proc/%d/ns/%s" % (pid, kind)))
            except OSError:
                pass
    return sorted(found)


def fds(b):
    path = "/proc/%d/fd" % b.daemon.pid
    kinds = []
    for fd in os.listdir(path):
        try:
            kinds.append(os.readlink(os.path.join(path, fd)).split(":")[0])
        except OSError:
            pass
    return sorted(k for k in kinds if k != "socket")  # the client's connections vary


def system(b):
    crid.reap()
    netns = os.listdir("/run/netns") if os.path.isdir("/run/netns") else []
    return {
        "processes": sorted(t[:-4] for t in crid.processes().values() if len(t) > 4),
        "namespaces": namespaces(),
        "mounts": crid.mounts(),
        # the parent is whoever's gave its name: the kubelet's
        "groups": sorted(g for g in b.new_cgroups() if not g.endswith(b.cgroup)),
        "interfaces": crid.interfaces(),
        "nft rules": crid.nft_rules(),
        "network namespaces": sorted(netns),
        "files": sorted(crid.files(b.root, "/run", "/var/lib/cni")),
        "fds of the daemon": fds(b),
    }


def settled(b):
    """What there is when the processes of the last pull and pod have ended."""
    names = ("shim", "pull", "fetch", "unpack")

    def busy():
        crid.reap()
        return [t for t in crid.processes().values() if t.split(" ")[0] in names]

    until(lambda: not busy(), 5, "the workers have ended")
    return system(b)


def compare(b, before):
    def same():
        return system(b) == before

    try:
        until(same, 3, "")
    except AssertionError:
        now = system(b)
        for key, value in before.items():
            if isinstance(value, list):
                new = [x for x in now[key] if now[key].count(x) > value.count(x)]
                gone = [x for x in value if value.count(x) > now[key].count(x)]
                equal((sorted(set(new)), sorted(set(gone))), ([], []), key + ": new and gone")
            equal(now[key], value, key)


def errors(b, code, call, **fields):
    try:
        call(**fields)
    except crid.grpc.RpcError as e:
        if code and e.code().name != code:
            raise AssertionError("%s, not %s: %s" % (e.code(), code, e.details())) from None
        return
    raise AssertionError("no error from %s" % fields)


def day(b):
    """Pods of every kind, and every kind of failure."""
    user = [{"host_id": 300000, "container_id": 0, "length": 65536}]
    kinds = [
        {"pid": NS_POD},
        {"pid": NS_CONTAINER},
        {"pid": NS_NODE, "ipc": NS_NODE, "network": NS_NODE},
        {"userns_options": {"mode": NS_POD, "uids": user, "gids": user}},
    ]
    ports = [{"container_port": 80, "host_port": 14080}]
    for kind in kinds:
        pod = b.pod(namespaces=kind, port_mappings=[] if "network" in kind else ports)
        run = b.sleeper(pod)
        b.sync(run, "echo x >/file; sleep 100 & exit 3")
        b.start_ctr(pod, "exit 4")
        broken = b.create(pod, ["/not/there"])
        errors(b, None, b.client.StartContainer, container_id=broken)
        b.create(pod, "true")
        errors(b, None, b.client.ExecSync, container_id=run, cmd=["/not/there"])
        errors(b, "DEADLINE_EXCEEDED", b.client.ExecSync, container_id=run, cmd=["sleep", "9"],
               timeout=1)  # fmt: skip
        b.client.Exec(container_id=run, cmd=["true"], stdout=True)  # never used
        bad = b.ctr_config("true", image=REGISTRY + "/none")
        errors(b, "NOT_FOUND", b.client.CreateContainer, pod_sandbox_id=pod, config=bad,
               sandbox_config=b.configs[pod])  # fmt: skip
        b.client.StopContainer(container_id=run, timeout=1)
        b.client.StopPodSandbox(pod_sandbox_id=pod)
        b.client.RemovePodSandbox(pod_sandbox_id=pod)
    config = b.pod_config(sysctls={"net.ipv4.no_such_sysctl": "1"})
    errors(b, None, b.client.RunPodSandbox, config=config)
    config = b.pod_config(cgroup_parent="/../escape")
    errors(b, "INVALID_ARGUMENT", b.client.RunPodSandbox, config=config)
    errors(b, "NOT_FOUND", b.client.PullImage, image={"image": REGISTRY + "/none:1"})


def test_nothing_is_left(b):
    b.pull()
    b.pod()  # the directories that the first pod makes stay
    b.clean()
    before = settled(b)
    day(b)
    b.clean()
    crid.shutil.rmtree(b.logs)
    os.makedirs(b.logs)
    compare(b, before)


def test_same_after_many(b):
    """The daemon's memory and descriptors do not grow with what has gone."""
    b.pull()

    def rounds(n):
        for _ in range(n):
            pod = b.pod(namespaces={"network": NS_NODE})
            ctr = b.start_ctr(pod, "true")
            b.ended(ctr)
            b.client.RemovePodSandbox(pod_sandbox_id=pod)

    def private():
        with open("/proc/%d/smaps_rollup" % b.daemon.pid) as f:
            return sum(int(x.split()[1]) for x in f if x.startswith("Private_Dirty"))

    rounds(10)
    memory, open_before = private(), fds(b)
    rounds(30)
    equal(fds(b), open_before, "descriptors")
    if private() > memory + 256:
        raise AssertionError("grew from %d to %d kB" % (memory, private()))


def test_images_too(b):
    def cycle():
        for name in (BOX, REGISTRY + "/entry"):
            b.pull(name)
        for image in b.client.ListImages().images:
            b.client.RemoveImage(image={"image": image.id})

    cycle()
    until(lambda: not os.listdir(b.root + "/layers"), 5, "the layers are gone")
    before = settled(b)
    cycle()
    compare(b, before)


crid.main(crid.tests_of(globals()))
