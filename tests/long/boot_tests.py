#!/usr/bin/python3
"""The tests of the OCI runtime and the CRI on booted nodes, more of them than in 'make check': on
the node's own kernel, with images of 100 layers, and on Debian 12's 6.1."""
# timeout: 7000

import os
import sys

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(REPO, "tests/boot"))
sys.dont_write_bytecode = True
import node as boot  # noqa: E402

os.chdir(REPO)
boot.build(["x86_64"])
OLD = "build/boot/image-6.1"
boot.make("image", "KERNEL=linux-image-cloud-amd64/bookworm", "IMAGE_DIR=" + OLD)
import guest_tests  # noqa: E402

CRI = ["cri_basic.py", "cri_pods.py", "cri_containers.py", "cri_exec.py", "cri_life.py",
       "cri_crash.py", "cri_leak.py", "cri_image_volumes.py"]  # fmt: skip
OCI = ["oci_cgroup2.py", "oci_runtime.py"]
RUNS = [
    ("node_6_12", OCI + CRI, None, ""),
    ("node_6_1", OCI + CRI, OLD, ""),
    ("layers_6_12", ["cri_basic.py", "cri_containers.py"], None, "CRIBOX_TEST_LAYERS=100"),
    ("layers_6_1", ["cri_basic.py", "cri_containers.py"], OLD, "CRIBOX_TEST_LAYERS=100"),
]
bad = 0
for title, scripts, image, environment in RUNS:
    if not sys.argv[1:] or title in sys.argv[1:]:
        bad |= guest_tests.run(title, scripts, 3000, image=image, environment=environment)
sys.exit(bad)
