"""The four systems the talk compares: which transport each hop takes, and their programs started for real."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from protosocket.bench.driver import Endpoint
from protosocket.bench.jobs import Prefill
from protosocket.cache.transports import FRONTS, TRANSPORTS

if TYPE_CHECKING:
    from protosocket.bench.processes import Processes
    from protosocket.cache.transports import Front, Transport

__all__ = ["COLUMNS", "Column", "Places", "System", "start_system"]

CLIENT_HOP = "client-router"
STORAGE_HOP = "router-storage"


@dataclass(frozen=True, slots=True)
class Places:
    """The processors that the client may run on and those of the servers; None: all of them."""

    client: frozenset[int] | None = None
    servers: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One system: how a client speaks to the router, and the router to its storage.

    ``placed``: the client has one processor to itself and the router shares another with the storage, instead
    of each going wherever the kernel puts it.
    """

    name: str
    title: str
    front: Front
    transport: Transport
    placed: bool = False

    @property
    def places(self) -> Places:
        """Where its programs may run, of the processors that this process may use."""
        if not self.placed:
            return Places()
        processors = sorted(os.sched_getaffinity(0))
        return Places(client=frozenset(processors[:1]), servers=frozenset(processors[-1:]))


COLUMNS: tuple[Column, ...] = tuple(
    Column(each.name, each.title, FRONTS[each.front], transport)
    for transport in TRANSPORTS.values()
    for each in transport.columns
)
"""In the order of the talk's table."""


@dataclass(frozen=True, slots=True)
class System:
    """A running router and storage: where clients connect, and whose cost is read.

    ``quick`` is the quickest way to fill the storage: its URL and the driver for it.
    """

    url: str
    quick: tuple[str, str]
    pids: dict[str, int]
    hops: dict[str, str]

    def prefill(self, cache_name: str) -> Prefill:
        """Fill the storage itself if that can be, which is quicker than through the router."""
        url, driver = self.quick
        return Prefill(driver=driver, endpoint=Endpoint(urls=(url,), cache_name=cache_name))


async def start_system(processes: Processes, column: Column, connections: int) -> System:
    """Start a storage and a router with ``connections`` between them.

    Raises ProcessError, with what the program wrote, if one does not start.
    """
    title = f"{column.name}, placed" if column.placed else column.name
    servers = column.places.servers
    storage = await processes.program(
        f"storage of {title}", "storage", "--listen", column.transport.listen_url, processors=servers
    )
    router = await processes.program(
        f"router of {title}",
        "router",
        *("--listen", column.front.listen_url),
        *("--storage", storage.url),
        *("--transport", column.transport.name),
        *("--connections", str(connections)),
        processors=servers,
    )
    direct = column.transport.front
    return System(
        url=router.url,
        quick=(router.url, column.front.name) if direct is None else (storage.url, direct),
        pids={"router": router.pid, "storage": storage.pid},
        hops={CLIENT_HOP: router.url, STORAGE_HOP: storage.url},
    )
