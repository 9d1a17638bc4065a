"""Which storage a command goes to: its key decides, wherever the command has one."""

from __future__ import annotations

from typing import Any

from protosocket.cache.protosocket_cache_pb2 import CacheCommand, Unary

__all__ = ["KEYED", "UNKEYED", "routing_key"]

# Typed loosely: google's stubs have two classes for one thing, and optional parts that are there.
KEYED: dict[str, Any] = {
    field.name: field
    for field in Unary.DESCRIPTOR.fields
    if field.message_type is not None and "key" in field.message_type.fields_by_name
}
"""The fields of ``Unary`` whose commands have a key."""

UNKEYED: dict[str, Any] = {field.name: field for field in Unary.DESCRIPTOR.fields if field.name not in KEYED}
"""Those of the commands that whoever the client is connected to answers."""


def routing_key(command: CacheCommand) -> bytes | None:
    """The key that decides which storage gets ``command``; ``None`` if it has none."""
    kind = command.unary.WhichOneof("command")
    if kind not in KEYED:
        return None
    key: bytes = getattr(command.unary, kind).key
    return key
