#!/usr/bin/python3
"""Pulling from registries that lie, break off, redirect and stall: each failure has the right
code and one clear sentence, leaves nothing behind, and gives no secret away."""
# timeout: 600

import hashlib
import json
import os
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
from frame import equal, holds, sh, until  # noqa: E402
import puller  # noqa: E402
from puller import CORRUPT, DENIED, INVALID, NOT_FOUND, UNAVAILABLE  # noqa: E402
from puller import Worker, contents, fails, none_left, pull  # noqa: E402
import registries  # noqa: E402
from registries import ARCH, CA, Evil, oci  # noqa: E402

SECRET = {"username": "user", "password": "s3cret-word"}
CODED = "dXNlcjpzM2NyZXQtd29yZA=="  # the same in base64


class Bed:
    def __init__(self):
        self.base = tempfile.mkdtemp(prefix="evil-", dir="/var/tmp")
        self.count = 0
        self.data = os.urandom(3 << 20)
        self.image = oci.Image([oci.Layer().file("small", "x"), oci.Layer().file("f", self.data)], {})
        self.evil = Evil(5000)
        self.other = Evil(5001)
        self.ref = self.evil.address + "/x"
        self.root_dir = None

    def fresh(self):
        """An empty store, well-behaved registries; the reference."""
        self.count += 1
        self.root_dir = os.path.join(self.base, "root-%d" % self.count)
        self.evil.reset(self.image)
        self.other.reset(self.image)
        return self.root_dir

    def fails(self, code, words, **more):
        said = fails(code, words, self.root_dir, self.ref, **more)
        assert "s3cret" not in said and CODED not in said, said
        none_left(self.root_dir)
        return said

    def pulls(self, **more):
        image = pull(self.root_dir, self.ref, **more)
        layers = os.path.join(self.root_dir, "layers")
        found = [os.path.join(layers, d, "fs/f") for d in os.listdir(layers)]
        found = [f for f in found if os.path.exists(f)]
        equal(len(found), 1)
        with open(found[0], "rb") as f:
            assert f.read() == self.data, "the file has other contents"
        return image

    def stop(self):
        self.evil.stop()
        self.other.stop()
        shutil.rmtree(self.base, ignore_errors=True)


def on_big_blob(evil, fn):
    """Calls fn(handler, digest, data) for requests of the second layer."""
    digest, data = evil.layer(1)

    def hook(handler, kind, name):
        return kind == "blobs" and name == digest and fn(handler, name, data)

    evil.hooks.append(hook)
    return digest


def on_manifest(evil, fn):
    evil.hooks.append(lambda h, kind, name: kind == "manifests" and fn(h, name))


def test_nothing_wrong(bed):
    bed.fresh()
    bed.pulls()
    for path, headers in bed.evil.requests:
        assert "Authorization" not in headers


def test_connection_breaks_and_resumes(bed):
    for cut in (0, 1, 100000, 2 << 20):
        bed.fresh()
        seen = []

        def breaks(h, name, data):
            seen.append(h.headers.get("Range"))
            return len(seen) == 1 and h.part(data[:cut], len(data))

        on_big_blob(bed.evil, breaks)
        bed.pulls()
        equal(seen, [None, "bytes=%d-" % cut if cut else None], "ranges")


def test_many_breaks(bed):
    bed.fresh()
    step = 1 << 20

    def breaks(h, name, data):
        first = int((h.headers.get("Range") or "bytes=0-").split("=")[1][:-1])
        if first + step >= len(data):
            return False
        more = {"Content-Range": "bytes %d-%d/%d" % (first, len(data) - 1, len(data))}
        return h.part(data[first : first + step], len(data) - first, 206 if first else 200, more)

    on_big_blob(bed.evil, breaks)
    bed.pulls()


def test_breaks_for_ever(bed):
    bed.fresh()
    on_big_blob(bed.evil, lambda h, n, d: h.part(d[:1000], len(d)))
    start = time.monotonic()
    bed.fails(UNAVAILABLE, ["layer sha256:", "connection ended in the middle"])
    assert time.monotonic() - start < 20
    assert len(bed.evil.requests) < 20, len(bed.evil.requests)


def test_ranges_that_are_wrong(bed):
    def first_breaks(answer):
        bed.fresh()
        seen = []

        def hook(h, name, data):
            seen.append(1)
            if len(seen) == 1:
                return h.part(data[:70000], len(data))
            return answer(h, data) if h.headers.get("Range") else False

        on_big_blob(bed.evil, hook)

    first_breaks(lambda h, d: h.answer(200, d))  # ignored
    bed.pulls()
    first_breaks(lambda h, d: h.answer(416))  # refused
    bed.pulls()
    first_breaks(lambda h, d: h.answer(206, d[5:], headers={"Content-Range": "bytes 5-9/10"}))
    bed.fails(UNAVAILABLE, "range that was not asked for")
    first_breaks(lambda h, d: h.answer(206, d[70000:], headers={"Content-Range": "nonsense"}))
    bed.fails(UNAVAILABLE, "Content-Range")


def test_sizes_that_lie(bed):
    bed.fresh()
    digest = on_big_blob(bed.evil, lambda h, n, d: h.answer(200, d[:1000]))
    bed.fails(CORRUPT, [digest, "has 1000 bytes"])
    bed.fresh()
    on_big_blob(bed.evil, lambda h, n, d: h.answer(200, d + b"more"))
    bed.fails(CORRUPT, "the manifest says")
    bed.fresh()

    def chunked(more):
        def answer(h, name, data):
            data += more
            h.send_response(200)
            h.send_header("Transfer-Encoding", "chunked")
            h.end_headers()
            for at in range(0, len(data), 70000):
                piece = data[at : at + 70000]
                h.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            return h.raw(b"0\r\n\r\n")

        return answer

    on_big_blob(bed.evil, chunked(b""))
    bed.pulls()
    bed.fresh()
    on_big_blob(bed.evil, chunked(b"more"))
    bed.fails(CORRUPT, "sends more than")


def test_wrong_digests(bed):
    bed.fresh()
    digest = on_big_blob(bed.evil, lambda h, n, d: h.answer(200, d[:9] + b"\x2a" + d[10:]))
    said = bed.fails(CORRUPT, digest)
    holds(said, "layer")
    # the config
    bed.fresh()
    for d, data in bed.evil.layout.blobs.items():
        if b'"rootfs"' in data[:4000]:
            bed.evil.layout.blobs[d] = data.replace(b"linux", b"linuX")
            bed.fails(CORRUPT, d)
    # a manifest by digest, and one whose own header lies
    bed.fresh()
    top = bed.evil.layout.tags[0][1]["digest"]
    bed.evil.layout.blobs[top] += b" "
    fails(CORRUPT, top, bed.root_dir, bed.ref + "@" + top)
    bed.fresh()
    on_manifest(
        bed.evil,
        lambda h, n: n == "latest"
        and h.answer(200, h.find("manifests", n), headers={"Docker-Content-Digest": "sha256:" + "1" * 64}),
    )
    bed.fails(CORRUPT, "1" * 64)


def test_wrong_diff_id(bed):
    bed.fresh()
    layout = oci.Layout()
    layer = oci.Layer().file("a", "b")
    image = oci.Image([layer], {})
    document = image.manifest_document(layout, ARCH)
    config = json.loads(layout.blobs[document["config"]["digest"]])
    config["rootfs"]["diff_ids"] = ["sha256:" + "2" * 64]
    document["config"] = layout.blob(oci.to_json(config), document["config"]["mediaType"])
    layout.add(document, "latest")
    bed.evil.layout = layout
    bed.fails(CORRUPT, "2" * 64)


def test_damaged_compression(bed):
    for change in (lambda d: d[:-8] + b"\0" * 8, lambda d: d + b"junk", lambda d: d[: len(d) // 2],
                   lambda d: b"\x1f\x8b" + os.urandom(1000)):  # fmt: skip
        bed.fresh()
        layout = oci.Layout()
        document = oci.Image([oci.Layer().file("a", "b" * 10000)], {}).manifest_document(layout, ARCH)
        data = change(layout.blobs[document["layers"][0]["digest"]])
        document["layers"] = [layout.blob(data, document["layers"][0]["mediaType"])]
        layout.add(document, "latest")
        bed.evil.layout = layout
        try:
            pull(bed.root_dir, bed.ref)
            raise AssertionError("a damaged layer was accepted")
        except puller.Failed as e:
            holds(e.message, document["layers"][0]["digest"])
            assert e.code in (CORRUPT, INVALID), e
        equal(contents(bed.root_dir), set())


def test_documents_that_are_none(bed):
    digest = "sha256:" + "3" * 64
    desc = '{"mediaType":"x","digest":"%s","size":%s}'
    ok = desc % (digest, 5)
    head = '{"schemaVersion":2,'
    both = head + '"manifests":[],"config":%s,"layers":[]}' % ok
    for body, words in (
        ("", "manifest"), ("[]", "manifest"), ("{", "manifest"), ("\ufeff{}", "manifest"),
        ("[" * 100000, "manifest"), (both, "both"), (head + '"schemaVersion":2}', "manifest"),
        (head + '"config":%s,"layers":[]}' % (desc % (digest, -1)), "size"),
        (head + '"config":%s,"layers":[]}' % (desc % (digest, 2**63)), "size"),
        (head + '"config":%s,"layers":[]}' % (desc % ("sha256:../../etc", 1)), "digest"),
        (head + '"config":%s,"layers":[%s]}' % (ok, ",".join([ok] * 1000)), "at most 256"),
        (head + '"manifests":[%s]}' % ",".join([ok] * 257), "at most 256"),
        (head + '"mediaType":"application/vnd.oci.image.index.v1+json","layers":[]}', "content"),
    ):  # fmt: skip
        bed.fresh()
        on_manifest(bed.evil, lambda h, n: h.answer(200, body.encode(), "application/json"))
        bed.fails(INVALID, words)
    bed.fresh()
    on_manifest(bed.evil, lambda h, n: h.answer(200, b" " * ((4 << 20) + 1)))
    bed.fails(INVALID, "longer than")
    bed.fresh()
    on_manifest(bed.evil, lambda h, n: h.answer(200, both.encode(), "text/html"))
    bed.fails(INVALID, "both")


def test_nested_indexes(bed):
    for depth, good in ((1, True), (2, True), (3, False)):
        bed.fresh()
        layout = oci.Layout()
        entry = bed.image.manifest(layout, ARCH)
        for _ in range(depth):
            document = oci.index([entry])
            entry = dict(layout.blob(oci.to_json(document), document["mediaType"]),
                         platform={"os": "linux", "architecture": ARCH})  # fmt: skip
        layout.add(document, "latest")
        bed.evil.layout = layout
        if good:
            bed.pulls()
        else:
            bed.fails(INVALID, "nested")


def test_image_without_layers(bed):
    bed.fresh()
    layout = oci.Layout()
    layout.add(oci.Image([], {}).manifest_document(layout, ARCH), "latest")
    bed.evil.layout = layout
    bed.fails(INVALID, "no layers")
    bed.fresh()
    layout = oci.Layout()
    document = oci.Image([oci.Layer().file("a", "b")], {}).manifest_document(layout, ARCH)
    document["layers"] *= 2
    layout.add(document, "latest")
    bed.evil.layout = layout
    bed.fails(INVALID, "2 layers, the config 1 diff ids")


def test_statuses(bed):
    for status, code, words in (
        (403, DENIED, "403"), (404, NOT_FOUND, "not found"), (400, UNAVAILABLE, "400"),
        (500, UNAVAILABLE, "500"), (503, UNAVAILABLE, "503"), (418, UNAVAILABLE, "418"),
        (201, UNAVAILABLE, "201"), (304, UNAVAILABLE, "304"),
    ):  # fmt: skip
        bed.fresh()
        body = json.dumps({"errors": [{"message": "says\nthe \x1b[31mregistry"}]}).encode()
        on_manifest(bed.evil, lambda h, n: h.answer(status, b"" if status == 304 else body))
        said = bed.fails(code, words)
        assert "\x1b" not in said and len(bed.evil.requests) <= 4, (said, bed.evil.requests)


def test_a_registry_that_says_the_password(bed):
    for words in ("your password is s3cret-word", "Basic " + CODED, "x" * 100 + CODED):
        bed.fresh()
        body = json.dumps({"errors": [{"code": words, "message": words}]}).encode()

        def hook(h, name):
            if "Authorization" not in h.headers:
                return challenge(h, 'Basic realm="x"', body)
            return h.answer(403, body)

        on_manifest(bed.evil, hook)
        bed.fails(DENIED, "403", auth=SECRET)


def test_transient_errors_pass(bed):
    for status in (429, 500, 502, 503, 504, 408):
        bed.fresh()
        seen = []

        def hook(h, name):
            seen.append(time.monotonic())
            return len(seen) == 1 and h.answer(status, b"", headers={"Retry-After": "1"})

        on_manifest(bed.evil, hook)
        bed.pulls()
        assert seen[1] - seen[0] >= 1, "Retry-After was not honoured"


def test_retry_after_is_bounded(bed):
    bed.fresh()
    seen = []

    def hook(h, name):
        seen.append(1)
        wait = ["Fri, 31 Dec 1999 23:59:59 GMT", "-5", "nonsense"][len(seen) % 3]
        return h.answer(429, b"", headers={"Retry-After": wait})

    on_manifest(bed.evil, hook)
    start = time.monotonic()
    bed.fails(UNAVAILABLE, "429")
    assert time.monotonic() - start < 10


def challenge(h, value, body=b""):
    return h.answer(401, body, headers={"WWW-Authenticate": value})


def test_401_loops(bed):
    bed.fresh()
    on_manifest(bed.evil, lambda h, n: challenge(h, 'Basic realm="x"'))
    bed.fails(puller.UNAUTHENTICATED, "refuses the credentials", auth=SECRET)
    assert len(bed.evil.requests) <= 3
    bed.fresh()
    token = json.dumps({"token": "t0ken"}).encode()
    bed.other.hooks.append(lambda h, k, n: h.answer(200, token))
    realm = 'Bearer realm="http://%s/token",service="x"' % bed.other.address
    on_manifest(bed.evil, lambda h, n: challenge(h, realm))
    bed.fails(puller.UNAUTHENTICATED, "refuses the credentials", auth=SECRET)
    assert len(bed.evil.requests) + len(bed.other.requests) <= 6
    for text in ("", "Bearer", 'Bearer realm="', "Negotiate", 'Bearer realm="ftp://x"', "=", ","):
        bed.fresh()
        on_manifest(bed.evil, lambda h, n: challenge(h, text))
        try:
            pull(bed.root_dir, bed.ref, auth=SECRET)
            raise AssertionError("a 401 was accepted")
        except puller.Failed as e:
            assert e.code in (puller.UNAUTHENTICATED, INVALID), e


def test_bad_token_servers(bed):
    realm = 'Bearer realm="http://%s/token?secret=q",service="x"' % bed.other.address
    for status, body, code in (
        (500, b"", UNAVAILABLE), (200, b"no", UNAVAILABLE), (200, b"{}", UNAVAILABLE),
        (200, b'{"token":"a\\r\\nX: y"}', UNAVAILABLE), (200, b'{"token":5}', UNAVAILABLE),
        (401, b"", puller.UNAUTHENTICATED), (200, b" " * 100000, INVALID),
        (302, b"", UNAVAILABLE),
    ):  # fmt: skip
        bed.fresh()
        bed.other.hooks.append(lambda h, k, n: h.answer(status, body, headers={"Location": "/x"}))
        on_manifest(bed.evil, lambda h, n: challenge(h, realm))
        said = bed.fails(code, "token server http://%s/token" % bed.other.address, auth=SECRET)
        assert "secret=q" not in said, said


def test_token_expires_between_layers(bed):
    bed.fresh()
    given = []

    def tokens(h, kind, name):
        given.append("t%d" % len(given))
        return h.answer(200, json.dumps({"access_token": given[-1], "expires_in": 1}).encode())

    bed.other.hooks.append(tokens)

    def guard(h, kind, name):
        good = "Bearer " + given[-1] if given else None
        if kind == "blobs" and len(given) == 1:
            good = None  # the first token has expired
        if h.headers.get("Authorization") == good and good:
            return False
        return challenge(h, 'Bearer realm="http://%s/token"' % bed.other.address)

    bed.evil.hooks.append(guard)
    bed.pulls()
    assert len(given) <= 5, given


def test_redirects(bed):
    for status in (301, 302, 303, 307, 308):
        bed.fresh()
        on_big_blob(
            bed.evil,
            lambda h, n, d: h.answer(
                status, headers={"Location": "http://%s/v2/x/blobs/%s?sig=q" % (bed.other.address, n)}
            ),
        )
        bed.pulls()
        equal(len([r for r in bed.other.requests]), 1)
    # relative, and to itself
    bed.fresh()
    on_big_blob(
        bed.evil,
        lambda h, n, d: "again" not in h.path and h.answer(307, headers={"Location": "./" + n + "?again"}),
    )
    bed.pulls()
    for location in ("/v2/x/blobs/loop", "ftp://x/", "http://a b/", "http://u:p@h/", ""):
        bed.fresh()
        digest, _ = bed.evil.layer(1)
        bed.evil.hooks.append(
            lambda h, k, n: n in (digest, "loop") and h.answer(307, headers={"Location": location})
        )
        try:
            pull(bed.root_dir, bed.ref)
            raise AssertionError("redirect to %r was followed" % location)
        except puller.Failed as e:
            assert e.code in (UNAVAILABLE, INVALID), e
        assert len([r for r in bed.evil.requests if "/blobs/" in r[0]]) < 40


def authenticated(bed, evil):
    """The registry wants the password for everything but what the hooks before answer."""

    def guard(h, kind, name):
        if h.headers.get("Authorization") == "Basic " + CODED:
            return False
        return challenge(h, 'Basic realm="x"')

    evil.hooks.append(guard)


def no_secrets(evil):
    for path, headers in evil.requests:
        text = path + json.dumps(headers)
        for secret in ("s3cret-word", CODED, "Authorization", "X-Mirror"):
            assert secret not in text, "%s got %s" % (evil.address, text)


def test_redirects_carry_no_credentials(bed):
    certs = os.path.join(bed.base, "certs-header")
    os.makedirs(os.path.join(certs, "127.0.0.1:5000"), exist_ok=True)
    with open(os.path.join(certs, "127.0.0.1:5000/hosts.toml"), "w") as f:
        f.write('server = "http://127.0.0.1:5000"\n[header]\nX-Mirror = "header-secret"\n')
    for place in ("127.0.0.1:5001", "localhost:5001", "localhost:5000"):
        bed.fresh()
        authenticated(bed, bed.evil)
        digest, _ = bed.evil.layer(1)
        away = []

        def send_away(h, kind, name):
            if name == digest and h.headers.get("Host") == "127.0.0.1:5000":
                where = "http://%s/v2/x/blobs/%s" % (place, name)
                return h.answer(307, headers={"Location": where})
            if h.headers.get("Host") == "localhost:5000":
                away.append((h.path, dict(h.headers)))
                h.serve(kind, name)
                return True
            return False

        bed.evil.hooks.insert(0, send_away)
        bed.pulls(auth=SECRET, registry_dir=certs)
        assert any("Authorization" in h and "X-Mirror" in h for _, h in bed.evil.requests)
        no_secrets(bed.other)
        for path, headers in away:
            assert "Authorization" not in headers and "X-Mirror" not in headers, headers
    # and who asks for them on the way gets none
    bed.fresh()
    authenticated(bed, bed.evil)
    bed.evil.hooks.insert(0, lambda h, k, n: k == "blobs" and h.answer(
        307, headers={"Location": "http://127.0.0.1:5001" + h.path}))  # fmt: skip
    bed.other.hooks.append(lambda h, k, n: challenge(h, 'Basic realm="give"'))
    bed.fails(puller.UNAUTHENTICATED, "127.0.0.1:5001", auth=SECRET)
    no_secrets(bed.other)


def test_foreign_layer_urls_are_ignored(bed):
    bed.fresh()
    layout = oci.Layout()
    document = bed.image.manifest_document(layout, ARCH)
    for layer in document["layers"]:
        layer["urls"] = ["http://%s/steal" % bed.other.address]
    layout.add(document, "latest")
    bed.evil.layout = layout
    bed.pulls(auth=SECRET)
    equal(bed.other.requests, [])


def test_https_never_becomes_http(bed):
    ca = CA(bed.base, "evil-ca")
    cert = ca.issue("evil", "IP:127.0.0.1")
    certs = os.path.join(bed.base, "certs-tls")
    os.makedirs(os.path.join(certs, "127.0.0.1:5002"))
    with open(os.path.join(certs, "127.0.0.1:5002/hosts.toml"), "w") as f:
        f.write('server = "https://127.0.0.1:5002"\nca = "%s"\n' % ca.cert)
    with Evil(5002, cert=cert) as secure:
        root = bed.fresh()
        secure.reset(bed.image)
        ref = secure.address + "/x"
        pull(root, ref, registry_dir=certs)
        root = bed.fresh()
        secure.hooks.append(lambda h, k, n: k == "blobs" and h.answer(
            307, headers={"Location": "http://127.0.0.1:5001" + h.path}))  # fmt: skip
        fails(DENIED, "from https to http", root, ref, registry_dir=certs)
        equal(bed.other.requests, [])
        # a token server without encryption gets nothing
        secure.reset(bed.image)
        realm = 'Bearer realm="http://127.0.0.1:5001/token"'
        on_manifest(secure, lambda h, n: challenge(h, realm))
        fails(DENIED, "without encryption", root, ref, registry_dir=certs, auth=SECRET)
        equal(bed.other.requests, [])


def test_mirror_without_encryption_gets_no_password(bed):
    certs = os.path.join(bed.base, "certs-mirror")
    os.makedirs(os.path.join(certs, "127.0.0.1:5000"))
    with open(os.path.join(certs, "127.0.0.1:5000/hosts.toml"), "w") as f:
        f.write('server = "http://127.0.0.1:5000"\n[host."http://127.0.0.1:5001"]\n')
    bed.fresh()
    authenticated(bed, bed.evil)
    bed.other.hooks.append(lambda h, k, n: challenge(h, 'Basic realm="give"'))
    bed.pulls(auth=SECRET, registry_dir=certs)
    assert bed.other.requests
    no_secrets(bed.other)
    holds(bed.other.requests[0][0], "?ns=127.0.0.1%3A5000")


def test_wrong_blob_at_a_mirror(bed):
    """A mirror without the blob, or with a wrong one: the registry itself is asked."""
    certs = os.path.join(bed.base, "certs-mirror-2")
    os.makedirs(os.path.join(certs, "127.0.0.1:5000"))
    with open(os.path.join(certs, "127.0.0.1:5000/hosts.toml"), "w") as f:
        f.write('server = "http://127.0.0.1:5000"\n[host."http://127.0.0.1:5001"]\n')
    for answer in (lambda h, n, d: h.answer(404), lambda h, n, d: h.answer(500),
                   lambda h, n, d: h.part(d[:200000], len(d)),
                   lambda h, n, d: h.answer(200, d[:9] + b"\x2a" + d[10:])):  # fmt: skip
        bed.fresh()
        on_big_blob(bed.other, answer)
        bed.pulls(registry_dir=certs)
        assert [r for r in bed.evil.requests if "/blobs/" in r[0]]


def test_stalls(bed):
    def stall(after):
        def answer(h, name, data):
            h.part(data[:after], len(data))
            time.sleep(20)
            return True

        return answer

    for after in (0, 1000):
        bed.fresh()
        on_big_blob(bed.evil, stall(after))
        start = time.monotonic()
        bed.fails(puller.TIMEOUT, "does not answer", stall_ms=300)
        assert time.monotonic() - start < 10

    def drip(h, name, data):
        h.part(b"", len(data))
        for i in range(400):
            try:
                h.wfile.write(data[i : i + 1])
                h.wfile.flush()
            except OSError:
                break
            time.sleep(0.05)
        return True

    bed.fresh()
    on_big_blob(bed.evil, drip)
    bed.fails(puller.TIMEOUT, "does not answer", stall_ms=500)


def test_http_that_is_none(bed):
    long = b"x" * 70000
    for raw in (
        b"", b"\0" * 1000, b"hello\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.1 99 X\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + long + b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100,
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100 + b"\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n", b"HTTP/1.1 200 OK\r\nA b: x\r\n\r\n",
        b"HTTP/1.1 200 OK\nA: b\n\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + long,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",
    ):  # fmt: skip
        bed.fresh()
        on_manifest(bed.evil, lambda h, n: h.raw(raw))
        try:
            pull(bed.root_dir, bed.ref)
            raise AssertionError("%r was accepted" % raw[:60])
        except puller.Failed as e:
            assert e.code in (UNAVAILABLE, INVALID, puller.UNIMPLEMENTED), (raw[:60], e)
        equal(contents(bed.root_dir), set())


def test_full_disk(bed):
    bed.fresh()
    at = os.path.join(bed.base, "small")
    os.makedirs(at)
    sh("mount", "-t", "tmpfs", "-o", "size=2m", "small", at)
    try:
        bed.root_dir = os.path.join(at, "root")
        bed.fails(puller.EXHAUSTED, ["layer sha256:", "space"])
    finally:
        sh("umount", at)


def test_secret_is_nowhere_in_proc(bed):
    bed.fresh()
    gate = []

    def wait(h, kind, name):
        until(lambda: gate, 10, "the look at /proc")
        return False

    bed.evil.hooks.append(wait)
    worker = Worker(bed.root_dir, op="pull", image=bed.ref, auth=SECRET)
    until(lambda: bed.evil.requests, 10, "a request")
    seen = 0
    for pid in puller.processes(bed.root_dir):
        for name in ("cmdline", "environ"):
            with open("/proc/%d/%s" % (pid, name), "rb") as f:
                text = f.read()
            assert b"s3cret" not in text and CODED.encode() not in text
            seen += 1
    assert seen >= 4, "coordinator and fetcher were not seen"
    gate.append(1)
    worker.result()


def test_fetcher_is_confined(bed):
    bed.fresh()
    gate = []
    bed.evil.hooks.append(lambda h, k, n: k == "blobs" and not until(lambda: gate, 10, "a look"))
    worker = Worker(bed.root_dir, op="pull", image=bed.ref)
    until(lambda: len([r for r in bed.evil.requests if "/blobs/" in r[0]]) > 0, 10, "a request")
    found = 0
    for pid in puller.processes(bed.root_dir):
        with open("/proc/%d/cmdline" % pid, "rb") as f:
            if not f.read().startswith(b"fetch\0"):
                continue
        with open("/proc/%d/status" % pid) as f:
            status = dict(x.split(":", 1) for x in f.read().splitlines() if ":" in x)
        equal(status["Uid"].split(), ["65534"] * 4)
        equal(int(status["CapPrm"], 16), 0)
        equal(status["NoNewPrivs"].strip(), "1")
        equal(status["Seccomp"].strip(), "2")
        found += 1
    gate.append(1)
    worker.result()
    assert found, "no fetcher was seen"


TESTS = [v for k, v in list(globals().items()) if k.startswith("test_")]


def main():
    bed = Bed()
    try:
        return frame.run(TESTS, bed)
    finally:
        bed.stop()


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
