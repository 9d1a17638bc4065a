"""The four systems the talk compares: which transport each hop takes, and their programs started for real."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from protosocket.bench.driver import Endpoint
from protosocket.bench.jobs import Prefill

if TYPE_CHECKING:
    from protosocket.bench.processes import Processes
    from protosocket.bench.workload import Protocol

__all__ = ["COLUMNS", "Column", "Places", "System", "start_system"]

LISTEN = {
    "grpc": ("--grpc-listen", "grpc://127.0.0.1:0"),
    "protosocket": ("--listen", "tcp://127.0.0.1:0"),
}

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

    name: Protocol
    title: str
    driver: Literal["grpc", "protosocket"]
    transport: Literal["grpc-unary", "grpc-stream", "protosocket"]
    placed: bool = False

    @property
    def places(self) -> Places:
        """Where its programs may run, of the processors that this process may use."""
        if not self.placed:
            return Places()
        processors = sorted(os.sched_getaffinity(0))
        return Places(client=frozenset(processors[:1]), servers=frozenset(processors[-1:]))


COLUMNS: tuple[Column, ...] = (
    Column("grpc-unary", "gRPC unary", "grpc", "grpc-unary"),
    Column("grpc-stream", "gRPC streaming", "grpc", "grpc-stream"),
    Column("protosocket-backend", "protosocket\nrouter → storage", "grpc", "protosocket"),
    Column("protosocket", "protosocket\nclient → router → storage", "protosocket", "protosocket"),
)
"""In the order of the talk's table."""


@dataclass(frozen=True, slots=True)
class System:
    """A running router and storage: where clients connect, and whose cost is read."""

    url: str
    storage_url: str
    storage_driver: Literal["grpc", "protosocket"]
    pids: dict[str, int]
    hops: dict[str, str]

    def prefill(self, cache_name: str) -> Prefill:
        """Fill the storage itself, which is quicker than through the router."""
        endpoint = Endpoint(urls=(self.storage_url,), cache_name=cache_name)
        return Prefill(driver=self.storage_driver, endpoint=endpoint)


async def start_system(processes: Processes, column: Column, connections: int) -> System:
    """Start a storage and a router with ``connections`` between them.

    Raises ProcessError, with what the program wrote, if one does not start.
    """
    storage_driver: Literal["grpc", "protosocket"]
    storage_driver = "protosocket" if column.transport == "protosocket" else "grpc"
    title = f"{column.name}, placed" if column.placed else column.name
    servers = column.places.servers
    storage = await processes.program(
        f"storage of {title}", "storage", *LISTEN[storage_driver], processors=servers
    )
    router = await processes.program(
        f"router of {title}",
        "router",
        *LISTEN[column.driver],
        *("--storage", storage.url),
        *("--transport", column.transport),
        *("--connections", str(connections)),
        processors=servers,
    )
    return System(
        url=router.url,
        storage_url=storage.url,
        storage_driver=storage_driver,
        pids={"router": router.pid, "storage": storage.pid},
        hops={CLIENT_HOP: router.url, STORAGE_HOP: storage.url},
    )
