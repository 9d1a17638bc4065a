"""This project's RPC with native messages and event loops that do not sleep between messages.

As ``protosocket_native`` with ``ConnectionOptions(busy_poll=0.00005)`` at both ends: a reply that comes
within 50 µs needs no wake-up by the kernel, and both processes keep a processor busy while they wait for one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from benchmarks.systems.protosocket_native import CODEC, Cache, NativeDriver
from protosocket import rpc
from protosocket.options import ConnectionOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from protosocket.bench.driver import Driver, Endpoint
    from protosocket.bench.operations import Operations

__all__ = ["driver", "serve"]

OPTIONS = ConnectionOptions(busy_poll=0.000_05)


async def serve(announce: Callable[[str], None]) -> None:
    """Serve until cancelled."""
    async with rpc.serve("tcp://127.0.0.1:0", Cache, CODEC, options=OPTIONS) as server:
        announce(server.addresses[0])
        await asyncio.Event().wait()


class BusyDriver(NativeDriver):
    """The same calls with other options."""

    options = OPTIONS


def driver(endpoint: Endpoint, operations: Operations) -> Driver:
    """A client of ``endpoint``."""
    return BusyDriver(endpoint, operations)
