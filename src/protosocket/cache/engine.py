"""What a storage server keeps its entries in: the interface of an engine, and the default one."""

from __future__ import annotations

from typing import Protocol, TypedDict

from protosocket._core import CacheEngine
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


class Engine(Protocol):
    """A bounded key-value store with a time to live per entry.

    Each namespace is a key space of its own; all share one memory limit. Calls never block.
    """

    def get(self, namespace: str | bytes, key: bytes, /) -> bytes | None:
        """The live value under the key, or ``None``; the very object that was stored."""
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
