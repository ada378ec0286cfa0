#!/usr/bin/python3
"""What needs control groups of version 2, of the tests of the OCI runtime and the CRI, on a booted
node: from the same scripts as on the host."""
# timeout: 1200

import os
import sys

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(REPO, "tests/boot"))
sys.dont_write_bytecode = True
import node as boot  # noqa: E402

if os.geteuid() != 0:
    print("skip boot_tests: needs root")
    sys.exit(0)
os.chdir(REPO)
boot.build(["x86_64"])
import guest_tests  # noqa: E402

SCRIPTS = ["oci_cgroup2.py", "cri_pods.py", "cri_containers.py"]
sys.exit(guest_tests.run("node", sys.argv[1:] or SCRIPTS, 1000))
