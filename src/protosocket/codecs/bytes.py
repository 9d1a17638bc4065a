"""Raw bytes, each message after its varint length."""

from __future__ import annotations

from protosocket._core import WireCodec
from protosocket.connection import FramedCodec

__all__ = ["Bytes"]


class Bytes(FramedCodec[bytes, bytes]):
    """Messages are ``bytes`` objects; the length before each is the varint that protobuf uses."""

    def wire(self) -> WireCodec:
        """The native codec."""
        return WireCodec("varint", _encode, _decode)


def _encode(message: bytes) -> bytes:
    if not isinstance(message, bytes):
        raise TypeError(f"a message of this codec is bytes, not {type(message).__name__}")
    return message


def _decode(payload: bytes) -> bytes:
    return payload
