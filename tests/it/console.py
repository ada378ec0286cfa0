#!/usr/bin/python3
"""The console on a terminal: the status screen, the prompt, the login; what it prints never
controls the terminal; it survives hang-ups and lines that stand still."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
from frame import CRIBOX, equal, holds, until  # noqa: E402
from terminal import PROMPT, Terminal  # noqa: E402

DIR = tempfile.mkdtemp(prefix="cribox-console-", dir="/run")
HASH = "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"


def test_status_screen(_):
    config = 'nonsense = 1\nhostname = "n"\n'
    frame.sh("hostname", "the-node")
    with Terminal("status", config) as t:
        text = t.expect("Press Enter to see this again")
        for part in ("cribox ", "node the-node", "up ", "memory ", "addresses", "services", "pods", "config",
                     "unknown key nonsense", "no network interface"):  # fmt: skip
            holds(text, part)
        for row in text.replace("\r\n", "\n").split("\n"):
            equal(len(row) < 80, True, "columns of %r" % row)
        equal(re.findall(r"[^\r\n -~]", text), [], "bytes that are not text")
        t.send("\n")
        t.expect("node the-node")
        t.expect("again")
        # no prompt, whatever is typed
        t.send("ls\n")
        equal(PROMPT in t.expect("again"), False)


def test_screen_changes(_):
    """It comes again by itself when something has changed, and not when nothing has."""
    with Terminal("status") as t:
        t.expect("again")
        start = time.monotonic()
        while time.monotonic() < start + 12:
            if t.read(1):
                raise AssertionError("drawn without a change: %r" % t.text[t.at :])
        frame.sh("ip", "addr", "add", "192.0.2.77/24", "dev", "lo")
        frame.sh("ip", "link", "add", "x0", "type", "veth", "peer", "x1")
        frame.sh("ip", "addr", "add", "198.51.100.5/24", "dev", "x0")
        holds(t.expect("again", 30), "x0 198.51.100.5/24")
        frame.sh("ip", "link", "del", "x0")


def test_prompt(_):
    with Terminal() as t:
        t.prompt()
        equal(t.run("cat /proc/sys/kernel/ostype"), "Linux\n")
        equal(t.run("/bin/echo 'a  b' \"c d\" e\\ f"), "a  b c d e f\n")
        equal(t.run("/bin/false"), "[status 1]\n")
        holds(t.run("nosuch"), "nosuch: applet not found\n[status 127]\n")
        holds(t.run("/bin/nosuch"), "No such file or directory\n[status 127]\n")
        holds(t.run("/etc/passwd"), "[status 126]\n")
        equal(t.run("/bin/sh -c 'kill -9 $$'"), "[status 137]\n")
        equal(t.run("/usr/bin/printf abc"), "abc\n")
        equal(t.run(""), "")
        equal(t.run("# nothing"), "")
        holds(t.run("ls | cat"), "quote it to pass it on\n[status 2]\n")
        holds(t.run("ls 'x"), "[status 2]")
        equal(t.run("cd /proc/sys"), "")
        equal(t.run("/bin/pwd"), "/proc/sys\n")
        equal(t.run("cd /nosuch"), "cd: /nosuch: No such file or directory\n[status 1]\n")
        holds(t.run("status"), "addresses")
        holds(t.run("help"), "console")
        t.send("exit\n")
        t.expect("Press Enter for a prompt")
        t.send("\n")
        t.expect(PROMPT)
        t.send("\x04")
        t.expect("Press Enter for a prompt")


def test_program_has_a_terminal(_):
    with Terminal() as t:
        t.prompt()
        equal(t.run("/usr/bin/tty").startswith("/dev/pts/"), True)
        equal(t.run("/bin/stty size"), "24 80\n")
        equal(t.run("/bin/sh -c 'echo $TERM'"), "dumb\n")
        text = t.run("/bin/sh -c 'ps -o pid=,sid=,pgid= -p $$'").split()
        equal(len(set(text)), 1, "pid, session, process group")
        t.send("/bin/cat\n")
        t.expect("\r\n")
        t.send("one\n")
        t.expect("one\r\none\r\n")
        t.send("two\x7f\x7f\x7fwx\n")  # rubbed out
        t.expect("\r\nwx\r\n")
        t.send("\x04")
        t.expect("(?m)^" + PROMPT)
        # typed ahead: for the program, and what it does not read for the prompt
        t.send("/bin/sh -c 'read x; sleep 0.3; echo got $x'\nahead of time\n/bin/echo la\"\"ter\n")
        t.expect("got ahead of time")
        t.expect("(?m)^" + PROMPT)
        t.expect("(?m)^later\r\n")
        t.expect("(?m)^" + PROMPT)
        t.send("/bin/ec\x7f\x7fecho \u00fc\x7fu x y \x17\x17'\x15/bin/echo \x1b[Aone \x1bOP\x1b[5~two\r\n")
        t.expect("(?m)^one two\r\n")
        t.expect("(?m)^" + PROMPT)
        t.send("/bin/echo \u00fcber\u00fc\x7f\r")
        t.expect("(?m)^\u00fcber\r\n")
        t.expect("(?m)^" + PROMPT)


def test_interrupts(_):
    with Terminal() as t:
        t.prompt()
        t.send("/bin/sleep 1000\n")
        time.sleep(0.3)
        t.send("\x03")
        holds(t.expect("(?m)^" + PROMPT), "[status 130]")
        # at the prompt it drops the line
        t.send("/bin/echo half")
        time.sleep(0.2)
        t.send("\x03")
        t.expect("(?m)^" + PROMPT)
        equal(t.run("/bin/echo whole"), "whole\n")
        # what ignores it is killed by Ctrl-] three times, with all of its group
        t.send("/bin/sh -c 'trap \"\" 2 3 15 1; echo deaf; while :; do sleep 1; done'\n")
        t.expect("deaf\r\n")
        t.send("\x03\x03\x1d\x1d")
        time.sleep(0.3)
        t.send("\x1dx\x1d\x1d\x1d")
        holds(t.expect("(?m)^" + PROMPT), "[status 137]")


def test_nothing_is_left(_):
    """What stays behind in the background loses its terminal, and does not hold the prompt up."""
    with Terminal() as t:
        t.prompt()
        start = time.monotonic()
        t.run("/bin/sh -c 'sleep 77 & echo started'")
        equal(time.monotonic() - start < 3, True, "the prompt comes back")
        until(lambda: "sleep 77" not in frame.sh("ps", "-eo", "args"), 5, "an end of what was left")
        t.send("/bin/sleep 78\n")
        until(lambda: "sleep 78" in frame.sh("ps", "-eo", "args"), 5, "a start")
        t.child.send_signal(signal.SIGTERM)
        equal(t.child.wait(5), 0)
        until(lambda: "sleep 78" not in frame.sh("ps", "-eo", "args"), 5, "an end")


def test_output_cannot_control(_):
    """Every byte that there is, and sequences that terminals obey: they arrive as text."""
    with open(DIR + "/evil", "wb") as f:
        f.write(bytes(range(256)) + b"\n")
        f.write(b"\033[2J\033]0;title\007\033P1$r\033\\\033[6n\033[?1049h\233H\302\233H\017\016\010\010x\n")
        f.write("\u00fc \u20ac \U0001f433\n".encode())
        f.write(b"\033[1;31mred\033[0m\n")
    with Terminal() as t:
        t.prompt()
        start = t.at
        text = t.run("cat %s/evil" % DIR)
        raw = t.text[start:]
        equal(len(raw) > 700, True, "length of what was printed")
        allowed = set(range(0x20, 0x7F)) | {10, 13, 9} | set(range(0x80, 0x100))
        equal(sorted(set(raw) - allowed), [], "control bytes")
        raw.decode()  # UTF-8, all of it
        equal(re.findall(r"[\x80-\x9f]", raw.decode()), [], "C1 controls")
        holds(text, "\\x1b[2J\\x1b]0;title\\x07")
        holds(text, "ü € \U0001f433\n")
        holds(text, "\nred\n")
        holds(text, "\\x00\\x01")
        # what the console says itself is escaped as well
        holds(t.run("'/no\udc9b2Jsuch'"), "\\x9b2J")


def test_login(_):
    with Terminal("login", "password = '%s'\n" % HASH) as t:
        t.expect("Press Enter to log in")
        t.send("\n")
        t.expect("password: ")
        start = time.monotonic()
        t.send("wrong\n")
        equal("wrong\r\n" in t.expect("wrong password"), False, "the password is shown")
        t.expect("Press Enter to log in")
        equal(time.monotonic() - start >= 3, True, "a delay after a wrong one")
        t.send("\n")
        t.expect("password: ")
        t.send("Hello world!\n")
        equal("Hello" in t.expect("(?m)^" + PROMPT), False, "the password is shown")
        equal(t.run("/bin/echo in"), "in\n")
        t.send("exit\n")
        t.expect("Press Enter to log in")
        t.send("\n")
        t.expect("password: ")
        t.send("\x04")
        equal(PROMPT in t.expect("Press Enter to log in"), False)


def test_login_without_a_password(_):
    for config, guess in (("", ""), ("password = 'plain'\n", "plain")):
        with Terminal("login", config) as t:
            t.expect("Press Enter to log in")
            t.send("\n")
            t.expect("password: ")
            t.send(guess + "\n")
            t.expect("wrong password")
            equal(PROMPT in t.expect("Press Enter to log in"), False, config)


def test_off(_):
    with Terminal("off") as t:
        equal(t.read(1), False, "a word")
        equal(t.child.poll(), None)
        t.child.send_signal(signal.SIGTERM)
        equal(t.child.wait(5), 0)


def test_hang_up(_):
    """The line goes away under the prompt and under a program; the console comes back on it."""
    with Terminal() as t:
        t.prompt()
        for program in (None, "/bin/sleep 99"):
            if program:
                t.send(program + "\n")
                until(lambda: program[5:] in frame.sh("ps", "-eo", "args"), 5, "a start")
            # as a modem does: every open file of it is dead from now on
            hang = ("import ctypes, fcntl, os, signal, sys; signal.signal(1, signal.SIG_IGN); os.setsid(); "
                    "fcntl.ioctl(os.open(sys.argv[1], os.O_RDWR), 0x540E, 1); ctypes.CDLL(None).vhangup()")
            subprocess.run([sys.executable, "-c", hang, t.name], check=True, stdin=subprocess.DEVNULL)
            os.close(t.slave)
            until(lambda: os.path.exists(t.name), 5, "the terminal")
            t.slave = os.open(t.name, os.O_RDWR | os.O_NOCTTY)
            t.at = len(t.text)
            t.expect("Press Enter for a prompt", 20)
            t.send("\n")
            t.expect("(?m)^" + PROMPT)
            until(lambda: "sleep 99" not in frame.sh("ps", "-eo", "args"), 5, "an end of the program")
        equal(t.child.poll(), None)


def test_line_that_stands_still(_):
    """Nobody reads (flow control): the console waits, loses nothing, and can still be ended."""
    with Terminal() as t:
        t.prompt()
        t.send("/bin/sh -c 'i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done'\n")
        time.sleep(2)
        cpu = lambda: sum(map(int, open("/proc/%d/stat" % t.child.pid).read().split()[13:15]))  # noqa: E731
        before = cpu()
        time.sleep(1)
        equal(cpu() - before < 20, True, "it waits without working")
        text = t.expect("(?m)^" + PROMPT, 30)
        equal(re.findall(r"line (\d+)\r\n", text), [str(i) for i in range(20000)], "lines")
        t.send("/usr/bin/yes\n")
        time.sleep(1)
        t.child.send_signal(signal.SIGTERM)
        equal(t.child.wait(5), 0)


def test_missing_terminal(_):
    log = open(DIR + "/log2", "w+")
    p = subprocess.Popen([CRIBOX, "console", "--mode", "open", "/dev/nosuch"], stderr=log, stdin=subprocess.DEVNULL)
    time.sleep(1.5)
    equal(p.poll(), None, "it waits for it")
    p.terminate()
    equal(p.wait(5), 0)
    log.seek(0)
    holds(log.read(), "/dev/nosuch")
    for words in ([], ["a", "b"], ["--mode", "sometimes", "tty0"]):
        done = subprocess.run([CRIBOX, "console", *words], capture_output=True, text=True)
        equal((done.returncode, done.stderr.count("\n")), (1, 1), " ".join(words))


if __name__ == "__main__":
    tests = [globals()[n] for n in list(globals()) if n.startswith("test_")]
    sys.exit(1 if frame.run(tests) else 0)
