#!/usr/bin/python3
"""Functions aim below 60 lines and end at 100, files end at 1000, modules at a dozen .c files.

A function that is a table, or a switch whose cases are one call, is exempt: it says so by
'lint: table' in a comment between its name and its brace, or in the comment before it."""
import glob
import sys

bad = []
files = sorted(glob.glob("lib/*/*.[ch]") + glob.glob("applets/**/*.[ch]", recursive=True)
               + glob.glob("arch/*/*.[ch]"))
modules = {}
functions = 0
for path in files:
    with open(path, errors="replace") as f:
        lines = f.read().split("\n")
    if len(lines) > 1000:
        bad.append(f"{path}: {len(lines)} lines in a file (1000 is the end)")
    if path.endswith(".c") and path.startswith("lib/"):
        modules[path.split("/")[1]] = modules.get(path.split("/")[1], 0) + 1
    start = None
    for n, line in enumerate(lines):
        if line == "{":
            start = n
        elif line == "}" and start is not None:
            functions += 1
            before = "\n".join(lines[max(0, start - 12):start])
            if n - start + 1 > 100 and "lint: table" not in before:
                bad.append(f"{path}:{start + 1}: a function of {n - start + 1} lines "
                           "(100 is the end)")
            start = None
for m, n in modules.items():
    if n > (32 if m in ("base", "wire", "os") else 16):
        bad.append(f"lib/{m}: {n} .c files (a dozen is the aim, 16 the end; 32 in a toolbox)")
for b in bad:
    print("not ok size:", b)
if not bad:
    print(f"ok size ({functions} functions)")
sys.exit(bool(bad))
