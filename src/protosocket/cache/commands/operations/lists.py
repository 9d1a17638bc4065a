"""Operations on lists."""

from __future__ import annotations

from typing import Any

from protosocket.cache.commands.operations.answers import Answer, elements, number
from protosocket.cache.commands.operations.operation import Operation
from protosocket.cache.engine import Engine
from protosocket.cache.item_messages import ITEMS
from protosocket.errors import InvalidMessage

__all__ = ["LISTS"]


def _list_push(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    keep, ttl = it.keep or None, it.ttl_milliseconds
    return number(engine.list_push(namespace, key, it.values, it.front, keep, ttl, it.refresh_ttl))


def _list_pop(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    popped = engine.list_pop(namespace, key, it.front)
    if popped is None:
        return None
    value, length = popped
    return Answer(popped=ITEMS.Popped(value=value, length=length))


def _list_fetch(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return elements(engine.list_fetch(namespace, key, it.start, it.end))


def _list_retain(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    ttl, refresh = it.ttl_milliseconds, it.refresh_ttl
    return number(engine.list_retain(namespace, key, it.start, it.end, ttl, refresh))


def _list_remove(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return number(engine.list_remove(namespace, key, it.value))


def _list_erase(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    if len(it.begins) != len(it.counts):
        raise InvalidMessage("there are not as many counts as begins")
    return number(engine.list_erase(namespace, key, list(zip(it.begins, it.counts, strict=True))))


LISTS: dict[str, Operation] = {
    "list_push": _list_push,
    "list_pop": _list_pop,
    "list_fetch": _list_fetch,
    "list_retain": _list_retain,
    "list_remove": _list_remove,
    "list_erase": _list_erase,
}
