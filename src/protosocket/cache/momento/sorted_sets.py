"""Momento's calls on sorted sets."""

# ruff: noqa: SLF001 - the names of Momento's messages all begin with an underscore

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

from momento_wire_types import cacheclient_pb2 as momento

from protosocket.cache.cache_items_pb2 import SORTED_SET
from protosocket.cache.item_messages import ITEMS
from protosocket.cache.momento.errors import invalid, not_empty
from protosocket.cache.momento.storages import Storages
from protosocket.cache.momento.unions import union

__all__ = ["SORTED_SET_METHODS"]


async def _put(
    storages: Storages, cache: str, request: momento._SortedSetPutRequest
) -> momento._SortedSetPutResponse:
    put = ITEMS.SortedSetPut(
        values=[element.value for element in request.elements],
        scores=[_number(element.score) for element in request.elements],
        ttl_milliseconds=request.ttl_milliseconds,
        refresh_ttl=request.refresh_ttl,
    )
    await storages.operate(cache, _name(request.set_name), sorted_set_put=put)
    return momento._SortedSetPutResponse()


async def _fetch(
    storages: Storages, cache: str, request: momento._SortedSetFetchRequest
) -> momento._SortedSetFetchResponse:
    descending = request.order == momento._SortedSetFetchRequest.DESCENDING
    operation: dict[str, Any]
    if request.WhichOneof("range") == "by_score":
        operation = {"sorted_set_by_score": _by_score(request.by_score, descending)}
    else:
        operation = {"sorted_set_by_rank": _by_rank(request.by_index, descending)}
    answer = await storages.operate(cache, _name(request.set_name), **operation)
    response = momento._SortedSetFetchResponse
    if answer is None:
        return response(missing=response._Missing())
    found = response._Found
    values, scores = answer.scored.values, answer.scored.scores
    if not request.with_scores:
        return response(found=found(values=found._Values(values=values)))
    elements = [
        momento._SortedSetElement(value=value, score=score)
        for value, score in zip(values, scores, strict=True)
    ]
    return response(found=found(values_with_scores=found._ValuesWithScores(elements=elements)))


def _by_rank(by_index: momento._SortedSetFetchRequest._ByIndex, descending: bool) -> Any:
    start = by_index.inclusive_start_index if by_index.HasField("inclusive_start_index") else None
    end = by_index.exclusive_end_index if by_index.HasField("exclusive_end_index") else None
    return ITEMS.SortedSetByRank(start=start, end=end, descending=descending)


def _by_score(by_score: momento._SortedSetFetchRequest._ByScore, descending: bool) -> Any:
    least = most = None
    if by_score.HasField("min_score"):
        least = _bound(by_score.min_score.score, by_score.min_score.exclusive)
    if by_score.HasField("max_score"):
        most = _bound(by_score.max_score.score, by_score.max_score.exclusive)
    # A negative count is all of them.
    count = by_score.count if by_score.count >= 0 else None
    return ITEMS.SortedSetByScore(
        least=least, most=most, descending=descending, offset=by_score.offset, count=count
    )


async def _get_score(
    storages: Storages, cache: str, request: momento._SortedSetGetScoreRequest
) -> momento._SortedSetGetScoreResponse:
    scores = ITEMS.SortedSetScores(values=list(request.values))
    answer = await storages.operate(cache, _name(request.set_name), sorted_set_scores=scores)
    response = momento._SortedSetGetScoreResponse
    if answer is None:
        return response(missing=response._SortedSetMissing())
    part = response._SortedSetGetScoreResponsePart
    parts = [
        part(result=momento.Hit, score=score) if found else part(result=momento.Miss)
        for found, score in zip(answer.scores.found, answer.scores.scores, strict=True)
    ]
    return response(found=response._SortedSetFound(elements=parts))


async def _remove(
    storages: Storages, cache: str, request: momento._SortedSetRemoveRequest
) -> momento._SortedSetRemoveResponse:
    name = _name(request.set_name)
    which = request.WhichOneof("remove_elements")
    if which == "all":
        await storages.operate(cache, name, clear=ITEMS.Clear(kind=SORTED_SET))
    elif which == "some":
        remove = ITEMS.SortedSetRemove(values=list(request.some.values))
        await storages.operate(cache, name, sorted_set_remove=remove)
    else:
        raise invalid("the request does not say which elements to remove")
    return momento._SortedSetRemoveResponse()


async def _increment(
    storages: Storages, cache: str, request: momento._SortedSetIncrementRequest
) -> momento._SortedSetIncrementResponse:
    increment = ITEMS.SortedSetIncrement(
        value=request.value,
        amount=_number(request.amount),
        ttl_milliseconds=request.ttl_milliseconds,
        refresh_ttl=request.refresh_ttl,
    )
    answer = await storages.operate(cache, _name(request.set_name), sorted_set_increment=increment)
    return momento._SortedSetIncrementResponse(score=answer.score.value)


async def _get_rank(
    storages: Storages, cache: str, request: momento._SortedSetGetRankRequest
) -> momento._SortedSetGetRankResponse:
    descending = request.order == momento._SortedSetGetRankRequest.DESCENDING
    rank = ITEMS.SortedSetRank(value=request.value, descending=descending)
    answer = await storages.operate(cache, _name(request.set_name), sorted_set_rank=rank)
    response = momento._SortedSetGetRankResponse
    # Without the set too: the SDKs look at the part alone.
    part = response._RankResponsePart(result=momento.Miss)
    if answer is not None:
        part = response._RankResponsePart(result=momento.Hit, rank=answer.number.value)
    return response(element_rank=part)


async def _length(
    storages: Storages, cache: str, request: momento._SortedSetLengthRequest
) -> momento._SortedSetLengthResponse:
    length = ITEMS.Length(kind=SORTED_SET)
    answer = await storages.operate(cache, _name(request.set_name), length=length)
    response = momento._SortedSetLengthResponse
    if answer is None:
        return response(missing=response._Missing())
    return response(found=response._Found(length=answer.number.value))


async def _length_by_score(
    storages: Storages, cache: str, request: momento._SortedSetLengthByScoreRequest
) -> momento._SortedSetLengthByScoreResponse:
    bounds = []
    for side in ("min", "max"):
        which = request.WhichOneof(side)
        bound = None
        if which is not None and not which.startswith("unbounded"):
            bound = _bound(getattr(request, which), which.startswith("exclusive"))
        bounds.append(bound)
    count = ITEMS.SortedSetCount(least=bounds[0], most=bounds[1])
    answer = await storages.operate(cache, _name(request.set_name), sorted_set_count=count)
    response = momento._SortedSetLengthByScoreResponse
    if answer is None:
        return response(missing=response._Missing())
    return response(found=response._Found(length=answer.number.value))


async def _union_store(
    storages: Storages, cache: str, request: momento._SortedSetUnionStoreRequest
) -> momento._SortedSetUnionStoreResponse:
    if not request.sources:
        raise invalid("there are no sources in the request")
    sources = [(_name(source.set_name), source.weight) for source in request.sources]
    combined = await union(storages, cache, sources, request.aggregate)
    store = ITEMS.SortedSetStore(
        values=list(combined), scores=list(combined.values()), ttl_milliseconds=request.ttl_milliseconds
    )
    await storages.operate(cache, _name(request.set_name), sorted_set_store=store)
    return momento._SortedSetUnionStoreResponse(length=len(combined))


def _bound(score: float, exclusive: bool) -> Any:
    return ITEMS.ScoreBound(score=_number(score), exclusive=exclusive)


def _number(score: float) -> float:
    if math.isnan(score):
        raise invalid("a score is a number")
    return score


def _name(name: bytes) -> bytes:
    return not_empty(name, "name of the sorted set")


SORTED_SET_METHODS: dict[str, Callable[..., Awaitable[Any]]] = {
    "SortedSetPut": _put,
    "SortedSetFetch": _fetch,
    "SortedSetGetScore": _get_score,
    "SortedSetRemove": _remove,
    "SortedSetIncrement": _increment,
    "SortedSetGetRank": _get_rank,
    "SortedSetLength": _length,
    "SortedSetLengthByScore": _length_by_score,
    "SortedSetUnionStore": _union_store,
}
