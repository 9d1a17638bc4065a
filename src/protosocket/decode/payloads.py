"""What a message says: its text for people and its value for JSON, for each format."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from google.protobuf import json_format, text_format
from google.protobuf.message import DecodeError, Message

from protosocket.decode.connections import Connection, Direction
from protosocket.decode.raw_fields import RawField, raw_fields, raw_text

__all__ = [
    "Call",
    "LinePayload",
    "Malformed",
    "MessagePackPayload",
    "Payload",
    "RawPayload",
    "Shown",
    "TypedPayload",
]


class Malformed(Exception):
    """The payload is not of the expected type; the text says why."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a message belongs to: a connection (None in a hex dump) and, with RPC, an id."""

    connection: Connection | None
    direction: Direction
    id: int | None


@dataclass(frozen=True, slots=True)
class Shown:
    """A message that was read: what makes of it a line, many lines, or an object for JSON.

    Whether it ``begins`` a call, if it is Normal.
    """

    line: Callable[[], str]
    lines: Callable[[], str]
    data: Callable[[], dict[str, Any]]
    begins: bool = True


class Payload(Protocol):
    """Reads the messages of one direction."""

    def show(self, payload: bytes, call: Call) -> Shown:
        """What it says; raises ``Malformed`` if it is not of the type."""
        ...


class TypedPayload:
    """Protobuf messages of a known type; texts leave out the fields in ``header``."""

    def __init__(self, message: type[Message], header: tuple[str, ...] = ()) -> None:
        self._message = message
        self._header = header

    def show(self, payload: bytes, call: Call) -> Shown:
        """The message in protobuf's text format and in its JSON."""
        try:
            message = self._message.FromString(payload)
        except DecodeError as error:
            raise Malformed(f"no {self._message.DESCRIPTOR.full_name}: {error}") from error
        return Shown(
            lambda: self._text(message, one_line=True),
            lambda: self._text(message, one_line=False),
            lambda: _data(message),
        )

    def _text(self, message: Message, *, one_line: bool) -> str:
        rest = self._message()
        rest.CopyFrom(message)
        for field in self._header:
            rest.ClearField(field)
        try:
            return text_format.MessageToString(rest, as_one_line=one_line, print_unknown_fields=True)
        except DecodeError:  # what an Any holds is not of the type it names
            return f"hex: {rest.SerializeToString().hex()}"


class RawPayload:
    """Protobuf messages of unknown type; texts leave out the fields in ``header``."""

    def __init__(self, header: tuple[int, ...] = ()) -> None:
        self._header = header

    def show(self, payload: bytes, call: Call) -> Shown:
        """The message's fields by number."""
        try:
            fields = raw_fields(payload)
        except DecodeError as error:
            raise Malformed(f"no protobuf message: {error}") from error
        rest = tuple(field for field in fields if field.number not in self._header)
        return Shown(
            lambda: raw_text(rest),
            lambda: "".join(_indented(field, "") for field in rest),
            lambda: {"fields": [field.data() for field in fields]},
        )


class MessagePackPayload:
    """MessagePack values."""

    def show(self, payload: bytes, call: Call) -> Shown:
        """The value as JSON; bytes in it are base64, and what JSON does not have is a string of Python."""
        try:
            value = msgspec.msgpack.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Malformed(f"no MessagePack value: {error}") from error
        try:
            encoded = msgspec.json.encode(value)
            data = json.loads(encoded)
        except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
            data = repr(value)
        return Shown(
            lambda: json.dumps(data, ensure_ascii=False),
            lambda: json.dumps(data, ensure_ascii=False, indent=2),
            lambda: {"message": data},
        )


class LinePayload:
    """Lines of text in UTF-8; other bytes are shown as escapes."""

    def show(self, payload: bytes, call: Call) -> Shown:
        """The line without its end."""
        text = payload.removesuffix(b"\n").removesuffix(b"\r").decode(errors="backslashreplace")
        return Shown(lambda: text, lambda: text, lambda: {"text": text})


def _data(message: Message) -> dict[str, Any]:
    """The message in protobuf's JSON, or its bytes: not every value has one, as an Any of unknown type."""
    pool: Any = message.DESCRIPTOR.file.pool  # whose type its stubs give in two ways
    try:
        said = json_format.MessageToDict(message, preserving_proto_field_name=True, descriptor_pool=pool)
    except (TypeError, ValueError, json_format.Error, DecodeError):
        return {"hex": message.SerializeToString().hex()}
    return {"message": said}


def _indented(field: RawField, indent: str) -> str:
    if not isinstance(field.value, tuple):
        return f"{indent}{field.text()}\n"
    inner = "".join(_indented(nested, indent + "  ") for nested in field.value)
    return f"{indent}{field.number} {{\n{inner}{indent}}}\n"
