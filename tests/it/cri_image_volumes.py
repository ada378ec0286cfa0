#!/usr/bin/python3
"""Images as volumes: read-only trees of files beside the container's own."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
import crid  # noqa: E402
from crid import NS_POD, REGISTRY, oci  # noqa: E402
from cri import fails  # noqa: E402
from frame import equal, holds, until  # noqa: E402

DATA, ONE = REGISTRY + "/data", REGISTRY + "/one"


def images():
    low = oci.Layer().dir("d").file("d/a", "of layer 1\n").file("d/gone", "").file("top", "1\n")
    high = oci.Layer().dir("d").whiteout("d/gone").file("d/b", "of layer 2\n", 0o644, 1000, 1000)
    high.symlink("link", "/d").symlink("out", "../../../../../../etc")
    return {
        "data": oci.Image([low, high], {}),
        "one": oci.Image([oci.Layer().dir("e").file("e/x", "alone\n", 0o755, 1000)], {}),
    }


def start(b):
    crid.push_images(images())
    for image in (crid.BOX, DATA, ONE):
        b.pull(image)


def volume(image, path="/v", sub="", **more):
    return dict({"image": {"image": image}, "container_path": path, "readonly": True,
                 "image_sub_path": sub}, **more)  # fmt: skip


def show(b, pod, command, *volumes):
    code, out, err = b.finish(pod, command, mounts=list(volumes))
    equal((code, err), (0, ""), "exit code and stderr of %r" % command)
    return out


def test_trees(b):
    start(b)
    before = crid.mounts()
    pod = b.pod()
    out = show(b, pod, "cd /v; find . | sort; cat top d/*; ls -n d/b; cat /w/e/x", volume(DATA),
               volume(ONE, "/w"))  # fmt: skip
    holds(out, ".\n./d\n./d/a\n./d/b\n./link\n./out\n./top\n1\nof layer 1\nof layer 2\n")
    holds(out, " 1000     1000 ")
    holds(out, "alone\n")
    id = b.client.ImageStatus(image={"image": DATA}).image.id
    ctr = b.sleeper(pod, mounts=[volume(id), volume(ONE, "/w")])
    for path in ("/v/d/a", "/v/new", "/w/e/x"):
        code, _, err = b.sync(ctr, "echo more >>" + path)
        equal(code, 1, "writing to " + path)
        holds(err, "Read-only file system")
    got = b.status(ctr).mounts
    equal([m.image.image_ref for m in got[:1]], [id], "image_ref of the status")
    equal([m.image.image for m in got], [id, ONE], "images of the status")
    after = [m for m in crid.mounts() if "/run/netns/" not in m]
    equal(after, before, "the host's mounts")


def test_sub_paths(b):
    start(b)
    pod = b.pod()
    equal(show(b, pod, "ls /v", volume(DATA, sub="d")), "a\nb\n", "a directory")
    equal(show(b, pod, "ls /v", volume(DATA, sub="link")), "a\nb\n", "behind a symlink")
    equal(show(b, pod, "cat /v", volume(DATA, sub="d/a")), "of layer 1\n", "a file")
    equal(show(b, pod, "ls /v", volume(ONE, sub="e")), "x\n", "of one layer")
    equal(show(b, pod, "ls /v", volume(DATA, sub="../../d")), "a\nb\n", "above the top")
    for sub in ("nothing", "out", "d/gone", "top/x"):
        text = fails(
            "INVALID_ARGUMENT", b.client.CreateContainer, pod_sandbox_id=pod,
            config=b.ctr_config("true", mounts=[volume(DATA, sub=sub)]),
            sandbox_config=b.configs[pod])  # fmt: skip
        equal(text.startswith("ImageVolumeMountFailed: "), True, "the kubelet's word in " + text)


def test_user_namespace(b):
    start(b)
    ids = [{"host_id": 300000, "container_id": 0, "length": 65536}]
    user = {"mode": NS_POD, "uids": ids, "gids": ids}
    pod = b.pod(namespaces={"userns_options": user})
    out = show(b, pod, "stat -c '%u %g %n' /v/top /v/d/b /w/e/x /s", volume(DATA),
               volume(ONE, "/w"), volume(ONE, "/s", sub="e/x"))  # fmt: skip
    equal(out, "0 0 /v/top\n1000 1000 /v/d/b\n1000 0 /w/e/x\n1000 0 /s\n", "owners")


def test_bad_requests(b):
    start(b)
    pod = b.pod()

    def refused(code, mount):
        return fails(code, b.client.CreateContainer, pod_sandbox_id=pod,
                     config=b.ctr_config("true", mounts=[mount]), sandbox_config=b.configs[pod])  # fmt: skip

    holds(refused("INVALID_ARGUMENT", volume(DATA, readonly=False)), "readonly")
    holds(refused("INVALID_ARGUMENT", volume(DATA, host_path="/tmp")), "host_path")
    holds(refused("NOT_FOUND", volume(REGISTRY + "/nothing")), "ImageVolumeMountFailed: ")
    equal(len(b.client.ListContainers().containers), 0, "number of containers")


def layers(b):
    return len(os.listdir(b.root + "/layers"))


def test_outlives_its_image(b):
    """What a container uses stays; a restart of the daemon knows it, too."""
    start(b)
    pod = b.pod()
    ctr = b.create(pod, "cat /v/top /w/e/x", mounts=[volume(DATA), volume(ONE, "/w")])
    b.client.RemoveImage(image={"image": DATA})
    b.client.RemoveImage(image={"image": ONE})
    b.restart()
    have = layers(b)
    b.client.StartContainer(container_id=ctr)
    equal(b.ended(ctr).exit_code, 0, "exit code")
    equal(b.output(ctr)[0], "1\nalone\n", "output")
    b.client.RemoveContainer(container_id=ctr)
    b.restart()
    until(lambda: layers(b) == have - 3, 10, "its layers go with the container")


crid.main(crid.tests_of(globals()), wipe=True)
