#!/usr/bin/python3
"""Bad input: each gives the right gRPC code and one clear sentence, and leaves nothing."""

import gzip
import hashlib
import http.server
import os
import socket
import struct
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
import crid  # noqa: E402
from cri import fails  # noqa: E402
from crid import BOX, NS_NODE, REGISTRY, oci  # noqa: E402
from frame import equal, holds, sh, until  # noqa: E402

GO = oci.GOARCH[os.uname().machine]
NONE = "0" * 64


def store(b):
    return sorted(p for p in crid.files(b.root) if "/layers/" in p or "/images/" in p)


def bad_pull(b, code, name, *words):
    """PullImage must fail and leave nothing; returns the message."""
    before = store(b)
    text = fails(code, b.client.PullImage, image={"image": name})
    for word in words:
        holds(text, word, "message")
    until(lambda: store(b) == before, 3, "nothing is left in the store")
    equal(b.client.ImageStatus(image={"image": name}).HasField("image") if code != "INVALID_ARGUMENT"
          else False, False, "the image is listed")  # fmt: skip
    return text


def test_unknown_image(b):
    bad_pull(b, "NOT_FOUND", REGISTRY + "/no-such-image:1", "no-such-image")
    bad_pull(b, "NOT_FOUND", REGISTRY + "/box:no-such-tag", "no-such-tag")
    bad_pull(b, "NOT_FOUND", REGISTRY + "/box@sha256:" + NONE, NONE)


def test_bad_reference(b):
    for name in ("", "UPPER/Case:x y", "a:b:c:d", "box@sha256:zz", "/x", REGISTRY + "/x:" + "t" * 200,
                 "x" * 5000, REGISTRY + "/../box", "caf\u00e9"):  # fmt: skip
        bad_pull(b, "INVALID_ARGUMENT", name)


def test_unreachable_registry(b):
    bad_pull(b, "UNAVAILABLE", "127.0.0.1:9/box:latest", "127.0.0.1:9")


def test_unresolvable_registry(b):
    bad_pull(b, "UNAVAILABLE", "no-such-host.invalid/box:latest", "no-such-host.invalid")


def test_no_image_for_this_platform(b):
    layout = oci.Layout()
    image = oci.Image([oci.Layer().file("x", "y")], {"Cmd": ["/x"]})
    entries = [image.manifest(layout, "mips64le"), image.manifest(layout, GO, "windows")]
    layout.add(oci.index(entries), "latest")
    layout.push(REGISTRY, "foreign")
    bad_pull(b, "NOT_FOUND", REGISTRY + "/foreign:latest", "linux/" + GO)


class Fake:
    """A registry that lies: serves what it is told to at 127.0.0.1:PORT."""

    def __init__(self):
        fake = self
        self.blobs, self.manifests = {}, {}

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_HEAD(self):
                self.answer(False)

            def do_GET(self):
                self.answer(True)

            def answer(self, body):
                if self.path.rstrip("/") == "/v2":
                    data, kind, length = b"{}", "application/json", None
                else:
                    name = self.path.split("?")[0].rsplit("/", 1)[1]
                    table = fake.manifests if "/manifests/" in self.path else fake.blobs
                    if name not in table:
                        self.send_response(404)
                        self.send_header("Content-Length", "0")
                        self.end_headers()
                        return
                    data, kind, length = table[name]
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data) if length is None else length))
                self.end_headers()
                if body:
                    try:
                        self.wfile.write(data)
                    except OSError:
                        pass
                    if length is not None:
                        self.close_connection = True

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.name = "127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def blob(self, data, digest=None, length=None):
        digest = digest or oci.digest_of(data)
        self.blobs[digest] = (data, "application/octet-stream", length)
        return digest

    def image(self, tar, compress=True, layer_digest=None, diff_id=None, served=None, size=None,
              length=None, config=None):  # fmt: skip
        """One layer; every claim about it can be a lie. Returns the name to pull."""
        data = gzip.compress(tar, 1, mtime=0) if compress else tar
        layer = layer_digest or oci.digest_of(data)
        self.blob(data if served is None else served, layer, length)
        document = config or {
            "architecture": GO,
            "os": "linux",
            "config": {"Cmd": ["/x"]},
            "rootfs": {"type": "layers", "diff_ids": [diff_id or oci.digest_of(tar)]},
        }
        raw = document if isinstance(document, bytes) else oci.to_json(document)
        types = oci.TYPES["oci"]
        manifest = oci.to_json({
            "schemaVersion": 2,
            "mediaType": types["manifest"],
            "config": {"mediaType": types["config"], "digest": self.blob(raw), "size": len(raw)},
            "layers": [{"mediaType": types["layer-gzip" if compress else "layer"],
                        "digest": layer, "size": len(data) if size is None else size}],
        })  # fmt: skip
        return self.manifest(manifest)

    def manifest(self, raw, kind=None):
        entry = (raw, kind or oci.TYPES["oci"]["manifest"], None)
        self.manifests["latest"] = self.manifests[oci.digest_of(raw)] = entry
        return self.name + "/lie:latest"


def good():
    """A sound layer that no store has seen before."""
    return oci.Layer().dir("d").file("d/x", os.urandom(2000)).data()


def test_fake_registry_works(b):
    """The control: told nothing but the truth, the same server is pulled from."""
    fake = Fake()
    b.client.PullImage(image={"image": fake.image(good())})


def test_wrong_digests(b):
    wrong = "sha256:" + hashlib.sha256(b"something else").hexdigest()
    fake = Fake()
    bad_pull(b, "DATA_LOSS", fake.image(good(), layer_digest=wrong), "digest")
    fake = Fake()
    bad_pull(b, "DATA_LOSS", fake.image(good(), diff_id=wrong), "diff")
    fake = Fake()
    name = fake.image(good())
    for digest in list(fake.blobs):
        if fake.blobs[digest][0][:1] == b"{":
            fake.blob(fake.blobs[digest][0].replace(b"linux", b"LINUX"), digest)
    bad_pull(b, "DATA_LOSS", name)
    fake = Fake()
    name = fake.image(good())
    known = [d for d in fake.manifests if d.startswith("sha256:")][0]
    raw, kind, _ = fake.manifests[known]
    fake.manifests[known] = (raw + b"\n", kind, None)
    bad_pull(b, "DATA_LOSS", fake.name + "/lie@" + known, "digest")


def test_truncated_layer(b):
    for cut, length in ((-20, None), (-20, 0), (0, 0)):
        tar = good()
        data = gzip.compress(tar, 1, mtime=0)
        length = len(data) if length is not None else None
        bad_pull_any(b, Fake().image(tar, served=data[:cut], length=length), "layer")


def bad_pull_any(b, name, *words):
    before = store(b)
    try:
        b.client.PullImage(image={"image": name})
        raise AssertionError("the pull succeeded")
    except crid.grpc.RpcError as e:
        equal(e.code().name in ("DATA_LOSS", "UNAVAILABLE", "INVALID_ARGUMENT"), True,
              "code %s" % e.code().name)  # fmt: skip
        equal("\n" in e.details(), False, "more than a line")
        for word in words:
            holds(e.details(), word, "message")
    until(lambda: store(b) == before, 3, "nothing is left in the store")


def test_truncated_archive(b):
    for tar in (good()[:1300], b"not a tar at all" * 100, b"\1" * 512):
        fake = Fake()
        bad_pull_any(b, fake.image(tar), "layer")


def test_bad_documents(b):
    fake = Fake()
    kind = oci.TYPES["oci"]["manifest"]
    for raw in (b"", b"{", b"[]", b"null", b"{}", b'{"schemaVersion":2,"config":{},"layers":[]}',
                b"[" * 100000, b'{"schemaVersion":2,"layers":"x"}'):  # fmt: skip
        bad_pull_any(b, fake.manifest(raw, kind))
    for config in (b"{", b"[]", {"os": "linux"}, {"rootfs": {"diff_ids": []}}):
        bad_pull_any(b, Fake().image(good(), config=config))
    bad_pull_any(b, fake.manifest(b" " * (5 << 20), kind))


def escapes():
    yield "dotdot", oci.Layer().file("../../../../escape-a", "x")
    yield "absolute", oci.Layer().file("/escape-b", "x")
    yield "deep", oci.Layer().file("a/../../../escape-c", "x")
    yield "symlink", oci.Layer().symlink("up", "../../../..").file("up/escape-d", "x")
    yield "abslink", oci.Layer().symlink("up", "/").file("up/escape-e", "x")
    yield "hardlink", oci.Layer().hardlink("mine", "../../../../../../etc/passwd").file("mine", "x")
    yield "abshard", oci.Layer().hardlink("mine", "/etc/passwd").file("mine", "x")
    yield "linkdir", oci.Layer().symlink("d", "/etc").hardlink("mine", "d/passwd")
    yield "whiteout", oci.Layer().symlink("up", "../../../..").whiteout("up/etc")
    yield "whitedot", oci.Layer().file(".wh...", "")


def test_archives_that_escape(b):
    """Refused, or kept inside: never a byte outside of the layer."""
    with open("/etc/passwd", "rb") as f:
        passwd = f.read()
    outside = ["/", "/var", "/var/tmp", b.base, b.root]
    before = {d: sorted(os.listdir(d)) for d in outside}
    for name, layer in escapes():
        ref = Fake().image(layer.data())
        try:
            b.client.PullImage(image={"image": ref})
        except crid.grpc.RpcError as e:
            equal(e.code().name in ("DATA_LOSS", "INVALID_ARGUMENT"), True,
                  "%s: code %s: %s" % (name, e.code().name, e.details()))  # fmt: skip
        for d in outside:
            equal(sorted(os.listdir(d)), before[d], "%s: content of %s" % (name, d))
        found = [p for p in crid.files("/etc") if "escape" in os.path.basename(p)]
        equal(found, [], name)
        with open("/etc/passwd", "rb") as f:
            equal(f.read() == passwd, True, name + ": /etc/passwd is untouched")
        left = b.client.ImageStatus(image={"image": ref}).image
        if left.id:
            b.client.RemoveImage(image={"image": left.id})


def test_device_nodes(b):
    """They are left out, and the rest of the image works."""
    import tarfile

    layer = crid.box_layer()
    info = tarfile.TarInfo("sda")
    info.type, info.devmajor, info.devminor, info.mode = tarfile.BLKTYPE, 8, 0, 0o666
    layer._tar.addfile(info)
    ref = Fake().image(layer.data())
    b.client.PullImage(image={"image": ref})
    pod = b.pod(namespaces={"network": NS_NODE})
    code, out, _ = b.finish(pod, "test -b /sda && echo block; echo works", image=ref)
    equal((code, out), (0, "works\n"), "the container's result")


def test_decompression_bomb(b):
    """A layer of a few kB that would be gigabytes, on a small file system."""
    import zlib

    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = oci.tarfile.TarInfo("bomb")
    head.size = 8 << 30
    data = squeeze.compress(head.tobuf())
    for _ in range(2000):
        data += squeeze.compress(b"\0" * (1 << 20))
    data += squeeze.flush()
    fake = Fake()
    digest = fake.blob(data)
    name = fake.image(good())
    raw = fake.manifests["latest"][0]
    old = oci.json.loads(raw)
    old["layers"][0].update(digest=digest, size=len(data))
    fake.manifest(oci.to_json(old))
    before = store(b)
    try:
        b.client.PullImage(image={"image": name})
        raise AssertionError("the bomb was unpacked")
    except crid.grpc.RpcError as e:
        codes = ("RESOURCE_EXHAUSTED", "DATA_LOSS", "INVALID_ARGUMENT")
        equal(e.code().name in codes, True, "code %s: %s" % (e.code().name, e.details()))
    until(lambda: store(b) == before, 5, "nothing is left in the store")
    equal(b.client.Version().version, "0.1.0", "the daemon works")


def test_full_disk(b):
    """The store on a file system of 8 MiB: the pull fails with RESOURCE_EXHAUSTED, and works
    when there is space again."""
    b.stop()
    old, b.root = b.root, b.base + "/small"
    os.makedirs(b.root)
    sh("mount", "-t", "tmpfs", "-o", "size=8m", "small", b.root)
    try:
        b.start()
        layout = oci.Layout()
        big = oci.Layer().file("big", os.urandom(12 << 20))
        image = oci.Image([crid.box_layer(), big], crid.box_config())
        layout.add(image.manifest_document(layout, GO), "latest")
        layout.push(REGISTRY, "too-big")
        bad_pull(b, "RESOURCE_EXHAUSTED", REGISTRY + "/too-big:latest", "space")
        equal(store(b) == [] or b.client.ListImages().images == [], True, "no image")
        b.pull(BOX)
        pod = b.pod(namespaces={"network": NS_NODE})
        with open(b.root + "/filler", "wb") as f:
            try:
                f.write(b"\0" * (16 << 20))
            except OSError:
                pass
        for call, fields in (
            (b.client.RunPodSandbox, {"config": b.pod_config()}),
            (b.client.CreateContainer, {"pod_sandbox_id": pod, "config": b.ctr_config("true"),
                                        "sandbox_config": b.configs[pod]}),
        ):  # fmt: skip
            try:
                call(**fields)
            except crid.grpc.RpcError as e:
                equal(e.code().name, "RESOURCE_EXHAUSTED", "code of " + e.details())
        os.unlink(b.root + "/filler")
        equal(b.finish(pod, "echo works")[1], "works\n", "with space again")
    finally:
        if os.path.exists(b.root + "/filler"):
            os.unlink(b.root + "/filler")
        b.clean()
        b.stop()
        sh("umount", "-l", b.root)
        b.root = old
        b.start()


def test_unknown_ids(b):
    c = b.client
    for ident in (NONE, "nonsense", "../../etc", "a b", "00000000-0000-0000-0000-000000000000"):
        for call in (c.StopPodSandbox, c.RemovePodSandbox):
            call(pod_sandbox_id=ident)
        for call in (c.StopContainer, c.RemoveContainer):
            call(container_id=ident)
        fails("NOT_FOUND", c.PodSandboxStatus, pod_sandbox_id=ident)
        fails("NOT_FOUND", c.ContainerStatus, container_id=ident)
        fails("NOT_FOUND", c.StartContainer, container_id=ident)
        fails("NOT_FOUND", c.ExecSync, container_id=ident, cmd=["true"])
        fails("NOT_FOUND", c.ReopenContainerLog, container_id=ident)
        equal(len(c.ListPodSandbox(filter={"id": ident}).items), 0, "pods of " + ident)
    fails("NOT_FOUND", c.CreateContainer, pod_sandbox_id=NONE, config=b.ctr_config("true"),
          sandbox_config=b.pod_config())  # fmt: skip


def test_empty_requests(b):
    c = b.client
    for name in ("RunPodSandbox", "PullImage", "RemoveImage", "ImageStatus"):
        fails("INVALID_ARGUMENT", getattr(c, name))
    for name in ("CreateContainer", "StartContainer", "ExecSync", "ContainerStatus", "PodSandboxStatus"):
        try:
            getattr(c, name)()
            raise AssertionError(name + " succeeded")
        except crid.grpc.RpcError as e:
            equal(e.code().name in ("INVALID_ARGUMENT", "NOT_FOUND"), True, name)


def test_bad_pod_configs(b):
    meta = {"name": "n", "uid": "u", "namespace": "s"}
    for broken in (
        {},
        {"metadata": dict(meta, name="")},
        {"metadata": meta, "hostname": "h" * 300},
        {"metadata": meta, "hostname": "a/b"},
        {"metadata": meta, "log_directory": "relative/path"},
        {"metadata": meta, "linux": {"cgroup_parent": "../../x"}},
        {"metadata": meta, "port_mappings": [{"container_port": 70000, "host_port": 80}]},
        {"metadata": meta, "port_mappings": [{"container_port": 80, "host_port": -1}]},
        {"metadata": meta, "port_mappings": [{"container_port": 80, "host_port": 80,
                                              "host_ip": "nonsense"}]},
        {"metadata": meta, "dns_config": {"servers": ["a\nnameserver 6.6.6.6"]}},
    ):  # fmt: skip
        print("# %s" % broken)
        fails("INVALID_ARGUMENT", b.client.RunPodSandbox, config=broken)
    equal(len(b.client.ListPodSandbox().items), 0, "number of pods")


def test_bad_container_configs(b):
    b.pull()
    pod = b.pod(namespaces={"network": NS_NODE})

    def refused(**kw):
        print("# %.200s" % kw)
        config = b.ctr_config(kw.pop("command", "true"), **kw)
        fails("INVALID_ARGUMENT", b.client.CreateContainer, pod_sandbox_id=pod, config=config,
              sandbox_config=b.configs[pod])  # fmt: skip

    refused(metadata={"name": ""})
    refused(envs=[{"key": "", "value": b"x"}])
    refused(envs=[{"key": "A=B", "value": b"x"}])
    refused(envs=[{"key": "A", "value": b"x\0y"}])
    refused(working_dir="relative")
    refused(mounts=[{"host_path": "/tmp", "container_path": "/" + "x" * 5000}])
    equal(len(b.client.ListContainers().containers), 0, "number of containers")


def test_log_path_stays(b):
    """A log path cannot leave the pod's directory... unless it is said so plainly."""
    b.pull()
    pod = b.pod(namespaces={"network": NS_NODE})
    config = b.ctr_config("true", log_path="/etc/passwd")
    try:
        ctr = b.client.CreateContainer(
            pod_sandbox_id=pod, config=config, sandbox_config=b.configs[pod]
        ).container_id
        equal(b.status(ctr).log_path.startswith(b.logs), True, "the log is below its directory")
    except crid.grpc.RpcError as e:
        equal(e.code().name, "INVALID_ARGUMENT", "code")


def test_malformed_protobuf(b):
    path = "/runtime.v1.RuntimeService/"
    for data in (b"\xff" * 10, b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x05ab", b"\x0b", b"\x00\x00",
                 b"\x0a\x02\xff\xfe"):  # fmt: skip
        try:
            b.client.raw(path + "StartContainer", data)
            raise AssertionError("%r was accepted" % data)
        except crid.grpc.RpcError as e:
            equal(e.code().name in ("INVALID_ARGUMENT", "INTERNAL"), True, e.code().name)
    deep = b""
    for _ in range(5000):
        n = len(deep)
        size = b""
        while n > 127:
            size, n = size + bytes([n & 127 | 128]), n >> 7
        deep = b"\x0a" + size + bytes([n]) + deep
    try:
        b.client.raw(path + "RunPodSandbox", deep)
    except crid.grpc.RpcError:
        pass
    # Unknown fields are skipped, as protobuf wants it.
    b.client.raw(path + "Version", b"\xa2\x06\x03abc")


def test_too_big(b):
    """More than 16 MiB is refused with RESOURCE_EXHAUSTED."""
    b.client.raw("/runtime.v1.RuntimeService/Version", b"\xa2\x06\x80\x80\x80\x04" + b"x" * (8 << 20))
    channel = crid.grpc.insecure_channel(
        b.socket.replace("unix://", "unix:"), [("grpc.max_send_message_length", 64 << 20)]
    )
    size = 20 << 20
    data = b"\xa2\x06" + bytes([size & 127 | 128, size >> 7 & 127 | 128, size >> 14 & 127 | 128,
                                size >> 21]) + b"x" * size  # fmt: skip
    try:
        fails("RESOURCE_EXHAUSTED",
              channel.unary_unary("/runtime.v1.RuntimeService/Version"), data)  # fmt: skip
    finally:
        channel.close()


def raw_socket(b):
    s = socket.socket(socket.AF_UNIX)
    s.connect(b.socket[len("unix://") :])
    s.settimeout(5)
    return s


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def h2(kind, flags, stream, data):
    return struct.pack(">I", len(data))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + data


def test_malformed_http2(b):
    """Each gets its connection closed, or an error; the daemon goes on."""
    settings = h2(4, 0, 0, b"")
    for data in (
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"\0" * 4096,
        PREFACE + b"\xff" * 100,
        PREFACE + settings + h2(1, 4, 1, b"\xff\xff\xff\xff"),
        PREFACE + settings + h2(0, 1, 1, b"data without headers"),
        PREFACE + settings + h2(9, 4, 1, b""),
        PREFACE + settings + h2(8, 0, 0, b"\0\0\0\0"),
        PREFACE + settings + h2(6, 0, 0, b"short"),
        PREFACE + h2(4, 0, 0, b"\0\4\xff\xff\xff\xff"),
        PREFACE + settings + struct.pack(">I", 0xFFFFFF00),
    ):
        with raw_socket(b) as s:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            try:
                while s.recv(65536):
                    pass
            except ConnectionResetError:
                pass
    equal(b.client.Version().version, "0.1.0", "the daemon works")


def test_idle_connections(b):
    """Hundreds of connections that say nothing do not keep others out."""
    idle = [raw_socket(b) for _ in range(400)]
    for s in idle[:200]:
        s.sendall(PREFACE + h2(4, 0, 0, b""))
    equal(b.client.Version().version, "0.1.0", "an old connection")
    fresh = crid.Client(b.socket)
    equal(fresh.Version().version, "0.1.0", "a new connection")
    fresh.close()
    for s in idle:
        s.close()


crid.main(crid.tests_of(globals()))
