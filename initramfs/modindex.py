"""Kernel modules of a node image: which ones, what each needs, and the index that the node reads.

Everything comes from the modules' own .modinfo sections and the kernel's list of built-in ones;
Debian's packages hold no modules.dep. The layout of the index is in lib/os/module.h.
"""

import fnmatch
import lzma
import os
import re
import struct

MAGIC = b"cribmod\1"
BUILTIN = 0xFFFFFFFF
SOFT = 0x8000  # of a dependency: goes on without it
MAX_MODULES = 4096  # lib/os/module.h


class Bad(Exception):
    pass


def canonical(name):
    return name.replace("-", "_")


def name_of(path):
    return canonical(re.sub(r"\.ko(\.xz|\.zst|\.gz)?$", "", os.path.basename(path)))


def read_module(path):
    with open(path, "rb") as f:
        data = f.read()
    return lzma.decompress(data) if path.endswith(".xz") else data


def modinfo(path):
    """(key, value) pairs of the section .modinfo of a 64-bit ELF file of either byte order."""
    data = read_module(path)
    if data[:5] != b"\x7fELF\2":
        raise Bad("%s: not a 64-bit ELF file" % path)
    order = "<" if data[5] == 1 else ">"
    (shoff,) = struct.unpack_from(order + "Q", data, 0x28)
    size, count, names = struct.unpack_from(order + "HHH", data, 0x3A)
    sections = []
    for i in range(count):
        name, _, _, _, at, length = struct.unpack_from(order + "IIQQQQ", data, shoff + i * size)
        sections.append((name, at, length))
    base = sections[names][1]
    for name, at, length in sections:
        if data[base + name : base + name + 9] == b".modinfo\0":
            return pairs(data[at : at + length])
    raise Bad("%s: no section .modinfo" % path)


def pairs(section):
    fields = [f.decode("latin1") for f in section.split(b"\0") if b"=" in f]
    return [tuple(f.split("=", 1)) for f in fields]


class Module:
    def __init__(self, name, path, info):
        self.name, self.path = name, path
        self.aliases = sorted({v for k, v in info if k == "alias"})
        self.needs = [canonical(d) for k, v in info if k == "depends" for d in v.split(",") if d]
        self.wants = []  # softdep: names or aliases, to be loaded before
        for key, value in info:
            if key == "softdep":
                pre = re.search(r"pre:(.*?)(post:|$)", value)
                self.wants += pre.group(1).split() if pre else []


class Kernel:
    """The modules of one kernel, at DIR (the one that holds kernel/ and modules.builtin)."""

    def __init__(self, directory):
        self.dir = directory
        self.files = {}  # name: path
        for top, dirs, files in os.walk(os.path.join(directory, "kernel")):
            dirs.sort()
            for f in sorted(files):
                if re.search(r"\.ko(\.xz)?$", f):
                    self.files[name_of(f)] = os.path.join(top, f)
        if not self.files:
            raise Bad("%s: no modules (*.ko, *.ko.xz) below kernel/" % directory)
        with open(os.path.join(directory, "modules.builtin")) as f:
            self.builtin = {name_of(line.strip()) for line in f}
        self.seen = {}

    def module(self, name):
        if name not in self.seen:
            path = self.files[name]
            self.seen[name] = Module(name, path, modinfo(path))
        return self.seen[name]

    def match(self, word, where):
        """Names of the modules that a word of a list means: NAME, PATTERN, DIR/PATTERN; with '?'
        at its end it may mean none."""
        optional = word.endswith("?")
        pattern = canonical(word.rstrip("?"))
        directory, pattern = os.path.split(pattern)
        found = []
        for name, path in self.files.items():
            place = os.path.relpath(os.path.dirname(path), os.path.join(self.dir, "kernel"))
            inside = canonical(place) + "/"
            if fnmatch.fnmatchcase(name, pattern) and inside.startswith(directory + "/" if directory else ""):
                found.append(name)
        if not found and not optional and pattern not in self.builtin:
            raise Bad("%s: %s: this kernel has no such module" % (where, word))
        return sorted(found)

    def closure(self, names):
        """All modules that the named ones need or want, by name."""
        todo, done = sorted(names), {}
        while todo:
            name = todo.pop(0)
            if name in done:
                continue
            done[name] = m = self.module(name)
            for need in m.needs:
                if need in self.files:
                    todo.append(need)
                elif need not in self.builtin:
                    raise Bad("%s needs %s, which is not there" % (name, need))
            todo += [w for want in m.wants for w in self.wanted(want)]
        return done

    def wanted(self, want):
        """Modules that a word of a soft dependency means: a name, or an alias. What is built in,
        or is not there, is none."""
        name = canonical(want)
        if name in self.builtin:
            return []
        return [name] if name in self.files else self.aliased().get(want, [])

    def aliased(self):
        """alias without wildcards: names, over the directories that soft dependencies are about."""
        if not hasattr(self, "by_alias"):
            self.by_alias = {}
            for name, path in sorted(self.files.items()):
                if "/crypto/" in path or "/lib/" in path:
                    for alias in self.module(name).aliases:
                        self.by_alias.setdefault(alias, []).append(name)
        return self.by_alias


def read_lists(path, arch):
    """{list: words} of the file 'modules'; lines 'LIST[@ARCH,...]: WORD...'."""
    lists = {}
    with open(path) as f:
        for n, line in enumerate(f, 1):
            line = line.split("#")[0].strip()
            if not line:
                continue
            head, colon, words = line.partition(":")
            if not colon:
                raise Bad("%s:%d: no LIST: before the words" % (path, n))
            name, _, archs = head.strip().partition("@")
            if not archs or arch in archs.split(","):
                lists.setdefault(name, []).extend(words.split())
    return lists


def order_of(modules, name):
    """What is loaded before a module, in order: [(name, soft)], each name once."""
    order, at = [], {}

    def visit(current, soft, path):
        m = modules[current]
        if current in path:  # a soft dependency may run in a circle
            return
        for need in m.needs:
            if need in modules:
                visit(need, soft, path + [current])
        for want in m.resolved:
            visit(want, True, path + [current])
        if current == name:
            return
        if current not in at:
            at[current] = len(order)
            order.append((current, soft))
        elif not soft:
            order[at[current]] = (current, False)

    visit(name, False, [])
    return order


class Strings:
    def __init__(self):
        self.data, self.at = bytearray(b"\0"), {"": 0}

    def add(self, text):
        if text not in self.at:
            self.at[text] = len(self.data)
            self.data += text.encode("latin1") + b"\0"
        return self.at[text]


def build(kernel, modules, lists, file_of):
    """The bytes of the index. modules: {name: Module}; lists: {name: [module name]}."""
    for m in modules.values():
        m.resolved = [w for want in m.wants for w in kernel.wanted(want) if w in modules]
    names = sorted(set(modules) | kernel.builtin, key=lambda n: n.encode())
    if len(names) > MAX_MODULES:
        raise Bad("%d modules, at most %d" % (len(names), MAX_MODULES))
    number = {name: i for i, name in enumerate(names)}
    strings, table, links, aliases = Strings(), b"", [], []
    for name in names:
        first, file = len(links), BUILTIN
        if name in modules:
            file = strings.add(file_of(modules[name]))
            for other, soft in order_of(modules, name):
                links.append(number[other] | (SOFT if soft else 0))
            aliases += [(a, number[name]) for a in modules[name].aliases]
        table += struct.pack(">IIIHH", strings.add(name), file, first, len(links) - first, 0)
    aliases.sort(key=lambda a: (a[0].encode("latin1"), a[1]))
    alias_table = b"".join(struct.pack(">IHH", strings.add(a), n, 0) for a, n in aliases)
    list_table = b""
    for name in sorted(lists):
        first = len(links)
        links += [number[n] for n in lists[name]]
        list_table += struct.pack(">IIHH", strings.add(name), first, len(links) - first, 0)
    header = 48
    at_modules = header
    at_aliases = at_modules + len(table)
    at_lists = at_aliases + len(alias_table)
    at_links = at_lists + len(list_table)
    at_strings = at_links + 2 * len(links)
    head = MAGIC + struct.pack(
        ">10I", len(names), at_modules, len(aliases), at_aliases, len(lists), at_lists,
        len(links), at_links, len(strings.data), at_strings)
    assert len(head) == header
    return (head + table + alias_table + list_table
            + b"".join(struct.pack(">H", n) for n in links) + bytes(strings.data))
