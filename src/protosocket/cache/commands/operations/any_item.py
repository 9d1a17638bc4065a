"""Operations on an item of any kind."""

from __future__ import annotations

from typing import Any

from protosocket.cache.cache_items_pb2 import DICTIONARY, LIST, SET, SORTED_SET
from protosocket.cache.commands.operations.answers import Answer, done_if, flag, number
from protosocket.cache.commands.operations.operation import Operation
from protosocket.cache.engine import Engine
from protosocket.cache.item_messages import ITEMS
from protosocket.errors import InvalidMessage

__all__ = ["ANY_ITEM"]


def _set_if(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return flag(engine.set_if(namespace, key, it.value, it.ttl_milliseconds, it.condition, it.other))


def _increment(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return number(engine.increment(namespace, key, it.amount, it.ttl_milliseconds))


def _update_ttl(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return flag(engine.update_ttl(namespace, key, it.ttl_milliseconds, it.change))


def _inspect(engine: Engine, namespace: str, key: bytes, _: Any) -> Any:
    found = engine.inspect(namespace, key)
    if found is None:
        return None
    kind, left = found
    return Answer(inspected=ITEMS.Inspected(kind=kind, ttl_milliseconds=left))


def _length(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return number(engine.length(namespace, key, _collection(it.kind)))


def _clear(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return done_if(engine.clear(namespace, key, _collection(it.kind)))


def _collection(kind: int) -> int:
    if kind not in (DICTIONARY, SET, LIST, SORTED_SET):
        raise InvalidMessage(f"{kind} is no kind of collection")
    return kind


ANY_ITEM: dict[str, Operation] = {
    "set_if": _set_if,
    "increment": _increment,
    "update_ttl": _update_ttl,
    "inspect": _inspect,
    "length": _length,
    "clear": _clear,
}
