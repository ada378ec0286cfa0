#!/usr/bin/python3
"""A corpus of configurations that are malformed, oversized, contradictory or hostile.

Each is a change to a configuration that works: a member and the JSON that takes its place, or a
whole text. Each ends `run` with status 1, before anything of the container was made, and with one
line that names the field.
"""

import copy
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

frame.isolate()
from frame import equal  # noqa: E402
from ocibed import CONFIG, Bed  # noqa: E402

# member | JSON in its place | what the line must name (the member itself unless given)
MEMBERS = r"""
ociVersion | | ociVersion
ociVersion | "" |
ociVersion | 1 |
ociVersion | "2.0.0" |
ociVersion | "x" |
ociVersion | "1.0.2\u0000" |
ociVersion | ["1.0.2"] |
root | |
root | [] |
root | "rootfs" |
root.path | |
root.path | "" |
root.path | 7 |
root.path | "root\u0000fs" |
root.path | "missing" | missing
root.path | "rootfs/bin/busybox" | rootfs/bin/busybox
root.readonly | "yes" |
root.readonly | 1 |
hostname | 7 |
hostname | "{300 x}" |
hostname | "a\u0000b" |
domainname | 7 |
domainname | "{300 x}" |
process | |
process | [] |
process | "sh" |
process.args | | args
process.args | [] | args
process.args | "sh" |
process.args | [7] | process.args[0]
process.args | ["sh", null] | process.args[1]
process.args | ["sh", "a\u0000b"] | process.args[1]
process.args | {"0": "sh"} |
process.env | "A=b" |
process.env | [7] | process.env[0]
process.env | ["A"] | process.env[0]
process.env | ["=b"] | process.env[0]
process.env | ["A=b", ""] | process.env[1]
process.env | ["A=b\u0000C=d"] | process.env[0]
process.cwd | | Cwd
process.cwd | "" | Cwd
process.cwd | "tmp" | Cwd
process.cwd | "." | Cwd
process.cwd | 7 |
process.cwd | "/tmp\u0000x" |
process.terminal | "yes" |
process.terminal | 0 |
process.consoleSize | [] |
process.consoleSize | {"height": -1, "width": 80} | process.consoleSize.height
process.consoleSize | {"height": 25, "width": 65536} | process.consoleSize.width
process.user | [] |
process.user | 0 |
process.user.uid | -1 |
process.user.uid | "0" |
process.user.uid | 4294967295 |
process.user.uid | 4294967296 |
process.user.uid | 18446744073709551616 |
process.user.uid | 0.5 |
process.user.uid | true |
process.user.gid | -1 |
process.user.gid | "0" |
process.user.gid | 4294967295 |
process.user.gid | 1e3 |
process.user.umask | -1 |
process.user.umask | 99999 |
process.user.umask | "022" |
process.user.additionalGids | 1 |
process.user.additionalGids | [-1] | process.user.additionalGids[0]
process.user.additionalGids | [1, "2"] | process.user.additionalGids[1]
process.user.additionalGids | [4294967295] | process.user.additionalGids[0]
process.capabilities | [] |
process.capabilities | ["CAP_KILL"] |
process.capabilities.bounding | "CAP_KILL" |
process.capabilities.bounding | [1] | process.capabilities.bounding[0]
process.capabilities.bounding | ["CAP_WHATEVER"] | process.capabilities.bounding[0]
process.capabilities.bounding | ["KILL"] | process.capabilities.bounding[0]
process.capabilities.bounding | ["cap_kill "] | process.capabilities.bounding[0]
process.capabilities.effective | ["CAP_"] | process.capabilities.effective[0]
process.capabilities.permitted | [""] | process.capabilities.permitted[0]
process.capabilities.inheritable | {} | process.capabilities.inheritable
process.rlimits | {} |
process.rlimits | [7] | process.rlimits[0]
process.rlimits | [{"soft": 1, "hard": 1}] | process.rlimits[0].type
process.rlimits | [{"type": "RLIMIT_WHAT", "soft": 1, "hard": 1}] | process.rlimits[0].type
process.rlimits | [{"type": "NOFILE", "soft": 1, "hard": 1}] | process.rlimits[0].type
process.rlimits | [{"type": "RLIMIT_NOFILE", "soft": -1, "hard": 1}] | process.rlimits[0].soft
process.rlimits | [{"type": "RLIMIT_NOFILE", "soft": "1", "hard": 1}] | process.rlimits[0].soft
process.rlimits | [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1.5}] | process.rlimits[0].hard
process.rlimits | [{"type": "RLIMIT_NOFILE", "soft": 2, "hard": 1}] | process.rlimits[0]
process.rlimits | [{"type": "RLIMIT_CORE", "soft": 1, "hard": 1}, {"type": "RLIMIT_CORE", "soft": 2, "hard": 2}] | process.rlimits[1]
process.noNewPrivileges | "true" |
process.oomScoreAdj | "0" |
process.oomScoreAdj | 1001 |
process.oomScoreAdj | -1001 |
process.oomScoreAdj | 0.5 |
process.apparmorProfile | 7 |
process.selinuxLabel | 7 |
process.scheduler | 7 |
process.scheduler | {"policy": "SCHED_WHAT"} | process.scheduler.policy
process.scheduler | {} | process.scheduler.policy
process.scheduler | {"policy": "SCHED_FIFO", "priority": 1000} | process.scheduler.priority
process.scheduler | {"policy": "SCHED_OTHER", "nice": 77} | process.scheduler.nice
process.scheduler | {"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_WHAT"]} | process.scheduler.flags
process.scheduler | {"policy": "SCHED_DEADLINE", "deadline": 20000000, "period": 20000000} | process.scheduler.runtime
process.scheduler | {"policy": "SCHED_DEADLINE", "runtime": 5000000} | process.scheduler.deadline
process.scheduler | {"policy": "SCHED_DEADLINE", "runtime": 9, "deadline": 8} | process.scheduler
process.scheduler | {"policy": "SCHED_DEADLINE", "runtime": 7, "deadline": 8, "period": 6} | process.scheduler
process.ioPriority | 7 |
process.ioPriority | {"class": "IOPRIO_CLASS_WHAT", "priority": 1} | process.ioPriority.class
process.ioPriority | {"class": "IOPRIO_CLASS_BE", "priority": 8} | process.ioPriority.priority
process.ioPriority | {"class": "IOPRIO_CLASS_BE", "priority": -1} | process.ioPriority.priority
process.execCPUAffinity | 7 |
process.execCPUAffinity | {"initial": "a-b"} | process.execCPUAffinity.initial
process.execCPUAffinity | {"final": "0-999999999"} | process.execCPUAffinity.final
mounts | {} |
mounts | [7] | mounts[0]
mounts | ["/proc"] | mounts[0]
mounts[0].destination | |
mounts[0].destination | "" |
mounts[0].destination | 7 |
mounts[0].destination | "/proc\u0000x" |
mounts[0].type | 7 |
mounts[0].type | | mounts[0].type
mounts[0].type | "" |
mounts[0].type | "whatfs" | whatfs
mounts[0].source | 7 |
mounts[1].source | "tmp\u0000fs" |
mounts[1].options | "ro" |
mounts[1].options | [7] | mounts[1].options[0]
mounts[1].options | ["size=65536k", "what=ever"] | /dev
mounts[1].options | ["ro\u0000"] | mounts[1].options[0]
mounts[1].options | ["idmap"] | mounts[1]
mounts[1] | {"destination": "/a", "type": "bind"} | mounts[1].source
mounts[1] | {"destination": "/a", "type": "bind", "source": ""} | mounts[1].source
mounts[1] | {"destination": "/a", "type": "bind", "source": "/missing/directory"} | /missing/directory
mounts[1] | {"destination": "/a", "type": "bind", "source": "/etc", "options": ["bind", "size=1"]} | mounts[1].options
mounts[1] | {"destination": "/a", "type": "bind", "source": "/etc", "uidMappings": [{"containerID": 0, "hostID": 0, "size": 1}]} | mounts[1]
mounts[1] | {"destination": "/a", "type": "bind", "source": "/etc", "uidMappings": [{"containerID": 0, "hostID": 0, "size": 0}], "gidMappings": [{"containerID": 0, "hostID": 0, "size": 0}]} | mounts[1].uidMappings[0]
mounts[1] | {"destination": "/bin/busybox/x", "type": "tmpfs", "source": "x"} | /bin/busybox/x
mounts[1] | {"destination": "/{5000 x}", "type": "tmpfs", "source": "x"} | mount tmpfs at /xxx
linux | |
linux | [] |
linux | "linux" |
linux.namespaces | {} |
linux.namespaces | ["pid"] | linux.namespaces[0]
linux.namespaces | [{}] | linux.namespaces[0].type
linux.namespaces | [{"type": "what"}] | linux.namespaces[0].type
linux.namespaces | [{"type": "mount"}, {"type": "mount"}] | linux.namespaces[1]
linux.namespaces | [{"type": "mount"}, {"type": "pid", "path": "x"}] | linux.namespaces[1].path
linux.namespaces | [{"type": "mount"}, {"type": "uts"}, {"type": "pid", "path": "/missing/ns"}] | /missing/ns
linux.namespaces | [{"type": "mount"}, {"type": "uts"}, {"type": "pid", "path": "/etc/passwd"}] | /etc/passwd
linux.namespaces | [{"type": "mount"}, {"type": "uts"}, {"type": "network", "path": "/proc/self/ns/uts"}] | /proc/self/ns/uts
linux.namespaces | [{"type": "mount"}, {"type": "pid", "path": "/proc/self/ns/pid\u0000"}] | linux.namespaces[1].path
linux.namespaces | [{"type": "pid"}, {"type": "network"}, {"type": "mount"}, {"type": "ipc"}] | hostname
linux.namespaces | [{"type": "pid"}, {"type": "network"}, {"type": "uts"}, {"type": "mount"}, {"type": "user"}] | linux.uidMappings
linux.uidMappings | {} |
linux.uidMappings | [7] | linux.uidMappings[0]
linux.uidMappings | [{"containerID": 0, "hostID": 0, "size": 1}] | linux.uidMappings
linux.uidMappings | [{"containerID": -1, "hostID": 0, "size": 1}] | linux.uidMappings[0].containerID
linux.uidMappings | [{"containerID": 0, "hostID": 4294967296, "size": 1}] | linux.uidMappings[0].hostID
linux.uidMappings | [{"containerID": 0, "hostID": 0, "size": 0}] | linux.uidMappings[0].size
linux.uidMappings | [{"containerID": 1, "hostID": 1, "size": 4294967295}] | linux.uidMappings[0].size
linux.gidMappings | "0:0:1" |
linux.timeOffsets | 7 |
linux.timeOffsets | {"boottime": {"secs": 1}} | linux.timeOffsets
linux.devices | {} |
linux.devices | [7] | linux.devices[0]
linux.devices | [{"type": "c", "major": 1, "minor": 3}] | linux.devices[0].path
linux.devices | [{"path": "/dev/x", "major": 1, "minor": 3}] | linux.devices[0].type
linux.devices | [{"path": "/dev/x", "type": "x", "major": 1, "minor": 3}] | linux.devices[0].type
linux.devices | [{"path": "/dev/x", "type": "cc", "major": 1, "minor": 3}] | linux.devices[0].type
linux.devices | [{"path": "dev/x", "type": "c", "major": 1, "minor": 3}] | linux.devices[0].path
linux.devices | [{"path": "/dev/x", "type": "c", "major": -1, "minor": 3}] | linux.devices[0].major
linux.devices | [{"path": "/dev/x", "type": "c", "major": 1, "minor": 4294967296}] | linux.devices[0].minor
linux.devices | [{"path": "/dev/x", "type": "c", "major": 1, "minor": 3, "fileMode": -1}] | linux.devices[0].fileMode
linux.devices | [{"path": "/dev/x", "type": "c", "major": 1, "minor": 3, "uid": 4294967295}] | linux.devices[0].uid
linux.devices | [{"path": "/dev/x\u0000", "type": "c", "major": 1, "minor": 3}] | linux.devices[0].path
linux.cgroupsPath | 7 |
linux.cgroupsPath | "/a\u0000b" |
linux.cgroupsPath | "../../x" | cgroup path
linux.cgroupsPath | "/a/../../x" | cgroup path
linux.resources | [] |
linux.resources | 7 |
linux.resources.devices | {} |
linux.resources.devices | [7] | linux.resources.devices[0]
linux.resources.devices | [{"allow": "yes"}] | linux.resources.devices[0].allow
linux.resources.devices | [{"allow": false, "type": "x"}] | linux.resources.devices[0].type
linux.resources.devices | [{"allow": false, "access": "x"}] | linux.resources.devices[0].access
linux.resources.devices | [{"allow": true, "major": "1"}] | linux.resources.devices[0].major
linux.resources.memory | [] |
linux.resources.memory | {"limit": "1M"} | linux.resources.memory.limit
linux.resources.memory | {"limit": -2} | linux.resources.memory.limit
linux.resources.memory | {"limit": 9223372036854775808} | linux.resources.memory.limit
linux.resources.memory | {"limit": 1.5} | linux.resources.memory.limit
linux.resources.memory | {"limit": 10000000, "swap": 1000000} | linux.resources.memory.swap
linux.resources.memory | {"swap": 1000000} | linux.resources.memory.swap
linux.resources.memory | {"reservation": -2} | linux.resources.memory.reservation
linux.resources.memory | {"swappiness": 201} | linux.resources.memory.swappiness
linux.resources.memory | {"swappiness": -1} | linux.resources.memory.swappiness
linux.resources.memory | {"disableOOMKiller": 1} | linux.resources.memory.disableOOMKiller
linux.resources.memory | {"checkBeforeUpdate": "x"} | linux.resources.memory.checkBeforeUpdate
linux.resources.cpu | 7 |
linux.resources.cpu | {"shares": -1} | linux.resources.cpu.shares
linux.resources.cpu | {"quota": "max"} | linux.resources.cpu.quota
linux.resources.cpu | {"period": -1} | linux.resources.cpu.period
linux.resources.cpu | {"period": 0.5} | linux.resources.cpu.period
linux.resources.cpu | {"cpus": 0} | linux.resources.cpu.cpus
linux.resources.cpu | {"cpus": "a"} | linux.resources.cpu.cpus
linux.resources.cpu | {"cpus": "0-"} | linux.resources.cpu.cpus
linux.resources.cpu | {"cpus": "0\n1"} | linux.resources.cpu.cpus
linux.resources.cpu | {"mems": "x"} | linux.resources.cpu.mems
linux.resources.cpu | {"idle": 2} | linux.resources.cpu.idle
linux.resources.pids | [] |
linux.resources.pids | {"limit": "x"} | linux.resources.pids.limit
linux.resources.blockIO | [] |
linux.resources.blockIO | {"weight": 9} | linux.resources.blockIO.weight
linux.resources.blockIO | {"weight": 1001} | linux.resources.blockIO.weight
linux.resources.blockIO | {"throttleReadBpsDevice": {}} | linux.resources.blockIO.throttleReadBpsDevice
linux.resources.blockIO | {"throttleReadBpsDevice": [{"major": -1, "minor": 0, "rate": 1}]} | linux.resources.blockIO.throttleReadBpsDevice[0].major
linux.resources.blockIO | {"throttleWriteIOPSDevice": [{"major": 1, "minor": 0, "rate": -1}]} | linux.resources.blockIO.throttleWriteIOPSDevice[0].rate
linux.resources.hugepageLimits | {} |
linux.resources.hugepageLimits | [{"limit": 1}] | linux.resources.hugepageLimits[0].pageSize
linux.resources.hugepageLimits | [{"pageSize": "2", "limit": 1}] | linux.resources.hugepageLimits[0].pageSize
linux.resources.hugepageLimits | [{"pageSize": "../2MB", "limit": 1}] | linux.resources.hugepageLimits[0].pageSize
linux.resources.hugepageLimits | [{"pageSize": "2MB", "limit": -1}] | linux.resources.hugepageLimits[0].limit
linux.resources.rdma | [] |
linux.resources.rdma | {"mlx5_1": {"hcaHandles": -1}} | linux.resources.rdma
linux.resources.unified | [] |
linux.resources.unified | {"memory.high": 7} | linux.resources.unified.memory.high
linux.resources.unified | {"../memory.high": "7"} | linux.resources.unified
linux.resources.unified | {"": "7"} | linux.resources.unified
linux.resources.unified | {"memory": "7"} | linux.resources.unified
linux.sysctl | [] |
linux.sysctl | {"net.ipv4.ip_forward": 1} | linux.sysctl.net.ipv4.ip_forward
linux.sysctl | {"net.ipv4.ip_forward": "1\n2"} | linux.sysctl.net.ipv4.ip_forward
linux.sysctl | {"net.ipv4.ip_forward": "1\u0000"} | linux.sysctl.net.ipv4.ip_forward
linux.sysctl | {"kernel.core_pattern": "\|/x"} | kernel.core_pattern
linux.sysctl | {"kernel.hostname": "x"} | kernel.hostname
linux.sysctl | {"vm.swappiness": "1"} | vm.swappiness
linux.sysctl | {"net/../kernel/core_pattern": "x"} | net/../kernel/core_pattern
linux.sysctl | {"net..x": "x"} | net..x
linux.sysctl | {"/net": "x"} | /net
linux.sysctl | {"net.ipv4.conf.a b": "1"} | net.ipv4.conf.a b
linux.sysctl | {"net.ipv4.missing": "1"} | net.ipv4.missing
linux.sysctl | {"": "1"} | linux.sysctl
linux.maskedPaths | "x" |
linux.maskedPaths | [7] | linux.maskedPaths[0]
linux.maskedPaths | ["x"] | linux.maskedPaths[0]
linux.maskedPaths | ["/proc/kcore", ""] | linux.maskedPaths[1]
linux.maskedPaths | ["/proc/kcore\u0000x"] | linux.maskedPaths[0]
linux.readonlyPaths | {} |
linux.readonlyPaths | ["proc/sys"] | linux.readonlyPaths[0]
linux.readonlyPaths | ["/proc/sys\u0000"] | linux.readonlyPaths[0]
linux.rootfsPropagation | 7 |
linux.rootfsPropagation | "what" |
linux.mountLabel | 7 |
linux.intelRdt | 7 |
linux.intelRdt | {"closID": "a/b"} | linux.intelRdt.closID
linux.intelRdt | {"closID": ".."} | linux.intelRdt.closID
linux.personality | 7 |
linux.personality | {"domain": "LINUX64"} | linux.personality.domain
linux.personality | {"domain": "LINUX32", "flags": ["X"]} | linux.personality.flags
linux.memoryPolicy | 7 |
linux.memoryPolicy | {"mode": "MPOL_WHAT"} | linux.memoryPolicy.mode
linux.memoryPolicy | {"mode": "MPOL_BIND", "nodes": "x"} | linux.memoryPolicy.nodes
linux.netDevices | 7 |
linux.netDevices | {"missing0": {}} | missing0
linux.netDevices | {"lo": {"name": "a/b"}} | linux.netDevices
linux.netDevices | {"a23456789012345678": {}} | linux.netDevices
linux.seccomp | [] |
linux.seccomp | {} | linux.seccomp.defaultAction
linux.seccomp | {"defaultAction": 7} | linux.seccomp.defaultAction
linux.seccomp | {"defaultAction": "SCMP_ACT_WHAT"} | linux.seccomp.defaultAction
linux.seccomp | {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 99999} | linux.seccomp.defaultErrnoRet
linux.seccomp | {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_WHAT"]} | linux.seccomp.architectures[0]
linux.seccomp | {"defaultAction": "SCMP_ACT_ALLOW", "architectures": "x"} | linux.seccomp.architectures
linux.seccomp | {"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_WHAT"]} | linux.seccomp.flags[0]
linux.seccomp | {"defaultAction": "SCMP_ACT_NOTIFY"} | linux.seccomp
linux.seccomp | {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": {}} | linux.seccomp.syscalls
linux.seccomp | {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [7]} | linux.seccomp.syscalls[0]
linux.seccomp | {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"]}]} | linux.seccomp.syscalls[0].action
linux.seccomp | {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [7], "action": "SCMP_ACT_ERRNO"}]} | linux.seccomp.syscalls[0].names[0]
linux.seccomp | {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "X"}]} | linux.seccomp.syscalls[0].action
linux.seccomp | {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]} | linux.seccomp.syscalls[0].args[0].index
linux.seccomp | {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_X"}]}]} | linux.seccomp.syscalls[0].args[0].op
linux.seccomp | {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}]}]} | linux.seccomp.syscalls[0].args[0].value
hooks | [] |
hooks | {"poststart": {}} | hooks.poststart
hooks | {"prestart": [7]} | hooks.prestart[0]
hooks | {"createRuntime": [{}]} | hooks.createRuntime[0].path
hooks | {"createRuntime": [{"path": "x"}]} | hooks.createRuntime[0].path
hooks | {"createContainer": [{"path": "/bin/true", "args": 7}]} | hooks.createContainer[0].args
hooks | {"startContainer": [{"path": "/bin/true", "env": ["x", 7]}]} | hooks.startContainer[0].env
hooks | {"poststop": [{"path": "/bin/true", "timeout": 0}]} | hooks.poststop[0].timeout
hooks | {"poststop": [{"path": "/bin/true", "timeout": -1}]} | hooks.poststop[0].timeout
annotations | [] |
annotations | {"a": 7} | annotations.a
annotations | {"a": "x\u0000y"} | annotations.a
"""

# Whole texts: what the line must name.
TEXTS = [
    ("empty", b"", "config.json"),
    ("a word", b"sh", "config.json"),
    ("an array", b"[]", "config.json"),
    ("a string", b'"x"', "config.json"),
    ("null", b"null", "config.json"),
    ("an open brace", b"{", "config.json"),
    ("a cut text", json.dumps(CONFIG).encode()[:-20], "config.json"),
    ("two texts", json.dumps(CONFIG).encode() + b"{}", "config.json"),
    ("a byte order mark and no more", b"\xef\xbb\xbf", "config.json"),
    ("not UTF-8", b'{"ociVersion": "1.0.2", "hostname": "\xff\xfe"}', "config.json"),
    ("a lone surrogate", b'{"ociVersion": "\\ud800"}', "config.json"),
    ("UTF-16", json.dumps(CONFIG).encode("utf-16"), "config.json"),
    ("comments", b"/* x */ " + json.dumps(CONFIG).encode(), "config.json"),
    ("trailing commas", b'{"ociVersion": "1.0.2",}', "config.json"),
    ("arrays in arrays", b"[" * 100000 + b"]" * 100000, "config.json"),
    ("objects in objects", b'{"a":' * 100000 + b"1" + b"}" * 100000, "config.json"),
    ("17 MiB", b'{"ociVersion": "' + b"1" * (17 << 20) + b'"}', "config.json"),
    ("zeros", b"\0" * 4096, "config.json"),
]


def expand(text):
    """{300 x}: that many."""
    while "{300 x}" in text or "{5000 x}" in text:
        text = text.replace("{300 x}", "x" * 300).replace("{5000 x}", "x" * 5000)
    return text


def steps(path):
    return [int(s) if s.isdigit() else s for s in path.replace("[", ".").replace("]", "").split(".")]


def changed(path, text):
    c = copy.deepcopy(CONFIG)
    c["linux"]["cgroupsPath"] = "/hostile"
    at = c
    for s in steps(path)[:-1]:
        at = at[s] if isinstance(s, int) else at.setdefault(s, {})
    last = steps(path)[-1]
    if text:
        at[last] = json.loads(text)
    else:
        del at[last]
    return json.dumps(c).encode()


def cases():
    for line in MEMBERS.strip().splitlines():
        path, text, needle = (p.strip() for p in line.replace("\\|", "\x01").split(" |"))
        path, text, needle = (p.replace("\x01", "|").strip() for p in (path, text, needle))
        name = "%s = %s" % (path, text or "(missing)")
        yield name, changed(path, expand(text)), needle or path
    for name, text, needle in TEXTS:
        yield "the text is " + name, text, needle


def state_of(bed):
    groups = [
        os.path.join(top, d)
        for c in ("memory", "pids", "unified", "")
        for top, dirs, _ in [next(os.walk("/sys/fs/cgroup/" + c), ("", [], []))]
        for d in dirs
        if d in ("hostile", "x")
    ]
    state = os.listdir(bed.root) if os.path.isdir(bed.root) else []
    mounts = open("/proc/self/mountinfo").read()
    return groups, state, mounts


def one(bed, name, text, needle):
    with open(os.path.join(bed.bundle, "config.json"), "wb") as f:
        f.write(text)
    before = state_of(bed)
    done = bed.call("run", "-b", bed.bundle, "hostile")
    bad = []
    if done.returncode != 1:
        bad.append("status %d" % done.returncode)
    lines = done.stderr.splitlines()
    if len(lines) != 1:
        bad.append("%d lines" % len(lines))
    if needle not in done.stderr:
        bad.append("does not name %s" % needle)
    if done.stdout:
        bad.append("printed %r" % done.stdout[:80])
    if state_of(bed) != before:
        bad.append("left something behind")
        bed.call("delete", "-f", "hostile")
    return ["%s: %s: %r" % (name, ", ".join(bad), done.stderr[:300])] if bad else []


def test_hostile_configurations(_):
    bed = Bed()
    try:
        bad, n = [], 0
        for case in cases():
            bad += one(bed, *case)
            n += 1
        equal(n >= 200, True, "a corpus of %d, at least 200" % n)
        for b in bad:
            print("# " + b)
        equal(len(bad), 0, "wrong answers of %d" % n)
        equal(bed.leftovers(), [], "what is left behind")
    finally:
        bed.close()


sys.exit(1 if frame.run([test_hostile_configurations]) else 0)
