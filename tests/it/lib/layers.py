"""Layers for tests of the unpacker: entries as dicts -> tar bytes; trees -> comparable dicts."""
import gzip
import hashlib
import io
import os
import shutil
import stat
import subprocess
import tarfile
import tempfile

from frame import CRIBOX, sh

TYPES = {"file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "sym": tarfile.SYMTYPE,
         "link": tarfile.LNKTYPE, "fifo": tarfile.FIFOTYPE, "chr": tarfile.CHRTYPE,
         "blk": tarfile.BLKTYPE}


def workplace(name):
    """A directory in memory where that has user attributes (Linux 6.6), else on disk."""
    base = tempfile.mkdtemp(prefix=name + "-")
    sh("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", base)
    try:
        os.setxattr(base, "user.test", b"1")
        os.removexattr(base, "user.test")
    except OSError:
        sh("umount", base)
    return base


def leave(base):
    if os.path.ismount(base):
        sh("umount", base)
        os.rmdir(base)
    else:
        shutil.rmtree(base)


def entry(name, kind="file", data=b"", link="", mode=None, uid=0, gid=0, mtime="1500000000",
          xattrs=None, dev=(1, 3)):
    """mtime is a string: seconds with a fraction, kept exactly."""
    if mode is None:
        mode = 0o755 if kind == "dir" else 0o644
    return dict(name=name, kind=kind, data=data, link=link, mode=mode, uid=uid, gid=gid,
                mtime=mtime, xattrs=xattrs or {}, dev=dev)


def tar(entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape",
                      encoding="utf-8") as t:
        for e in entries:
            info = tarfile.TarInfo(e["name"])
            info.type = TYPES[e["kind"]]
            info.linkname = e["link"]
            info.mode, info.uid, info.gid = e["mode"], e["uid"], e["gid"]
            info.size = len(e["data"])
            info.devmajor, info.devminor = e["dev"]
            info.mtime = int(float(e["mtime"]))
            if "." in e["mtime"]:
                info.pax_headers["mtime"] = e["mtime"]
            for k, v in e["xattrs"].items():
                info.pax_headers["SCHILY.xattr." + k] = v
            t.addfile(info, io.BytesIO(e["data"]))
    return out.getvalue()


def blob(directory, data):
    digest = hashlib.sha256(data).hexdigest()
    path = os.path.join(directory, "blobs", "sha256", digest)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)
    return "sha256:" + digest, len(data), path


def layout(directory, layers):
    """Writes an OCI layout with the tag "t"; returns the paths of the layer blobs."""
    import json
    diffs, descs, paths = [], [], []
    for i, raw in enumerate(layers):
        # level 1: the bytes matter, not their number; one layer stays plain
        packed = raw if i == 1 else gzip.compress(raw, 1, mtime=0)
        digest, size, path = blob(directory, packed)
        kind = "application/vnd.oci.image.layer.v1.tar" + ("" if i == 1 else "+gzip")
        descs.append({"mediaType": kind, "digest": digest, "size": size})
        diffs.append("sha256:" + hashlib.sha256(raw).hexdigest())
        paths.append(path)
    config = {"architecture": "amd64", "os": "linux", "config": {},
              "rootfs": {"type": "layers", "diff_ids": diffs}}
    digest, size, _ = blob(directory, json.dumps(config).encode())
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                           "digest": digest, "size": size}, "layers": descs}
    digest, size, _ = blob(directory, json.dumps(manifest).encode())
    index = {"schemaVersion": 2, "manifests": [
        {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest,
         "size": size, "annotations": {"org.opencontainers.image.ref.name": "t"}}]}
    with open(os.path.join(directory, "index.json"), "w") as f:
        json.dump(index, f)
    with open(os.path.join(directory, "oci-layout"), "w") as f:
        f.write('{"imageLayoutVersion":"1.0.0"}')
    return paths


def unpack(directory, paths, one_by_one=False):
    """Returns None, or the error text."""
    cmd = [CRIBOX, "unpack"] + (["--one-by-one"] if one_by_one else []) + [directory] + paths
    r = subprocess.run(cmd, capture_output=True, timeout=60)
    return None if r.returncode == 0 else (r.stderr.decode(errors="replace").strip() or "?")


def mount(directory, n, at):
    """The merged view of DIR/0 ... DIR/n-1; the caller has a mount namespace of its own."""
    lower = [f"{directory}/{i}/fs" for i in range(n - 1, -1, -1)] + [f"{directory}/empty"]
    os.makedirs(f"{directory}/empty", exist_ok=True)
    os.makedirs(at, exist_ok=True)
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", "lowerdir=" + ":".join(lower), at],
                   check=True)


def tree(root, since_ns):
    """{path: what it is}. Times from since_ns on are "now". Device nodes are left out."""
    out, inodes = {}, {}
    root = os.fsencode(root)
    todo = [b""]
    while todo:
        rel = todo.pop()
        path = os.path.join(root, rel) if rel else root
        st = os.lstat(path)
        if stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
            continue
        what = {"mode": oct(st.st_mode), "owner": (st.st_uid, st.st_gid),
                "mtime": "now" if st.st_mtime_ns >= since_ns else st.st_mtime_ns,
                "xattrs": {k: os.getxattr(path, k, follow_symlinks=False).hex()
                           for k in os.listxattr(path, follow_symlinks=False)
                           if not k.startswith("trusted.overlay")}}
        if stat.S_ISDIR(st.st_mode):
            todo += [os.path.join(rel, n) for n in os.listdir(path)]
        else:
            inodes.setdefault(st.st_ino, []).append(rel)
        if stat.S_ISLNK(st.st_mode):
            what["link"] = os.readlink(path)
        elif stat.S_ISREG(st.st_mode):
            with open(path, "rb") as f:
                what["data"] = hashlib.sha256(f.read()).hexdigest()
        out[rel] = what
    for group in inodes.values():
        if len(group) > 1:
            for rel in group:
                out[rel]["same as"] = sorted(group)
    return out


def differences(want, got):
    for path in sorted(set(want) | set(got)):
        if path not in got:
            yield f"{path!r} is missing: {want[path]}"
        elif path not in want:
            yield f"{path!r} is too much: {got[path]}"
        elif want[path] != got[path]:
            keys = [k for k in sorted(set(want[path]) | set(got[path]))
                    if want[path].get(k) != got[path].get(k)]
            yield "%r: %s" % (path, "; ".join(
                f"{k} is {got[path].get(k)!r}, not {want[path].get(k)!r}" for k in keys))
