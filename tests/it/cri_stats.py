#!/usr/bin/python3
"""What containers and pods use, compared with what the kernel says."""

import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
import crid  # noqa: E402
from cri import fails  # noqa: E402
from crid import NS_NODE  # noqa: E402
from frame import equal, until  # noqa: E402

MEMORY = "dd if=/dev/zero of=/dev/shm/x bs=1M count=20 2>&-; echo ready; sleep 1000"


def between(low, value, high, what):
    if not low <= value <= high:
        raise AssertionError("%s is %r, not from %r to %r" % (what, value, low, high))


def shim_of(pod):
    found = [p for p, t in crid.processes().items() if t.startswith("shim --id " + pod)]
    return min(found)


def test_container(b):
    b.pull()
    pod = b.pod(labels={"p": "1"})
    limit = {"memory_limit_in_bytes": 100 << 20}
    ctr = b.start_ctr(pod, MEMORY, resources=limit, labels={"a": "b"}, annotations={"c": "d"})
    until(lambda: "ready" in b.output(ctr)[0], 10, "the container is ready")
    b.sync(ctr, "dd if=/dev/zero of=/file bs=1M count=3; mkdir /one /two")
    s = b.client.ContainerStats(container_id=ctr[:13]).stats
    equal((s.attributes.id, s.attributes.metadata.name), (ctr, b.configs[ctr]["metadata"]["name"]), "who")
    equal(dict(s.attributes.labels), {"a": "b"}, "labels")
    equal(dict(s.attributes.annotations), {"c": "d"}, "annotations")
    between(20 << 20, s.memory.usage_bytes.value, 60 << 20, "memory")
    between(20 << 20, s.memory.working_set_bytes.value, s.memory.usage_bytes.value, "working set")
    equal(s.memory.available_bytes.value, (100 << 20) - s.memory.working_set_bytes.value, "available")
    between(100, s.memory.page_faults.value, 1 << 30, "page faults")
    between(3 << 20, s.writable_layer.used_bytes.value, 4 << 20, "bytes written")
    between(3, s.writable_layer.inodes_used.value, 40, "inodes")
    equal(s.writable_layer.fs_id.mountpoint, b.root, "file system")
    between(time.time() - 5, s.cpu.timestamp / 1e9, time.time() + 1, "time stamp")
    first = s.cpu.usage_core_nano_seconds.value
    between(1, first, 60e9, "CPU time")
    b.sync(ctr, "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done", timeout=60)
    time.sleep(1.1)
    s = b.client.ContainerStats(container_id=ctr).stats
    used = s.cpu.usage_core_nano_seconds.value - first
    between(5e6, used, 60e9, "CPU time of a loop")
    between(used / 60, s.cpu.usage_nano_cores.value * 1.0, used, "its rate")
    b.client.StopContainer(container_id=ctr)
    s = b.client.ContainerStats(container_id=ctr).stats
    equal((s.attributes.id, s.HasField("cpu")), (ctr, False), "of one that has ended")
    fails("NOT_FOUND", b.client.ContainerStats, container_id="f" * 64)


def test_lists(b):
    b.pull()
    pods = [b.pod(labels={"n": str(i)}) for i in range(2)]
    ctrs = [b.sleeper(p, labels={"of": str(i)}) for i, p in enumerate(pods) for _ in range(2)]
    b.ended(b.start_ctr(pods[0], "true"))

    def listed(**f):
        return sorted(s.attributes.id for s in b.client.ListContainerStats(filter=f).stats)

    equal(listed(), sorted(ctrs), "all")
    equal(listed(id=ctrs[1][:20]), [ctrs[1]], "by id")
    equal(listed(pod_sandbox_id=pods[1]), sorted(ctrs[2:]), "by pod")
    equal(listed(label_selector={"of": "0"}), sorted(ctrs[:2]), "by label")
    equal(listed(label_selector={"of": "2"}), [], "by a label that none has")

    def pods_listed(**f):
        return sorted(s.attributes.id for s in b.client.ListPodSandboxStats(filter=f).stats)

    equal(pods_listed(), sorted(pods), "all pods")
    equal(pods_listed(id=pods[0][:30]), [pods[0]], "by id")
    equal(pods_listed(label_selector={"n": "1"}), [pods[1]], "by label")
    b.client.StopPodSandbox(pod_sandbox_id=pods[1])
    equal(pods_listed(), [pods[0]], "those that are ready")


def test_pod(b):
    b.pull()
    pod = b.pod(labels={"x": "y"}, cgroup_parent=b.cgroup + "/stats")
    ctr = b.sleeper(pod)
    gateway = b.sync(ctr, "ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p'")[1].strip()
    equal(b.sync(ctr, "ping -c 5 -i 0.1 -s 1000 %s" % gateway)[0], 0, "ping")
    s = b.client.PodSandboxStats(pod_sandbox_id=pod).stats
    equal((s.attributes.id, dict(s.attributes.labels)), (pod, {"x": "y"}), "who")
    equal([c.attributes.id for c in s.linux.containers], [ctr], "containers")
    equal(s.linux.network.default_interface.name, "eth0", "interface")
    equal([i.name for i in s.linux.network.interfaces], [], "interfaces besides it and the loopback")
    for value in (s.linux.network.default_interface.rx_bytes, s.linux.network.default_interface.tx_bytes):
        between(5000, value.value, 100000, "bytes of the network")
    between(1, s.linux.process.process_count.value, 10, "processes")
    between(1, s.linux.cpu.usage_core_nano_seconds.value, 60e9, "CPU time")
    between(4096, s.linux.memory.usage_bytes.value, 100 << 20, "memory")
    host = b.pod(namespaces={"network": NS_NODE})
    s = b.client.PodSandboxStats(pod_sandbox_id=host).stats
    equal(s.linux.HasField("network"), False, "the host's network counted for the pod")
    fails("NOT_FOUND", b.client.PodSandboxStats, pod_sandbox_id="f" * 64)


def test_shim_that_hangs(b):
    """It costs the figures of its pod, and two seconds."""
    b.pull()
    pods = [b.pod() for _ in range(2)]
    ctrs = [b.sleeper(p) for p in pods]
    shim = shim_of(pods[0])
    os.kill(shim, signal.SIGSTOP)
    try:
        begin = time.monotonic()
        found = {s.attributes.id for s in b.client.ListContainerStats().stats}
        equal(found, set(ctrs), "containers")
        between(1.5, time.monotonic() - begin, 4, "seconds")
        call = b.client.future("ListPodSandboxStats")
        time.sleep(0.2)
        os.kill(shim, signal.SIGKILL)
        equal(len(call.result(timeout=5).stats), 1, "number of pods")
    finally:
        if not crid.gone(shim):
            os.kill(shim, signal.SIGCONT)


crid.main(crid.tests_of(globals()))
