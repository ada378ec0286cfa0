#!/usr/bin/python3
"""Images that were brought along: OCI layouts below a directory come before registries."""

import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
from frame import CRIBOX, equal, holds, sh  # noqa: E402

sys.path.insert(0, os.path.join(frame.REPO, "images"))
import oci  # noqa: E402


class Bed:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="cribox-preload-", dir="/var/tmp")
        os.chmod(self.dir, 0o755)
        self.layouts = os.path.join(self.dir, "layouts")
        os.mkdir(self.layouts)
        self.n = 0

    def layout(self, name, ref=None, key="org.opencontainers.image.ref.name"):
        """An image with one file; its index says ref. Returns its digest."""
        path = os.path.join(self.layouts, name)
        image = oci.Image([oci.Layer().file("who", name.encode())], {"Cmd": ["/who"]})
        layout = oci.Layout()
        layout.add(image.manifest_document(layout, os.uname().machine), "x")
        layout.write(path)
        with open(os.path.join(path, "index.json")) as f:
            index = json.load(f)
        index["manifests"][0]["annotations"] = {key: ref} if ref else {}
        with open(os.path.join(path, "index.json"), "w") as f:
            json.dump(index, f)
        sh("chmod", "-R", "a+rX", path)
        return index["manifests"][0]["digest"]

    def pull(self, image, directory=None):
        self.n += 1
        root = os.path.join(self.dir, "store%d" % self.n)
        command = [CRIBOX, "pull", "--root", root, "--preload-dir", directory or self.layouts, image]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)

    def file(self):
        """What the last image that was pulled says of itself."""
        top = os.path.join(self.dir, "store%d" % self.n, "layers")
        for where, _, files in os.walk(top):
            if "who" in files:
                return open(os.path.join(where, "who")).read()

    def blobs(self, name):
        path = os.path.join(self.layouts, name, "blobs", "sha256")
        return {b: os.path.join(path, b) for b in os.listdir(path)}

    def close(self):
        shutil.rmtree(self.dir)


def good(bed, image, who):
    done = bed.pull(image)
    equal(done.returncode, 0, "status of %s (%s)" % (image, done.stderr))
    equal(bed.file(), who, "the image that %s is" % image)
    return done


def refused(bed, image, *words, directory=None):
    done = bed.pull(image, directory)
    equal(done.returncode, 1, "status of %s" % image)
    for w in words:
        holds(done.stderr, w)
    root = os.path.join(bed.dir, "store%d" % bed.n)
    equal(os.listdir(os.path.join(root, "images")), [], "images")
    equal(os.listdir(os.path.join(root, "layers")), [], "layers")


def test_names(bed):
    bed.layout("one", "registry.example:5000/team/one:1.2")
    bed.layout("two", "3")
    bed.layout("three")
    digest = bed.layout("four", "docker.io/library/named:v4", "io.containerd.image.name")
    good(bed, "registry.example:5000/team/one:1.2", "one")
    good(bed, "two:3", "two")
    good(bed, "docker.io/library/three", "three")
    done = good(bed, "named:v4", "four")
    holds(done.stderr, "docker.io/library/named@" + digest)
    good(bed, "named@" + digest, "four")
    # what is not there is asked of its registry; 'connect' is to nowhere in this namespace
    for image in ("127.0.0.1:1/two:3", "127.0.0.1:1/named@" + digest):
        refused(bed, image, "connect to 127.0.0.1 port 1")
    refused(bed, "127.0.0.1:1/x", "connect to", directory=os.path.join(bed.dir, "missing"))


def test_damage(bed):
    digest = bed.layout("bad", "127.0.0.1:1/bad:1")
    bed.layout("good", "good:1")
    index = os.path.join(bed.layouts, "bad", "index.json")
    text = open(index).read()
    manifest = json.load(open(bed.blobs("bad")[digest[7:]]))
    layer = bed.blobs("bad")[manifest["layers"][0]["digest"][7:]]
    config = bed.blobs("bad")[manifest["config"]["digest"][7:]]

    def damaged(path, data, *words):
        before = open(path, "rb").read()
        if data is None:
            os.unlink(path)
        else:
            open(path, "wb").write(data(before))
        refused(bed, "127.0.0.1:1/bad:1", *words)
        open(path, "wb").write(before)
        os.chmod(path, 0o644)

    damaged(layer, lambda b: b[:-1], "the blob has not the")
    damaged(layer, lambda b: b[:-1] + bytes([b[-1] ^ 1]), manifest["layers"][0]["digest"])
    damaged(layer, None, "No such file")
    damaged(config, lambda b: b.replace(b"amd64", b"AMD64").replace(b"linux", b"LINUX"), "digest")
    damaged(bed.blobs("bad")[digest[7:]], lambda b: b"{}", "image layout", digest)
    # an index that is none: the layout is passed over, and the registry is asked
    for junk in ("", "{", "[]", '{"manifests": {}}', '{"manifests": [7, {"digest": "sha256:../x"}]}'):
        open(index, "w").write(junk)
        refused(bed, "127.0.0.1:1/bad:1", "connect to")
    os.unlink(index)
    os.symlink("/etc/passwd", index)
    refused(bed, "127.0.0.1:1/bad:1", "connect to")
    good(bed, "good:1", "good")
    os.unlink(index)
    open(index, "w").write(text)
    # a blob that is a link, or a directory, is none
    os.rename(layer, layer + ".away")
    os.symlink(layer + ".away", layer)
    refused(bed, "127.0.0.1:1/bad:1", "image layout")
    os.unlink(layer)
    os.rename(layer + ".away", layer)
    good(bed, "127.0.0.1:1/bad:1", "bad")


def with_bed(fn):
    def test(_):
        bed = Bed()
        try:
            fn(bed)
        finally:
            bed.close()

    test.__name__ = fn.__name__
    return test


sys.exit(1 if frame.run([with_bed(f) for f in (test_names, test_damage)]) else 0)
