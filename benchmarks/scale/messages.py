"""The messages of these measurements, and options under which the large ones pass."""

from __future__ import annotations

from typing import Any

from protosocket import ConnectionOptions, rpc
from protosocket.cache import protosocket_cache_pb2
from protosocket.codecs import NativeMessages

__all__ = ["CODEC", "MESSAGES", "OPTIONS", "value_command"]

MESSAGES: Any = NativeMessages(protosocket_cache_pb2)
CODEC: Any = rpc.NativeCodec(
    send=MESSAGES.CacheCommand, receive=MESSAGES.CacheResponse, id="message_id", control="control_code"
)
OPTIONS = ConnectionOptions(receive_limit=65 << 20)


def value_command(value: bytes) -> Any:
    """A request with ``value`` in it, for the rpc server to send back."""
    return MESSAGES.CacheCommand(unary=MESSAGES.Unary(set=MESSAGES.SetCommand(value=value)))
