#!/usr/bin/python3
"""Regenerates tests/golden/cri.tsv from a published api.proto of runtime.v1.

usage: cri-regen.py VERSION API_PROTO > cri.tsv

VERSION is a word for the header, e.g. the version of the package that the file is from:
Debian's golang-k8s-cri-api-dev (forky, sid). With a source entry for one of those suites:

    apt-get download golang-k8s-cri-api-dev
    dpkg-deb -f golang-k8s-cri-api-dev_*.deb Version
    dpkg -x golang-k8s-cri-api-dev_*.deb x
    cri-regen.py VERSION x/usr/share/gocode/src/k8s.io/cri-api/pkg/apis/runtime/v1/api.proto
"""

import os
import re
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cri_facts  # noqa: E402

HEADER = """\
# Facts of the published api.proto of runtime.v1, version %s.
# Written by tests/golden/cri-regen.py; the columns are separated by tabs:
# package NAME SYNTAX
# rpc     SERVICE METHOD REQUEST RESPONSE STREAM
# enum    ENUM VALUE NUMBER
# message MESSAGE
# field   MESSAGE FIELD NUMBER TYPE LABEL [deprecated]
"""


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip())
    with open(sys.argv[2], encoding="utf-8") as f:
        text = f.read()
    # protoc 3.21 does not know this option, and it is no part of the wire format.
    text = re.sub(r"\s*\[debug_redact\s*=\s*true\]", "", text)
    with tempfile.TemporaryDirectory() as tmp:
        path = os.path.join(tmp, "api.proto")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        rows = cri_facts.rows(cri_facts.load([path], [tmp]))
    sys.stdout.write(HEADER % sys.argv[1])
    for row in rows:
        print("\t".join(row))


if __name__ == "__main__":
    main()
