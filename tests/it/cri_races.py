#!/usr/bin/python3
"""Calls that overtake each other, daemons and shims that die in between: every call ends, with
its own answer."""

import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
import crid  # noqa: E402
from cri import fails  # noqa: E402
from crid import EXITED, NOTREADY, NS_NODE, READY  # noqa: E402
from frame import equal, until  # noqa: E402

FOREVER = 1 << 62
CONF = '{"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "scripted"}]}'
PLUGIN = """#!/bin/sh
add() { echo '{"cniVersion": "1.0.0", "interfaces": [], "ips": []}'; }
case $CNI_COMMAND in
ADD) %s ;;
DEL) %s ;;
VERSION) echo '{"cniVersion": "1.0.0", "supportedVersions": ["1.0.0"]}' ;;
esac
"""


def host_pod(b, **kw):
    b.pull()
    return b.pod(namespaces={"network": NS_NODE}, **kw)


def plugin(b, add="add", delete=":"):
    """The pod network from now on."""
    with open(b.base + "/cni/10-scripted.conflist", "w") as f:
        f.write(CONF)
    with open(b.base + "/cni/scripted.new", "w") as f:
        f.write(PLUGIN % (add, delete))
    os.chmod(b.base + "/cni/scripted.new", 0o755)
    os.rename(b.base + "/cni/scripted.new", b.base + "/cni/scripted")


def no_plugin(b):
    for name in os.listdir(b.base + "/cni"):
        os.unlink(os.path.join(b.base, "cni", name))


def shim_of(pod):
    found = [p for p, t in crid.processes().items() if t.startswith("shim --id " + pod)]
    equal(bool(found), True, "a shim of the pod")
    return min(found)


def test_removed_twice(b):
    """Every caller of a removal is answered, not only the first one."""
    for _ in range(3):
        pod = host_pod(b)
        b.sleeper(pod)
        calls = [b.client.future("RemovePodSandbox", pod_sandbox_id=pod) for _ in range(3)]
        calls.append(b.client.future("StopPodSandbox", pod_sandbox_id=pod))
        calls.append(b.client.future("RemovePodSandbox", pod_sandbox_id=pod))
        for call in calls:
            call.result(timeout=10)


def test_late_answer(b):
    """The answer to a call of the daemon before this one is nobody's."""
    pod = host_pod(b)
    stubborn = b.start_ctr(pod, "trap '' TERM; echo ready; while :; do sleep 0.1; done")
    ctr = b.sleeper(pod)
    until(lambda: "ready" in b.output(stubborn)[0], 5, "the container is ready")
    for _ in range(3):
        # the numbers of these calls are those of calls that the next daemon makes
        old = [b.client.future("ExecSync", container_id=ctr, cmd=["sleep", "2"]) for _ in range(9)]
        old.append(b.client.future("StopContainer", container_id=stubborn, timeout=2))
        time.sleep(0.3)
        b.stop()
        b.start()
        command = ["sh", "-c", "sleep 3; echo mine; exit 3"]
        new = [b.client.future("ExecSync", container_id=ctr, cmd=command) for _ in range(20)]
        got = {(c.result().exit_code, c.result().stdout) for c in new}
        equal(got, {(3, b"mine\n")}, "answers")


def test_endless_patience(b):
    """A timeout of 100 billion years is not one in the past."""
    pod = host_pod(b)
    ctr = b.start_ctr(pod, "trap 'sleep 0.5; exit 9' TERM; echo ready; sleep 100 & wait; sleep 9")
    until(lambda: "ready" in b.output(ctr)[0], 5, "the container is ready")
    r = b.client.ExecSync(container_id=ctr, cmd=["sh", "-c", "sleep 0.3; exit 4"], timeout=FOREVER)
    equal(r.exit_code, 4, "exit code of a command")
    b.client.StopContainer(container_id=ctr, timeout=FOREVER)
    equal(b.status(ctr).exit_code, 9, "exit code")


def test_oversize(b):
    """A request that is too large for the shim costs that call, not the pod."""
    pod = host_pod(b)
    ctr = b.sleeper(pod)
    word = "\x01" * (5 << 20)  # six times as long in JSON
    fails("RESOURCE_EXHAUSTED", b.client.ExecSync, container_id=ctr, cmd=["echo", word])
    config = b.ctr_config("true", annotations={"a": word}, args=[word])
    request = {"pod_sandbox_id": pod, "config": config, "sandbox_config": b.configs[pod]}
    fails("RESOURCE_EXHAUSTED", b.client.CreateContainer, **request)
    equal(b.sync(ctr, "echo works")[1], "works\n", "the pod")
    equal(len(b.client.ListContainers().containers), 1, "number of containers")


def test_shim_killed_at_work(b):
    """A process that the shim has started is no sign of life of the shim."""
    b.pull()
    plugin(b, delete="sleep 30")
    pod = b.pod()
    ctr = b.sleeper(pod)
    call = b.client.future("StopPodSandbox", pod_sandbox_id=pod)
    until(lambda: b.status(ctr).state == EXITED, 5, "the container ends")
    until(lambda: [t for t in crid.processes().values() if "sleep 30" in t], 5, "a DEL")
    plugin(b)
    begin = time.monotonic()
    os.kill(shim_of(pod), signal.SIGKILL)
    try:
        call.result(timeout=10)
    except crid.grpc.RpcError as e:
        equal(e.code().name, "UNAVAILABLE", "code")
    equal(time.monotonic() - begin < 3, True, "it is noticed")
    b.client.StopPodSandbox(pod_sandbox_id=pod)
    b.client.RemovePodSandbox(pod_sandbox_id=pod)
    until(lambda: not [t for t in crid.processes().values() if "sleep 30" in t], 2, "it is killed")
    no_plugin(b)


def test_undo_fails(b):
    """A pod that could neither be made nor undone is there to be removed, once that works."""
    b.pull()
    plugin(b, add="exit 1", delete="exit 1")
    before = crid.files(b.root, b.state)
    config = b.pod_config("half")
    fails("UNKNOWN", b.client.RunPodSandbox, config=config)
    items = until(lambda: b.client.ListPodSandbox().items, 5, "what is left is listed")
    equal([i.state for i in items], [NOTREADY], "states")
    fails("INTERNAL", b.client.StopPodSandbox, pod_sandbox_id=items[0].id)
    plugin(b)
    pod = b.client.RunPodSandbox(config=config).pod_sandbox_id
    b.ids.add(pod)
    b.client.StopPodSandbox(pod_sandbox_id=items[0].id)
    b.client.RemovePodSandbox(pod_sandbox_id=items[0].id)
    equal([i.state for i in b.client.ListPodSandbox().items], [READY], "states")
    b.client.RemovePodSandbox(pod_sandbox_id=pod)
    left = [f for f in crid.files(b.root, b.state) - before if "/cni-cache" not in f]
    equal(left, [], "files that are left")
    no_plugin(b)


def test_creation_outlives_daemon(b):
    """A container whose creation ends under another daemon is known to that one."""
    pod = host_pod(b)
    shim = shim_of(pod)
    config = b.ctr_config("exit 5")
    request = {"pod_sandbox_id": pod, "config": config, "sandbox_config": b.configs[pod]}
    seen = False
    for _ in range(8):
        call = b.client.future("CreateContainer", **request)
        os.kill(shim, signal.SIGSTOP)  # the request waits in its socket
        time.sleep(0.05)
        b.stop()
        call.cancel()
        b.start()
        os.kill(shim, signal.SIGCONT)
        time.sleep(0.5)
        listed = b.client.ListContainers().containers
        on_disk = [d for d in os.listdir(b.root + "/containers") if len(d) == 64]
        equal(sorted(c.id for c in listed), sorted(on_disk), "containers")
        for c in listed:
            seen = True
            b.ids.add(c.id)
            b.client.RemoveContainer(container_id=c.id)
    if not seen:
        raise frame.Skip("no creation has outlived its daemon")


def interrupted(b, pod, config):
    """A creation that waits in its shim while the daemon is killed and started again; returns
    the request and the shim, which is stopped."""
    shim = shim_of(pod)
    request = {"pod_sandbox_id": pod, "config": config, "sandbox_config": b.configs[pod]}
    os.kill(shim, signal.SIGSTOP)
    call = b.client.future("CreateContainer", **request)
    time.sleep(0.1)
    b.stop()
    call.cancel()
    return request, shim


def on_disk(b):
    return [d for d in os.listdir(b.root + "/containers")]


def test_retry_under_next_daemon(b):
    """A creation outlives its daemon; asked again, the next one waits for it: the same id."""
    pod = host_pod(b)
    request, shim = interrupted(b, pod, b.ctr_config("exit 6"))
    b.start()
    calls = [b.client.future("CreateContainer", **request) for _ in range(3)]
    time.sleep(0.2)
    equal([c.done() for c in calls], [False] * 3, "the calls have ended")
    os.kill(shim, signal.SIGCONT)
    ids = {c.result(timeout=10).container_id for c in calls}
    equal(on_disk(b), list(ids), "containers that were made")
    b.ids.update(ids)
    ident = ids.pop()
    fails("ALREADY_EXISTS", b.client.CreateContainer, **request)
    b.client.StartContainer(container_id=ident)
    equal(b.ended(ident).exit_code, 6, "exit code")
    b.client.RemoveContainer(container_id=ident)
    equal(on_disk(b), [], "containers that are left")


def test_retry_of_a_large_creation(b):
    """The same with a request that the shim reads in several parts."""
    pod = host_pod(b)
    config = b.ctr_config("exit 0", annotations={"a": "x" * 90000})
    request, shim = interrupted(b, pod, config)
    b.start()
    call = b.client.future("CreateContainer", **request)
    time.sleep(0.1)
    os.kill(shim, signal.SIGCONT)
    ident = call.result(timeout=10).container_id
    b.ids.add(ident)
    time.sleep(0.3)
    equal(on_disk(b), [ident], "containers that were made")


def test_retry_of_an_unseen_creation(b):
    """It ends while there is no daemon: nobody has got its id, so the retry does."""
    pod = host_pod(b)
    request, shim = interrupted(b, pod, b.ctr_config("exit 6"))
    os.kill(shim, signal.SIGCONT)
    until(lambda: [d for d in on_disk(b) if len(d) == 64], 5, "it is made")
    b.start()
    ident = b.client.CreateContainer(**request).container_id
    b.ids.add(ident)
    equal(on_disk(b), [ident], "containers that were made")
    text = fails("ALREADY_EXISTS", b.client.CreateContainer, **request)
    equal(ident in text, True, "the message names the holder")


def test_retry_of_a_failing_creation(b):
    """Its error is for those who wait under the next daemon, too."""
    pod = host_pod(b)
    config = b.ctr_config("true", security={"run_as_username": "nobody-at-all"})
    request, shim = interrupted(b, pod, config)
    b.start()
    call = b.client.future("CreateContainer", **request)
    time.sleep(0.1)
    os.kill(shim, signal.SIGCONT)
    try:
        call.result(timeout=10)
        raise AssertionError("no error")
    except crid.grpc.RpcError as e:
        equal(e.code().name, "INVALID_ARGUMENT", "code")
    equal(on_disk(b), [], "containers that are left")
    equal(len(b.client.ListContainers().containers), 0, "number of containers")


def test_retry_when_the_shim_dies(b):
    pod = host_pod(b)
    request, shim = interrupted(b, pod, b.ctr_config("true"))
    b.start()
    call = b.client.future("CreateContainer", **request)
    time.sleep(0.1)
    os.kill(shim, signal.SIGKILL)
    try:
        call.result(timeout=10)
        raise AssertionError("no error")
    except crid.grpc.RpcError as e:
        equal(e.code().name, "FAILED_PRECONDITION", "code")


def test_retried_pod(b):
    """The same for a pod, killed in the middle of its network's ADD, and before it begins."""
    b.pull()
    plugin(b, add="sleep 1; add")
    for early in (False, True):
        config = b.pod_config()
        call = b.client.future("RunPodSandbox", config=config)
        shim = until(lambda: [p for p, t in crid.processes().items() if "shim --id" in t], 5, "shim")
        if early:
            for pid in shim:
                os.kill(pid, signal.SIGSTOP)
        else:
            time.sleep(0.3)
        b.stop()
        call.cancel()
        b.start()
        calls = [b.client.future("RunPodSandbox", config=config) for _ in range(2)]
        time.sleep(0.1)
        for pid in shim if early else []:
            if not crid.gone(pid):
                os.kill(pid, signal.SIGCONT)
        ids = {c.result(timeout=10).pod_sandbox_id for c in calls}
        equal(sorted(os.listdir(b.root + "/pods")), sorted(ids), "pods that were made")
        equal([p.id for p in b.client.ListPodSandbox().items], list(ids), "pods")
        b.clean()
        until(lambda: not [p for p, t in crid.processes().items() if "shim --id" in t], 5, "no shim")
    no_plugin(b)


def test_exec_on_a_hung_file_system(b):
    """A program whose file system does not answer holds up its own caller, nobody else."""
    exec_on_a_hung_file_system(b, True)


def test_exec_that_cannot_be_killed(b):
    exec_on_a_hung_file_system(b, False)


def exec_on_a_hung_file_system(b, killable):
    import hung

    if not os.path.exists("/dev/fuse"):
        raise frame.Skip("no FUSE")
    pod = host_pod(b)
    fs = hung.Hung(b.base + "/hung-%s" % killable, killable)
    try:
        mount = {"container_path": "/hung", "host_path": fs.path}
        script = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
        ctr = b.start_ctr(pod, script, mounts=[mount])
        other = b.sleeper(pod)
        url = b.client.Exec(container_id=ctr, cmd=["/hung/program"], stdout=True).url
        begin = time.monotonic()
        calls = [
            b.client.future("ExecSync", container_id=ctr, cmd=["/hung/program"], timeout=t)
            for t in (1, 0)
        ]
        equal(fs.waiting.wait(5), True, "the program is looked for")
        stream = websocket(url)
        equal(b.sync(ctr, "echo works")[1], "works\n", "another exec")
        equal(b.sync(other, "echo works")[1], "works\n", "an exec in the other container")
        try:
            calls[0].result(timeout=10)
            raise AssertionError("no error")
        except crid.grpc.RpcError as e:
            equal(e.code().name, "DEADLINE_EXCEEDED", "code")
        equal(0.9 < time.monotonic() - begin < 3, True, "its timeout is kept")
        b.client.StopContainer(container_id=other, timeout=5)
        equal(b.status(other).exit_code, 0, "exit code of the other container")
        b.client.StopContainer(container_id=ctr, timeout=5)
        equal(b.status(ctr).exit_code, 0, "exit code")
        equal(time.monotonic() - begin < 5 + 5 * (not killable), True, "the stops wait for nothing")
        if not killable:
            fs.end()
        equal(b.output(ctr)[0], "ready\nbye\n", "its log")
        equal(calls[1].result(timeout=5).exit_code, 137, "exit code of the one that hung")
        stream.close()
        b.client.StopPodSandbox(pod_sandbox_id=pod)
        b.client.RemovePodSandbox(pod_sandbox_id=pod)
    finally:
        fs.end()


def websocket(url):
    """A client of a streaming session."""
    import websocket as module

    return module.create_connection(
        url.replace("http:", "ws:"), subprotocols=["v5.channel.k8s.io"], timeout=10
    )


def test_creation_cut_off(b):
    """A node that crashes while a pod is made: what there is of it goes."""
    b.pull()
    b.pod()
    b.clean()
    b.stop()
    before = crid.files(b.root, b.state)
    ident = "ab" * 32
    os.makedirs(os.path.join(b.root, "pods", ident))
    with open(os.path.join(b.root, "pods", ident, "hostname"), "w") as f:
        f.write("x\n")
    b.start()
    gone = os.path.join(b.root, "pods", ident)
    until(lambda: not os.path.exists(gone), 5, "the rest is removed")
    b.stop()
    left = [f for f in crid.files(b.root, b.state) - before if "crid" not in f]
    equal(left, [], "files that are left")
    b.start()


crid.main(crid.tests_of(globals()))
