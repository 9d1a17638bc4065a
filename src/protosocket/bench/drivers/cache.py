"""Drives a router (or a storage) of the cache with the clients of any front."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from protosocket.bench.operations import Operations, Verb
from protosocket.cache.results import Hit, Miss
from protosocket.cache.transports import ClientHop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from protosocket.bench.driver import Driver, DriverFactory, Endpoint, Verdict
    from protosocket.cache.client import CacheClient
    from protosocket.cache.transports import Front

__all__ = ["LONGEST_TTL", "CacheDriver", "driver_of"]

# For a keyspace without a ttl: nothing may expire while it is measured.
LONGEST_TTL = 24 * 3600.0


def driver_of(front: Front) -> DriverFactory:
    """Drivers with a client of ``front``, which is one connection, for each connection of an endpoint."""

    def driver(endpoint: Endpoint, operations: Operations) -> Driver:
        async def connect() -> list[CacheClient]:
            front.prepare(asyncio.get_running_loop())
            hop = ClientHop()
            return [front.client(url, hop) for _ in range(endpoint.connections) for url in endpoint.urls]

        return CacheDriver(connect, endpoint, operations)

    return driver


class CacheDriver:
    """Calls the operations on ``CacheClient``s that ``connect`` makes, one after the other in turn."""

    def __init__(
        self, connect: Callable[[], Awaitable[list[CacheClient]]], endpoint: Endpoint, operations: Operations
    ) -> None:
        self._connect = connect
        self._clients: list[CacheClient] = []
        self._endpoint = endpoint
        self._operations = operations
        self.call: Callable[[int], Awaitable[object]] = _not_started
        """Begin an operation by its number, once started."""
        self.verify = _verdicts(operations)
        """Judge the answer to an operation: its number, and the answer. A get is to find a value of the right
        length, a set or delete is to be answered with nothing.
        """

    async def start(self) -> None:
        """Connect, which some clients do with the first call. Raises the client's errors."""
        endpoint = self._endpoint
        self._clients = await self._connect()
        for client in self._clients:
            key = self._operations.keys[0]
            await client.get(endpoint.cache_name, key, timeout=endpoint.connect_timeout)
        self.call = _calls(self._clients, endpoint, self._operations)

    async def prefill(self, number: int) -> None:
        """Set entry ``number`` of the operations' ``prefill``."""
        key, value, ttl = self._operations.prefill[number]
        client = self._clients[number % len(self._clients)]
        seconds = LONGEST_TTL if ttl is None else ttl
        await client.set(
            self._endpoint.cache_name, key, value, seconds, timeout=self._endpoint.request_timeout
        )

    async def close(self) -> None:
        """Close the clients."""
        for client in self._clients:
            await client.close()


# Functions within functions, as what they look up is found quicker there than in an object.


def _not_started(index: int) -> Awaitable[object]:
    raise RuntimeError(f"operation {index} was begun before the driver was started")


def _calls(
    clients: Sequence[CacheClient], endpoint: Endpoint, operations: Operations
) -> Callable[[int], Awaitable[object]]:
    verbs, keys, values = operations.verbs, operations.keys, operations.values
    gets = [verb is Verb.GET for verb in verbs]
    ttls = [LONGEST_TTL if ttl is None else ttl for ttl in operations.ttls]
    namespace, timeout, count = endpoint.cache_name, endpoint.request_timeout, len(clients)

    def call(index: int) -> Awaitable[object]:
        client = clients[index % count]
        if gets[index]:
            return client.get(namespace, keys[index], timeout=timeout)
        if verbs[index] is Verb.SET:
            return client.set(namespace, keys[index], values[index], ttls[index], timeout=timeout)
        return client.delete(namespace, keys[index], timeout=timeout)

    return call


def _verdicts(operations: Operations) -> Callable[[int, object], Verdict]:
    lengths = operations.lengths
    gets = [verb is Verb.GET for verb in operations.verbs]

    def verify(index: int, answer: object) -> Verdict:
        if gets[index]:
            if isinstance(answer, Hit):
                return None if len(answer.value) == lengths[index] else "wrong length"
            return "miss" if isinstance(answer, Miss) else "wrong answer"
        return None if answer is None else "wrong answer"

    return verify
