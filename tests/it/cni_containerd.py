#!/usr/bin/python3
"""Our plugins under somebody else's client: containerd runs them through libcni."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import frame  # noqa: E402

NAMES = ("bridge", "host-local", "loopback", "portmap")


def test_containerd(_):
    import containerd
    from cnibed import OUTSIDE, Bed, inside, listen, tcp  # noqa: F401
    from frame import CRIBOX, equal, holds, sh

    plugins = "/run/our-plugins"
    os.mkdir(plugins)
    for name in NAMES:
        os.symlink(CRIBOX, os.path.join(plugins, name))
    # where the bed's containerd looks; this mount namespace is the test's own
    sh("mount", "--bind", plugins, "/usr/lib/cni")
    with containerd.Bed(images=False) as bed:
        before = sh("nft", "list", "ruleset")
        ports = [{"protocol": 0, "container_port": 80, "host_port": 8080}]
        pods = [bed.pod(port_mappings=ports), bed.pod()]
        status = bed.client.PodSandboxStatus(pod_sandbox_id=pods[0]).status
        equal(status.network.ip, "10.88.0.2", "address")
        result = bed.info(pods[0], pod=True)["cniResult"]
        equal(sorted(result["Interfaces"])[:2], ["eth0", "lo"], "interfaces")
        rules = sh("nft", "list", "ruleset")
        holds(rules, "tcp dport 8080 dnat to 10.88.0.2:80")
        holds(rules, "port peer %s eth0" % pods[0])
        netns = [l.split()[0] for l in sh("ip", "netns", "list").splitlines()]
        mine = [n for n in netns if "10.88.0.2/" in sh("ip", "-n", n, "addr")]
        equal(len(mine), 1, "namespaces with the address")
        with listen(mine[0], 80) as server:
            equal(tcp(None, "127.0.0.1", 8080, server), "10.88.0.1", "over the mapped port")
        for pod in pods:
            bed.client.StopPodSandbox(pod_sandbox_id=pod)
            bed.client.RemovePodSandbox(pod_sandbox_id=pod)
        equal(sh("nft", "list", "ruleset"), before, "rules")
        equal([f for f in os.listdir("/var/lib/cni/networks/peer") if f.startswith("10.")], [],
              "leases")


def main():
    frame.isolate()
    return 1 if frame.run([test_containerd]) else 0


if __name__ == "__main__":
    if not os.path.isdir("/usr/lib/cni"):
        print("skip containerd: no /usr/lib/cni to put our plugins in place of")
        sys.exit(0)
    sys.exit(main())
