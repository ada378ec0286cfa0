"""A client of runtime.v1 by the official gRPC library and the project's own .proto files.

    c = Client("unix:///run/x.sock")
    pod = c.RunPodSandbox(config={"metadata": {...}}).pod_sandbox_id

Requests are given as keyword arguments (dicts for messages), rpc_timeout is the deadline. An RPC that fails raises
grpc.RpcError; fails(code, function, ...) expects that.
"""

import os
import subprocess
import tempfile

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from frame import REPO

_DESCRIPTORS = None
LIMIT = 16 << 20  # as the kubelet has it


def _compile():
    """The services of the .proto files: {method: (path, request class, reply class, stream)}."""
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(
            ["protoc", "-I" + os.path.join(REPO, "proto"), "-I/usr/include"]
            + ["-I" + os.path.join(REPO, "build/src/protobuf-c")]
            + ["--include_imports", "--descriptor_set_out=" + out.name, "cri-services.proto"],
            check=True,
        )
        files = descriptor_pb2.FileDescriptorSet.FromString(out.read()).file
    pool = descriptor_pool.DescriptorPool()
    for file in files:
        pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    methods = {}
    for service in files[-1].service:
        path = "runtime.v1." + service.name
        found = pool.FindServiceByName(path)
        for method, proto in zip(found.methods, service.method):
            methods[method.name] = (
                "/%s/%s" % (path, method.name),
                factory.GetPrototype(method.input_type),
                factory.GetPrototype(method.output_type),
                proto.server_streaming,
            )
    return methods


def methods():
    global _DESCRIPTORS
    if _DESCRIPTORS is None:
        _DESCRIPTORS = _compile()
    return _DESCRIPTORS


class Client:
    def __init__(self, endpoint, timeout=60):
        options = [
            ("grpc.max_receive_message_length", LIMIT),
            ("grpc.max_send_message_length", LIMIT),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 200),
            ("grpc.enable_retries", 0),
        ]
        self.channel = grpc.insecure_channel(endpoint.replace("unix://", "unix:"), options)
        self.timeout = timeout

    def close(self):
        self.channel.close()

    def _callable(self, name):
        path, request, reply, stream = methods()[name]
        make = self.channel.unary_stream if stream else self.channel.unary_unary
        return request, make(path, request.SerializeToString, reply.FromString)

    def __getattr__(self, name):
        if name not in methods():
            raise AttributeError(name)

        def call(rpc_timeout=self.timeout, **fields):
            request, rpc = self._callable(name)
            return rpc(request(**fields), timeout=rpc_timeout)

        return call

    def future(self, name, **fields):
        """Starts a call without waiting for it."""
        timeout = fields.pop("rpc_timeout", self.timeout)
        request, rpc = self._callable(name)
        return rpc.future(request(**fields), timeout=timeout)

    def raw(self, path, data):
        """Bytes to any path, bytes back."""
        return self.channel.unary_unary(path)(data, timeout=self.timeout)


def fails(code, call, *args, **fields):
    """The call must fail with this gRPC code ("NOT_FOUND"); returns the message."""
    try:
        reply = call(*args, **fields)
        if hasattr(reply, "__next__"):
            list(reply)
    except grpc.RpcError as e:
        if e.code().name != code:
            raise AssertionError(
                "failed with %s, not %s: %s" % (e.code().name, code, e.details())
            ) from None
        if not e.details() or "\n" in e.details():
            raise AssertionError("the message is not one line: %r" % e.details()) from None
        return e.details()
    raise AssertionError("succeeded, expected %s" % code)
