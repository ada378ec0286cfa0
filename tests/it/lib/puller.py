"""`cribox pull` as the tests use it: by hand, and as crid's worker over its socket."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from frame import CRIBOX, until  # noqa: E402

MAGIC = 0x63726201
REQUEST, REPLY, ERROR, EVENT = 1, 2, 3, 4
NOT_FOUND, INVALID, UNAVAILABLE, CORRUPT, UNAUTHENTICATED = 5, 3, 14, 15, 16
CANCELLED, DENIED, EXHAUSTED, UNIMPLEMENTED, TIMEOUT = 1, 7, 8, 12, 4


class Failed(Exception):
    def __init__(self, code, message):
        super().__init__("code %d: %s" % (code, message))
        self.code, self.message = code, message


class Worker:
    """One request to `pull --worker`."""

    def __init__(self, root, **request):
        ours, theirs = socket.socketpair()
        self.sock = ours
        self.process = subprocess.Popen(
            [CRIBOX, "pull", "--worker", "--root", root],
            preexec_fn=lambda: os.dup2(theirs.fileno(), 3, inheritable=True),
            close_fds=False,
            stderr=subprocess.PIPE,
        )
        theirs.close()
        self.events = []
        self.send({k: v for k, v in request.items() if v is not None})

    def send(self, value):
        data = json.dumps(value).encode()
        self.sock.sendall(struct.pack(">6I", MAGIC, REQUEST, 7, len(data), 0, 0) + data)

    def _read(self, n):
        data = b""
        while len(data) < n:
            piece = self.sock.recv(n - len(data))
            if not piece:
                return None
            data += piece
        return data

    def message(self):
        head = self._read(24)
        if head is None:
            return None
        magic, kind, serial, length, _, _ = struct.unpack(">6I", head)
        assert magic == MAGIC and serial == 7, (magic, serial)
        return kind, json.loads(self._read(length)) if length else None

    def result(self, seconds=120):
        """The answer; errors are raised. The worker has ended when this returns."""
        self.sock.settimeout(seconds)
        answer = None
        while True:
            m = self.message()
            if m is None:
                break
            if m[0] == EVENT:
                self.events.append(m[1])
            else:
                answer = m
        self.process.wait(20)
        said = self.process.stderr.read().decode()
        self.process.stderr.close()
        self.sock.close()
        assert not said, "the worker wrote to stderr: " + said
        assert answer, "no answer"
        if answer[0] == ERROR:
            raise Failed(answer[1]["code"], answer[1]["message"])
        return answer[1]


def pull(root, image, **more):
    return Worker(root, op="pull", image=image, **more).result()["image"]


def fails(code, words, root, image, **more):
    """The pull fails with this code and these words, and leaves nothing behind."""
    before = contents(root)
    try:
        pull(root, image, **more)
    except Failed as e:
        assert e.code == code, "code is %d, not %d: %s" % (e.code, code, e.message)
        for word in [words] if isinstance(words, str) else words:
            assert word in e.message, "no %r in: %s" % (word, e.message)
        assert "\n" not in e.message
        left = contents(root) - before
        assert not left, "left behind: %s" % sorted(left)[:5]
        return e.message
    raise AssertionError("the pull of %s did not fail" % image)


def contents(root):
    """All files of a store but the lock and the empty directories that it keeps."""
    found = set()
    for top, dirs, files in os.walk(root):
        for name in dirs + files:
            path = os.path.relpath(os.path.join(top, name), root)
            if "/" in path and path != "tmp/empty":
                found.add(path)
    return found


def processes(root):
    """Processes that work for this store, and what they started: all of ours but the caller's."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                argv = f.read().split(b"\0")
        except OSError:
            continue
        if argv[0] in (b"fetch", b"unpack") or root.encode() in argv:
            found.append(int(pid))
    return found


def none_left(root):
    until(lambda: not processes(root), 5, "no process is left")


def kill(process, sig=signal.SIGKILL):
    process.send_signal(sig)
    return process.wait(20)


def rest():
    time.sleep(0.05)
