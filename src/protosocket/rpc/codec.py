"""RPC codecs: which fields of your messages are the id and the control code."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import msgspec
from google.protobuf.message import Message

from protosocket._core import HeaderLayout, WireCodec
from protosocket.codecs import Protobuf
from protosocket.rpc.layouts import (
    RpcFields,
    named_messagepack_layout,
    named_protobuf_layout,
    protobuf_layout,
    struct_layout,
)

# What is named here, `protosocket.rpc` hands on.
__all__ = ["Codec", "MessagePackCodec", "ProtobufCodec"]

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
        self._requests = struct_layout("send", send, id, control, empty_send)
        self._responses = struct_layout(
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


@dataclass(frozen=True, slots=True)
class Format:
    """What a codec's messages are to those who have nothing but bytes, as ``protosocket decode`` has."""

    framing: Literal["varint", "messagepack"]
    content: Literal["protobuf", "messagepack"]
    """What is in a message, its header aside (``HeaderLayout.content``)."""
    layout: Callable[[RpcFields | None, type[Message] | None], HeaderLayout | None]
    """Where the header is, from what the user says of it and the messages' class; None if there is none."""


FORMATS = {
    "protobuf": Format("varint", "protobuf", named_protobuf_layout),
    "messagepack": Format("messagepack", "messagepack", named_messagepack_layout),
}
"""The formats of the codecs here, by the names that people say."""
