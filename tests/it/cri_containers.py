#!/usr/bin/python3
"""What CreateContainer makes of a configuration: process, user, mounts, security, resources."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
import crid  # noqa: E402
from cri import fails  # noqa: E402
from crid import BOX, CREATED, EXITED, NS_NODE, REGISTRY, RUNNING  # noqa: E402
from frame import equal, holds, sh, until  # noqa: E402

HOST = {"network": NS_NODE}
DEFAULT_CAPS = 0xA80425FB  # the 14 that docker and containerd give


def host_pod(b, **kw):
    """A pod on the host's network: quick to make."""
    b.pull()
    return b.pod(namespaces=dict(HOST, **kw.pop("namespaces", {})), **kw)


def run(b, command, pod=None, **kw):
    """Output of a container that must end with 0 and say nothing on stderr."""
    code, out, err = b.finish(pod or host_pod(b), command, **kw)
    equal((code, err), (0, ""), "exit code and stderr")
    return out


def refused(b, code="INVALID_ARGUMENT", pod=None, command="true", **kw):
    """CreateContainer must fail with the code; returns the message."""
    pod = pod or host_pod(b)
    config = b.ctr_config(command, **kw)
    text = fails(
        code,
        b.client.CreateContainer,
        pod_sandbox_id=pod,
        config=config,
        sandbox_config=b.configs[pod],
    )
    equal(len(b.client.ListContainers().containers), 0, "number of containers after the error")
    return text


def test_states(b):
    pod = host_pod(b)
    labels, notes = {"l": "1"}, {"n": "2"}
    ctr = b.create(pod, "sleep 0.3", name="main", labels=labels, annotations=notes)
    s = b.status(ctr)
    equal((s.id, s.state, s.started_at, s.finished_at), (ctr, CREATED, 0, 0), "created")
    equal((s.metadata.name, s.metadata.attempt), ("main", 0), "metadata")
    equal((dict(s.labels), dict(s.annotations)), (labels, notes), "labels and annotations")
    equal(s.image.image, BOX, "image")
    image = b.client.ImageStatus(image={"image": BOX}).image
    equal(s.image_id, image.id, "image_id")
    equal(s.image_ref, image.repo_digests[0], "image_ref")
    equal(s.log_path, os.path.join(b.configs[pod]["log_directory"], "main.log"), "log_path")
    b.client.StartContainer(container_id=ctr)
    s = b.status(ctr)
    equal((s.state, s.started_at >= s.created_at), (RUNNING, True), "running")
    s = b.ended(ctr)
    equal((s.exit_code, s.reason), (0, "Completed"), "the end")
    equal(s.finished_at - s.started_at > 0.25e9, True, "finished_at")
    fails("FAILED_PRECONDITION", b.client.StartContainer, container_id=ctr)


def test_list_and_filters(b):
    one, two = host_pod(b), host_pod(b)
    a = b.sleeper(one, labels={"app": "x", "c": "a"})
    c = b.create(one, "true", labels={"app": "x"})
    d = b.sleeper(two)

    def listed(**filter_):
        return {x.id for x in b.client.ListContainers(filter=filter_).containers}

    equal({x.id for x in b.client.ListContainers().containers}, {a, c, d}, "all")
    equal(listed(), {a, c, d}, "an empty filter")
    equal(listed(id=a), {a}, "by id")
    equal(listed(id=a[:12]), {a}, "by prefix of the id")
    equal(listed(pod_sandbox_id=one), {a, c}, "by pod")
    equal(listed(pod_sandbox_id=two[:12]), {d}, "by prefix of the pod's id")
    equal(listed(state={"state": RUNNING}), {a, d}, "by state RUNNING")
    equal(listed(state={"state": CREATED}), {c}, "by state CREATED")
    equal(listed(label_selector={"app": "x"}), {a, c}, "by label")
    equal(listed(label_selector={"app": "x", "c": "a"}, pod_sandbox_id=two), set(), "all hold")
    item = b.client.ListContainers(filter={"id": a}).containers[0]
    s = b.status(a)
    equal(item.pod_sandbox_id, one, "pod_sandbox_id")
    equal(item.image_id, s.image_id, "image_id")
    equal((item.created_at, item.image_ref), (s.created_at, s.image_ref), "created_at, image_ref")


def test_status_verbose(b):
    pod = host_pod(b)
    ctr = b.sleeper(pod)
    info = b.info(ctr)
    with open("/proc/%d/comm" % info["pid"]) as f:
        equal(f.read().strip(), "sh", "the process of info.pid")
    equal(info["sandboxID"], pod, "sandboxID")
    equal(info["runtimeSpec"]["process"]["args"][:2], ["sh", "-c"], "args in the spec")
    equal(dict(b.client.ContainerStatus(container_id=ctr).info), {}, "info of a terse status")


def test_command_and_args(b):
    b.pull(REGISTRY + "/entry")
    entry = {"image": REGISTRY + "/entry"}
    both = ["/bin/echo", "command"]
    equal(run(b, None, **entry), "entry cmd\n", "neither: Entrypoint and Cmd")
    equal(run(b, None, args=["mine"], **entry), "entry mine\n", "args: Entrypoint and args")
    equal(run(b, both, **entry), "command\n", "command: Cmd is dropped")
    equal(run(b, both, args=["mine"], **entry), "command mine\n", "command and args")
    equal(run(b, ["echo", "a b", "", "c"]), "a b  c\n", "words are kept")


def test_no_command(b):
    b.pull(REGISTRY + "/no-command")
    holds(refused(b, command=None, image=REGISTRY + "/no-command"), "command", "message")


def test_environment(b):
    pod = host_pod(b)
    envs = [{"key": "A", "value": b"1"}, {"key": "FROM_IMAGE", "value": b"no"}]
    envs += [{"key": "A", "value": b"2 = two"}, {"key": "EMPTY", "value": b""}]
    envs += [{"key": "BYTES", "value": b"\xff\xfe"}]
    out = run(b, "env", pod=pod, envs=envs).splitlines()
    for line in ("A=2 = two", "FROM_IMAGE=no", "EMPTY=", "PATH=/bin:/usr/bin"):
        equal(out.count(line), 1, "times " + line)
    equal(len([x for x in out if x.startswith("A=")]), 1, "number of A")
    equal("BYTES=" + b"\xff\xfe".decode("utf-8", "surrogateescape") in out, True, "BYTES")
    equal([x for x in out if x.startswith("HOSTNAME=")] != [], True, "HOSTNAME is set")
    ctr = b.start_ctr(pod, "echo $TERM; sleep 1", tty=True)
    until(lambda: "xterm" in b.output(ctr)[0], 3, "TERM=xterm with a terminal")


def test_working_directory(b):
    b.pull(REGISTRY + "/entry")
    equal(run(b, "pwd"), "/\n", "the default")
    equal(run(b, "pwd", working_dir="/tmp"), "/tmp\n", "of the container")
    equal(run(b, "pwd", image=REGISTRY + "/entry"), "/made/here\n", "of the image, made")
    equal(run(b, "pwd", working_dir="/not/there"), "/not/there\n", "made when missing")


def groups(text):
    return sorted(int(x) for x in text.split())


def test_users(b):
    """uid, gid and supplementary groups, by the rules of the CRI."""
    b.pull(REGISTRY + "/entry")
    b.pull(REGISTRY + "/user-uid")
    b.pull(REGISTRY + "/user-name")
    show = "id -u; id -g; id -G"
    merge, strict = 0, 1

    def ids(image=BOX, policy=merge, **security):
        security["supplemental_groups_policy"] = policy
        lines = run(b, show, image=image, security=security).splitlines()
        return int(lines[0]), int(lines[1]), groups(lines[2])

    user, group = {"run_as_user": {"value": 1000}}, {"run_as_group": {"value": 5000}}
    more = {"supplemental_groups": [1234, 5678]}
    equal(ids(), (0, 0, [0, 3001]), "root of the image")
    equal(ids(policy=strict), (0, 0, [0]), "root, Strict")
    equal(ids(**user), (1000, 1000, [1000, 3000, 3001]), "run_as_user")
    equal(ids(**user, **more), (1000, 1000, [1000, 1234, 3000, 3001, 5678]), "with groups")
    equal(ids(policy=strict, **user, **more), (1000, 1000, [1000, 1234, 5678]), "Strict")
    equal(ids(**user, **group)[:2], (1000, 5000), "run_as_group")
    equal(ids(run_as_username="app"), (1000, 1000, [1000, 3000, 3001]), "run_as_username")
    equal(ids(run_as_username="other"), (1001, 2001, [2001]), "run_as_username other")
    equal(ids(run_as_user={"value": 7777}), (7777, 0, [0]), "a uid that the image does not know")
    equal(ids(image=REGISTRY + "/entry")[:2], (1000, 1000), "the image's user")
    equal(ids(image=REGISTRY + "/user-uid")[:2], (1002, 0), "the image's uid")
    equal(ids(image=REGISTRY + "/user-name")[:2], (1000, 3000), "the image's user:group")
    equal(ids(image=REGISTRY + "/entry", run_as_user={"value": 0})[:2], (0, 0), "0 is a user")
    s = b.status(b.create(host_pod(b), "true", security=dict(user, **group, **more)))
    got = s.user.linux
    equal((got.uid, got.gid), (1000, 5000), "user of the status")
    equal(sorted(got.supplemental_groups), [1234, 3000, 3001, 5000, 5678], "groups of the status")


def test_user_errors(b):
    refused(b, security={"run_as_group": {"value": 5}})
    holds(refused(b, security={"run_as_username": "nobody-knows"}), "nobody-knows", "message")
    refused(b, security={"run_as_user": {"value": -5}})
    refused(b, security={"run_as_user": {"value": 1 << 40}})


def test_mounts(b):
    pod = host_pod(b)
    host = b.base + "/volume"
    os.makedirs(host + "/sub")
    with open(host + "/file", "w") as f:
        f.write("from the host\n")
    os.symlink(host, b.base + "/link")
    mounts = [
        {"host_path": host, "container_path": "/rw"},
        {"host_path": host, "container_path": "/ro", "readonly": True},
        {"host_path": host + "/file", "container_path": "/etc/one-file"},
        {"host_path": b.base + "/link", "container_path": "/by/link"},
        {"host_path": b.base + "/made/by/us", "container_path": "/made"},
    ]
    ctr = b.sleeper(pod, mounts=mounts)
    equal(b.sync(ctr, "cat /rw/file /ro/file /etc/one-file /by/link/file")[1].count("\n"), 4)
    equal(b.sync(ctr, "echo changed >/rw/new; cat /ro/new")[1], "changed\n", "through /ro")
    code, _, err = b.sync(ctr, "touch /ro/x")
    equal((code != 0, "Read-only" in err), (True, True), "writing to /ro")
    equal(os.path.isdir(b.base + "/made/by/us"), True, "the missing source was made")
    with open(host + "/new") as f:
        equal(f.read(), "changed\n", "seen by the host")
    got = b.status(ctr).mounts
    equal([(m.container_path, m.readonly) for m in got],
          [(m["container_path"], m.get("readonly", False)) for m in mounts], "mounts")  # fmt: skip


def test_nested_mounts_in_any_order(b):
    pod = host_pod(b)
    for name in ("outer", "inner"):
        os.makedirs(b.base + "/" + name)
        open(b.base + "/" + name + "/" + name, "w").close()
    mounts = [
        {"host_path": b.base + "/inner", "container_path": "/v/deep/er"},
        {"host_path": b.base + "/outer", "container_path": "/v"},
    ]
    out = run(b, "ls /v /v/deep/er", pod=pod, mounts=mounts)
    holds(out, "outer", "/v")
    holds(out, "inner", "/v/deep/er")


def test_mount_targets_cannot_escape(b):
    """A symlink in the image must not lead a mount out of the container."""
    pod = host_pod(b)
    layout = crid.oci.Layout()
    evil = crid.oci.Layer().symlink("evil", "../../../../../../etc").symlink("abs", "/var/tmp")
    image = crid.oci.Image([crid.box_layer(), evil], crid.box_config())
    layout.add(image.manifest_document(layout, crid.oci.GOARCH[os.uname().machine]), "latest")
    layout.push(REGISTRY, "evil")
    b.pull(REGISTRY + "/evil")
    before = crid.mounts()
    mounts = [
        {"host_path": b.logs, "container_path": "/evil/" + b.tag},
        {"host_path": b.logs, "container_path": "/abs/" + b.tag + "-x"},
    ]
    out = run(b, "ls -d /etc/%s /var/tmp/%s-x" % (b.tag, b.tag), pod=pod,
              image=REGISTRY + "/evil", mounts=mounts)  # fmt: skip
    equal(len(out.split()), 2, "mounted inside")
    equal(os.path.exists("/etc/" + b.tag), False, "/etc of the host was touched")
    equal(os.path.exists("/var/tmp/" + b.tag + "-x"), False, "/var/tmp of the host was touched")
    equal(crid.mounts(), before, "mounts of the host")


def test_bad_mounts(b):
    refused(b, mounts=[{"host_path": "", "container_path": "/x"}])
    refused(b, mounts=[{"host_path": "/tmp", "container_path": ""}])
    refused(b, mounts=[{"host_path": "relative", "container_path": "/x"}])
    rro = {"host_path": "/tmp", "container_path": "/x", "recursive_read_only": True}
    refused(b, mounts=[rro])
    refused(b, mounts=[dict(rro, readonly=True, propagation=1)])
    refused(b, mounts=[dict(rro, readonly=True, propagation=2)])


def shared_dir(b, name):
    path = b.base + "/" + name
    os.makedirs(path)
    sh("mount", "-t", "tmpfs", "share", path)
    sh("mount", "--make-shared", path)
    return path


def tmpfs(path):
    os.makedirs(path, exist_ok=True)
    sh("mount", "-t", "tmpfs", "sub", path)


def test_recursive_read_only(b):
    pod = host_pod(b)
    host = shared_dir(b, "rro")
    tmpfs(host + "/sub")
    try:
        plain = {"host_path": host, "container_path": "/ro", "readonly": True}
        rro = {"host_path": host, "container_path": "/rro", "readonly": True}
        rro["recursive_read_only"] = True
        ctr = b.sleeper(pod, mounts=[plain, rro])
        equal(b.sync(ctr, "touch /ro/x")[0] != 0, True, "writing to /ro fails")
        equal(b.sync(ctr, "touch /ro/sub/x")[0], 0, "writing below a plain read-only mount")
        equal(b.sync(ctr, "touch /rro/x")[0] != 0, True, "writing to /rro fails")
        equal(b.sync(ctr, "touch /rro/sub/y")[0] != 0, True, "writing to /rro/sub fails")
        equal([m.recursive_read_only for m in b.status(ctr).mounts], [False, True], "status")
        b.client.RemoveContainer(container_id=ctr)
    finally:
        sh("umount", "-R", host)


def test_propagation(b):
    pod = host_pod(b, security={"privileged": True})
    host = shared_dir(b, "prop")
    try:
        mounts = [
            {"host_path": host, "container_path": "/" + name, "propagation": kind}
            for kind, name in enumerate(("private", "slave", "shared"))
        ]
        ctr = b.sleeper(pod, mounts=mounts, security={"privileged": True})
        tmpfs(host + "/late")
        open(host + "/late/seen", "w").close()
        for name, want in (("private", 1), ("slave", 0), ("shared", 0)):
            code = b.sync(ctr, "test -e /%s/late/seen" % name)[0]
            equal(code, want, "a mount of the host in /" + name)
        for name in ("private", "slave", "shared"):
            b.sync(ctr, "mkdir /{0}/by-{0}; mount -t tmpfs x /{0}/by-{0}".format(name))
        seen = [n for n in ("private", "slave", "shared") if os.path.ismount(host + "/by-" + n)]
        equal(seen, ["shared"], "mounts of the container that the host sees")
        equal([m.propagation for m in b.status(ctr).mounts], [0, 1, 2], "status")
        b.client.RemoveContainer(container_id=ctr)
    finally:
        sh("umount", "-R", host)


def test_propagation_needs_a_shared_source(b):
    """An error when the source is not shared: at create or at start."""
    pod = host_pod(b, security={"privileged": True})
    host = b.base + "/not-shared"
    os.makedirs(host)
    sh("mount", "-t", "tmpfs", "x", host)
    sh("mount", "--make-private", host)
    try:
        for kind in (1, 2):
            mount = {"host_path": host, "container_path": "/x", "propagation": kind}
            try:
                ctr = b.start_ctr(pod, "true", mounts=[mount], security={"privileged": True})
                raise AssertionError("container %s has propagation %d" % (ctr, kind))
            except crid.grpc.RpcError as e:
                holds(e.details(), "shared", "message")
    finally:
        sh("umount", "-R", host)


def test_mounts_are_taken_at_start(b):
    """A volume that is mounted between create and start is seen."""
    pod = host_pod(b)
    host = b.base + "/late"
    os.makedirs(host)
    ctr = b.create(pod, "ls /v", mounts=[{"host_path": host, "container_path": "/v"}])
    tmpfs(host)
    open(host + "/there", "w").close()
    try:
        b.client.StartContainer(container_id=ctr)
        equal(b.ended(ctr).exit_code, 0, "exit code")
        equal(b.output(ctr)[0], "there\n", "what the container sees")
    finally:
        sh("umount", host)


def test_devices(b):
    devices = [{"host_path": "/dev/zero", "container_path": "/dev/mine", "permissions": "r"}]
    out = run(b, "head -c4 /dev/mine | od -An -tx1; ls /dev", devices=devices)
    holds(out, "00 00 00 00", "/dev/mine")
    for name in "full null ptmx pts random shm tty urandom zero fd stdin stdout stderr".split():
        holds(out.split(), name, "/dev")
    holds(refused(b, devices=[{"host_path": "/dev/not-there", "container_path": "/dev/x",
                               "permissions": "rwm"}]), "/dev/not-there", "message")  # fmt: skip
    refused(b, devices=[{"host_path": "/dev/zero", "container_path": "/dev/x",
                         "permissions": "rwz"}])  # fmt: skip


def test_device_permissions(b):
    """Without w the device cannot be written, and what is not listed cannot be made."""
    devices = [{"host_path": "/dev/full", "container_path": "/dev/mine", "permissions": "r"}]
    ctr = b.sleeper(host_pod(b), devices=devices)
    code, _, err = b.sync(ctr, "mknod /dev/kmsg2 c 1 11 && cat /dev/kmsg2")
    equal(code != 0, True, "reading an unlisted device fails")
    holds(err, "Operation not permitted", "stderr")


def caps(b, security=None, **kw):
    out = run(b, "grep ^Cap /proc/self/status", security=security or {}, **kw)
    return {k[3:]: int(v, 16) for k, v in (x.replace(":", "").split() for x in out.splitlines())}


def test_capabilities(b):
    got = caps(b)
    equal("%x" % got["Bnd"], "%x" % DEFAULT_CAPS, "bounding set")
    equal((got["Prm"], got["Eff"]), (got["Bnd"], got["Bnd"]), "permitted and effective")
    equal((got["Inh"], got["Amb"]), (0, 0), "inheritable and ambient")
    net_raw, net_admin = 1 << 13, 1 << 12
    got = caps(b, {"capabilities": {"drop_capabilities": ["NET_RAW"]}})
    equal(got["Eff"], DEFAULT_CAPS & ~net_raw, "without NET_RAW")
    got = caps(b, {"capabilities": {"add_capabilities": ["NET_ADMIN"]}})
    equal(got["Eff"], DEFAULT_CAPS | net_admin, "with NET_ADMIN")
    got = caps(b, {"capabilities": {"drop_capabilities": ["ALL"]}})
    equal(got, dict.fromkeys(got, 0), "without ALL")
    lists = {"drop_capabilities": ["ALL"], "add_capabilities": ["NET_ADMIN"]}
    equal(caps(b, {"capabilities": lists})["Bnd"], net_admin, "only NET_ADMIN")
    got = caps(b, {"capabilities": {"add_capabilities": ["CAP_NET_ADMIN"]}})
    equal(got["Eff"], DEFAULT_CAPS | net_admin, "with CAP_NET_ADMIN")
    got = caps(b, {"run_as_user": {"value": 1000}})
    equal((got["Eff"], got["Prm"], got["Bnd"]), (0, 0, DEFAULT_CAPS), "of a user")
    got = caps(b, {"capabilities": {"add_capabilities": ["ALL"]}})
    equal(got["Eff"] & (net_admin | 1 << 21), net_admin | 1 << 21, "with ALL")
    text = refused(b, security={"capabilities": {"add_capabilities": ["NO_SUCH"]}})
    holds(text, "NO_SUCH", "message")


def test_ambient_capabilities(b):
    lists = {"add_ambient_capabilities": ["NET_BIND_SERVICE"]}
    got = caps(b, {"run_as_user": {"value": 1000}, "capabilities": lists})
    equal((got["Amb"], got["Eff"]), (1 << 10, 1 << 10), "ambient and effective")


def test_privileged(b):
    pod = host_pod(b, security={"privileged": True})
    got = caps(b, {"privileged": True}, pod=pod)
    with open("/proc/1/status") as f:
        mine = int([x for x in f if x.startswith("CapBnd")][0].split()[1], 16)
    equal("%x" % got["Eff"], "%x" % mine, "capabilities")
    out = run(b, "ls /dev; mount -t tmpfs x /tmp && echo mounted; grep Seccomp: "
                 "/proc/self/status; test -w /sys/kernel && echo sys; "
                 "awk '$5 ~ \"^/proc/\"' /proc/self/mountinfo",
              pod=pod, security={"privileged": True, "seccomp": {"profile_type": 0}})  # fmt: skip
    for part in ("kmsg", "mounted", "Seccomp:\t0", "sys"):
        holds(out, part, "output")
    refused(b, security={"privileged": True})  # in a pod that is not


def test_read_only_root(b):
    ctr = b.sleeper(host_pod(b), security={"readonly_rootfs": True})
    code, _, err = b.sync(ctr, "touch /x")
    equal((code != 0, "Read-only" in err), (True, True), "writing to /")
    equal(b.sync(ctr, "touch /dev/shm/x")[0], 0, "writing to /dev/shm")


def field(b, name, **kw):
    return run(b, "sed -n 's/^%s:[[:space:]]*//p' /proc/self/status" % name, **kw).strip()


def test_no_new_privs(b):
    equal(field(b, "NoNewPrivs"), "0", "the default")
    equal(field(b, "NoNewPrivs", security={"no_new_privs": True}), "1", "no_new_privs")


def test_seccomp(b):
    equal(field(b, "Seccomp"), "0", "no profile: unconfined")
    default = {"seccomp": {"profile_type": 0}}
    equal(field(b, "Seccomp", security=default), "2", "RuntimeDefault")
    equal(field(b, "Seccomp", security={"seccomp": {"profile_type": 1}}), "0", "Unconfined")
    ctr = b.sleeper(host_pod(b), security=default)
    code, _, err = b.sync(ctr, "unshare -m true; echo $?; hostname x")
    holds(err, "Operation not permitted", "stderr of unshare")
    equal(b.sync(ctr, "grep Seccomp: /proc/self/status")[1], "Seccomp:\t2\n", "in an exec")


def test_seccomp_localhost(b):
    import json

    path = b.base + "/profile.json"
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}
    with open(path, "w") as f:
        json.dump({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}, f)
    security = {"seccomp": {"profile_type": 2, "localhost_ref": path}}
    code, out, err = b.finish(host_pod(b), "mkdir /x", security=security)
    equal(code != 0, True, "mkdir fails")
    holds(err, "Operation not permitted", "stderr")
    security["seccomp"]["localhost_ref"] = b.base + "/not-there.json"
    holds(refused(b, code="NOT_FOUND", security=security), "not-there.json", "message")


def test_masked_and_readonly_paths(b):
    masked = ["/proc/kcore", "/proc/timer_list", "/sys/firmware", "/bin/vi", "/not/there"]
    ctr = b.sleeper(host_pod(b), security={"masked_paths": masked, "readonly_paths": ["/home"]})
    equal(b.sync(ctr, "cat /proc/kcore | wc -c")[1], "0\n", "/proc/kcore")
    equal(b.sync(ctr, "ls /sys/firmware | wc -l")[1], "0\n", "/sys/firmware")
    equal(b.sync(ctr, "/bin/vi --help")[0], 126, "running a masked file")
    equal(b.sync(ctr, "touch /home/x")[0] != 0, True, "writing to a read-only path")


def test_default_mounts(b):
    out = run(b, "cat /proc/self/mountinfo", security={"seccomp": {"profile_type": 0}})
    table = {}
    for line in out.splitlines():
        x = line.split()
        dash = x.index("-")
        table[x[4]] = (x[dash + 1], x[5].split(",") + x[dash + 3].split(","))
    for path, kind in {"/": "overlay", "/proc": "proc", "/dev": "tmpfs", "/dev/pts": "devpts",
                       "/dev/mqueue": "mqueue", "/dev/shm": "tmpfs"}.items():  # fmt: skip
        equal(table[path][0], kind, "type of " + path)
    for option in ("nosuid", "nodev", "noexec"):
        holds(table["/proc"][1], option, "/proc")
    holds(table["/sys"][1], "ro", "/sys")


def cgroup_file(b, ctr, controller, v1, v2):
    """A value of the container's group, on either version."""
    pid = b.info(ctr)["pid"]
    with open("/proc/%d/cgroup" % pid) as f:
        groups_of = [line.strip().split(":", 2) for line in f]
    for _, names, path in groups_of:
        if controller in names.split(","):
            with open("/sys/fs/cgroup/%s%s/%s" % (controller, path, v1)) as f:
                return f.read().strip()
    path = [p for _, names, p in groups_of if names == ""][0]
    with open("/sys/fs/cgroup%s/%s" % (path, v2)) as f:
        return f.read().strip()


def test_resources(b):
    resources = {"cpu_period": 50000, "cpu_quota": 25000, "cpu_shares": 512,
                 "memory_limit_in_bytes": 64 << 20, "cpuset_cpus": "0",
                 "oom_score_adj": 500}  # fmt: skip
    ctr = b.sleeper(host_pod(b), resources=resources)
    limit = cgroup_file(b, ctr, "memory", "memory.limit_in_bytes", "memory.max")
    equal(int(limit), 64 << 20, "memory limit")
    quota = cgroup_file(b, ctr, "cpu", "cpu.cfs_quota_us", "cpu.max")
    equal(quota.split()[0], "25000", "CPU quota")
    equal(cgroup_file(b, ctr, "cpuset", "cpuset.cpus", "cpuset.cpus"), "0", "cpuset")
    pid = b.info(ctr)["pid"]
    with open("/proc/%d/oom_score_adj" % pid) as f:
        equal(f.read(), "500\n", "oom_score_adj")
    got = b.status(ctr).resources.linux
    equal((got.memory_limit_in_bytes, got.cpu_quota), (64 << 20, 25000), "status")


def test_update_resources(b):
    """Limits of a running container, and of one that has not started."""

    def limits(ctr):
        memory = cgroup_file(b, ctr, "memory", "memory.limit_in_bytes", "memory.max")
        quota = cgroup_file(b, ctr, "cpu", "cpu.cfs_quota_us", "cpu.max")
        return int(memory), quota.split()[0]

    def shown(ctr):
        got = b.status(ctr).resources.linux
        return got.memory_limit_in_bytes, got.cpu_quota, got.cpu_period, got.cpuset_cpus

    def update(ctr, **new):
        b.client.UpdateContainerResources(container_id=ctr, linux=new)

    pod = host_pod(b)
    resources = {"cpu_period": 50000, "cpu_quota": 25000, "memory_limit_in_bytes": 64 << 20}
    ctr = b.sleeper(pod, resources=resources)
    update(ctr, memory_limit_in_bytes=96 << 20)
    equal(limits(ctr), (96 << 20, "25000"), "after more memory")
    update(ctr, memory_limit_in_bytes=48 << 20, cpu_quota=10000, cpuset_cpus="0")
    equal(limits(ctr), (48 << 20, "10000"), "after less of all")
    equal(cgroup_file(b, ctr, "cpuset", "cpuset.cpus", "cpuset.cpus"), "0", "cpuset")
    equal(shown(ctr), (48 << 20, 10000, 50000, "0"), "status")
    made = b.create(pod, "sleep 1000", resources=resources)
    update(made, memory_limit_in_bytes=32 << 20)
    b.restart()
    equal(shown(ctr), (48 << 20, 10000, 50000, "0"), "status after a restart")
    b.client.StartContainer(container_id=made)
    equal(limits(made), (32 << 20, "25000"), "of the one that was updated before its start")
    equal(shown(made)[:2], (32 << 20, 25000), "its status")
    for bad in ({"memory_limit_in_bytes": -5}, {"cpuset_cpus": "x"}):
        call = b.client.UpdateContainerResources
        fails("INVALID_ARGUMENT", call, container_id=ctr, linux=bad)
    equal(limits(ctr), (48 << 20, "10000"), "after what was refused")
    update(ctr)
    b.client.StopContainer(container_id=ctr)
    call = b.client.UpdateContainerResources
    fails("FAILED_PRECONDITION", call, container_id=ctr, linux={"cpu_quota": 5000})
    fails("NOT_FOUND", call, container_id="f" * 64, linux={})


def test_oom_score_is_clamped(b):
    """A negative score without CAP_SYS_RESOURCE must not keep the container from starting."""
    ctr = b.sleeper(host_pod(b), resources={"oom_score_adj": -998})
    with open("/proc/%d/oom_score_adj" % b.info(ctr)["pid"]) as f:
        if int(f.read()) > 0:
            raise AssertionError("the score was raised")


def test_bad_resources(b):
    refused(b, resources={"cpuset_cpus": "0;rm"})
    refused(b, resources={"memory_limit_in_bytes": -5})
    refused(b, resources={"oom_score_adj": 5000})


def test_image_by_id_and_digest(b):
    ref = b.pull()
    digest = b.client.ImageStatus(image={"image": BOX}).image.repo_digests[0]
    for name in (ref, digest, REGISTRY + "/box"):
        equal(run(b, "echo works", image=name), "works\n", name)


def test_missing_image(b):
    text = refused(b, code="NOT_FOUND", image=REGISTRY + "/never-pulled:1")
    holds(text, "never-pulled:1", "message")


def test_names_are_unique(b):
    pod = host_pod(b)
    first = b.create(pod, "true", name="same")
    config = b.ctr_config("true", name="same")
    text = fails(
        "ALREADY_EXISTS",
        b.client.CreateContainer,
        pod_sandbox_id=pod,
        config=config,
        sandbox_config=b.configs[pod],
    )
    holds(text, first[:12], "message")
    text = fails("ALREADY_EXISTS", b.client.RunPodSandbox, config=b.configs[pod])
    holds(text, pod[:12], "message")
    config["metadata"]["attempt"] = 1
    b.client.CreateContainer(pod_sandbox_id=pod, config=config, sandbox_config=b.configs[pod])
    b.client.RemoveContainer(container_id=first)
    b.create(pod, "true", name="same")


def test_removed_container_leaves_no_files(b):
    pod = host_pod(b)
    b.finish(pod, "true")
    before = crid.files(b.root, b.state)
    ctr = b.sleeper(pod)
    b.sync(ctr, "dd if=/dev/zero of=/big bs=1M count=2 2>/dev/null")
    b.client.RemoveContainer(container_id=ctr)
    equal(sorted(crid.files(b.root, b.state) ^ before), [], "changed files")
    log = os.path.join(b.configs[pod]["log_directory"], b.configs[ctr]["log_path"])
    equal(os.path.exists(log), True, "the log stays: it belongs to the kubelet")


def test_many_layers(b):
    b.pull()
    layers = [crid.box_layer()]
    layers += [crid.oci.Layer().file("l/%d" % i, "%d\n" % i) for i in range(100)]
    layout = crid.oci.Layout()
    image = crid.oci.Image(layers, crid.box_config())
    layout.add(image.manifest_document(layout, crid.oci.GOARCH[os.uname().machine]), "latest")
    layout.push(REGISTRY, "layers")
    b.pull(REGISTRY + "/layers")
    equal(run(b, "ls /l | wc -l", image=REGISTRY + "/layers"), "100\n", "files")


def test_created_only(b):
    """A container that was never started can be stopped and removed."""
    ctr = b.create(host_pod(b), "true")
    b.client.StopContainer(container_id=ctr, timeout=1)
    equal(b.status(ctr).state in (CREATED, EXITED), True, "state")
    b.client.RemoveContainer(container_id=ctr)
    b.client.RemoveContainer(container_id=ctr)
    b.client.StopContainer(container_id=ctr)


crid.main(crid.tests_of(globals()))
