#!/usr/bin/python3
"""proto/*.proto against tests/golden/cri.tsv, row by row and in both directions.

One line of result for each message, enum and service.
"""

import collections
import os
import sys

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..")
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(TOP, "tests", "golden"))
import cri_facts  # noqa: E402


def by_owner(rows):
    """Rows grouped by what they belong to: {("message", "Mount"): {row, ...}}."""
    owners = collections.defaultdict(set)
    for row in rows:
        kind = "message" if row[0] == "field" else row[0]
        owners[kind, row[1]].add(row)
    return owners


def main():
    proto = os.path.join(TOP, "proto")
    files = [os.path.join(proto, n) for n in ("cri.proto", "cri-services.proto")]
    ours = by_owner(cri_facts.rows(cri_facts.load(files, [proto, "/usr/include"])))
    published = by_owner(cri_facts.read())
    failed = 0
    for owner in sorted(ours.keys() | published.keys()):
        name = "proto " + " ".join(owner)
        missing = [" ".join(r) for r in sorted(published[owner] - ours[owner])]
        extra = [" ".join(r) for r in sorted(ours[owner] - published[owner])]
        if not missing and not extra:
            print("ok " + name)
            continue
        failed += 1
        print("not ok %s: published only: %s; ours only: %s"
              % (name, ", ".join(missing) or "-", ", ".join(extra) or "-"))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
