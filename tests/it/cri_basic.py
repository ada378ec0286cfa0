#!/usr/bin/python3
"""Version, Status, RuntimeConfig, what is not implemented, and images."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
import cri  # noqa: E402
import crid  # noqa: E402
from cri import fails  # noqa: E402
from crid import BOX, NS_NODE, REGISTRY  # noqa: E402
from frame import equal, holds, until  # noqa: E402

NOT_YET = """StreamPodSandboxes StreamContainers Attach PortForward
StreamContainerStats
StreamPodSandboxStats CheckpointContainer GetContainerEvents
ListMetricDescriptors ListPodSandboxMetrics StreamPodSandboxMetrics
StreamImages""".split()


def test_waits_for_network(b):
    """cni-builtin = never: no pod network before somebody has configured one."""

    def network():
        found = {c.type: c for c in b.client.Status().status.conditions}
        return found["NetworkReady"]

    b.pull()
    b.flags = ["--cni-builtin", "never"]
    b.restart()
    equal(network().status, False, "NetworkReady")
    equal(network().reason, "NetworkPluginNotReady", "its reason")
    fails("FAILED_PRECONDITION", b.client.RunPodSandbox, config=b.pod_config())
    equal(len(b.client.ListPodSandbox().items), 0, "number of pods")
    b.pod(namespaces={"network": NS_NODE})
    conf = b.base + "/cni/10-net.conflist"
    with open(conf, "w") as f:
        f.write('{"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "loopback"}]}')
    equal(network().status, True, "NetworkReady with a configuration")
    os.unlink(conf)
    equal(network().status, False, "NetworkReady without it")
    b.flags = []
    b.restart()
    equal(network().status, True, "NetworkReady with the built-in network")


def test_version(b):
    for asked in ("", "v1", "0.1.0"):
        v = b.client.Version(version=asked)
        equal((v.version, v.runtime_api_version), ("0.1.0", "v1"), "versions")
        equal(v.runtime_name, "cribox", "runtime_name")
        parts = v.runtime_version.lstrip("v").split(".")
        equal([p.isdigit() for p in parts[:2]], [True, True], "a semantic version")


def test_status(b):
    s = b.client.Status()
    conditions = {c.type: c for c in s.status.conditions}
    for name in ("RuntimeReady", "NetworkReady"):
        if not conditions[name].status:
            raise AssertionError("%s: %s" % (name, conditions[name].message))
    handlers = {h.name: h.features for h in s.runtime_handlers}
    for name in ("", "cribox", "runc", "crun"):
        if name not in handlers:
            raise AssertionError("no handler %r" % name)
    equal(handlers[""].recursive_read_only_mounts, True, "recursive_read_only_mounts")
    equal(handlers[""].user_namespaces, True, "user_namespaces")
    equal(s.features.supplemental_groups_policy, True, "supplemental_groups_policy")
    equal(dict(s.info), {}, "info of a terse status")


def test_status_verbose(b):
    info = b.client.Status(verbose=True).info
    config = json.loads(info["config"])
    equal(config["stateDir"], b.state, "stateDir")


def test_runtime_config(b):
    r = b.client.RuntimeConfig()
    equal(r.HasField("linux"), True, "linux is present")
    equal(r.linux.cgroup_driver, 1, "cgroup_driver (CGROUPFS)")


def test_unimplemented_is_said(b):
    for name in NOT_YET:
        # Nothing may answer as if it worked: UNIMPLEMENTED with a sentence.
        holds(fails("UNIMPLEMENTED", getattr(b.client, name)), name, "the message")


def test_readme_lists_the_unimplemented(_):
    with open(os.path.join(frame.REPO, "README.md")) as f:
        text = f.read()
    for name in NOT_YET:
        holds(text, "`%s`" % name, "README.md")


def test_every_rpc_is_known(b):
    for name in cri.methods():
        try:
            reply = getattr(b.client, name)(rpc_timeout=10)
            if hasattr(reply, "__next__"):
                list(reply)
        except crid.grpc.RpcError as e:
            if e.code().name == "UNIMPLEMENTED" and name not in NOT_YET:
                raise AssertionError("%s: %s" % (name, e.details())) from None
    fails("UNIMPLEMENTED", b.client.raw, "/runtime.v1.RuntimeService/NoSuchThing", b"")
    fails("UNIMPLEMENTED", b.client.raw, "/runtime.v1.NoService/Version", b"")


def images(b, **image):
    return b.client.ListImages(**({"filter": {"image": image}} if image else {})).images


def status_of(b, name):
    return b.client.ImageStatus(image={"image": name}).image


def test_pull_by_tag(b):
    ref = b.pull(BOX)
    image = status_of(b, BOX)
    equal(image.id, ref, "id")
    equal(ref[:7] + str(len(ref)), "sha256:71", "the form of the id")
    equal(list(image.repo_tags), [BOX], "repo_tags")
    equal(len(image.repo_digests), 1, "number of digests")
    holds(image.repo_digests[0], REGISTRY + "/box@sha256:", "repo_digests")
    if image.size < os.path.getsize("/bin/busybox") / 3:
        raise AssertionError("size %d is too small" % image.size)
    equal(image.pinned, False, "pinned")
    for name in (ref, image.repo_digests[0], BOX, REGISTRY + "/box", ref[7:19]):
        equal(status_of(b, name), image, "status by " + name)
    equal(list(images(b)), [image], "the list")
    equal(list(images(b, image=BOX)), [image], "the filtered list")
    equal(list(images(b, image=REGISTRY + "/other:latest")), [], "the list of another name")


def test_pull_again_is_quick_and_the_same(b):
    first = b.pull(BOX)
    equal(b.pull(BOX), first, "image_ref")
    equal(len(images(b)), 1, "number of images")


def test_pull_by_digest(b):
    b.pull(BOX)
    digest = status_of(b, BOX).repo_digests[0]
    b.client.RemoveImage(image={"image": BOX})
    b.pull(digest)
    image = status_of(b, digest)
    equal(list(image.repo_tags), [], "repo_tags")
    equal(list(image.repo_digests), [digest], "repo_digests")


def test_user_of_an_image(b):
    b.pull(REGISTRY + "/user-uid")
    image = status_of(b, REGISTRY + "/user-uid")
    equal(image.HasField("uid") and image.uid.value, 1002, "uid")
    equal(image.username, "", "username")
    equal(list(image.repo_tags), [REGISTRY + "/user-uid:latest"], "repo_tags")
    b.pull(REGISTRY + "/user-name:latest")
    image = status_of(b, REGISTRY + "/user-name:latest")
    equal(image.HasField("uid"), False, "uid of a name")
    equal(image.username, "app", "username")


def test_tags_of_one_image(b):
    layout = crid.oci.Layout()
    image = crid.box_images()["box"]
    index = crid.oci.index([image.manifest(layout, crid.oci.GOARCH[os.uname().machine])])
    for tag in ("1", "2", "3"):
        layout.add(index, tag)
    layout.push(REGISTRY, "tags")
    refs = [b.pull("%s/tags:%s" % (REGISTRY, tag)) for tag in ("1", "2", "3")]
    equal(len(set(refs)), 1, "number of ids")
    equal(len(images(b)), 1, "number of images")
    tags = sorted(images(b)[0].repo_tags)
    equal(tags, ["%s/tags:%s" % (REGISTRY, t) for t in ("1", "2", "3")], "repo_tags")
    b.client.RemoveImage(image={"image": refs[0]})
    equal(len(images(b)), 0, "number of images after removal by id")


def test_image_status_of_nothing(b):
    for name in (REGISTRY + "/none:1", "sha256:" + "0" * 64, "none"):
        r = b.client.ImageStatus(image={"image": name})
        equal(r.HasField("image"), False, "image of " + name)


def test_image_status_verbose(b):
    b.pull(BOX)
    r = b.client.ImageStatus(image={"image": BOX}, verbose=True)
    info = json.loads(r.info["info"])
    equal(info["imageSpec"]["config"]["Cmd"], ["sh"], "Cmd")
    layers = 1 + int(os.environ.get("CRIBOX_TEST_LAYERS", 0))
    equal(len(info["imageSpec"]["rootfs"]["diff_ids"]), layers, "number of layers")


def test_remove_image(b):
    ref = b.pull(BOX)
    for _ in range(2):  # removing what is not there is no error
        b.client.RemoveImage(image={"image": ref})
        equal(len(images(b)), 0, "number of images")
    b.client.RemoveImage(image={"image": REGISTRY + "/none:1"})
    b.client.RemoveImage(image={"image": "sha256:" + "0" * 64})


def test_remove_image_at_once(b):
    ref = b.pull(BOX)
    calls = [b.client.future("RemoveImage", image={"image": ref}) for _ in range(5)]
    for call in calls:
        call.result()
    equal(len(images(b)), 0, "number of images")


def test_shared_layers_survive(b):
    """Two images share the big layer: removing one must leave the other usable."""
    b.pull(BOX)
    b.pull(REGISTRY + "/entry")
    b.client.RemoveImage(image={"image": BOX})
    pod = b.pod(namespaces={"network": crid.NS_NODE})
    code, out, err = b.finish(pod, "cat /etc/mark", image=REGISTRY + "/entry")
    equal((code, out, err), (0, "second layer\n", ""), "the container's result")
    b.client.RemoveImage(image={"image": REGISTRY + "/entry"})


def test_image_in_use(b):
    """An image that a container uses can be removed; the container goes on."""
    ref = b.pull(BOX)
    pod = b.pod(namespaces={"network": crid.NS_NODE})
    ctr = b.sleeper(pod)
    b.client.RemoveImage(image={"image": ref})
    equal(b.sync(ctr, "echo still here"), (0, "still here\n", ""), "exec")
    equal(b.status(ctr).image_id, ref, "image_id")


def test_space_comes_back(b):
    def bytes_used():
        return b.client.ImageFsInfo().image_filesystems[0].used_bytes.value

    def files_left():
        return sorted(p for p in crid.files(b.root) if "/layers/" in p or "/images/" in p)

    until(lambda: not files_left(), 5, "the store is empty")
    before, empty = files_left(), bytes_used()
    b.pull(BOX)
    if bytes_used() <= empty:
        raise AssertionError("used_bytes did not grow: %d, %d" % (empty, bytes_used()))
    b.client.RemoveImage(image={"image": BOX})
    until(lambda: files_left() == before, 5, "the files of the image are gone")
    equal(bytes_used(), empty, "used_bytes")


def test_image_fs_info(b):
    fs = b.client.ImageFsInfo().image_filesystems
    equal(len(fs), 1, "number of file systems")
    equal(os.path.isdir(fs[0].fs_id.mountpoint), True, "mountpoint is a directory")
    equal(os.stat(fs[0].fs_id.mountpoint).st_dev, os.stat(b.root).st_dev, "device")
    equal(fs[0].timestamp > 10**18, True, "timestamp is now, in ns")
    equal(fs[0].inodes_used.value >= 0, True, "inodes")


def test_concurrent_pulls(b):
    names = [BOX, REGISTRY + "/entry"] * 3
    calls = [b.client.future("PullImage", image={"image": n}) for n in names]
    refs = [c.result().image_ref for c in calls]
    equal(len(set(refs)), 2, "number of ids")
    equal(len(images(b)), 2, "number of images")


def test_pull_survives_a_client_that_leaves(b):
    call = b.client.future("PullImage", image={"image": BOX}, rpc_timeout=0.001)
    try:
        call.result()
    except crid.grpc.RpcError as e:
        equal(e.code().name, "DEADLINE_EXCEEDED", "code")
    b.pull(BOX)
    equal(len([i for i in images(b) if BOX in i.repo_tags]), 1, "number of images")


crid.main(crid.tests_of(globals()), wipe=True)
