"""Makes classes of native messages from protobuf descriptors, and the plan the native codec compiles."""

from __future__ import annotations

import enum
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import GenericAlias
from typing import Any

import msgspec
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from protosocket.codecs.native_names import attribute_names, member_names
from protosocket.errors import OptionError

__all__ = ["FieldPlan", "MessagePlan", "NativeMessage", "make_enum", "plan_messages"]

_UNKNOWN = sys.intern("_unknown_fields")


class NativeMessage(msgspec.Struct, kw_only=True, repr_omit_defaults=True):
    """What all native messages are: a Struct with a field for each of the message's, by the same name.

    ``copy.copy``, ``msgspec.structs.replace``, ``==``, ``repr`` and ``match`` work as for any Struct. Fields
    the schema does not know are kept in a hidden field and written back.
    """

    _unknown_fields: bytes | None = None


@dataclass(frozen=True)
class FieldPlan:
    """A field as ``_core.NativeSchema`` takes it."""

    name: str
    attribute: str
    number: int
    kind: int
    label: str
    utf8: bool = True
    closed: list[int] | None = None
    message: int | None = None
    oneof: int | None = None
    entry: list[FieldPlan] = field(default_factory=list)


@dataclass(frozen=True)
class MessagePlan:
    """A class as ``_core.NativeSchema`` takes it."""

    name: str
    message: type[NativeMessage]
    unknown: str
    fields: list[FieldPlan]
    oneofs: list[str]


def plan_messages(descriptors: Iterable[Descriptor]) -> dict[Descriptor, MessagePlan]:
    """A class and a plan for each of ``descriptors`` and for every message they can hold.

    Raises ``OptionError`` for what is not supported: groups, and the wire format of message sets.
    """
    reached = _reachable(descriptors)
    flat = _flat(reached)
    index = {descriptor: position for position, descriptor in enumerate(reached)}
    return {descriptor: _plan(descriptor, index, descriptor in flat) for descriptor in reached}


def make_enum(descriptor: EnumDescriptor) -> type[enum.IntEnum]:
    """The numbers of an enum by name; messages hold plain ``int``, which these are."""
    names = member_names(descriptor.name, (value.name for value in descriptor.values))
    members = [(names[value.name], value.number) for value in descriptor.values]
    make: Any = enum.IntEnum
    made: type[enum.IntEnum] = make(descriptor.name, members, module=__name__)
    return made


def _reachable(descriptors: Iterable[Descriptor]) -> list[Descriptor]:
    found: dict[Descriptor, None] = {}
    ahead = list(descriptors)[::-1]
    while ahead:
        descriptor = ahead.pop()
        if descriptor not in found:
            found[descriptor] = None
            ahead.extend(_held(descriptor))
    return list(found)


def _held(descriptor: Descriptor) -> list[Descriptor]:
    """The messages that a message of this type holds directly, seeing through maps."""
    held = []
    for each in descriptor.fields:
        parts = _map_parts(each)
        message = parts[1].message_type if parts else each.message_type
        if message is not None:
            held.append(message)
    return held


def _flat(descriptors: list[Descriptor]) -> set[Descriptor]:
    """Those whose messages can neither hold themselves nor one that can.

    No cycle of references can go through their messages, and they nest no deeper than their types do: the
    garbage collector need not know them, and freeing one cannot recurse far.
    """
    held = {descriptor: set(_held(descriptor)) for descriptor in descriptors}
    flat: set[Descriptor] = set()
    while True:
        found = {each for each, inner in held.items() if each not in flat and inner <= flat}
        if not found:
            return flat
        flat |= found


def _plan(descriptor: Descriptor, index: dict[Descriptor, int], flat: bool) -> MessagePlan:
    if descriptor.GetOptions().message_set_wire_format:
        raise OptionError(
            f"{descriptor.full_name} has the wire format of message sets, which is not supported"
        )
    declared = DescriptorProto()
    descriptor.CopyToProto(declared)
    synthetic = {each.name for each in declared.field if each.proto3_optional}
    # A proto3 optional field is the only member of a oneof that nobody wrote.
    oneofs = [each for each in descriptor.oneofs if each.fields[0].name not in synthetic]
    holder = GetMessageClass(descriptor)
    names = attribute_names((each.name for each in descriptor.fields), _UNKNOWN)
    plans, members = [], []
    for each in descriptor.fields:
        oneof = each.containing_oneof
        position = oneofs.index(oneof) if oneof in oneofs else None
        plan = _field(each, names[each.name], index, holder, oneof=position)
        plans.append(plan)
        members.append(_member(each, plan))
    # gc=False where it is safe (_flat); msgspec gives other Structs to the collector.
    made: Any = msgspec.defstruct(
        descriptor.name, members, bases=(NativeMessage,), gc=not flat, module=__name__
    )
    made.__doc__ = f"The protobuf message ``{descriptor.full_name}``."
    return MessagePlan(descriptor.full_name, made, _UNKNOWN, plans, [oneof.name for oneof in oneofs])


def _field(
    each: FieldDescriptor,
    name: str,
    index: dict[Descriptor, int],
    holder: type[Message],
    *,
    oneof: int | None = None,
    map_number: int | None = None,
) -> FieldPlan:
    """The plan of a field of ``holder``, or of a part of its map with the number ``map_number``."""
    if each.type == FieldDescriptor.TYPE_GROUP:
        raise OptionError(f"{each.full_name} is a group (or has delimited encoding), which is not supported")
    entry = [_field(part, part.name, index, holder, map_number=each.number) for part in _map_parts(each)]
    if entry:
        label = "map"
    elif each.is_repeated:
        label = "packed" if each.is_packed else "repeated"
    elif each.is_required:
        label = "required"
    else:
        label = "explicit" if each.has_presence else "implicit"
    closed = None
    if each.enum_type is not None and each.enum_type.is_closed:
        closed = [value.number for value in each.enum_type.values]
    return FieldPlan(
        name=each.full_name,
        attribute=name,
        number=each.number,
        # A map is what its entries say; it must not be taken for a submessage.
        kind=FieldDescriptor.TYPE_BYTES if entry else each.type,
        label=label,
        utf8=each.type != FieldDescriptor.TYPE_STRING or _checks_utf8(holder, each.number, map_number),
        closed=closed,
        message=index.get(each.message_type) if each.message_type is not None else None,
        oneof=oneof,
        entry=entry,
    )


def _map_parts(each: FieldDescriptor) -> list[FieldDescriptor]:
    """The key and the value of a map's entries; nothing for other fields."""
    entry = each.message_type
    if entry is None or not entry.GetOptions().map_entry:
        return []
    return [entry.fields_by_number[1], entry.fields_by_number[2]]


def _checks_utf8(holder: type[Message], number: int, map_number: int | None) -> bool:
    """Whether upb refuses other text in this field; there is no public name for that, so it is asked."""
    text = _delimited(number, b"\xff")
    try:
        holder.FromString(text if map_number is None else _delimited(map_number, text))
    except DecodeError:
        return True
    return False


def _delimited(number: int, content: bytes) -> bytes:
    key, encoded = number << 3 | 2, bytearray()
    while key >= 0x80:
        encoded.append(key & 0x7F | 0x80)
        key >>= 7
    return bytes([*encoded, key, len(content)]) + content


_TYPES: dict[int, type] = {
    FieldDescriptor.CPPTYPE_INT32: int,
    FieldDescriptor.CPPTYPE_INT64: int,
    FieldDescriptor.CPPTYPE_UINT32: int,
    FieldDescriptor.CPPTYPE_UINT64: int,
    FieldDescriptor.CPPTYPE_DOUBLE: float,
    FieldDescriptor.CPPTYPE_FLOAT: float,
    FieldDescriptor.CPPTYPE_BOOL: bool,
    FieldDescriptor.CPPTYPE_ENUM: int,
}


def _member(each: FieldDescriptor, plan: FieldPlan) -> tuple[str, Any, Any]:
    """The field of the Struct: its name, type and default."""
    parts = _map_parts(each)
    if parts:
        return (
            plan.attribute,
            GenericAlias(dict, tuple(map(_type, parts))),
            msgspec.field(default_factory=dict),
        )
    kind = _type(each)
    if each.is_repeated:
        return plan.attribute, GenericAlias(list, kind), msgspec.field(default_factory=list)
    if plan.label == "implicit":
        return plan.attribute, kind, kind()
    return plan.attribute, kind | None if isinstance(kind, type) else kind, None


def _type(each: FieldDescriptor) -> Any:
    """The Python type of a value; classes of messages may not exist yet, so they are ``Any``."""
    if each.type == FieldDescriptor.TYPE_STRING:
        return str
    if each.type == FieldDescriptor.TYPE_BYTES:
        return bytes
    return _TYPES.get(each.cpp_type, Any)
