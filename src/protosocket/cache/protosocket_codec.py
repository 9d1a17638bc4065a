"""Where the cache's messages carry their id and control code (momento-protos, WIRE section 3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from protosocket._core import HeaderLayout, RelayRoutes, WireCodec
from protosocket.cache.commands.routing import KEYED, UNKEYED
from protosocket.cache.protosocket_cache_pb2 import CacheCommand, CacheResponse
from protosocket.cache.ring import Ring
from protosocket.rpc import Codec, ProtobufCodec

__all__ = ["EncodedCodec", "cache_codec", "command_layout", "relay_routes", "response_layout"]

_COMMAND = CacheCommand.DESCRIPTOR.fields_by_name
_RESPONSE = CacheResponse.DESCRIPTOR.fields_by_name


def cache_codec() -> ProtobufCodec[CacheCommand, CacheResponse]:
    """The RPC codec of a router that passes commands on over another transport, as protoc's messages."""
    return ProtobufCodec(send=CacheCommand, receive=CacheResponse, id="message_id", control="control_code")


class EncodedCodec(Codec[bytes, bytes]):
    """The RPC codec of commands and responses that are bytes; the wire is that of ``cache_codec``."""

    def client_wire(self) -> WireCodec:
        """Commands go out, responses come in."""
        return WireCodec("varint", None, None, command_layout(), response_layout())

    def server_wire(self) -> WireCodec:
        """Responses go out, commands come in."""
        return WireCodec("varint", None, None, response_layout(), command_layout())


def command_layout() -> HeaderLayout:
    """The header of a ``CacheCommand``."""
    return _layout(_COMMAND)


def response_layout() -> HeaderLayout:
    """The header of a ``CacheResponse``."""
    return _layout(_RESPONSE)


def relay_routes(ring: Ring, unavailable: list[bytes]) -> RelayRoutes:
    """The relay's routes to the storages on ``ring``; ``unavailable`` are the answers when one is down."""
    # Each command has at most one string, in the same place.
    messages = [field.message_type for field in (*KEYED.values(), *UNKEYED.values())]
    (text,) = {
        field.number
        for message in messages
        for field in message.fields
        if field.type == FieldDescriptor.TYPE_STRING
    }
    (key,) = {field.message_type.fields_by_name["key"].number for field in KEYED.values()}
    return RelayRoutes(
        command_layout(),
        response_layout(),
        ring.points,
        unavailable,
        command=_COMMAND["unary"].number,
        keyed=[field.number for field in KEYED.values()],
        others=[field.number for field in UNKEYED.values()],
        key=key,
        text=text,
    )


def _layout(fields: Mapping[str, Any]) -> HeaderLayout:
    return HeaderLayout("protobuf", id=fields["message_id"].number, control=fields["control_code"].number)
