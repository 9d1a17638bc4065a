"""A protosocket server as the cache's programs see it."""

from __future__ import annotations

import asyncio
from typing import Any

from protosocket.connection import Server

__all__ = ["ServerListening"]


class ServerListening:
    """Implements ``Listening`` for a protosocket server."""

    def __init__(self, server: Server[Any]) -> None:
        self._server = server

    @property
    def url(self) -> str:
        """Where it listens, with the real port."""
        return self._server.addresses[0]

    async def close(self, grace: float = 5.0) -> None:
        """Stop accepting, give calls under way ``grace`` seconds, then end them. Again does nothing."""
        try:
            async with asyncio.timeout(grace):
                await self._server.close()
        except TimeoutError:
            connections = self._server.protocols
            for connection in connections:
                connection.abort()
            await asyncio.gather(*(connection.wait_closed() for connection in connections))
