"""Carries out the operations of ItemCommand on an engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protosocket.cache.cache_items_pb2 import DICTIONARY, LIST, SET, SORTED_SET
from protosocket.cache.commands import cache_error
from protosocket.cache.engine import Engine
from protosocket.cache.item_messages import ITEMS, decode_operation, which_operation
from protosocket.cache.protosocket_cache_pb2 import RESOURCE_EXHAUSTED
from protosocket.errors import InvalidMessage

__all__ = ["carry_out_operation"]

_Answer: Any = ITEMS.ItemAnswer
_DONE = _Answer(done=ITEMS.Done())

# Below the 4 MiB that a router takes: a larger answer would end the connection that its clients share.
_LARGEST_ANSWER = 4 * 1024 * 1024 - 1024

_Carry = Callable[[Engine, str, bytes, Any], Any]


def carry_out_operation(engine: Engine, namespace: str, key: bytes, encoded: bytes) -> bytes | None:
    """The encoded ItemAnswer to an encoded ItemOperation; ``None`` if nothing is there.

    Raises ``CacheError`` as the engine does and when the answer is too large for a message, and
    ``InvalidMessage`` or ``ValueError`` for an operation that makes no sense.
    """
    operation = decode_operation(encoded)
    name = which_operation(operation)
    if name is None:
        raise InvalidMessage("there is no operation in the message")
    answer = _OPERATIONS[name](engine, namespace, key, getattr(operation, name))
    if answer is None:
        return None
    encoded_answer = ITEMS.encode(answer)
    if len(encoded_answer) > _LARGEST_ANSWER:
        text = f"the answer would be {len(encoded_answer)} bytes, more than a message takes"
        raise cache_error(RESOURCE_EXHAUSTED, text)
    return encoded_answer


# Answers.


def _flag(value: bool | None) -> Any:
    return None if value is None else _Answer(flag=ITEMS.Flag(value=value))


def _number(value: int | None) -> Any:
    return None if value is None else _Answer(number=ITEMS.Number(value=value))


def _done_if(found: bool) -> Any:
    return _DONE if found else None


def _elements(elements: list[bytes] | None) -> Any:
    return None if elements is None else _Answer(elements=ITEMS.Elements(elements=elements))


def _scored(scored: tuple[list[bytes], list[float]] | None) -> Any:
    if scored is None:
        return None
    values, scores = scored
    return _Answer(scored=ITEMS.Scored(values=values, scores=scores))


# Any item.


def _set_if(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return _flag(engine.set_if(namespace, key, it.value, it.ttl_milliseconds, it.condition, it.other))


def _increment(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return _number(engine.increment(namespace, key, it.amount, it.ttl_milliseconds))


def _update_ttl(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return _flag(engine.update_ttl(namespace, key, it.ttl_milliseconds, it.change))


def _inspect(engine: Engine, namespace: str, key: bytes, _: Any) -> Any:
    found = engine.inspect(namespace, key)
    if found is None:
        return None
    kind, left = found
    return _Answer(inspected=ITEMS.Inspected(kind=kind, ttl_milliseconds=left))


def _length(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return _number(engine.length(namespace, key, _collection(it.kind)))


def _clear(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return _done_if(engine.clear(namespace, key, _collection(it.kind)))


def _collection(kind: int) -> int:
    if kind not in (DICTIONARY, SET, LIST, SORTED_SET):
        raise InvalidMessage(f"{kind} is no kind of collection")
    return kind


# Dictionaries.


def _dictionary_set(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    engine.dictionary_set(namespace, key, it.fields, it.values, it.ttl_milliseconds, it.refresh_ttl)
    return _DONE


def _dictionary_get(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    values = engine.dictionary_get(namespace, key, it.fields)
    if values is None:
        return None
    found = [value is not None for value in values]
    return _Answer(values=ITEMS.Values(found=found, values=[value or b"" for value in values]))


def _dictionary_fetch(engine: Engine, namespace: str, key: bytes, _: Any) -> Any:
    found = engine.dictionary_fetch(namespace, key)
    if found is None:
        return None
    fields, values = found
    return _Answer(pairs=ITEMS.Pairs(fields=fields, values=values))


def _dictionary_increment(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    ttl, refresh = it.ttl_milliseconds, it.refresh_ttl
    return _number(engine.dictionary_increment(namespace, key, it.field, it.amount, ttl, refresh))


def _dictionary_remove(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return _done_if(engine.dictionary_remove(namespace, key, it.fields))


# Sets.


def _set_add(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    engine.set_add(namespace, key, it.elements, it.ttl_milliseconds, it.refresh_ttl)
    return _DONE


def _set_remove(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return _done_if(engine.set_remove(namespace, key, it.elements))


def _set_subtract_from(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return _done_if(engine.set_subtract_from(namespace, key, it.elements))


def _set_fetch(engine: Engine, namespace: str, key: bytes, _: Any) -> Any:
    return _elements(engine.set_fetch(namespace, key))


def _set_sample(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return _elements(engine.set_sample(namespace, key, it.count))


def _set_pop(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return _elements(engine.set_pop(namespace, key, it.count))


def _set_contains(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    found = engine.set_contains(namespace, key, it.elements)
    return None if found is None else _Answer(flags=ITEMS.Flags(values=found))


# Lists.


def _list_push(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    keep, ttl = it.keep or None, it.ttl_milliseconds
    return _number(engine.list_push(namespace, key, it.values, it.front, keep, ttl, it.refresh_ttl))


def _list_pop(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    popped = engine.list_pop(namespace, key, it.front)
    if popped is None:
        return None
    value, length = popped
    return _Answer(popped=ITEMS.Popped(value=value, length=length))


def _list_fetch(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return _elements(engine.list_fetch(namespace, key, it.start, it.end))


def _list_retain(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    ttl, refresh = it.ttl_milliseconds, it.refresh_ttl
    return _number(engine.list_retain(namespace, key, it.start, it.end, ttl, refresh))


def _list_remove(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return _number(engine.list_remove(namespace, key, it.value))


def _list_erase(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    if len(it.begins) != len(it.counts):
        raise InvalidMessage("there are not as many counts as begins")
    return _number(engine.list_erase(namespace, key, list(zip(it.begins, it.counts, strict=True))))


# Sorted sets.


def _sorted_set_put(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    engine.sorted_set_put(namespace, key, it.values, it.scores, it.ttl_milliseconds, it.refresh_ttl)
    return _DONE


def _sorted_set_store(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    engine.sorted_set_store(namespace, key, it.values, it.scores, it.ttl_milliseconds)
    return _DONE


def _sorted_set_increment(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    ttl, refresh = it.ttl_milliseconds, it.refresh_ttl
    score = engine.sorted_set_increment(namespace, key, it.value, it.amount, ttl, refresh)
    return _Answer(score=ITEMS.Score(value=score))


def _sorted_set_remove(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return _done_if(engine.sorted_set_remove(namespace, key, it.values))


def _sorted_set_scores(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    scores = engine.sorted_set_scores(namespace, key, it.values)
    if scores is None:
        return None
    found = [score is not None for score in scores]
    return _Answer(scores=ITEMS.Scores(found=found, scores=[score or 0.0 for score in scores]))


def _sorted_set_rank(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return _number(engine.sorted_set_rank(namespace, key, it.value, it.descending))


def _sorted_set_by_rank(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return _scored(engine.sorted_set_by_rank(namespace, key, it.start, it.end, it.descending))


def _sorted_set_by_score(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    least, most = _bound(it.least), _bound(it.most)
    found = engine.sorted_set_by_score(namespace, key, least, most, it.descending, it.offset, it.count)
    return _scored(found)


def _sorted_set_count(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return _number(engine.sorted_set_count(namespace, key, _bound(it.least), _bound(it.most)))


def _bound(bound: Any) -> tuple[float, bool] | None:
    return None if bound is None else (bound.score, bound.exclusive)


_OPERATIONS: dict[str, _Carry] = {
    "set_if": _set_if,
    "increment": _increment,
    "update_ttl": _update_ttl,
    "inspect": _inspect,
    "length": _length,
    "clear": _clear,
    "dictionary_set": _dictionary_set,
    "dictionary_get": _dictionary_get,
    "dictionary_fetch": _dictionary_fetch,
    "dictionary_increment": _dictionary_increment,
    "dictionary_remove": _dictionary_remove,
    "set_add": _set_add,
    "set_remove": _set_remove,
    "set_subtract_from": _set_subtract_from,
    "set_fetch": _set_fetch,
    "set_sample": _set_sample,
    "set_pop": _set_pop,
    "set_contains": _set_contains,
    "list_push": _list_push,
    "list_pop": _list_pop,
    "list_fetch": _list_fetch,
    "list_retain": _list_retain,
    "list_remove": _list_remove,
    "list_erase": _list_erase,
    "sorted_set_put": _sorted_set_put,
    "sorted_set_store": _sorted_set_store,
    "sorted_set_increment": _sorted_set_increment,
    "sorted_set_remove": _sorted_set_remove,
    "sorted_set_scores": _sorted_set_scores,
    "sorted_set_rank": _sorted_set_rank,
    "sorted_set_by_rank": _sorted_set_by_rank,
    "sorted_set_by_score": _sorted_set_by_score,
    "sorted_set_count": _sorted_set_count,
}
