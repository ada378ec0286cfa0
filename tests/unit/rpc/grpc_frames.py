#!/usr/bin/python3
# timeout: 300
"""Our gRPC server and a client that writes its own frames: what RFC 9113 forbids, what is cheap
to send and costly to serve, and what must be possible meanwhile."""

import os
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "py"))
from peer import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM,  # noqa: E402
                  FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, GOAWAY, HEADERS, MAGIC, PADDED, PING, PRIO,
                  PRIORITY, PROTOCOL_ERROR, PUSH_PROMISE, REFUSED_STREAM, RST_STREAM, SETTINGS,
                  STREAM_CLOSED, COMPRESSION_ERROR, CANCEL, WINDOW_UPDATE, Conn, Grpc, check,
                  frame, literal, message, request, run)


def u32(n):
    return n.to_bytes(4, "big")


def setting(number, value):
    return number.to_bytes(2, "big") + u32(value)


def text_of(frames):
    """All header blocks as text: our server's fields are short, Huffman coded or not."""
    return b"".join(f[3] for f in frames if f[0] == HEADERS)


def rst_code(frames):
    for f in frames:
        if f and f[0] == RST_STREAM:
            return int.from_bytes(f[3], "big")
    return None


def echoes(c, stream):
    c.call(stream, b"echo")
    body = b"".join(f[3] for f in c.answer(stream) if f[0] == DATA)
    check(body == message(b"echo"), f"stream {stream} is answered {body!r}")


def connection_errors():
    """Each ends the connection with the code that RFC 9113 names."""
    opened = frame(HEADERS, END_HEADERS, 1, request())
    cases = {
        "DATA on stream 0": (frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
        "DATA on an idle stream": (frame(DATA, 0, 1, b"x"), PROTOCOL_ERROR),
        "RST_STREAM on an idle stream": (frame(RST_STREAM, 0, 1, u32(0)), PROTOCOL_ERROR),
        "RST_STREAM on stream 0": (frame(RST_STREAM, 0, 0, u32(0)), PROTOCOL_ERROR),
        "RST_STREAM of 3 bytes": (opened + frame(RST_STREAM, 0, 1, b"abc"), FRAME_SIZE_ERROR),
        "WINDOW_UPDATE on an idle stream": (frame(WINDOW_UPDATE, 0, 1, u32(1)), PROTOCOL_ERROR),
        "WINDOW_UPDATE of 0": (frame(WINDOW_UPDATE, 0, 0, u32(0)), PROTOCOL_ERROR),
        "WINDOW_UPDATE of 3 bytes": (frame(WINDOW_UPDATE, 0, 0, b"abc"), FRAME_SIZE_ERROR),
        "a window beyond 2^31-1": (frame(WINDOW_UPDATE, 0, 0, u32(0x7fffffff)),
                                   FLOW_CONTROL_ERROR),
        "HEADERS on stream 0": (frame(HEADERS, END_HEADERS, 0, request()), PROTOCOL_ERROR),
        "HEADERS on an even stream": (frame(HEADERS, END_HEADERS, 2, request()), PROTOCOL_ERROR),
        "a stream number that sinks": (frame(HEADERS, END_HEADERS, 5, request()) +
                                       frame(HEADERS, END_HEADERS, 3, request()),
                                       PROTOCOL_ERROR),
        "DATA on a stream that was reset": (opened + frame(RST_STREAM, 0, 1, u32(CANCEL)) +
                                            frame(DATA, 0, 1, b"x"), STREAM_CLOSED),
        "HEADERS on a stream that was reset": (opened + frame(RST_STREAM, 0, 1, u32(CANCEL)) +
                                               frame(HEADERS, END_HEADERS, 1, request()),
                                               STREAM_CLOSED),
        "HEADERS that depend on themselves": (
            frame(HEADERS, END_HEADERS | PRIO, 1, u32(1) + b"\0" + request()), PROTOCOL_ERROR),
        "PRIORITY that depends on itself": (frame(PRIORITY, 0, 1, u32(1) + b"\0"),
                                            PROTOCOL_ERROR),
        "PRIORITY on stream 0": (frame(PRIORITY, 0, 0, u32(1) + b"\0"), PROTOCOL_ERROR),
        "padding as long as the frame": (opened + frame(DATA, PADDED, 1, b"\x06abcde"),
                                         PROTOCOL_ERROR),
        "PUSH_PROMISE": (frame(PUSH_PROMISE, END_HEADERS, 1, u32(2) + request()),
                         PROTOCOL_ERROR),
        "SETTINGS on stream 1": (frame(SETTINGS, 0, 1), PROTOCOL_ERROR),
        "SETTINGS of 5 bytes": (frame(SETTINGS, 0, 0, b"abcde"), FRAME_SIZE_ERROR),
        "an ACK with a payload": (frame(SETTINGS, ACK, 0, setting(3, 1)), FRAME_SIZE_ERROR),
        "ENABLE_PUSH 2": (frame(SETTINGS, 0, 0, setting(2, 2)), PROTOCOL_ERROR),
        "INITIAL_WINDOW_SIZE 2^31": (frame(SETTINGS, 0, 0, setting(4, 1 << 31)),
                                     FLOW_CONTROL_ERROR),
        "MAX_FRAME_SIZE 16383": (frame(SETTINGS, 0, 0, setting(5, 16383)), PROTOCOL_ERROR),
        "MAX_FRAME_SIZE 2^24": (frame(SETTINGS, 0, 0, setting(5, 1 << 24)), PROTOCOL_ERROR),
        "PING on stream 1": (frame(PING, 0, 1, bytes(8)), PROTOCOL_ERROR),
        "PING of 7 bytes": (frame(PING, 0, 0, bytes(7)), FRAME_SIZE_ERROR),
        "GOAWAY on stream 1": (frame(GOAWAY, 0, 1, bytes(8)), PROTOCOL_ERROR),
        "a frame of 16385 bytes": (opened + frame(DATA, 0, 1, bytes(16385)), FRAME_SIZE_ERROR),
        "CONTINUATION of nothing": (frame(CONTINUATION, END_HEADERS, 1, request()),
                                    PROTOCOL_ERROR),
        "a header block that is interrupted": (frame(HEADERS, 0, 1, request()) +
                                               frame(PING, 0, 0, bytes(8)), PROTOCOL_ERROR),
        "CONTINUATION of another stream": (frame(HEADERS, 0, 1, request()) +
                                           frame(CONTINUATION, END_HEADERS, 3, b""),
                                           PROTOCOL_ERROR),
        "an index that HPACK does not have": (frame(HEADERS, END_HEADERS, 1, b"\xff\x7f"),
                                              COMPRESSION_ERROR),
        "a table size beyond the limit": (frame(HEADERS, END_HEADERS, 1, b"\x3f\xff\xff\x7f"),
                                          COMPRESSION_ERROR),
        "Huffman code that is padded with EOS": (
            frame(HEADERS, END_HEADERS, 1, b"\x00\x84\xff\xff\xff\xff\x00"), COMPRESSION_ERROR),
    }
    with Grpc() as s:
        for what, (sent, code) in cases.items():
            with Conn(s.path) as c:
                c.sock.settimeout(3)
                c.send(sent)
                got = c.goaway()
                check(got == code, f"{what}: GOAWAY with {got}, not {code}")
        with Conn(s.path) as c:
            echoes(c, 1)
        return f"{len(cases)} cases"


def no_preface():
    with Grpc() as s:
        for sent in (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", MAGIC[:-1] + b"x",
                     b"\x16\x03\x01\x02\x00", MAGIC + frame(PING, 0, 0, bytes(8))):
            with Conn(s.path, hello=False) as c:
                c.send(sent)
                c.goaway()  # returns at the end of the connection
        with Conn(s.path) as c:
            echoes(c, 1)


def stream_errors():
    """Malformed requests cost their stream, not the connection (RFC 9113 8.1.1)."""
    with Grpc() as s, Conn(s.path) as c:
        stream = -1
        cases = {
            "no :path": {"path": None}, "an empty :path": {"path": ""},
            "a :path without slash": {"path": "test.Peer/Echo"},
            "no :method": {":method": None}, "no :scheme": {":scheme": None},
            "te that is not trailers": {"te": "gzip"}, "connection": {"connection": "close"},
            "a name in upper case": {"Upper": "x"}, "an unknown pseudo-header": {":foo": "x"},
            "a value with a line feed": {"x": "a\nb"},
        }
        for what, change in cases.items():
            stream += 2
            fields = dict(change)
            if ":method" in fields or ":scheme" in fields:
                fields = {k[1:]: v for k, v in fields.items()}
            c.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, request(**fields)))
            got = rst_code(c.answer(stream))
            check(got == PROTOCOL_ERROR, f"{what}: RST_STREAM with {got}")
        for length, data in (("4", b"hello"), ("6", b"hello"), ("x", b"hello")):
            stream += 2
            c.call(stream, data, content_length=length)
            got = rst_code(c.answer(stream))
            check(got == PROTOCOL_ERROR, f"content-length {length}: RST_STREAM with {got}")
        stream += 2
        c.send(frame(HEADERS, END_HEADERS, stream, request()) +
               frame(HEADERS, END_HEADERS, stream, literal("x", "y")))
        check(rst_code(c.answer(stream)) == PROTOCOL_ERROR, "trailers that do not end the stream")
        stream += 2
        c.send(frame(HEADERS, END_HEADERS, stream, request(path="/test.Peer/Never")) +
               frame(DATA, END_STREAM, stream, message(b"")) + frame(DATA, 0, stream, b"more"))
        check(c.goaway() == STREAM_CLOSED, "DATA after the end of the stream")
    with Grpc() as s, Conn(s.path) as c:
        c.call(1, path="/test.Peer/Never")
        c.send(frame(WINDOW_UPDATE, 0, 1, u32(0x7fffffff)))
        check(rst_code(c.answer(1)) == FLOW_CONTROL_ERROR, "a stream's window overflows")
        echoes(c, 3)


def what_a_client_cannot_know_yet():
    """DATA that was under way when we reset the stream is no error of the connection."""
    with Grpc() as s, Conn(s.path) as c:
        for i in range(60):
            stream = stream_no(i)
            c.send(frame(HEADERS, END_HEADERS, stream, request()) +
                   frame(DATA, 0, stream, b"\0" + u32((16 << 20) + 1)))
            seen = c.until(lambda f, n=stream: f[0] == RST_STREAM and f[2] == n)
            check(seen[-1] is not None, "the connection has ended")
        for i in range(60):
            c.send(frame(DATA, 0, stream_no(i), bytes(1000)) +
                   frame(DATA, END_STREAM, stream_no(i), bytes(1000)))
        echoes(c, 121)
    # a client that has not seen our SETTINGS opens more streams than there may be
    with Grpc() as s, Conn(s.path, hello=False) as c:
        c.send(MAGIC + frame(SETTINGS, 0, 0) + b"".join(
            frame(HEADERS, END_HEADERS, stream_no(i), request("/test.Peer/Sleep")) +
            frame(DATA, END_STREAM, stream_no(i), message(b"200")) for i in range(150)))
        ends = {}
        while len(ends) < 150:
            f = c.read()
            check(f is not None, f"the connection ended after {len(ends)} answers")
            if f[0] == RST_STREAM or f[0] in (DATA, HEADERS) and f[1] & END_STREAM:
                ends[f[2]] = rst_code([f])
        check(list(ends.values()).count(REFUSED_STREAM) == 50, f"{ends}")
        check(list(ends.values()).count(None) == 100, f"{ends}")


def what_is_not_grpc():
    with Grpc() as s, Conn(s.path, settings=setting(1, 0)) as c:  # nothing is indexed
        c.call(1, content_type="application/json")
        check(b"415" in text_of(c.answer(1)), "content-type")
        c.call(3, content_type=None)
        check(b"415" in text_of(c.answer(3)), "no content-type")
        c.send(frame(HEADERS, END_HEADERS | END_STREAM, 5, request(method="GET")))
        check(b"405" in text_of(c.answer(5)), "GET")
        c.call(7, content_type="application/grpc+proto")
        check(message(b"hello") in [f[3] for f in c.answer(7)], "application/grpc+proto")
        echoes(c, 9)


def prefixes():
    """Announced and sent lengths that differ, flags, several messages."""
    with Grpc() as s, Conn(s.path) as c:
        before = s.rss()
        cases = [(b"", "none"), (b"\0\0\0", "half a prefix"), (message(b"abc")[:-1], "cut"),
                 (message(b"abc") + b"x", "more"), (message(b"a") + message(b"b"), "two"),
                 (message(b"abc", 1), "compressed"), (message(b"abc", 2), "unknown flag"),
                 (b"\0\xff\xff\xff\xff" + b"x" * 100, "4 GiB"),
                 (b"\0" + u32((16 << 20) + 1), "16 MiB + 1")]
        stream = -1
        for body, what in cases:
            stream += 2
            c.send(frame(HEADERS, END_HEADERS, stream, request()) +
                   frame(DATA, END_STREAM, stream, body))
            got = c.answer(stream)
            check(got[0][0] == HEADERS and got[0][1] & END_STREAM, f"{what}: {got}")
        # announced and never sent: costs what was sent
        for _ in range(50):
            stream += 2
            c.send(frame(HEADERS, END_HEADERS, stream, request()) +
                   frame(DATA, 0, stream, b"\0" + u32(16 << 20)))
        echoes(c, stream + 2)
        grown = s.rss() - before
        check(grown < 4096, f"50 announcements of 16 MiB cost {grown} KiB")
        return f"{grown} KiB"


def cancelled_calls_count_until_they_end():
    """100 a connection, whether reset or not, as long as their handlers run."""
    with Grpc() as s, Conn(s.path) as c:
        for i in range(100):
            stream = 1 + 2 * i
            c.call(stream, b"700", path="/test.Peer/Sleep")
        check(c.alive(), "100 calls")
        for i in range(100):
            c.send(frame(RST_STREAM, 0, 1 + 2 * i, u32(CANCEL)))
        c.call(201, b"700", path="/test.Peer/Sleep")
        check(rst_code(c.answer(201)) == REFUSED_STREAM, "the 101st is not refused")
        time.sleep(1.2)
        echoes(c, 203)


def header_limits():
    with Grpc() as s:
        for extra, what in (([("x", "v")] * 60, "66 fields"),
                            ([("cookie", "c")] * 60, "60 crumbs of cookie"),
                            ([("x" * 20, "v" * 290)] * 49, "16 KiB decoded")):
            with Conn(s.path) as c:
                block = request() + b"".join(literal(n, v) for n, v in extra)
                c.send(frame(HEADERS, END_HEADERS, 1, block) +
                       frame(DATA, END_STREAM, 1, message(b"x")))
                check(rst_code(c.answer(1)) == ENHANCE_YOUR_CALM, what)
                echoes(c, 3)
        with Conn(s.path) as c:  # just within
            block = request() + literal("x", "v") * 58
            c.send(frame(HEADERS, END_HEADERS, 1, block) +
                   frame(DATA, END_STREAM, 1, message(b"x")))
            check(rst_code(c.answer(1)) is None, "64 fields")


def continuation_flood():
    """T-H2-03: a header block without end is not decoded for ever."""
    with Grpc() as s:
        junk = literal("x", b"y" * 1000)
        for pieces, what in (([junk * 3] * 100, "large"), ([b""] * 100, "empty"),
                             ([junk[:1]] * 9, "small")):
            with Conn(s.path) as c:
                c.send(frame(HEADERS, 0, 1, request()))
                for p in pieces:
                    if not c.send(frame(CONTINUATION, 0, 1, p)):
                        break
                check(c.goaway() == ENHANCE_YOUR_CALM, f"{what} CONTINUATION frames")
        with Conn(s.path) as c:  # a few are fine
            block = request()
            c.send(frame(HEADERS, 0, 1, block[:20]) + frame(CONTINUATION, 0, 1, block[20:40]) +
                   frame(CONTINUATION, 0, 1, b"") +
                   frame(CONTINUATION, END_HEADERS, 1, block[40:]) +
                   frame(DATA, END_STREAM, 1, message(b"x")))
            check(rst_code(c.answer(1)) is None, "4 pieces")


class Other(threading.Thread):
    """Another client, while something is going on: its slowest call."""

    def __init__(self, server):
        super().__init__()
        self.conn = Conn(server.path)
        self.times = []
        self.going = True
        self.start()

    def run(self):
        stream = 1
        while self.going and stream < 100000:
            began = time.monotonic()
            self.conn.call(stream)
            self.conn.answer(stream)
            self.times.append(time.monotonic() - began)
            stream += 2
            time.sleep(0.002)

    def p99(self):
        self.going = False
        self.join()
        self.conn.sock.close()
        return sorted(self.times)[int(len(self.times) * 0.99)] * 1000


def flood(s, make, count):
    """Sends up to count frames on one connection. How many were sent, and the GOAWAY's code."""
    with Conn(s.path) as c:
        sent, batch = 0, 50
        while sent < count:
            if not c.send(b"".join(make(sent + i) for i in range(batch))):
                break
            sent += batch
        return sent, c.goaway()


def stream_no(i):
    return 1 + 2 * i


def floods():
    """T-H2-01, 02 and 02b: the connection is closed, the others do not notice."""
    head = request()
    kinds = {
        "PING": lambda i: frame(PING, 0, 0, bytes(8)),
        "SETTINGS": lambda i: frame(SETTINGS, 0, 0, setting(3, 100)),
        "empty SETTINGS": lambda i: frame(SETTINGS, 0, 0),
        "PRIORITY": lambda i: frame(PRIORITY, 0, stream_no(i), u32(0) + b"\0"),
        "WINDOW_UPDATE": lambda i: frame(WINDOW_UPDATE, 0, 0, u32(1)),
        "unknown frames": lambda i: frame(0x55, 0, 0, b"abc"),
        "empty DATA": lambda i: (frame(HEADERS, END_HEADERS, 1, head) if i == 0 else b"") +
        frame(DATA, 0, 1, b""),
        "rapid reset": lambda i: frame(HEADERS, END_HEADERS, stream_no(i), head) +
        frame(RST_STREAM, 0, stream_no(i), u32(CANCEL)),
        "rapid reset of whole calls": lambda i:
        frame(HEADERS, END_HEADERS, stream_no(i), request("/test.Peer/Sleep")) +
        frame(DATA, END_STREAM, stream_no(i), message(b"300")) +
        frame(RST_STREAM, 0, stream_no(i), u32(CANCEL)),
        "provoked resets": lambda i: frame(HEADERS, END_HEADERS, stream_no(i), head) +
        frame(WINDOW_UPDATE, 0, stream_no(i), u32(0x7fffffff)),
        "malformed requests": lambda i: frame(HEADERS, END_HEADERS | END_STREAM, stream_no(i),
                                              literal("x", "y")),
    }
    worst = 0
    with Grpc() as s:
        with Conn(s.path) as c:
            echoes(c, 1)
        before = s.rss()
        for what, make in kinds.items():
            other = Other(s)
            cpu = s.cpu()
            sent, code = flood(s, make, 100000)
            cpu = s.cpu() - cpu
            p99 = other.p99()
            worst = max(worst, p99)
            check(sent < 100000 and code in (ENHANCE_YOUR_CALM, PROTOCOL_ERROR, None),
                  f"{what}: {sent} frames, GOAWAY {code}")
            check(p99 < 200, f"{what}: another client's p99 is {p99:.0f} ms")
            check(cpu < 2, f"{what}: {cpu:.1f} s of CPU")
        time.sleep(0.5)
        grown = s.rss() - before
        check(grown < 8192, f"RSS has grown by {grown} KiB")
        with Conn(s.path) as c:
            echoes(c, 1)
        return f"worst p99 {worst:.0f} ms, RSS +{grown} KiB"


def hpack_bomb():
    """T-H2-04: one byte a field, many fields, and a client that takes no answer."""
    with Grpc() as s:
        with Conn(s.path) as c:
            echoes(c, 1)
        before = s.rss()
        with Conn(s.path, settings=setting(4, 0)) as c:
            c.send(frame(HEADERS, END_HEADERS, 1,
                         request() + b"\x40" + literal("a" * 60, "b" * 3900)[1:]) +
                   frame(DATA, END_STREAM, 1, message(b"x")))
            for i in range(1, 100):
                # index 62: the entry of 4 KiB, again and again
                if not c.send(frame(HEADERS, END_HEADERS, stream_no(i),
                                    request() + b"\xbe" * 16000)):
                    break
            time.sleep(0.3)
            grown = s.rss() - before
            check(grown < 4096, f"RSS has grown by {grown} KiB")
        with Conn(s.path) as c:
            echoes(c, 1)
        return f"{grown} KiB"


def a_window_that_stays_closed():
    """Answers that nobody takes are bounded, and other clients are served."""
    with Grpc() as s:
        with Conn(s.path, settings=setting(4, 0)) as c, Conn(s.path) as other:
            for i in range(100):
                c.call(stream_no(i), b"4000000", path="/test.Peer/Big")
            time.sleep(2)
            grown = s.rss()
            check(grown < 150000, f"100 answers of 4 MB cost {grown} KiB")
            other.call(1, b"x" * 100)
            other.answer(1)  # served or refused, but answered
            c.sock.close()
        with Conn(s.path) as c:
            echoes(c, 1)
        return f"{grown} KiB"


def timeouts():
    with Grpc() as s, Conn(s.path) as c:
        stream = 1
        for text in ("1n", "99999999n", "1u", "50m"):
            c.call(stream, path="/test.Peer/Never", grpc_timeout=text)
            got = c.answer(stream)
            check(got[0][0] == HEADERS and b"grpc-status" in got[0][3] or
                  got[0][1] & END_STREAM, f"{text}: {got}")
            stream += 2
        for text in ("99999999H", "1S", "100M"):
            c.call(stream, grpc_timeout=text)
            check(message(b"hello") in [f[3] for f in c.answer(stream)], text)
            stream += 2
        for text in ("", "1", "S", "-1S", "1.5S", "123456789S", "1x"):
            c.call(stream, grpc_timeout=text)
            got = c.answer(stream)
            check(got[0][1] & END_STREAM, f"'{text}': {got}")
            stream += 2
        echoes(c, stream)


def shutdown():
    """GOAWAY; what runs is answered, what a client sends meanwhile is not, then the end."""
    with Grpc() as s, Conn(s.path) as c, Conn(s.path) as idle:
        c.call(1, b"500", path="/test.Peer/Sleep")
        check(c.alive() and idle.alive(), "before")
        s.proc.stdin.write(b"s")
        s.proc.stdin.flush()
        check(idle.goaway() == 0, "an idle connection")
        seen = c.until(lambda f: f[0] == GOAWAY)
        check(seen[-1][3] == u32(1) + u32(0), f"{seen[-1]}")
        c.call(3)
        c.call(5)
        check(message(b"slept") in [f[3] for f in c.answer(1)], "the call that ran")
        check(c.read() is None, "the connection stays")
        check(s.proc.wait(5) == 0, "the server stays")


def more_connections_than_allowed():
    """The one that was idle longest goes; who is busy stays."""
    with Grpc() as s:
        busy = Conn(s.path)
        busy.call(1, path="/test.Peer/Never")
        echoes(busy, 3)
        idle = []
        for _ in range(560):
            c = Conn(s.path)
            check(c.alive(), "a new connection is not served")
            idle.append(c)
        check(busy.alive(), "the busy one was closed")
        gone = sum(1 for c in idle[:60] if not c.alive())
        check(gone >= 40, f"only {gone} of the oldest were closed")
        check(idle[-1].alive(), "the newest was closed")
        for c in idle + [busy]:
            c.sock.close()


run([connection_errors, no_preface, stream_errors, what_a_client_cannot_know_yet,
     what_is_not_grpc, prefixes,
     cancelled_calls_count_until_they_end, header_limits, continuation_flood, floods, hpack_bomb,
     a_window_that_stays_closed, timeouts, shutdown,
     more_connections_than_allowed])
