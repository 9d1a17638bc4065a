"""The union of sorted sets, made by the gateway since they may lie in different storages."""

# ruff: noqa: SLF001 - the names of Momento's messages all begin with an underscore

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing

from momento_wire_types import cacheclient_pb2 as momento

from protosocket.cache.commands import cache_error
from protosocket.cache.item_messages import ITEMS
from protosocket.cache.momento.batches import in_order
from protosocket.cache.momento.errors import invalid
from protosocket.cache.momento.storages import Storages
from protosocket.cache.protosocket_cache_pb2 import RESOURCE_EXHAUSTED

__all__ = ["union"]

_AT_ONCE = 4  # sources: each can be 4 MiB
_LARGEST = 4 * 1024 * 1024  # bytes of elements; no storage takes a collection of more
_MOST_SOURCES = 1000
_MOST_READ = 2_000_000  # elements of all sources: one that is named again is read again

_Function = momento._SortedSetUnionStoreRequest.AggregateFunction


def _add(one: float, other: float) -> float:
    return one + other


_FUNCTIONS: dict[int, Callable[[float, float], float]] = {
    _Function.SUM: _add,
    _Function.MIN: min,
    _Function.MAX: max,
}


async def union(
    storages: Storages, cache: str, sources: Sequence[tuple[bytes, float]], aggregate: int
) -> dict[bytes, float]:
    """The elements of all ``sources`` (name and weight of a sorted set each) and their combined scores.

    A score is that of the source times its weight; those of one element are put together by ``aggregate``, a
    number of Momento's AggregateFunction. A source that is not there is empty. The sources are read one by
    one: what happens to them meanwhile may or may not show. Raises ``CacheError``: INVALID_ARGUMENT for an
    unknown function or more than 1,000 sources, RESOURCE_EXHAUSTED when the union is too large or the sources
    have more than 2,000,000 elements in all, and what a storage answers.
    """
    if len(sources) > _MOST_SOURCES:
        raise invalid(f"there are {len(sources)} sources in the request; the limit is {_MOST_SOURCES}")
    function = _FUNCTIONS.get(aggregate)
    if function is None:
        raise invalid("there is no such function to combine scores")
    combined: dict[bytes, float] = {}
    size = read = 0
    reads = (storages.operate(cache, name, sorted_set_by_rank=ITEMS.SortedSetByRank()) for name, _ in sources)
    weights = (weight for _, weight in sources)
    async with aclosing(in_order(reads, at_once=_AT_ONCE)) as answers:
        async for answer in answers:
            weight = next(weights)
            if answer is None:
                continue
            read += len(answer.scored.values)
            if read > _MOST_READ:
                raise cache_error(
                    RESOURCE_EXHAUSTED, f"the sources have more than {_MOST_READ} elements in all"
                )
            for value, score in zip(answer.scored.values, answer.scored.scores, strict=True):
                weighted = score * weight
                known = combined.get(value)
                if known is None:
                    size += len(value)
                    combined[value] = weighted
                else:
                    combined[value] = function(known, weighted)
            if size > _LARGEST:
                raise cache_error(RESOURCE_EXHAUSTED, "the union is larger than a sorted set may be")
    return combined
