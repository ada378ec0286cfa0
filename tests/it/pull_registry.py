#!/usr/bin/python3
"""Pulling from a real registry (docker-registry): formats, names, authentication, TLS, mirrors,
platforms; the merged tree against umoci's."""
# timeout: 600

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
from frame import CRIBOX, equal, holds, sh, until  # noqa: E402
import puller  # noqa: E402
from puller import Worker, contents, fails, none_left, pull  # noqa: E402
import registries  # noqa: E402
from registries import ARCH, CA, Registry, TokenServer, oci, tree  # noqa: E402

PLAIN = "127.0.0.1:5000"


def rich_layers():
    a = oci.Layer()
    a.dir("etc", 0o755).dir("usr").dir("usr/lib").dir("home", 0o700, 1000, 100)
    a.dir("tmp", 0o1777).dir("var").dir("gone").dir("opaque")
    a.file("etc/a", "a\n", 0o640, 1, 2).file("gone/x", "x").file("opaque/old", "old")
    a.file("usr/lib/tool", b"\x7fELF" * 5000, 0o4755).symlink("lib", "usr/lib")
    a.hardlink("usr/lib/tool2", "usr/lib/tool").file("file-then-dir", "f")
    a.entry("etc/caps", b"0", b"data", pax={"SCHILY.xattr.user.note": "hello"})
    b = oci.Layer()
    b.whiteout("gone").opaque("opaque").file("opaque/new", "new")
    b.file("lib/through-link", "in usr/lib").file("etc/a", "changed\n", 0o600)
    b.whiteout("file-then-dir").dir("file-then-dir").file("file-then-dir/in", "in")
    b.file("implied/parents/deep", "deep", 0o755)
    c = oci.Layer()
    c.hardlink("usr/lib/tool3", "usr/lib/tool").dir("home", 0o711, 7, 8)
    return [a, b, c]


def push(address, name, image, tag="latest", arch=ARCH):
    layout = oci.Layout()
    layout.add(oci.index([image.manifest(layout, arch)], image.flavor), tag)
    layout.push(address, name)
    return layout


class Bed:
    def __init__(self):
        self.base = tempfile.mkdtemp(prefix="pull-", dir="/var/tmp")
        self.count = 0
        # nobody serves names here; waiting for that is not the test
        names = os.path.join(self.base, "resolv.conf")
        with open(names, "w") as f:
            f.write("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        sh("mount", "--bind", names, os.path.realpath("/etc/resolv.conf"))
        self.registry = Registry(self.base, 5000)
        self.image = oci.Image(rich_layers(), {"Cmd": ["/usr/lib/tool"]})
        push(PLAIN, "rich", self.image)

    def root(self):
        self.count += 1
        return os.path.join(self.base, "root-%d" % self.count)

    def hosts(self, host, text):
        """A registry directory with one hosts.toml."""
        self.count += 1
        top = os.path.join(self.base, "certs-%d" % self.count)
        os.makedirs(os.path.join(top, host))
        with open(os.path.join(top, host, "hosts.toml"), "w") as f:
            f.write(text)
        return top

    def stop(self):
        self.registry.stop()
        shutil.rmtree(self.base, ignore_errors=True)


def image_dir(root, image):
    return os.path.join(root, "images", image["id"].split(":")[1])


def merged(bed, root, image):
    """The image's merged tree, as tree() describes it."""
    with open(os.path.join(image_dir(root, image), "config")) as f:
        diffs = json.load(f)["rootfs"]["diff_ids"]
    chain, dirs = None, []
    for diff in diffs:
        text = diff if chain is None else "%s %s" % (chain, diff)
        chain = diff if chain is None else "sha256:" + hashlib.sha256(text.encode()).hexdigest()
        dirs.insert(0, os.path.join(root, "layers", chain.split(":")[1], "fs"))
    if len(dirs) == 1:
        return tree(dirs[0])
    at = os.path.join(bed.base, "view")
    os.makedirs(at, exist_ok=True)
    sh("mount", "-t", "overlay", "-o", "ro,lowerdir=" + ":".join(dirs), "view", at)
    try:
        return tree(at)
    finally:
        sh("umount", at)


def umoci_tree(bed, name):
    layout, bundle = os.path.join(bed.base, "layout"), os.path.join(bed.base, "bundle")
    for d in (layout, bundle):
        shutil.rmtree(d, ignore_errors=True)
    sh("skopeo", "copy", "-q", "--src-tls-verify=false", "docker://%s/%s" % (PLAIN, name),
       "oci:%s:x" % layout)  # fmt: skip
    sh("umoci", "unpack", "--image", layout + ":x", bundle)
    return tree(os.path.join(bundle, "rootfs"))


def same_tree(got, want):
    # umoci makes the root itself anew; no layer of these images names it
    got.pop("."), want.pop(".")
    if got != want:
        names = sorted(n for n in set(got) | set(want) if got.get(n) != want.get(n))
        lines = ["%s: %s, umoci has %s" % (n, got.get(n), want.get(n)) for n in names[:4]]
        raise AssertionError("; ".join(lines))


def test_formats(bed):
    want = None
    for flavor in ("oci", "docker"):
        for compress in ("gzip", "none"):
            name = "%s-%s" % (flavor, compress)
            image = oci.Image(rich_layers(), {}, flavor=flavor, compress=compress)
            push(PLAIN, name, image)
            root = bed.root()
            got = merged(bed, root, pull(root, "%s/%s" % (PLAIN, name)))
            want = want or umoci_tree(bed, "rich")
            same_tree(dict(got), dict(want))


def test_zstd_by_skopeo(bed):
    layout = oci.Layout()
    image = oci.Image(rich_layers(), {}, compress="none")
    layout.add(image.manifest_document(layout, ARCH), "x")
    where = os.path.join(bed.base, "plain-layout")
    layout.write(where)
    sh("skopeo", "copy", "-q", "--dest-tls-verify=false", "--dest-compress-format", "zstd",
       "oci:%s:x" % where, "docker://%s/zstd" % PLAIN)  # fmt: skip
    root = bed.root()
    image = pull(root, PLAIN + "/zstd")
    with open(os.path.join(image_dir(root, image), "manifest")) as f:
        holds(f.read(), "tar+zstd")
    same_tree(merged(bed, root, image), umoci_tree(bed, "rich"))


def test_names_and_record(bed):
    root = bed.root()
    image = pull(root, PLAIN + "/rich")
    equal(image["repo_tags"], [PLAIN + "/rich:latest"], "tags")
    name, digest = image["repo_digests"][0].split("@")
    equal(name, PLAIN + "/rich")
    sent = sh("skopeo", "inspect", "--raw", "--tls-verify=false", "docker://%s/rich" % PLAIN)
    equal(digest, "sha256:" + hashlib.sha256(sent.encode()).hexdigest(), "digest")
    # both documents are kept byte for byte
    with open(os.path.join(image_dir(root, image), "config"), "rb") as f:
        equal("sha256:" + hashlib.sha256(f.read()).hexdigest(), image["id"], "config")
    # by digest: no tag; with a tag beside it: still none
    for ref in ("@" + digest, ":latest@" + digest):
        other = bed.root()
        image = pull(other, PLAIN + "/rich" + ref)
        equal(image["repo_tags"], [], "tags")
        equal(image["repo_digests"], ["%s/rich@%s" % (PLAIN, digest)], "digests")


def test_second_pull_downloads_nothing(bed):
    root = bed.root()
    first = pull(root, PLAIN + "/rich")
    before = contents(root)
    shutil.rmtree(os.path.join(bed.base, "moved"), ignore_errors=True)
    blobs = os.path.join(bed.registry.dir, "docker/registry/v2/blobs/sha256")
    hidden = []
    for top, _, files in os.walk(blobs):
        for name in files:
            path = os.path.join(top, name)
            with open(path, "rb") as f:
                if f.read(2) == b"\x1f\x8b":
                    hidden.append(path)
    for path in hidden:
        os.rename(path, path + ".away")
    try:
        equal(pull(root, PLAIN + "/rich")["id"], first["id"])
    finally:
        for path in hidden:
            os.rename(path + ".away", path)
    equal(contents(root), before, "the store")


def test_what_is_there_is_only_asked_for(bed):
    """Registries count what is got: an image that is whole in the store costs one HEAD."""
    with registries.Proxy(5032, ("127.0.0.1", 5000)) as proxy:
        top = bed.hosts("registry.example", 'server = "http://registry.example"\n')
        ref, root = "registry.example/rich", bed.root()

        def again(**more):
            proxy.requests.clear()
            env = {"HTTP_PROXY": "http://127.0.0.1:5032"}
            image = with_env(env, lambda: pull(root, ref, registry_dir=top, **more))
            return image, [r[0] for r in proxy.requests]

        first, asked = again()
        assert "HEAD" not in asked and len(asked) == 6, asked
        image, asked = again()
        equal((image, asked), (first, ["HEAD"]))
        # another tag of the same image
        layout = oci.Layout()
        layout.add(oci.index([bed.image.manifest(layout, ARCH)]), "second")
        layout.push(PLAIN, "rich")
        ref += ":second"
        image, asked = again()
        equal(asked, ["HEAD"])
        equal(sorted(image["repo_tags"]), [ref[:-7] + ":latest", ref])
        # a layer is missing: it is repaired
        layers = os.path.join(root, "layers")
        shutil.rmtree(os.path.join(layers, sorted(os.listdir(layers))[0]))
        image, asked = again()
        equal(len(os.listdir(layers)), 3)
        assert "GET" in asked
        # by digest
        ref = image["repo_digests"][0]
        image, asked = again()
        equal((image["id"], asked), (first["id"], ["HEAD"]))
        # for another platform it is another question
        try:
            again(platform="linux/s390x" if ARCH != "s390x" else "linux/amd64")
            raise AssertionError("an image for another platform")
        except puller.Failed as e:
            equal(e.code, puller.NOT_FOUND)


def test_tag_moves(bed):
    root = bed.root()
    old = push(PLAIN, "moving", oci.Image([oci.Layer().file("v", "1")], {}))
    first = pull(root, PLAIN + "/moving")
    push(PLAIN, "moving", oci.Image([oci.Layer().file("v", "2")], {}))
    second = pull(root, PLAIN + "/moving")
    assert first["id"] != second["id"] and old
    equal(second["repo_tags"], [PLAIN + "/moving:latest"])


def test_platform(bed):
    layout = oci.Layout()
    images = {
        a: oci.Image([oci.Layer().file("arch", a + (v or ""))], {})
        for a, v in (("s390x", ""), ("arm64", ""), ("amd64", ""), ("arm", ""))
    }
    entries = [i.manifest(layout, a) for a, i in images.items() if a != "arm"]
    v6 = oci.Image([oci.Layer().file("arch", "v6")], {}).manifest(layout, "arm", variant="v6")
    v7 = oci.Image([oci.Layer().file("arch", "v7")], {}).manifest(layout, "arm", variant="v7")
    layout.add(oci.index(entries + [v6, v7]), "latest")
    layout.push(PLAIN, "multi")
    for platform, want in (
        (None, ARCH), ("linux/s390x", "s390x"), ("linux/arm64/v8", "arm64"),
        ("linux/arm/v7", "v7"), ("linux/arm/v6", "v6"), ("linux/aarch64", "arm64"),
    ):  # fmt: skip
        root = bed.root()
        image = pull(root, PLAIN + "/multi", platform=platform)
        layer = os.listdir(os.path.join(root, "layers"))
        equal(len(layer), 1)
        with open(os.path.join(root, "layers", layer[0], "fs/arch")) as f:
            equal(f.read(), want, str(platform))
        assert image
    fails(puller.NOT_FOUND, ["no image for linux/riscv64", "linux/s390x"], bed.root(),
          PLAIN + "/multi", platform="linux/riscv64")  # fmt: skip
    fails(puller.INVALID, "platform", bed.root(), PLAIN + "/multi", platform="x")


def test_single_manifest_for_another_machine(bed):
    layout = oci.Layout()
    other = "s390x" if ARCH != "s390x" else "amd64"
    layout.add(oci.Image([oci.Layer().file("a", "b")], {}).manifest_document(layout, other), "x")
    layout.push(PLAIN, "single")
    fails(puller.NOT_FOUND, "the image is for linux/" + other, bed.root(), PLAIN + "/single:x")


def test_bad_names(bed):
    root = bed.root()
    fails(puller.NOT_FOUND, ["image %s/nothing:latest not found" % PLAIN], root, PLAIN + "/nothing")
    fails(puller.NOT_FOUND, "not found", root, PLAIN + "/rich:nothing")
    fails(puller.NOT_FOUND, "not found", root, PLAIN + "/rich@sha256:" + "0" * 64)
    for bad in ("x/UPPER", "a b", "x:", "x@sha256:12", "http://a/b", "", "\x1b[31m"):
        fails(puller.INVALID, "image", root, bad)
    message = fails(puller.UNAVAILABLE, "127.0.0.1", root, "127.0.0.1:1/x")
    holds(message, "refused")
    fails(puller.UNAVAILABLE, "no-such-host.invalid", root, "no-such-host.invalid/x")
    none_left(root)


def test_basic_auth(bed):
    auth = registries.htpasswd(bed.base, "user", "pass-word")
    with Registry(bed.base, 5001) as r:
        push(r.address, "private", bed.image)
    with Registry(bed.base, 5001, auth=auth) as r:
        ref = r.address + "/private"
        fails(puller.UNAUTHENTICATED, "no credentials", bed.root(), ref)
        wrong = {"username": "user", "password": "wr0ng-secret"}
        said = fails(puller.UNAUTHENTICATED, "refuses the credentials", bed.root(), ref, auth=wrong)
        assert "wr0ng-secret" not in said
        good = {"username": "user", "password": "pass-word"}
        pull(bed.root(), ref, auth=good)
        pull(bed.root(), ref, auth={"auth": "dXNlcjpwYXNzLXdvcmQ="})
        for address in ("http://" + r.address, r.address, "http://%s/v2/" % r.address):
            pull(bed.root(), ref, auth=dict(good, server_address=address))
        other = dict(good, server_address="https://other.example")
        fails(puller.UNAUTHENTICATED, "no credentials", bed.root(), ref, auth=other)
        root = bed.root()
        sh(CRIBOX, "pull", "-q", "--root", root, "--creds", "user:pass-word", ref)


def test_token_auth(bed):
    with Registry(bed.base, 5002) as r:
        push(r.address, "a/private", bed.image)
    users = {"user": "pass-word"}
    with TokenServer(bed.base, 5003, users, ["identity-secret"]) as tokens:
        with Registry(bed.base, 5002, auth=tokens.auth()) as r:
            ref = r.address + "/a/private"
            fails(puller.UNAUTHENTICATED, "not show it to everybody", bed.root(), ref)
            wrong = {"username": "user", "password": "wr0ng-secret"}
            said = fails(puller.UNAUTHENTICATED, "token server", bed.root(), ref, auth=wrong)
            assert "wr0ng" not in said and "scope" not in said, said
            tokens.requests.clear()
            pull(bed.root(), ref, auth={"username": "user", "password": "pass-word"})
            equal(len(tokens.requests), 1, "token requests")
            holds(tokens.requests[0][1], "scope=repository%3Aa%2Fprivate%3Apull")
            holds(tokens.requests[0][1], "service=test")
            pull(bed.root(), ref, auth={"identity_token": "identity-secret"})
            equal(tokens.requests[-1][0], "POST")
            fails(puller.UNAUTHENTICATED, "refused", bed.root(), ref,
                  auth={"identity_token": "other-secret"})  # fmt: skip
            token = tokens.token("user", ["repository:a/private:pull"])
            pull(bed.root(), ref, auth={"registry_token": token})
            fails(puller.UNAUTHENTICATED, "refuses", bed.root(), ref,
                  auth={"registry_token": "nonsense-token"})  # fmt: skip


def tls(cert, extra=""):
    return ", tls: {certificate: %s, key: %s%s}" % (cert[0], cert[1], extra)


def test_tls(bed):
    ca, other = CA(bed.base, "ca"), CA(bed.base, "other-ca")
    cases = {
        "good-rsa": (ca.issue("good-rsa", "IP:127.0.0.1,DNS:localhost"), None),
        "good-ec": (
            ca.issue("good-ec", "IP:127.0.0.1", key=("ec", "-pkeyopt", "ec_paramgen_curve:P-384")),
            None,
        ),
        "name": (ca.issue("name", "DNS:example.org,IP:127.0.0.2"), "another host name"),
        "expired": (ca.issue("expired", "IP:127.0.0.1", days="-1"), "expired or is not valid yet"),
        "short": (ca.issue("short", "IP:127.0.0.1", key=("rsa:1024",)), "too short"),
        "sha1": (ca.issue("sha1", "IP:127.0.0.1", digest="-sha1"), "not supported (SHA-1?)"),
        "issuer": (other.issue("issuer", "IP:127.0.0.1"), "unknown issuer"),
    }
    with Registry(bed.base, 5010, name="tls") as r:
        push(r.address, "x", bed.image)
    host = "127.0.0.1:5010"
    certs = bed.hosts(host, 'server = "https://%s"\nca = "%s"\n' % (host, ca.cert))
    skip = bed.hosts(host, 'server = "https://%s"\nskip_verify = true\n' % host)
    none = bed.hosts(host, 'server = "https://%s"\n' % host)
    for name, (cert, why) in cases.items():
        with Registry(bed.base, 5010, http=tls(cert), name="tls") as r:
            ref = r.address + "/x"
            if why:
                fails(puller.DENIED, ["TLS with 127.0.0.1", why], bed.root(), ref,
                      registry_dir=certs)  # fmt: skip
            else:
                pull(bed.root(), ref, registry_dir=certs)
                fails(puller.DENIED, "unknown issuer", bed.root(), ref, registry_dir=none)
            if name not in ("short", "sha1"):
                pull(bed.root(), ref, registry_dir=skip)
    # what is not TLS 1.2
    with Registry(bed.base, 5010, http=tls(cases["good-rsa"][0], ", minimumtls: tls1.3"),
                  name="tls"):  # fmt: skip
        fails(puller.UNAVAILABLE, "TLS 1.3", bed.root(), host + "/x", registry_dir=certs)
    with Registry(bed.base, 5010, name="tls"):
        fails(puller.UNAVAILABLE, "does not speak TLS", bed.root(), host + "/x",
              registry_dir=certs)  # fmt: skip
    # by name: also names are checked, and sent
    with Registry(bed.base, 5010, http=tls(cases["good-rsa"][0]), name="tls"):
        named = bed.hosts("localhost:5010", 'server = "https://localhost:5010"\nca = ["%s"]\n'
                          % ca.cert)  # fmt: skip
        pull(bed.root(), "localhost:5010/x", registry_dir=named)


def test_client_certificate(bed):
    ca = CA(bed.base, "client-ca")
    server = ca.issue("server", "IP:127.0.0.1")
    for name, key in (("client-rsa", ("rsa:2048",)),
                      ("client-ec", ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"))):  # fmt: skip
        cert = ca.issue(name, "DNS:client", key=key, usage="extendedKeyUsage=clientAuth\n")
        with Registry(bed.base, 5011, name="mutual") as r:
            push(r.address, "x", bed.image)
        with Registry(bed.base, 5011, name="mutual",
                      http=tls(server, ", clientcas: [%s]" % ca.cert)) as r:  # fmt: skip
            text = 'server = "https://%s"\nca = "%s"\n' % (r.address, ca.cert)
            with_cert = text + 'client = [["%s", "%s"]]\n' % cert
            pull(bed.root(), r.address + "/x", registry_dir=bed.hosts(r.address, with_cert))
            fails(puller.UNAVAILABLE, "certificate", bed.root(), r.address + "/x",
                  registry_dir=bed.hosts(r.address, text))  # fmt: skip


def test_mirrors(bed):
    dead, up = "127.0.0.1:9", "127.0.0.1:5000"
    ref = "registry.example/rich"
    text = 'server = "http://127.0.0.1:9"\n'
    two = text + '[host."http://%s"]\n[host."http://%s"]\n' % (dead, up)
    image = pull(bed.root(), ref, registry_dir=bed.hosts("registry.example", two))
    equal(image["repo_tags"], ["registry.example/rich:latest"], "tags keep the asked name")
    # read at every pull; _default; ports as containerd spells them
    top = bed.hosts("_default", two)
    pull(bed.root(), ref, registry_dir=top)
    with open(os.path.join(top, "_default/hosts.toml"), "w") as f:
        f.write(text)
    fails(puller.UNAVAILABLE, "refused", bed.root(), ref, registry_dir=top)
    for spelling in ("registry.example:5000", "registry.example_5000_"):
        pull(bed.root(), "registry.example:5000/rich", registry_dir=bed.hosts(spelling, two))
    # a mirror that may not resolve tags
    only_pull = text + '[host."http://%s"]\ncapabilities = ["pull"]\n' % up
    top = bed.hosts("registry.example", only_pull)
    fails(puller.UNAVAILABLE, "refused", bed.root(), ref, registry_dir=top)
    pull(bed.root(), "registry.example/rich@" + image["repo_digests"][0].split("@")[1],
         registry_dir=top)  # fmt: skip


def with_env(values, fn):
    os.environ.update(values)
    try:
        return fn()
    finally:
        for key in values:
            del os.environ[key]


def test_proxy(bed):
    ca = CA(bed.base, "proxy-ca")
    cert = ca.issue("proxied", "DNS:registry.example")
    plain = bed.hosts("registry.example", 'server = "http://registry.example"\n')
    secure = bed.hosts("registry.example", 'server = "https://registry.example"\nca = "%s"\n'
                       % ca.cert)  # fmt: skip
    ref = "registry.example/rich"
    with registries.Proxy(5030, ("127.0.0.1", 5000), "us er:p@ss") as proxy:
        env = {"HTTP_PROXY": "http://us%20er:p%40ss@127.0.0.1:5030"}
        with_env(env, lambda: pull(bed.root(), ref, registry_dir=plain))
        assert all(p.startswith("http://registry.example/v2/") for _, p, _ in proxy.requests)
        wrong = {"http_proxy": "127.0.0.1:5030"}
        with_env(wrong, lambda: fails(puller.UNAVAILABLE, "407", bed.root(), ref, registry_dir=plain))
        for none in ("*", ".example", "x, registry.example", "registry.example:80"):
            proxy.requests.clear()
            said = with_env(dict(env, NO_PROXY=none), lambda: fails(
                puller.UNAVAILABLE, "connect to registry.example", bed.root(), ref,
                registry_dir=plain))  # fmt: skip
            equal((proxy.requests, "p@ss" in said), ([], False), none)
        proxy.requests.clear()
        with_env(env, lambda: pull(bed.root(), PLAIN + "/rich"))
        equal(proxy.requests, [], "requests for this machine")
        bad = {"HTTP_PROXY": "socks5://x"}
        with_env(bad, lambda: fails(puller.INVALID, "HTTP_PROXY", bed.root(), ref))
    with Registry(bed.base, 5031, name="proxied") as r:
        push(r.address, "rich", bed.image)
    with Registry(bed.base, 5031, name="proxied", http=tls(cert)):
        with registries.Proxy(5030, ("127.0.0.1", 5031), "u:secret-p") as proxy:
            env = {"HTTPS_PROXY": "http://u:secret-p@127.0.0.1:5030/"}
            with_env(env, lambda: pull(bed.root(), ref, registry_dir=secure))
            assert all(r[:2] == ("CONNECT", "registry.example:443") for r in proxy.requests)
            env = {"HTTPS_PROXY": "http://u:secret-q@127.0.0.1:5030/"}
            said = with_env(env, lambda: fails(
                puller.UNAUTHENTICATED, "proxy 127.0.0.1:5030: it refuses", bed.root(), ref,
                registry_dir=secure))  # fmt: skip
            assert "secret-q" not in said


def test_ipv6(bed):
    if not os.path.exists("/proc/net/if_inet6"):
        raise frame.Skip("this kernel has no IPv6")
    with open(os.path.join(bed.base, "six.yml"), "w") as f:
        f.write("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
                "storage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: '[::1]:5040'}\n"
                % bed.registry.dir)  # fmt: skip
    registry = subprocess.Popen(["docker-registry", "serve", f.name], stderr=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL)  # fmt: skip
    try:
        until(lambda: subprocess.run(["bash", "-c", "</dev/tcp/::1/5040"],
                                     stderr=subprocess.DEVNULL).returncode == 0, 20, "::1")
        image = pull(bed.root(), "[::1]:5040/rich")
        equal(image["repo_tags"], ["[::1]:5040/rich:latest"])
    finally:
        puller.kill(registry)


def test_bad_hosts_toml(bed):
    for text, words in (
        ("x = oops\n", "hosts.toml: line 1: x: expected a value"),
        ("server = 5\n", "line 1: server must be a string"),
        ('\n[host."ftp://x"]\n', "line 2: host: malformed URL"),
        ('[host."http://x"]\nskip_verify = "yes"\n', "line 2: skip_verify must be true or false"),
        ('[host."http://x"]\ncapabilities = ["fly"]\n', "line 2: capabilities"),
        ('[host."http://x"]\nca = "nothing.pem"\n', "nothing.pem: No such file"),
        ('[host."http://x".header]\n"a b" = "c"\n', "is not a header field"),
    ):
        top = bed.hosts(PLAIN, text)
        try:
            pull(bed.root(), PLAIN + "/rich", registry_dir=top)
            raise AssertionError("%r was accepted" % text)
        except puller.Failed as e:
            holds(e.message, words)
    fails(puller.NOT_FOUND, "/nowhere", bed.root(), PLAIN + "/rich", registry_dir="/nowhere")


def test_two_pulls_at_once(bed):
    layers = [oci.Layer().file("f%d" % i, os.urandom(3 << 20)) for i in range(6)]
    push(PLAIN, "six", oci.Image(layers, {}))
    root = bed.root()
    workers = [Worker(root, op="pull", image=PLAIN + "/six") for _ in range(4)]
    ids = {w.result()["image"]["id"] for w in workers}
    equal(len(ids), 1)
    equal(len(os.listdir(os.path.join(root, "layers"))), 6)
    none_left(root)


def test_progress_events(bed):
    root = bed.root()
    push(PLAIN, "large", oci.Image([oci.Layer().file("f", os.urandom(60 << 20))], {}))
    worker = Worker(root, op="pull", image=PLAIN + "/large")
    start = time.monotonic()
    worker.result()
    took = time.monotonic() - start
    assert len(worker.events) <= took * 4 + 1, (len(worker.events), took)
    for e in worker.events:
        equal(e["event"], "progress")
        layer = e["layers"][0]
        assert 0 <= layer["done"] <= layer["total"], layer


def test_remove_and_gc(bed):
    root = bed.root()
    one = pull(root, PLAIN + "/rich")
    push(PLAIN, "other", oci.Image([oci.Layer().file("o", "o")], {}))
    pull(root, PLAIN + "/other")
    Worker(root, op="remove", image=one["id"]).result()
    equal(len(os.listdir(root + "/images")), 1)
    equal(len(os.listdir(root + "/layers")), 1)
    Worker(root, op="remove", image=PLAIN + "/other").result()
    equal(contents(root), set(), "the store")
    Worker(root, op="gc").result()
    try:
        Worker(root, op="dance").result()
        raise AssertionError("an unknown operation was accepted")
    except puller.Failed as e:
        equal(e.code, puller.UNIMPLEMENTED)


def test_command_line(bed):
    root = bed.root()
    out = subprocess.run([CRIBOX, "pull", "--root", root, PLAIN + "/rich"], text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    equal(out.returncode, 0)
    equal(len(out.stdout.split()), 1)
    assert out.stdout.startswith("sha256:")
    equal(len([x for x in out.stderr.splitlines() if x.startswith("layer ")]), 3, "lines")
    out = subprocess.run([CRIBOX, "pull", "--root", root, PLAIN + "/nope"], text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    equal((out.returncode, out.stdout), (1, ""))
    equal(len(out.stderr.splitlines()), 1)
    holds(out.stderr, "not found")
    for args in ([], ["a", "b"], ["--bogus", "x"], ["--root"], ["--creds", "x", "y"]):
        out = subprocess.run([CRIBOX, "pull"] + args, text=True, stderr=subprocess.PIPE)
        equal(out.returncode, 1)
        equal(len(out.stderr.splitlines()), 1)
    # on a terminal: bars
    out = sh("script", "-qec", "%s pull --root %s %s/rich" % (CRIBOX, bed.root(), PLAIN),
             "/dev/null")  # fmt: skip
    holds(out, "[=====")


def test_cancel(bed):
    for how in ("eof", "term", "kill"):
        with registries.Evil(5020) as evil:
            evil.reset(oci.Image([oci.Layer().file("f", os.urandom(5 << 20)) for _ in range(4)], {}))

            def slow(handler, kind, name):
                data = handler.find(kind, name)
                if kind != "blobs" or len(data) < 100000:
                    return False
                handler.part(data[:300000], len(data))
                handler.close_connection = True
                time.sleep(30)
                return True

            evil.hooks.append(slow)
            root = bed.root()
            worker = Worker(root, op="pull", image=evil.address + "/x")
            until(lambda: len([r for r in evil.requests if "/blobs/" in r[0]]) >= 4, 20, "layers")
            time.sleep(0.3)
            start = time.monotonic()
            if how == "eof":
                worker.sock.close()
                worker.process.wait(20)
            else:
                sig = signal.SIGTERM if how == "term" else signal.SIGKILL
                puller.kill(worker.process, sig)
            assert time.monotonic() - start < 2, "slow to cancel"
            none_left(root)
            if how == "kill":
                # the next worker clears up
                Worker(root, op="gc").result()
            equal(contents(root), set(), how)


def test_many_layers(bed):
    layers = [oci.Layer().dir("d").file("d/%d" % i, str(i)) for i in range(100)]
    push(PLAIN, "many", oci.Image(layers, {}))
    root = bed.root()
    pull(root, PLAIN + "/many")
    equal(len(os.listdir(os.path.join(root, "layers"))), 100)


def test_killed_at_any_moment(bed):
    """kill -9 at 20 moments: the next pull works, clears up, and ends with the same store."""
    layers = [oci.Layer().file("f%d" % i, os.urandom(1 << 20)) for i in range(5)]
    push(PLAIN, "five", oci.Image(layers, {}))
    root = bed.root()
    start = time.monotonic()
    pull(root, PLAIN + "/five")
    took, want = time.monotonic() - start, contents(root)
    root = bed.root()
    for i in range(20):
        worker = Worker(root, op="pull", image=PLAIN + "/five")
        time.sleep(took * i / 20)
        puller.kill(worker.process)
        none_left(root)
        image = pull(root, PLAIN + "/five")
        equal(contents(root), want, "the store after kill %d" % i)
        Worker(root, op="remove", image=image["id"]).result()
        equal(contents(root), set(), "the store after remove %d" % i)


def test_children_die(bed):
    """A fetcher or an unpacker that dies: an error, at once, and nothing is left."""
    for who in (b"fetch", b"unpack"):
        with registries.Evil(5020) as evil:
            evil.reset(oci.Image([oci.Layer().file("f", os.urandom(1 << 20)) for _ in range(2)], {}))

            def stall(h, kind, name):
                data = h.find(kind, name)
                if kind != "blobs" or len(data) < 1000:
                    return False
                h.part(data[:5000], len(data))
                time.sleep(20)
                return True

            evil.hooks.append(stall)
            root = bed.root()
            worker = Worker(root, op="pull", image=evil.address + "/x")
            until(lambda: len([r for r in evil.requests if "/blobs/" in r[0]]) >= 3, 20, "layers")
            victims = []
            for pid in puller.processes(root):
                with open("/proc/%d/cmdline" % pid, "rb") as f:
                    if f.read().split(b"\0")[0] == who:
                        victims.append(pid)
            os.kill(max(victims), signal.SIGKILL)
            start = time.monotonic()
            try:
                worker.result()
                raise AssertionError("no error")
            except puller.Failed as e:
                assert time.monotonic() - start < 6, "slow"
                holds(e.message, "died" if who == b"fetch" else "layer sha256:")
            none_left(root)
            equal(contents(root), set(), who)


def test_bundle(bed):
    """A bundle is the merged tree of umoci, and `oci run` runs it."""
    at = os.path.join(bed.base, "made-bundle")
    sh(CRIBOX, "pull", "-q", "--bundle", at, PLAIN + "/rich")
    equal(sorted(os.listdir(at)), ["config.json", "rootfs"])
    same_tree(tree(os.path.join(at, "rootfs")), umoci_tree(bed, "rich"))
    out = subprocess.run([CRIBOX, "pull", "--bundle", at, PLAIN + "/rich"],
                         text=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    equal(out.returncode, 1)
    holds(out.stderr, "there is a bundle already")
    # a failure leaves nothing
    gone = os.path.join(bed.base, "no-bundle")
    out = subprocess.run([CRIBOX, "pull", "--bundle", gone, PLAIN + "/nothing"],
                         text=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    equal((out.returncode, os.path.exists(gone)), (1, False))


def test_bundle_config(bed):
    box = oci.Layer().dir("bin").dir("etc").dir("proc").dir("dev").dir("sys").dir("w")
    with open("/bin/busybox", "rb") as f:
        box.file("bin/busybox", f.read(), 0o755)
    box.file("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n")
    box.file("etc/group", "root:x:0:\nmore:x:3000:app\n")
    config = {
        "Entrypoint": ["/bin/busybox", "sh", "-c"],
        "Cmd": ["id; pwd; echo $A $HOME; echo x > /w/file && echo written"],
        "Env": ["A=b c", "SECRET"], "User": "app", "WorkingDir": "/w",
    }  # fmt: skip
    push(PLAIN, "box", oci.Image([box.dir("w", 0o777)], config))
    at = os.path.join(bed.base, "box-bundle")
    sh(CRIBOX, "pull", "-q", "--bundle", at, PLAIN + "/box")
    with open(os.path.join(at, "config.json")) as f:
        spec = json.load(f)
    process = spec["process"]
    equal(process["args"], config["Entrypoint"] + config["Cmd"])
    equal(process["user"]["uid"], 1000)
    equal(process["user"]["gid"], 1001)
    assert 3000 in process["user"]["additionalGids"]
    equal(process["cwd"], "/w")
    assert "A=b c" in process["env"] and "SECRET" not in process["env"]
    assert "HOME=/home/app" in process["env"]
    equal((process["terminal"], spec["root"]["readonly"]), (False, False))
    if "oci" not in sh(CRIBOX, "--list").split():
        raise frame.Skip("this binary has no oci")
    out = sh(CRIBOX, "oci", "--root", os.path.join(bed.base, "oci-state"), "run", "-b", at,
             "pull-bundle-test")  # fmt: skip
    for line in ("uid=1000(app) gid=1001", "/w", "b c /home/app", "written"):
        holds(out, line)


TESTS = [v for k, v in list(globals().items()) if k.startswith("test_")]


def main():
    bed = Bed()
    try:
        return frame.run(TESTS, bed)
    finally:
        bed.stop()


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
