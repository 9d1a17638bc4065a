"""Get: the value under a key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protosocket import _core
from protosocket.cache.commands.answers import is_miss, read_response, unexpected
from protosocket.cache.commands.command import Command
from protosocket.cache.engine import Engine
from protosocket.cache.protosocket_messages import MESSAGES
from protosocket.cache.results import GetResult, Hit, Miss

__all__ = ["GET"]

_MISS = Miss()
_Response: Any = MESSAGES.CacheResponse
_Get: Any = MESSAGES.GetResponse
_request: Callable[[str, bytes], bytes] = _core.get_command


def _execute(engine: Engine, get: Any) -> Any:
    value = engine.get(get.namespace, get.key)
    return None if value is None else _Response(get=_Get(value=value))


def _read_unusual(encoded: bytes) -> GetResult:
    """The result of a response that is not simply a value."""
    response = read_response(encoded)
    if response.get is not None:
        return Hit(response.get.value)
    if is_miss(response):
        return _MISS
    raise unexpected(response)


_read: Callable[[bytes], GetResult] = _core.ValueReader(Hit, _read_unusual)

GET = Command(
    "get",
    "get",
    request=_request,
    execute=_execute,
    read=_read,
    parameters=("key",),
    summary="Print the value under KEY as it is; exit with 1 if there is none.",
    method="Get",
)
"""``request(namespace, key)`` is answered by ``Hit`` or ``Miss``; a collection is refused."""
