"""Readers for what a user says of the messages: format, types, and the fields of RPC."""

from __future__ import annotations

from typing import Literal

from google.protobuf.message import Message

from protosocket.cache.protosocket_cache_pb2 import CacheCommand, CacheResponse
from protosocket.decode.cache_payload import CachePayload
from protosocket.decode.framing import Framing
from protosocket.decode.payloads import LinePayload, MessagePackPayload, Payload, RawPayload, TypedPayload
from protosocket.decode.reading import Reader, Side
from protosocket.decode.schema import Schema
from protosocket.errors import OptionError
from protosocket.rpc.codec import FORMATS
from protosocket.rpc.layouts import RpcFields, protobuf_layout

__all__ = ["FRAMINGS", "cache_reader", "grpc_reader", "reader_of"]

Fields = tuple[RpcFields, RpcFields] | None
"""Those of requests and of responses; None where messages are no RPC."""

FRAMINGS: dict[str, Framing] = {**{name: known.framing for name, known in FORMATS.items()}, "lines": "lines"}
"""How the messages of each format are told apart: those of the RPC codecs, and lines."""


def cache_reader() -> Reader:
    """For the cache's commands and responses."""
    payload = CachePayload()
    request, response = (
        Side(payload, protobuf_layout(message, "message_id", "control_code"))
        for message in (CacheCommand, CacheResponse)
    )
    return Reader(request, response)


def grpc_reader(schema: Schema | None) -> Reader:
    """For gRPC calls; ``schema`` has the services whose messages are shown by their types."""
    from protosocket.decode.grpc_payload import GrpcPayload  # with all that the extra grpc installs
    from protosocket.grpc.envelope_pb2 import Envelope

    side = Side(GrpcPayload(schema), protobuf_layout(Envelope, "id", "control"))
    return Reader(side, side)


def reader_of(format: str, types: tuple[type[Message], type[Message]] | None, fields: Fields) -> Reader:
    """For ``format``, one of ``FRAMINGS``.

    ``types`` are those of requests and of responses; protobuf messages without them are shown by numbers.
    Raises ``OptionError`` for types or fields that the format does not have, and for fields that cannot be
    the id or the control code.
    """
    known = FORMATS.get(format)
    if types is not None and (known is None or known.content != "protobuf"):
        raise OptionError(f"{format} has no message types: leave --message and --proto out")
    if known is None:
        if fields is not None:
            raise OptionError("lines have no fields: leave --id and --control out")
        return Reader(Side(LinePayload()), Side(LinePayload()))
    sides = []
    for turn in (0, 1):
        message = None if types is None else types[turn]
        of_side = None if fields is None else fields[turn]
        header = known.layout(of_side, message)
        sides.append(Side(_payload(known.content, message, of_side), header))
    return Reader(*sides)


def _payload(
    content: Literal["protobuf", "messagepack"], message: type[Message] | None, fields: RpcFields | None
) -> Payload:
    if content == "messagepack":
        return MessagePackPayload()
    header = () if fields is None else (fields.id, fields.control)
    if message is None:
        return RawPayload(tuple(int(number) for number in header))
    known = {str(field.number): field.name for field in message.DESCRIPTOR.fields}
    return TypedPayload(message, tuple(known.get(field, field) for field in header))
