"""A disk for a guest in which the integration tests of this tree run: the files of the packages that
are installed here and that the tests need, in a directory 'root' (which a test enters with
images/enter.py), the tree itself at /repo, and tests/boot/in-guest.sh."""

import glob
import os
import shutil
import stat
import subprocess

PACKAGES = """python3 python3-grpcio python3-protobuf python3-websocket python3-yaml iproute2
docker-registry util-linux mount procps busybox-static strace openssl coreutils bash dash sed grep
gawk nftables kmod libc-bin protobuf-compiler libprotobuf-dev diffutils findutils hostname""".split()
LEAVE = ("/usr/share/doc", "/usr/share/man", "/usr/share/locale", "/usr/share/info", "/usr/lib/x86_64-linux-gnu/libprotoc.a",
         "/usr/lib/x86_64-linux-gnu/libprotobuf.a", "/usr/share/i18n", "/usr/share/bash-completion")  # fmt: skip
ALSO = ["/etc/passwd", "/etc/group", "/etc/ld.so.cache", "/etc/ssl/certs/ca-certificates.crt",
        "/etc/protocols", "/etc/services", "/etc/hosts"]  # fmt: skip
TREE = ["Makefile", "README.md", "applets", "arch", "images", "initramfs", "lib", "proto", "tests",
        "build/src/protobuf-c/protobuf-c", "build/x86_64/cribox"]  # fmt: skip


def packages():
    """The wanted packages with all that they depend on, of those that are installed."""
    shown = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package}\t${Depends}, ${Pre-Depends}\t${Provides}\n"],
        stdout=subprocess.PIPE, text=True, check=True,
    ).stdout  # fmt: skip
    needs, provider = {}, {}
    for line in shown.splitlines():
        name, depends, provides = line.split("\t")
        words = [[a.split()[0].split(":")[0] for a in d.split("|") if a.strip()]
                 for d in depends.split(",")]  # fmt: skip
        needs[name] = words
        provider[name] = name
        for word in provides.split(","):
            if word.strip():
                provider.setdefault(word.split()[0], name)
    todo, done = list(PACKAGES), set()
    while todo:
        name = provider.get(todo.pop())
        if not name or name in done:
            continue
        done.add(name)
        for alternatives in needs[name]:
            todo += [a for a in alternatives if a in provider][:1]
    return sorted(done)


def files(names):
    for name in names:
        for path in glob.glob("/var/lib/dpkg/info/%s.list" % name) + glob.glob(
            "/var/lib/dpkg/info/%s:*.list" % name
        ):
            with open(path) as f:
                yield from (line.strip() for line in f)


def place(path):
    """Where a file really is: /bin/x is /usr/bin/x."""
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def copy(path, root):
    path = place(path)
    target = root + path
    try:
        info = os.lstat(path)
    except FileNotFoundError:
        return
    if os.path.lexists(target):
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if stat.S_ISDIR(info.st_mode):
        os.makedirs(target, exist_ok=True)
        cache = path + "/__pycache__"
        if os.path.isdir(cache):
            shutil.copytree(cache, target + "/__pycache__", dirs_exist_ok=True)
    elif stat.S_ISLNK(info.st_mode):
        os.symlink(os.readlink(path), target)
    elif stat.S_ISREG(info.st_mode):
        shutil.copy2(path, target)


def make_tree(root, repo):
    for link in ("bin", "sbin", "lib", "lib64"):
        os.makedirs(root + "/usr/" + link, exist_ok=True)
        os.symlink("usr/" + link, root + "/" + link)
    for name in ("dev", "proc", "sys", "run", "tmp", "root", "mnt", "var/lib", "var/tmp"):
        os.makedirs(os.path.join(root, name), exist_ok=True)
    for path in list(files(packages())) + ALSO:
        if not path.startswith(LEAVE) and path != "/.":
            copy(path, root)
    with open(root + "/etc/resolv.conf", "w") as f:
        f.write("nameserver 192.0.2.53\nsearch example.org\n")
    os.symlink("gawk", root + "/usr/bin/awk")  # elsewhere by /etc/alternatives
    for path in TREE:
        source, target = os.path.join(repo, path), os.path.join(root, "repo", path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.isdir(source):
            shutil.copytree(source, target, symlinks=True)
        else:
            shutil.copy2(source, target)
