"""This project's RPC with protobuf messages and a handler that is an ordinary function.

As ``protosocket_async``, with ``def unary``: for handlers that never wait.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from benchmarks.protobuf_messages import answer
from benchmarks.systems.protosocket_async import CODEC, driver
from protosocket import rpc

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.store import Store
    from protosocket.cache.protosocket_cache_pb2 import CacheCommand, CacheResponse

__all__ = ["driver", "serve"]


class Cache(rpc.Service):
    """A cache; ``store`` is shared by all connections."""

    store: Store = {}  # noqa: RUF012 - one for the process

    def unary(self, request: CacheCommand) -> CacheResponse:  # type: ignore[override]
        """One get or set."""
        return answer(self.store, request)


async def serve(announce: Callable[[str], None]) -> None:
    """Serve until cancelled."""
    async with rpc.serve("tcp://127.0.0.1:0", Cache, CODEC) as server:
        announce(server.addresses[0])
        await asyncio.Event().wait()
