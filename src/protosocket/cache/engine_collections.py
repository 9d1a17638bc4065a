"""The interface of an engine's collections: dictionaries, sets, lists and sorted sets.

Every method is one step that nothing else comes between. Elements are ``bytes``, times to live milliseconds;
that of a collection counts when the collection is made, and later only if ``refresh`` is true. Nothing there
is ``None`` or ``False``; a collection that becomes empty is removed. All raise ``CacheError``: code 9
(FAILED_PRECONDITION) when what is under the key is of another kind, and code 8 (RESOURCE_EXHAUSTED), changing
nothing, when the collection would become too large.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

__all__ = ["Dictionaries", "Lists", "Sets", "SortedSets"]

Namespace = str | bytes
Scored = tuple[list[bytes], list[float]]
Bound = tuple[float, bool]


class Dictionaries(Protocol):
    """Fields with values."""

    def dictionary_set(
        self,
        namespace: Namespace,
        key: bytes,
        fields: Sequence[bytes],
        values: Sequence[bytes],
        ttl_ms: int,
        refresh: bool,
        /,
    ) -> None:
        """Set fields to values, as many as fields."""
        ...

    def dictionary_get(
        self, namespace: Namespace, key: bytes, fields: Sequence[bytes], /
    ) -> list[bytes | None] | None:
        """The value of each field."""
        ...

    def dictionary_fetch(self, namespace: Namespace, key: bytes, /) -> tuple[list[bytes], list[bytes]] | None:
        """All fields, and their values in the same order."""
        ...

    def dictionary_increment(
        self, namespace: Namespace, key: bytes, field: bytes, amount: int, ttl_ms: int, refresh: bool, /
    ) -> int:
        """Add to a field of decimal digits or make it; the sum. ``CacheError`` code 9 for any other field."""
        ...

    def dictionary_remove(self, namespace: Namespace, key: bytes, fields: Sequence[bytes], /) -> bool:
        """Remove fields; whether there was the dictionary."""
        ...


class Sets(Protocol):
    """Distinct elements."""

    def set_add(
        self,
        namespace: Namespace,
        key: bytes,
        elements: Sequence[bytes],
        ttl_ms: int,
        refresh: bool,
        /,
    ) -> None:
        """Add elements."""
        ...

    def set_remove(self, namespace: Namespace, key: bytes, elements: Sequence[bytes], /) -> bool:
        """Remove elements; whether there was the set."""
        ...

    def set_subtract_from(self, namespace: Namespace, key: bytes, elements: Sequence[bytes], /) -> bool:
        """Leave those of the elements that were not in the set; whether there was the set."""
        ...

    def set_fetch(self, namespace: Namespace, key: bytes, /) -> list[bytes] | None:
        """All elements."""
        ...

    def set_sample(self, namespace: Namespace, key: bytes, count: int, /) -> list[bytes] | None:
        """Up to ``count`` different elements at random."""
        ...

    def set_pop(self, namespace: Namespace, key: bytes, count: int, /) -> list[bytes] | None:
        """Take up to ``count`` elements out at random."""
        ...

    def set_contains(
        self, namespace: Namespace, key: bytes, elements: Sequence[bytes], /
    ) -> list[bool] | None:
        """Whether each element is in the set."""
        ...


class Lists(Protocol):
    """Elements in order. ``start`` and ``end`` are those of Python's slices."""

    def list_push(
        self,
        namespace: Namespace,
        key: bytes,
        values: Sequence[bytes],
        front: bool,
        keep: int | None,
        ttl_ms: int,
        refresh: bool,
        /,
    ) -> int:
        """Add values at an end, drop at the other what is more than ``keep`` elements; the new length."""
        ...

    def list_pop(self, namespace: Namespace, key: bytes, front: bool, /) -> tuple[bytes, int] | None:
        """Take an element out at an end; it, and the new length."""
        ...

    def list_fetch(
        self, namespace: Namespace, key: bytes, start: int | None, end: int | None, /
    ) -> list[bytes] | None:
        """The elements of a slice."""
        ...

    def list_retain(
        self,
        namespace: Namespace,
        key: bytes,
        start: int | None,
        end: int | None,
        ttl_ms: int,
        refresh: bool,
        /,
    ) -> int | None:
        """Leave the elements of a slice; the new length."""
        ...

    def list_remove(self, namespace: Namespace, key: bytes, value: bytes, /) -> int | None:
        """Remove every element equal to ``value``; the new length."""
        ...

    def list_erase(
        self, namespace: Namespace, key: bytes, ranges: Sequence[tuple[int, int]], /
    ) -> int | None:
        """Remove what lies in any range, a first index and a count each; the new length."""
        ...


class SortedSets(Protocol):
    """Distinct elements ordered by their scores, those of one score by their bytes.

    A bound is a score and whether it is itself excluded; ``None`` is no bound. NaN as a score is
    ``CacheError`` code 9.
    """

    def sorted_set_put(
        self,
        namespace: Namespace,
        key: bytes,
        values: Sequence[bytes],
        scores: Sequence[float],
        ttl_ms: int,
        refresh: bool,
        /,
    ) -> None:
        """Set the scores of elements, as many as values."""
        ...

    def sorted_set_store(
        self,
        namespace: Namespace,
        key: bytes,
        values: Sequence[bytes],
        scores: Sequence[float],
        ttl_ms: int,
        /,
    ) -> None:
        """Replace whatever is under the key by these elements."""
        ...

    def sorted_set_increment(
        self, namespace: Namespace, key: bytes, value: bytes, amount: float, ttl_ms: int, refresh: bool, /
    ) -> float:
        """Add to the score of an element or make it; the sum."""
        ...

    def sorted_set_remove(self, namespace: Namespace, key: bytes, values: Sequence[bytes], /) -> bool:
        """Remove elements; whether there was the sorted set."""
        ...

    def sorted_set_scores(
        self, namespace: Namespace, key: bytes, values: Sequence[bytes], /
    ) -> list[float | None] | None:
        """The score of each element."""
        ...

    def sorted_set_rank(
        self, namespace: Namespace, key: bytes, value: bytes, descending: bool, /
    ) -> int | None:
        """How many elements come before this one."""
        ...

    def sorted_set_by_rank(
        self,
        namespace: Namespace,
        key: bytes,
        start: int | None,
        end: int | None,
        descending: bool,
        /,
    ) -> Scored | None:
        """The elements of a slice, and their scores."""
        ...

    def sorted_set_by_score(
        self,
        namespace: Namespace,
        key: bytes,
        least: Bound | None,
        most: Bound | None,
        descending: bool,
        offset: int,
        count: int | None,
        /,
    ) -> Scored | None:
        """The elements between two bounds without the first ``offset``, at most ``count``; their scores."""
        ...

    def sorted_set_count(
        self, namespace: Namespace, key: bytes, least: Bound | None, most: Bound | None, /
    ) -> int | None:
        """How many elements are between two bounds."""
        ...
