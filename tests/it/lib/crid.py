"""A test bed: a registry with test images, a CRI daemon with private directories, and short
words for what the tests do with pods and containers. Needs frame.isolate() before it.
"""

import datetime
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import grpc

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import frame  # noqa: E402
from cri import Client  # noqa: E402
from frame import CRIBOX, REPO, until  # noqa: E402

sys.path.insert(0, os.path.join(REPO, "images"))
import oci  # noqa: E402

REGISTRY = "127.0.0.1:5000"
BOX = REGISTRY + "/box:latest"
NS_POD, NS_CONTAINER, NS_NODE, NS_TARGET = range(4)
CREATED, RUNNING, EXITED, UNKNOWN = range(4)
READY, NOTREADY = range(2)

PASSWD = """root:x:0:0:root:/root:/bin/sh
app:x:1000:1000:app:/home/app:/bin/sh
other:x:1001:2001::/:/bin/sh
"""
GROUP = """root:x:0:
app:x:1000:
extra:x:3000:app
more:x:3001:root,app
"""


def box_layer():
    """A layer with a shell and the usual tools."""
    layer = oci.Layer()
    for name in ("bin", "dev", "etc", "home", "proc", "root", "sys", "usr", "usr/bin"):
        layer.dir(name)
    layer.dir("tmp", 0o1777).dir("home/app", 0o755, 1000, 1000)
    with open("/bin/busybox", "rb") as f:
        layer.file("bin/busybox", f.read(), 0o755)
    names = subprocess.run(["/bin/busybox", "--list"], stdout=subprocess.PIPE, text=True, check=True)
    for name in names.stdout.split():
        if name != "busybox":
            layer.hardlink("bin/" + name, "bin/busybox")
    return layer.file("etc/passwd", PASSWD).file("etc/group", GROUP)


def box_config(**more):
    config = {"Cmd": ["sh"], "Env": ["PATH=/bin:/usr/bin", "FROM_IMAGE=yes"]}
    config.update(more)
    return config


def box_images():
    """{repository: Image} of what the tests use."""
    # 100 layers are more than the options of one mount(2) hold
    base = [box_layer()]
    for number in range(int(os.environ.get("CRIBOX_TEST_LAYERS", 0))):
        base.append(oci.Layer().file("etc/layer-%d" % number, "%d\n" % number))
    mark = oci.Layer().file("etc/mark", "second layer\n")
    entry = box_config(
        Entrypoint=["/bin/echo", "entry"],
        Cmd=["cmd"],
        WorkingDir="/made/here",
        User="app",
        StopSignal="SIGUSR1",
    )
    return {
        "box": oci.Image(base, box_config()),
        "entry": oci.Image(base + [mark], entry, flavor="docker"),
        "user-uid": oci.Image(base, box_config(User="1002")),
        "user-name": oci.Image(base, box_config(User="app:extra")),
        "no-command": oci.Image(base, {"Env": []}),
    }


def push_images(images=None):
    arch = oci.GOARCH[os.uname().machine]
    decoy = oci.Image([oci.Layer().file("wrong", "wrong platform\n")], {"Cmd": ["/wrong"]})
    for name, image in (images or box_images()).items():
        layout = oci.Layout()
        decoy.flavor = image.flavor
        manifests = [
            decoy.manifest(layout, "amd64", "windows"),
            decoy.manifest(layout, "mips64le"),
            image.manifest(layout, arch),
        ]
        layout.add(oci.index(manifests, image.flavor), "latest")
        layout.push(REGISTRY, name)


class Registry:
    """Debian's docker-registry over plain HTTP on loopback."""

    def __init__(self, base, address=REGISTRY, http="", name="registry"):
        self.dir = os.path.join(base, name)
        os.makedirs(self.dir)
        config = self.dir + ".yml"
        with open(config, "w") as f:
            f.write(
                "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
                "storage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}\n"
                "http: {addr: '%s'%s}\n" % (self.dir, address, http)
            )
        self.log = open(self.dir + ".log", "wb")
        self.process = subprocess.Popen(
            ["docker-registry", "serve", config], stdout=self.log, stderr=self.log
        )
        self.address = address
        until(self._answers, 20, "the registry answers")

    def _answers(self):
        host, port = self.address.rsplit(":", 1)
        with socket.socket() as s:
            return s.connect_ex((host, int(port))) == 0

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


class Bed:
    """Registry, images, daemon. Use it as a context."""

    def __init__(self, images=True, flags=(), registry=None):
        self.base = tempfile.mkdtemp(prefix="crit-", dir="/var/tmp")
        self.tag = os.path.basename(self.base)
        self.root, self.state = self.base + "/root", "/run/cribox"
        self.socket = "unix:///run/cribox/crid.sock"
        self.registry_dir, self.logs = self.base + "/certs.d", self.base + "/logs"
        self.cgroup = "/" + self.tag
        for d in (self.registry_dir, self.logs, self.base + "/cni"):
            os.makedirs(d)
        self.flags = list(flags)
        self.daemon = self.client = None
        self.registry, self.shares = registry, registry is not None
        self.ids = set()
        self.configs = {}
        self.count = 0
        self.images = images

    def __enter__(self):
        try:
            self.cgroups_before = cgroup_dirs()
            if not self.shares:
                self.registry = Registry(self.base)
            if self.images:
                push_images()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        try:
            if self.daemon and self.daemon.poll() is None:
                self.clean()
        except (grpc.RpcError, AssertionError) as e:
            print("# clean-up: %s" % (e.details() if isinstance(e, grpc.RpcError) else e))
        self.stop(signal.SIGTERM)
        if not self.shares:
            if self.registry:
                self.registry.stop()
            kill_all()
        self._remove_cgroups()
        keep = os.environ.get("KEEP")
        if not keep:
            shutil.rmtree(self.base, ignore_errors=True)

    def _remove_cgroups(self):
        for path in sorted(self.new_cgroups(), key=len, reverse=True):
            try:
                os.rmdir(path)
            except OSError:
                pass

    def new_cgroups(self):
        """Groups of this bed, by its name and by the ids of its pods and containers."""
        names = [self.tag] + list(self.ids)
        new = cgroup_dirs() - self.cgroups_before
        return [p for p in new if any(n in p for n in names)]

    # --- the daemon

    def command(self):
        return [CRIBOX, "crid", "--root", self.root, "--state", self.state] + [
            "--listen", self.socket, "--registry-dir", self.registry_dir,
            "--cni-conf-dir", self.base + "/cni", "--cni-bin-dir", self.base + "/cni",
            "--cni-cache-dir", self.base + "/cni-cache",
            "--log-level", "debug",
        ] + self.flags  # fmt: skip

    def start(self):
        self.log = open(self.base + "/crid.log", "ab")
        self.daemon = subprocess.Popen(
            self.command(), stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log
        )
        self.connect()

    def accepts(self):
        if self.daemon.poll() is not None:
            status = self.daemon.returncode
            raise AssertionError("the daemon ended (%d): %s" % (status, self.daemon_log(5)))
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(self.socket[len("unix://") :]) == 0

    def connect(self):
        if self.client:
            self.client.close()
        # a channel that was refused once waits for seconds before it tries again
        until(self.accepts, 20, "the daemon listens")
        self.client = Client(self.socket)

        def answers():
            if self.daemon.poll() is not None:
                raise AssertionError("the daemon ended: " + self.daemon_log(5))
            try:
                return self.client.Version(rpc_timeout=5)
            except grpc.RpcError:
                return None

        until(answers, 20, "the daemon answers")

    def stop(self, sig=signal.SIGKILL):
        if self.client:
            self.client.close()
            self.client = None
        if self.daemon and self.daemon.poll() is None:
            self.daemon.send_signal(sig)
            try:
                self.daemon.wait(10)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()
                raise AssertionError("the daemon did not end within 10 s") from None
        if self.daemon:
            self.log.close()
            self.daemon = None

    def restart(self, sig=signal.SIGKILL):
        self.stop(sig)
        self.start()

    def daemon_log(self, lines=30):
        with open(self.base + "/crid.log", errors="replace") as f:
            return "".join(f.readlines()[-lines:])

    def clean(self):
        """Removes every pod, and with them every container."""
        for pod in self.client.ListPodSandbox().items:
            self.client.StopPodSandbox(pod_sandbox_id=pod.id)
            self.client.RemovePodSandbox(pod_sandbox_id=pod.id)

    # --- pods and containers

    def pull(self, image=BOX):
        return self.client.PullImage(image={"image": image}).image_ref

    def pod_config(self, name=None, attempt=0, namespaces=None, security=None, **more):
        self.count += 1
        name = name or "pod%d" % self.count
        context = dict(security or {}, namespace_options=namespaces or {})
        config = {
            "metadata": {"name": name, "uid": name + "-uid", "namespace": "tests"},
            "log_directory": os.path.join(self.logs, name),
            "linux": {"cgroup_parent": self.cgroup, "security_context": context},
        }
        config["metadata"]["attempt"] = attempt
        for key in ("cgroup_parent", "sysctls"):
            if key in more:
                config["linux"][key] = more.pop(key)
        config.update(more)
        return config

    def pod(self, *args, handler="", **kw):
        config = self.pod_config(*args, **kw)
        pod = self.client.RunPodSandbox(config=config, runtime_handler=handler).pod_sandbox_id
        self.ids.add(pod)
        self.configs[pod] = config
        return pod

    def ctr_config(self, command=None, name=None, image=BOX, security=None, resources=None, **more):
        self.count += 1
        name = name or "ctr%d" % self.count
        config = {
            "metadata": {"name": name},
            "image": {"image": image},
            "log_path": name + ".log",
            "linux": {"security_context": dict(security or {})},
        }
        if command is not None:
            config["command"] = ["sh", "-c", command] if isinstance(command, str) else command
        if resources:
            config["linux"]["resources"] = resources
        config.update(more)
        return config

    def create(self, pod, *args, **kw):
        config = self.ctr_config(*args, **kw)
        if "namespace_options" not in config["linux"]["security_context"]:
            pods = self.configs[pod]["linux"]["security_context"]
            config["linux"]["security_context"]["namespace_options"] = pods["namespace_options"]
        ctr = self.client.CreateContainer(
            pod_sandbox_id=pod, config=config, sandbox_config=self.configs[pod]
        ).container_id
        self.ids.add(ctr)
        self.configs[ctr] = config
        return ctr

    def start_ctr(self, pod, *args, **kw):
        ctr = self.create(pod, *args, **kw)
        self.client.StartContainer(container_id=ctr)
        return ctr

    def sleeper(self, pod, **kw):
        """A container that runs until it is stopped; ends at once on SIGTERM."""
        return self.start_ctr(pod, "trap 'exit 0' TERM; sleep 1000 & wait", **kw)

    def status(self, ctr):
        return self.client.ContainerStatus(container_id=ctr).status

    def info(self, ident, pod=False):
        import json

        if pod:
            info = self.client.PodSandboxStatus(pod_sandbox_id=ident, verbose=True).info
        else:
            info = self.client.ContainerStatus(container_id=ident, verbose=True).info
        return json.loads(info["info"])

    def ended(self, ctr, seconds=15):
        """Waits for the end of a container; returns its status."""

        def over():
            status = self.status(ctr)
            return status if status.state == EXITED else None

        return until(over, seconds, "the container exits")

    def finish(self, pod, *args, **kw):
        """Runs a container to its end; returns (exit code, stdout, stderr)."""
        ctr = self.start_ctr(pod, *args, **kw)
        status = self.ended(ctr)
        out, err = self.output(ctr)
        self.client.RemoveContainer(container_id=ctr)
        return status.exit_code, out, err

    def output(self, ctr):
        """(stdout, stderr) of a container from its log, whose format is checked."""
        return parse_log(self.status(ctr).log_path)

    def sync(self, ctr, command, timeout=10):
        """ExecSync: (exit code, stdout, stderr) as text."""
        command = ["sh", "-c", command] if isinstance(command, str) else command
        r = self.client.ExecSync(container_id=ctr, cmd=command, timeout=timeout)
        return r.exit_code, r.stdout.decode(), r.stderr.decode()


_STAMP = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$")


def parse_log(path):
    """What a log in CRI format holds, by stream; every line of it must be well-formed."""
    streams = {"stdout": [], "stderr": []}
    with open(path, "rb") as f:
        data = f.read()
    if data and not data.endswith(b"\n"):
        raise AssertionError("the log ends within a line")
    for line in data.split(b"\n")[:-1]:
        fields = line.decode("utf-8", "surrogateescape").split(" ", 3)
        if len(fields) != 4 or not _STAMP.match(fields[0]):
            raise AssertionError("bad log line: %.200r" % line)
        stamp, stream, tag, text = fields
        if stream not in streams or tag not in ("F", "P"):
            raise AssertionError("bad log line: %.200r" % line)
        year = int(stamp[:4])
        if abs(year - datetime.datetime.now().year) > 1:
            raise AssertionError("the log's clock is off: %s" % stamp)
        streams[stream].append(text + ("\n" if tag == "F" else ""))
    return "".join(streams["stdout"]), "".join(streams["stderr"])


# --- what there is in the system, for tests of what is left behind


def cgroup_dirs():
    found = set()
    for top, dirs, _ in os.walk("/sys/fs/cgroup"):
        found.update(os.path.join(top, d) for d in dirs)
    return found


def processes():
    """{pid: command line} of every process in this PID namespace but this one."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                text = f.read().replace(b"\0", b" ").decode(errors="replace").strip()
            with open("/proc/%s/stat" % pid) as f:
                stat = f.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(pid) != os.getpid():
            found[int(pid)] = "%s (%s)" % (text, stat[0])
    return found


def reap():
    """Collects children of this process that nobody else waits for (it is PID 1 here)."""
    for pid, text in processes().items():
        if text.endswith("(Z)"):
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass


def gone(pid):
    """True if the process has ended, whoever has to wait for it."""
    reap()
    return not os.path.exists("/proc/%d" % pid)


def kill_all():
    """Ends everything in this PID namespace but this process."""
    if os.getpid() != 1 or not frame.isolated:
        raise RuntimeError("kill_all outside of a namespace")
    for _ in range(100):
        left = [p for p, text in processes().items() if not text.endswith("(Z)")]
        if not left:
            return
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        time.sleep(0.02)


def mounts():
    """Mount points with source and type, sorted."""
    with open("/proc/self/mountinfo") as f:
        lines = [line.split() for line in f]
    return sorted("%s %s" % (x[4], x[x.index("-") + 1]) for x in lines)


def interfaces():
    with open("/proc/self/net/dev") as f:
        return sorted(line.split(":")[0].strip() for line in f if ":" in line)


def nft_rules():
    return subprocess.run(
        ["nft", "list", "ruleset"], stdout=subprocess.PIPE, text=True, check=False
    ).stdout


def files(*tops):
    found = set()
    for top in tops:
        for path, dirs, names in os.walk(top):
            found.update(os.path.join(path, n) for n in dirs + names)
    return found


def open_bed(**options):
    """The bed of a test file: cribox's, or with PEER=containerd in the environment the peer's,
    to see whether a test asks for what a known server does."""
    if os.environ.get("PEER") == "containerd":
        import containerd

        return containerd.Bed()
    return Bed(**options)


def main(tests, wipe=False, **options):
    """Runs a file's tests in one bed; every pod, with wipe every image, goes after each."""
    with open_bed(**options) as bed:

        def after(name):
            try:
                if not bed.client or bed.daemon.poll() is not None:
                    print("not ok %s: the daemon is gone" % name)
                    bed.restart()
                bed.clean()
                for image in bed.client.ListImages().images if wipe else []:
                    bed.client.RemoveImage(image={"image": image.id})
                reap()
            except grpc.RpcError as e:
                print("not ok %s: clean-up: %s" % (name, e.details()))
                bed.restart()

        bad = frame.run(tests, bed, after)
        if bad:
            print("--- the daemon's log\n" + bed.daemon_log(60))
    sys.exit(1 if bad else 0)


def tests_of(names):
    """The functions test_* of a module, in the order of the file."""
    return [f for n, f in names.items() if n.startswith("test_") and callable(f)]
