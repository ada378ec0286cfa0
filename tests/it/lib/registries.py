"""Registries for the tests of pulling: Debian's docker-registry with TLS, passwords or tokens, a
token server, and one that is written here and misbehaves as it is told. On loopback only.
"""

import base64
import crypt
import hashlib
import http.server
import json
import os
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from frame import REPO, sh, until  # noqa: E402

sys.path.insert(0, os.path.join(REPO, "images"))
import oci  # noqa: E402

ARCH = oci.GOARCH[os.uname().machine]


def connects(host, port):
    import socket

    with socket.socket() as s:
        return s.connect_ex((host, port)) == 0


class CA:
    """A certificate authority in a directory, and certificates from it."""

    def __init__(self, base, name="ca"):
        self.dir = base
        self.cert, self.key = os.path.join(base, name + ".crt"), os.path.join(base, name + ".key")
        sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
           "-nodes", "-keyout", self.key, "-out", self.cert, "-days", "30", "-subj", "/CN=" + name,
           "-addext", "basicConstraints=critical,CA:TRUE")  # fmt: skip

    def issue(self, name, san, days="30", key=("rsa:2048",), digest="-sha256", usage=""):
        """A certificate and its key, as two files."""
        base = os.path.join(self.dir, name)
        ext = base + ".ext"
        with open(ext, "w") as f:
            f.write("subjectAltName=%s\nbasicConstraints=CA:FALSE\n%s" % (san, usage))
        sh("openssl", "req", "-newkey", *key, "-nodes", "-keyout", base + ".key", "-out",
           base + ".csr", "-subj", "/CN=" + name)  # fmt: skip
        sh("openssl", "x509", "-req", "-in", base + ".csr", "-CA", self.cert, "-CAkey", self.key,
           "-CAcreateserial", "-out", base + ".crt", "-days", days, digest, "-extfile",
           ext)  # fmt: skip
        return base + ".crt", base + ".key"


class Registry:
    """docker-registry serve, with a configuration."""

    def __init__(self, base, port, http="", auth="", name=None):
        self.address = "127.0.0.1:%d" % port
        self.dir = os.path.join(base, name or "registry-%d" % port)
        os.makedirs(self.dir, exist_ok=True)
        config = self.dir + ".yml"
        with open(config, "w") as f:
            f.write(
                "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
                "storage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}\n"
                "http: {addr: '%s'%s}\n%s" % (self.dir, self.address, http, auth)
            )
        self.log = open(self.dir + ".log", "ab")
        self.process = subprocess.Popen(
            ["docker-registry", "serve", config], stdout=self.log, stderr=self.log
        )
        until(lambda: connects("127.0.0.1", port), 20, "the registry answers")

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def htpasswd(base, user, password):
    """docker-registry's auth section for one user."""
    path = os.path.join(base, "htpasswd")
    with open(path, "w") as f:
        f.write("%s:%s\n" % (user, crypt.crypt(password, "$2b$05$" + "abcdefghijklmnopqrstuu")))
    return "auth: {htpasswd: {realm: test, path: %s}}\n" % path


class Server:
    """An HTTP server in a thread; subclasses of http.server handlers answer."""

    def __init__(self, port, handler, cert=None):
        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 50

            def handle_error(self, request, client_address):
                pass

        self.port = port
        self.server = Quiet(("127.0.0.1", port), handler)
        if cert:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*cert)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def b64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class TokenServer(Server):
    """Issues tokens that docker-registry believes (JWT, RS256), for users with a password."""

    def __init__(self, base, port, users, identities=()):
        self.cert, self.key = os.path.join(base, "token.crt"), os.path.join(base, "token.key")
        sh("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.key, "-out",
           self.cert, "-days", "30", "-subj", "/CN=tokens")  # fmt: skip
        self.users, self.identities, self.requests = users, identities, []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                query = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
                outer.requests.append(("GET", self.path, dict(self.headers)))
                auth = self.headers.get("Authorization", "")
                if auth:
                    given = base64.b64decode(auth.split(" ")[1]).decode().split(":", 1)
                    if outer.users.get(given[0]) != given[1]:
                        return self.answer(401, {"details": "wrong password"})
                elif outer.users:
                    return self.answer(200, {"token": outer.token("", [])})
                self.answer(200, {"token": outer.token("user", query.get("scope", []))})

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = urllib.parse.parse_qs(body)
                outer.requests.append(("POST", self.path, form))
                if form.get("refresh_token", [""])[0] not in outer.identities:
                    return self.answer(401, {"error": "invalid_grant"})
                self.answer(200, {"access_token": outer.token("user", form["scope"])})

            def answer(self, status, value):
                data = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        super().__init__(port, Handler)

    def auth(self):
        """docker-registry's auth section."""
        return (
            "auth: {token: {realm: 'http://127.0.0.1:%d/token', service: test, issuer: tests, "
            "rootcertbundle: %s}}\n" % (self.port, self.cert)
        )

    def token(self, user, scopes):
        der = base64.b64encode(ssl.PEM_cert_to_DER_cert(open(self.cert).read())).decode()
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        now = int(time.time())
        claims = {
            "iss": "tests", "sub": user, "aud": "test", "exp": now + 300, "nbf": now - 10,
            "iat": now, "jti": "1", "access": access,
        }  # fmt: skip
        head = {"typ": "JWT", "alg": "RS256", "x5c": [der]}
        text = b64url(json.dumps(head).encode()) + "." + b64url(json.dumps(claims).encode())
        sign = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", self.key],
            input=text.encode(), stdout=subprocess.PIPE, check=True,
        )  # fmt: skip
        return text + "." + b64url(sign.stdout)


class Evil(Server):
    """A registry from a layout in memory. hooks: functions (handler, kind, name) that are asked
    first; what they answer (True) is the answer. requests: all that came, with headers.
    """

    def __init__(self, port, layout=None, cert=None):
        self.layout = layout or oci.Layout()
        self.hooks, self.requests = [], []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.requests.append((self.path, dict(self.headers)))
                parts = urllib.parse.urlparse(self.path).path.split("/")
                kind, name = (parts[-2], parts[-1]) if len(parts) > 2 else ("", parts[-1])
                for hook in outer.hooks:
                    if hook(self, kind, name):
                        return
                self.serve(kind, name)

            def find(self, kind, name):
                if kind == "manifests":
                    for tag, descriptor in outer.layout.tags:
                        if tag == name:
                            name = descriptor["digest"]
                return outer.layout.blobs.get(name)

            def media_type(self, data):
                try:
                    return json.loads(data).get("mediaType", "application/json")
                except (ValueError, AttributeError):
                    return "application/octet-stream"

            def serve(self, kind, name):
                data = self.find(kind, name)
                if data is None:
                    return self.answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
                first, total = 0, len(data)
                wanted = self.headers.get("Range")
                if wanted and kind == "blobs":
                    first = int(wanted.split("=")[1].split("-")[0])
                    more = {"Content-Range": "bytes %d-%d/%d" % (first, total - 1, total)}
                    return self.answer(206, data[first:], headers=more)
                kind = self.media_type(data) if kind == "manifests" else "application/octet-stream"
                self.answer(200, data, kind)

            def answer(self, status, data=b"", kind="application/json", headers=None):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                for key, value in (headers or {}).items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(data)
                return True

            def part(self, data, length, status=200, headers=None):
                """A head that promises `length` bytes, some data, and the end."""
                self.send_response(status)
                self.send_header("Content-Length", str(length))
                for key, value in (headers or {}).items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(data)
                self.wfile.flush()
                self.close_connection = True
                return True

            def raw(self, data):
                self.wfile.write(data)
                self.wfile.flush()
                self.close_connection = True
                return True

            def log_message(self, *_):
                pass

        super().__init__(port, Handler, cert)
        self.address = "127.0.0.1:%d" % port

    def reset(self, image=None):
        """Forgets hooks and requests; serves one image as x:latest."""
        self.hooks, self.requests = [], []
        self.layout = oci.Layout()
        if image:
            self.layout.add(oci.index([image.manifest(self.layout, ARCH)], image.flavor), "latest")

    def layer(self, i=0):
        """(digest, data) of the image's layer i."""
        for data in self.layout.blobs.values():
            if data[:1] == b"{" and "layers" in json.loads(data):
                digest = json.loads(data)["layers"][i]["digest"]
                return digest, self.layout.blobs[digest]
        raise AssertionError("no manifest")


class Proxy(Server):
    """An HTTP proxy that connects to one address, whatever it is asked for."""

    def __init__(self, port, to, password=None):
        import socket

        self.requests = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def allowed(self):
                outer.requests.append((self.command, self.path, dict(self.headers)))
                if not password:
                    return True
                want = "Basic " + base64.b64encode(password.encode()).decode()
                if self.headers.get("Proxy-Authorization") == want:
                    return True
                self.send_response(407)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return False

            def relay(self, there):
                def pump(a, b):
                    try:
                        while data := a.recv(65536):
                            b.sendall(data)
                        b.shutdown(socket.SHUT_WR)
                    except OSError:
                        pass

                t = threading.Thread(target=pump, args=(there, self.connection), daemon=True)
                t.start()
                pump(self.connection, there)
                t.join()
                self.close_connection = True

            def do_CONNECT(self):
                if self.allowed():
                    there = socket.create_connection(to)
                    # as old proxies say it
                    self.wfile.write(b"HTTP/1.0 200 Connection established\r\n\r\n")
                    self.relay(there)

            def do_GET(self):
                if not self.allowed():
                    return
                there = socket.create_connection(to)
                url = urllib.parse.urlparse(self.path)
                head = self.command + " " + url.path + ("?" + url.query if url.query else "")
                head += " HTTP/1.1\r\n"
                for key, value in self.headers.items():
                    if not key.lower().startswith("proxy-"):
                        head += "%s: %s\r\n" % (key, value)
                there.sendall((head + "Connection: close\r\n\r\n").encode())
                self.relay(there)

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        super().__init__(port, Handler)


def tree(root):
    """{path: what it is} of a file tree: type, mode, owner, size, time, target, data, attributes
    and which names are the same file."""
    found, inodes = {}, {}
    for top, dirs, files in os.walk(root):
        for name in ["."] * (top == root) + sorted(dirs + files):
            path = os.path.join(top, name)
            rel = os.path.relpath(path, root)
            st = os.lstat(path)
            entry = [oct(st.st_mode), st.st_uid, st.st_gid]
            if rel != ".":
                # parents that no layer names are as old as their unpacking
                entry.append("now" if st.st_mtime > time.time() - 3600 else int(st.st_mtime))
            if os.path.islink(path):
                entry.append(os.readlink(path))
            elif os.path.isfile(path):
                with open(path, "rb") as f:
                    entry.append(hashlib.sha256(f.read()).hexdigest())
            names = [n for n in os.listxattr(path, follow_symlinks=False)]
            entry.append({n: os.getxattr(path, n, follow_symlinks=False) for n in sorted(names)})
            if not os.path.isdir(path) or os.path.islink(path):
                entry.append(inodes.setdefault(st.st_ino, rel))
            found[rel] = entry
    return found
