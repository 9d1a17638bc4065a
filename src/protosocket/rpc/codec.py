"""RPC codecs: which fields of your messages are the id and the control code."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, Literal, TypeVar

import msgspec
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from protosocket._core import HeaderLayout, WireCodec
from protosocket.codecs import Protobuf
from protosocket.errors import OptionError

__all__ = ["Codec", "MessagePackCodec", "ProtobufCodec", "protobuf_layout"]

S = TypeVar("S")
R = TypeVar("R")
SMessage = TypeVar("SMessage", bound=Message)
RMessage = TypeVar("RMessage", bound=Message)
SStruct = TypeVar("SStruct", bound=msgspec.Struct)
RStruct = TypeVar("RStruct", bound=msgspec.Struct)


class Codec(ABC, Generic[S, R]):
    """Requests of type ``S`` and responses of type ``R``; the same object serves both ends."""

    @abstractmethod
    def client_wire(self) -> WireCodec:
        """The native codec of a client: requests go out, responses come in."""

    @abstractmethod
    def server_wire(self) -> WireCodec:
        """The native codec of a server: responses go out, requests come in."""


class ProtobufCodec(Codec[SMessage, RMessage], Generic[SMessage, RMessage]):
    """Protobuf messages made by protoc: the wire of ``protosocket-rpc`` with ``protosocket-prost``.

    ``send`` is the request's class and ``receive`` the response's, as the client sees them; a server takes
    the same codec. ``id`` and ``control`` name the top-level fields that carry the message id and the
    control code, in both; ``receive_id`` and ``receive_control`` where the response's have other names.
    Ids are set on the wire, not in your objects: leave both fields alone in what you send; in what you
    receive they hold what was on the wire. Raises ``OptionError`` for classes or fields that cannot do this.
    """

    def __init__(
        self,
        *,
        send: type[SMessage],
        receive: type[RMessage],
        id: str,
        control: str,
        receive_id: str | None = None,
        receive_control: str | None = None,
    ) -> None:
        messages = Protobuf(send=send, receive=receive)
        self.send = messages.send
        self.receive = messages.receive
        self._requests = protobuf_layout(send, id, control)
        self._responses = protobuf_layout(receive, receive_id or id, receive_control or control)

    def client_wire(self) -> WireCodec:
        """The native codec of a client."""
        encode, decode = self.send.SerializeToString, self.receive.FromString
        return WireCodec("varint", encode, decode, self._requests, self._responses, self.send)

    def server_wire(self) -> WireCodec:
        """The native codec of a server."""
        encode, decode = self.receive.SerializeToString, self.send.FromString
        return WireCodec("varint", encode, decode, self._responses, self._requests, self.receive)


class MessagePackCodec(Codec[SStruct, RStruct], Generic[SStruct, RStruct]):
    """``msgspec.Struct`` messages: the wire of ``protosocket-rpc`` with ``protosocket-messagepack``.

    ``send`` is the request's class and ``receive`` the response's, as the client sees them; a server takes
    the same codec. ``id`` and ``control`` name the fields (of type ``int``) for the message id and the
    control code, in both; ``receive_id`` and ``receive_control`` where the response's have other names.
    Structs with ``array_like=True`` are written as ``rmp-serde`` writes structs; others as maps.

    A Cancel or an End is a message with nothing else in it: an instance with all defaults, or, where fields
    have none, ``empty_send`` and ``empty_receive``. Raises ``OptionError`` for what cannot do this.
    """

    def __init__(
        self,
        *,
        send: type[SStruct],
        receive: type[RStruct],
        id: str,
        control: str,
        receive_id: str | None = None,
        receive_control: str | None = None,
        empty_send: SStruct | None = None,
        empty_receive: RStruct | None = None,
    ) -> None:
        self.send = send
        self.receive = receive
        self._requests = _struct_layout("send", send, id, control, empty_send)
        self._responses = _struct_layout(
            "receive", receive, receive_id or id, receive_control or control, empty_receive
        )

    def client_wire(self) -> WireCodec:
        """The native codec of a client."""
        encode, decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(self.receive).decode
        return WireCodec("messagepack", encode, decode, self._requests, self._responses, self.send)

    def server_wire(self) -> WireCodec:
        """The native codec of a server."""
        encode, decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(self.send).decode
        return WireCodec("messagepack", encode, decode, self._responses, self._requests, self.receive)


_Kind = Literal["varint", "fixed64", "fixed32"]
_VARINT: _Kind = "varint"
_FIXED64: _Kind = "fixed64"
_FIXED32: _Kind = "fixed32"

# How a field is written, and the largest id it holds. zigzag types are left out: the Rust crate's ids are
# unsigned.
_KINDS: dict[int, tuple[_Kind, int]] = {
    FieldDescriptor.TYPE_UINT64: (_VARINT, 2**64 - 1),
    FieldDescriptor.TYPE_INT64: (_VARINT, 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: (_VARINT, 2**32 - 1),
    FieldDescriptor.TYPE_INT32: (_VARINT, 2**31 - 1),
    FieldDescriptor.TYPE_ENUM: (_VARINT, 2**31 - 1),
    FieldDescriptor.TYPE_FIXED64: (_FIXED64, 2**64 - 1),
    FieldDescriptor.TYPE_SFIXED64: (_FIXED64, 2**63 - 1),
    FieldDescriptor.TYPE_FIXED32: (_FIXED32, 2**32 - 1),
    FieldDescriptor.TYPE_SFIXED32: (_FIXED32, 2**31 - 1),
}


def protobuf_layout(message: type[Message], id: str, control: str) -> HeaderLayout:
    """Where messages of a class carry these two fields; ``OptionError`` if they cannot."""
    if id == control:
        raise OptionError(f"id and control are two fields of {message.DESCRIPTOR.full_name}, not both {id!r}")
    id_field = _protobuf_field(message, "id", id)
    control_field = _protobuf_field(message, "control", control)
    id_kind, largest = _KINDS[id_field.type]
    return HeaderLayout.protobuf(
        id_field.number, id_kind, largest, control_field.number, _KINDS[control_field.type][0]
    )


def _protobuf_field(message: type[Message], what: str, name: str) -> FieldDescriptor:
    descriptor = message.DESCRIPTOR
    field: Any = descriptor.fields_by_name.get(name)
    if field is None:
        known = ", ".join(field.name for field in descriptor.fields)
        raise OptionError(f"{descriptor.full_name} has no field {name!r} for the {what}; it has: {known}")
    if field.is_repeated or field.type not in _KINDS:
        raise OptionError(
            f"the field {name!r} of {descriptor.full_name} cannot be the {what}: "
            f"use a single uint64, uint32, int64, int32, fixed64, fixed32 or enum field"
        )
    found: FieldDescriptor = field
    return found


def _struct_layout(
    what: str, struct: type[msgspec.Struct], id: str, control: str, empty: msgspec.Struct | None
) -> HeaderLayout:
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
    encoded = msgspec.msgpack.encode(empty)
    config = struct.__struct_config__
    if config.array_like:
        shift = 0 if config.tag is None else 1
        return HeaderLayout.msgpack_array(fields[id][0] + shift, fields[control][0] + shift, encoded)
    try:
        return HeaderLayout.msgpack_map(fields[id][1].encode_name, fields[control][1].encode_name, encoded)
    except ValueError as error:
        raise OptionError(f"the fields {id!r} and {control!r} of {struct.__name__}: {error}") from error
