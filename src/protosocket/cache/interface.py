"""The interfaces that the cache's transports have in common, whichever carries a hop."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from types import TracebackType
from typing import Any, Protocol, Self

from protosocket.cache.results import GetResult

__all__ = ["Backend", "CacheClient", "Listening"]


class CacheClient(Protocol):
    """A client of the cache; ``async with`` closes it.

    Every ``timeout`` is in seconds, ``None`` waits for as long as the connection lives. Cancelling a call
    gives up waiting; a ``set`` or ``delete`` may or may not have happened by then. All calls raise
    ``CacheUnavailable`` when the router or the key's storage is down, ``Unauthenticated`` without an accepted
    token, ``DeadlineExceeded`` after ``timeout``, and ``CacheError`` for any other error of the cache.
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


class Backend(Protocol):
    """A router's way to its storages: it picks the storage of a key and carries one command there."""

    def call(self, key: bytes, message_id: int, command: bytes, /) -> Awaitable[bytes]:
        """The encoded ``CacheResponse`` to the encoded ``CacheCommand``, with the same message id.

        ``key`` and ``message_id`` are those in ``command``, parsed once by the front. Raises
        ``CacheUnavailable``, from the call or from awaiting it, as soon as the key's storage is known to be
        down. Cancelling gives up waiting; the storage may still carry the command out.
        """
        ...

    async def connect(self, timeout: float) -> None:
        """Wait until every storage is connected, for ``timeout`` seconds at most.

        Returns in any case: a storage that is down is used when it comes up.
        """
        ...

    async def close(self) -> None:
        """Close the connections; calls still waiting fail with ``CacheUnavailable``. Again does nothing."""
        ...


class Listening(Protocol):
    """A server that is accepting connections."""

    @property
    def url(self) -> str:
        """Where it listens, with the real port."""
        ...

    async def close(self, grace: float = 5.0) -> None:
        """Stop accepting, give calls under way ``grace`` seconds, then end them. Again does nothing."""
        ...
