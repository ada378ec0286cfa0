"""A terminal with a console on it, and the person before it."""

import os
import re
import select
import shutil
import subprocess
import tempfile
import time

from frame import CRIBOX

PROMPT = "cribox# "


class Terminal:
    """Use it as a context."""

    def __init__(self, mode="open", config=""):
        self.dir = tempfile.mkdtemp(prefix="cribox-console-", dir="/run")
        self.master, slave = os.openpty()
        self.name = os.ttyname(slave)
        self.slave = slave  # held open: as on a serial line, the device stays
        with open(self.dir + "/config.toml", "w") as f:
            f.write(config)
        self.log = open(self.dir + "/log", "w+b")
        self.child = subprocess.Popen(
            [CRIBOX, "console", "--mode", mode, "--config", self.dir + "/config.toml", self.name],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)  # fmt: skip
        self.text = b""
        self.at = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        for fd in (self.master, self.slave):
            os.close(fd)
        self.log.close()
        shutil.rmtree(self.dir)

    def read(self, seconds):
        if select.select([self.master], [], [], seconds)[0]:
            self.text += os.read(self.master, 65536)
            return True
        return False

    def expect(self, pattern, seconds=10):
        """Reads until the pattern shows up; returns what came before it."""
        end = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.text[self.at :].decode(errors="surrogateescape"))
            if found:
                before = self.text[self.at :].decode(errors="surrogateescape")[: found.start()]
                done = self.text[self.at :].decode(errors="surrogateescape")[: found.end()]
                self.at += len(done.encode(errors="surrogateescape"))
                return before
            if time.monotonic() > end:
                raise AssertionError("no %r: %r" % (pattern, self.text[self.at :][-600:]))
            self.read(0.1)

    def send(self, text):
        os.write(self.master, text.encode(errors="surrogateescape"))

    def prompt(self):
        self.expect("Press Enter for a prompt")
        self.send("\n")
        self.expect("(?m)^" + PROMPT)

    def run(self, line, seconds=10):
        """What a command prints."""
        self.send(line + "\n")
        text = self.expect("(?m)^" + PROMPT, seconds).replace("\r\n", "\n")
        return text.partition("\n")[2]
