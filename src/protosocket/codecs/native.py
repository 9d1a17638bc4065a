"""Native messages, each after its varint length: the wire of ``Protobuf`` and of ``protosocket-prost``."""

from __future__ import annotations

from typing import Generic, TypeVar

from protosocket._core import WireCodec
from protosocket.codecs.native_classes import NativeMessage
from protosocket.codecs.native_messages import messages_of
from protosocket.connection import FramedCodec

__all__ = ["Native"]

S = TypeVar("S", bound=NativeMessage)
R = TypeVar("R", bound=NativeMessage)


class Native(FramedCodec[S, R], Generic[S, R]):
    """Messages of the class ``send`` go out, of ``receive`` come in; both are classes of ``NativeMessages``.

    The peer may as well use ``Protobuf`` with protoc's classes. Raises ``OptionError`` for other classes.
    """

    def __init__(self, *, send: type[S], receive: type[R]) -> None:
        self._encode = messages_of("send", send).wire_encoder()
        self._decode = messages_of("receive", receive).wire_decoder(receive)
        self.send = send
        self.receive = receive

    def wire(self) -> WireCodec:
        """The native codec."""
        return WireCodec("varint", self._encode, self._decode, message=self.send)
