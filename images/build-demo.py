#!/usr/bin/python3
"""build-demo.py OUT ARCH...: the demo image as an OCI layout in the directory OUT.

One index with a manifest for each ARCH, whose build/ARCH/demo must be there (`make build/ARCH/demo`,
with ARCH=... for another machine's). Three layers, so that the pull has something to merge:

  1  the program, /etc/passwd, a message and a draft
  2  another message over the first
  3  a whiteout: the draft is gone

The same programs give the same digests, on every machine.
"""

import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import oci  # noqa: E402

PASSWD = "root:x:0:0:root:/:/bin/demo\ndemo:x:1000:1000:demo:/:/bin/demo\n"
GROUP = "root:x:0:\ndemo:x:1000:\n"


def layers(program):
    base = oci.Layer()
    for name in ("bin", "dev", "etc", "proc", "sys"):
        base.dir(name)
    base.dir("tmp", 0o1777)
    base.file("bin/demo", program, 0o755).file("etc/passwd", PASSWD).file("etc/group", GROUP)
    base.file("etc/motd", "This is the first layer.\n").file("etc/draft", "Unfinished.\n")
    second = oci.Layer().dir("etc").file("etc/motd", "Welcome to a container of cribox.\n")
    third = oci.Layer().dir("etc").whiteout("etc/draft")
    return [base, second, third]


def main():
    if len(sys.argv) < 3:
        sys.exit("usage: build-demo.py OUT ARCH...")
    out, archs = sys.argv[1], sys.argv[2:]
    layout = oci.Layout()
    config = {
        "Cmd": ["/bin/demo", "serve", "8080"],
        "Env": ["PATH=/bin"],
        "User": "demo",
        "WorkingDir": "/",
    }
    manifests = []
    for arch in archs:
        path = os.path.join("build", arch, "demo")
        try:
            with open(path, "rb") as f:
                program = f.read()
        except OSError as e:
            sys.exit("build-demo: %s: %s: run 'make ARCH=%s %s'" % (path, e.strerror, arch, path))
        image = oci.Image(layers(program), config)
        manifests.append(image.manifest(layout, oci.GOARCH[arch]))
    digest = layout.add(oci.index(manifests), "latest")
    shutil.rmtree(out, ignore_errors=True)
    layout.write(out)
    print("%s: %s, %d layers, for %s" % (out, digest, 3, ", ".join(archs)))


if __name__ == "__main__":
    main()
