"""What the Python tests of this directory share: the servers, and frames of HTTP/2."""

import os
import socket
import struct
import subprocess
import sys
import tempfile

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "..")
BUILD = os.environ.get("PEER_DIR", os.path.join(TOP, "build/host/tests/unit/rpc"))

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, \
    CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, PRIO = 1, 1, 4, 8, 0x20
(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED,
 FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR,
 ENHANCE_YOUR_CALM) = range(12)
# what the servers keep, not what ASan keeps of what they have freed
ENV = dict(os.environ, ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=2")
MAGIC = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Failure(Exception):
    """What a test has found wrong."""


def check(ok, what):
    if not ok:
        raise Failure(what)


class Grpc:
    """grpc_peer serving on a socket of its own."""

    def __init__(self):
        self.dir = tempfile.TemporaryDirectory(prefix="grpc_peer.")
        self.path = os.path.join(self.dir.name, "sock")
        self.proc = subprocess.Popen([os.path.join(BUILD, "grpc_peer"), "serve", self.path],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENV)
        check(self.proc.stdout.readline() == b"ready\n", "grpc_peer does not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.proc.stdin.close()
        try:
            status = self.proc.wait(20)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            status = self.proc.wait()
        self.dir.cleanup()
        check(status == 0, f"grpc_peer ended with {status}")

    def rss(self):
        with open(f"/proc/{self.proc.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * 4

    def cpu(self):
        with open(f"/proc/{self.proc.pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Streams:
    """stream_peer serving on a port of its own."""

    def __init__(self):
        self.proc = subprocess.Popen([os.path.join(BUILD, "stream_peer"), "serve"],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENV)
        self.port = int(self.proc.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.proc.stdin.close()
        try:
            status = self.proc.wait(20)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            status = self.proc.wait()
        check(status == 0, f"stream_peer ended with {status}")

    def fds(self):
        return len(os.listdir(f"/proc/{self.proc.pid}/fd"))


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + \
        struct.pack(">I", stream) + payload


def literal(name, value):
    """A header field without indexing and without Huffman codes (RFC 7541 6.2.2)."""
    def text(s):
        s = s.encode() if isinstance(s, str) else s
        if len(s) < 127:
            return bytes([len(s)]) + s
        n, more = len(s) - 127, b""
        while n >= 128:
            more += bytes([n % 128 + 128])
            n //= 128
        return b"\x7f" + more + bytes([n]) + s
    return b"\x00" + text(name) + text(value)


def request(path="/test.Peer/Echo", **change):
    """The header block of a call. change: name with _ for -, None leaves the field out."""
    fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "localhost",
              "content-type": "application/grpc", "te": "trailers"}
    for name, value in change.items():
        name = name.replace("_", "-")
        fields[":" + name if ":" + name in fields else name] = value
    return b"".join(literal(n, v) for n, v in fields.items() if v is not None)


def message(data, flag=0):
    return struct.pack(">BI", flag, len(data)) + data


class Conn:
    """A connection that says just what it is told to."""

    def __init__(self, path, hello=True, settings=b""):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.sock.settimeout(10)
        self.buf = b""
        if hello:
            self.send(MAGIC + frame(SETTINGS, 0, 0, settings) + frame(SETTINGS, ACK, 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        """Sends; False if the server has closed."""
        try:
            self.sock.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def call(self, stream, data=b"hello", path="/test.Peer/Echo", **change):
        return self.send(frame(HEADERS, END_HEADERS, stream, request(path, **change)) +
                         frame(DATA, END_STREAM, stream, message(data)))

    def read(self):
        """The next frame as (kind, flags, stream, payload); None at the end."""
        while len(self.buf) < 9 or len(self.buf) < 9 + int.from_bytes(self.buf[:3], "big"):
            try:
                got = self.sock.recv(65536)
            except ConnectionResetError:
                got = b""
            except TimeoutError as e:
                raise Failure("the server neither answers nor closes") from e
            if not got:
                return None
            self.buf += got
        n = int.from_bytes(self.buf[:3], "big")
        f = (self.buf[3], self.buf[4], int.from_bytes(self.buf[5:9], "big") & 0x7fffffff,
             self.buf[9:9 + n])
        self.buf = self.buf[9 + n:]
        return f

    def until(self, want):
        """Reads until want(frame); the frames before it too. None last if the end came first."""
        seen = []
        while True:
            f = self.read()
            seen.append(f)
            if f is None or want(f):
                return seen

    def answer(self, stream):
        """What comes for a stream up to its end: the frames, or fails."""
        seen = [f for f in self.until(
            lambda f: f[2] == stream and (f[0] == RST_STREAM or
                                          (f[0] in (DATA, HEADERS) and f[1] & END_STREAM)))]
        check(seen[-1] is not None, f"the connection ended before stream {stream}")
        return [f for f in seen if f[2] == stream]

    def goaway(self):
        """The error code of the GOAWAY that comes before the connection ends; None: there is none."""
        code = None
        while True:
            f = self.read()
            if f is None:
                return code
            if f[0] == GOAWAY:
                code = int.from_bytes(f[3][4:8], "big")

    def alive(self):
        """True if a ping comes back."""
        if not self.send(frame(PING, 0, 0, b"are you?")):
            return False
        return self.until(lambda f: f[0] == PING and f[1] & ACK)[-1] is not None


def run(tests):
    """Runs functions, each a test."""
    for test in tests:
        try:
            note = test()
            print(f"ok {test.__name__}" + (f"  # {note}" if note else ""), flush=True)
        except Failure as e:
            print(f"not ok {test.__name__}: {e}", flush=True)
        except Exception as e:  # noqa: BLE001
            print(f"not ok {test.__name__}: {type(e).__name__}: {e}", flush=True)
    sys.exit(0)
