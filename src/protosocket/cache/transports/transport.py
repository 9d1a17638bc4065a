"""What the registry knows of both hops: router to storages (transports), clients to router (fronts)."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Task
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from protosocket.cache.auth import TokenPolicy
from protosocket.cache.client import CacheClient
from protosocket.cache.interface import Backend, Listening
from protosocket.cache.storage import StorageHandler
from protosocket.connection import TLSOption
from protosocket.options import ConnectionOptions

__all__ = ["ClientHop", "Column", "Front", "ServedHop", "StorageHop", "Transport"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientHop:
    """How a client speaks to its router; what a front has no use for it leaves alone."""

    token: str | None = None
    tls: TLSOption | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageHop:
    """How a router speaks to each storage; what a transport has no use for it leaves alone."""

    connections: int = 1
    token: str | None = None
    options: ConnectionOptions | None = None
    tls: TLSOption | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedHop:
    """How a router or a storage serves those who come; what a transport has no use for it leaves alone."""

    tokens: TokenPolicy
    options: ConnectionOptions | None = None
    tls: TLSOption | None = None
    reuse_port: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """A system of the talk's benchmark: ``front`` names how clients reach the router."""

    name: str
    title: str
    front: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """The hop from a router to its storages."""

    name: str
    """The value of ``protosocket router --transport``."""

    schemes: tuple[str, ...]
    """Of the URLs of storages. One that several transports have belongs to the first in the registry."""

    listen_url: str
    """Any free port of this machine, as ``listen`` takes it."""

    connect: Callable[[Sequence[str], StorageHop], Backend]
    """A router's way to the storages at these URLs, inside a running event loop; raises ``OptionError`` and
    ``AddressError`` for what cannot be used.
    """

    listen: Callable[[str, StorageHandler, ServedHop], Coroutine[Any, Any, Listening]]
    """A storage that serves at a URL; raises as ``serve_storage`` does."""

    front: str | None = None
    """The front whose clients can speak to such storages themselves, if there is one."""

    columns: tuple[Column, ...] = ()
    """The systems of the talk's benchmark whose router speaks so to its storage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """The hop from clients to a router."""

    name: str
    """The value of ``protosocket cache --transport``, and the benchmark's driver."""

    schemes: tuple[str, ...]
    """Of the URLs of routers; the first is meant where somebody says none."""

    listen_url: str
    """Any free port of this machine, as ``listen`` takes it."""

    client: Callable[[str, ClientHop], CacheClient]
    """A client of the router at a URL, inside a running event loop; raises as its class does."""

    listen: Callable[[str, Backend, ServedHop], Coroutine[Any, Any, Listening]]
    """A router that serves at a URL; raises as ``serve_router`` does."""

    is_shareable: bool = False
    """Whether several processes can listen on one port."""

    task_factory: Callable[..., Task[Any]] | None = None
    """For event loops whose tasks make nothing but calls with its clients."""

    def prepare(self, loop: AbstractEventLoop) -> None:
        """Have ``loop`` make its tasks with ``task_factory``."""
        if self.task_factory is not None:
            loop.set_task_factory(self.task_factory)
