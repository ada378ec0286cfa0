#!/usr/bin/python3
"""The node image: the same bits from the same input, its size, its modules as kmod sees them."""
# timeout: 900

import os
import shutil
import stat
import subprocess
import sys
import tempfile

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(REPO, "tests/it/lib"))
sys.path.insert(0, os.path.join(REPO, "initramfs"))
sys.path.insert(0, os.path.join(REPO, "images"))
sys.dont_write_bytecode = True
import frame  # noqa: E402
import modindex  # noqa: E402
import oci  # noqa: E402
from frame import equal, holds  # noqa: E402

os.chdir(REPO)
ARCHS = ["x86_64", "arm64", "ppc64le", "s390x"]
LIMIT = 5 << 20
WORK = tempfile.mkdtemp(prefix="image.", dir="build")
ENV = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
ENV["PATH"] += ":/usr/sbin:/sbin"


def make(*words, **options):
    done = subprocess.run(["make", "image"] + list(words), env=ENV, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)  # fmt: skip
    return done.returncode, done.stdout


def must_make(*words, **options):
    status, text = make(*words, **options)
    equal(status, 0, "make image: " + text[-400:])


def kernel_of(arch):
    with open("build/%s/kernel.path" % arch) as f:
        return [line.strip() for line in f]


def unpacked(path):
    """{path: (mode, data)} of an image, by Debian's cpio format reader in busybox."""
    top = tempfile.mkdtemp(dir=WORK)
    data = subprocess.run(["zstd", "-dcq", path], stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(["busybox", "cpio", "-idm", "--quiet"], input=data, cwd=top, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    return top


def test_all_four(_):
    """Each is built, and within its limit."""
    for arch in ARCHS:
        must_make("ARCH=" + arch)
        size = os.path.getsize("build/%s/initramfs.img" % arch)
        print("# %s: initramfs.img %d bytes" % (arch, size))
        if size > LIMIT:
            raise AssertionError("%s: %d bytes, at most %d" % (arch, size, LIMIT))


def extra(name, when):
    top = os.path.join(WORK, name)
    os.makedirs(top + "/opt/b")
    for path, text in (("opt/b/two", "2"), ("opt/a", "1"), ("etc/hosts", "127.0.0.1 other\n")):
        os.makedirs(os.path.dirname(os.path.join(top, path)), exist_ok=True)
        with open(os.path.join(top, path), "w") as f:
            f.write(text)
        os.utime(os.path.join(top, path), (when, when))
    os.symlink("a", top + "/opt/c")
    os.chmod(top + "/opt/a", 0o750)
    return top


def layout():
    out = os.path.join(WORK, "layout")
    image, made = oci.Image([oci.Layer().file("a", "1")], {}), oci.Layout()
    made.add(oci.index([image.manifest(made, "amd64")]), "latest")
    made.write(out)
    return out


def test_the_same_bits(_):
    """Twice, with other times, places, owners' masks and locales: payload and initramfs."""
    images = layout()
    for name, when, env, mask in (
        ("one", 10**9, {"TZ": "Asia/Tokyo", "LC_ALL": "C"}, 0o022),
        ("another", 1, {"TZ": "UTC", "LC_ALL": "C.UTF-8", "LANG": "tr_TR"}, 0o077),
    ):
        tree = extra(name + ".extra", when)
        old = os.umask(mask)
        try:
            must_make(
                "IMAGE_DIR=%s/%s" % (WORK, name), "EXTRA=" + tree, "IMAGES=" + images,
                "KUBELET=/bin/busybox", preexec_fn=lambda env=env: os.environ.update(env),
            )  # fmt: skip
        finally:
            os.umask(old)
    for file in ("initramfs.img", "vmlinuz", "payload.img"):
        one, other = (os.path.join(WORK, n, file) for n in ("one", "another"))
        with open(one, "rb") as a, open(other, "rb") as b:
            equal(a.read() == b.read(), True, "%s the same" % file)


def test_what_is_in_it(_):
    tree = unpacked(os.path.join(WORK, "one", "initramfs.img"))
    equal(os.readlink(tree + "/init"), "bin/cribox")
    equal(os.path.lexists(tree + "/sbin"), False, "a /sbin, where the kernel would find modprobe")
    with open(tree + "/bin/cribox", "rb") as a, open("build/x86_64/cribox", "rb") as b:
        equal(a.read() == b.read(), True, "the binary")
    names = subprocess.run(["build/x86_64/cribox", "--list"], stdout=subprocess.PIPE, text=True)
    for name in names.stdout.split():
        equal(os.readlink(tree + "/bin/" + name), "cribox")
    with open(tree + "/etc/hosts") as f:
        equal(f.read(), "127.0.0.1 other\n", "a file of EXTRA")
    equal(stat.S_IMODE(os.lstat(tree + "/opt/a").st_mode), 0o750)
    equal(os.readlink(tree + "/opt/c"), "a")
    equal(stat.S_IMODE(os.lstat(tree + "/tmp").st_mode), 0o1777)
    with open(tree + "/etc/ssl/certs/ca-certificates.crt") as f:
        holds(f.read(), "BEGIN CERTIFICATE")
    if os.geteuid() == 0:
        info = os.lstat(tree + "/dev/console")
        equal((stat.S_ISCHR(info.st_mode), info.st_rdev), (True, os.makedev(5, 1)))
    with open(os.path.join(WORK, "one", "payload.img"), "rb") as f:
        equal(f.read()[1024 + 64 : 1024 + 78], b"cribox-payload", "label")


def kmod_needs(modules, arch):
    """What kmod would load before each module, by its own depmod: {name: [names]}."""
    version = os.path.basename(os.path.realpath(modules))
    base = os.path.join(WORK, "kmod-" + arch)
    os.makedirs(base + "/lib/modules")
    shutil.copytree(os.path.realpath(modules), base + "/lib/modules/" + version,
                    copy_function=os.link)  # fmt: skip
    subprocess.run(["depmod", "-b", base, version], check=True, env=ENV)
    return base, version


def test_the_same_as_kmod(_):
    """For every module of the image: what is loaded before it, and that order is possible."""
    for arch in ARCHS:
        _, modules = kernel_of(arch)
        base, version = kmod_needs(modules, arch)
        kernel = modindex.Kernel(os.path.realpath(modules))
        lists = modindex.read_lists("initramfs/modules", arch)
        words = [w for n in ("late", "have") for w in lists[n]]
        named = {m for w in words for m in kernel.match(w, "modules")} & set(kernel.files)
        closure = kernel.closure(named)
        modindex.build(kernel, closure, {}, lambda m: m.path)
        with open(base + "/lib/modules/%s/modules.dep" % version) as f:
            deps = {}
            for line in f:
                name, _, needs = line.partition(":")
                deps[modindex.name_of(name)] = {modindex.name_of(n) for n in needs.split()}
        for name in closure:
            order = modindex.order_of(closure, name)
            hard = {n for n, soft in order if not soft}
            missing = deps[name] - {n for n, _ in order}
            equal(missing, set(), "%s: %s lacks" % (arch, name))
            wrong = {n for n in hard - deps[name] if not any(n in deps[o] for o, s in order if s)}
            equal(wrong, set(), "%s: %s needs not" % (arch, name))
            before = set()
            for other, _ in order:
                equal(deps[other] - before, set(), "%s: %s: too early: %s" % (arch, name, other))
                before.add(other)
        print("# %s: %d modules" % (arch, len(closure)))
        # softdeps and aliases, as modprobe resolves them
        for name in ("libcrc32c", "ext4", "btrfs"):
            if name in closure:
                shown = subprocess.run(
                    ["modprobe", "-C", "/dev/null", "-d", base, "-S", version, "--show-depends",
                     name], stdout=subprocess.PIPE, text=True, env=ENV)  # fmt: skip
                want = {modindex.name_of(line.split()[1]) for line in shown.stdout.split("\n")
                        if line.startswith("insmod")} - {name}  # fmt: skip
                got = {n for n, _ in modindex.order_of(closure, name)}
                equal(want - got, set(), "%s: %s wants" % (arch, name))
        shutil.rmtree(base)


def test_what_is_wrong_is_named(_):
    for words, text in (
        (["KERNEL=nothing-such/trixie"], "nothing-such"),
        (["KERNEL=linux-image-cloud-amd64"], "PACKAGE/SUITE"),
        (["KERNEL=/nowhere.deb"], "/nowhere.deb: no such file"),
        (["KERNEL=/bin/busybox", "MODULES=" + WORK], "no modules"),
        (["IMAGES=tests"], "not an OCI layout"),
        (["EXTRA=/nowhere-at-all"], "/nowhere-at-all"),
        (["MODULE_SET=big"], "MODULE_SET=big"),
        (["CA_BUNDLE=/nowhere.crt"], "/nowhere.crt"),
    ):
        status, said = make("IMAGE_DIR=%s/wrong" % WORK, *words)
        if status == 0:
            raise AssertionError("%s: was built" % words)
        holds(said, text, " ".join(words))


tests = [f for n, f in globals().items() if n.startswith("test_")]
try:
    sys.exit(1 if frame.run(tests) else 0)
finally:
    shutil.rmtree(WORK)
