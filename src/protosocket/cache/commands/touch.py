"""Touch: gives what is under a key a new time to live; for clients what Momento calls UpdateTtl."""

from __future__ import annotations

from protosocket.cache.commands.command import Command
from protosocket.cache.commands.item import item_request, read_item
from protosocket.cache.commands.times import ttl_milliseconds
from protosocket.cache.item_messages import ITEMS

__all__ = ["TOUCH"]


def _request(namespace: str, key: bytes, ttl: float) -> bytes:
    update = ITEMS.UpdateTtl(ttl_milliseconds=ttl_milliseconds(ttl))  # OVERWRITE, whatever was left
    return item_request(namespace, key, update_ttl=update)


def _read(encoded: bytes) -> bool:
    answer = read_item(encoded)
    return answer is not None and answer.flag.value


TOUCH = Command(
    "touch",
    "item",
    request=_request,
    read=_read,
    operation="update_ttl",
    parameters=("key", "ttl"),
    summary="Give what is under KEY a new time to live; exit with 1 if there is none.",
    method="Touch",
)
"""``request(namespace, key, ttl)`` with seconds; whether something was there, of whatever kind."""
