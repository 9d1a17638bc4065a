"""The operations of ItemCommand and their answers as native objects, and the commands that carry them."""

from __future__ import annotations

from typing import Any

from protosocket.cache import cache_items_pb2
from protosocket.cache.protosocket_messages import MESSAGES
from protosocket.codecs import NativeMessages

__all__ = ["ITEMS", "caches_command", "decode_answer", "decode_operation", "item_command", "which_operation"]

ITEMS = NativeMessages(cache_items_pb2)

decode_operation = ITEMS.decoder(ITEMS.ItemOperation)
"""The operation in the bytes of an ItemCommand; raises ``InvalidMessage``."""

decode_answer = ITEMS.decoder(ITEMS.ItemAnswer)
"""The answer in the bytes of an ItemResponse; raises ``InvalidMessage``."""

_CacheCommand: Any = MESSAGES.CacheCommand
_Unary: Any = MESSAGES.Unary
_Item: Any = MESSAGES.ItemCommand
_Caches: Any = MESSAGES.CachesCommand


def which_operation(operation: Any) -> str | None:
    """The name of the operation that is set, such as ``"list_push"``."""
    return ITEMS.which_oneof(operation, "operation")


def item_command(namespace: str, key: bytes, operation: Any) -> Any:
    """An operation (an ``ITEMS.ItemOperation``) on the item under the key."""
    item = _Item(namespace=namespace, key=key, operation=ITEMS.encode(operation))
    return _CacheCommand(unary=_Unary(item=item))


def caches_command(action: int, namespace: str = "") -> Any:
    """LIST, CREATE, DELETE or FLUSH (``MESSAGES.CachesCommand.Action``) at one storage."""
    return _CacheCommand(unary=_Unary(caches=_Caches(namespace=namespace, action=action)))
