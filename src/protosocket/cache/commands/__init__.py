"""The cache's commands: one table, a file for each command."""

from __future__ import annotations

from protosocket.cache.commands.answers import KEY_NOT_FOUND, cache_error, error_response
from protosocket.cache.commands.command import Command
from protosocket.cache.commands.execution import execute, execute_of_client
from protosocket.cache.commands.routing import routing_key
from protosocket.cache.commands.table import TABLE

__all__ = [
    "KEY_NOT_FOUND",
    "TABLE",
    "Command",
    "cache_error",
    "error_response",
    "execute",
    "execute_of_client",
    "routing_key",
]
