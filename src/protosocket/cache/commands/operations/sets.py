"""Operations on sets."""

from __future__ import annotations

from typing import Any

from protosocket.cache.commands.operations.answers import DONE, Answer, done_if, elements
from protosocket.cache.commands.operations.operation import Operation
from protosocket.cache.engine import Engine
from protosocket.cache.item_messages import ITEMS

__all__ = ["SETS"]


def _set_add(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    engine.set_add(namespace, key, it.elements, it.ttl_milliseconds, it.refresh_ttl)
    return DONE


def _set_remove(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return done_if(engine.set_remove(namespace, key, it.elements))


def _set_subtract_from(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return done_if(engine.set_subtract_from(namespace, key, it.elements))


def _set_fetch(engine: Engine, namespace: str, key: bytes, _: Any) -> Any:
    return elements(engine.set_fetch(namespace, key))


def _set_sample(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return elements(engine.set_sample(namespace, key, it.count))


def _set_pop(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return elements(engine.set_pop(namespace, key, it.count))


def _set_contains(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    found = engine.set_contains(namespace, key, it.elements)
    return None if found is None else Answer(flags=ITEMS.Flags(values=found))


SETS: dict[str, Operation] = {
    "set_add": _set_add,
    "set_remove": _set_remove,
    "set_subtract_from": _set_subtract_from,
    "set_fetch": _set_fetch,
    "set_sample": _set_sample,
    "set_pop": _set_pop,
    "set_contains": _set_contains,
}
