"""Protobuf messages of unknown type: numbers, wire types and, for bytes, the likeliest of three readings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

__all__ = ["RawField", "raw_fields", "raw_text"]

# Messages nested deeper are shown as bytes: protobuf's own readers stop at 100.
_DEEPEST = 64
_WIRE_TYPES = {0: "varint", 1: "fixed64", 2: "bytes", 3: "group", 5: "fixed32"}


@dataclass(frozen=True, slots=True)
class RawField:
    """A field; a ``value`` with a length is a message if it reads as one, else a text, else bytes."""

    number: int
    wire_type: str
    value: int | str | bytes | tuple[RawField, ...]

    def text(self) -> str:
        """The field as protobuf's text format has it."""
        if isinstance(self.value, tuple):
            return f"{self.number} {{ {raw_text(self.value)} }}" if self.value else f"{self.number} {{ }}"
        if isinstance(self.value, int):
            width = {"fixed64": 16, "fixed32": 8}.get(self.wire_type)
            return f"{self.number}: {self.value if width is None else f'0x{self.value:0{width}x}'}"
        return f"{self.number}: {_quoted(self.value)}"

    def data(self) -> dict[str, Any]:
        """The field for JSON."""
        if isinstance(self.value, tuple):
            value: dict[str, Any] = {"message": [field.data() for field in self.value]}
        elif isinstance(self.value, bytes):
            value = {"hex": self.value.hex()}
        else:
            value = {"value": self.value}
        return {"field": self.number, "type": self.wire_type, **value}


def raw_fields(payload: bytes) -> tuple[RawField, ...]:
    """The fields of a message; raises protobuf's ``DecodeError`` if it is none."""
    return _walk(payload, 0)


def raw_text(fields: tuple[RawField, ...]) -> str:
    """Fields in one line."""
    return " ".join(field.text() for field in fields)


def _walk(payload: bytes, depth: int) -> tuple[RawField, ...]:
    return _fields(UnknownFieldSet(Empty.FromString(payload)), depth)


def _fields(found: Any, depth: int) -> tuple[RawField, ...]:
    if any(field.field_number == 0 for field in found):  # google's parser lets it pass, others do not
        raise DecodeError("a field has the number 0")
    return tuple(
        RawField(field.field_number, _WIRE_TYPES[field.wire_type], _value(field.wire_type, field.data, depth))
        for field in found
    )


def _value(wire_type: int, data: Any, depth: int) -> int | str | bytes | tuple[RawField, ...]:
    if wire_type == 3:
        return _fields(data, depth + 1)
    if wire_type != 2:
        return int(data)
    content = bytes(data)
    if content and depth < _DEEPEST:
        try:
            return _walk(content, depth + 1)
        except DecodeError:
            pass
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return content
    return text if text.isprintable() else content


def _quoted(value: str | bytes) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return '"' + "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:03o}" for b in value) + '"'
