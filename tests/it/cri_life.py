#!/usr/bin/python3
"""How containers end: exit codes and reasons, stops, out of memory; and their logs."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
import crid  # noqa: E402
from cri import fails  # noqa: E402
from crid import EXITED, NS_NODE, REGISTRY, RUNNING  # noqa: E402
from frame import equal, holds, until  # noqa: E402

STUBBORN = "trap '' TERM; echo ready; while :; do sleep 0.1; done"


def host_pod(b, **kw):
    b.pull()
    return b.pod(namespaces=dict({"network": NS_NODE}, **kw))


def result(b, command, pod=None, **kw):
    s = b.ended(b.start_ctr(pod or host_pod(b), command, **kw))
    return s.exit_code, s.reason


def ready(b, ctr):
    until(lambda: "ready" in b.output(ctr)[0], 5, "the container is ready")


def test_exit_codes(b):
    pod = host_pod(b)
    equal(result(b, "exit 0", pod), (0, "Completed"), "exit 0")
    equal(result(b, "exit 1", pod), (1, "Error"), "exit 1")
    equal(result(b, "exit 255", pod), (255, "Error"), "exit 255")
    equal(result(b, "kill -SEGV $$", pod)[1], "Error", "the reason of a signal")


def test_death_by_signal(b):
    """Of process 1 in a namespace only SIGKILL from outside is sure to work."""
    ctr = b.sleeper(host_pod(b))
    os.kill(b.info(ctr)["pid"], 9)
    s = b.ended(ctr)
    equal((s.exit_code, s.reason), (137, "Error"), "SIGKILL")
    pod = host_pod(b, pid=crid.NS_POD)
    equal(result(b, "kill -ABRT $$; sleep 5", pod), (134, "Error"), "SIGABRT")


def test_cannot_start(b):
    """No such program, not executable, a directory: StartContainer fails, the state says why."""
    pod = host_pod(b)
    for command, words in (
        (["/not/there"], "no such file"),
        (["not-in-path"], "not found"),
        (["/etc/passwd"], "permission denied"),
        (["/etc"], ""),
    ):
        ctr = b.create(pod, command)
        try:
            b.client.StartContainer(container_id=ctr)
            raise AssertionError("%s was started" % command)
        except crid.grpc.RpcError as e:
            holds(e.details().lower(), words, "message for %s" % command)
            holds(e.details(), command[0], "message")
        s = b.status(ctr)
        equal(s.state, EXITED, "state of " + command[0])
        equal((s.exit_code, s.reason), (128, "StartError"), "end of " + command[0])
        holds(s.message, command[0], "message of the status")
        equal(s.finished_at > 0, True, "finished_at")
        b.client.RemoveContainer(container_id=ctr)


def test_out_of_memory(b):
    pod = host_pod(b)
    limits = {"memory_limit_in_bytes": 15 << 20, "memory_swap_limit_in_bytes": 15 << 20}
    hungry = "dd if=/dev/zero of=/dev/null bs=40M"
    equal(result(b, "exec " + hungry, pod, resources=limits), (137, "OOMKilled"), "process 1")
    code, reason = result(b, hungry + "; exit 9", pod, resources=limits)
    equal((code, reason), (9, "OOMKilled"), "a child")


def test_no_false_oom(b):
    limits = {"memory_limit_in_bytes": 64 << 20}
    equal(result(b, "kill -9 $$; exit 7", host_pod(b, pid=crid.NS_POD), resources=limits),
          (137, "Error"), "SIGKILL with a limit")  # fmt: skip


def test_container_cannot_run(b):
    """Not the program but what it shall run in cannot be made: a mount on what is no directory."""
    mounts = [{"host_path": b.logs, "container_path": "/etc/passwd/below"}]
    ctr = b.create(host_pod(b), "true", mounts=mounts)
    try:
        b.client.StartContainer(container_id=ctr)
        raise AssertionError("it was started")
    except crid.grpc.RpcError as e:
        holds(e.details(), "/etc/passwd/below", "message")
    s = b.status(ctr)
    equal((s.state, s.exit_code, s.reason), (EXITED, 128, "ContainerCannotRun"), "the end")


def test_stop_by_term(b):
    ctr = b.start_ctr(host_pod(b), "trap 'exit 0' TERM; echo ready; sleep 1000 & wait")
    ready(b, ctr)
    start = time.monotonic()
    b.client.StopContainer(container_id=ctr, timeout=20)
    equal(time.monotonic() - start < 5, True, "the stop is quick")
    s = b.status(ctr)
    equal((s.state, s.exit_code, s.reason), (EXITED, 0, "Completed"), "the end")
    b.client.StopContainer(container_id=ctr, timeout=20)  # once more: no error


def test_stop_by_kill(b):
    pod = host_pod(b)
    ctr = b.start_ctr(pod, STUBBORN)
    ready(b, ctr)
    start = time.monotonic()
    b.client.StopContainer(container_id=ctr, timeout=1)
    took = time.monotonic() - start
    equal((0.9 < took < 4), True, "about a second (%.2f)" % took)
    equal(b.status(ctr).exit_code, 137, "exit code")
    ctr = b.start_ctr(pod, STUBBORN)
    ready(b, ctr)
    start = time.monotonic()
    b.client.StopContainer(container_id=ctr, timeout=0)
    equal(time.monotonic() - start < 1, True, "timeout 0 kills at once")
    equal(b.status(ctr).exit_code, 137, "exit code")


def test_shorter_stop_wins(b):
    """A second stop with a shorter timeout must not wait for the first one."""
    ctr = b.start_ctr(host_pod(b), STUBBORN)
    ready(b, ctr)
    first = b.client.future("StopContainer", container_id=ctr, timeout=50)
    time.sleep(0.2)
    start = time.monotonic()
    b.client.StopContainer(container_id=ctr, timeout=0)
    first.result()
    equal(time.monotonic() - start < 3, True, "both stops end")


def test_stop_does_not_block_others(b):
    """While one container takes its time to stop, everything else works."""
    pod = host_pod(b)
    slow, other = b.start_ctr(pod, STUBBORN), b.sleeper(pod)
    ready(b, slow)
    stop = b.client.future("StopContainer", container_id=slow, timeout=3)
    start = time.monotonic()
    equal(b.sync(other, "echo works")[1], "works\n", "an exec in the same pod")
    b.client.StopContainer(container_id=other, timeout=5)
    b.client.ListContainers()
    b.status(slow)
    equal(time.monotonic() - start < 2, True, "the others are quick")
    stop.result()


def test_stop_signal(b):
    b.pull(REGISTRY + "/entry")
    pod = host_pod(b)
    script = "for s in TERM USR1 USR2; do trap \"echo $s; exit 0\" $s; done; echo ready; "
    script += "while :; do sleep 0.1; done"
    ctr = b.start_ctr(pod, script, image=REGISTRY + "/entry")
    ready(b, ctr)
    b.client.StopContainer(container_id=ctr, timeout=5)
    equal(b.output(ctr)[0], "ready\nUSR1\n", "the image's StopSignal")
    ctr = b.start_ctr(pod, script, image=REGISTRY + "/entry", stop_signal=30)  # SIGUSR2
    ready(b, ctr)
    equal(b.status(ctr).stop_signal, 30, "stop_signal of the status")
    b.client.StopContainer(container_id=ctr, timeout=5)
    equal(b.output(ctr)[0], "ready\nUSR2\n", "the container's stop_signal")


def test_children_die_too(b):
    """When process 1 ends, what it left behind is killed, and the log is complete."""
    pod = host_pod(b, pid=NS_NODE)
    ctr = b.start_ctr(pod, "setsid sleep 7654 & echo $!; sleep 0.2")
    b.ended(ctr)
    left = [p for p in crid.processes().values() if "sleep 7654" in p and "(Z)" not in p]
    equal(left, [], "processes")


def test_remove_running(b):
    ctr = b.sleeper(host_pod(b))
    pid = b.info(ctr)["pid"]
    b.client.RemoveContainer(container_id=ctr)
    equal(os.path.exists("/proc/%d" % pid), False, "the process is there")
    fails("NOT_FOUND", b.client.ContainerStatus, container_id=ctr)


# --- logs


def lines_of(b, ctr):
    with open(b.status(ctr).log_path) as f:
        return f.read().splitlines()


def test_log_format(b):
    pod = host_pod(b)
    ctr = b.start_ctr(pod, "echo one; echo two >&2; printf '\\n'; printf 'no newline'")
    b.ended(ctr)
    lines = lines_of(b, ctr)
    parsed = sorted(x.split(" ", 1)[1] for x in lines)
    equal(parsed, sorted(["stdout F one", "stderr F two", "stdout F ", "stdout P no newline"])
          if any(" P " in x for x in lines) else
          sorted(["stdout F one", "stderr F two", "stdout F ", "stdout F no newline"]),
          "lines")  # fmt: skip
    stamps = [x.split(" ", 1)[0] for x in lines]
    equal(stamps, sorted(stamps), "order of the times")
    mode = os.stat(b.status(ctr).log_path).st_mode & 0o777
    equal(mode & 0o007, 0, "others' permissions on the log")


def test_log_is_there_at_start(b):
    pod = host_pod(b)
    ctr = b.sleeper(pod)
    equal(os.path.exists(b.status(ctr).log_path), True, "the log exists")


def test_long_lines(b):
    """Longer lines are cut into P parts and a last F; not a byte is lost."""
    pod = host_pod(b)
    ctr = b.start_ctr(pod, "head -c 100000 /dev/zero | tr '\\0' x; echo; echo end")
    b.ended(ctr)
    equal(b.output(ctr)[0], "x" * 100000 + "\nend\n", "text")
    parts = lines_of(b, ctr)
    equal(max(len(x) for x in parts) < 17000, True, "parts are at most 16 KiB")


def test_much_output(b):
    """Nothing is lost, nothing is reordered, and the end of the container waits for it."""
    pod = host_pod(b)
    ctr = b.start_ctr(pod, "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done")
    b.ended(ctr, 30)
    out = b.output(ctr)[0]
    equal(out == "".join("line %d\n" % i for i in range(20000)), True, "the output is complete")


def test_carriage_return_and_bytes(b):
    ctr = b.start_ctr(host_pod(b), "printf 'a\\r\\n\\377\\001b\\n'")
    b.ended(ctr)
    out = b.output(ctr)[0].encode("utf-8", "surrogateescape")
    holds((b"a\r\n\xff\x01b\n", b"a\n\xff\x01b\n"), out, "one of the allowed outputs")


def test_tty_log(b):
    ctr = b.start_ctr(host_pod(b), "echo out; echo err >&2; tty", tty=True)
    b.ended(ctr)
    out, err = b.output(ctr)
    equal(err, "", "stderr")
    equal(out.replace("\r", "").split(), ["out", "err", "/dev/pts/0"], "stdout")


def test_no_log_path(b):
    """Without a log path the output goes nowhere, and nobody blocks on it."""
    ctr = b.start_ctr(host_pod(b), "head -c 300000 /dev/zero; exit 5", log_path="")
    equal(b.ended(ctr).exit_code, 5, "exit code")
    equal(b.status(ctr).log_path, "", "log_path")


def test_reopen_log(b):
    pod = host_pod(b)
    ctr = b.start_ctr(pod, "while :; do echo tick; sleep 0.02; done")
    path = b.status(ctr).log_path
    until(lambda: os.path.getsize(path) > 0, 3, "output")
    os.rename(path, path + ".1")
    b.client.ReopenContainerLog(container_id=ctr)
    equal(os.path.exists(path), True, "the new log exists when the call returns")
    size = os.path.getsize(path + ".1")
    until(lambda: os.path.getsize(path) > 200, 3, "output in the new log")
    equal(os.path.getsize(path + ".1"), size, "size of the old log")
    b.client.StopContainer(container_id=ctr)
    crid.parse_log(path)
    crid.parse_log(path + ".1")
    os.rename(path, path + ".2")
    fails("FAILED_PRECONDITION", b.client.ReopenContainerLog, container_id=ctr)
    equal(os.path.exists(path), False, "a log after the error")
    fails("NOT_FOUND", b.client.ReopenContainerLog, container_id="0" * 64)


def test_reader_that_fills_no_pipe(b):
    """A container that writes to both streams as fast as it can does not block."""
    script = "head -c 600000 /dev/zero | tr '\\0' '\\n' >&2 & head -c 600000 /dev/zero | "
    ctr = b.start_ctr(host_pod(b), script + "tr '\\0' '\\n'; wait")
    equal(b.ended(ctr, 60).exit_code, 0, "exit code")
    out, err = b.output(ctr)
    equal((len(out), len(err)), (600000, 600000), "lines")


def test_log_directory_gone(b):
    """A log that cannot be opened is an error of the start that names the file."""
    pod = host_pod(b)
    with open(os.path.join(b.configs[pod]["log_directory"], "file"), "w"):
        pass
    ctr = b.create(pod, "true", log_path="file/x.log")
    try:
        b.client.StartContainer(container_id=ctr)
        raise AssertionError("it was started")
    except crid.grpc.RpcError as e:
        holds(e.details(), "/file", "message")


def test_restart_policy_pattern(b):
    """The kubelet's pattern: attempts of the same container, old one removed later."""
    pod = host_pod(b)
    one = b.start_ctr(pod, "echo first; exit 3", name="c", log_path="c/0.log")
    b.ended(one)
    config = b.ctr_config("echo second; sleep 100", name="c", log_path="c/1.log")
    config["metadata"]["attempt"] = 1
    config["linux"]["security_context"]["namespace_options"] = {"network": NS_NODE}
    two = b.client.CreateContainer(
        pod_sandbox_id=pod, config=config, sandbox_config=b.configs[pod]
    ).container_id
    b.ids.add(two)
    b.client.StartContainer(container_id=two)
    equal((b.status(one).state, b.status(two).state), (EXITED, RUNNING), "states")
    equal(b.status(two).metadata.attempt, 1, "attempt")
    b.client.RemoveContainer(container_id=one)
    equal(b.status(two).state, RUNNING, "state of the second")


crid.main(crid.tests_of(globals()))
