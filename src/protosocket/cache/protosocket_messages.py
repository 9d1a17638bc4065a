"""The cache's messages as native objects: what storages read and build for commands that need Python."""

from __future__ import annotations

from typing import Any

from protosocket.cache import protosocket_cache_pb2
from protosocket.codecs import NativeMessages
from protosocket.rpc import NativeCodec

__all__ = ["MESSAGES", "native_cache_codec"]

MESSAGES = NativeMessages(protosocket_cache_pb2)


def native_cache_codec() -> NativeCodec[Any, Any]:
    """The RPC codec of storages; the wire is that of ``cache_codec``."""
    return NativeCodec(
        send=MESSAGES.CacheCommand, receive=MESSAGES.CacheResponse, id="message_id", control="control_code"
    )
