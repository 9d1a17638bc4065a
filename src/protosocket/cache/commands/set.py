"""Set: stores a value under a key for a time."""

from __future__ import annotations

from typing import Any

from protosocket import _core
from protosocket.cache.commands.answers import answer_number, read_response, unexpected
from protosocket.cache.commands.command import Command
from protosocket.cache.commands.times import ttl_milliseconds
from protosocket.cache.engine import Engine
from protosocket.cache.protosocket_messages import MESSAGES

__all__ = ["SET"]

_STORED: Any = MESSAGES.CacheResponse(set=MESSAGES.SetResponse())


def _request(namespace: str, key: bytes, value: bytes, ttl: float) -> bytes:
    return _core.set_command(namespace, key, value, ttl_milliseconds(ttl))


def _execute(engine: Engine, put: Any) -> Any:
    engine.set(put.namespace, put.key, put.value, put.ttl_milliseconds)
    return _STORED


def _read_unusual(encoded: bytes) -> None:
    """Nothing for a response that is not simply empty."""
    response = read_response(encoded)
    if response.set is None:
        raise unexpected(response)


SET = Command(
    "set",
    "set",
    request=_request,
    execute=_execute,
    read=_core.DoneReader(answer_number("set"), _read_unusual),
    parameters=("key", "value", "ttl"),
    summary="Store VALUE under KEY; a VALUE of - is read from standard input.",
    method="Set",
)
"""``request(namespace, key, value, ttl)`` with seconds; ``OptionError`` for a ``ttl`` that is none."""
