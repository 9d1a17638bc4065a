"""Operations on sorted sets."""

from __future__ import annotations

from typing import Any

from protosocket.cache.commands.operations.answers import DONE, Answer, done_if, number, scored
from protosocket.cache.commands.operations.operation import Operation
from protosocket.cache.engine import Engine
from protosocket.cache.item_messages import ITEMS

__all__ = ["SORTED_SETS"]


def _sorted_set_put(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    engine.sorted_set_put(namespace, key, it.values, it.scores, it.ttl_milliseconds, it.refresh_ttl)
    return DONE


def _sorted_set_store(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    engine.sorted_set_store(namespace, key, it.values, it.scores, it.ttl_milliseconds)
    return DONE


def _sorted_set_increment(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    ttl, refresh = it.ttl_milliseconds, it.refresh_ttl
    score = engine.sorted_set_increment(namespace, key, it.value, it.amount, ttl, refresh)
    return Answer(score=ITEMS.Score(value=score))


def _sorted_set_remove(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return done_if(engine.sorted_set_remove(namespace, key, it.values))


def _sorted_set_scores(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    scores = engine.sorted_set_scores(namespace, key, it.values)
    if scores is None:
        return None
    found = [score is not None for score in scores]
    return Answer(scores=ITEMS.Scores(found=found, scores=[score or 0.0 for score in scores]))


def _sorted_set_rank(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return number(engine.sorted_set_rank(namespace, key, it.value, it.descending))


def _sorted_set_by_rank(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return scored(engine.sorted_set_by_rank(namespace, key, it.start, it.end, it.descending))


def _sorted_set_by_score(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    least, most = _bound(it.least), _bound(it.most)
    found = engine.sorted_set_by_score(namespace, key, least, most, it.descending, it.offset, it.count)
    return scored(found)


def _sorted_set_count(engine: Engine, namespace: str, key: bytes, it: Any) -> Any:
    return number(engine.sorted_set_count(namespace, key, _bound(it.least), _bound(it.most)))


def _bound(bound: Any) -> tuple[float, bool] | None:
    return None if bound is None else (bound.score, bound.exclusive)


SORTED_SETS: dict[str, Operation] = {
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
