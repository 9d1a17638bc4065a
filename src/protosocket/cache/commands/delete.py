"""Delete: removes what is under a key, whatever it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protosocket import _core
from protosocket.cache.commands.answers import answer_number, read_response, unexpected
from protosocket.cache.commands.command import Command
from protosocket.cache.engine import Engine
from protosocket.cache.protosocket_messages import MESSAGES

__all__ = ["DELETE"]

_REMOVED: Any = MESSAGES.CacheResponse(delete=MESSAGES.DeleteResponse())
_request: Callable[[str, bytes], bytes] = _core.delete_command


def _execute(engine: Engine, delete: Any) -> Any:
    engine.delete(delete.namespace, delete.key)
    return _REMOVED


def _read_unusual(encoded: bytes) -> None:
    """Nothing for a response that is not simply empty."""
    response = read_response(encoded)
    if response.delete is None:
        raise unexpected(response)


DELETE = Command(
    "delete",
    "delete",
    request=_request,
    execute=_execute,
    read=_core.DoneReader(answer_number("delete"), _read_unusual),
    parameters=("key",),
    summary="Remove KEY; no error if it is not there.",
    method="Delete",
)
"""``request(namespace, key)``; answered alike whether or not something was there."""
