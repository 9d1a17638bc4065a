"""Operations on dictionaries."""

from __future__ import annotations

from typing import Any

from protosocket.cache.commands.operations.answers import DONE, Answer, done_if, number
from protosocket.cache.commands.operations.operation import Operation
from protosocket.cache.engine import Engine
from protosocket.cache.item_messages import ITEMS

__all__ = ["DICTIONARIES"]


def _dictionary_set(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    engine.dictionary_set(namespace, key, it.fields, it.values, it.ttl_milliseconds, it.refresh_ttl)
    return DONE


def _dictionary_get(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    values = engine.dictionary_get(namespace, key, it.fields)
    if values is None:
        return None
    found = [value is not None for value in values]
    return Answer(values=ITEMS.Values(found=found, values=[value or b"" for value in values]))


def _dictionary_fetch(engine: Engine, namespace: str, key: bytes, _: Any) -> Any:
    found = engine.dictionary_fetch(namespace, key)
    if found is None:
        return None
    fields, values = found
    return Answer(pairs=ITEMS.Pairs(fields=fields, values=values))


def _dictionary_increment(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    ttl, refresh = it.ttl_milliseconds, it.refresh_ttl
    return number(engine.dictionary_increment(namespace, key, it.field, it.amount, ttl, refresh))


def _dictionary_remove(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return done_if(engine.dictionary_remove(namespace, key, it.fields))


DICTIONARIES: dict[str, Operation] = {
    "dictionary_set": _dictionary_set,
    "dictionary_get": _dictionary_get,
    "dictionary_fetch": _dictionary_fetch,
    "dictionary_increment": _dictionary_increment,
    "dictionary_remove": _dictionary_remove,
}
