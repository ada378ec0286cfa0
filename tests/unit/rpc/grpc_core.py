#!/usr/bin/python3
"""Our gRPC server and the official client (gRPC C core, by python3-grpcio)."""

import os
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "py"))
from peer import Grpc, check, run  # noqa: E402

import grpc  # noqa: E402

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
           ("grpc.use_local_subchannel_pool", 1)]


def channel(server, **options):
    return grpc.insecure_channel("unix://" + server.path,
                                 OPTIONS + [(k.replace("_", "."), v) for k, v in options.items()])


def unary(c, name, data=b"", **how):
    return c.unary_unary("/test.Peer/" + name)(data, timeout=how.pop("timeout", 20), **how)


def fails(fn):
    try:
        fn()
    except grpc.RpcError as e:
        return e.code(), e.details()
    check(False, "the call succeeded")
    return None


def stat(c):
    return [int(x) for x in unary(c, "Stat").split()]


def running(c, calls):
    """Waits until so many handlers run."""
    end = time.monotonic() + 10
    while stat(c)[1] != calls + 1:
        check(time.monotonic() < end, f"{stat(c)[1] - 1} calls run, not {calls}")
        time.sleep(0.01)


def fill(n):
    return bytes((i * 7 + i // 251) & 255 for i in range(n))


def unary_calls():
    with Grpc() as s, channel(s) as c:
        for i in range(500):
            check(unary(c, "Echo", b"x" * i) == b"x" * i, f"echo {i}")
        check(unary(c, "Echo", b"m", metadata=[("k", "v")] * 20) == b"m", "metadata")


def error_codes_and_details():
    with Grpc() as s, channel(s) as c:
        for code in grpc.StatusCode:
            number = code.value[0]
            if number in (0, 11):
                continue
            text = f"why {number}: 50% of é, \u2028 and 日本"
            got = fails(lambda: unary(c, "Fail", f"{number} {text}".encode()))
            check(got == (code, text), f"{code} came as {got}")
        got = fails(lambda: unary(c, "Fail", b"5 two\nlines\ttab"))
        check(got == (grpc.StatusCode.NOT_FOUND, "two\nlines\ttab"), f"{got}")
        for path in ("/test.Peer/Nothing", "/runtime.v1alpha2.RuntimeService/Version", "/",
                     "//", "/test.Peer%2FEcho", "/" + "x" * 8000):
            got = fails(lambda: c.unary_unary(path)(b"", timeout=5))
            check(got[0] == grpc.StatusCode.UNIMPLEMENTED, f"{path[:40]} came as {got}")


def sizes():
    with Grpc() as s, channel(s) as c:
        for n in (0, 1, 16383, 16384, 65535, 65536, 1 << 20, 16 << 20):
            data = os.urandom(n)
            check(unary(c, "Echo", data) == data, f"echo of {n} bytes")
        check(unary(c, "Big", b"100000") == fill(100000), "contents of 100000")
        for name, data in (("Echo", b"x" * ((16 << 20) + 1)), ("Big", b"16777217")):
            got = fails(lambda: unary(c, name, data))
            check(got[0] == grpc.StatusCode.RESOURCE_EXHAUSTED, f"{name}: {got}")
        check(unary(c, "Echo", b"still there") == b"still there", "after the refusals")


def streaming():
    with Grpc() as s, channel(s) as c:
        got = list(c.unary_stream("/test.Peer/Stream")(b"500 20000", timeout=20))
        check(len(got) == 500 and set(got) == {fill(20000)}, f"{len(got)} messages")
        check(list(c.unary_stream("/test.Peer/Stream")(b"0 0", timeout=5)) == [], "none")
        got = fails(lambda: list(c.unary_stream("/test.Peer/Fail")(b"9 bad", timeout=5)))
        check(got == (grpc.StatusCode.FAILED_PRECONDITION, "bad"), f"{got}")


def a_slow_reader_stops_the_server():
    with Grpc() as s, channel(s) as c:
        before = s.rss()
        calls = [c.unary_stream("/test.Peer/Stream")(b"100000 100000", timeout=60)
                 for _ in range(5)]
        for call in calls:
            next(call)
        time.sleep(1)
        grown = s.rss() - before
        for call in calls:
            call.cancel()
        check(grown < 60000, f"5 streams that are not read cost {grown} KiB")
        check(unary(c, "Echo", b"x") == b"x", "afterwards")
        return f"{grown} KiB"


def cancels_reach_the_handler():
    with Grpc() as s, channel(s) as c:
        calls = [c.unary_unary("/test.Peer/Never").future(b"", timeout=60) for _ in range(20)]
        running(c, 20)
        began = time.monotonic()
        for call in calls:
            call.cancel()
        while stat(c)[1] > 1:
            check(time.monotonic() - began < 2, f"{stat(c)[1] - 1} handlers are left")
            time.sleep(0.005)
        took = time.monotonic() - began
        check(stat(c)[2] == 20, f"{stat(c)[2]} cancels, not 20")
        return f"{took * 1000:.0f} ms"


def deadlines():
    with Grpc() as s, channel(s) as c:
        for timeout in (0.001, 0.05, 0.3):
            began = time.monotonic()
            got = fails(lambda: unary(c, "Never", timeout=timeout))
            check(got[0] == grpc.StatusCode.DEADLINE_EXCEEDED, f"{got}")
            check(time.monotonic() - began < timeout + 1, "late")
        check(unary(c, "Sleep", b"20", timeout=10000000) == b"slept", "a long deadline")
        time.sleep(0.1)
        check(stat(c)[1] == 1, "handlers are left")


def a_client_that_dies():
    with Grpc() as s, channel(s) as c:
        with channel(s) as other:
            calls = [other.unary_unary("/test.Peer/" + name).future(b"1500", timeout=60)
                     for name in ("Never", "Sleep") for _ in range(50)]
            running(c, 100)
            del calls
        began = time.monotonic()
        while stat(c)[1] > 1:
            check(time.monotonic() - began < 3, f"{stat(c)[1] - 1} handlers are left")
            time.sleep(0.01)
        check(stat(c)[0] == 1, "its connection is left")


def many_calls_at_once():
    with Grpc() as s, channel(s) as c:
        calls = [c.unary_unary("/test.Peer/Sleep").future(b"1", timeout=60)
                 for _ in range(1000)]
        check(all(x.result() == b"slept" for x in calls), "1000 calls on one connection")


def keepalive_and_compression():
    with Grpc() as s, channel(s, grpc_keepalive_time_ms=100, grpc_keepalive_timeout_ms=1000,
                              grpc_http2_max_pings_without_data=0,
                              grpc_keepalive_permit_without_calls=1) as c:
        check(unary(c, "Echo", b"a") == b"a", "first")
        time.sleep(1)
        check(unary(c, "Sleep", b"500") == b"slept", "with keepalive")
        got = fails(lambda: unary(c, "Echo", b"z" * 10000, compression=grpc.Compression.Gzip))
        check(got[0] == grpc.StatusCode.UNIMPLEMENTED, f"gzip: {got}")


def idle_connections():
    with Grpc() as s:
        channels = [channel(s) for _ in range(240)]
        for c in channels[:8]:
            unary(c, "Echo", b"x")
        before = s.rss()
        for c in channels[8:]:
            unary(c, "Echo", b"x")
        check(stat(channels[0])[0] == 240, f"{stat(channels[0])[0]} connections")
        # this build has a sanitizer: its redzones and quarantine count, too
        each = (s.rss() - before) / 232
        check(each < 100, f"{each:.0f} KiB each")
        for c in channels:
            c.close()
        return f"{each:.0f} KiB each, with ASan"


def threads_of_calls():
    with Grpc() as s, channel(s) as c:
        bad = []

        def work(n):
            for i in range(100):
                data = f"{n} {i}".encode()
                if unary(c, "Echo", data) != data:
                    bad.append(data)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        check(not bad, f"wrong answers: {bad[:3]}")


run([unary_calls, error_codes_and_details, sizes, streaming, a_slow_reader_stops_the_server,
     cancels_reach_the_handler, deadlines, a_client_that_dies, many_calls_at_once,
     keepalive_and_compression, idle_connections, threads_of_calls])
