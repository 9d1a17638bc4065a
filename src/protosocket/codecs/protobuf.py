"""Protobuf messages, each after its varint length: the wire of ``protosocket-prost``."""

from __future__ import annotations

from typing import Generic, TypeVar

from google.protobuf.message import Message

from protosocket._core import WireCodec
from protosocket.connection import FramedCodec
from protosocket.errors import OptionError

__all__ = ["Protobuf", "require_message_class"]

S = TypeVar("S", bound=Message)
R = TypeVar("R", bound=Message)


class Protobuf(FramedCodec[S, R], Generic[S, R]):
    """Messages of the class ``send`` go out, of the class ``receive`` come in; both made by protoc.

    This is protobuf's ordinary length-delimited form, as other languages' ``writeDelimitedTo`` and prost's
    ``encode_length_delimited`` have it. Raises ``OptionError`` if one is no message class.
    """

    def __init__(self, *, send: type[S], receive: type[R]) -> None:
        require_message_class("send", send)
        require_message_class("receive", receive)
        self.send = send
        self.receive = receive

    def wire(self) -> WireCodec:
        """The native codec."""
        return WireCodec("varint", self.send.SerializeToString, self.receive.FromString)


def require_message_class(what: str, value: object) -> None:
    """Raise ``OptionError`` unless ``value`` is a class of protobuf messages."""
    if not (isinstance(value, type) and issubclass(value, Message) and hasattr(value, "DESCRIPTOR")):
        raise OptionError(f"{what} is a protobuf message class as protoc makes them, not {value!r}")
