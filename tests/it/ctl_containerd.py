#!/usr/bin/python3
"""ctl against Debian's containerd: what works with a server that is not ours."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

if not os.path.exists("/usr/bin/containerd"):
    print("skip ctl_containerd: no containerd")
    sys.exit(0)
frame.isolate()
os.environ["PEER"] = "containerd"
import crid  # noqa: E402
import ctl_tests  # noqa: E402

if __name__ == "__main__":
    crid.main(crid.tests_of(vars(ctl_tests)))
