"""The envelope of gRPC calls: its message classes, its codec, metadata and status in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from protosocket.codecs import NativeMessages
from protosocket.grpc import envelope_pb2
from protosocket.rpc import NativeCodec

__all__ = ["VERSION", "Envelope", "Hello", "MetadataPairs", "Status", "envelope_codec", "pack", "unpack"]

VERSION: Final = 1

MetadataPairs = tuple[tuple[str, str | bytes], ...]
"""Keys with their values: bytes where the key ends in ``-bin``, else text."""

_MESSAGES = NativeMessages(envelope_pb2)

# Looked up once: they are made for every message.
Envelope: Any = _MESSAGES.Envelope
Hello: Any = _MESSAGES.Hello
Status: Any = _MESSAGES.Status
_Metadatum: Any = _MESSAGES.Metadatum


def envelope_codec() -> NativeCodec[Any, Any]:
    """The RPC codec of both directions.

    An envelope with nothing but a payload is exchanged as ``bytes``, one with nothing but method and payload
    as ``(method, payload)``; a server receives both as ``(id, method, payload)``.
    """
    return NativeCodec(
        send=Envelope, receive=Envelope, id="id", control="control", light=("payload", "method")
    )


def pack(metadata: Iterable[tuple[str, str | bytes]] | None) -> list[Any]:
    """Metadata as the envelope carries it. The keys were checked before."""
    if not metadata:
        return []
    return [
        _Metadatum(key=key, value=value.encode() if isinstance(value, str) else bytes(value))
        for key, value in metadata
    ]


def unpack(metadata: list[Any]) -> MetadataPairs:
    """What ``pack`` packed; text that is no UTF-8 loses what cannot be read."""
    return tuple(
        (datum.key, datum.value if datum.key.endswith("-bin") else datum.value.decode(errors="replace"))
        for datum in metadata
    )
