"""What the table knows of a command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar

from protosocket.cache.engine import Engine

__all__ = ["Command"]

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Command(Generic[P, R]):
    """A command: what a client sends, what a storage does, and what the client makes of the answer.

    Whoever needs a command takes it from here: clients, storages, routers, Momento's gateway, the programs.
    Routers find its key by the descriptor of its message; ``decode`` and the Wireshark dissector show it by
    the same. Its native form, if it has one, is ``rust/core/src/cache/commands/NAME.rs``: it does the same
    where nothing is unusual, without a message object.
    """

    name: str
    """What clients and programs call it."""

    kind: str
    """Its field in ``Unary``, which routers and storages know it by."""

    request: Callable[P, bytes]
    """The encoded ``CacheCommand`` of its arguments, without a message id."""

    read: Callable[[bytes], R]
    """The result in the encoded ``CacheResponse``; raises the error in it, ``CacheError`` for an answer to
    something else.
    """

    execute: Callable[[Engine, Any], Any] | None = None
    """Does what the native message of this ``kind`` says: the native ``CacheResponse``, or ``None`` if
    nothing is under the key; raises ``CacheError``. ``None`` where another command of the kind has it.
    """

    needs_namespace: bool = True
    """Whether a storage refuses it without the name of a cache."""

    operation: str | None = None
    """Its field in ``ItemOperation``, if its ``kind`` is ``item``."""

    parameters: tuple[str, ...] = ()
    """What ``protosocket cache`` takes for it beside the namespace: ``key``, ``value``, ``ttl``. Without any
    it is not for clients of the cache, and gRPC hops do not carry it.
    """

    summary: str = ""
    """One line for people, with the parameters in capitals."""

    method: str = ""
    """Its gRPC method, if it is for clients.

    It need not be in ``cache_service.proto``: one more there would be one that everybody's ``CacheServicer``
    has to have, and the messages of all methods are the same.
    """
