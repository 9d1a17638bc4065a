"""A protosocket server as the cache's programs see it."""

from __future__ import annotations

import asyncio
from typing import Any

from protosocket.connection import ConnectionProtocol, Server

__all__ = ["ServerListening"]


class ServerListening:
    """Implements ``Listening`` for a protosocket server."""

    def __init__(self, server: Server[Any]) -> None:
        self._server = server

    @property
    def url(self) -> str:
        """Where it listens, with the real port."""
        return self._server.addresses[0]

    @property
    def protocols(self) -> frozenset[ConnectionProtocol]:
        """The protocol objects of its connections: their peers and statistics."""
        return self._server.protocols

    async def close(self, grace: float = 5.0) -> None:
        """Stop accepting, give calls under way ``grace`` seconds, then end them. Again does nothing."""
        try:
            async with asyncio.timeout(grace):
                await self._server.close()
        except TimeoutError:
            for connection in self._server.protocols:
                connection.abort()
            # What was cut off has ended, and the sockets are closed, once this returns.
            await self._server.close()
