#!/usr/bin/python3
"""proto/*.proto against tests/golden/cri.tsv, row by row and in both directions, and the
table of lib/cri/methods.h against the same.

One line of result for each message, enum, service and the table.
"""

import collections
import os
import re
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


def snake(name):
    """As protobuf-c writes a message's name in its symbols."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def table_rows():
    """The rows of the X-macro in lib/cri/methods.h."""
    with open(os.path.join(TOP, "lib", "cri", "methods.h"), encoding="ascii") as f:
        text = f.read().replace("\\\n", " ")
    found = re.findall(r"X\((\w+),\s+(\w+),\s+(\w+),\s+(\w+),\s+(true|false)\)", text)
    return [("rpc",) + row for row in found]


def compare(name, published, ours):
    """Prints one line of result. Returns whether both are the same."""
    missing = [" ".join(r) for r in sorted(published - ours)]
    extra = [" ".join(r) for r in sorted(ours - published)]
    if not missing and not extra:
        print("ok " + name)
        return True
    print("not ok %s: published only: %s; ours only: %s"
          % (name, ", ".join(missing) or "-", ", ".join(extra) or "-"))
    return False


def main():
    proto = os.path.join(TOP, "proto")
    files = [os.path.join(proto, n) for n in ("cri.proto", "cri-services.proto")]
    ours = by_owner(cri_facts.rows(cri_facts.load(files, [proto, "/usr/include"])))
    published = by_owner(cri_facts.read())
    same = [compare("proto " + " ".join(owner), published[owner], ours[owner])
            for owner in sorted(ours.keys() | published.keys())]
    rpcs = {row[:3] + (snake(row[3]), snake(row[4]), str(row[5] != "unary").lower())
            for row in cri_facts.read() if row[0] == "rpc"}
    same.append(compare("lib/cri/methods.h", rpcs, set(table_rows())))
    sys.exit(0 if all(same) else 1)


if __name__ == "__main__":
    main()
