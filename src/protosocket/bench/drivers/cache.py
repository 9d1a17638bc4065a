"""Drives any client of the cache: what the cache's drivers have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protosocket.bench.operations import Operations, Verb
from protosocket.cache.results import Hit, Miss

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from protosocket.bench.driver import Endpoint, Verdict
    from protosocket.cache.interface import CacheClient

__all__ = ["LONGEST_TTL", "CacheDriver"]

# For a keyspace without a ttl: nothing may expire while it is measured.
LONGEST_TTL = 24 * 3600.0


class CacheDriver:
    """Calls the operations on ``CacheClient``s that ``connect`` makes, one after the other in turn."""

    def __init__(
        self, connect: Callable[[], Awaitable[list[CacheClient]]], endpoint: Endpoint, operations: Operations
    ) -> None:
        self._connect = connect
        self._clients: list[CacheClient] = []
        self._namespace = endpoint.cache_name
        self._connect_timeout = endpoint.connect_timeout
        self._timeout = endpoint.request_timeout
        self._mask = operations.mask
        self._gets = [verb is Verb.GET for verb in operations.verbs]
        self._verbs = operations.verbs
        self._keys = operations.keys
        self._values = operations.values
        self._lengths = operations.lengths
        self._ttls = [LONGEST_TTL if ttl is None else ttl for ttl in operations.ttls]
        self._prefill = operations.prefill

    async def start(self) -> None:
        """Connect, which some clients do with the first call. Raises the client's errors."""
        self._clients = await self._connect()
        for client in self._clients:
            await client.get(self._namespace, self._keys[0], timeout=self._connect_timeout)

    def call(self, index: int) -> Awaitable[object]:
        """Begin operation number ``index``."""
        clients = self._clients
        client = clients[index % len(clients)]
        index &= self._mask
        if self._gets[index]:
            return client.get(self._namespace, self._keys[index], timeout=self._timeout)
        if self._verbs[index] is Verb.SET:
            return client.set(
                self._namespace,
                self._keys[index],
                self._values[index],
                self._ttls[index],
                timeout=self._timeout,
            )
        return client.delete(self._namespace, self._keys[index], timeout=self._timeout)

    def verify(self, index: int, answer: object) -> Verdict:
        """Whether a get found a value of the right length, and a set or delete was answered with nothing."""
        index &= self._mask
        if self._gets[index]:
            if isinstance(answer, Hit):
                return None if len(answer.value) == self._lengths[index] else "wrong length"
            return "miss" if isinstance(answer, Miss) else "wrong answer"
        return None if answer is None else "wrong answer"

    async def prefill(self, number: int) -> None:
        """Set entry ``number`` of the operations' ``prefill``."""
        key, value, ttl = self._prefill[number]
        client = self._clients[number % len(self._clients)]
        await client.set(
            self._namespace, key, value, LONGEST_TTL if ttl is None else ttl, timeout=self._timeout
        )

    async def close(self) -> None:
        """Close the clients."""
        for client in self._clients:
            await client.close()
