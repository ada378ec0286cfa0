"""The same bed around Debian's containerd, for comparisons: the client's behaviour is tested
against a known server, and the benches measure both."""

import os
import subprocess

import crid
from crid import REGISTRY, oci
from frame import Skip, sh

CONFIG = """version = 2
root = "{base}/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{registry}/pause:latest"
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true
  disable_apparmor = true
  enable_unprivileged_ports = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{base}/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{base}/certs.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "{runtime}"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.crun]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.crun.options]
        BinaryName = "/usr/bin/crun"
"""

NETWORK = """{"cniVersion": "0.4.0", "name": "peer", "plugins": [
  {"type": "bridge", "bridge": "peer0", "isGateway": true, "ipMasq": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/16"}]],
            "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
"""

PAUSE = r"""#include <signal.h>
#include <unistd.h>
static void end(int sig) { (void)sig; _exit(0); }
int main(void) { signal(SIGTERM, end); signal(SIGINT, end); for (;;) pause(); }
"""


def pause_image():
    source, program = "/run/pause.c", "/run/pause"
    with open(source, "w") as f:
        f.write(PAUSE)
    sh("gcc", "-Os", "-static", "-s", "-o", program, source)
    with open(program, "rb") as f:
        layer = oci.Layer().file("pause", f.read(), 0o755)
    return oci.Image([layer], {"Entrypoint": ["/pause"]})


class Bed(crid.Bed):
    def __init__(self, runtime="runc", images=True, registry=None):
        super().__init__(images, registry=registry)
        if not os.path.exists("/usr/bin/containerd"):
            raise Skip("no containerd")
        self.runtime = runtime
        self.socket = "unix:///run/containerd/containerd.sock"

    def __enter__(self):
        with open(self.base + "/cni/10-peer.conflist", "w") as f:
            f.write(NETWORK)
        with open(self.base + "/config.toml", "w") as f:
            f.write(CONFIG.format(base=self.base, registry=REGISTRY, runtime=self.runtime))
        super().__enter__()
        crid.push_images({"pause": pause_image()})
        self.pull(REGISTRY + "/pause:latest")
        return self

    def __exit__(self, *args):
        super().__exit__(*args)
        subprocess.run(["umount", "-R", self.base], stderr=subprocess.DEVNULL, check=False)

    def command(self):
        return ["/usr/bin/containerd", "--config", self.base + "/config.toml", "-l", "warn"]
