"""The answers that several operations give."""

from __future__ import annotations

from typing import Any

from protosocket.cache.item_messages import ITEMS

__all__ = ["DONE", "Answer", "done_if", "elements", "flag", "number", "scored"]

Answer: Any = ITEMS.ItemAnswer
DONE = Answer(done=ITEMS.Done())


def flag(value: bool | None) -> Any:
    """Yes or no; ``None`` if nothing is there."""
    return None if value is None else Answer(flag=ITEMS.Flag(value=value))


def number(value: int | None) -> Any:
    """A number; ``None`` if nothing is there."""
    return None if value is None else Answer(number=ITEMS.Number(value=value))


def done_if(found: bool) -> Any:
    """Done, if something was there."""
    return DONE if found else None


def elements(found: list[bytes] | None) -> Any:
    """Elements; ``None`` if nothing is there."""
    return None if found is None else Answer(elements=ITEMS.Elements(elements=found))


def scored(found: tuple[list[bytes], list[float]] | None) -> Any:
    """Elements with their scores; ``None`` if nothing is there."""
    if found is None:
        return None
    values, scores = found
    return Answer(scored=ITEMS.Scored(values=values, scores=scores))
