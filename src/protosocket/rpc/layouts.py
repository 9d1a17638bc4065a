"""Where the messages of a class carry the id and the control code: their header layouts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from protosocket._core import HeaderLayout
from protosocket.errors import OptionError

__all__ = [
    "RpcFields",
    "named_messagepack_layout",
    "named_protobuf_layout",
    "protobuf_layout",
    "struct_layout",
]


@dataclass(frozen=True, slots=True)
class RpcFields:
    """Which fields of a direction's messages carry the id and the control code: names or numbers."""

    id: str
    control: str


def named_protobuf_layout(fields: RpcFields | None, message: type[Message] | None) -> HeaderLayout | None:
    """Where protobuf messages carry them; names need the ``message`` class. None without fields.

    Without a class the fields are taken for varints, which all integer types but the fixed ones are. Raises
    ``OptionError`` for fields that are not there or cannot be an id or a control code.
    """
    if fields is None:
        return None
    if message is not None:
        return protobuf_layout(message, _name(fields.id, message), _name(fields.control, message))
    for text in (fields.id, fields.control):
        if not text.isdecimal() or not 0 < int(text) < 1 << 29:
            raise OptionError(f"without the messages' types a field is its number, such as 2, not {text!r}")
    if int(fields.id) == int(fields.control):
        raise OptionError(f"id and control are two fields, not both {int(fields.id)}")
    return HeaderLayout("protobuf", id=int(fields.id), control=int(fields.control))


def named_messagepack_layout(fields: RpcFields | None, _message: type[Message] | None) -> HeaderLayout | None:
    """Where MessagePack messages carry them: numbers count from 0 in an array, names are keys of a map.

    None without fields; raises ``OptionError`` for what cannot be an id or a control code.
    """
    if fields is None:
        return None
    if fields.id == fields.control:
        raise OptionError(f"id and control are two fields, not both {fields.id!r}")
    id, control = (int(text) if text.isdecimal() else text for text in (fields.id, fields.control))
    try:
        return HeaderLayout("messagepack", id=id, control=control)
    except (OverflowError, ValueError) as error:
        raise OptionError(str(error)) from error


# The types that a header field may have, as the core's layout calls them.
_TYPES = {
    FieldDescriptor.TYPE_UINT64: "uint64",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_ENUM: "enum",
    FieldDescriptor.TYPE_FIXED64: "fixed64",
    FieldDescriptor.TYPE_SFIXED64: "sfixed64",
    FieldDescriptor.TYPE_FIXED32: "fixed32",
    FieldDescriptor.TYPE_SFIXED32: "sfixed32",
}


def protobuf_layout(message: type[Message], id: str, control: str) -> HeaderLayout:
    """Where messages of a class carry these two fields; ``OptionError`` if they cannot."""
    if id == control:
        raise OptionError(f"id and control are two fields of {message.DESCRIPTOR.full_name}, not both {id!r}")
    id_field = _protobuf_field(message, "id", id)
    control_field = _protobuf_field(message, "control", control)
    return HeaderLayout(
        "protobuf",
        id=id_field.number,
        id_type=_TYPES[id_field.type],
        control=control_field.number,
        control_type=_TYPES[control_field.type],
    )


def _protobuf_field(message: type[Message], what: str, name: str) -> FieldDescriptor:
    descriptor = message.DESCRIPTOR
    field: Any = descriptor.fields_by_name.get(name)
    if field is None:
        known = ", ".join(field.name for field in descriptor.fields)
        raise OptionError(f"{descriptor.full_name} has no field {name!r} for the {what}; it has: {known}")
    if field.is_repeated or field.type not in _TYPES:
        raise OptionError(
            f"the field {name!r} of {descriptor.full_name} cannot be the {what}: "
            f"use a single uint64, uint32, int64, int32, fixed64, fixed32 or enum field"
        )
    found: FieldDescriptor = field
    return found


def struct_layout(
    what: str, struct: type[msgspec.Struct], id: str, control: str, empty: msgspec.Struct | None
) -> HeaderLayout:
    """Where structs carry these two fields; ``empty`` is a Cancel or an End, ``what`` says which, in errors.

    Raises ``OptionError`` if they cannot, or if there is no ``empty`` one and the class has no defaults.
    """
    if not (isinstance(struct, type) and issubclass(struct, msgspec.Struct)):
        raise OptionError(f"{what} is a msgspec.Struct class, not {struct!r}")
    if id == control:
        raise OptionError(f"id and control are two fields of {struct.__name__}, not both {id!r}")
    fields = {field.name: (index, field) for index, field in enumerate(msgspec.structs.fields(struct))}
    for role, name in (("id", id), ("control", control)):
        if name not in fields:
            known = ", ".join(fields)
            raise OptionError(f"{struct.__name__} has no field {name!r} for the {role}; it has: {known}")
        if fields[name][1].type is not int:
            text = f"the field {name!r} of {struct.__name__} cannot be the {role}: its type is not int"
            raise OptionError(text)
    if empty is None:
        try:
            empty = struct(**{name: 0 for name in (id, control) if fields[name][1].required})
        except TypeError as error:
            raise OptionError(
                f"{struct.__name__} has fields without a default, so no Cancel or End can be made of it; "
                f"give empty_{what} or defaults ({error})"
            ) from error
    elif not isinstance(empty, struct):
        raise OptionError(f"empty_{what} is a {struct.__name__}, not {empty!r}")
    try:
        return _layout_of_struct(struct, id, control, msgspec.msgpack.encode(empty))
    except ValueError as error:
        raise OptionError(f"the fields {id!r} and {control!r} of {struct.__name__}: {error}") from error


def _layout_of_struct(struct: type[msgspec.Struct], id: str, control: str, empty: bytes) -> HeaderLayout:
    fields = {field.name: (index, field) for index, field in enumerate(msgspec.structs.fields(struct))}
    config = struct.__struct_config__
    if config.array_like:
        first = 0 if config.tag is None else 1
        return HeaderLayout(
            "messagepack", id=fields[id][0] + first, control=fields[control][0] + first, empty=empty
        )
    names = fields[id][1].encode_name, fields[control][1].encode_name
    return HeaderLayout("messagepack", id=names[0], control=names[1], empty=empty)


def _name(field: str, message: type[Message]) -> str:
    if not field.isdecimal():
        return field
    for known in message.DESCRIPTOR.fields:
        if known.number == int(field):
            return known.name
    raise OptionError(f"{message.DESCRIPTOR.full_name} has no field {field}")
