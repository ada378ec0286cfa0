#!/usr/bin/python3
"""Our loader with executable plugins, real ones among them, and our plugins as executables."""
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402
from cnibed import OUTSIDE, UPLINK, Bed, listen, netns, tcp  # noqa: E402
from frame import CRIBOX, Skip, equal, holds, sh  # noqa: E402

PEERS = "/usr/lib/cni"  # containernetworking-plugins
RECORD = """#!/bin/sh
# Writes down how it was called and answers what it was told to.
dir=%s
n=$(ls $dir | wc -l)
env | grep ^CNI_ | sort >$dir/$(printf %%02d $n).${0##*/}.env
cat /dev/stdin >$dir/$(printf %%02d $n).${0##*/}.json
%s
"""
RESULT = {"cniVersion": "1.0.0",
          "interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": "/x"}],
          "ips": [{"address": "10.5.0.9/24", "gateway": "10.5.0.1", "interface": 0}],
          "routes": [{"dst": "0.0.0.0/0"}], "dns": {"nameservers": ["10.5.0.53"]}}


def bridge_list(version, **more):
    return {
        "cniVersion": version, "name": "net1", "plugins": [
            dict({"type": "bridge", "bridge": "br1", "isGateway": True, "ipMasq": True,
                  "ipam": {"type": "host-local", "dataDir": "/run/leases",
                           "ranges": [[{"subnet": "10.7.0.0/24"}]],
                           "routes": [{"dst": "0.0.0.0/0"}]}}, **more),
            {"type": "portmap", "capabilities": {"portMappings": True}}]}


def need_peers():
    if not os.path.exists(PEERS + "/bridge"):
        raise Skip("no plugins in " + PEERS)


def link_peers(bed, *names):
    for name in names:
        os.symlink(PEERS + "/" + name, bed.path("bin", name))


def leases():
    return [f for f in os.listdir("/run/leases/net1") if f.startswith("10.")]


def calls(bed):
    """[(plugin, environment, configuration)] in the order of the calls."""
    out = []
    for f in sorted(os.listdir(bed.path("calls"))):
        if f.endswith(".env"):
            with open(bed.path("calls", f)) as env:
                pairs = dict(line.rstrip("\n").split("=", 1) for line in env)
            with open(bed.path("calls", f[:-4] + ".json")) as conf:
                out.append((f.split(".")[1], pairs, json.load(conf)))
    return out


def recorder(bed, name, answer):
    os.makedirs(bed.path("calls"), exist_ok=True)
    bed.program(name, RECORD % (bed.path("calls"), answer))


def test_protocol(bed):
    """What plugins get: environment, arguments, capabilities, prevResult; and the order."""
    old = {"cniVersion": "0.4.0", "interfaces": [],
           "ips": [{"version": "4", "address": "10.5.0.9/24", "gateway": "10.5.0.1"}], "dns": {}}
    recorder(bed, "first", "[ $CNI_COMMAND = ADD ] && echo '%s'" % json.dumps(RESULT))
    recorder(bed, "second", "[ $CNI_COMMAND = ADD ] && echo '%s'" % json.dumps(old))
    recorder(bed, "third", "[ $CNI_COMMAND = ADD ] && echo '%s' || exit 0" % json.dumps(RESULT))
    for name in ("first", "second"):
        with open(bed.path("bin", name), "a") as f:
            f.write("exit 0\n")
    bed.conf("10-x.conflist", {
        "cniVersion": "1.0.0", "name": "x", "plugins": [
            {"type": "first", "own": [1, {"a": "b"}]},
            {"type": "second", "capabilities": {"portMappings": True, "bandwidth": True}},
            {"type": "third"}]})
    path = bed.netns("a")
    result = bed.cni("--id", "a", "--namespace", "ns", "--name", "pod", "--uid", "u-1",
                     "--port", "80:8080/TCP", "add", path)
    equal(result, RESULT, "result")
    bed.cni("--id", "a", "check")
    bed.cni("--id", "a", "del")
    got = calls(bed)
    equal([(c[0], c[1]["CNI_COMMAND"]) for c in got],
          [(n, "ADD") for n in ("first", "second", "third")]
          + [(n, "CHECK") for n in ("first", "second", "third")]
          + [(n, "DEL") for n in ("third", "second", "first")], "calls")
    for _, env, conf in got:
        equal(env, {
            "CNI_COMMAND": env["CNI_COMMAND"], "CNI_CONTAINERID": "a", "CNI_NETNS": path,
            "CNI_IFNAME": "eth0", "CNI_PATH": bed.path("bin"),
            "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=pod;"
                        "K8S_POD_INFRA_CONTAINER_ID=a;K8S_POD_UID=u-1"}, "environment")
        equal([conf["name"], conf["cniVersion"]], ["x", "1.0.0"])
    first, second, third = (c[2] for c in got[:3])
    equal(first["own"], [1, {"a": "b"}])
    equal("prevResult" in first or "runtimeConfig" in first, False)
    equal(second["prevResult"], RESULT)
    equal(second["runtimeConfig"], {"portMappings": [
        {"hostPort": 80, "containerPort": 8080, "protocol": "tcp", "hostIP": ""}]})
    equal(third["prevResult"], {  # of version 0.4.0, as 1.0.0 has it
        "cniVersion": "1.0.0", "dns": {},
        "ips": [{"address": "10.5.0.9/24", "gateway": "10.5.0.1"}]})
    for conf in (c[2] for c in got[3:]):
        equal(conf["prevResult"], RESULT, "prevResult of CHECK and DEL")
    equal(bed.files(), [], "files")


def test_failures(bed):
    """A plugin that fails: its words are passed on, and the ones before it are undone."""
    recorder(bed, "good", "[ $CNI_COMMAND != ADD ] || echo '%s'" % json.dumps(RESULT))
    cases = {
        "object": ("echo '{\"code\": 100, \"msg\": \"no luck\", \"details\": \"today\"}'; exit 1",
                   "no luck; today"),
        "stderr": ("echo 'panic: \033[31moh' >&2; exit 3", "exit status 3: panic: \\x1b[31moh"),
        "silent": ("exit 4", "exit status 4: it said nothing"),
        "signal": ("kill -SEGV $$", "killed by signal 11"),
        "garbage": ("echo hello", "JSON"),
        "huge": ("head -c 3000000 /dev/zero", "more than 1048576 bytes"),
        "slow": ("sleep 30", "no answer in 300 ms"),
    }
    path = bed.netns("a")
    for name, (script, words) in cases.items():
        recorder(bed, "bad", "[ $CNI_COMMAND = DEL ] && exit 0\n" + script)
        bed.conf("10-x.conflist", {"cniVersion": "1.0.0", "name": "x",
                                   "plugins": [{"type": "good"}, {"type": "bad"}]})
        start = time.monotonic()
        said = bed.fails("--id", "a", "--timeout", "300ms" if name == "slow" else "20s",
                         "add", path)
        holds(said, "network x: ", name)
        holds(said, words, name)
        if time.monotonic() - start > 10:
            raise AssertionError("%s: waited for what holds the pipes" % name)
        equal([(c[0], c[1]["CNI_COMMAND"]) for c in calls(bed)[-2:]],
              [("bad", "DEL"), ("good", "DEL")], name + ": undone")
        equal(bed.files(), [], name + ": files")


def test_failing_del(bed):
    """DEL that fails is repeated until it succeeds."""
    recorder(bed, "x", "[ $CNI_COMMAND = DEL -a ! -e /run/may ] && { echo no >&2; exit 1; }\n"
                       "[ $CNI_COMMAND != ADD ] || echo '%s'" % json.dumps(RESULT))
    bed.conf("10-x.conf", {"cniVersion": "1.0.0", "name": "x", "type": "x"})
    bed.cni("--id", "a", "add", bed.netns("a"))
    holds(bed.fails("--id", "a", "del"), "exit status 1: no")
    equal(bed.files(), ["results/x-a-eth0"])
    os.unlink(bed.path("conf", "10-x.conf"))  # it is the cached one that counts
    open("/run/may", "w").close()
    bed.cni("--id", "a", "del")
    equal(bed.files(), [])
    bed.cni("--id", "a", "del")


def test_bad_configurations(bed):
    cases = {
        '{"cniVersion": "1.0.0", "name": "x", "plugins": [{"type": "../../bin/sh"}]}':
            "is not a plain file name",  # CVE-2021-20206
        '{"cniVersion": "1.0.0", "name": "x", "plugins": [{"type": ".."}]}': "plain file name",
        '{"cniVersion": "1.0.0", "name": "../x", "plugins": [{"type": "a"}]}': "network's name",
        '{"cniVersion": "1.0.0", "name": "x", "plugins": []}': "no plugins",
        '{"cniVersion": "1.0.0", "name": "x"}': "no plugins",
        '{"cniVersion": "9.0.0", "name": "x", "plugins": [{"type": "a"}]}': "9.0.0",
        '{"cniVersion": "1.0.0",\n "name" "x"}': "JSON: line 2",
        "": "JSON",
        "[]": "not a JSON object",
    }
    path = bed.netns("a")
    for text, words in cases.items():
        bed.conf("10-x.conflist", text)
        for command in (("status",), ("--id", "a", "add", path)):
            said = bed.fails(*command)
            holds(said, "10-x.conflist", text)
            holds(said, words, text)
    bed.conf("10-x.conflist", {"cniVersion": "1.0.0", "name": "x",
                               "plugins": [{"type": "nowhere"}]})
    holds(bed.fails("status"), "plugin nowhere is not in " + bed.path("bin"))
    holds(bed.fails("--id", "a", "add", path), "plugin nowhere is not in")
    bed.conf("20-y.conf", {"cniVersion": "1.0.0", "name": "y", "type": "loopback"})
    bed.conf("10-x.conflist", "{")
    holds(bed.cni("status"), "network y")
    equal(bed.files(), [], "files")


def test_peers(bed):
    """The CNI project's own plugins, run by our loader."""
    need_peers()
    link_peers(bed, "bridge", "host-local", "portmap", "bandwidth")
    conf = bridge_list("1.0.0")
    conf["plugins"].append({"type": "bandwidth", "capabilities": {"bandwidth": True}})
    bed.conf("10-net1.conflist", conf)
    path = bed.netns("a")
    result = bed.cni("--id", "a", "--port", "8080:80", "add", path)
    equal(result["ips"][0]["address"], "10.7.0.2/24")
    with listen("a", 80) as server:
        equal(tcp("outside", UPLINK, 8080, server), OUTSIDE)
    equal(leases(), ["10.7.0.2"])
    bed.cni("--id", "a", "del")
    equal(leases(), [])


def test_mixed(bed):
    """Their bridge with our host-local and portmap, our bridge with their host-local."""
    need_peers()
    link_peers(bed, "bridge")
    os.symlink(CRIBOX, bed.path("bin", "host-local"))
    bed.conf("10-net1.conflist", bridge_list("1.0.0"))
    path = bed.netns("a")
    bed.cni("--id", "a", "--port", "8080:80", "add", path)
    with listen("a", 80) as server:
        equal(tcp("outside", UPLINK, 8080, server), OUTSIDE)
        equal(tcp(None, "127.0.0.1", 8080, server), "10.7.0.1")
    with open("/run/leases/net1/10.7.0.2", newline="") as f:
        equal(f.read(), "a\r\neth0")
    bed.cni("--id", "a", "del")
    equal(leases(), [])
    os.unlink(bed.path("bin", "bridge"))
    os.unlink(bed.path("bin", "host-local"))
    link_peers(bed, "host-local")
    equal(bed.cni("--id", "a", "add", path)["ips"][0]["address"], "10.7.0.3/24")
    # what one has leased the other can give back
    os.unlink(bed.path("bin", "host-local"))
    bed.cni("--id", "a", "check")
    bed.cni("--id", "a", "del")
    equal(leases(), [])
    equal(json.loads(sh("ip", "-n", "a", "-j", "link"))[-1]["ifname"], "lo")


def plugin(bed, name, command, conf, id_="a", path=None, **env):
    """Runs our plugin as any runtime does: a link with its name. (status, answer)."""
    link = bed.path("bin", name)
    if not os.path.exists(link):
        os.symlink(CRIBOX, link)
    environment = {"CNI_COMMAND": command, "CNI_CONTAINERID": id_, "CNI_IFNAME": "eth0",
                   "CNI_PATH": bed.path("bin")}
    environment.update({"CNI_NETNS": path} if path else {}, **env)
    done = subprocess.run([link], input=conf if isinstance(conf, str) else json.dumps(conf),
                          env=environment, capture_output=True, text=True)
    return done.returncode, json.loads(done.stdout) if done.stdout.strip() else None


def route_localnet():
    with open("/proc/sys/net/ipv4/conf/br1/route_localnet") as f:
        return f.read().strip()


def test_our_plugins(bed):
    """bridge, host-local, portmap and loopback by the exec protocol, in every version."""
    path = bed.netns("a")
    for version in ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"):
        main, ports = bridge_list(version)["plugins"]
        extra = {"cniVersion": version, "name": "net1"}
        status, result = plugin(bed, "bridge", "ADD", dict(main, **extra), path=path)
        equal([status, result.get("cniVersion")], [0, version], str(result))
        if version < "0.3.0":
            equal(sorted(result["ip4"]), ["gateway", "ip", "routes"])
        else:
            equal("version" in result["ips"][0], version < "1.0.0", "ips[].version")
            equal(result["ips"][0]["interface"], 2)
        ports = dict(ports, prevResult=result, runtimeConfig={
            "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}, **extra)
        status, same = plugin(bed, "portmap", "ADD", ports, path=path)
        equal([status, same], [0, result], "portmap passes the result on")
        equal(route_localnet(), "1")
        with listen("a", 80) as server:
            equal(tcp("outside", UPLINK, 8080, server), OUTSIDE, version)
        for name, conf in (("bridge", dict(main, prevResult=result, **extra)),
                           ("portmap", ports)):
            equal(plugin(bed, name, "CHECK", conf, path=path), (0, None), name + " CHECK")
        for _ in range(2):
            equal(plugin(bed, "portmap", "DEL", ports, path=path), (0, None))
            equal(plugin(bed, "bridge", "DEL", dict(main, **extra), path=path), (0, None))
        equal(plugin(bed, "bridge", "CHECK", dict(main, prevResult=result, **extra),
                     path=path)[0], 1, "CHECK after DEL")
        # the bridge stays, what was opened for the port does not
        equal(route_localnet(), "0")
        equal(leases(), [])
    equal(sh("nft", "list", "ruleset"), "", "rules")
    status, result = plugin(bed, "loopback", "ADD", {
        "cniVersion": "1.0.0", "name": "lo", "type": "loopback"}, path=path, CNI_IFNAME="lo")
    equal([status, result["interfaces"][0]["name"]], [0, "lo"])


def test_our_plugins_errors(bed):
    main = dict(bridge_list("1.0.0")["plugins"][0], cniVersion="1.0.0", name="net1")
    path = bed.netns("a")

    def code(*args, **kw):
        status, answer = plugin(bed, "bridge", *args, **kw)
        equal(status, 1, str(answer))
        return answer["code"], answer["msg"]

    equal(plugin(bed, "bridge", "VERSION", {"cniVersion": "1.0.0"}), (0, {
        "cniVersion": "1.0.0", "supportedVersions":
            ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]}))
    equal(code("FLY", main, path=path)[0], 4, "unknown command")
    equal(code("ADD", main)[0], 4, "no CNI_NETNS")
    equal(code("ADD", main, id_="a/b", path=path)[0], 4, "bad id")
    equal(code("ADD", main, path=path, CNI_IFNAME="a b")[0], 4, "bad interface")
    equal(code("ADD", "{", path=path)[0], 6, "not JSON")
    equal(code("ADD", dict(main, cniVersion="2.0.0"), path=path)[0], 1, "version")
    equal(code("ADD", dict(main, name="/x"), path=path)[0], 7, "name")
    equal(code("GC", main)[0], 1, "GC before 1.1.0")
    for wrong in ({"vlan": 7}, {"macspoofchk": True}, {"bridge": "a/b"}, {"mtu": 99999},
                  {"ipam": {"type": "bridge"}}, {"ipam": {"type": "host-local"}},
                  {"ipam": {"type": "host-local", "subnet": "10.7.0.1/24"}},
                  {"ipam": {"type": "host-local", "subnet": "10.7.0.0/31"}},
                  {"ipam": {"type": "none-such"}}):
        code("ADD", dict(main, **wrong), path=path)
    status, _ = plugin(bed, "bridge", "ADD", main, path=path)
    equal(status, 0)
    code("ADD", main, path=path)  # twice
    holds(sh("ip", "-n", "a", "addr", "show", "eth0"), "10.7.0.")
    equal(plugin(bed, "bridge", "DEL", main, path=path), (0, None))
    equal(sh("nft", "list", "ruleset"), "")


def test_options(bed):
    """Options of the bridge and of host-local."""
    path = bed.netns("a")
    main = dict(bridge_list("1.0.0", mtu=1400, hairpinMode=True, isDefaultGateway=True)
                ["plugins"][0], cniVersion="1.0.0", name="net1",
                runtimeConfig={"mac": "02:11:22:33:44:55", "ips": ["10.7.0.77/24"]})
    main["ipam"]["routes"] = [{"dst": "10.99.0.0/16", "gw": "10.7.0.9"}]
    status, result = plugin(bed, "bridge", "ADD", main, path=path)
    equal([status, result["ips"][0]["address"]], [0, "10.7.0.77/24"], str(result))
    link = json.loads(sh("ip", "-n", "a", "-j", "link", "show", "eth0"))[0]
    equal([link["mtu"], link["address"]], [1400, "02:11:22:33:44:55"])
    routes = sh("ip", "-n", "a", "route")
    holds(routes, "default via 10.7.0.1")
    holds(routes, "10.99.0.0/16 via 10.7.0.9")
    holds(sh("bridge", "-d", "link", "show", "master", "br1"), "hairpin on")
    equal(plugin(bed, "bridge", "DEL", main, path=path), (0, None))
    holds(sh("ip", "link", "show", "br1"), "br1")  # configured bridges stay
    main["bridge"] = "br2"
    sh("ip", "link", "add", "br2", "type", "bridge")
    sh("ip", "addr", "add", "10.7.0.200/24", "dev", "br2")
    status, answer = plugin(bed, "bridge", "ADD", main, path=path)
    holds(answer["msg"], "has the address 10.7.0.200/24")
    equal(plugin(bed, "bridge", "ADD", dict(main, forceAddress=True), path=path)[0], 0)
    equal("10.7.0.200" in sh("ip", "addr", "show", "br2"), False)
    equal(plugin(bed, "bridge", "DEL", main, path=path), (0, None))


def test_gc_and_status(bed):
    main, ports = bridge_list("1.1.0")["plugins"]
    extra = {"cniVersion": "1.1.0", "name": "net1"}
    for name in ("a", "b"):
        status, result = plugin(bed, "bridge", "ADD", dict(main, **extra), id_=name,
                                path=bed.netns(name))
        equal(status, 0, str(result))
        plugin(bed, "portmap", "ADD", dict(ports, prevResult=result, runtimeConfig={
            "portMappings": [{"hostPort": 80 + ord(name), "containerPort": 80}]}, **extra),
            id_=name, path=netns(name))
    valid = {"cni.dev/valid-attachments": [{"containerID": "b", "ifname": "eth0"}]}
    equal(plugin(bed, "portmap", "GC", dict(ports, **extra, **valid)), (0, None))
    equal(plugin(bed, "bridge", "GC", dict(main, **extra, **valid)), (0, None))
    rules = sh("nft", "list", "ruleset")
    equal([" a eth0" in rules, "port net1 b eth0" in rules, "masq net1 b eth0" in rules],
          [False, True, True], "rules of a, of b")
    equal(leases(), ["10.7.0.3"])
    equal(plugin(bed, "bridge", "STATUS", dict(main, **extra)), (0, None))
    bed.conf("10-net1.conflist", bridge_list("1.1.0"))
    holds(bed.cni("status"), "network net1")
    for name in ("a", "b"):
        plugin(bed, "bridge", "DEL", dict(main, **extra), id_=name, path=netns(name))
        plugin(bed, "portmap", "DEL", dict(ports, **extra), id_=name, path=netns(name))
    equal(sh("nft", "list", "ruleset"), "")


def main():
    frame.isolate()

    def each(test):
        def wrapped(_):
            bed = Bed()
            try:
                bed.outside()
                test(bed)
            finally:
                bed.close()
                for name in ("br1", "br2"):
                    subprocess.run(["ip", "link", "del", name], stderr=subprocess.DEVNULL,
                                   check=False)
                sh("nft", "flush", "ruleset")  # the peers' plugins leave chains
                subprocess.run(["rm", "-rf", "/run/leases", "/run/may"], check=False)
        wrapped.__name__ = test.__name__
        return wrapped

    tests = [each(f) for n, f in globals().items() if n.startswith("test_")]
    return 1 if frame.run(tests) else 0


if __name__ == "__main__":
    sys.exit(main())
