#!/usr/bin/python3
"""Crash-only: the daemon and the shims are killed at any moment; nothing is lost or left."""

import os
import random
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
import crid  # noqa: E402
from cri import fails  # noqa: E402
from crid import EXITED, NOTREADY, NS_CONTAINER, NS_NODE, READY, RUNNING  # noqa: E402
from frame import equal, holds, until  # noqa: E402

# timeout: 300


def workers(*names):
    """Processes of cribox in these roles."""
    found = crid.processes().items()
    return [p for p, t in found if t.split(" ")[0] in names and "(Z)" not in t]


def shims():
    return workers("shim")


def shim_pid(b, pod):
    """The process of a pod's shim: the one with the pod's id on its command line."""

    def only():  # what it forks for a job looks the same, while it lasts
        found = [p for p in shims() if pod in crid.processes().get(p, "")]
        return found[0] if len(found) == 1 else None

    return until(only, 5, "one shim of the pod")


def pod_status(b, pod):
    return b.client.PodSandboxStatus(pod_sandbox_id=pod).status


def test_restart_keeps_everything(b):
    b.pull()
    pods = [b.pod(labels={"n": str(i)}) for i in range(3)]
    run = b.sleeper(pods[0], labels={"l": "x"}, annotations={"note": "y"})
    done = b.start_ctr(pods[0], "echo out; exit 7")
    b.ended(done)
    made = b.create(pods[1], "true")
    b.client.StopPodSandbox(pod_sandbox_id=pods[2])
    pid = b.info(run)["pid"]

    def view():
        c = b.client
        lists = [c.ListPodSandbox().items, c.ListContainers().containers, c.ListImages().images]
        lists = [sorted(x.SerializeToString(deterministic=True) for x in y) for y in lists]
        one = [pod_status(b, p) for p in pods] + [b.status(x) for x in (run, done, made)]
        return lists, [x.SerializeToString(deterministic=True) for x in one]

    before = view()
    for sig in (signal.SIGKILL, signal.SIGTERM):
        b.restart(sig)
        equal(view(), before, "lists and statuses after signal %d" % sig)
        equal(b.info(run)["pid"], pid, "pid of the container")
    equal(b.sync(run, "echo works")[1], "works\n", "exec")
    b.client.StartContainer(container_id=made)
    equal(b.ended(made).exit_code, 0, "exit code of the one that was created before")
    new = b.sleeper(pods[0])
    equal(b.status(new).state, RUNNING, "state of a new one")


def test_exits_while_down(b):
    """Containers that end while there is no daemon: codes, reasons, logs and times are known."""
    b.pull()
    pod = b.pod(namespaces={"network": NS_NODE})
    ctrs = [b.start_ctr(pod, "sleep 0.5; echo late %d; exit %d" % (i, i)) for i in range(4)]
    limit = {"memory_limit_in_bytes": 15 << 20, "memory_swap_limit_in_bytes": 15 << 20}
    oom = b.start_ctr(pod, "sleep 0.5; dd if=/dev/zero of=/dev/null bs=40M", resources=limit)
    b.stop()
    time.sleep(1.5)
    b.start()
    for i, ctr in enumerate(ctrs):
        s = b.status(ctr)
        want = (EXITED, i, "Error" if i else "Completed")
        equal((s.state, s.exit_code, s.reason), want, "end of %d" % i)
        equal(0.3e9 < s.finished_at - s.started_at < 1.4e9, True, "finished_at")
        equal(b.output(ctr)[0], "late %d\n" % i, "log")
    s = b.status(oom)
    equal((s.exit_code, s.reason), (137, "OOMKilled"), "end of the one without memory")


def test_log_flows_while_down(b):
    b.pull()
    pod = b.pod(namespaces={"network": NS_NODE})
    ctr = b.start_ctr(pod, "i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done")
    path = b.status(ctr).log_path
    b.stop()
    size = os.path.getsize(path)
    until(lambda: os.path.getsize(path) > size + 1000, 5, "the log grows without a daemon")
    b.start()
    b.client.StopContainer(container_id=ctr)
    out = b.output(ctr)[0].split()
    equal(out, [str(i) for i in range(len(out))], "every line is there")


def test_kill_at_any_moment(b):
    """SIGKILL in the middle of creations: then everything that is listed can be used or
    removed, a retry of the same name works, and nothing remains in the end."""
    b.pull()
    b.pod()
    b.clean()
    before = crid.files(b.root, b.state)
    chance = random.Random(7)
    for turn in range(12):
        config = b.pod_config("crash%d" % turn, namespaces={"network": NS_NODE if turn % 3 else 0})
        call = b.client.future("RunPodSandbox", config=config)
        time.sleep(chance.uniform(0, 0.06))
        b.stop()
        call.cancel()
        b.start()
        pod = usable(b, config)
        b.ids.add(pod)
        b.configs[pod] = config
        equal(pod_status(b, pod).state, READY, "state after the retry")
        ctr = b.ctr_config("exit 3")
        ctr["linux"]["security_context"]["namespace_options"] = config["linux"][
            "security_context"
        ]["namespace_options"]
        request = {"pod_sandbox_id": pod, "config": ctr, "sandbox_config": config}
        call = b.client.future("CreateContainer", **request)
        time.sleep(chance.uniform(0, 0.03))
        b.stop()
        call.cancel()
        b.start()
        listed = b.client.ListContainers(filter={"pod_sandbox_id": pod}).containers
        ident = listed[0].id if listed else b.client.CreateContainer(**request).container_id
        b.ids.add(ident)
        b.client.StartContainer(container_id=ident)
        equal(b.ended(ident).exit_code, 3, "exit code")
        b.client.RemovePodSandbox(pod_sandbox_id=pod)
    b.clean()
    until(lambda: crid.files(b.root, b.state) <= before, 10, "no file is left")
    until(lambda: not shims(), 2, "no shim is left")


def usable(b, config):
    """The pod of this name: what survived if it is ready, else a new one in its place."""
    name = config["metadata"]["name"]
    for pod in b.client.ListPodSandbox().items:
        if pod.metadata.name == name:
            if pod.state == READY:
                return pod.id
            b.client.RemovePodSandbox(pod_sandbox_id=pod.id)
    return b.client.RunPodSandbox(config=config).pod_sandbox_id


def test_kill_while_stopping(b):
    b.pull()
    pod = b.pod()
    ctr = b.start_ctr(pod, "trap '' TERM; echo ready; while :; do sleep 0.1; done")
    until(lambda: "ready" in b.output(ctr)[0], 5, "the container is ready")
    call = b.client.future("StopContainer", container_id=ctr, timeout=30)
    time.sleep(0.2)
    b.stop()
    call.cancel()
    b.start()
    equal(b.status(ctr).state, RUNNING, "state")
    b.client.StopContainer(container_id=ctr, timeout=0)
    equal(b.status(ctr).exit_code, 137, "exit code")
    call = b.client.future("StopPodSandbox", pod_sandbox_id=pod)
    b.stop()
    call.cancel()
    b.start()
    b.client.StopPodSandbox(pod_sandbox_id=pod)
    b.client.RemovePodSandbox(pod_sandbox_id=pod)
    equal(len(b.client.ListPodSandbox().items), 0, "number of pods")


def test_kill_while_pulling(b):
    layout = crid.oci.Layout()
    layers = [crid.box_layer()]
    layers += [crid.oci.Layer().file("data/%d" % i, os.urandom(3 << 20)) for i in range(4)]
    image = crid.oci.Image(layers, crid.box_config())
    layout.add(image.manifest_document(layout, crid.oci.GOARCH[os.uname().machine]), "latest")
    layout.push(crid.REGISTRY, "big")
    name = crid.REGISTRY + "/big:latest"

    def files():
        return sorted(p for p in crid.files(b.root) if "/layers/" in p or "/images/" in p)

    before = files()
    for delay in (0.02, 0.05, 0.1, 0.2):
        call = b.client.future("PullImage", image={"image": name})
        time.sleep(delay)
        b.stop()
        call.cancel()
        b.start()
        image = b.client.ImageStatus(image={"image": name}).image
        if image.id:  # it was complete, then it must be usable
            b.client.RemoveImage(image={"image": image.id})
    try:
        until(lambda: not workers("pull", "fetch", "unpack"), 15, "")
    except AssertionError:
        left = [crid.processes().get(p) for p in workers("pull", "fetch", "unpack")]
        equal(left, [], "pull workers that are left")
    b.pull(name)
    pod = b.pod(namespaces={"network": NS_NODE})
    equal(b.finish(pod, "ls /data | wc -l", image=name)[1], "4\n", "files of the image")
    b.client.RemovePodSandbox(pod_sandbox_id=pod)
    b.client.RemoveImage(image={"image": name})
    until(lambda: files() == before, 5, "the files of the image are gone")


def check_dead_shim(b, pod, ctrs, pids, begin):
    until(lambda: pod_status(b, pod).state == NOTREADY, 1, "the pod is NOTREADY")
    equal(time.monotonic() - begin < 1.2, True, "within a second")
    for ctr, pid in zip(ctrs, pids):
        until(lambda p=pid: crid.gone(p), 1, "the container is killed")
        s = until(lambda c=ctr: b.status(c) if b.status(c).state == EXITED else 0, 2, "EXITED")
        equal(s.exit_code in (137, 255), True, "exit code %d" % s.exit_code)
        equal(s.reason not in ("", "Completed"), True, "reason %r" % s.reason)
        equal(s.finished_at > 0, True, "finished_at")


def dead_shim(b, **kw):
    b.pull()
    os.makedirs("/run/netns", exist_ok=True)
    before = (crid.mounts(), crid.interfaces(), os.listdir("/run/netns"))
    pod = b.pod(**kw)
    ctrs = [b.sleeper(pod) for _ in range(2)]
    done = b.start_ctr(pod, "exit 5")
    b.ended(done)
    pids = [b.info(c)["pid"] for c in ctrs]
    begin = time.monotonic()
    os.kill(shim_pid(b, pod), signal.SIGKILL)
    check_dead_shim(b, pod, ctrs, pids, begin)
    s = b.status(done)
    equal((s.exit_code, s.reason), (5, "Error"), "the one that had ended before")
    first = b.status(ctrs[0])
    b.restart()
    again = b.status(ctrs[0])
    equal(again, first, "status after a restart")
    equal(pod_status(b, pod).state, NOTREADY, "the pod after a restart")
    fails("FAILED_PRECONDITION", b.client.ExecSync, container_id=ctrs[0], cmd=["true"])
    b.client.StopContainer(container_id=ctrs[0])
    b.client.StopPodSandbox(pod_sandbox_id=pod)
    b.client.RemoveContainer(container_id=ctrs[1])
    b.client.RemovePodSandbox(pod_sandbox_id=pod)
    equal(len(b.client.ListContainers().containers), 0, "number of containers")
    after = (crid.mounts(), crid.interfaces(), os.listdir("/run/netns"))
    equal(after[0], before[0], "mounts")
    equal([i for i in after[1] if i not in before[1] and not i.startswith("cribox")], [], "links")
    equal(after[2], before[2], "network namespaces")
    left = [g for g in b.new_cgroups() if pod in g or any(c in g for c in ctrs)]
    equal(left, [], "groups that are left")
    again = b.pod(b.configs[pod]["metadata"]["name"], **kw)
    equal(pod_status(b, again).state, READY, "a pod of the same name")


def test_shim_killed(b):
    dead_shim(b)


def test_shim_killed_own_pids(b):
    dead_shim(b, namespaces={"pid": NS_CONTAINER})


def test_shim_killed_host(b):
    """With the host's PID namespace nothing but the groups says what belongs to the pod."""
    dead_shim(b, namespaces={"pid": NS_NODE, "network": NS_NODE})


def test_both_killed(b):
    """Shim and daemon at once; the next daemon cleans up."""
    b.pull()
    pod = b.pod()
    ctr = b.sleeper(pod)
    pid, shim = b.info(ctr)["pid"], shim_pid(b, pod)
    b.stop()
    os.kill(shim, signal.SIGKILL)
    b.start()
    begin = time.monotonic()
    check_dead_shim(b, pod, [ctr], [pid], begin)
    b.client.RemovePodSandbox(pod_sandbox_id=pod)
    equal(len(b.client.ListPodSandbox().items), 0, "number of pods")


def test_shim_killed_while_creating(b):
    b.pull()
    for delay in (0.0, 0.005, 0.01, 0.02):
        config = b.pod_config()
        call = b.client.future("RunPodSandbox", config=config)
        found = until(shims, 5, "a shim")
        time.sleep(delay)
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            call.result()
        except crid.grpc.RpcError as e:
            equal(bool(e.details()), True, "a message")
        b.clean()
        pod = b.client.RunPodSandbox(config=config).pod_sandbox_id
        b.ids.add(pod)
        b.client.RemovePodSandbox(pod_sandbox_id=pod)


def test_pod_cgroup_emptied(b):
    """Everything in the pod's group is killed, as the kubelet does: the shim is not in it."""
    b.pull()
    pod = b.pod(cgroup_parent=b.cgroup + "/emptied")
    ctr = b.sleeper(pod)
    shim = shim_pid(b, pod)
    os.kill(b.info(ctr)["pid"], signal.SIGKILL)
    s = b.ended(ctr)
    equal((s.exit_code, s.reason), (137, "Error"), "the end")
    with open("/proc/%d/cgroup" % shim) as f:
        groups = f.read()
    equal(b.cgroup in groups, False, "the shim is in the pod's group")
    holds(groups, "cribox/shims/", "group of the shim")
    equal(pod_status(b, pod).state, READY, "the pod")


def test_retried_creation(b):
    """Calls with the same name while the first one runs get the same id."""
    b.pull()
    config = b.pod_config("retried")
    calls = [b.client.future("RunPodSandbox", config=config) for _ in range(4)]
    ids = {c.result().pod_sandbox_id for c in calls}
    equal(len(ids), 1, "number of ids")
    pod = ids.pop()
    b.ids.add(pod)
    b.configs[pod] = config
    ctr = b.ctr_config("true")
    request = {"pod_sandbox_id": pod, "config": ctr, "sandbox_config": config}
    calls = [b.client.future("CreateContainer", **request) for _ in range(4)]
    ids, texts = set(), []
    for call in calls:
        try:
            ids.add(call.result().container_id)
        except crid.grpc.RpcError as e:  # it came when the first one had finished
            equal(e.code().name, "ALREADY_EXISTS", "code")
            texts.append(e.details())
    equal(len(ids), 1, "number of ids of the container")
    b.ids.update(ids)
    for text in texts:
        holds(text, ids.copy().pop()[:12], "message")
    equal(len(b.client.ListContainers().containers), 1, "number of containers")


def test_deadline_of_a_creation(b):
    """The client gives up early and asks again: the same pod, not a second one."""
    b.pull()
    config = b.pod_config("deadline")
    try:
        b.client.RunPodSandbox(config=config, rpc_timeout=0.003)
    except crid.grpc.RpcError as e:
        equal(e.code().name, "DEADLINE_EXCEEDED", "code")
    pod = b.client.RunPodSandbox(config=config).pod_sandbox_id
    b.ids.add(pod)
    equal([p.id for p in b.client.ListPodSandbox().items], [pod], "pods")


def test_damaged_record(b):
    """A damaged record costs one object, never the daemon."""
    b.pull()
    good, bad = b.pod(), b.pod()
    b.sleeper(good)
    shim = shim_pid(b, bad)
    b.stop()
    os.kill(shim, signal.SIGKILL)
    for name in os.listdir(os.path.join(b.root, "pods", bad)):
        path = os.path.join(b.root, "pods", bad, name)
        if os.path.isfile(path):
            with open(path, "r+b") as f:
                f.write(os.urandom(16))
    b.start()
    equal(pod_status(b, good).state, READY, "the good pod")
    b.client.RemovePodSandbox(pod_sandbox_id=bad)
    equal([p.id for p in b.client.ListPodSandbox().items], [good], "pods")


def damage(path):
    with open(path, "r+b") as f:
        f.write(os.urandom(16))


def test_damaged_record_of_a_living_pod(b):
    """The shim knows what was in it: nobody notices."""
    b.pull()
    for names in (("config",), ("state",), ("spec",), ("config", "state", "spec")):
        pod = b.pod(labels={"a": "b"})
        ctr = b.sleeper(pod)
        before = pod_status(b, pod), b.status(ctr)
        for turn in range(2):
            b.stop()
            for name in names if turn == 0 else ():
                damage(os.path.join(b.root, "pods", pod, name))
            if turn == 0:
                damage(os.path.join(b.root, "containers", ctr, "state"))
            b.start()
            equal((pod_status(b, pod), b.status(ctr)), before, "statuses with a damaged %s" % names[0])
        equal(b.sync(ctr, "echo works")[1], "works\n", "exec")
        b.client.StopPodSandbox(pod_sandbox_id=pod)
        b.client.RemovePodSandbox(pod_sandbox_id=pod)
        equal(os.listdir(b.root + "/pods") + os.listdir(b.root + "/containers"), [], "records")
        until(lambda: not shims(), 2, "no shim is left")


def test_lost_directory_of_a_living_pod(b):
    b.pull()
    pod = b.pod()
    ctr = b.sleeper(pod)
    before = pod_status(b, pod)
    b.stop()
    crid.shutil.rmtree(os.path.join(b.root, "pods", pod))
    b.start()
    equal((pod_status(b, pod), b.status(ctr).state), (before, RUNNING), "statuses")
    equal(b.finish(pod, "hostname")[0], 0, "a new container")
    b.restart()
    equal((pod_status(b, pod), b.status(ctr).state), (before, RUNNING), "statuses")


def test_lost_records_of_a_dead_pod(b):
    """Without the record of what it was, everything of a pod is taken down all the same."""
    b.pull()
    os.makedirs("/run/netns", exist_ok=True)

    def there_is():
        return crid.mounts(), crid.interfaces(), os.listdir("/run/netns")

    b.pod()
    b.clean()
    before = there_is()
    for name in ("spec", None):
        pod = b.pod()
        b.sleeper(pod)
        shim = shim_pid(b, pod)
        b.stop()
        os.kill(shim, signal.SIGKILL)
        if name:
            damage(os.path.join(b.root, "pods", pod, name))
        else:
            crid.shutil.rmtree(os.path.join(b.root, "pods", pod))
        b.start()
        if name:
            b.client.RemovePodSandbox(pod_sandbox_id=pod)
        until(lambda: there_is() == before, 5, "all is gone")
        until(lambda: not os.listdir(b.root + "/containers"), 5, "the container is gone")
        left = [g for g in b.new_cgroups() if pod in g]
        equal(left, [], "groups that are left")


def test_damaged_record_of_a_container(b):
    """What the daemon cannot name is ended, and leaves nothing."""
    b.pull()
    pod = b.pod()
    good, bad = b.sleeper(pod), b.sleeper(pod)
    pid = b.info(bad)["pid"]
    b.stop()
    damage(os.path.join(b.root, "containers", bad, "config"))
    b.start()
    until(lambda: crid.gone(pid), 5, "its process has ended")
    until(lambda: os.listdir(b.root + "/containers") == [good], 5, "its directory is gone")
    equal([c.id for c in b.client.ListContainers().containers], [good], "containers")
    equal(b.sync(good, "echo works")[1], "works\n", "the other one")
    equal([g for g in b.new_cgroups() if bad in g], [], "groups that are left")


def test_damaged_record_of_a_dead_container(b):
    b.pull()
    pod = b.pod()
    ctrs = [b.sleeper(pod) for _ in range(3)]
    shim = shim_pid(b, pod)
    b.stop()
    os.kill(shim, signal.SIGKILL)
    damage(os.path.join(b.root, "containers", ctrs[0], "state"))
    damage(os.path.join(b.root, "containers", ctrs[1], "config"))
    b.start()
    until(lambda: os.listdir(b.root + "/containers") == [ctrs[2]], 5, "the damaged ones are gone")
    equal([c.id for c in b.client.ListContainers().containers], [ctrs[2]], "containers")
    b.client.RemovePodSandbox(pod_sandbox_id=pod)
    equal([g for g in b.new_cgroups() if any(c in g for c in ctrs)], [], "groups that are left")


def test_damaged_pod_with_containers(b):
    """No shim and no record: it goes, with all that it had."""
    b.pull()
    pod = b.pod()
    b.sleeper(pod)
    shim = shim_pid(b, pod)
    b.stop()
    os.kill(shim, signal.SIGKILL)
    damage(os.path.join(b.root, "pods", pod, "config"))
    b.start()
    until(lambda: not os.listdir(b.root + "/containers"), 5, "the container is gone")
    until(lambda: not os.listdir(b.root + "/pods"), 5, "the pod is gone")
    equal(len(b.client.ListContainers().containers), 0, "number of containers")


def test_orphans(b):
    """Directories of containers that no pod has are removed, and it is said once."""
    b.pull()
    pod = b.pod()
    ctr = b.start_ctr(pod, "exit 3")
    b.ended(ctr)
    shim = shim_pid(b, pod)
    b.stop()
    os.kill(shim, signal.SIGKILL)
    crid.shutil.rmtree(os.path.join(b.root, "pods", pod))
    names = ["ab" * 32, ".%s-%s" % ("cd" * 32, "ef" * 32)]
    for name in names:
        os.makedirs(os.path.join(b.root, "containers", name, "upper"))
    b.start()
    until(lambda: not os.listdir(b.root + "/containers"), 5, "they are gone")
    for name in names + [ctr]:
        holds(b.daemon_log(), "containers/%s is removed: " % name, "log")
    b.restart()
    log = b.daemon_log(100000)
    for name in names + [ctr]:
        equal(log.count(name + " is removed"), 1, "times that it is said")


def test_foreign_files(b):
    """Rubbish in the directories of records harms nobody."""
    b.stop()
    for kind in ("pods", "containers", "images", "layers"):
        top = os.path.join(b.root, kind)
        os.makedirs(os.path.join(top, "lost+found"), exist_ok=True)
        with open(os.path.join(top, "README"), "w") as f:
            f.write("rubbish")
        os.makedirs(os.path.join(top, "f" * 64), exist_ok=True)
    b.start()
    equal(len(b.client.ListPodSandbox().items), 0, "number of pods")
    b.pull()
    b.sleeper(b.pod())


def test_second_daemon(b):
    """Two daemons on the same directories: the second one refuses."""
    import subprocess

    done = subprocess.run(
        b.command(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20
    )
    equal(done.returncode != 0, True, "the second one ends")
    equal(bool(done.stdout.strip()), True, "and says why")
    equal(b.client.Version().version, "0.1.0", "the first one works")


def test_stuck_log(b):
    """Nobody reads the daemon's and the shims' log: they go on."""
    import fcntl

    b.pull()
    b.stop()
    reader, writer = os.pipe()
    fcntl.fcntl(writer, 1031, 4096)  # F_SETPIPE_SZ
    os.write(writer, b"x" * 4096)
    b.log = open(os.devnull, "wb")
    b.daemon = crid.subprocess.Popen(b.command(), stdin=crid.subprocess.DEVNULL, stderr=writer)
    os.close(writer)
    b.connect()
    pod = b.pod()
    ctr = b.sleeper(pod)
    for _ in range(3):
        fails("NOT_FOUND", b.client.ExecSync, container_id=ctr, cmd=["/no/such"])
    os.kill(shim_pid(b, b.pod()), signal.SIGKILL)
    until(lambda: b.client.ListPodSandbox(filter={"state": {"state": NOTREADY}}).items, 3, "it is seen")
    equal(b.sync(ctr, "echo works")[1], "works\n", "exec")
    equal(os.read(reader, 4096), b"x" * 4096, "what is in the pipe")
    os.kill(shim_pid(b, pod), signal.SIGKILL)
    text = os.read(reader, 4096).decode()
    holds(text, "lines of the log were dropped", "log")
    os.close(reader)
    b.restart()


crid.main(crid.tests_of(globals()))
