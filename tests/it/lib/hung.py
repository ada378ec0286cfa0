"""A file system that hangs: FUSE, whose server answers for the root directory and for nothing
else, as the server of a network file system that has gone. A request that the server has read
cannot even be killed; one that it leaves in its queue can."""

import os
import select
import struct
import subprocess
import threading

INIT, GETATTR, FORGET, INTERRUPT, STATFS = 26, 3, 2, 36, 17


class Hung:
    def __init__(self, path, killable):
        self.killable = killable
        self.path = path
        os.makedirs(path, exist_ok=True)
        self.fd = os.open("/dev/fuse", os.O_RDWR)
        options = "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other" % self.fd
        subprocess.run(
            ["mount", "-i", "-t", "fuse", "-o", options, "hung", path],
            pass_fds=[self.fd], check=True, timeout=10
        )  # fmt: skip
        self.hangs = False
        self.waiting = threading.Event()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            if self.killable and self.hangs:
                select.select([self.fd], [], [])
                self.waiting.set()
                return
            try:
                data = os.read(self.fd, 1 << 17)
            except OSError:
                return
            _, op, unique, node = struct.unpack("<IIQQ", data[:24])
            if op == INIT:
                body = struct.pack("<IIIIHHIIHHI28x", 7, 31, 0, 0, 12, 10, 65536, 1, 0, 0, 0)
            elif op == GETATTR and node == 1:
                attr = struct.pack("<QQQQQQIIIIIIIIII", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o40755, 2, 0, 0, 0, 512, 0)
                body = struct.pack("<QII", 3600, 0, 0) + attr
            elif op == STATFS:
                body = struct.pack("<QQQQQIIII24x", 1, 1, 1, 1, 1, 512, 255, 512, 0)
            else:
                if op not in (FORGET, INTERRUPT):
                    self.waiting.set()
                continue
            self.hangs = op == GETATTR
            os.write(self.fd, struct.pack("<IiQ", 16 + len(body), 0, unique) + body)

    def end(self):
        """Fails what waits."""
        if self.fd < 0:
            return
        subprocess.run(["umount", "-f", "-l", self.path], check=True, timeout=10)
        os.close(self.fd)
        self.fd = -1
