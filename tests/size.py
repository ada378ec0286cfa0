#!/usr/bin/python3
"""make size: what the binary consists of, from the linker map; its relocations; and the private
memory of an idle crid and an idle shim (as root, on Linux; skipped otherwise)."""
import os
import re
import subprocess
import sys
import tempfile
import time

ARCH = sys.argv[1]
OUT = f"build/{ARCH}"


def owner(path):
    """The module or library that an object belongs to."""
    m = re.search(r"obj/(lib|applets|arch)/([^/]+)(?:/|\.o)", path)
    if m:
        return f"{m[1]}/{m[2].removesuffix('.o')}"
    m = re.search(r"obj/gen/(.*)\.o", path)
    if m:
        return "generated protobuf: " + m[1]
    m = re.search(r"lib/lib(.*)\.a\(", path)
    if m:
        return {"c": "musl"}.get(m[1], m[1])
    if "libgcc" in path or "crt" in path:
        return "start files, libgcc"
    return "linker's own"


def from_map():
    """Yields (owner, output section, size), from the part of the map that places sections."""
    with open(OUT + "/cribox.map") as f:
        text = f.read()
    text = text[text.index("Linker script and memory map"):]
    output = ""
    pending = None
    for line in text.split("\n"):
        m = re.match(r"^(\.[\w.]+)", line)
        if m:
            output = m[1]
        m = re.match(r"^ (\.?[\w.$-]+|COMMON)$", line)
        if m:
            pending = True
            continue
        m = re.match(r"^ +(?:[\w.$-]+ +)?0x([0-9a-f]+) +0x([0-9a-f]+) (\S.*)$", line)
        if m and (pending or re.match(r"^ \S", line)):
            if int(m[1], 16) and int(m[2], 16):
                yield owner(m[3]), output, int(m[2], 16)
        pending = None


SKIP = re.compile(r"^\.(debug|comment|symtab|strtab|shstrtab|gnu\.attributes|gnu_debug)")


def sizes():
    table = {}
    for who, section, size in from_map():
        if SKIP.match(section):
            continue
        kind = ("bss" if section.startswith((".bss", ".tbss")) else
                "code" if section.startswith((".text", ".init", ".fini", ".plt")) else
                "relro" if section.startswith((".data.rel.ro", ".got", ".dynamic")) else
                "data" if section.startswith((".data", ".tdata")) else "rodata")
        row = table.setdefault(who, dict.fromkeys(("code", "rodata", "relro", "data", "bss"), 0))
        row[kind] += size
    print(f"{'':32}{'code':>9}{'rodata':>9}{'relro':>9}{'data':>8}{'bss':>8}{'all':>9}")
    for who, row in sorted(table.items(), key=lambda r: -sum(r[1].values())):
        print(f"{who:32}{row['code']:9}{row['rodata']:9}{row['relro']:9}{row['data']:8}"
              f"{row['bss']:8}{sum(row.values()) - row['bss']:9}")
    print(f"{'stripped file':32}{os.path.getsize(OUT + '/cribox'):52}")


def relocations():
    out = subprocess.run(["readelf", "-rW", OUT + "/cribox"], capture_output=True, text=True,
                         check=True).stdout
    n = sum(int(x) for x in re.findall(r"contains (\d+) entr", out))
    relr = sum(int(x) for x in re.findall(r"(\d+) offsets", out))
    print(f"{'relocations':32}{max(n, relr):52}")


def rollup(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        kb = dict(re.findall(r"^(\w+): +(\d+) kB", f.read(), re.M))
    return (f"private dirty {kb['Private_Dirty']} kB, PSS {kb['Pss']} kB, "
            f"RSS {kb['Rss']} kB")


def idle_crid():
    with tempfile.TemporaryDirectory(prefix="cribox-size-") as d:
        os.sync()  # pages of a file not yet written count as dirty
        p = subprocess.Popen([OUT + "/cribox", "crid", "--root", d + "/root", "--state",
                              d + "/state", "--listen", f"unix://{d}/crid.sock"],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(1)
            return rollup(p.pid) if p.poll() is None else "does not run here"
        finally:
            p.kill()
            p.wait()


def idle_shim():
    """tests/bench/lib/idle-shim.sh starts a shim with an empty pod, prints its pid, and takes it
    down when its standard input ends."""
    script = "tests/bench/lib/idle-shim.sh"
    if not os.path.exists(script):
        return "no " + script
    with subprocess.Popen([script, OUT + "/cribox"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as p:
        pid = p.stdout.readline().strip()
        answer = rollup(pid) if pid.isdigit() else "does not run here"
        p.stdin.close()
        return answer


sizes()
relocations()
if ARCH == os.uname().machine.replace("aarch64", "arm64") and os.geteuid() == 0:
    print("idle crid:", idle_crid())
    print("idle shim:", idle_shim())
