"""MessagePack values after a five-byte length: the wire of ``protosocket-messagepack``."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from protosocket._core import WireCodec
from protosocket.connection import FramedCodec
from protosocket.errors import OptionError

__all__ = ["MessagePack"]

S = TypeVar("S")
R = TypeVar("R")


class MessagePack(FramedCodec[S, R], Generic[S, R]):
    """Values of the type ``send`` go out, of the type ``receive`` come in (default: any).

    Types are what msgspec understands: ``msgspec.Struct`` classes, dataclasses, built-in types. What
    arrives is checked against ``receive``. ``rmp-serde`` writes structs as arrays, which a Struct does with
    ``array_like=True``; it reads arrays and maps. Raises ``OptionError`` for a type msgspec cannot handle.
    """

    def __init__(self, *, send: type[S] | Any = Any, receive: type[R] | Any = Any) -> None:
        self.send = send
        self.receive = receive
        try:
            self._decoder = msgspec.msgpack.Decoder(receive)
        except TypeError as error:
            raise OptionError(f"receive is a type msgspec can decode, not {receive!r}: {error}") from error
        self._encoder = msgspec.msgpack.Encoder()

    def wire(self) -> WireCodec:
        """The native codec."""
        return WireCodec("messagepack", self._encoder.encode, self._decoder.decode)
