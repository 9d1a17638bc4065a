"""Readers for what a user says of the messages: format, types, and the fields of RPC."""

from __future__ import annotations

from google.protobuf.message import Message

from protosocket.cache.protosocket_cache_pb2 import CacheCommand, CacheResponse
from protosocket.decode.cache_payload import CachePayload
from protosocket.decode.header import RpcFields, messagepack_header, protobuf_header
from protosocket.decode.payloads import LinePayload, MessagePackPayload, RawPayload, TypedPayload
from protosocket.decode.reading import Reader, Side
from protosocket.decode.schema import Schema
from protosocket.errors import OptionError

__all__ = ["cache_reader", "grpc_reader", "reader_of"]

Fields = tuple[RpcFields, RpcFields] | None
"""Those of requests and of responses; None where messages are no RPC."""


def cache_reader() -> Reader:
    """For the cache's commands and responses."""
    fields = RpcFields("message_id", "control_code")
    payload = CachePayload()
    request = Side(payload, protobuf_header(fields, CacheCommand))
    return Reader(request, Side(payload, protobuf_header(fields, CacheResponse)))


def grpc_reader(schema: Schema | None) -> Reader:
    """For gRPC calls; ``schema`` has the services whose messages are shown by their types."""
    from protosocket.decode.grpc_payload import GrpcPayload  # with all that the extra grpc installs
    from protosocket.grpc.envelope_pb2 import Envelope

    side = Side(GrpcPayload(schema), protobuf_header(RpcFields("id", "control"), Envelope))
    return Reader(side, side)


def reader_of(format: str, types: tuple[type[Message], type[Message]] | None, fields: Fields) -> Reader:
    """For ``protobuf``, ``messagepack`` or ``lines``.

    ``types`` are those of requests and of responses; protobuf messages without them are shown by numbers.
    Raises ``OptionError`` for types or fields that the format does not have, and for fields that cannot be
    the id or the control code.
    """
    if format == "protobuf":
        return _protobuf_reader(types, fields)
    if types is not None:
        raise OptionError(f"{format} has no message types: leave --message and --proto out")
    if format == "messagepack":
        payload = MessagePackPayload()
        headers = (None, None) if fields is None else tuple(map(messagepack_header, fields))
        return Reader(Side(payload, headers[0]), Side(payload, headers[1]))
    if fields is not None:
        raise OptionError("lines have no fields: leave --id and --control out")
    return Reader(Side(LinePayload()), Side(LinePayload()))


def _protobuf_reader(types: tuple[type[Message], type[Message]] | None, fields: Fields) -> Reader:
    sides = []
    for turn in (0, 1):
        message = None if types is None else types[turn]
        header = None if fields is None else protobuf_header(fields[turn], message)
        sides.append(Side(_payload(message, None if fields is None else fields[turn]), header))
    return Reader(*sides)


def _payload(message: type[Message] | None, fields: RpcFields | None) -> TypedPayload | RawPayload:
    header = () if fields is None else (fields.id, fields.control)
    if message is None:
        return RawPayload(tuple(int(number) for number in header))
    known = {str(field.number): field.name for field in message.DESCRIPTOR.fields}
    return TypedPayload(message, tuple(known.get(field, field) for field in header))
