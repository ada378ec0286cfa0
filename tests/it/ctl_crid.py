#!/usr/bin/python3
"""ctl against crid."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
import crid  # noqa: E402
import ctl_tests  # noqa: E402

if __name__ == "__main__":
    crid.main(crid.tests_of(vars(ctl_tests)))
