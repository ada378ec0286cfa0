#!/usr/bin/python3
"""Who may include whom: lib/LAYERS, one level a line, lowest first.

A module includes its own headers and those of modules on lower lines; applets include all.
Generated CRI types are seen by lib/cri alone, and each foreign library by the modules that
wrap it. Differences between architectures live in arch/, not in an #ifdef."""
import glob
import os
import re
import sys

FOREIGN = {  # header: the modules that wrap the library
    "bearssl": {"net", "wire"},
    "protobuf-c/": {"cri", "rpc"},
    "seccomp.h": {"seccomp"},
    "nghttp2/": {"rpc"},
    "yyjson.h": {"wire"},
    "zlib.h": {"wire"},
    "zstd": {"wire"},
    "yaml.h": {"wire"},
}
ARCH_MACRO = re.compile(
    r"^\s*#\s*(if|ifdef|ifndef|elif)\b.*\b(__x86_64__|__amd64__|__i386__|__aarch64__|__arm__"
    r"|__powerpc\w*|__PPC\w*|__s390\w*|__BYTE_ORDER__)")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')

level = {}
with open("lib/LAYERS") as f:
    for n, line in enumerate(f):
        for module in line.split("#")[0].split():
            level[module] = n

bad = []


def check_ours(path, where, module, name):
    top = name.split("/")[0]
    if "/" not in name:
        if name.endswith(".pb-c.h") and module != "cri":
            bad.append(f"{where}: {name}: generated types are for lib/cri only")
        elif module and name != "arch.h" and not name.endswith(".pb-c.h"):
            if not os.path.exists(os.path.join(os.path.dirname(path), name)):
                bad.append(f"{where}: {name}: write it as \"module/{name}\"")
    elif module is None:
        if not (top in level or os.path.isdir("applets/" + top)):
            bad.append(f"{where}: {name}: neither a module nor an applet")
    elif top != module and top not in level:
        bad.append(f"{where}: {name}: {top} is no module of lib/LAYERS")
    elif top != module and level[top] >= level[module]:
        bad.append(f"{where}: {name}: {module} must not see {top}")
    elif top != module and name.endswith("-int.h"):
        bad.append(f"{where}: {name}: internal to {top}")


def check_foreign(where, module, name):
    for prefix, modules in FOREIGN.items():
        if name.startswith(prefix) and module not in modules:
            bad.append(f"{where}: <{name}>: only {' and '.join(sorted(modules))} "
                       "may include it")
    if name.endswith(".pb-c.h") and module != "cri":
        bad.append(f"{where}: {name}: generated types are for lib/cri only")


def check(path):
    parts = path.split("/")
    module = parts[1] if parts[0] == "lib" else None
    if module is not None and module not in level:
        bad.append(f"{path}: {module} is not in lib/LAYERS")
        return
    with open(path, errors="replace") as f:
        for n, line in enumerate(f, 1):
            where = f"{path}:{n}"
            if ARCH_MACRO.match(line):
                bad.append(f"{where}: an #ifdef on the architecture belongs in arch/")
            m = INCLUDE.match(line)
            if m and m[1] == '"':
                check_ours(path, where, module, m[2])
            elif m:
                check_foreign(where, module, m[2])


files = sorted(glob.glob("lib/*/*.[ch]") + glob.glob("applets/**/*.[ch]", recursive=True))
for path in files:
    check(path)
for b in bad:
    print("not ok layers:", b)
if not bad:
    print(f"ok layers ({len(files)} files)")
sys.exit(bool(bad))
