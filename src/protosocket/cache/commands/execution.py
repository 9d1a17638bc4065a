"""Executes a command on an engine, by the table."""

from __future__ import annotations

from typing import Any

from protosocket.cache.commands.answers import MISS, failed, invalid, refused
from protosocket.cache.commands.item import operation_name
from protosocket.cache.commands.table import TABLE
from protosocket.cache.engine import Engine
from protosocket.cache.protosocket_cache_pb2 import UNIMPLEMENTED
from protosocket.cache.protosocket_messages import MESSAGES
from protosocket.errors import CacheError

__all__ = ["execute", "execute_of_client"]

_COMMANDS = {
    command.kind: (command.execute, command.needs_namespace)
    for command in TABLE
    if command.execute is not None
}
# What answers for itself below, and what clients have methods for.
_OF_CLIENTS = {
    (None, None),
    ("auth", None),
    *((command.kind, command.operation) for command in TABLE if command.parameters),
}

_NO_NAMESPACE = invalid("the namespace is empty")
_NO_COMMAND = invalid("there is no command in the message")


def execute(engine: Engine, unary: Any) -> Any:
    """The response to the command in ``unary`` (native, or ``None``), at once and without raising.

    A miss is error 5 with the text ``Key not found``. A command that makes no sense (no command in it, an
    empty namespace) is error 3, INVALID_ARGUMENT; an entry that can never fit is error 8,
    RESOURCE_EXHAUSTED; reading a collection is error 9, FAILED_PRECONDITION. An empty key is a key.
    Authenticating belongs to the connection: the transport answers it, and here it is error 3.
    """
    return _execute(engine, _kind(unary), unary)


def execute_of_client(engine: Engine, unary: Any) -> Any:
    """As ``execute``, but what the cache's clients have no method for is error 12, UNIMPLEMENTED."""
    kind = _kind(unary)
    operation = operation_name(unary.item) if kind == "item" else None
    if (kind, operation) not in _OF_CLIENTS:
        return refused(UNIMPLEMENTED, f"a {kind} command is for the protosocket hop")
    return _execute(engine, kind, unary)


def _kind(unary: Any) -> str | None:
    return None if unary is None else MESSAGES.which_oneof(unary, "command")


def _execute(engine: Engine, kind: str | None, unary: Any) -> Any:
    if kind is None:
        return _NO_COMMAND
    function, needs_namespace = _COMMANDS[kind]
    command = getattr(unary, kind)
    if needs_namespace and not command.namespace:
        return _NO_NAMESPACE
    try:
        response = function(engine, command)
    except CacheError as error:
        return failed(error)
    return MISS if response is None else response
