"""Writes container images from plain data: OCI layouts, reproducible to the bit, and pushes
them to a registry. Standard library only; used for the demo image and by the tests.

    image = Image([Layer().dir("bin").file("bin/x", data, 0o755)], {"Cmd": ["/bin/x"]})
    layout = Layout()
    layout.add(index([image.manifest(layout, "amd64")]), "latest")
    layout.write(directory)  or  layout.push("127.0.0.1:5000", "demo")
"""

import gzip
import hashlib
import http.client
import io
import json
import os
import tarfile
import urllib.parse

EPOCH = "1970-01-01T00:00:00Z"
OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker."
TYPES = {
    "oci": {
        "index": OCI + "index.v1+json",
        "manifest": OCI + "manifest.v1+json",
        "config": OCI + "config.v1+json",
        "layer": OCI + "layer.v1.tar",
        "layer-gzip": OCI + "layer.v1.tar+gzip",
        "layer-zstd": OCI + "layer.v1.tar+zstd",
    },
    "docker": {
        "index": DOCKER + "distribution.manifest.list.v2+json",
        "manifest": DOCKER + "distribution.manifest.v2+json",
        "config": DOCKER + "container.image.v1+json",
        "layer": DOCKER + "image.rootfs.diff.tar",
        "layer-gzip": DOCKER + "image.rootfs.diff.tar.gzip",
        "layer-zstd": DOCKER + "image.rootfs.diff.tar.zstd",
    },
}
# The machine (as uname -m or our ARCH has it) -> the name in images.
GOARCH = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "arm64": "arm64",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
}


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def to_json(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


class Layer:
    """A tar stream, in the order of the calls; every call returns the layer."""

    def __init__(self):
        self._file = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._file, mode="w", format=tarfile.PAX_FORMAT)
        self._data = None

    def entry(self, name, kind, data=b"", mode=0o644, uid=0, gid=0, link="", pax=None):
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.uid, info.gid = kind, mode, uid, gid
        info.linkname, info.size = link, len(data)
        info.pax_headers = dict(pax or {})
        self._tar.addfile(info, io.BytesIO(data))
        return self

    def dir(self, name, mode=0o755, uid=0, gid=0):
        return self.entry(name, tarfile.DIRTYPE, mode=mode, uid=uid, gid=gid)

    def file(self, name, data, mode=0o644, uid=0, gid=0):
        data = data.encode() if isinstance(data, str) else data
        return self.entry(name, tarfile.REGTYPE, data, mode, uid, gid)

    def symlink(self, name, target):
        return self.entry(name, tarfile.SYMTYPE, mode=0o777, link=target)

    def hardlink(self, name, target, mode=0o755):
        return self.entry(name, tarfile.LNKTYPE, mode=mode, link=target)

    def whiteout(self, name):
        head, tail = os.path.split(name)
        return self.file(os.path.join(head, ".wh." + tail), b"")

    def opaque(self, name):
        return self.file(os.path.join(name, ".wh..wh..opq"), b"")

    def data(self):
        if self._data is None:
            self._tar.close()
            self._data = self._file.getvalue()
        return self._data


class Image:
    """Layers and the `config` object of an image's configuration, for any platform."""

    def __init__(self, layers, config, flavor="oci", compress="gzip"):
        self.layers, self.config = layers, config
        self.flavor, self.compress = flavor, compress

    def manifest(self, layout, arch, os_name="linux", variant=None):
        """Puts the blobs into the layout; returns the descriptor for an index."""
        types = TYPES[self.flavor]
        layers, diff_ids = [], []
        for layer in self.layers:
            data = layer.data()
            diff_ids.append(digest_of(data))
            kind = "layer"
            if self.compress == "gzip":
                data, kind = gzip.compress(data, 6, mtime=0), "layer-gzip"
            layers.append(layout.blob(data, types[kind]))
        config = {
            "architecture": arch,
            "config": self.config,
            "created": EPOCH,
            "history": [{"created": EPOCH, "created_by": "images/oci.py"} for _ in layers],
            "os": os_name,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": types["manifest"],
            "config": layout.blob(to_json(config), types["config"]),
            "layers": layers,
        }
        self._document = manifest
        descriptor = layout.blob(to_json(manifest), types["manifest"])
        platform = {"architecture": arch, "os": os_name}
        if variant:
            platform["variant"] = variant
        return dict(descriptor, platform=platform)

    def manifest_document(self, layout, arch):
        """Puts the blobs into the layout; returns the manifest, for an image without index."""
        self.manifest(layout, arch)
        return self._document


def index(descriptors, flavor="oci"):
    return {
        "schemaVersion": 2,
        "mediaType": TYPES[flavor]["index"],
        "manifests": descriptors,
    }


class Layout:
    def __init__(self):
        self.blobs = {}
        self.tags = []  # descriptors with the tag

    def blob(self, data, media_type):
        digest = digest_of(data)
        self.blobs[digest] = data
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def add(self, document, tag):
        """An index or a manifest under a tag; returns its digest."""
        descriptor = self.blob(to_json(document), document["mediaType"])
        self.tags.append((tag, descriptor))
        return descriptor["digest"]

    def write(self, directory):
        """As a directory in the image-layout format of image-spec."""
        blobs = os.path.join(directory, "blobs", "sha256")
        os.makedirs(blobs, exist_ok=True)
        for digest, data in self.blobs.items():
            with open(os.path.join(blobs, digest.split(":")[1]), "wb") as f:
                f.write(data)
        with open(os.path.join(directory, "oci-layout"), "wb") as f:
            f.write(to_json({"imageLayoutVersion": "1.0.0"}))
        tagged = [
            dict(d, annotations={"org.opencontainers.image.ref.name": t}) for t, d in self.tags
        ]
        with open(os.path.join(directory, "index.json"), "wb") as f:
            f.write(to_json({"schemaVersion": 2, "manifests": tagged}))

    @classmethod
    def read(cls, directory):
        layout = cls()
        blobs = os.path.join(directory, "blobs", "sha256")
        for name in sorted(os.listdir(blobs)):
            with open(os.path.join(blobs, name), "rb") as f:
                layout.blobs["sha256:" + name] = f.read()
        with open(os.path.join(directory, "index.json"), "rb") as f:
            for d in json.load(f)["manifests"]:
                tag = d.pop("annotations")["org.opencontainers.image.ref.name"]
                layout.tags.append((tag, d))
        return layout

    def _order(self, descriptor, seen):
        """Blobs and manifests that a document needs come before it."""
        if descriptor["digest"] in seen:
            return
        seen.add(descriptor["digest"])
        kind = descriptor["mediaType"]
        if "manifest" in kind or "index" in kind:
            document = json.loads(self.blobs[descriptor["digest"]])
            for child in document.get("manifests", []):
                yield from self._order(child, seen)
            for blob in [document.get("config")] + document.get("layers", []):
                if blob:
                    yield from self._order(blob, seen)
            yield descriptor, True
        else:
            yield descriptor, False

    def push(self, registry, repository):
        """To http://registry/v2/repository, by distribution-spec."""
        remote = _Remote(registry, repository)
        seen = set()
        for tag, top in self.tags:
            for descriptor, is_manifest in self._order(top, seen):
                data = self.blobs[descriptor["digest"]]
                if is_manifest:
                    remote.put_manifest(descriptor["digest"], descriptor["mediaType"], data)
                else:
                    remote.put_blob(descriptor["digest"], data)
            remote.put_manifest(tag, top["mediaType"], self.blobs[top["digest"]])


class _Remote:
    def __init__(self, registry, repository):
        self.http = http.client.HTTPConnection(registry, timeout=30)
        self.base = "/v2/" + repository

    def _call(self, method, path, body=None, headers=None):
        self.http.request(method, path, body, headers or {})
        reply = self.http.getresponse()
        return reply, reply.read()

    def _expect(self, status, method, path, body=None, headers=None):
        reply, text = self._call(method, path, body, headers)
        if reply.status != status:
            why = text.decode(errors="replace").strip()
            raise OSError("%s %s: status %d: %s" % (method, path, reply.status, why))
        return reply

    def put_blob(self, digest, data):
        if self._call("HEAD", self.base + "/blobs/" + digest)[0].status == 200:
            return
        reply = self._expect(202, "POST", self.base + "/blobs/uploads/")
        where = urllib.parse.urlsplit(reply.getheader("Location"))
        query = where.query + ("&" if where.query else "") + "digest=" + digest
        kind = {"Content-Type": "application/octet-stream"}
        self._expect(201, "PUT", where.path + "?" + query, data, kind)

    def put_manifest(self, name, media_type, data):
        path = self.base + "/manifests/" + name
        self._expect(201, "PUT", path, data, {"Content-Type": media_type})
