"""What a client of the cache can do: the interface, and its methods by the command table."""

from __future__ import annotations

from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from protosocket.cache.commands.command import Command
from protosocket.cache.commands.delete import DELETE
from protosocket.cache.commands.get import GET
from protosocket.cache.commands.set import SET
from protosocket.cache.commands.touch import TOUCH
from protosocket.cache.results import GetResult

__all__ = ["CacheClient", "CommandMethods"]

R = TypeVar("R")


class CacheClient(Protocol):
    """A client of the cache; ``async with`` closes it.

    Every ``timeout`` is in seconds, ``None`` waits for as long as the connection lives. Cancelling a call
    gives up waiting; what writes may or may not have happened by then. All calls raise ``CacheUnavailable``
    when the router or the key's storage is down, ``Unauthenticated`` without an accepted token,
    ``DeadlineExceeded`` after ``timeout``, and ``CacheError`` for any other error of the cache.
    """

    def get(
        self, namespace: str, key: bytes, *, timeout: float | None = None
    ) -> Coroutine[Any, Any, GetResult]:
        """``Hit`` with the value, or ``Miss``."""
        ...

    def set(
        self, namespace: str, key: bytes, value: bytes, ttl: float, *, timeout: float | None = None
    ) -> Coroutine[Any, Any, None]:
        """Store ``value`` for ``ttl`` seconds (more than 0; milliseconds count, rounded up)."""
        ...

    def delete(
        self, namespace: str, key: bytes, *, timeout: float | None = None
    ) -> Coroutine[Any, Any, None]:
        """Remove the key; no error if it was not there."""
        ...

    def touch(
        self, namespace: str, key: bytes, ttl: float, *, timeout: float | None = None
    ) -> Coroutine[Any, Any, bool]:
        """Let what is under the key live for ``ttl`` seconds from now on; whether something was there."""
        ...

    async def close(self) -> None:
        """Close the connections; calls still waiting fail with ``CacheUnavailable``. Again does nothing."""
        ...

    async def __aenter__(self) -> Self:
        """The client itself."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close the client."""
        ...


class CommandMethods:
    """The methods of a ``CacheClient``, for a class that can carry a request: ``_carry``.

    What cannot be sent (a ``ttl`` that is none) is raised before anything is awaited.
    """

    def get(
        self, namespace: str, key: bytes, *, timeout: float | None = None
    ) -> Coroutine[Any, Any, GetResult]:
        """See ``CacheClient``."""
        return self._carry(GET, GET.request(namespace, key), timeout)

    def set(
        self, namespace: str, key: bytes, value: bytes, ttl: float, *, timeout: float | None = None
    ) -> Coroutine[Any, Any, None]:
        """See ``CacheClient``."""
        return self._carry(SET, SET.request(namespace, key, value, ttl), timeout)

    def delete(
        self, namespace: str, key: bytes, *, timeout: float | None = None
    ) -> Coroutine[Any, Any, None]:
        """See ``CacheClient``."""
        return self._carry(DELETE, DELETE.request(namespace, key), timeout)

    def touch(
        self, namespace: str, key: bytes, ttl: float, *, timeout: float | None = None
    ) -> Coroutine[Any, Any, bool]:
        """See ``CacheClient``."""
        return self._carry(TOUCH, TOUCH.request(namespace, key, ttl), timeout)

    def _carry(
        self, command: Command[..., R], request: bytes, timeout: float | None
    ) -> Coroutine[Any, Any, R]:
        """Send ``request``, and what ``command`` reads in the answer."""
        raise NotImplementedError
