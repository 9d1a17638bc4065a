"""gRPC over protosocket: the stub and the servicer of ``grpc_unary``, on another channel and another server.

Nothing is tuned. protosocket.grpc has no options that would make it faster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import protosocket.grpc
from benchmarks.client import host_and_port
from benchmarks.systems.grpc_unary import UnaryDriver, serve_calls

if TYPE_CHECKING:
    from collections.abc import Callable

    from grpc import aio

    from protosocket.bench.driver import Driver, Endpoint
    from protosocket.bench.operations import Operations

__all__ = ["driver", "serve"]


async def serve(announce: Callable[[str], None]) -> None:
    """Serve until cancelled."""
    await serve_calls(announce, protosocket.grpc.server())


def _open_channel(url: str) -> aio.Channel:
    host, port = host_and_port(url)
    return protosocket.grpc.insecure_channel(f"{host}:{port}")


class ProtosocketDriver(UnaryDriver):
    """The same calls through the same stub."""

    open_channel = staticmethod(_open_channel)


def driver(endpoint: Endpoint, operations: Operations) -> Driver:
    """A client of ``endpoint``."""
    return ProtosocketDriver(endpoint, operations)
