"""What a storage server keeps its entries in: the interface of an engine, and the default one."""

from __future__ import annotations

from typing import Protocol, TypedDict

from protosocket._core import CacheEngine
from protosocket.cache.engine_collections import Dictionaries, Lists, Sets, SortedSets
from protosocket.errors import OptionError

__all__ = ["DEFAULT_MAX_MEMORY", "Engine", "Statistics", "create_engine"]

DEFAULT_MAX_MEMORY = 256 * 1024 * 1024
"""Bytes; keys, values and a fixed overhead of 256 bytes per entry count."""

_SMALLEST = 64 * 1024


class Statistics(TypedDict):
    """Counters since the engine was made; ``items`` and ``bytes_used`` are what it holds now.

    ``items`` includes expired entries that nobody has come across yet; ``evictions`` are entries dropped for
    the memory limit, ``expired`` those whose time was over.
    """

    items: int
    bytes_used: int
    hits: int
    misses: int
    evictions: int
    expired: int


class Engine(Dictionaries, Sets, Lists, SortedSets, Protocol):
    """A bounded key-value store with a time to live per entry, of plain values and of collections.

    Each namespace is a key space of its own; all share one memory limit. Calls never block. Kinds are the
    numbers of Momento's ItemType: 0 a plain value, 1 a dictionary, 2 a set, 3 a list, 4 a sorted set.
    """

    def get(self, namespace: str | bytes, key: bytes, /) -> bytes | None:
        """The live value under the key, or ``None``; the very object that was stored.

        Raises ``CacheError`` with code 9 (FAILED_PRECONDITION) for a collection.
        """
        ...

    def set(self, namespace: str | bytes, key: bytes, value: bytes, ttl_ms: int, /) -> None:
        """Store ``value`` for ``ttl_ms`` milliseconds (0 to 2**64 - 1), replacing what was there.

        A ``ttl_ms`` of 0 has passed at once, as at Momento: the call succeeds, and nothing is under the key.
        Raises ``CacheError`` with code 8 (RESOURCE_EXHAUSTED), changing nothing, when the entry could never
        fit into the memory limit.
        """
        ...

    def delete(self, namespace: str | bytes, key: bytes, /) -> bool:
        """Remove the entry; whether a live one was there."""
        ...

    def set_if(
        self,
        namespace: str | bytes,
        key: bytes,
        value: bytes,
        ttl_ms: int,
        condition: int,
        other: bytes,
        /,
    ) -> bool:
        """Do what ``set`` does if a condition holds; whether it did.

        ``condition`` is a number of ``SetIf.Condition`` in proto/cache_items.proto, ``ValueError`` if
        there is none; ``other`` is what some compare with, which is ``CacheError`` code 9 for a collection.
        """
        ...

    def increment(self, namespace: str | bytes, key: bytes, amount: int, ttl_ms: int, /) -> int:
        """Add to a value of decimal digits, or make it, for ``ttl_ms`` from now; the sum.

        Raises ``CacheError`` code 9 if the value or the sum is no integer of 64 bits.
        """
        ...

    def inspect(self, namespace: str | bytes, key: bytes, /) -> tuple[int, int] | None:
        """The kind of what is under the key, and the milliseconds it has left."""
        ...

    def update_ttl(self, namespace: str | bytes, key: bytes, ttl_ms: int, change: int, /) -> bool | None:
        """Change the time to live: 0 in any case, 1 to a longer one only, 2 to a shorter one only.

        Whether it was changed; ``None`` if nothing is there. ``ValueError`` for another ``change``.
        """
        ...

    def length(self, namespace: str | bytes, key: bytes, kind: int, /) -> int | None:
        """How many elements the collection has; ``CacheError`` code 9 if it is not of this kind."""
        ...

    def clear(self, namespace: str | bytes, key: bytes, kind: int, /) -> bool:
        """Remove the collection; whether there was one. ``CacheError`` code 9 if it is not of this kind."""
        ...

    def create_cache(self, name: str, /) -> bool:
        """Note that there is a cache of this name; whether there was none.

        Namespaces can be used without it. Raises ``CacheError``: code 3 for a name of more than 256 bytes, 8
        when there are 10,000.
        """
        ...

    def delete_cache(self, name: str, /) -> bool:
        """Remove a cache and do what ``flush`` does; whether there was one."""
        ...

    def caches(self) -> list[str]:
        """The names of the caches, sorted."""
        ...

    def flush(self, namespace: str | bytes, /) -> int:
        """Remove all entries of a namespace; how many there were. It looks at every entry there is."""
        ...

    def sweep(self, limit: int, /) -> int:
        """Look at up to ``limit`` entries, going round, and remove the expired; how many were removed."""
        ...

    def statistics(self) -> Statistics:
        """The counters and the present size."""
        ...


def create_engine(max_memory: int = DEFAULT_MAX_MEMORY) -> Engine:
    """An empty in-process engine that charges at most ``max_memory`` bytes (at least 64 KiB).

    It is for one event loop: calls from several threads at once raise ``RuntimeError``.
    Raises ``OptionError`` for a smaller limit.
    """
    if max_memory < _SMALLEST:
        raise OptionError(f"max_memory is at least {_SMALLEST} bytes, not {max_memory}")
    return CacheEngine(max_memory)
