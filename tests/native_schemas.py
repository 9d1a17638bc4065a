"""Schemas and messages made at random, for comparing native messages with google's ``protobuf``."""

from __future__ import annotations

import itertools
import random
import struct
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

__all__ = ["Schema", "fill", "has_map", "make_schema", "mutilate", "value_of"]

_count = itertools.count()

_NUMBERS = [
    FieldDescriptorProto.TYPE_DOUBLE,
    FieldDescriptorProto.TYPE_FLOAT,
    FieldDescriptorProto.TYPE_INT64,
    FieldDescriptorProto.TYPE_UINT64,
    FieldDescriptorProto.TYPE_INT32,
    FieldDescriptorProto.TYPE_FIXED64,
    FieldDescriptorProto.TYPE_FIXED32,
    FieldDescriptorProto.TYPE_BOOL,
    FieldDescriptorProto.TYPE_UINT32,
    FieldDescriptorProto.TYPE_SFIXED32,
    FieldDescriptorProto.TYPE_SFIXED64,
    FieldDescriptorProto.TYPE_SINT32,
    FieldDescriptorProto.TYPE_SINT64,
    FieldDescriptorProto.TYPE_ENUM,
]
_TYPES = [
    *_NUMBERS,
    FieldDescriptorProto.TYPE_STRING,
    FieldDescriptorProto.TYPE_BYTES,
    FieldDescriptorProto.TYPE_MESSAGE,
    FieldDescriptorProto.TYPE_MESSAGE,
]
_KEYS = [*_NUMBERS[2:-1], FieldDescriptorProto.TYPE_STRING]
_ENUM = [0, 1, 2, 7, -1, 100_000]


@dataclass(frozen=True)
class Schema:
    """The message classes of a file made at random; the first one is compared."""

    classes: list[type[Message]]


def make_schema(seed: int) -> Schema:
    """One to four messages that can hold one another, in proto2 or proto3."""
    chance = random.Random(seed)
    proto3 = chance.random() < 0.6
    package = f"made{next(_count)}"
    file = FileDescriptorProto(
        name=f"{package}.proto", package=package, syntax="proto3" if proto3 else "proto2"
    )
    kind = file.enum_type.add(name="Kind")
    for number in _ENUM:
        kind.value.add(name=f"K_{str(number).replace('-', 'MINUS')}", number=number)
    names = [f"M{index}" for index in range(chance.randint(1, 4))]
    for name in names:
        _add_fields(file.message_type.add(name=name), package, names, proto3, chance)
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    found = [pool.FindMessageTypeByName(f"{package}.{name}") for name in names]
    return Schema([GetMessageClass(descriptor) for descriptor in found])


def _add_fields(
    message: DescriptorProto, package: str, names: list[str], proto3: bool, chance: random.Random
) -> None:
    numbers = chance.sample([*range(1, 20), 255, 256, 300, 5000, 2**29 - 1], chance.randint(0, 9))
    oneofs = [message.oneof_decl.add(name=f"choice{index}") for index in range(chance.randint(0, 2))]
    synthetic = []
    for number in numbers:
        field = message.field.add(name=f"f{number}", number=number)
        _set_type(field, chance.choice(_TYPES), package, names, chance)
        shape = chance.random()
        field.label = FieldDescriptorProto.LABEL_OPTIONAL
        if shape < 0.25:
            field.label = FieldDescriptorProto.LABEL_REPEATED
            if field.type in _NUMBERS and chance.random() < 0.5:
                field.options.packed = chance.random() < 0.5
        elif shape < 0.4:
            field.label = FieldDescriptorProto.LABEL_REPEATED
            entry = message.nested_type.add(name=f"F{number}Entry")
            entry.options.map_entry = True
            key = entry.field.add(name="key", number=1, label=FieldDescriptorProto.LABEL_OPTIONAL)
            key.type = chance.choice(_KEYS)
            value = entry.field.add(name="value", number=2, label=FieldDescriptorProto.LABEL_OPTIONAL)
            value.type = field.type
            if field.type_name:
                value.type_name = field.type_name
            field.type = FieldDescriptorProto.TYPE_MESSAGE
            field.type_name = f".{package}.{message.name}.{entry.name}"
        elif shape < 0.6 and oneofs:
            field.oneof_index = chance.randrange(len(oneofs))
        elif shape < 0.65 and not proto3:
            field.label = FieldDescriptorProto.LABEL_REQUIRED
        elif shape < 0.75 and proto3:
            field.proto3_optional = True
            synthetic.append(field)
    # A oneof must have members; those of optional fields come after the written ones.
    used = sorted({field.oneof_index for field in message.field if field.HasField("oneof_index")})
    for field in message.field:
        if field.HasField("oneof_index"):
            field.oneof_index = used.index(field.oneof_index)
    del message.oneof_decl[len(used) :]
    for field in synthetic:
        field.oneof_index = len(message.oneof_decl)
        message.oneof_decl.add(name=f"_{field.name}")


def _set_type(
    field: FieldDescriptorProto, kind: Any, package: str, names: list[str], chance: random.Random
) -> None:
    field.type = kind
    if kind == FieldDescriptorProto.TYPE_MESSAGE:
        field.type_name = f".{package}.{chance.choice(names)}"
    elif kind == FieldDescriptorProto.TYPE_ENUM:
        field.type_name = f".{package}.Kind"


def fill(message: Message, chance: random.Random, depth: int = 3) -> None:
    """Gives about half of the fields values; zeros and the ends of ranges are frequent."""
    for field in message.DESCRIPTOR.fields:
        if not field.is_required and chance.random() < 0.4:
            continue
        target: Any = getattr(message, field.name)
        entry = (
            field.message_type if field.message_type and field.message_type.GetOptions().map_entry else None
        )
        if entry is not None:
            key, value = entry.fields_by_number[1], entry.fields_by_number[2]
            for _ in range(chance.randint(0, 3)):
                if value.message_type is None:
                    target[value_of(key, chance)] = value_of(value, chance)
                elif depth:
                    fill(target[value_of(key, chance)], chance, depth - 1)
        elif field.message_type is not None:
            if depth == 0:
                continue
            for _ in range(chance.randint(0, 3) if field.is_repeated else 1):
                inner = target.add() if field.is_repeated else target
                inner.SetInParent()
                fill(inner, chance, depth - 1)
        elif field.is_repeated:
            target.extend(value_of(field, chance) for _ in range(chance.randint(0, 4)))
        else:
            setattr(message, field.name, value_of(field, chance))


_RANGES: dict[int, tuple[int, int]] = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def value_of(field: Any, chance: random.Random) -> Any:
    """A value that the field can hold."""
    if field.cpp_type in _RANGES:
        low, high = _RANGES[field.cpp_type]
        return chance.choice([0, 1, low, high, chance.randint(low, high), min(high, chance.getrandbits(14))])
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        return chance.choice([0.0, -0.0, 1.5, float("inf"), chance.uniform(-1e300, 1e300)])
    if field.type == FieldDescriptor.TYPE_FLOAT:
        [number] = struct.unpack("<f", struct.pack("<f", chance.uniform(-1e30, 1e30)))
        return chance.choice([0.0, -0.0, 1.5, float("-inf"), number])
    if field.type == FieldDescriptor.TYPE_BOOL:
        return chance.random() < 0.5
    if field.type == FieldDescriptor.TYPE_ENUM:
        return chance.choice(_ENUM)
    if field.type == FieldDescriptor.TYPE_STRING:
        return "".join(chance.choices("az\0é€𝄞", k=chance.choice([0, 1, 2, 5, 130])))
    return chance.randbytes(chance.choice([0, 1, 2, 130]))


def has_map(descriptor: Any) -> bool:
    """Whether a message of this type can hold a map at any depth; their order is not fixed."""
    seen: set[Any] = set()
    ahead = [descriptor]
    while ahead:
        each = ahead.pop()
        if each.GetOptions().map_entry:
            return True
        if each not in seen:
            seen.add(each)
            ahead.extend(field.message_type for field in each.fields if field.message_type is not None)
    return False


def mutilate(data: bytes, chance: random.Random) -> bytes:
    """The bytes with a few of them changed, taken out, put in, or cut off."""
    mutable = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        at = chance.randint(0, len(mutable))
        match chance.randrange(6):
            case 0 if at < len(mutable):
                mutable[at] = chance.randrange(256)
            case 1 if at < len(mutable):
                mutable[at] ^= 1 << chance.randrange(8)
            case 2:
                del mutable[at:]
            case 3:
                del mutable[at : at + chance.randint(1, 4)]
            case 4:
                mutable[at:at] = chance.randbytes(chance.randint(1, 4))
            case _:
                mutable += mutable[chance.randint(0, len(mutable)) : at]
    return bytes(mutable)
