#!/usr/bin/python3
"""Pods: namespaces, network, DNS, status, lists and their filters."""

import os
import sys
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
import crid  # noqa: E402
from cri import fails  # noqa: E402
from crid import NOTREADY, NS_CONTAINER, NS_NODE, NS_POD, READY  # noqa: E402
from frame import equal, holds, sh, until  # noqa: E402


def pod_status(b, pod):
    return b.client.PodSandboxStatus(pod_sandbox_id=pod).status


def stop(b, pod):
    b.client.StopPodSandbox(pod_sandbox_id=pod)


def test_life(b):
    labels, notes = {"a": "1", "b": ""}, {"note": "any text: \u00e9\u00df \"x\""}
    pod = b.pod("life", attempt=3, labels=labels, annotations=notes)
    equal((len(pod), set(pod) <= set("0123456789abcdef")), (64, True), "form of the id")
    s = pod_status(b, pod)
    equal(s.id, pod, "id")
    m = s.metadata
    equal((m.name, m.uid, m.namespace, m.attempt), ("life", "life-uid", "tests", 3), "metadata")
    equal(s.state, READY, "state")
    equal(dict(s.labels), labels, "labels")
    equal(dict(s.annotations), notes, "annotations")
    equal(s.created_at > 1.7e18, True, "created_at in ns")
    equal(s.linux.namespaces.options.network, NS_POD, "network mode")
    stop(b, pod)
    s = pod_status(b, pod)
    equal((s.state, dict(s.labels)), (NOTREADY, labels), "state and labels after the stop")
    stop(b, pod)
    b.client.RemovePodSandbox(pod_sandbox_id=pod)
    fails("NOT_FOUND", b.client.PodSandboxStatus, pod_sandbox_id=pod)
    b.client.RemovePodSandbox(pod_sandbox_id=pod)
    stop(b, pod)


def test_minimal_config(b):
    """Only what CRI requires; no linux section at all."""
    config = {"metadata": {"name": "min", "uid": "u", "namespace": "n"}}
    pod = b.client.RunPodSandbox(config=config).pod_sandbox_id
    b.ids.add(pod)
    equal(pod_status(b, pod).state, READY, "state")


def test_list_and_filters(b):
    one = b.pod("one", labels={"app": "x", "tier": "web"})
    two = b.pod("two", labels={"app": "x"})
    stop(b, two)

    def listed(**filter_):
        return {p.id for p in b.client.ListPodSandbox(filter=filter_).items}

    equal({p.id for p in b.client.ListPodSandbox().items}, {one, two}, "all")
    equal(listed(), {one, two}, "an empty filter")
    equal(listed(id=one), {one}, "by id")
    equal(listed(id=one[:13]), {one}, "by prefix of the id")
    equal(listed(id="f" * 64), set(), "by an unknown id")
    equal(listed(state={"state": READY}), {one}, "ready")
    equal(listed(state={"state": NOTREADY}), {two}, "not ready")
    equal(listed(label_selector={"app": "x"}), {one, two}, "by label")
    equal(listed(label_selector={"app": "x", "tier": "web"}), {one}, "by two labels")
    equal(listed(label_selector={"app": "y"}), set(), "by a label that none has")
    equal(listed(id=two, state={"state": READY}), set(), "all parts of a filter hold")
    item = b.client.ListPodSandbox(filter={"id": one}).items[0]
    equal(item.metadata.name, "one", "name")
    equal(dict(item.labels), {"app": "x", "tier": "web"}, "labels")
    equal(item.created_at, pod_status(b, one).created_at, "created_at")


def test_status_verbose(b):
    pod = b.pod()
    b.pull()
    info = b.info(pod, pod=True)
    pid = info["pid"]
    equal(os.path.isdir("/proc/%d" % pid), True, "pid is a process")
    equal(info["config"]["metadata"]["name"], b.configs[pod]["metadata"]["name"], "config")
    equal(os.path.exists(info["netNamespace"]), True, "the network namespace's path exists")
    equal(info["namespaces"]["network"], "pod", "namespaces")
    terse = b.client.PodSandboxStatus(pod_sandbox_id=pod)
    equal(dict(terse.info), {}, "info of a terse status")


def test_update_resources(b):
    """Kept, with what else the request said, over a restart of the daemon."""
    pod = b.pod(labels={"a": "b"})
    resources = {"cpu_shares": 512, "memory_limit_in_bytes": 64 << 20}
    b.client.UpdatePodSandboxResources(pod_sandbox_id=pod, overhead={"cpu_shares": 2})
    b.client.UpdatePodSandboxResources(pod_sandbox_id=pod, resources=resources)
    b.restart()
    linux = b.info(pod, pod=True)["config"]["linux"]
    equal(linux["resources"]["memory_limit_in_bytes"], 64 << 20, "memory limit")
    equal((linux["overhead"]["cpu_shares"], linux["cgroup_parent"]), (2, b.cgroup), "the rest")
    equal(dict(b.client.ListPodSandbox().items[0].labels), {"a": "b"}, "labels")
    fails("NOT_FOUND", b.client.UpdatePodSandboxResources, pod_sandbox_id="f" * 64)


def test_own_network(b):
    b.pull()
    pod = b.pod()
    ip = pod_status(b, pod).network.ip
    holds(ip, ".", "the address")
    ctr = b.sleeper(pod)
    code, out, _ = b.sync(ctr, "ip -o -4 addr show eth0; ip -o addr show lo")
    equal(code, 0, "exit code")
    holds(out, ip + "/", "eth0")
    holds(out, "127.0.0.1/8", "lo")
    equal(b.sync(ctr, "ping -c1 -W2 127.0.0.1 >/dev/null && echo up")[1], "up\n", "loopback")
    sh("/bin/busybox", "ping", "-c1", "-W2", ip)  # the host reaches the pod
    gateway = b.sync(ctr, "ip route | sed -n 's/^default via \\([0-9.]*\\).*/\\1/p'")[1].strip()
    equal(b.sync(ctr, "ping -c1 -W2 %s >/dev/null && echo up" % gateway)[1], "up\n", "gateway")


def test_pods_reach_each_other(b):
    b.pull()
    server, client = b.pod(), b.pod()
    ip = pod_status(b, server).network.ip
    if ip == pod_status(b, client).network.ip:
        raise AssertionError("both pods have %s" % ip)
    b.start_ctr(server, "mkdir /w; echo hello >/w/x; exec httpd -f -p 80 -h /w")
    ctr = b.sleeper(client)

    def get():
        return b.sync(ctr, "wget -q -O- http://%s/x" % ip)[1] == "hello\n"

    until(get, 5, "a page from the other pod")


def test_containers_share_the_network(b):
    b.pull()
    pod = b.pod()
    b.start_ctr(pod, "mkdir /w; echo hello >/w/x; exec httpd -f -p 8000 -h /w")
    ctr = b.sleeper(pod)

    def get():
        return b.sync(ctr, "wget -q -O- http://127.0.0.1:8000/x")[1] == "hello\n"

    until(get, 5, "a page from the other container")


def test_host_network(b):
    b.pull()
    pod = b.pod(namespaces={"network": NS_NODE})
    s = pod_status(b, pod)
    equal(s.network.ip, "", "ip")
    equal(s.linux.namespaces.options.network, NS_NODE, "network mode")
    mine = os.readlink("/proc/self/ns/net")
    code, out, _ = b.finish(pod, "readlink /proc/self/ns/net; hostname")
    equal((code, out), (0, "%s\n%s\n" % (mine, os.uname().nodename)), "namespace and name")


def test_host_port(b):
    b.pull()
    ports = [{"protocol": 0, "container_port": 80, "host_port": 12080}, {"container_port": 9}]
    pod = b.pod(port_mappings=ports)
    b.start_ctr(pod, "mkdir /w; echo mapped >/w/x; exec httpd -f -p 80 -h /w")

    def get():
        try:
            with urllib.request.urlopen("http://127.0.0.1:12080/x", timeout=2) as page:
                return page.read() == b"mapped\n"
        except OSError:
            return False

    until(get, 5, "a page through the host's port")
    stop(b, pod)
    equal(get(), False, "the port answers after the stop")


def test_hostname_and_files(b):
    b.pull()
    dns = {"servers": ["192.0.2.53", "192.0.2.54"], "searches": ["a.example", "b.example"]}
    dns["options"] = ["ndots:5", "edns0"]
    pod = b.pod(hostname="custom-name", dns_config=dns)
    code, out, _ = b.finish(pod, "hostname; cat /etc/hostname; grep -c localhost /etc/hosts")
    lines = out.splitlines()
    equal((code, lines[:2]), (0, ["custom-name", "custom-name"]), "hostname")
    equal(int(lines[2]) >= 1, True, "/etc/hosts has localhost")
    code, out, _ = b.finish(pod, "cat /etc/resolv.conf")
    want = "search a.example b.example\nnameserver 192.0.2.53\nnameserver 192.0.2.54\n"
    equal(sorted(out.splitlines()), sorted((want + "options ndots:5 edns0").splitlines()), "DNS")


def test_dns_of_the_host(b):
    b.pull()
    with open("/etc/resolv.conf") as f:
        mine = f.read()
    equal(b.finish(b.pod(), "cat /etc/resolv.conf")[1], mine, "no dns_config")
    pod = b.pod(dns_config={})
    equal(b.finish(pod, "echo ok; cat /etc/resolv.conf")[0], 0, "an empty dns_config")


def pids(b, ctr):
    return b.sync(ctr, "cat /proc/1/comm; readlink /proc/self/ns/pid")[1].split()


def test_pid_modes(b):
    b.pull()
    mine = os.readlink("/proc/self/ns/pid")
    pod = b.pod(namespaces={"pid": NS_CONTAINER})
    one, two = b.sleeper(pod), b.sleeper(pod)
    first, second = pids(b, one), pids(b, two)
    equal(first[0], "sh", "process 1 with pid CONTAINER")
    equal(len({first[1], second[1], mine}), 3, "number of PID namespaces")

    pod = b.pod(namespaces={"pid": NS_POD})
    one, two = b.sleeper(pod), b.sleeper(pod)
    first, second = pids(b, one), pids(b, two)
    equal(first, second, "process 1 and namespace with pid POD")
    if first[1] == mine or first[0] == "sh":
        raise AssertionError("pid POD: %r" % first)
    equal(b.sync(one, "ps | grep -c '[s]leep 1000$'")[1], "2\n", "sleepers in the pod")

    pod = b.pod(namespaces={"pid": NS_NODE})
    one = b.sleeper(pod)
    equal(pids(b, one)[1], mine, "namespace with pid NODE")


def test_shared_pid_reaps(b):
    """With pid POD orphans of a container must not stay as zombies."""
    b.pull()
    pod = b.pod(namespaces={"pid": NS_POD})
    ctr = b.sleeper(pod)
    b.sync(ctr, "for i in 1 2 3; do (sleep 0.05 & exec true) & done; wait; sleep 0.3")

    def zombies():
        return b.sync(ctr, "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l")[1]

    until(lambda: zombies().strip() == "0", 3, "zombies are gone")


def test_container_death_with_shared_pid(b):
    """With pid POD, what a dead container leaves behind dies too; the neighbour does not."""
    b.pull()
    pod = b.pod(namespaces={"pid": NS_POD})
    stay = b.sleeper(pod)
    gone = b.start_ctr(pod, "setsid sleep 4321 & sleep 0.2; exit 0")
    b.ended(gone)
    until(
        lambda: b.sync(stay, "ps | grep -c '[s]leep 4321$'")[1] == "0\n", 3, "the orphan's end"
    )
    equal(b.status(stay).state, crid.RUNNING, "state of the neighbour")


def test_ipc_modes(b):
    b.pull()
    mine = os.readlink("/proc/self/ns/ipc")
    pod = b.pod()
    one, two = b.sleeper(pod), b.sleeper(pod)
    spaces = {b.sync(c, "readlink /proc/self/ns/ipc")[1].strip() for c in (one, two)}
    equal(len(spaces), 1, "number of IPC namespaces of a pod")
    equal(mine in spaces, False, "the pod is in the host's")
    b.sync(one, "echo shared >/dev/shm/x")
    equal(b.sync(two, "cat /dev/shm/x")[1], "shared\n", "/dev/shm")
    pod = b.pod(namespaces={"ipc": NS_NODE})
    equal(b.finish(pod, "readlink /proc/self/ns/ipc")[1].strip(), mine, "ipc NODE")


def test_user_namespace(b):
    b.pull()
    ids = [{"host_id": 200000, "container_id": 0, "length": 65536}]
    user = {"mode": NS_POD, "uids": ids, "gids": ids}
    pod = b.pod(namespaces={"userns_options": user})
    ctr = b.sleeper(pod)
    code, out, err = b.sync(ctr, "cat /proc/self/uid_map; id -u; stat -c %u /bin/sh /; touch /x")
    equal((code, err), (0, ""), "exec")
    lines = out.split()
    equal(lines[:3], ["0", "200000", "65536"], "uid_map")
    equal(lines[3:], ["0", "0", "0"], "ids inside")
    pid = b.info(ctr)["pid"]
    equal(os.stat("/proc/%d" % pid).st_uid, 200000, "uid outside")
    # The user namespace owns the network namespace: root in the pod may configure it.
    code, out, err = b.sync(ctr, "ip link set lo mtu 60000 && cat /sys/class/net/lo/mtu")
    ip = pod_status(b, pod).network.ip
    sh("/bin/busybox", "ping", "-c1", "-W2", ip)
    got = pod_status(b, pod).linux.namespaces.options.userns_options
    equal((got.mode, got.uids[0].host_id), (NS_POD, 200000), "userns_options of the status")


def test_user_namespace_errors(b):
    def attempt(options, network=NS_POD):
        return fails(
            "INVALID_ARGUMENT",
            b.client.RunPodSandbox,
            config=b.pod_config(namespaces={"network": network, "userns_options": options}),
        )

    one = {"host_id": 200000, "container_id": 0, "length": 65536}
    two = {"host_id": 300000, "container_id": 65536, "length": 65536}
    attempt({"mode": NS_POD, "uids": [one, two], "gids": [one, two]})
    attempt({"mode": NS_POD, "uids": [one], "gids": [two]})
    attempt({"mode": NS_POD})
    shifted = dict(one, container_id=1)
    attempt({"mode": NS_POD, "uids": [shifted], "gids": [shifted]})
    attempt({"mode": NS_CONTAINER, "uids": [one], "gids": [one]})
    attempt({"mode": NS_NODE, "uids": [one], "gids": [one]})
    equal(len(b.client.ListPodSandbox().items), 0, "number of pods")


def test_sysctls(b):
    b.pull()
    sysctls = {"kernel.shm_rmid_forced": "1", "net.ipv4.ip_local_port_range": "10000 20000"}
    pod = b.pod(sysctls=sysctls)
    out = b.finish(
        pod, "cat /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/ip_local_port_range"
    )[1]
    equal(out.split(), ["1", "10000", "20000"], "sysctls")
    for name in ("kernel.hostname", "vm.swappiness", "net/../kernel.pid_max", "fs.nr_open"):
        config = b.pod_config(sysctls={name: "1"})
        holds(fails("INVALID_ARGUMENT", b.client.RunPodSandbox, config=config), name, "message")


def test_low_ports_without_root(b):
    b.pull()
    pod = b.pod()
    ctr = b.start_ctr(
        pod, "exec httpd -f -p 80 -h /etc", security={"run_as_user": {"value": 1000}}
    )
    until(lambda: b.sync(ctr, "wget -q -O- http://127.0.0.1/passwd")[0] == 0, 5, "port 80")


def test_cgroup_parent(b):
    b.pull()
    pod = b.pod(cgroup_parent=b.cgroup + "/kubepods/pod-x")
    ctr = b.sleeper(pod)
    pid = b.info(ctr)["pid"]
    with open("/proc/%d/cgroup" % pid) as f:
        groups = f.read()
    holds(groups, b.cgroup + "/kubepods/pod-x/", "groups of the container")
    b.client.RemovePodSandbox(pod_sandbox_id=pod)
    left = [g for g in b.new_cgroups() if pod in g or ctr in g]
    equal(left, [], "groups that are left")


def test_handlers(b):
    for name in ("cribox", "runc", "crun"):
        pod = b.pod(handler=name)
        equal(pod_status(b, pod).runtime_handler, name, "runtime_handler")
        equal(b.client.ListPodSandbox(filter={"id": pod}).items[0].runtime_handler, name, "list")
    config = b.pod_config()
    text = fails("INVALID_ARGUMENT", b.client.RunPodSandbox, config=config, runtime_handler="kata")
    holds(text, "kata", "message")


def test_stop_kills_and_keeps_records(b):
    b.pull()
    pod = b.pod()
    ctr = b.start_ctr(pod, "trap '' TERM; while :; do sleep 1; done")
    pid = b.info(ctr)["pid"]
    stop(b, pod)
    equal(os.path.exists("/proc/%d" % pid), False, "the container's process is there")
    s = b.status(ctr)
    equal((s.state, s.exit_code), (crid.EXITED, 137), "state and exit code")
    equal(pod_status(b, pod).state, NOTREADY, "state of the pod")
    text = fails(
        "FAILED_PRECONDITION",
        b.client.CreateContainer,
        pod_sandbox_id=pod,
        config=b.ctr_config("true"),
        sandbox_config=b.configs[pod],
    )
    holds(text, pod[:12], "message")


def test_remove_running_pod(b):
    b.pull()
    pod = b.pod()
    ctr = b.sleeper(pod)
    pid = b.info(ctr)["pid"]
    b.client.RemovePodSandbox(pod_sandbox_id=pod)
    equal(os.path.exists("/proc/%d" % pid), False, "the container's process is there")
    fails("NOT_FOUND", b.client.ContainerStatus, container_id=ctr)
    equal(len(b.client.ListContainers().containers), 0, "number of containers")


def test_many_at_once(b):
    calls = [b.client.future("RunPodSandbox", config=b.pod_config()) for _ in range(12)]
    pods = [c.result().pod_sandbox_id for c in calls]
    b.ids.update(pods)
    ips = [pod_status(b, p).network.ip for p in pods]
    equal(len(set(ips)), 12, "number of addresses")
    for call in [b.client.future("RemovePodSandbox", pod_sandbox_id=p) for p in pods]:
        call.result()
    equal(len(b.client.ListPodSandbox().items), 0, "number of pods")


def test_long_names(b):
    """The kubelet's longest names (253) must fit everywhere, also in the file system."""
    name = "n" * 253
    b.pull()
    config = b.pod_config(name, hostname="h" * 63)
    config["metadata"].update(uid="u" * 36, namespace="s" * 63)
    config["log_directory"] = b.logs + "/long"
    pod = b.client.RunPodSandbox(config=config).pod_sandbox_id
    b.ids.add(pod)
    b.configs[pod] = config
    equal(pod_status(b, pod).metadata.name, name, "name")
    equal(b.finish(pod, "hostname", name="c" * 63)[1], "h" * 63 + "\n", "hostname")


crid.main(crid.tests_of(globals()))
