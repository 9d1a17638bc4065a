"""Caches: lists, creates, deletes and empties the caches of one storage."""

from __future__ import annotations

from typing import Any

from protosocket.cache.commands.answers import cache_error, read_response, unexpected
from protosocket.cache.commands.command import Command
from protosocket.cache.engine import Engine
from protosocket.cache.item_messages import caches_command
from protosocket.cache.protosocket_cache_pb2 import INVALID_ARGUMENT, CachesCommand
from protosocket.cache.protosocket_messages import MESSAGES

__all__ = ["CACHES"]

_Response: Any = MESSAGES.CacheResponse
_Caches: Any = MESSAGES.CachesResponse


def _request(action: int, namespace: str = "") -> bytes:
    return MESSAGES.encode(caches_command(action, namespace))


def _execute(engine: Engine, caches: Any) -> Any:
    action, namespace = caches.action, caches.namespace
    if action == CachesCommand.LIST:
        return _Response(caches=_Caches(names=engine.caches()))
    if not namespace:
        raise cache_error(INVALID_ARGUMENT, "the namespace is empty")
    if action == CachesCommand.CREATE:
        return _Response(caches=_Caches(existed=not engine.create_cache(namespace)))
    if action == CachesCommand.DELETE:
        return _Response(caches=_Caches(existed=engine.delete_cache(namespace)))
    if action == CachesCommand.FLUSH:
        engine.flush(namespace)
        return _Response(caches=_Caches())
    raise cache_error(INVALID_ARGUMENT, "there is no such action on caches")


def _read(encoded: bytes) -> Any:
    response = read_response(encoded)
    if response.caches is None:
        raise unexpected(response)
    return response.caches


CACHES = Command("caches", "caches", request=_request, execute=_execute, read=_read, needs_namespace=False)
"""``request(action, namespace)`` is answered by a native ``CachesResponse``."""
