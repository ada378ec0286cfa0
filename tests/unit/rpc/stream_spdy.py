#!/usr/bin/python3
"""Exec sessions over SPDY/3.1, as client-go's remotecommand executor speaks it: a client of its
own on zlib, for there is no other to be had."""

import hashlib
import json
import os
import socket
import struct
import sys
import threading
import time
import zlib

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "py"))
from peer import Failure, Streams, check, run  # noqa: E402

WORDS = """options head post put delete trace accept accept-charset accept-encoding
accept-language accept-ranges age allow authorization cache-control connection content-base
content-encoding content-language content-length content-location content-md5 content-range
content-type date etag expect expires from host if-match if-modified-since if-none-match if-range
if-unmodified-since last-modified location max-forwards pragma proxy-authenticate
proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade
user-agent vary via warning www-authenticate method get status""".split() + [
    "200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin"]
DICTIONARY = b"".join(struct.pack(">I", len(w)) + w.encode() for w in WORDS) + (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request"
    "401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented"
    "503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, "
    "Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,"
    "application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age="
    "gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.").encode()
SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = \
    1, 2, 3, 4, 6, 7, 8, 9
V4 = "v4.channel.k8s.io"


def control(kind, payload, flags=0, version=3):
    return struct.pack(">HHI", 0x8000 | version, kind, flags << 24 | len(payload)) + payload


def data(stream, payload, flags=0):
    return struct.pack(">II", stream, flags << 24 | len(payload)) + payload


class Spdy:
    """An upgraded connection."""

    def __init__(self, s, command, flags="ioe", versions=(V4,), method="POST"):
        self.sock = socket.create_connection(("127.0.0.1", s.port), timeout=10)
        offer = "".join(f"X-Stream-Protocol-Version: {v}\r\n" for v in versions)
        self.sock.sendall((
            f"{method} /run/{flags}/{command.encode().hex()} HTTP/1.1\r\nHost: localhost\r\n"
            f"User-Agent: test\r\nContent-Length: 0\r\nConnection: Upgrade\r\n"
            f"Upgrade: SPDY/3.1\r\n{offer}\r\n").encode())
        self.buf = b""
        while b"\r\n\r\n" not in self.buf:
            check(self.more(), "no answer to the upgrade")
        head, self.buf = self.buf.split(b"\r\n\r\n", 1)
        self.head = head.decode()
        self.out = zlib.compressobj(zdict=DICTIONARY)
        self.inp = zlib.decompressobj(zdict=DICTIONARY)
        self.next = 1
        self.names = {}
        self.got = {}
        self.fin = set()
        self.replies = set()
        self.pongs = []
        self.resets = {}
        self.eof = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def more(self):
        try:
            got = self.sock.recv(65536)
        except ConnectionResetError:
            got = b""
        except TimeoutError as e:
            raise Failure("the server neither answers nor closes") from e
        self.buf += got
        return bool(got)

    def send(self, frames):
        self.sock.sendall(frames)

    def block(self, headers):
        raw = struct.pack(">I", len(headers)) + b"".join(
            struct.pack(">I", len(k)) + k.encode() + struct.pack(">I", len(v)) + v.encode()
            for k, v in headers.items())
        return self.out.compress(raw) + self.out.flush(zlib.Z_SYNC_FLUSH)

    def syn(self, kind, flags=0, **headers):
        stream = self.next
        self.next += 2
        self.names[stream] = kind
        return stream, control(SYN_STREAM, struct.pack(">IIH", stream, 0, 0) + self.block(
            dict(headers, streamtype=kind)), flags)

    def open(self, *kinds):
        """Opens streams and waits for the replies."""
        ids = []
        for kind in kinds:
            stream, f = self.syn(kind)
            self.send(f)
            ids.append(stream)
        while not self.replies >= set(ids):
            check(self.step(), f"{kinds}: no reply")
        return ids

    def step(self):
        """Handles one frame. False at the end."""
        while len(self.buf) < 8 or len(self.buf) < 8 + (
                struct.unpack(">I", self.buf[4:8])[0] & 0xffffff):
            if not self.more():
                self.eof = True
                return False
        first, second = struct.unpack(">II", self.buf[:8])
        n, flags = second & 0xffffff, second >> 24
        payload, self.buf = self.buf[8:8 + n], self.buf[8 + n:]
        if not first >> 31:
            name = self.names[first]
            check(name not in self.fin, f"data after the end of {name}")
            self.got[name] = self.got.get(name, b"") + payload
            if flags & 1:
                self.fin.add(name)
            return True
        check(first >> 16 & 0x7fff == 3, "a frame of another version")
        kind = first & 0xffff
        if kind == SYN_REPLY:
            self.replies.add(struct.unpack(">I", payload[:4])[0])
            check(self.inp.decompress(payload[4:]) == b"\0\0\0\0", "the reply's headers")
        elif kind == PING:
            self.pongs.append(payload)
        elif kind == RST_STREAM:
            stream, code = struct.unpack(">II", payload)
            self.resets[stream] = code
        return True

    def finish(self, *names):
        """Reads until the named streams have ended, then closes as client-go does."""
        while not set(names) <= self.fin:
            check(self.step(), f"the connection ended; ended streams: {self.fin}")
        self.send(b"".join(control(RST_STREAM, struct.pack(">II", i, 5)) for i in self.names) +
                  control(GOAWAY, struct.pack(">II", 0, 0)))
        while self.step():
            pass
        return self.got


def status(got):
    return json.loads(got["error"])


def output_and_status():
    with Streams() as s:
        fds = s.fds()
        for method in ("POST", "GET"):
            with Spdy(s, "echo out; echo err >&2; exit 7", method=method) as c:
                check(c.head.startswith("HTTP/1.1 101 ") and "Upgrade: SPDY/3.1" in c.head and
                      f"X-Stream-Protocol-Version: {V4}" in c.head, c.head)
                c.open("error", "stdin", "stdout", "stderr")
                got = c.finish("error", "stdout", "stderr")
                check(got["stdout"] == b"out\n" and got["stderr"] == b"err\n", f"{got}")
                check(status(got)["details"]["causes"] ==
                      [{"reason": "ExitCode", "message": "7"}], f"{got}")
        with Spdy(s, "true", flags="oe") as c:
            c.open("error", "stdout", "stderr")
            got = c.finish("error", "stdout", "stderr")
            check(got["error"] == b'{"metadata":{},"status":"Success"}', f"{got}")
        time.sleep(0.2)
        check(s.fds() == fds, f"{s.fds() - fds} fds are left")


def versions():
    with Streams() as s:
        offers = [(("v5.channel.k8s.io", V4, "v3.channel.k8s.io"), V4),
                  (("v2.channel.k8s.io", "channel.k8s.io"), "v2.channel.k8s.io"),
                  (("v3.channel.k8s.io, " + V4,), "v3.channel.k8s.io"), ((), None)]
        for offered, chosen in offers:
            with Spdy(s, "exit 4", versions=offered) as c:
                line = f"X-Stream-Protocol-Version: {chosen}\r\n"
                check(line in c.head + "\r\n" if chosen else "X-Stream" not in c.head, c.head)
                c.open("error", "stdin", "stdout", "stderr")
                text = c.finish("error")["error"]
                check(text.startswith(b"{") == (chosen == V4) and b"4" in text, f"{text}")
        with Spdy(s, "true", versions=["chat"]) as c:
            check(c.head.startswith("HTTP/1.1 403 ") and
                  "X-Accepted-Stream-Protocol-Versions" in c.head, c.head)


def stdin_and_its_end():
    with Streams() as s:
        with Spdy(s, "cat; echo end") as c:
            _, stdin, _, _ = c.open("error", "stdin", "stdout", "stderr")
            c.send(data(stdin, b"hello "))
            c.send(data(stdin, b""))
            c.send(data(stdin, b"world\n", 1))
            check(c.finish("error")["stdout"] == b"hello world\nend\n", f"{c.got}")
        with Spdy(s, "cat; echo end") as c:  # the end alone
            _, stdin, _, _ = c.open("error", "stdin", "stdout", "stderr")
            c.send(data(stdin, b"", 1))
            check(c.finish("error")["stdout"] == b"end\n", f"{c.got}")
        with Spdy(s, "cat; echo end") as c:  # opened and closed at once
            c.send(c.syn("error")[1] + c.syn("stdin", 1)[1] + c.syn("stdout")[1] +
                   c.syn("stderr")[1])
            check(c.finish("error")["stdout"] == b"end\n", f"{c.got}")
        with Spdy(s, "cat; echo end") as c:  # reset
            _, stdin, _, _ = c.open("error", "stdin", "stdout", "stderr")
            c.send(control(RST_STREAM, struct.pack(">II", stdin, 5)))
            check(c.finish("error")["stdout"] == b"end\n", f"{c.got}")
        with Spdy(s, "exit 3") as c:  # the process ends although stdin stays open
            c.open("error", "stdin", "stdout", "stderr")
            began = time.monotonic()
            c.finish("error", "stdout", "stderr")
            check(time.monotonic() - began < 2, "the end waits for stdin")


def streams_that_come_late():
    """Output and status wait for their streams."""
    with Streams() as s:
        with Spdy(s, "seq 1 1000; seq 1 1000 >&2; exit 2") as c:
            time.sleep(0.3)
            c.open("error")
            time.sleep(0.1)
            c.open("stdin", "stdout")
            time.sleep(0.1)
            c.open("stderr")
            got = c.finish("error", "stdout", "stderr")
            want = b"".join(b"%d\n" % i for i in range(1, 1001))
            check(got["stdout"] == want and got["stderr"] == want, "output is lost")
            check(status(got)["reason"] == "NonZeroExitCode", f"{got['error']}")
        with Spdy(s, "exec yes") as c:  # as much as there is room for
            time.sleep(0.5)
            with open(f"/proc/{s.proc.pid}/statm", encoding="ascii") as f:
                before = int(f.read().split()[1])
            time.sleep(0.5)
            with open(f"/proc/{s.proc.pid}/statm", encoding="ascii") as f:
                grown = (int(f.read().split()[1]) - before) * 4
            check(grown < 512, f"{grown} KiB more")
            c.open("error", "stdin", "stdout", "stderr")
            while len(c.got.get("stdout", b"")) < 5 << 20:
                check(c.step(), "the connection ended")


def resizing_and_pings():
    with Streams() as s, Spdy(s, "read x; echo done", flags="t") as c:
        _, stdin, _, resize = c.open("error", "stdin", "stdout", "resize")
        c.send(data(resize, b'{"Width":100,"Hei') + data(resize, b'ght":40}\n{"Width":'))
        c.send(control(PING, struct.pack(">I", 1)) + control(PING, struct.pack(">I", 2)))
        time.sleep(0.1)
        c.send(data(resize, b'101,"Height":41}\n') + data(resize, b"x" * 5000))
        time.sleep(0.1)
        c.send(control(SETTINGS, struct.pack(">III", 1, 4, 100)) +
               control(WINDOW_UPDATE, struct.pack(">II", 0, 1000)))
        c.send(data(stdin, b"\n"))
        got = c.finish("error", "stdout")
        check(got["stdout"] == b"resize 100x40\nresize 101x41\ndone\n", f"{got['stdout']}")
        check(c.pongs == [struct.pack(">I", 1)], f"{c.pongs}")


def copies_are_exact():
    with Streams() as s, Spdy(s, "exec cat") as c:
        _, stdin, _, _ = c.open("error", "stdin", "stdout", "stderr")
        sent = hashlib.sha256()
        sizes = [0, 1, 4096, 32768, 100000, 1 << 20]

        def send():
            total, i = 0, 0
            while total < 64 << 20:
                piece = os.urandom(sizes[i % len(sizes)])
                c.send(data(stdin, piece))
                sent.update(piece)
                total += len(piece)
                i += 1
            c.send(data(stdin, b"", 1))

        t = threading.Thread(target=send)
        t.start()
        parts = hashlib.sha256()
        while "error" not in c.fin:
            check(c.step(), "the connection ended")
            parts.update(c.got.pop("stdout", b""))
        t.join()
        check(parts.digest() == sent.digest(), "what came back is not what was sent")


def stuck_stdin():
    """A process that does not read, and ends."""
    with Streams() as s, Spdy(s, "sleep 1; exit 6") as c:
        _, stdin, _, _ = c.open("error", "stdin", "stdout", "stderr")

        def send():
            try:
                for _ in range(1000):
                    c.send(data(stdin, bytes(60000)))
            except OSError:
                pass

        t = threading.Thread(target=send, daemon=True)
        t.start()
        while "error" not in c.fin:
            check(c.step(), "the connection ended before the status")
        check(status(c.got)["details"]["causes"][0]["message"] == "6", f"{c.got}")
        c.sock.close()


def what_is_refused():
    with Streams() as s:
        fds = s.fds()

        def ends(what, make):
            with Spdy(s, "sleep 10") as c:
                c.open("error", "stdin", "stdout", "stderr")
                c.sock.settimeout(3)
                try:
                    c.send(make(c))
                    while c.step():
                        pass
                except ConnectionResetError:
                    pass
                except Failure as e:
                    raise Failure(f"{what}: {e}") from e

        bomb = zlib.compressobj(zdict=DICTIONARY)
        bomb = bomb.compress(struct.pack(">III", 1, 4, 0) + bytes(1 << 20)) + \
            bomb.flush(zlib.Z_SYNC_FLUSH)

        def raw(c, text):
            return control(HEADERS, struct.pack(">I", 1) + c.out.compress(text) +
                           c.out.flush(zlib.Z_SYNC_FLUSH))

        ends("version 2", lambda c: control(PING, bytes(4), version=2))
        ends("data on stream 0", lambda c: data(0, b"x"))
        ends("a large control frame", lambda c: control(SETTINGS, bytes(20000)))
        ends("a large data frame", lambda c: struct.pack(">II", 3, (1 << 20) + 1))
        ends("an even stream", lambda c: control(SYN_STREAM, struct.pack(">IIH", 20, 0, 0) +
                                                 c.block({"streamtype": "x"})))
        ends("a stream number that sinks", lambda c: control(
            SYN_STREAM, struct.pack(">IIH", 1, 0, 0) + c.block({"streamtype": "x"})))
        ends("a second stdin", lambda c: c.syn("stdin")[1])
        ends("bad zlib", lambda c: control(HEADERS, struct.pack(">I", 1) + b"\xff" * 50))
        ends("a bomb", lambda c: control(HEADERS, struct.pack(">I", 1) + bomb))
        ends("16 KiB and more", lambda c: raw(c, struct.pack(">III", 1, 1, 0) + bytes(20000)))
        ends("2^32 headers", lambda c: raw(c, struct.pack(">I", 0xffffffff)))
        ends("a name that is too long", lambda c: raw(c, struct.pack(">II", 1, 100) + b"abc"))
        ends("bytes behind the headers", lambda c: raw(c, struct.pack(">I", 0) + b"abc"))
        ends("a short SYN_STREAM", lambda c: control(SYN_STREAM, bytes(9)))
        with Spdy(s, "cat") as c:  # more streams than anybody needs
            c.open("error", "stdin", "stdout", "stderr", *["x"] * 6)
            for _ in range(20):
                c.send(c.syn("y")[1])
            while len(c.resets) < 20:
                check(c.step(), "the connection ended")
            check(set(c.resets.values()) == {3}, f"{c.resets}")
            c.send(data(3, b"still here", 1))
            check(c.finish("error")["stdout"] == b"still here", "the session is broken")
        time.sleep(0.3)
        check(s.fds() == fds, f"{s.fds() - fds} fds are left")


def clients_that_vanish():
    with Streams() as s:
        fds = s.fds()
        for i in range(100):
            c = Spdy(s, "sleep 100" if i % 3 else "true")
            if i % 2:
                c.open(*["error", "stdin", "stdout", "stderr"][:i % 5])
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", i & 1, 0))
            c.sock.close()
        end = time.monotonic() + 8
        while s.fds() != fds:
            check(time.monotonic() < end, f"{s.fds() - fds} fds are left")
            time.sleep(0.05)


run([output_and_status, versions, stdin_and_its_end, streams_that_come_late, resizing_and_pings,
     copies_are_exact, stuck_stdin, what_is_refused, clients_that_vanish])
