"""The facts of a .proto file as rows of text: what tests/golden/cri.tsv consists of.

Needs protoc and Debian's python3-protobuf.
"""

import os
import subprocess
import tempfile

from google.protobuf import descriptor_pb2

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cri.tsv")

_F = descriptor_pb2.FieldDescriptorProto


def load(files, includes):
    """Compiles files with protoc; returns their FileDescriptorProtos, without imports."""
    with tempfile.TemporaryDirectory() as tmp:
        out = os.path.join(tmp, "set")
        cmd = ["protoc"] + ["-I" + i for i in includes]
        subprocess.run(cmd + ["--descriptor_set_out=" + out] + files, check=True)
        with open(out, "rb") as f:
            return descriptor_pb2.FileDescriptorSet.FromString(f.read()).file


def _short(name, package):
    prefix = "." + package + "."
    return name[len(prefix):] if name.startswith(prefix) else name


def _type_and_label(field, message, package):
    repeated = field.label == _F.LABEL_REPEATED
    if field.type not in (_F.TYPE_MESSAGE, _F.TYPE_ENUM):
        name = _F.Type.Name(field.type)[len("TYPE_"):].lower()
        return name, "repeated" if repeated else "singular"
    name = _short(field.type_name, package)
    for nested in message.nested_type:
        if nested.options.map_entry and name == message.name + "." + nested.name:
            kv = [_type_and_label(f, nested, package)[0] for f in nested.field]
            return "map<%s,%s>" % tuple(kv), "map"
    return name, "repeated" if repeated else "singular"


def _enum_rows(enum, outer):
    for value in enum.value:
        yield ("enum", outer + enum.name, value.name, str(value.number))


def _message_rows(message, package):
    yield ("message", message.name)
    for field in message.field:
        kind, label = _type_and_label(field, message, package)
        if field.HasField("oneof_index"):
            label = "oneof"
        row = ("field", message.name, field.name, str(field.number), kind, label)
        yield row + (("deprecated",) if field.options.deprecated else ())
    for enum in message.enum_type:
        yield from _enum_rows(enum, message.name + ".")


def _service_rows(service, package):
    for rpc in service.method:
        stream = "client-stream " if rpc.client_streaming else ""
        stream += "server-stream" if rpc.server_streaming else "unary"
        yield ("rpc", service.name, rpc.name, _short(rpc.input_type, package),
               _short(rpc.output_type, package), stream)


def rows(descriptors):
    """All rows of the descriptors, sorted so that the text order of a file is no fact."""
    out = []
    for file in descriptors:
        out.append(("package", file.package, file.syntax))
        for enum in file.enum_type:
            out.extend(_enum_rows(enum, ""))
        for message in file.message_type:
            out.extend(_message_rows(message, file.package))
        for service in file.service:
            out.extend(_service_rows(service, file.package))
    return sorted(set(out), key=_order)


def _order(row):
    numbers = [int(c) for c in row if c.lstrip("-").isdigit()]
    kinds = ("package", "rpc", "enum", "message", "field")
    return (kinds.index(row[0]), row[1], numbers, row)


def read(path=GOLDEN):
    """The rows of a golden file; its comment lines are skipped."""
    with open(path, encoding="ascii") as f:
        lines = [line.rstrip("\n") for line in f]
    return [tuple(line.split("\t")) for line in lines if line and line[0] != "#"]
