"""A tree of files as data, and as a cpio archive in the format newc that a kernel unpacks
(Documentation/driver-api/early-userspace/buffer-format.rst): owned by root, without times, in
the order of the names, so that the same input gives the same bits. Needs no root."""

import os
import stat


class Tree:
    def __init__(self):
        self.entries = {}  # path: (mode with type, data, device)

    def parents(self, path):
        top = os.path.dirname(path)
        while top and top not in self.entries:
            self.entries[top] = (stat.S_IFDIR | 0o755, b"", (0, 0))
            top = os.path.dirname(top)

    def put(self, path, mode, data=b"", device=(0, 0)):
        path = os.path.normpath(path).lstrip("/")
        self.parents(path)
        self.entries[path] = (mode, data, device)

    def dir(self, path, mode=0o755):
        self.put(path, stat.S_IFDIR | mode)

    def file(self, path, data, mode=0o644):
        self.put(path, stat.S_IFREG | mode, data.encode() if isinstance(data, str) else data)

    def copy(self, path, source, mode=0o644):
        with open(source, "rb") as f:
            self.file(path, f.read(), mode)

    def link(self, path, target):
        self.put(path, stat.S_IFLNK | 0o777, target.encode())

    def char(self, path, mode, major, minor):
        self.put(path, stat.S_IFCHR | mode, b"", (major, minor))

    def add(self, directory):
        """A directory's contents over what is there; owners and times do not count."""
        for top, dirs, files in os.walk(directory):
            for name in sorted(dirs + files):
                source = os.path.join(top, name)
                path = os.path.relpath(source, directory)
                info = os.lstat(source)
                mode = stat.S_IMODE(info.st_mode)
                if stat.S_ISLNK(info.st_mode):
                    self.link(path, os.readlink(source))
                elif stat.S_ISDIR(info.st_mode):
                    self.dir(path, mode)
                elif stat.S_ISREG(info.st_mode):
                    self.copy(path, source, mode)
                else:
                    raise ValueError("%s: neither file, directory nor symlink" % source)

    def cpio(self):
        out = bytearray()
        for number, path in enumerate(sorted(self.entries), 1):
            mode, data, device = self.entries[path]
            record(out, number, path, mode, data, device)
        record(out, 0, "TRAILER!!!", 0, b"", (0, 0))
        out += bytes(-len(out) % 512)
        return bytes(out)

    def write(self, directory):
        """The tree as files below a directory; devices are left out."""
        for path in sorted(self.entries):
            mode, data, _ = self.entries[path]
            target = os.path.join(directory, path)
            if stat.S_ISDIR(mode):
                os.makedirs(target, exist_ok=True)
            elif stat.S_ISLNK(mode):
                os.symlink(data, target)
                continue
            elif stat.S_ISREG(mode):
                with open(target, "wb") as f:
                    f.write(data)
            else:
                continue
            os.chmod(target, stat.S_IMODE(mode))


def record(out, number, path, mode, data, device):
    name = path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = [number, mode, 0, 0, links, 0, len(data), 0, 0, device[0], device[1], len(name), 0]
    out += b"070701" + b"".join(b"%08x" % f for f in fields) + name
    out += bytes(-len(out) % 4)
    out += data
    out += bytes(-len(out) % 4)
