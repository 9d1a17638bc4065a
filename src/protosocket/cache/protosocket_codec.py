"""Where the cache's messages carry their id and control code (momento-protos, WIRE section 3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from protosocket._core import HeaderLayout, RelayRoutes
from protosocket.cache.protosocket_cache_pb2 import CacheCommand, CacheResponse, Unary
from protosocket.cache.ring import Ring
from protosocket.rpc import ProtobufCodec

__all__ = ["cache_codec", "command_layout", "relay_routes", "response_layout"]

_COMMAND = CacheCommand.DESCRIPTOR.fields_by_name
_RESPONSE = CacheResponse.DESCRIPTOR.fields_by_name


def cache_codec() -> ProtobufCodec[CacheCommand, CacheResponse]:
    """The RPC codec of a router that passes commands on over another transport, as protoc's messages."""
    return ProtobufCodec(send=CacheCommand, receive=CacheResponse, id="message_id", control="control_code")


def command_layout() -> HeaderLayout:
    """The header of a ``CacheCommand``."""
    return _layout(_COMMAND)


def response_layout() -> HeaderLayout:
    """The header of a ``CacheResponse``."""
    return _layout(_RESPONSE)


def relay_routes(ring: Ring, unavailable: list[bytes]) -> RelayRoutes:
    """The relay's routes to the storages on ``ring``; ``unavailable`` are the answers when one is down."""
    # Typed loosely: google's stubs have two classes for one thing, and optional parts that are there.
    commands: dict[str, Any] = {field.name: field.message_type for field in Unary.DESCRIPTOR.fields}
    keyed = [name for name, message in commands.items() if "key" in message.fields_by_name]
    numbers = Unary.DESCRIPTOR.fields_by_name
    # Each command has at most one string, in the same place.
    (text,) = {
        field.number
        for message in commands.values()
        for field in message.fields
        if field.type == FieldDescriptor.TYPE_STRING
    }
    return RelayRoutes(
        command_layout(),
        response_layout(),
        ring.points,
        unavailable,
        command=_COMMAND["unary"].number,
        keyed=[numbers[name].number for name in keyed],
        others=[field.number for field in Unary.DESCRIPTOR.fields if field.name not in keyed],
        key=commands[keyed[0]].fields_by_name["key"].number,
        text=text,
    )


def _layout(fields: Mapping[str, Any]) -> HeaderLayout:
    return HeaderLayout("protobuf", id=fields["message_id"].number, control=fields["control_code"].number)
