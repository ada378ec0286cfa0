"""A CRI server that answers what a test tells it to, and remembers what it was asked.

    s = Server("/run/fake.sock")
    s.answers["Version"] = {"runtime_name": "fake"}       # a message as keyword arguments,
    s.answers["Status"] = lambda request: ...             # or a function that makes one,
    s.fails["StopContainer"] = (grpc.StatusCode.NOT_FOUND, "no such container")
    s.asked("ListContainers")                             # the requests so far, oldest first
"""

from concurrent import futures

import grpc

import cri


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, server):
        self.server = server
        self.by_path = {m[0]: (name,) + m[1:] for name, m in cri.methods().items()}

    def service(self, details):
        found = self.by_path.get(details.method)
        if not found or found[3]:
            return None
        name, request, reply, _ = found

        def answer(message, context):
            self.server.requests.append((name, message))
            if name in self.server.fails:
                context.abort(*self.server.fails[name])
            value = self.server.answers.get(name, {})
            if callable(value):
                value = value(message)
            return value if isinstance(value, reply) else reply(**value)

        return grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=request.FromString,
            response_serializer=reply.SerializeToString,
        )


class Server:
    def __init__(self, path):
        self.endpoint = "unix://" + path
        self.answers, self.fails, self.requests = {}, {}, []
        self.server = grpc.server(futures.ThreadPoolExecutor(4))
        self.server.add_generic_rpc_handlers((_Handler(self),))
        if not self.server.add_insecure_port(self.endpoint):
            raise RuntimeError("cannot listen on " + path)
        self.server.start()

    def reset(self):
        self.answers, self.fails, self.requests = {}, {}, []

    def asked(self, name):
        return [message for n, message in self.requests if n == name]

    def stop(self):
        self.server.stop(0).wait()
