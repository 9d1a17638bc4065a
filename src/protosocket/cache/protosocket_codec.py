"""Where the cache's messages carry their id and control code (momento-protos, WIRE section 3)."""

from __future__ import annotations

from protosocket._core import HeaderLayout
from protosocket.cache.protosocket_cache_pb2 import CacheCommand, CacheResponse, Unary
from protosocket.rpc import ProtobufCodec

__all__ = ["COMMAND_FIELD", "KEYED_FIELDS", "KEY_FIELD", "cache_codec", "relay_layouts"]

_COMMAND = CacheCommand.DESCRIPTOR.fields_by_name
_RESPONSE = CacheResponse.DESCRIPTOR.fields_by_name
_KEYED = [field for field in Unary.DESCRIPTOR.fields if field.name != "auth"]

COMMAND_FIELD: int = _COMMAND["unary"].number
KEYED_FIELDS: list[int] = [field.number for field in _KEYED]
KEY_FIELD: int = _KEYED[0].message_type.fields_by_name["key"].number


def cache_codec() -> ProtobufCodec[CacheCommand, CacheResponse]:
    """The RPC codec of clients and storages."""
    return ProtobufCodec(send=CacheCommand, receive=CacheResponse, id="message_id", control="control_code")


def relay_layouts() -> tuple[HeaderLayout, HeaderLayout]:
    """The headers of commands and of responses, for the relay."""
    return (
        _layout(_COMMAND["message_id"].number, _COMMAND["control_code"].number),
        _layout(_RESPONSE["message_id"].number, _RESPONSE["control_code"].number),
    )


def _layout(id_field: int, control_field: int) -> HeaderLayout:
    return HeaderLayout.protobuf(id_field, "varint", 2**64 - 1, control_field, "varint")
