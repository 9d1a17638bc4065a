"""The id and the control code of messages, read in place by the native header scan."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.message import Message

from protosocket._core import HeaderLayout
from protosocket.errors import OptionError
from protosocket.rpc.codec import protobuf_layout

__all__ = ["RpcFields", "messagepack_header", "protobuf_header"]


@dataclass(frozen=True, slots=True)
class RpcFields:
    """Which fields of a direction's messages carry the id and the control code: names or numbers."""

    id: str
    control: str


def protobuf_header(fields: RpcFields, message: type[Message] | None) -> HeaderLayout:
    """Where protobuf messages carry them; names need the ``message`` class.

    Without a class the fields are taken for varints, which all integer types but the fixed ones are. Raises
    ``OptionError`` for fields that are not there or cannot be an id or a control code.
    """
    if message is not None:
        return protobuf_layout(message, _name(fields.id, message), _name(fields.control, message))
    numbers = []
    for text in (fields.id, fields.control):
        if not text.isdecimal() or not 0 < int(text) < 1 << 29:
            raise OptionError(f"without the messages' types a field is its number, such as 2, not {text!r}")
        numbers.append(int(text))
    if numbers[0] == numbers[1]:
        raise OptionError(f"id and control are two fields, not both {numbers[0]}")
    return HeaderLayout.protobuf(numbers[0], "varint", (1 << 64) - 1, numbers[1], "varint")


def messagepack_header(fields: RpcFields) -> HeaderLayout:
    """Where MessagePack messages carry them: numbers count from 0 in an array, names are keys of a map."""
    if fields.id == fields.control:
        raise OptionError(f"id and control are two fields, not both {fields.id!r}")
    numbers = [text.isdecimal() for text in (fields.id, fields.control)]
    if all(numbers):
        return HeaderLayout.msgpack_array(int(fields.id), int(fields.control), b"")
    if any(numbers):
        raise OptionError("id and control are two numbers (of an array) or two names (of a map)")
    return HeaderLayout.msgpack_map(fields.id, fields.control, b"")


def _name(field: str, message: type[Message]) -> str:
    if not field.isdecimal():
        return field
    for known in message.DESCRIPTOR.fields:
        if known.number == int(field):
            return known.name
    raise OptionError(f"{message.DESCRIPTOR.full_name} has no field {field}")
