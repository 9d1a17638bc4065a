"""The messages of the golden vectors as Python types: what tools/vectors declares in Rust."""

from __future__ import annotations

import msgspec
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message
from tests.oracle.messagepack import ArrayLayout, MapLayout
from tests.oracle.protobuf import Field, Layout, Wire

from protosocket.cache import protosocket_cache_pb2

_Type = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "bool": _Type.TYPE_BOOL,
    "bytes": _Type.TYPE_BYTES,
    "double": _Type.TYPE_DOUBLE,
    "fixed32": _Type.TYPE_FIXED32,
    "fixed64": _Type.TYPE_FIXED64,
    "sint32": _Type.TYPE_SINT32,
    "string": _Type.TYPE_STRING,
    "uint32": _Type.TYPE_UINT32,
    "uint64": _Type.TYPE_UINT64,
}

# Each message: its fields as "type name = number", with "repeated" or "oneof" in front.
_SAMPLES = {
    "Simple": ["uint64 id = 1", "uint32 code = 2", "bytes body = 3"],
    "High": ["string name = 1", "uint32 code = 3", "repeated sint32 numbers = 16", "uint64 id = 100"],
    "Between": [
        "string before = 1",
        "uint64 id = 5",
        "double middle = 7",
        "uint32 code = 9",
        "Between after = 12",
    ],
    "Fixed": ["fixed64 id = 1", "fixed32 code = 2", "bytes body = 3"],
    "Reversed": ["uint32 code = 2", "fixed32 count = 3", "uint64 id = 4"],
    "Spanning": ["oneof string low = 1", "uint64 id = 50", "uint32 code = 51", "oneof string above = 60"],
}
_RMEMSTORE = {
    "Rpc": ["uint64 id = 1", "uint32 code = 2", "oneof Put put = 3", "oneof Get get = 4"],
    "Response": ["uint64 id = 1", "uint32 code = 2", "oneof bool ok = 3", "oneof Value value = 4"],
    "Value": ["oneof bytes blob = 1", "oneof string string = 2", "oneof Map map = 3"],
    # map<string, Value> map = 1, in the form it has on the wire.
    "Map": ["repeated Entry map = 1"],
    "Entry": ["string key = 1", "Value value = 2"],
    "Put": ["bytes key = 1", "Value value = 2"],
    "Get": ["bytes key = 1"],
}


def declare(package: str, messages: dict[str, list[str]]) -> dict[str, type[Message]]:
    """Protobuf messages of a package of their own: each one's fields as ``type name = number``."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, fields in messages.items():
        declared = file.message_type.add(name=name)
        for text in fields:
            *label, kind, field_name, _, number = text.split()
            field = declared.field.add(name=field_name, number=int(number))
            field.label = _Type.LABEL_REPEATED if label == ["repeated"] else _Type.LABEL_OPTIONAL
            if kind in _SCALARS:
                field.type = _SCALARS[kind]
            else:
                field.type = _Type.TYPE_MESSAGE
                field.type_name = f".{package}.{kind}"
            if label == ["oneof"]:
                if not declared.oneof_decl:
                    declared.oneof_decl.add(name="kind")
                field.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {
        f"{package}.{name}": message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
        for name in messages
    }


PROTOBUF: dict[str, type[Message]] = {
    **declare("samples", _SAMPLES),
    **declare("rmemstore", _RMEMSTORE),
    "momento.CacheCommand": protosocket_cache_pb2.CacheCommand,
    "momento.CacheResponse": protosocket_cache_pb2.CacheResponse,
}
"""The protobuf messages by their names in the vectors; Momento's are those of ``protosocket.cache``."""

_WIRES: dict[int, Wire] = {_Type.TYPE_FIXED64: Wire.FIXED64, _Type.TYPE_FIXED32: Wire.FIXED32}


def protobuf_layout(kind: str) -> Layout:
    """Where the message ``kind`` carries its header, by the names its fields have."""
    fields = PROTOBUF[kind].DESCRIPTOR.fields_by_name

    def field(*names: str) -> Field:
        descriptor = next(fields[name] for name in names if name in fields)
        return Field(descriptor.number, _WIRES.get(descriptor.type, Wire.VARINT))

    return Layout(id=field("message_id", "id"), control=field("control_code", "code"))


class First(msgspec.Struct):
    """Id and control code in front."""

    id: int
    code: int
    body: str


class Middle(msgspec.Struct):
    """Id and control code between other fields."""

    names: list[str]
    code: int
    ratio: float
    id: int
    inner: Middle | None


class Lenient(msgspec.Struct):
    """Every field may be missing from a map."""

    id: int = 0
    code: int = 0
    body: str = ""


MESSAGEPACK: dict[str, type[msgspec.Struct]] = {"First": First, "Middle": Middle, "Lenient": Lenient}
"""The MessagePack structs by their names in the vectors."""


def messagepack_layout(kind: str, form: str) -> ArrayLayout | MapLayout:
    """Where the struct ``kind`` carries its header in the ``form`` array or map."""
    if form == "map":
        return MapLayout(id="id", control="code")
    names = [field.name for field in msgspec.structs.fields(MESSAGEPACK[kind])]
    return ArrayLayout(id=names.index("id"), control=names.index("code"))
