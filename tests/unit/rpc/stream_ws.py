#!/usr/bin/python3
"""Exec sessions over WebSocket: the streaming server with an independent client
(python3-websocket), and with raw frames."""

import base64
import hashlib
import json
import os
import socket
import struct
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "py"))
from peer import Failure, Streams, check, run  # noqa: E402

import websocket  # noqa: E402
from websocket import ABNF  # noqa: E402

V5, V4, V1 = "v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io"


def url(s, command, flags="ioe"):
    return f"ws://127.0.0.1:{s.port}/run/{flags}/{command.encode().hex()}"


def connect(s, command, flags="ioe", protocols=(V4,)):
    return websocket.create_connection(url(s, command, flags), timeout=10,
                                       subprotocols=list(protocols))


def messages(ws):
    """All messages up to the close frame, and its code."""
    got = []
    while True:
        opcode, data = ws.recv_data()
        if opcode == ABNF.OPCODE_CLOSE:
            return got, struct.unpack(">H", data[:2])[0]
        got.append(data)


def channel(got, number):
    return b"".join(m[1:] for m in got if m[:1] == bytes([number]))


def status(got):
    return json.loads(channel(got, 3))


SUCCESS = {"metadata": {}, "status": "Success"}


def failure(code):
    return {"metadata": {}, "status": "Failure",
            "message": f"command terminated with non-zero exit code: exit code {code}",
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]}}


def output_and_status():
    with Streams() as s:
        for protocol in (V5, V4):
            ws = connect(s, "echo hello; echo oops >&2", protocols=[protocol])
            check(ws.subprotocol == protocol, f"{ws.subprotocol} was chosen")
            got, code = messages(ws)
            check(got[0] == b"\x01", f"the first message is {got[0]!r}")
            check(channel(got, 1) == b"hello\n" and channel(got, 2) == b"oops\n", f"{got}")
            check(channel(got, 3) == b'{"metadata":{},"status":"Success"}', f"{got}")
            check(code == 1000, f"closed with {code}")
        for n in (1, 127, 255):
            got, _ = messages(connect(s, f"exit {n}"))
            check(status(got) == failure(n), f"{status(got)}")
        got, _ = messages(connect(s, "kill -9 $$"))
        check(status(got) == {
            "metadata": {}, "status": "Failure",
            "message": "Internal error occurred: killed by signal 9", "reason": "InternalError",
            "details": {"causes": [{"message": "killed by signal 9"}]}, "code": 500},
            f"{status(got)}")


def older_protocols():
    with Streams() as s:
        for protocols in ([V1], []):
            ws = connect(s, "echo a; exit 2", protocols=protocols)
            check(ws.subprotocol == (protocols[0] if protocols else None), "subprotocol")
            got, _ = messages(ws)
            check(channel(got, 3) == b"command terminated with non-zero exit code: exit code 2",
                  f"{got}")
            got, _ = messages(connect(s, "true", protocols=protocols))
            check(got == [b"\x01"], f"success is {got}")
        for protocol in ("base64.channel.k8s.io", "v4.base64.channel.k8s.io"):
            ws = connect(s, "read x; echo \"<$x>\"", protocols=[protocol])
            check(ws.subprotocol == protocol, "subprotocol")
            ws.send("0" + base64.b64encode(b"in").decode())
            ws.send("0" + base64.b64encode(b"put\n").decode())
            got, _ = messages(ws)
            check(got[0] == b"1", f"the first message is {got[0]!r}")
            out = b"".join(base64.b64decode(m[1:]) for m in got if m[:1] == b"1")
            check(out == b"<input>\n", f"{out!r}")
            if protocol.startswith("v4"):
                text = b"".join(base64.b64decode(m[1:]) for m in got if m[:1] == b"3")
                check(json.loads(text) == SUCCESS, f"{text}")


def negotiation():
    with Streams() as s:
        for offered, chosen in ((["v6.channel.k8s.io", V4, V5], V4), ([V5, V4], V5)):
            ws = connect(s, "true", protocols=offered)
            check(ws.subprotocol == chosen, f"{offered}: {ws.subprotocol}")
            ws.close()
        try:
            connect(s, "true", protocols=["chat", "superchat"])
            check(False, "unknown subprotocols are accepted")
        except websocket.WebSocketBadStatusException as e:
            check(e.status_code == 403, f"{e.status_code}")


def first_messages():
    with Streams() as s:
        for flags, first in (("oe", b"\x01"), ("e", b"\x02"), ("i", b"\x03"), ("0", b"\x03")):
            ws = connect(s, "true", flags=flags)
            got, _ = messages(ws)
            check(got[0] == first, f"{flags}: {got[0]!r}")
        got, _ = messages(connect(s, "echo a; echo b >&2", flags="0"))
        check([m[:1] for m in got] == [b"\x03", b"\x03"], f"{got}")


def stdin_and_its_end():
    with Streams() as s:
        ws = connect(s, "cat; echo end", protocols=[V5])
        ws.send_binary(b"\x00hello ")
        ws.send_binary(b"\x00world\n")
        ws.send_binary(b"\x00")
        ws.send_binary(b"")
        ws.send_binary(b"\xff\x01")  # not ours to close
        ws.send_binary(b"\xff\x00")
        ws.send_binary(b"\x00too late")
        got, _ = messages(ws)
        check(channel(got, 1) == b"hello world\nend\n", f"{got}")
        check(status(got) == SUCCESS, "status")
        # v4 has no such channel: ignored
        ws = connect(s, "read x; read y; echo $x$y")
        ws.send_binary(b"\x00a\n")
        ws.send_binary(b"\xff\x00")
        ws.send_binary(b"\x07nothing")
        ws.send_binary(b"\x01not for us")
        ws.send_binary(b"\x00b\n")
        got, _ = messages(ws)
        check(channel(got, 1) == b"ab\n", f"{got}")
        # a session without stdin
        ws = connect(s, "cat; echo end", flags="oe", protocols=[V5])
        got, _ = messages(ws)
        check(channel(got, 1) == b"end\n", f"{got}")


def resizing():
    with Streams() as s:
        ws = connect(s, "read x; echo done", flags="t")
        for text in ('{"Width":100,"Height":40}', "garbage", '{"Width":0,"Height":1}',
                     '{"Width":70000,"Height":1}', '{"Width":"1"}', ""):
            ws.send_binary(b"\x04" + text.encode())
            time.sleep(0.02)
        ws.send_binary(b"\x00\n")
        got, _ = messages(ws)
        check(channel(got, 1) == b"resize 100x40\ndone\n", f"{got}")
        ws = connect(s, "read x; echo done", flags="t")
        for i in range(20000):
            ws.send_binary(b'\x04{"Width":%d,"Height":24}' % (i + 1))
        ws.send_binary(b"\x00\n")
        got, _ = messages(ws)
        out = channel(got, 1).split()
        check(out[-2:] == [b"20000x24", b"done"], f"{out[-4:]}")
        # the largest resize message that is kept
        ws = connect(s, "sleep 5", flags="t")
        ws.send_binary(b"\x04" + b" " * 300)
        check(messages(ws)[1] == 1009, "a resize message of 300 bytes")


def fragments():
    with Streams() as s:
        ws = connect(s, "head -c 11")
        for fin, opcode, data in ((0, ABNF.OPCODE_BINARY, b""), (0, ABNF.OPCODE_CONT, b"\x00"),
                                  (0, ABNF.OPCODE_CONT, b"abc"), (0, ABNF.OPCODE_CONT, b""),
                                  (1, ABNF.OPCODE_CONT, b"\x04def")):
            ws.send_frame(ABNF(fin, 0, 0, 0, opcode, 1, data))
            ws.ping(b"between")
        ws.send_frame(ABNF(1, 0, 0, 0, ABNF.OPCODE_TEXT, 1, b"\x00\xc3\xa9\xc3\xa9"))
        got, _ = messages(ws)
        check(channel(got, 1) == b"abc\x04def\xc3\xa9\xc3\xa9", f"{got}")


def ping_and_close():
    with Streams() as s:
        ws = connect(s, "sleep 10")
        ws.recv()
        ws.ping(b"x" * 125)
        opcode, data = ws.recv_data(control_frame=True)
        check((opcode, data) == (ABNF.OPCODE_PONG, b"x" * 125), f"{opcode} {data!r}")
        ws.send(struct.pack(">H", 4000) + b"bye", ABNF.OPCODE_CLOSE)
        opcode, data = ws.recv_data(control_frame=True)
        check((opcode, data) == (ABNF.OPCODE_CLOSE, struct.pack(">H", 4000)), f"{opcode} {data!r}")
        try:  # that client answers a close frame with another one
            check(ws.sock.recv(1) == b"", "the connection stays open")
        except ConnectionResetError:
            pass


class Raw:
    """A handshake by hand, then bytes as they are."""

    def __init__(self, s, command="sleep 10", head=None, early=b"", flags="ioe"):
        self.sock = socket.create_connection(("127.0.0.1", s.port), timeout=10)
        self.head = head or (
            f"GET /run/{flags}/{command.encode().hex()} HTTP/1.1\r\nHost: localhost\r\n"
            "Connection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Sec-WebSocket-Protocol: {V5}\r\n\r\n")
        self.sock.sendall(self.head.encode() + early)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def all(self):
        got = b""
        try:
            while True:
                more = self.sock.recv(65536)
                if not more:
                    return got
                got += more
        except ConnectionResetError:
            return got
        except TimeoutError as e:
            raise Failure("the server neither answers nor closes") from e

    def close_code(self):
        """The code of the close frame at the end, or None."""
        got = self.all()
        at = got.rfind(b"\x88\x02")
        return struct.unpack(">H", got[at + 2:at + 4])[0] if at >= 0 else None


def masked(first, payload, length=None, mask=b"\x11\x22\x33\x44"):
    n = len(payload)
    if length is None:
        length = bytes([0x80 | n]) if n < 126 else b"\xfe" + struct.pack(">H", n) \
            if n < 65536 else b"\xff" + struct.pack(">Q", n)
    return bytes([first]) + length + mask + bytes(b ^ mask[i & 3] for i, b in enumerate(payload))


def the_handshake():
    with Streams() as s:
        with Raw(s, "true") as r:
            got = r.all().split(b"\r\n\r\n")[0].decode()
        want = base64.b64encode(hashlib.sha1(
            b"dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
        check(want == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "RFC 6455's example")
        check(f"Sec-WebSocket-Accept: {want}" in got, got)
        good = Raw(s, "true").head
        for change, code in ((("GET ", "POST "), 400), (("13", "8"), 426),
                             (("Key: dGhl", "Key: !!!!"), 400), (("Key: dGhl", "Key: "), 400),
                             (("keep-alive, Upgrade", "keep-alive"), 400),
                             (("WebSocket\r", "SPDY/9\r"), 501), (("upgrade: WebSocket\r\n", ""), 501),
                             ((V5, "chat"), 403)):
            with Raw(s, head=good.replace(*change)) as r:
                got = r.all()
                check(got.startswith(f"HTTP/1.1 {code} ".encode()), f"{change}: {got[:40]}")


def what_breaks_the_protocol():
    cases = {
        "not masked": (b"\x82\x01\x00", 1002), "a reserved bit": (masked(0xc2, b"\x00"), 1002),
        "opcode 3": (masked(0x83, b"\x00"), 1002), "opcode 11": (masked(0x8b, b"\x00"), 1002),
        "a ping of 126 bytes": (masked(0x89, bytes(126)), 1002),
        "a ping in pieces": (masked(0x09, b"x"), 1002),
        "a continuation of nothing": (masked(0x80, b"x"), 1002),
        "a message in a message": (masked(0x02, b"\x00") + masked(0x82, b"\x00"), 1002),
        "5 bytes with 16 bits of length": (masked(0x82, b"\x00abcd", b"\xfe\x00\x05"), 1002),
        "5 bytes with 64 bits of length": (
            masked(0x82, b"\x00abcd", b"\xff" + struct.pack(">Q", 5)), 1002),
        "2^63 bytes": (b"\x82\xff" + struct.pack(">Q", 1 << 63) + b"abcd", 1002),
        "1 MiB + 1": (b"\x82\xff" + struct.pack(">Q", (1 << 20) + 1) + b"abcd", 1009),
        "text that is not UTF-8": (masked(0x81, b"\x00\xff"), 1007),
        "text that ends within a character": (masked(0x81, b"\x00\xc3"), 1007),
        "an overlong character": (masked(0x01, b"\x00\xe0") + masked(0x80, b"\x80\x80"), 1007),
        "a surrogate": (masked(0x81, b"\x00\xed\xa0\x80"), 1007),
        "half a close code": (masked(0x88, b"\x03"), 1002),
        "close code 1005": (masked(0x88, struct.pack(">H", 1005)), 1002),
        "close code 999": (masked(0x88, struct.pack(">H", 999)), 1002),
        "a close reason that is not UTF-8": (masked(0x88, struct.pack(">H", 1000) + b"\xff"), 1007),
    }
    with Streams() as s:
        fds = s.fds()
        for what, (sent, code) in cases.items():
            with Raw(s) as r:
                r.sock.sendall(sent)
                got = r.close_code()
                check(got == code, f"{what}: closed with {got}, not {code}")
        time.sleep(0.1)
        check(s.fds() == fds, f"{s.fds() - fds} fds are left")
        return f"{len(cases)} cases"


def pieces_and_early_bytes():
    with Streams() as s:
        with Raw(s, "cat", early=masked(0x82, b"\x00early\n") + masked(0x82, b"\xff\x00")) as r:
            check(b"\x01early\n" in r.all(), "bytes behind the head are lost")
        head = Raw(s, "cat").head.encode() + masked(0x82, b"\x00slow\n") + masked(0x82, b"\xff\x00")
        with socket.create_connection(("127.0.0.1", s.port), timeout=10) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for b in head:
                sock.send(bytes([b]))
            got = b""
            while b"\x01slow\n" not in got:
                more = sock.recv(65536)
                check(more, f"{got}")
                got += more


def http_answers():
    with Streams() as s:
        fds = s.fds()
        for path, line in (("/404", "404 Not Found"), ("/403", "403 Forbidden"),
                           ("/429", "429 Too Many Requests"), ("/slow/50", "404 Not Found")):
            with Raw(s, head=f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n") as r:
                got = r.all().decode()
                check(got.startswith(f"HTTP/1.1 {line}\r\n"), got)
                check(("Retry-After: 60" in got) == (path == "/429"), got)
        for head, code in (("GET /404 HTTP/1.0\r\n\r\n", 505), ("GET /404\r\n\r\n", 400),
                           ("GET 404 HTTP/1.1\r\n\r\n", 400), ("nonsense\r\n\r\n", 400),
                           ("GET /404 HTTP/1.1\r\nno colon\r\n\r\n", 400),
                           ("GET /404 HTTP/1.1\r\nname : x\r\n\r\n", 400),
                           ("GET /404 HTTP/1.1\r\n folded: x\r\n\r\n", 400),
                           ("GET /404 HTTP/1.1\r\nx: a\0b\r\n\r\n", 400),
                           ("GET /404 HTTP/1.1\nx: a\r\n\r\n", 400),
                           ("GET /404 HTTP/1.1\r\n" + "x: y\r\n" * 65 + "\r\n", 400),
                           ("GET /" + "x" * 17000 + " HTTP/1.1\r\n\r\n", 431)):
            with Raw(s, head=head) as r:
                got = r.all()
                check(got.startswith(f"HTTP/1.1 {code} ".encode()), f"{head[:30]!r}: {got[:40]}")
        # many at once, and clients that go without a word
        socks = [socket.create_connection(("127.0.0.1", s.port)) for _ in range(100)]
        time.sleep(0.2)
        check(s.fds() - fds <= 64, f"{s.fds() - fds} connections")
        for sock in socks:
            sock.close()
        time.sleep(0.2)
        check(s.fds() == fds, f"{s.fds() - fds} fds are left")
        with Raw(s, head="GET /404 HTTP/1.1\r\n\r\n") as r:
            check(b"404" in r.all(), "afterwards")


def a_head_that_does_not_come():
    with Streams() as s, socket.create_connection(("127.0.0.1", s.port), timeout=15) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n")
        began = time.monotonic()
        got = sock.recv(1000)
        took = time.monotonic() - began
        check(b" 408 " in got and 9 < took < 12, f"{got[:30]} after {took:.1f} s")


def clients_that_vanish():
    """Sessions leave nothing behind, however they end."""
    with Streams() as s:
        fds = s.fds()
        for i in range(150):
            ws = connect(s, "sleep 100" if i % 3 else "true")
            if i % 2:
                ws.recv()
            ws.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", i & 1, 0))
            ws.sock.close()
        # one whose process does not read: it is noticed although nothing is read
        with Raw(s, "sleep 100") as r:
            r.sock.settimeout(1)
            try:
                while True:
                    r.sock.sendall(masked(0x82, bytes(10000)))
            except TimeoutError:
                pass
        end = time.monotonic() + 8
        while s.fds() != fds:
            check(time.monotonic() < end, f"{s.fds() - fds} fds are left")
            time.sleep(0.05)


def a_reader_that_stops():
    """Output waits in the process, not in us."""
    with Streams() as s:
        ws = connect(s, "exec yes", flags="o")
        ws.recv()
        time.sleep(1)
        with open(f"/proc/{s.proc.pid}/statm", encoding="ascii") as f:
            before = int(f.read().split()[1])
        time.sleep(1)
        with open(f"/proc/{s.proc.pid}/statm", encoding="ascii") as f:
            grown = (int(f.read().split()[1]) - before) * 4
        check(grown < 1024, f"{grown} KiB more after a second")
        n = 0
        while n < 50 << 20:
            n += len(ws.recv())
        ws.close()


def copies_are_exact():
    """Both ways at once, 64 MiB, in messages of all sizes."""
    with Streams() as s:
        ws = connect(s, "exec cat", protocols=[V5])
        sent, got = hashlib.sha256(), hashlib.sha256()
        sizes = [1, 125, 126, 127, 4096, 65535, 65536, 100000, 1 << 20]

        def send():
            total, i = 0, 0
            while total < 64 << 20:
                data = os.urandom(sizes[i % len(sizes)] - 1)
                ws.send_binary(b"\x00" + data)
                sent.update(data)
                total += len(data)
                i += 1
            ws.send_binary(b"\xff\x00")

        t = threading.Thread(target=send)
        t.start()
        try:
            while True:
                opcode, data = ws.recv_data()
                if opcode == ABNF.OPCODE_CLOSE:
                    break
                if data[0] == 1:
                    got.update(data[1:])
        finally:
            t.join()
        check(sent.digest() == got.digest(), "what came back is not what was sent")


run([output_and_status, older_protocols, negotiation, first_messages, stdin_and_its_end, resizing,
     fragments, ping_and_close, the_handshake, what_breaks_the_protocol, pieces_and_early_bytes,
     http_answers, a_head_that_does_not_come, clients_that_vanish, a_reader_that_stops,
     copies_are_exact])
