"""Item: any operation on what is under a key, of those in ``operations``."""

from __future__ import annotations

from typing import Any

from protosocket.cache.commands.answers import cache_error, is_miss, read_response, unexpected
from protosocket.cache.commands.command import Command
from protosocket.cache.commands.operations import OPERATIONS
from protosocket.cache.engine import Engine
from protosocket.cache.item_messages import (
    ITEMS,
    decode_answer,
    decode_operation,
    item_command,
    which_operation,
)
from protosocket.cache.protosocket_cache_pb2 import INVALID_ARGUMENT, RESOURCE_EXHAUSTED
from protosocket.cache.protosocket_messages import MESSAGES
from protosocket.errors import InvalidMessage

__all__ = ["ITEM", "item_request", "operation_name", "read_item"]

_Response: Any = MESSAGES.CacheResponse
_Item: Any = MESSAGES.ItemResponse
_Operation: Any = ITEMS.ItemOperation

# Below the 4 MiB that a router takes: a larger answer would end the connection that its clients share.
_MAX_ANSWER = 4 * 1024 * 1024 - 1024  # bytes


def item_request(namespace: str, key: bytes, **operation: Any) -> bytes:
    """The encoded command with an operation, named as in ``ItemOperation``."""
    return MESSAGES.encode(item_command(namespace, key, _Operation(**operation)))


def operation_name(item: Any) -> str | None:
    """The operation in a native ``ItemCommand``; ``None`` if none reads."""
    try:
        return which_operation(decode_operation(item.operation))
    except InvalidMessage:
        return None


def read_item(encoded: bytes) -> Any:
    """The native ``ItemAnswer`` in a response, ``None`` for a miss; raises as ``Command.read`` does."""
    response = read_response(encoded)
    if response.item is not None:
        return decode_answer(response.item.answer)
    if is_miss(response):
        return None
    raise unexpected(response)


def _execute(engine: Engine, item: Any) -> Any:
    try:
        operation = decode_operation(item.operation)
        name = which_operation(operation)
        if name is None:
            raise InvalidMessage("there is no operation in the message")
        answer = OPERATIONS[name](engine, item.namespace, item.key, getattr(operation, name))
    except (InvalidMessage, ValueError, OverflowError) as error:
        raise cache_error(INVALID_ARGUMENT, str(error)) from error
    if answer is None:
        return None
    encoded = ITEMS.encode(answer)
    if len(encoded) > _MAX_ANSWER:
        text = f"the answer would be {len(encoded)} bytes, more than a message takes"
        raise cache_error(RESOURCE_EXHAUSTED, text)
    return _Response(item=_Item(answer=encoded))


ITEM = Command("item", "item", request=item_request, execute=_execute, read=read_item)
"""``request(namespace, key, NAME=native message)`` is answered by a native ``ItemAnswer`` or ``None``."""
