#!/usr/bin/python3
"""ExecSync, and Exec over WebSocket by python3-websocket."""

import json
import os
import struct
import sys
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
import crid  # noqa: E402
import websocket  # noqa: E402
from cri import fails  # noqa: E402
from crid import NS_NODE  # noqa: E402
from frame import equal, holds, until  # noqa: E402

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
V4, V5 = "v4.channel.k8s.io", "v5.channel.k8s.io"


def sleeper(b, **kw):
    b.pull()
    return b.sleeper(b.pod(namespaces={"network": NS_NODE}), **kw)


# --- ExecSync


def test_sync(b):
    ctr = sleeper(b)
    equal(b.sync(ctr, "echo out; echo err >&2; exit 3"), (3, "out\n", "err\n"), "the result")
    equal(b.sync(ctr, ["echo", "a b", ""]), (0, "a b \n", ""), "words")
    equal(b.sync(ctr, "kill -9 $$")[0], 137, "exit code of a signal")
    equal(b.sync(ctr, "cat"), (0, "", ""), "stdin is empty")


def test_sync_is_inside(b):
    """Same namespaces, groups, user, directory and environment as the container."""
    security = {"run_as_user": {"value": 1000}, "no_new_privs": True}
    security["seccomp"] = {"profile_type": 0}
    envs = [{"key": "MINE", "value": b"yes"}]
    ctr = sleeper(b, security=security, envs=envs, working_dir="/tmp")
    out = b.sync(ctr, "id -u; pwd; echo $MINE $FROM_IMAGE; id -G")[1].splitlines()
    equal(out[:3], ["1000", "/tmp", "yes yes"], "user, directory, environment")
    equal(sorted(out[3].split()), ["1000", "3000", "3001"], "groups")
    for name in ("mnt", "pid", "net", "ipc", "uts", "cgroup"):
        one, two = "readlink /proc/1/ns/" + name, "readlink /proc/self/ns/" + name
        pid = b.info(ctr)["pid"]
        equal(b.sync(ctr, two)[1].strip(), os.readlink("/proc/%d/ns/%s" % (pid, name)), one)
    mine = b.sync(ctr, "cat /proc/self/status")[1]
    with open("/proc/%d/status" % b.info(ctr)["pid"]) as f:
        theirs = f.read()
    for key in ("Seccomp:", "NoNewPrivs:", "CapEff:", "CapBnd:", "CapPrm:", "CapInh:"):
        got = [x for x in mine.splitlines() if x.startswith(key)]
        equal(got, [x for x in theirs.splitlines() if x.startswith(key)], key)
    with open("/proc/%d/cgroup" % b.info(ctr)["pid"]) as f:
        want = f.read()
    call = b.client.future("ExecSync", container_id=ctr, cmd=["sleep", "1.7"], timeout=5)

    def execed():
        return [p for p, t in crid.processes().items() if t.startswith("sleep 1.7")]

    pid = until(execed, 3, "the exec's process")[0]
    with open("/proc/%d/cgroup" % pid) as f:
        equal(f.read(), want, "groups of the exec")
    call.result()


def test_sync_errors(b):
    ctr = sleeper(b)
    for command, word in ((["/not/there"], "/not/there"), (["no-such"], "no-such")):
        try:
            b.client.ExecSync(container_id=ctr, cmd=command)
            raise AssertionError("%s was executed" % command)
        except crid.grpc.RpcError as e:
            holds(e.details(), word, "message")
    fails("INVALID_ARGUMENT", b.client.ExecSync, container_id=ctr, cmd=[])
    fails("NOT_FOUND", b.client.ExecSync, container_id="0" * 64, cmd=["true"])
    b.client.StopContainer(container_id=ctr)
    fails("FAILED_PRECONDITION", b.client.ExecSync, container_id=ctr, cmd=["true"])


def test_sync_timeout(b):
    ctr = sleeper(b)
    start = time.monotonic()
    script = "sleep 8765 & sleep 8765"
    fails(
        "DEADLINE_EXCEEDED", b.client.ExecSync, container_id=ctr, cmd=["sh", "-c", script], timeout=1
    )
    equal(0.9 < time.monotonic() - start < 3, True, "about a second")
    count = "ps | grep -c '[s]leep 8765$'"  # the kernel takes a moment to end them
    until(lambda: b.sync(ctr, count)[1] == "0\n", 2, "no process of the exec is left")
    equal(b.status(ctr).state, crid.RUNNING, "state")


def test_sync_caps_output(b):
    """About 16 MiB, as much as the kubelet's limit of a message permits; the rest is dropped
    and the command is not blocked."""
    ctr = sleeper(b)
    r = b.client.ExecSync(
        container_id=ctr, cmd=["sh", "-c", "head -c 20000000 /dev/zero; echo done >&2"]
    )
    equal((r.stderr, r.exit_code), (b"done\n", 0), "stderr and exit code")
    equal(15 << 20 < len(r.stdout) <= 16 << 20, True, "about 16 MiB: %d" % len(r.stdout))


def test_sync_is_binary_safe(b):
    ctr = sleeper(b)
    r = b.client.ExecSync(container_id=ctr, cmd=["printf", "\\000\\377\\r\\n"])
    equal(r.stdout, b"\0\xff\r\n", "stdout")


def test_sync_background(b):
    """A background child that keeps the pipe does not keep the call for ever."""
    ctr = sleeper(b)
    start = time.monotonic()
    out = b.sync(ctr, "echo first; sleep 3 & exit 4", timeout=30)
    equal((out[0], out[1]), (4, "first\n"), "the result")
    equal(time.monotonic() - start < 10, True, "the call ended")


def test_sync_many_at_once(b):
    ctr = sleeper(b)
    calls = [
        b.client.future("ExecSync", container_id=ctr, cmd=["sh", "-c", "echo %d" % i])
        for i in range(30)
    ]
    equal([c.result().stdout for c in calls], [b"%d\n" % i for i in range(30)], "outputs")


def test_client_leaves(b):
    """An exec whose caller has gone is ended."""
    ctr = sleeper(b)
    call = b.client.future("ExecSync", container_id=ctr, cmd=["sleep", "7531"], rpc_timeout=60)
    until(lambda: b.sync(ctr, "ps | grep -c '[s]leep 7531'")[1] == "1\n", 3, "the exec runs")
    call.cancel()
    until(lambda: b.sync(ctr, "ps | grep -c '[s]leep 7531'")[1] == "0\n", 5, "it is gone")


# --- Exec


class Session:
    """An exec over WebSocket."""

    def __init__(self, b, ctr, command, protocol=V5, **kw):
        kw.setdefault("stdout", True)
        if not kw.get("tty"):
            kw.setdefault("stderr", True)
        command = ["sh", "-c", command] if isinstance(command, str) else command
        url = b.client.Exec(container_id=ctr, cmd=command, **kw).url
        self.url = url.replace("http://", "ws://")
        self.ws = websocket.create_connection(self.url, subprotocols=[protocol], timeout=10)
        equal(self.ws.getsubprotocol(), protocol, "subprotocol")
        self.data = {STDOUT: b"", STDERR: b"", ERROR: b""}
        self.over = False

    def send(self, channel, data=b""):
        data = data.encode() if isinstance(data, str) else data
        self.ws.send_binary(bytes([channel]) + data)

    def read(self):
        """One message; False at the end."""
        opcode, frame_ = self.ws.recv_data()
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            self.over = True
            return False
        if frame_:
            if frame_[0] not in self.data:
                raise AssertionError("a message on channel %d" % frame_[0])
            self.data[frame_[0]] += frame_[1:]
        return True

    def until(self, channel, text):
        while text not in self.data[channel]:
            if not self.read():
                raise AssertionError("ended without %r: %r" % (text, self.data))

    def result(self):
        """Reads to the end: (status object, stdout, stderr)."""
        while not self.over:
            try:
                if not self.read():
                    break
            except websocket.WebSocketConnectionClosedException:
                raise AssertionError("the connection ended without a close frame") from None
        self.ws.close()
        return json.loads(self.data[ERROR]), self.data[STDOUT], self.data[STDERR]


def exit_code(status):
    if status["status"] == "Success":
        return 0
    equal((status["status"], status["reason"]), ("Failure", "NonZeroExitCode"), "status")
    causes = [c for c in status["details"]["causes"] if c["reason"] == "ExitCode"]
    return int(causes[0]["message"])


def test_exec_output(b):
    ctr = sleeper(b)
    for protocol in (V4, V5):
        s = Session(b, ctr, "echo out; echo err >&2", protocol)
        status, out, err = s.result()
        equal((exit_code(status), out, err), (0, b"out\n", b"err\n"), protocol)
        s = Session(b, ctr, "exit 42", protocol)
        equal(exit_code(s.result()[0]), 42, "exit code over " + protocol)


def test_exec_stdin(b):
    """v5 can close stdin: cat ends."""
    s = Session(b, sleeper(b), ["cat"], stdin=True)
    s.send(STDIN, "hello ")
    s.send(STDIN, "world\n")
    s.until(STDOUT, b"world\n")
    s.send(CLOSE, bytes([STDIN]))
    status, out, err = s.result()
    equal((exit_code(status), out, err), (0, b"hello world\n", b""), "the result")


def test_exec_big_stdin(b):
    """A million bytes in and out again, in order."""
    data = os.urandom(1 << 20)
    s = Session(b, sleeper(b), ["cat"], stdin=True)
    for i in range(0, len(data), 65536):
        s.send(STDIN, data[i : i + 65536])
        while len(s.data[STDOUT]) < i:
            s.read()
    s.send(CLOSE, bytes([STDIN]))
    status, out, _ = s.result()
    equal((exit_code(status), out == data), (0, True), "the result")


def test_exec_stdin_open(b):
    """The session ends with the process although the client keeps stdin open."""
    start = time.monotonic()
    s = Session(b, sleeper(b), "read x; echo got $x", V4, stdin=True)
    s.send(STDIN, "line\n")
    status, out, _ = s.result()
    equal((exit_code(status), out), (0, b"got line\n"), "the result")
    equal(time.monotonic() - start < 5, True, "at once")


def test_exec_tty_and_resize(b):
    script = "stty size; echo err >&2; read x; stty size"
    s = Session(b, sleeper(b), script, tty=True, stdin=True)
    s.until(STDOUT, b"err\r\n")
    s.send(RESIZE, json.dumps({"Width": 123, "Height": 45}))
    time.sleep(0.2)
    s.send(STDIN, "\n")
    status, out, err = s.result()
    equal((exit_code(status), err), (0, b""), "exit code and stderr")
    holds(out, b"45 123\r\n", "stdout")


def test_exec_ctrl_c(b):
    # a signal between two commands waits for the end of the second: it must be near
    script = "trap 'echo int; exit 5' INT; echo on; while :; do sleep 0.2; done"
    s = Session(b, sleeper(b), script, tty=True, stdin=True)
    s.until(STDOUT, b"on\r\n")
    s.send(STDIN, b"\x03")
    status, out, _ = s.result()
    holds(out, b"int", "stdout")
    equal(exit_code(status), 5, "exit code")


def test_exec_much_output(b):
    s = Session(b, sleeper(b), "head -c 5000000 /dev/zero; echo end >&2")
    status, out, err = s.result()
    equal((exit_code(status), len(out), err), (0, 5000000, b"end\n"), "the result")


def test_exec_not_found(b):
    s = Session(b, sleeper(b), ["/not/there"])
    status = s.result()[0]
    equal(status["status"], "Failure", "status")
    holds(json.dumps(status), "/not/there", "status")


def test_exec_client_goes(b):
    """When the client's connection breaks, the process does not stay for ever."""
    ctr = sleeper(b)
    s = Session(b, ctr, "echo on; exec sleep 9513", stdin=True)
    s.until(STDOUT, b"on\n")
    s.ws.shutdown()
    until(lambda: b.sync(ctr, "ps | grep -c '[s]leep 9513$'")[1] == "0\n", 5, "the process ends")


def test_exec_container_ends(b):
    ctr = sleeper(b)
    s = Session(b, ctr, "echo on; sleep 50")
    s.until(STDOUT, b"on\n")
    b.client.StopContainer(container_id=ctr, timeout=0)
    equal(exit_code(s.result()[0]), 137, "exit code")


def test_exec_survives_crid(b):
    """SIGKILL of the daemon in the middle of a session: the session does not notice."""
    ctr = sleeper(b)
    s = Session(b, ctr, "while read x; do echo got $x; done; echo bye; exit 6", stdin=True)
    s.send(STDIN, "before\n")
    s.until(STDOUT, b"got before\n")
    b.stop()
    s.send(STDIN, "without\n")
    s.until(STDOUT, b"got without\n")
    b.start()
    s.send(STDIN, "after\n")
    s.until(STDOUT, b"got after\n")
    s.send(CLOSE, bytes([STDIN]))
    status, out, _ = s.result()
    equal((exit_code(status), out.endswith(b"bye\n")), (6, True), "the end")


def test_exec_url(b):
    """The URL: loopback, a long token, once only."""
    ctr = sleeper(b)
    s = Session(b, ctr, "true")
    holds(s.url, "ws://127.0.0.1:", "url")
    s.result()
    token = s.url.rsplit("/", 1)[1]
    equal(len(token) >= 8, True, "length of the token")
    try:
        websocket.create_connection(s.url, subprotocols=[V5], timeout=5)
        raise AssertionError("the token works twice")
    except websocket.WebSocketBadStatusException as e:
        equal(e.status_code, 404, "status of a used token")
    except ConnectionRefusedError:
        pass  # nobody listens while no token is valid
    base = b.client.Exec(container_id=ctr, cmd=["true"], stdout=True).url
    for path in (base[: -len(token)] + "x" * len(token), base.replace("/exec/", "/nothing/")):
        try:
            urllib.request.urlopen(path, timeout=5)
            raise AssertionError("%s was answered" % path)
        except urllib.error.HTTPError as e:
            equal(e.code, 404, "status of " + path)


def test_exec_bad_protocol(b):
    ctr = sleeper(b)
    url = b.client.Exec(container_id=ctr, cmd=["true"], stdout=True).url.replace("http", "ws")
    try:
        ws = websocket.create_connection(url, subprotocols=["v9.nonsense"], timeout=5)
        ws.close()
        raise AssertionError("accepted")
    except websocket.WebSocketBadStatusException as e:
        equal(e.status_code in (400, 403), True, "status %d" % e.status_code)


def test_exec_errors(b):
    ctr = sleeper(b)
    fails("NOT_FOUND", b.client.Exec, container_id="0" * 64, cmd=["true"], stdout=True)
    fails("INVALID_ARGUMENT", b.client.Exec, container_id=ctr, cmd=["true"])
    fails("INVALID_ARGUMENT", b.client.Exec, container_id=ctr, cmd=[], stdout=True)
    tty = {"tty": True, "stdout": True, "stderr": True}
    fails("INVALID_ARGUMENT", b.client.Exec, container_id=ctr, cmd=["true"], **tty)
    b.client.StopContainer(container_id=ctr)
    fails("FAILED_PRECONDITION", b.client.Exec, container_id=ctr, cmd=["true"], stdout=True)


def test_exec_hostile_frames(b):
    """Nonsense from the client ends the session, not the pod."""
    ctr = sleeper(b)
    for raw in (b"\x82\x05\x00abcd", b"\x83\x80\0\0\0\0", b"\xff" * 64,
                b"\x82\xff" + struct.pack(">Q", 1 << 62) + b"\0" * 8):  # fmt: skip
        s = Session(b, ctr, "sleep 3", stdin=True)
        s.ws.sock.sendall(raw)
        try:
            while s.read():
                pass
        except (websocket.WebSocketException, OSError):
            pass
        s.ws.shutdown()
    equal(b.sync(ctr, "echo fine")[1], "fine\n", "the pod works")


crid.main(crid.tests_of(globals()))
