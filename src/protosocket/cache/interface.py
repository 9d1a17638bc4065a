"""The interfaces that the cache's transports have in common, whichever carries a hop."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from protosocket.cache.client import CacheClient

__all__ = ["Backend", "CacheClient", "Listening"]


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
