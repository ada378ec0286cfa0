#!/usr/bin/python3
"""push.py LAYOUT HOST:PORT REPOSITORY: pushes an OCI layout to a registry over plain HTTP."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import oci  # noqa: E402

if len(sys.argv) != 4:
    sys.exit("usage: push.py LAYOUT HOST:PORT REPOSITORY")
try:
    oci.Layout.read(sys.argv[1]).push(sys.argv[2], sys.argv[3])
except OSError as e:
    sys.exit("push: %s" % e)
