#!/usr/bin/python3
"""images.py DIR: the images of the guest as the storage of a docker-registry that was pushed
to: box, with busybox, and deep, the same below 100 layers more.
"""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../images"))
import oci  # noqa: E402

LAYERS = 100


def box_layer():
    busybox = subprocess.run(
        ["sh", "-c", "command -v busybox"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()
    layer = oci.Layer()
    for name in ("bin", "dev", "etc", "proc", "root", "sys"):
        layer.dir(name)
    layer.dir("tmp", 0o1777)
    with open(busybox, "rb") as f:
        layer.file("bin/busybox", f.read(), 0o755)
    names = subprocess.run([busybox, "--list"], stdout=subprocess.PIPE, text=True, check=True)
    for name in names.stdout.split():
        if name != "busybox":
            layer.symlink("bin/" + name, "busybox")
    layer.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    return layer.file("etc/group", "root:x:0:\n")


def put(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)


def store(root, name, image):
    """What a push of the image as NAME:latest leaves in the storage."""
    layout = oci.Layout()
    top = layout.add(oci.index([image.manifest(layout, "amd64")]), "latest")
    base = os.path.join(root, "docker/registry/v2")
    repository = os.path.join(base, "repositories", name)
    for digest, data in layout.blobs.items():
        kind, value = digest.split(":")
        put(os.path.join(base, "blobs", kind, value[:2], value, "data"), data)
        manifest = data.startswith(b"{") and b'"schemaVersion"' in data
        where = "_manifests/revisions" if manifest else "_layers"
        put(os.path.join(repository, where, kind, value, "link"), digest.encode())
    tag = os.path.join(repository, "_manifests/tags/latest")
    put(os.path.join(tag, "current/link"), top.encode())
    put(os.path.join(tag, "index", top.replace(":", "/"), "link"), top.encode())


def main():
    box = box_layer()
    config = {"Cmd": ["sh"], "Env": ["PATH=/bin"]}
    store(sys.argv[1], "box", oci.Image([box], config))
    more = [oci.Layer().file("layer-%d" % i, "%d\n" % i) for i in range(LAYERS)]
    store(sys.argv[1], "deep", oci.Image([box] + more, config))


if __name__ == "__main__":
    main()
