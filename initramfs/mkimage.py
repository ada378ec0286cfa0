#!/usr/bin/python3
"""mkimage.py: the files of a node: initramfs.img and vmlinuz, and payload.img if there is anything
to put into it. Called by 'make image'; needs no root, and the same input gives the same bits."""

import argparse
import os
import shutil
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True
import cpio  # noqa: E402
import modindex  # noqa: E402

LABEL = b"cribox-payload"  # of the payload's file system, and a disk's serial number
COMPRESS = {
    "xz": ["xz", "--check=crc32", "--lzma2=preset=9e,dict=4MiB", "-T1", "-c"],
    "zstd": ["zstd", "-19", "-T1", "-q", "-c"],
}
DIRS = ["dev", "etc", "mnt", "opt", "payload", "proc", "root", "run", "sys", "tmp", "var"]
EROFS_SUPER, EROFS_LABEL = 1024, 64


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--arch", required=True)
    p.add_argument("--version", required=True)
    p.add_argument("--out", required=True, help="directory")
    p.add_argument("--binary", required=True)
    p.add_argument("--applets", required=True, help="what cribox --list says")
    p.add_argument("--kernel", required=True)
    p.add_argument("--modules", required=True, help="directory with kernel/ in it")
    p.add_argument("--ca", required=True)
    p.add_argument("--extra", default="")
    p.add_argument("--images", default="", help="OCI layouts, separated by blanks")
    p.add_argument("--kubelet", default="")
    p.add_argument("--module-set", default="")
    p.add_argument("--compress", default="zstd", choices=sorted(COMPRESS))
    return p.parse_args()


def put_modules(tree, kernel, arch, sets, version):
    """Modules of the sets and their index, below /lib/modules/VERSION."""
    lists = modindex.read_lists(os.path.join(HERE, "modules"), arch)
    named = {}
    for name in sets:
        found = [m for w in lists.get(name, []) for m in kernel.match(w, "initramfs/modules")]
        named[name] = [m for m in dict.fromkeys(found) if m in kernel.files]
    modules = kernel.closure({m for names in named.values() for m in names})
    for m in modules.values():
        tree.copy("lib/modules/%s/%s" % (version, os.path.basename(m.path)), m.path)
    index = modindex.build(
        kernel, modules, {"late": named.get("late", [])}, lambda m: os.path.basename(m.path)
    )
    tree.file("lib/modules/%s/cribox.index" % version, index)


def root_tree(args, kernel, version):
    tree = cpio.Tree()
    for name in DIRS:
        tree.dir(name, {"tmp": 0o1777, "root": 0o700}.get(name, 0o755))
    tree.char("dev/console", 0o600, 5, 1)  # before init has mounted anything
    tree.char("dev/null", 0o666, 1, 3)
    tree.copy("bin/cribox", args.binary, 0o755)
    with open(args.applets) as f:
        for name in f.read().split():
            tree.link("bin/" + name, "cribox")
    tree.link("init", "bin/cribox")
    # no /sbin before init makes it: each of the kernel's requests for a module while it is itself
    # still starting would run the modprobe in there for nothing
    for path in ("usr/bin", "usr/sbin"):
        tree.link(path, "../bin")
    tree.add(os.path.join(HERE, "root"))
    tree.file("etc/os-release", "NAME=cribox\nID=cribox\nVERSION_ID=%s\nPRETTY_NAME=\"cribox %s\"\n"
              % (args.version, args.version))
    tree.copy("etc/ssl/certs/ca-certificates.crt", args.ca)
    put_modules(tree, kernel, args.arch, ["late", "have"], version)
    if args.extra and not os.path.isdir(args.extra):
        raise ValueError("EXTRA=%s: not a directory" % args.extra)
    if args.extra:
        tree.add(args.extra)
    return tree


def payload_tree(args, kernel, version):
    """What does not belong into memory; None if there is nothing."""
    tree = cpio.Tree()
    for layout in args.images.split():
        name = os.path.basename(os.path.abspath(layout))
        if not os.path.isfile(os.path.join(layout, "oci-layout")):
            raise ValueError("IMAGES=%s: not an OCI layout (no file oci-layout)" % layout)
        if "images/" + name in tree.entries:
            raise ValueError("IMAGES: there are two layouts with the name %s" % name)
        part = cpio.Tree()
        part.add(layout)
        for path, entry in part.entries.items():
            tree.put("images/%s/%s" % (name, path), *entry)
    if args.kubelet:
        tree.copy("bin/kubelet", args.kubelet, 0o755)
    if args.module_set == "full":
        put_modules(tree, kernel, args.arch, ["late", "have", "full"], version)
    elif args.module_set:
        raise ValueError("MODULE_SET=%s: only 'full' is known" % args.module_set)
    return tree if tree.entries else None


def compress(data, how):
    done = subprocess.run(COMPRESS[how], input=data, stdout=subprocess.PIPE, check=True)
    return done.stdout


def replace(path, data):
    with open(path + ".part", "wb") as f:
        f.write(data)
    os.rename(path + ".part", path)


def write_payload(tree, path):
    """An erofs image with a label; mkfs.erofs before 1.7 writes none."""
    with tempfile.TemporaryDirectory(dir=os.path.dirname(path)) as work:
        top = os.path.join(work, "tree")
        os.mkdir(top, 0o755)
        os.chmod(top, 0o755)
        tree.write(top)
        image = os.path.join(work, "image")
        subprocess.run(
            ["mkfs.erofs", "-zlz4hc", "-T0", "--all-root", "-Enosbcrc",
             "-U", "63726962-6f78-4000-8000-7061796c6f61", image, top],
            stdout=subprocess.DEVNULL, check=True,
        )
        with open(image, "r+b") as f:
            f.seek(EROFS_SUPER)
            (magic, _, compat) = struct.unpack("<III", f.read(12))
            if magic != 0xE0F5E1E2 or compat & 1:
                raise ValueError("mkfs.erofs: not the superblock that was asked for")
            f.seek(EROFS_SUPER + EROFS_LABEL)
            f.write(LABEL.ljust(16, b"\0"))
            f.seek(0, os.SEEK_END)
            f.truncate(f.tell() + -f.tell() % 4096)
        os.rename(image, path)


def main():
    args = arguments()
    need = [args.compress] + ["mkfs.erofs"] * bool(args.images or args.kubelet or args.module_set)
    for tool in need:
        if not shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            raise ValueError("%s is not installed" % tool)
    kernel = modindex.Kernel(os.path.realpath(args.modules))
    version = os.path.basename(os.path.realpath(args.modules))
    os.makedirs(args.out, exist_ok=True)
    tree = root_tree(args, kernel, version)
    replace(os.path.join(args.out, "initramfs.img"), compress(tree.cpio(), args.compress))
    with open(args.kernel, "rb") as f:
        replace(os.path.join(args.out, "vmlinuz"), f.read())
    payload, path = payload_tree(args, kernel, version), os.path.join(args.out, "payload.img")
    if payload:
        write_payload(payload, path)
    elif os.path.exists(path):
        os.unlink(path)
    for name in ("initramfs.img", "vmlinuz", "payload.img"):
        path = os.path.join(args.out, name)
        if os.path.exists(path):
            print("  %s: %d bytes" % (path, os.path.getsize(path)))


if __name__ == "__main__":
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    try:
        main()
    except (OSError, ValueError, modindex.Bad, subprocess.CalledProcessError) as e:
        sys.exit("mkimage: %s" % e)
