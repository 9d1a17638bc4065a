"""The serving end: ports, connections, and the calls of servicers' methods."""

from __future__ import annotations

from protosocket.grpc.server.server import Server, server

__all__ = ["Server", "server"]
