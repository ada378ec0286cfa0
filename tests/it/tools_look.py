#!/usr/bin/python3
"""The small tools against those that they are named after: coreutils, grep, procps, util-linux,
in one directory, one after the other; the same output and status, or what a person reads."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
from frame import CRIBOX, Skip, equal, holds  # noqa: E402

DIR = tempfile.mkdtemp(prefix="cribox-look-", dir="/run")
ENV = dict(os.environ, LC_ALL="C", TZ="UTC", PATH="/usr/sbin:/usr/bin:/sbin:/bin")


def call(prefix, line, **options):
    words = line.split() if isinstance(line, str) else line
    done = subprocess.run(prefix + words, capture_output=True, text=True, cwd=DIR, env=ENV,
                          errors="surrogateescape", **options)  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def ours(line, **options):
    return call([CRIBOX], line, **options)


def same(*lines, **options):
    """The output and the status are theirs; the message, if they have one, is one line."""
    for line in lines:
        want, got = call([], line, **options), ours(line, **options)
        equal(got[:2], want[:2], line)
        equal(bool(got[2]), bool(want[2]), "%s: has a message: %r" % (line, got[2]))


def write(name, text, mode=0o644):
    path = os.path.join(DIR, name)
    with open(path, "wb") as f:
        f.write(text.encode() if isinstance(text, str) else text)
    os.chmod(path, mode)


def fresh():
    shutil.rmtree(DIR, ignore_errors=True)
    os.mkdir(DIR)
    os.makedirs(DIR + "/sub/deep")
    write("n", "".join("%d\n" % i for i in range(1, 101)))
    write("ab", "a\nb")
    write("empty", "")
    write("sub/f", "hello World\nfoo\n")
    write("sub/deep/g", "bar\nfoo hello\n")
    write("run", "#!/bin/sh\n", 0o755)
    write("big", b"x" * 300000)
    write("bin", b"\0\1\2\nno newline \xff")
    os.symlink("n", DIR + "/link")
    os.symlink("nothing", DIR + "/dangling")
    os.link(DIR + "/n", DIR + "/hard")
    os.utime(DIR + "/n", (1e9, 1e9))
    os.utime(DIR + "/ab", (1.1e9, 1.1e9))


def test_cat(_):
    same("cat n ab empty n", "cat -n ab n", "cat none n", "cat bin", "cat /proc/version", "cat sub")
    same("cat", input="typed\n")
    same("cat - ab", input="typed\n")


def test_head_and_tail(_):
    same("head n", "head -n 3 n ab", "head -5 n", "head -c 7 n", "head empty", "head none", "head bin")
    same("head -n 2", input="1\n2\n3\n")
    same("tail n", "tail -n 3 n ab", "tail -n +95 n", "tail -3 n", "tail -c 5 n", "tail -n 0 n",
         "tail -n 200 n", "tail -n 1 ab", "tail -n 2 ab", "tail empty", "tail none", "tail -n 2 bin",
         "tail -n 3 /proc/meminfo", "tail -c +299990 big", "tail -n 1 big")  # fmt: skip
    same("tail -n 2", input="1\n2\n3\n")
    same("tail -n +2", input="1\n2\n3\n")


def test_tail_follows(_):
    for flag, renamed in (("-f", False), ("-F", True)):
        write("log", "old\nfirst\n")
        p = subprocess.Popen([CRIBOX, "tail", flag, "-n", "1", "log"], cwd=DIR, text=True,
                             stdout=subprocess.PIPE)  # fmt: skip
        try:
            equal(p.stdout.readline(), "first\n")
            with open(DIR + "/log", "a") as f:
                f.write("second\n")
            equal(p.stdout.readline(), "second\n")
            if renamed:
                os.rename(DIR + "/log", DIR + "/log.1")
                write("log", "third\n")
            else:
                write("log", "")
                time.sleep(1.5)  # it looks once a second
                write("log", "third\n")
            equal(p.stdout.readline(), "third\n")
        finally:
            p.kill()
            p.communicate()


def test_grep(_):
    for args in ("1 n", "-c 1 n", "-v 1 n", "-n 5 n ab", "-i WORLD sub/f", "-E (1|2)0 n", "-o 9. n",
                 "-F 1. n", "-q 1 n", "none n", "x none", "-s x none", "-A 1 50 n", "-B 2 -A 1 5$ n",
                 "-C 1 ^4 n", "-e 11 -e 22 n", "-l foo sub/f n", "-H 99 n", "-h 99 n hard",
                 "^$ n", "-c ^ ab", "-o [0-9]$ ab n", "-vc 1 n", "[ n", "a\\|b ab"):  # fmt: skip
        same("grep " + args)
    same("grep b", input="a\nb\nbc")
    for args in ("-r foo sub", "-rl hello sub", "-rn foo ."):
        want, got = call([], "grep " + args), ours("grep " + args)
        equal(sorted(got[1].splitlines()), sorted(want[1].splitlines()), args)


def test_ls(_):
    same("ls", "ls sub", "ls -a", "ls -A", "ls -1", "ls -F", "ls -i n", "ls -S", "ls -tr n ab hard", "ls -R",
         "ls -d sub", "ls n sub ab", "ls none", "ls -r")  # fmt: skip
    for line in ("ls -l", "ls -la", "ls -ln", "ls -l sub /dev/null", "ls -lh big", "ls -lL link"):
        # columns are as wide as they are; the first line is a sum that ours does not have
        words = lambda s: [r.split() for r in s.splitlines() if not r.startswith("total")]  # noqa: E731
        want, got = call([], line), ours(line)
        if "h" in line:
            equal(len(words(got[1])[0]), len(words(want[1])[0]), line)
        else:
            squeeze = lambda s: [[w.replace(", ", ",") for w in r] for r in words(s)]  # noqa: E731
            equal([" ".join(r).replace(", ", ",") for r in squeeze(got[1])],
                  [" ".join(r).replace(", ", ",") for r in squeeze(want[1])], line)  # fmt: skip


def test_ls_escapes_names(_):
    os.mkdir(DIR + "/odd")
    open(DIR + "/odd/a\033[2Jb\nc", "w").close()
    equal(ours("ls odd")[1], "a\\x1b[2Jb\\x0ac\n")
    holds(ours("ls -l odd")[1], "a\\x1b[2Jb\\x0ac")


def test_du(_):
    same("du", "du sub", "du -s .", "du -d 1 .", "du -k n hard", "du none", "du -m big")
    want, got = call([], "du -a sub"), ours("du -a sub")
    equal(sorted(got[1].splitlines()), sorted(want[1].splitlines()))


def test_changes(_):
    """mkdir cp mv ln chmod rm: the tree that they leave is the one that coreutils leave."""
    script = """mkdir one
        mkdir -p one/two/three
        mkdir -m 750 mode
        mkdir one
        mkdir none/x
        cp n one
        cp n none/x
        cp sub one
        cp -r sub one
        cp -a sub link one/two
        cp -p n one/kept
        cp n ab mode
        cp n n
        mv one/n one/moved
        mv none x
        mv one/moved mode
        mv ab one/sub
        ln -s there one/link
        ln -s again one/link
        ln -sf again one/link
        ln n one/hard
        ln -sfn mode one/two/deep
        chmod 600 n
        chmod u+x,go=r n
        chmod a-w,u+s run
        chmod +X sub run
        chmod -R o-rwx one
        chmod zz n
        rm none
        rm -f none
        rm sub
        rm -d mode
        rm -r one/sub
        rm big dangling"""
    trees = []
    for prefix in ([], [CRIBOX]):
        fresh()
        os.umask(0o022)
        states = [call(prefix, line)[0] for line in script.split("\n")]
        rows = []
        for at, dirs, files in os.walk(DIR):
            for name in sorted(dirs + files):
                path = os.path.join(at, name)
                st = os.lstat(path)
                kept = name in ("kept", "f", "g") and "two" in at or name == "kept"
                rows.append((path, oct(st.st_mode), st.st_nlink,
                             os.readlink(path) if os.path.islink(path) else None,
                             st.st_size if os.path.isfile(path) else None,
                             st.st_mtime if name == "kept" else None, kept))  # fmt: skip
        trees.append((states, sorted(rows)))
    for got, want in zip(trees[1][1], trees[0][1]):
        equal(got, want)
    equal(trees[1], trees[0], "statuses and tree")


def test_cp_into_itself(_):
    for line in ("cp -r sub sub", "cp -r sub sub/deep/x", "cp -r sub sub/deep"):
        fresh()
        status, _, error = ours(line)
        equal((status, error.count("\n")), (1, 1), line)
        equal(sum(len(d) for _, d, _ in os.walk(DIR)) < 8, True, "an end")


def test_rm_refuses(_):
    for path in ("/", ".", "..", "sub/.", "sub/.."):
        status, _, error = ours("rm -r " + path)
        equal((status, error.count("\n")), (1, 1), path)
        holds(error, "refused")
    os.makedirs(DIR + "/tree/mnt")
    frame.sh("mount", "-t", "tmpfs", "x", DIR + "/tree/mnt")
    open(DIR + "/tree/mnt/precious", "w").close()
    try:
        equal(ours("rm -rf tree")[0], 1)
        equal(os.listdir(DIR + "/tree/mnt"), ["precious"])
    finally:
        frame.sh("umount", DIR + "/tree/mnt")


def test_tee(_):
    equal(ours("tee t1 t2", input="typed\n"), (0, "typed\n", ""))
    equal(ours("tee -a t1", input="more\n")[0], 0)
    equal(open(DIR + "/t1").read(), "typed\nmore\n")
    equal(open(DIR + "/t2").read(), "typed\n")
    equal(ours("tee none/x", input="y")[0], 1)


def test_who_and_what(_):
    same("uname", "uname -s", "uname -srm", "uname -nv", "hostname", "id", "id -u", "id -g", "id -Gn")
    equal(ours("uname -a")[1].split()[:4], call([], "uname -a")[1].split()[:4])
    frame.sh("hostname", "some.name")
    same("hostname", "hostname -s")
    equal(ours("hostname other.name")[0], 0)
    equal(os.uname().nodename, "other.name")
    for prefix, want in (([], ""), (["setpriv", "--reuid=1", "--regid=2", "--clear-groups"], "")):
        equal(call(prefix + [CRIBOX], "id")[1], call(prefix, "id")[1])


def test_date(_):
    same("date -u +%F", "date -d @1000000000", "date -u -d @1000000000 +%s", "date -R -d @5", "date -d @1e",
         ["date", "-u", "-d", "2026-11-21 10:00:00", "+%s"], ["date", "-d", "2026-11-21", "+%c"],
         "date -d nonsense")  # fmt: skip


def test_numbers(_):
    """free, uptime and df say what procps and coreutils say, as far as it stands still."""
    want, got = call([], "free -m")[1].split(), ours("free -m")[1].split()
    equal(len(got), len(want))
    equal(got[:8], want[:8])
    for line in ("df -P /dev /proc /sys", "df -i /dev", "df -PT /run", "df none"):
        want, got = call([], line), ours(line)
        equal(got[0], want[0], line)
        for g, w in zip(got[1].splitlines()[1:], want[1].splitlines()[1:]):
            equal((g.split()[0], g.split()[-1], g.split()[1]), (w.split()[0], w.split()[-1], w.split()[1]), line)
    want = {r.split()[-1] for r in call([], "df")[1].splitlines()[1:]}
    equal({r.split()[-1] for r in ours("df")[1].splitlines()[1:]}, want, "mounts of df")
    if not re.match(r" \d\d:\d\d:\d\d up .*,  load average: [\d.]+, [\d.]+, [\d.]+$", ours("uptime")[1].strip("\n")):
        raise AssertionError(ours("uptime"))


def test_sysctl(_):
    same("sysctl -n kernel.ostype", "sysctl kernel.pid_max net.ipv4.ip_forward", "sysctl no.such",
         "sysctl net.ipv4.conf.lo", "sysctl -e no.such", "sysctl net/ipv4/ip_forward")  # fmt: skip
    same("sysctl -w net.ipv4.ip_forward=1", "sysctl net.ipv4.conf.lo.forwarding")
    frame.sh("ip", "link", "add", "v.10", "type", "veth", "peer", "v.11")
    equal(ours("sysctl -n net/ipv4/conf/v.10/mtu")[0], 1)
    equal(ours("sysctl -n net/ipv6/conf/v.10/mtu")[1], "1500\n")


def test_kill(_):
    for sig, want in (("-9", 9), ("-TERM", 15), ("-sHUP", None), ("", 15)):
        p = subprocess.Popen(["sleep", "100"])
        if sig == "-sHUP":
            ours("kill -s HUP %d" % p.pid)
            want = 1
        else:
            ours("kill %s %d" % (sig, p.pid))
        equal(p.wait(5), -want, sig)
    for line in ("kill", "kill -NOPE 1", "kill x", "kill 999999", "kill -9"):
        equal(ours(line)[0], 1, line)


def test_ps(_):
    p = subprocess.Popen(["sh", "-c", "exec -a 'odd\033[2J' sleep 100"], executable="/bin/bash")
    try:
        frame.until(lambda: open("/proc/%d/cmdline" % p.pid, "rb").read().startswith(b"odd"), 5, "exec")
        rows = ours("ps")[1].splitlines()
        equal(rows[0].split(), "PID PPID USER S RSS TIME CONTAINER COMMAND".split())
        row = [r for r in rows if r.split()[0] == str(p.pid)][0]
        holds(row, "odd\\x1b[2J 100")
        equal(row.split()[1], str(os.getpid()))
        want = {r.strip() for r in call([], "ps -eo pid=")[1].split()}
        got = {r.split()[0] for r in ours("ps -A")[1].splitlines()[1:]}
        equal({x for x in got if int(x) <= p.pid}, {x for x in want if int(x) <= p.pid}, "processes")
        equal(ours("ps -p %d" % p.pid)[0], 0)
        equal(ours("ps -p 999999")[0], 1)
        equal(ours("ps -k nonsense")[0], 1)
    finally:
        p.kill()
        p.wait()


def test_dmesg(_):
    if call([], "dmesg")[0]:
        raise Skip("the kernel's log cannot be read here")
    for line in ("dmesg", "dmesg -l err", "dmesg -l err,warn"):
        # others write to the log as well
        frame.until(lambda: call([], line)[1] == ours(line)[1], 5, "%s is util-linux's" % line)
    equal(ours("dmesg -l loud")[0], 1)


def test_ss(_):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as s, socket.create_connection(s.getsockname()) as c:
        port = s.getsockname()[1]
        row = [r for r in ours("ss -ltnp")[1].splitlines() if ":%d " % port in r][0]
        equal(row.split()[1], "LISTEN")
        holds(row, "[%d]" % os.getpid())
        rows = [r for r in ours("ss -tn")[1].splitlines() if ":%d " % port in r]
        equal(len(rows), 2, "ends of one connection")
        holds(rows[0], "ESTAB")
        holds("\n".join(rows), "127.0.0.1:%d" % c.getsockname()[1])
        equal(ours("ss -u")[1].count("\n"), 1)


def test_sleep_and_sync(_):
    start = time.monotonic()
    equal(ours("sleep 0.3")[0], 0)
    equal(0.3 <= time.monotonic() - start < 3, True)
    equal(ours("sleep x")[0], 1)
    equal(ours("sync")[0], 0)
    equal(ours("sync n none")[0], 1)


def test_all_have_help_and_refuse(_):
    """Every public applet answers --help on 24 rows or so, and names an option that it does not know."""
    for name in ours("--list")[1].split():
        status, out, _ = ours([name, "--help"])
        equal((status, out[:7]), (0, "usage: "), name)
        if name in TOOLS:
            equal(max(len(row) for row in out.splitlines()) <= 80, True, "%s --help is 80 columns wide" % name)
            status, _, error = ours([name, "--no-such-option"])
            if name == "kill":
                continue
            equal((status in (1, 2), error.count("\n")), (True, 1), name)
            holds(error, "no-such-option", name)


TOOLS = """blkid cat chmod cp date df dmesg du free grep head hostname id kill ln losetup ls lsblk mkdir mount mv
    nsenter ps rm sleep ss sync sysctl tail tee umount uname uptime""".split()

if __name__ == "__main__":
    tests = [globals()[n] for n in list(globals()) if n.startswith("test_")]
    fresh()
    sys.exit(1 if frame.run(tests, after=lambda _: fresh()) else 0)
