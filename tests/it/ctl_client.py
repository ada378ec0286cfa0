#!/usr/bin/python3
"""ctl against a server that is made up: options, filters, tables, files, errors, logs."""

import json
import os
import pty
import subprocess
import sys
import termios
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
import grpc  # noqa: E402
import yaml  # noqa: E402
from fake_cri import Server  # noqa: E402
from frame import CRIBOX, equal, holds, until  # noqa: E402

SECOND = 10**9
NOW = int(time.time())  # of the start: the tests take less than the minute that they round to
POD1, POD2 = "a1" + "0" * 62, "a2" + "0" * 62
CTR1, CTR2, CTR3 = "c1" + "1" * 62, "c2" + "2" * 62, "d3" + "3" * 62
IMG1, IMG2 = "sha256:" + "e" * 64, "sha256:" + "f" * 64


def env(**more):
    clean = {"PATH": os.environ["PATH"], "TZ": "UTC", "HOME": "/"}
    clean.update(more)
    return clean


def ctl(s, *args, status=0, globals_=("--max-retries", "0"), stdin="", environ=None):
    """Runs ctl; returns its standard output. Another exit status is a failure."""
    where = ["-r", s.endpoint] if s else []
    done = subprocess.run(
        [CRIBOX, "ctl", *where, *globals_, *args],
        input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60,
        env=environ or env(),
    )  # fmt: skip
    ctl.stderr = done.stderr
    if done.returncode != status:
        raise AssertionError(
            "ctl %s: status %d, not %d: %s%s"
            % (" ".join(args), done.returncode, status, done.stdout, done.stderr)
        )
    return done.stdout


def write(path, text):
    with open(path, "w") as f:
        f.write(text)
    return path


def pods():
    return {
        "items": [
            {
                "id": POD1, "metadata": {"name": "web", "uid": "u1", "namespace": "default"},
                "state": 0, "created_at": (NOW - 7200) * SECOND, "labels": {"app": "web"},
            },
            {
                "id": POD2,
                "metadata": {"name": "db-0", "uid": "u2", "namespace": "prod", "attempt": 2},
                "state": 1, "created_at": (NOW - 125) * SECOND, "runtime_handler": "kata",
                "annotations": {"b": "2", "a": "1"},
            },
        ]
    }  # fmt: skip


def containers():
    kube = {"io.kubernetes.pod.name": "web-pod", "io.kubernetes.pod.namespace": "default"}
    return [
        {
            "id": CTR1, "pod_sandbox_id": POD1, "metadata": {"name": "nginx", "attempt": 1},
            "image": {"image": IMG1}, "image_ref": IMG1, "state": 1,
            "created_at": (NOW - 605) * SECOND, "labels": kube,
        },
        {
            "id": CTR2, "pod_sandbox_id": POD2, "metadata": {"name": "pg"},
            "image": {"image": "localhost/pg:1"}, "image_ref": IMG2, "state": 2,
            "created_at": (NOW - 3 * 86400) * SECOND,
        },
        {
            "id": CTR3, "pod_sandbox_id": POD1, "metadata": {"name": "side"},
            "image": {"image": IMG2}, "image_ref": IMG2, "state": 1,
            "created_at": (NOW - 65) * SECOND,
        },
    ]  # fmt: skip


def list_containers(request):
    found = containers()
    if request.filter.HasField("state"):
        found = [c for c in found if c["state"] == request.filter.state.state]
    return {"containers": found}


def images():
    return [
        {"id": IMG2, "repo_tags": ["localhost/pg:1", "localhost/pg:latest"], "size": 12345678,
         "repo_digests": ["localhost/pg@sha256:" + "1" * 64], "pinned": True},
        {"id": IMG1, "repo_digests": ["localhost/nginx@sha256:" + "2" * 64], "size": 999,
         "uid": {"value": 5}},
    ]  # fmt: skip


def image_status(request):
    for i in images():
        if request.image.image in [i["id"]] + i.get("repo_tags", []):
            return {"image": i, "info": {"imageSpec": "{\"b\": 1, \"a\": 2}"}}
    return {}


def rows(text):
    return [line.split("   ") for line in text.splitlines()]


def columns(text):
    """Words of each row of a table, empty ones dropped."""
    return [[w.strip() for w in r if w.strip()] for r in rows(text)]


# --- the runtime


def test_version(s):
    s.answers["Version"] = {
        "version": "0.1.0", "runtime_name": "fake", "runtime_version": "7",
        "runtime_api_version": "v1",
    }  # fmt: skip
    equal(
        ctl(s, "version"),
        "Version:  0.1.0\nRuntimeName:  fake\nRuntimeVersion:  7\nRuntimeApiVersion:  v1\n",
    )
    equal(s.asked("Version")[0].version, "v1", "version asked for")


def test_info(s):
    s.answers["Status"] = {
        "status": {"conditions": [{"type": "RuntimeReady", "status": True}]},
        "runtime_handlers": [{"name": "runc", "features": {"user_namespaces": True}}, {}],
        "features": {"supplemental_groups_policy": True},
        "info": {"config": '{"z": 0.1, "a": {"y": 2}}', "golang": '"go1.19"', "text": "plain"},
    }
    got = json.loads(ctl(s, "info"))
    equal(list(got), ["config", "features", "golang", "runtimeHandlers", "status", "text"])
    equal(list(got["config"]), ["a", "z"], "order of keys")
    holds(ctl(s, "info"), '"z": 0.1\n')
    holds(ctl(s, "info", "-o", "yaml"), "z: 0.1\n")
    equal((got["golang"], got["text"]), ("go1.19", "plain"), "texts of info")
    equal(got["runtimeHandlers"], [{"features": {"user_namespaces": True}, "name": "runc"}, {}])
    equal(got["features"], {"supplemental_groups_policy": True})
    equal(got["status"]["conditions"][0],
          {"message": "", "reason": "", "status": True, "type": "RuntimeReady"})  # fmt: skip
    equal(s.asked("Status")[0].verbose, True, "verbose")
    ctl(s, "info", "-q")
    equal(s.asked("Status")[-1].verbose, False, "verbose with -q")
    equal(yaml.safe_load(ctl(s, "info", "-o=yaml")), got, "YAML and JSON")
    s.answers["Status"] = {"info": {"config": "{broken"}}
    ctl(s, "info", status=1)
    holds(ctl.stderr, "info config: JSON")


def test_runtime_config(s):
    s.answers["RuntimeConfig"] = {"linux": {"cgroup_driver": 1}}
    equal(ctl(s, "runtime-config"), "cgroup driver:   CGROUPFS\n")


# --- pods


def test_pods_table(s):
    s.answers["ListPodSandbox"] = pods()
    text = ctl(s, "pods")
    lines = text.splitlines()
    equal(
        [w.strip() for w in lines[0].split("  ") if w.strip()],
        ["POD ID", "CREATED", "STATE", "NAME", "NAMESPACE", "ATTEMPT", "RUNTIME"],
    )
    equal(lines[0].index("CREATED"), 20, "width of the first column")
    equal(lines[0].index("STATE"), 40, "width of the second column")
    got = columns(text)
    equal(got[1], [POD2[:13], "2 minutes ago", "NotReady", "db-0", "prod", "2", "kata"])
    equal(got[2], [POD1[:13], "2 hours ago", "Ready", "web", "default", "0", "(default)"])
    equal(columns(ctl(s, "pods", "--no-trunc"))[1][0], POD2, "full id")
    equal(ctl(s, "pods", "-q"), POD2 + "\n" + POD1 + "\n")


def test_pods_filters(s):
    s.answers["ListPodSandbox"] = pods()
    equal(ctl(s, "pods", "-q", "--name", "^db"), POD2 + "\n")
    equal(ctl(s, "pods", "-q", "--namespace", "def.*t$"), POD1 + "\n")
    equal(ctl(s, "pods", "-q", "--id", "a1"), POD1 + "\n")
    equal(ctl(s, "pods", "-ql"), POD2 + "\n", "combined short options")
    equal(ctl(s, "pods", "-q", "-n1"), POD2 + "\n")
    equal(ctl(s, "pods", "-q", "--last=5"), POD2 + "\n" + POD1 + "\n")
    ctl(s, "pods", "-s", "Ready", "--label", "app=web", "--label", "x=")
    f = s.asked("ListPodSandbox")[-1].filter
    equal((f.HasField("state"), f.state.state), (True, 0), "state")
    equal(dict(f.label_selector), {"app": "web", "x": ""}, "labels")
    ctl(s, "pods", "--state", "weird", status=1)
    holds(ctl.stderr, "--state is ready or notready, not 'weird'")
    ctl(s, "pods", "--name", "(", status=1)
    holds(ctl.stderr, "pattern '('")
    ctl(s, "pods", "--label", "a", status=1)
    holds(ctl.stderr, "'a' is not KEY=VALUE")


def test_pods_documents(s):
    s.answers["ListPodSandbox"] = pods()
    got = json.loads(ctl(s, "pods", "-o", "json"))["items"]
    equal([p["id"] for p in got], [POD2, POD1], "order")
    equal(got[0]["metadata"], {"name": "db-0", "uid": "u2", "namespace": "prod", "attempt": 2})
    equal(got[0]["state"], "SANDBOX_NOTREADY", "an enum's name")
    equal(got[0]["createdAt"], str((NOW - 125) * SECOND), "a 64-bit integer as text")
    equal(got[1]["annotations"], {}, "an empty map")
    equal(yaml.safe_load(ctl(s, "pods", "-o", "yaml"))["items"], got, "YAML and JSON")
    text = ctl(s, "pods", "-v", "--id", "a2")
    for part in ("ID: " + POD2, "Name: db-0", "Attempt: 2", "Status: NotReady",
                 "Annotations:\n\ta -> 1\n\tb -> 2\n", "Runtime: kata"):  # fmt: skip
        holds(text, part)
    ctl(s, "pods", "-o", "xml", status=1)
    holds(ctl.stderr, "'xml' is not one of json, yaml, table")


def test_inspectp(s):
    s.answers["ListPodSandbox"] = pods()

    def status(request):
        if request.pod_sandbox_id != POD1:
            return {}
        return {
            "status": dict(pods()["items"][0], network={
                "ip": "10.0.0.9", "additional_ips": [{"ip": "fd00::9"}]}),
            "info": {"info": '{"pid": 77}', "note": "x"} if request.verbose else {},
        }  # fmt: skip

    s.answers["PodSandboxStatus"] = status
    got = json.loads(ctl(s, "inspectp", "a1"))
    equal(list(got), ["info", "note", "status"], "keys")
    equal(got["info"], {"pid": 77}, "info")
    equal(got["status"]["createdAt"][:19],
          time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(NOW - 7200)))  # fmt: skip
    equal(list(got["status"]), sorted(got["status"]), "order of keys")
    equal(list(json.loads(ctl(s, "inspectp", "-q", "a1"))), ["status"], "keys with -q")
    equal(len(json.loads(ctl(s, "inspectp", "a1", "a1"))), 2, "two make a list")
    text = ctl(s, "inspectp", "a1", "-o", "table")
    for part in ("ID: " + POD1, "Status: SANDBOX_READY", "IP Addresses: 10.0.0.9",
                 "Additional IP: fd00::9", "Labels:\n\tapp -> web", "Info: map["):  # fmt: skip
        holds(text, part)
    ctl(s, "inspectp", "a2", status=1)
    holds(ctl.stderr, "without a status")
    ctl(s, "inspectp", "-o", "go-template", "a1", status=1)
    holds(ctl.stderr, "go-template is not there yet")


def test_ids_by_prefix(s):
    s.answers["ListPodSandbox"] = pods()
    s.answers["ListContainers"] = {"containers": containers()}
    ctl(s, "stopp", "a2")
    equal(s.asked("StopPodSandbox")[0].pod_sandbox_id, POD2, "id")
    ctl(s, "stop", "d", "-t", "3")
    equal((s.asked("StopContainer")[0].container_id, s.asked("StopContainer")[0].timeout),
          (CTR3, 3))  # fmt: skip
    ctl(s, "stopp", "a", status=1)
    holds(ctl.stderr, "more than one begins so")
    ctl(s, "stopp", "unheard-of")
    equal(s.asked("StopPodSandbox")[1].pod_sandbox_id, "unheard-of", "id that nobody knows")
    ctl(s, "stopp", POD1)
    equal(len(s.asked("ListPodSandbox")), 3, "lists for a full id")


def test_stop_many(s):
    s.answers["ListContainers"] = list_containers
    equal(ctl(s, "stop", "-a").split(), [CTR3, CTR1], "what is stopped")
    equal([r.container_id for r in s.asked("StopContainer")], [CTR3, CTR1])
    ctl(s, "stop", "-a", "c1", status=1)
    ctl(s, "stop", status=1)
    s.fails["StopContainer"] = (grpc.StatusCode.DEADLINE_EXCEEDED, "too\x1b[31m slow")
    ctl(s, "stop", CTR1, status=1)
    equal(ctl.stderr, "cribox: stop container %s: StopContainer: DeadlineExceeded: "
          "too\\x1b[31m slow\n" % CTR1)  # fmt: skip
    s.requests = []
    ctl(s, "stop", CTR1, CTR2, status=1)
    equal(len(s.asked("StopContainer")), 2, "calls: one failure does not end the rest")


def test_rmp(s):
    s.answers["ListPodSandbox"] = pods()
    s.answers["PodSandboxStatus"] = lambda r: {
        "status": [p for p in pods()["items"] if p["id"] == r.pod_sandbox_id][0]
    }
    ctl(s, "rmp", "a1", status=1)
    holds(ctl.stderr, "is running: stop it first")
    equal(s.asked("RemovePodSandbox"), [], "removals")
    equal(ctl(s, "rmp", "-f", "a1"), "Stopped sandbox a1\nRemoved sandbox a1\n")
    s.requests = []
    ctl(s, "rmp", "-fa")
    equal(sorted(r.pod_sandbox_id for r in s.asked("RemovePodSandbox")), [POD1, POD2])
    ctl(s, "rmp", status=1)


def test_runp(s):
    s.answers["RunPodSandbox"] = {"pod_sandbox_id": POD1}
    path = write(
        "/run/pod.yaml",
        "metadata:\n  name: p\n  namespace: ns\n  attempt: 1\nlog_directory: /tmp/x\n"
        "port_mappings:\n- {container_port: 80, host_port: 8080}\n"
        "linux:\n  cgroup_parent: /x\n  security_context:\n    namespace_options:\n"
        "      network: 2\n      pid: CONTAINER\n  sysctls: {net.a: 1}\nnot_known: 1\n",
    )
    equal(ctl(s, "runp", "-r", "kata", path), POD1 + "\n")
    r = s.asked("RunPodSandbox")[0]
    equal(r.runtime_handler, "kata", "handler")
    equal((r.config.metadata.name, r.config.metadata.attempt), ("p", 1), "metadata")
    equal(len(r.config.metadata.uid), 36, "a uid that was made")
    equal(r.config.linux.security_context.namespace_options.network, 2, "network")
    equal(r.config.linux.security_context.namespace_options.pid, 1, "pid")
    equal(dict(r.config.linux.sysctls), {"net.a": "1"}, "a number where text is wanted")
    holds(ctl.stderr, "unknown key config.not_known is ignored")
    path = write("/run/pod.json", json.dumps({
        "metadata": {"name": "p", "namespace": "ns", "uid": "mine"}, "hostname": "h"}))  # fmt: skip
    ctl(s, "runp", path)
    equal((s.asked("RunPodSandbox")[1].config.metadata.uid, ctl.stderr), ("mine", ""))
    for text, why in (
        ("metadata: {name: x}", "metadata.name or metadata.namespace is not set"),
        ("- 1", "not an object"),
        ("a: [", "/run/bad.yaml: YAML: line 2"),
        ("metadata: {name: x, namespace: y, attempt: many}", "attempt"),
    ):
        ctl(s, "runp", write("/run/bad.yaml", text), status=1)
        holds(ctl.stderr, why)
    ctl(s, "runp", "/run/none.yaml", status=1)
    holds(ctl.stderr, "/run/none.yaml: No such file or directory")
    ctl(s, "runp", status=1)
    holds(ctl.stderr, "POD-CONFIG is missing")


# --- containers


def test_ps_table(s):
    s.answers["ListContainers"] = list_containers
    text = ctl(s, "ps", "-a")
    equal(columns(text), [
        ["CONTAINER", "IMAGE", "CREATED", "STATE", "NAME", "ATTEMPT", "POD ID", "POD",
         "NAMESPACE"],
        [CTR3[:13], "f" * 13, "About a minute ago", "Running", "side", "0", POD1[:13],
         "unknown", "unknown"],
        [CTR1[:13], "e" * 13, "10 minutes ago", "Running", "nginx", "1", POD1[:13],
         "web-pod", "default"],
        [CTR2[:13], "localhost/pg:1", "3 days ago", "Exited", "pg", "0", POD2[:13], "unknown",
         "unknown"],
    ])  # fmt: skip
    equal(s.asked("ListContainers")[0].filter.HasField("state"), False, "state with -a")
    ctl(s, "ps")
    equal(s.asked("ListContainers")[1].filter.state.state, 1, "state without -a")
    s.answers["ImageStatus"] = image_status
    got = columns(ctl(s, "ps", "-a", "-r", "--no-trunc"))
    equal([r[1] for r in got[1:]], ["localhost/pg:1", IMG1, "localhost/pg:1"], "images by name")
    equal(got[1][0], CTR3, "full id")


def test_ps_filters(s):
    s.answers["ListContainers"] = list_containers
    s.answers["ImageStatus"] = image_status
    for args, want in (
        (["-a"], [CTR3, CTR1, CTR2]),
        ([], [CTR3, CTR1]),
        (["-l"], [CTR3]),
        (["-n", "2"], [CTR3, CTR1]),
        (["-a", "--name", "g"], [CTR1, CTR2]),
        (["-a", "-p", "a2"], [CTR2]),
        (["-a", "--id", "c"], [CTR1, CTR2]),
        (["-s", "exited"], [CTR2]),
        (["-a", "--namespace", "^default$"], [CTR1]),
        (["-a", "--image", "localhost/pg:latest"], [CTR3, CTR2]),
        (["-a", "--image", "localhost/none"], []),
    ):
        equal(ctl(s, "ps", "-q", *args).split(), want, " ".join(args))
    ctl(s, "ps", "--state", "dead", status=1)
    ctl(s, "ps", "extra", status=1)
    holds(ctl.stderr, "one argument too many: extra")
    got = json.loads(ctl(s, "ps", "-a", "-o", "json"))["containers"]
    equal([c["state"] for c in got], ["CONTAINER_RUNNING"] * 2 + ["CONTAINER_EXITED"])
    holds(ctl(s, "ps", "-v", "--id", "c1"), "Namespace: default\nName: nginx\nAttempt: 1\n")


def test_inspect(s):
    base = dict(containers()[0], image_ref=IMG1)
    del base["pod_sandbox_id"]
    s.answers["ListContainers"] = {"containers": containers()}
    s.answers["ContainerStatus"] = lambda r: {
        "status": dict(base, started_at=(NOW - 80) * SECOND, finished_at=7),
        "info": {"sandboxID": POD1, "pid": "42", "config": "{}"},
    }
    got = json.loads(ctl(s, "inspect", "c1"))
    equal(got["sandboxID"], POD1, "info")
    equal(got["status"]["finishedAt"], "0001-01-01T00:00:00Z", "an end that has not come")
    equal(got["status"]["startedAt"][-1], "Z", "zone")
    equal(got["status"]["metadata"], {"attempt": 1, "name": "nginx"})
    holds(ctl(s, "inspect", "-o", "table", "c1"), "Started: About a minute ago\n")
    ids = [c["id"] for c in json.loads(ctl(s, "ps", "-o", "json", "-a"))["containers"]]
    ctl(s, "inspect", "-a")
    equal([r.container_id for r in s.asked("ContainerStatus")][-3:], ids, "all by filter")
    s.answers["ListContainers"] = {}
    ctl(s, "inspect", status=1)
    holds(ctl.stderr, "no id given, and nothing matches")


def configs():
    pod = write("/run/p.yaml", "metadata: {name: p, namespace: no, uid: 7}\n")
    ctr = write(
        "/run/c.yaml",
        "metadata:\n  name: c\nimage:\n  image: localhost/pg:1\ncommand: [sleep, 60]\n"
        "envs:\n- {key: A, value: plain text}\nlog_path: c.log\n"
        "mounts:\n- {container_path: /m, image: {image: 'localhost/vol:1'}}\n",
    )
    return ctr, pod


def test_create(s):
    s.answers["ListPodSandbox"] = pods()
    s.answers["CreateContainer"] = {"container_id": CTR1}
    s.answers["PullImage"] = {"image_ref": IMG2}
    ctr, pod = configs()
    equal(ctl(s, "create", "a1", ctr, pod), CTR1 + "\n")
    r = s.asked("CreateContainer")[0]
    equal((r.pod_sandbox_id, list(r.config.command)), (POD1, ["sleep", "60"]))
    equal(r.config.image.user_specified_image, "localhost/pg:1", "the image as the user said it")
    equal((r.config.envs[0].key, r.config.envs[0].value), ("A", b"plain text"), "environment")
    m = r.sandbox_config.metadata
    equal((m.uid, m.namespace), ("7", "false"), "YAML's numbers and booleans as text")
    equal(s.asked("PullImage"), [], "pulls")
    ctl(s, "create", "--with-pull", "--creds", "joe:p:w", "a1", ctr, pod)
    equal([p.image.image for p in s.asked("PullImage")], ["localhost/pg:1", "localhost/vol:1"])
    equal((s.asked("PullImage")[0].auth.username, s.asked("PullImage")[0].auth.password),
          ("joe", "p:w"))  # fmt: skip
    equal(s.asked("PullImage")[0].sandbox_config.metadata.name, "p", "the pull's pod")
    ctl(s, "create", "--no-pull", "--with-pull", "a1", ctr, pod, status=1)
    ctl(s, "create", "a1", write("/run/bad.yaml", "metadata: {name: x}"), pod, status=1)
    holds(ctl.stderr, "image.image is not set")


def test_run_and_start(s):
    s.answers["RunPodSandbox"] = {"pod_sandbox_id": POD1}
    s.answers["CreateContainer"] = {"container_id": CTR1}
    ctr, pod = configs()
    equal(ctl(s, "run", "-r", "runc", ctr, pod), CTR1 + "\n")
    equal([n for n, _ in s.requests],
          ["RunPodSandbox", "PullImage", "PullImage", "CreateContainer", "StartContainer"])  # fmt: skip
    s.requests = []
    ctl(s, "run", "--no-pull", ctr, pod)
    equal([n for n, _ in s.requests], ["RunPodSandbox", "CreateContainer", "StartContainer"])
    s.fails["StartContainer"] = (grpc.StatusCode.UNKNOWN, "no such program")
    ctl(s, "run", "--no-pull", ctr, pod, status=1)
    holds(ctl.stderr, "in pod %s, which is left: StartContainer: Unknown: no such" % POD1)


def test_rm(s):
    logs = "/run/logs[1]"
    os.makedirs(logs)
    for name in ("0.log", "0.log.20260101", "0.log.gz", "1.log"):
        write(logs + "/" + name, "x")
    s.answers["ListContainers"] = {"containers": containers()}
    s.answers["ContainerStatus"] = lambda r: {
        "status": {"id": r.container_id, "state": 1 if r.container_id == CTR1 else 2,
                   "log_path": logs + "/0.log"}}  # fmt: skip
    ctl(s, "rm", "c1", status=1)
    holds(ctl.stderr, "is running: stop it first")
    equal(ctl(s, "rm", "-k", "c2"), "c2\n")
    equal(len(os.listdir(logs)), 4, "logs with --keep-logs")
    ctl(s, "rm", "-f", "c1")
    equal(len(s.asked("StopContainer")), 1, "stops with --force")
    equal(os.listdir(logs), ["1.log"], "logs that are left")
    ctl(s, "rm", "-a", "-f")
    equal([r.container_id for r in s.asked("RemoveContainer")][-3:], [CTR1, CTR2, CTR3])


# --- images


def test_images(s):
    s.answers["ListImages"] = {"images": images()}
    equal(columns(ctl(s, "images", "--digests", "--pinned")), [
        ["IMAGE", "TAG", "DIGEST", "IMAGE ID", "SIZE", "PINNED"],
        ["localhost/nginx", "<none>", "2" * 13, "e" * 13, "999B", "false"],
        ["localhost/pg", "1", "1" * 13, "f" * 13, "12.3MB", "true"],
        ["localhost/pg", "latest", "1" * 13, "f" * 13, "12.3MB", "true"],
    ])  # fmt: skip
    equal(columns(ctl(s, "img", "--no-trunc"))[1][2], IMG1, "full id")
    equal(ctl(s, "images", "-q", "localhost/pg").split(), [IMG1, IMG2])
    equal(s.asked("ListImages")[-1].filter.image.image, "localhost/pg", "name asked for")
    for args, want in (
        (["dangling=true"], [IMG1]),
        (["dangling=false"], [IMG2]),
        (["reference=^localhost/p"], [IMG2]),
        (["since=localhost/pg:1"], [IMG1]),
        (["before=localhost/nginx:<none>"], [IMG2]),
        (["since=sha256x"], [IMG1, IMG2]),
        (["since=localhost/pg@sha256:11"], [IMG1]),
        (["dangling=false", "reference=nginx"], []),
    ):
        flags = [x for f in args for x in ("-f", f)]
        equal(ctl(s, "images", "-q", *flags).split(), want, " ".join(args))
    ctl(s, "images", "-f", "size=3", status=1)
    holds(ctl.stderr, "--filter: unknown: size=3")
    holds(ctl(s, "images", "-v"), "RepoTags: localhost/pg:latest\n")
    equal(json.loads(ctl(s, "images", "-o", "json"))["images"][1]["size"], "12345678")


def test_inspecti(s):
    s.answers["ImageStatus"] = image_status
    got = json.loads(ctl(s, "inspecti", "localhost/pg:1"))
    equal((got["status"]["id"], list(got["imageSpec"])), (IMG2, ["a", "b"]))
    holds(ctl(s, "inspecti", "-o", "table", IMG2), "Tag: localhost/pg:1\n")
    ctl(s, "inspecti", "localhost/none", status=1)
    holds(ctl.stderr, "no such image: localhost/none")


def test_pull(s):
    s.answers["PullImage"] = {"image_ref": IMG1}
    equal(ctl(s, "pull", "x", "-a", "k=v"), "Image is up to date for %s\n" % IMG1)
    equal(dict(s.asked("PullImage")[0].image.annotations), {"k": "v"}, "annotations")
    equal(s.asked("PullImage")[0].HasField("auth"), False, "auth")
    ctl(s, "pull", "--auth", "am9l", "--pod-config", configs()[1], "x")
    equal(s.asked("PullImage")[1].auth.auth, "am9l", "auth")
    equal(s.asked("PullImage")[1].sandbox_config.metadata.name, "p", "pod")
    ctl(s, "pull", "x", environ=env(CRICTL_CREDS="a:b"))
    equal(s.asked("PullImage")[2].auth.password, "b", "CRICTL_CREDS")
    ctl(s, "pull", "--auth", "x", "--creds", "y", "z", status=1)
    ctl(s, "pull", "--username", "joe", "x", stdin="secret\n")
    equal(s.asked("PullImage")[3].auth.password, "secret", "a password that was asked for")
    s.fails["PullImage"] = (grpc.StatusCode.NOT_FOUND, "no manifest")
    ctl(s, "pull", "y", status=1)
    equal(ctl.stderr, "cribox: pull y: PullImage: NotFound: no manifest\n")
    s.fails = {}
    s.answers["PullImage"] = lambda r: time.sleep(3) or {}
    ctl(s, "pull", "-pt", "200ms", "y", status=1)
    holds(ctl.stderr, "DeadlineExceeded")


def test_rmi(s):
    s.answers["ImageStatus"] = image_status
    s.answers["ListImages"] = {"images": images()}
    s.answers["ListContainers"] = {"containers": [{"image": {"image": "localhost/pg:1"}}]}
    equal(ctl(s, "rmi", "localhost/pg:1"),
          "Deleted: localhost/pg:1\nDeleted: localhost/pg:latest\n")  # fmt: skip
    holds(ctl.stderr, "all go with it")
    equal(ctl(s, "rmi", "--prune"), "Deleted: localhost/nginx@sha256:" + "2" * 64 + "\n")
    ctl(s, "rmi", "-a")
    equal([r.image.image for r in s.asked("RemoveImage")], ["localhost/pg:1", IMG1, IMG1, IMG2])
    ctl(s, "rmi", "none", status=1)
    ctl(s, "rmi", status=1)


def test_imagefsinfo(s):
    use = {"timestamp": 5, "fs_id": {"mountpoint": "/x"}, "used_bytes": {"value": 2048000},
           "inodes_used": {"value": 7}}  # fmt: skip
    s.answers["ImageFsInfo"] = {"image_filesystems": [use]}
    got = json.loads(ctl(s, "imagefsinfo"))["status"]
    equal(got["imageFilesystems"][0]["usedBytes"], {"value": "2048000"})
    equal(ctl(s, "imagefsinfo", "-o", "table"), "Container Filesystem \nImage Filesystem \n"
          "TimeStamp[0]: 5\nDisk[0]: 2.048MB\nInodes[0]: 7\nMountpoint[0]: /x\n")  # fmt: skip


# --- exec, logs


def test_exec_sync(s):
    s.answers["ListContainers"] = {"containers": containers()}
    s.answers["ExecSync"] = {"stdout": b"a\xff\n", "stderr": b"oops\n", "exit_code": 3}
    done = subprocess.run(
        [CRIBOX, "ctl", "-r", s.endpoint, "exec", "-s", "--timeout", "5", "c1", "ls", "-l", "-s"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env())  # fmt: skip
    equal((done.returncode, done.stdout, done.stderr), (3, b"a\xff\n", b"oops\n"))
    r = s.asked("ExecSync")[0]
    equal((r.container_id, list(r.cmd), r.timeout), (CTR1, ["ls", "-l", "-s"], 5))
    s.answers["ListContainers"] = list_containers
    s.answers["ExecSync"] = {"stdout": b"x\n"}
    equal(ctl(s, "exec", "-s", "--name", "i", "id"), "%s:\nx\n%s:\nx\n" % (CTR3, CTR1))
    equal(ctl(s, "exec", "-sql", "id"), "x\n")
    ctl(s, "exec", "-s", "c1", status=1)
    s.fails["ExecSync"] = (grpc.StatusCode.NOT_FOUND, "gone")
    ctl(s, "exec", "-s", "c1", "id", status=1)
    holds(ctl.stderr, "exec in container c1: ExecSync: NotFound: gone")
    ctl(s, "exec", "-se", "c1", "id")
    ctl(s, "exec", "-t", "c1", "id", status=1)
    holds(ctl.stderr, "--tty needs --interactive")
    ctl(s, "exec", "-it", "c1", "id", status=1)
    holds(ctl.stderr, "standard input is not a terminal")


def log_line(second, stream, tag, text):
    return "2026-11-21T10:00:%02d.5Z %s %s %s\n" % (second, stream, tag, text)


LOG = (
    log_line(1, "stdout", "F", "one")
    + log_line(2, "stderr", "F", "err")
    + log_line(3, "stdout", "P", "half ")
    + log_line(4, "stdout", "F", "and half")
    + log_line(5, "stdout", "F:x", "")
    + log_line(6, "stdout", "F", "esc\x1b[31m\ttab")
)


def logged(s, path, state=2):
    s.answers["ContainerStatus"] = lambda r: {
        "status": {"id": CTR1, "log_path": path, "state": state,
                   "metadata": {"name": "n", "attempt": 1}}}  # fmt: skip


def test_logs(s):
    path = write("/run/1.log", LOG)
    logged(s, path)
    full = "one\nhalf and half\n\nesc\x1b[31m\ttab\n"
    equal(ctl(s, "logs", CTR1), full)
    equal(ctl.stderr, "err\n", "stderr")
    equal(ctl(s, "logs", "-s", "stdout", CTR1), full)
    equal(ctl.stderr, "", "stderr without it")
    equal(ctl(s, "logs", "--stream=stderr", CTR1), "")
    equal(ctl(s, "logs", "--tail", "2", CTR1), "\nesc\x1b[31m\ttab\n")
    equal(ctl(s, "logs", "--tail", "0", CTR1), "")
    equal(ctl(s, "logs", "--tail=99", CTR1), full)
    equal(ctl(s, "logs", "--limit-bytes", "6", CTR1), "one\n")  # with 2 of "err"
    equal(ctl(s, "logs", "--since", "2026-11-21T10:00:05Z", CTR1), "\nesc\x1b[31m\ttab\n")
    equal(ctl(s, "logs", "--since", "2026-11-21T10:00:06", CTR1), "esc\x1b[31m\ttab\n")
    equal(ctl(s, "logs", "--since", "1795255206.4", CTR1), "esc\x1b[31m\ttab\n")
    equal(ctl(s, "logs", "-t", "-s", "stdout", CTR1).splitlines()[:2], [
        "2026-11-21T10:00:01.500000000Z one", "2026-11-21T10:00:03.500000000Z half and half"])  # fmt: skip
    write("/run/0.log", log_line(0, "stdout", "F", "before"))
    equal(ctl(s, "logs", "-p", CTR1), "before\n")
    ctl(s, "logs", "-r", CTR1)
    equal(len(s.asked("ReopenContainerLog")), 1, "ReopenContainerLog")
    write(path, "garbage\n" + log_line(1, "stdout", "F", "good") + log_line(2, "stdout", "F", "cut")[:-1])
    equal(ctl(s, "logs", CTR1), "good\ncut\n")
    holds(ctl.stderr, "not in the log format")
    write(path, '{"log":"d\\n","stream":"stdout","time":"2026-11-21T10:00:00Z"}\n')
    equal(ctl(s, "logs", CTR1), "d\n", "docker's format")
    for args in (["--since", "soon"], ["-s", "both"], ["--tail", "1", "-s", "stdout"]):
        ctl(s, "logs", *args, CTR1, status=1)
    logged(s, "/run/none.log")
    ctl(s, "logs", CTR1, status=1)
    holds(ctl.stderr, "/run/none.log")


def test_logs_follow(s):
    os.makedirs("/run/f", exist_ok=True)
    path = write("/run/f/0.log", log_line(1, "stdout", "F", "first"))
    logged(s, path, state=1)
    p = subprocess.Popen([CRIBOX, "ctl", "-r", s.endpoint, "logs", "-f", CTR1],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env())  # fmt: skip
    got = []
    reader = threading.Thread(target=lambda: got.extend(iter(lambda: p.stdout.readline(), b"")))
    reader.start()

    def add(text):
        with open(path, "a") as f:
            f.write(text)

    try:
        until(lambda: got == [b"first\n"], 5, "the first line")
        whole = log_line(2, "stdout", "F", "in two pieces")
        add(whole[:20])
        time.sleep(0.2)
        add(whole[20:])
        until(lambda: len(got) == 2, 5, "a line in two pieces")
        add(log_line(3, "stdout", "F", "last of the old"))
        os.rename(path, path + ".1")
        write(path, log_line(4, "stdout", "F", "new file"))
        until(lambda: len(got) == 4, 5, "lines around a rotation")
        write(path, log_line(5, "stdout", "F", "cut"))  # shorter: truncated in place
        until(lambda: len(got) == 5, 5, "a line after truncation")
        add(log_line(6, "stdout", "F", "at the end"))
        logged(s, path, state=2)
        until(lambda: p.poll() is not None, 5, "the end with the container's")
        reader.join(5)
        equal(got, [b"first\n", b"in two pieces\n", b"last of the old\n", b"new file\n", b"cut\n",
                    b"at the end\n"])  # fmt: skip
        equal(p.returncode, 0, "exit status")
    finally:
        p.kill()
        p.wait()


# --- options, configuration, what is printed


def test_options(s):
    s.answers["ListPodSandbox"] = pods()
    for form in (["-o", "json"], ["-ojson"], ["-o=json"], ["--output", "json"], ["--output=json"],
                 ["-output", "json"], ["-qo", "json"], ["-q=false", "-o=json"]):  # fmt: skip
        json.loads(ctl(s, "pods", *form))
    for bad, why in ((["--nope"], "unknown option: --nope"), (["-Z"], "unknown option: -Z"),
                     (["-o"], "--output needs a value"), (["-n", "x"], "'x' is not a number"),
                     (["-q=maybe"], "'maybe' is not true or false")):  # fmt: skip
        ctl(s, "pods", *bad, status=1)
        holds(ctl.stderr, why)
    ctl(s, "pod", status=1)
    holds(ctl.stderr, "did you mean 'pods'?")
    ctl(s, "attach", status=1)
    holds(ctl.stderr, "attach: not there yet")


def test_help(s):
    text = ctl(None, globals_=())
    names = [w for line in text.splitlines() if line.startswith("  ") and "--" not in line
             for w in line.split()]  # fmt: skip
    for name in ("ps", "pods", "exec", "logs", "imagefsinfo", "runtime-config", "config"):
        equal(name in names, True, name + " in the overview")
    equal(len(text.splitlines()) <= 24, True, "24 rows")
    commands = "config create exec images imagefsinfo info inspect inspecti inspectp logs pods ps"
    commands += " pull rm rmi rmp run runp runtime-config start stop stopp version"
    for name in commands.split():
        text = ctl(None, name, "--help")
        holds(text, "usage: ctl " + name)
        equal(len(text.splitlines()) <= 24, True, "24 rows of " + name)
        equal(max(map(len, text.splitlines())) <= 80, True, "80 columns of " + name)
        equal(name in names, True, name + " in the overview")
        equal(ctl(None, "help", name, globals_=()), text, "help " + name)
    holds(ctl(None, "--version", globals_=()), "ctl version ")


def test_endpoints(s):
    s.answers["Version"] = {"version": "9"}
    other = Server("/run/images.sock")
    try:
        ctl(None, "version", environ=env(CONTAINER_RUNTIME_ENDPOINT=s.endpoint))
        ctl(s, "images", environ=env(IMAGE_SERVICE_ENDPOINT=other.endpoint))
        equal((len(other.asked("ListImages")), len(s.asked("ListImages"))), (1, 0))
        ctl(s, "-i", other.endpoint, "images", globals_=())
        equal(len(other.asked("ListImages")), 2, "lists of the image service")
        config = write("/run/crictl.yaml", "runtime-endpoint: %s\nimage-endpoint: ''\ntimeout: 7\n"
                       "debug: true\n" % s.endpoint)  # fmt: skip
        ctl(None, "-c", config, "version")
        holds(ctl.stderr, "debug: call /runtime.v1.RuntimeService/Version")
        ctl(None, "version", environ=env(CRI_CONFIG_FILE=config))
        ctl(None, "-c", write("/run/bad.yaml", "nope: 1\n"), "version", status=1)
        holds(ctl.stderr, "'nope' is not an option of the configuration")
        ctl(None, "-c", "/run/none.yaml", "version", status=1)
        holds(ctl.stderr, "/run/none.yaml: No such file")
    finally:
        other.stop()
    ctl(None, "-r", "unix:///run/none.sock", "version", status=1)
    holds(ctl.stderr, "/run/none.sock")
    ctl(None, "-r", "tcp://1.2.3.4:5", "version", status=1)
    ctl(None, "version", status=1)
    holds(ctl.stderr, "no runtime answers at the default sockets")
    start = time.monotonic()
    ctl(None, "-r", "unix:///run/none.sock", "version", status=1, globals_=("--max-retries", "1"))
    equal(0.4 < time.monotonic() - start < 5, True, "one retry takes half a second")


def test_waits_for_a_server_that_starts(s):
    late = []

    def start():
        time.sleep(0.8)
        late.append(Server("/run/late.sock"))

    t = threading.Thread(target=start)
    t.start()
    try:
        ctl(None, "-r", "unix:///run/late.sock", "version", globals_=())
    finally:
        t.join()
        for server in late:
            server.stop()


def test_config(s):
    path = "/run/conf/crictl.yaml"
    ctl(None, "-c", path, "config", "--set", "timeout=5,debug=true", globals_=())
    write(path, "# mine\n" + open(path).read())
    ctl(None, "-c", path, "config", "runtime-endpoint", "unix:///x", globals_=())
    text = open(path).read()
    equal(text.startswith("# mine\n"), True, "the comment")
    equal(yaml.safe_load(text), {
        "runtime-endpoint": "unix:///x", "image-endpoint": "", "timeout": 5, "debug": True,
        "pull-image-on-create": False, "disable-pull-on-run": False, "max-retries": 0})  # fmt: skip
    equal(ctl(None, "-c", path, "config", "--get", "timeout", globals_=()), "5\n")
    holds(ctl(None, "-c", path, "config", "--list", globals_=()), "runtime-endpoint       unix:///x\n")
    for bad in (["--get", "x"], ["--set", "timeout=x"], ["--set", "debug"], ["debug", "maybe"], []):
        ctl(None, "-c", path, "config", *bad, status=1, globals_=())
    s.answers["Version"] = {"version": "1"}


def test_cannot_control_a_terminal(s):
    evil = "a\x1b]0;x\x07b\x9b2J\nc\u009b\x7f\u202e"
    s.answers["ListPodSandbox"] = {"items": [
        {"id": POD1, "metadata": {"name": evil, "namespace": evil}, "labels": {evil: evil}}]}  # fmt: skip
    s.answers["PodSandboxStatus"] = {"status": {
        "id": POD1, "metadata": {"name": evil}, "annotations": {evil: evil}}, "info": {"k": evil}}  # fmt: skip
    bad = [chr(c) for c in list(range(32)) + list(range(127, 160)) if chr(c) not in "\n\t"]
    for args in (["pods"], ["pods", "-v"], ["pods", "-o", "json"], ["pods", "-o", "yaml"],
                 ["inspectp", POD1], ["inspectp", POD1, "-o", "table"],
                 ["inspectp", POD1, "-o", "yaml"]):  # fmt: skip
        text = ctl(s, *args)
        equal([c for c in bad if c in text], [], "control characters of " + " ".join(args))
        equal("\nc" in text, False, "a line that somebody else began")
    equal(json.loads(ctl(s, "pods", "-o", "json"))["items"][0]["metadata"]["name"], evil)
    equal(yaml.safe_load(ctl(s, "pods", "-o", "yaml"))["items"][0]["metadata"]["name"], evil)
    logged(s, write("/run/1.log", LOG))
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(CRIBOX, [CRIBOX, "ctl", "-r", s.endpoint, "logs", "-s", "stdout", CTR1], env())
    text = b""
    try:
        while True:
            text += os.read(fd, 4096)
    except OSError:
        pass
    os.waitpid(pid, 0)
    holds(text, b"esc\\x1b[31m\ttab\r\n", "a log on a terminal")


def test_password_on_a_terminal(s):
    s.answers["PullImage"] = {"image_ref": IMG1}

    def ask(keys):
        pid, fd = pty.fork()
        if pid == 0:
            argv = [CRIBOX, "ctl", "-r", s.endpoint, "pull", "-u", "joe", "x"]
            os.execve("/bin/sh", ["sh", "-c", '"$@"; echo status=$?', "sh"] + argv, env())
        text = b""
        while b"Password:" not in text:
            text += os.read(fd, 100)
        until(lambda: not termios.tcgetattr(fd)[3] & termios.ECHO, 5, "no echo")
        os.write(fd, keys)
        try:
            while True:
                text += os.read(fd, 4096)
        except OSError:
            pass
        os.waitpid(pid, 0)
        equal(b"hidden" in text, False, "the password is shown")
        equal(bool(termios.tcgetattr(fd)[3] & termios.ECHO), True, "echo afterwards")
        os.close(fd)
        return text

    holds(ask(b"hidden\n"), b"status=0")
    equal(s.asked("PullImage")[0].auth.password, "hidden", "password")
    ask(b"hid\x03")
    equal(len(s.asked("PullImage")), 1, "pulls after Ctrl-C")


def test_full_disk(s):
    s.answers["ListPodSandbox"] = pods()
    with open("/dev/full", "w") as full:
        done = subprocess.run([CRIBOX, "ctl", "-r", s.endpoint, "pods"], stdout=full,
                              stderr=subprocess.PIPE, text=True, env=env())  # fmt: skip
    equal(done.returncode, 1, "exit status")
    holds(done.stderr, "write to standard output: No space left on device")


if __name__ == "__main__":
    server = Server("/run/fake.sock")
    found = [f for n, f in list(globals().items()) if n.startswith("test_") and callable(f)]
    status = frame.run(found, server, lambda name: server.reset())
    server.stop()
    sys.exit(1 if status else 0)
