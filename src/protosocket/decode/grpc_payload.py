"""The envelope of gRPC calls: methods by name, and their messages by the types of a schema's services."""

from __future__ import annotations

from collections import OrderedDict
from textwrap import indent
from typing import Any

from google.protobuf import json_format, text_format
from google.protobuf.message import DecodeError

from protosocket.decode.connections import Connection
from protosocket.decode.payloads import Call, Malformed, RawPayload, Shown, TypedPayload
from protosocket.decode.schema import Schema
from protosocket.grpc.envelope_pb2 import Envelope

__all__ = ["GrpcPayload"]

# The methods of older calls, and older methods, are forgotten.
_MOST_KEPT = 65536
_Place = tuple[Connection | None, int]
_ELSEWHERE = ("id", "control", "payload", "method", "path")


class GrpcPayload:
    """Reads both directions, so that an answer is shown by what was asked.

    A client names a method once on a connection and then says its number.
    """

    def __init__(self, schema: Schema | None) -> None:
        self._schema = schema
        self._named: OrderedDict[_Place, str] = OrderedDict()
        self._called: OrderedDict[_Place, str] = OrderedDict()

    def show(self, payload: bytes, call: Call) -> Shown:
        """The method, what the envelope says beside it, and the message in it."""
        try:
            envelope = Envelope.FromString(payload)
        except DecodeError as error:
            raise Malformed(f"no envelope of a gRPC call: {error}") from error
        path = self._path(envelope, call)
        content = self._content(envelope, path, call) if envelope.HasField("payload") else None
        begins = bool(envelope.method)
        for field in _ELSEWHERE:
            envelope.ClearField(field)

        def line() -> str:
            text = text_format.MessageToString(envelope, as_one_line=True, print_unknown_fields=True)
            inner = "" if content is None else f"payload {{ {content.line()} }}"
            return " ".join(filter(None, (path, text, inner)))

        def lines() -> str:
            text = text_format.MessageToString(envelope, print_unknown_fields=True)
            if content is not None:
                text += "payload {\n" + indent(content.lines(), "  ").rstrip() + "\n}\n"
            return f"{path}\n{text}" if path else text

        def data() -> dict[str, Any]:
            found: dict[str, Any] = {} if path is None else {"path": path}
            if content is not None:
                found["payload"] = content.data()
            found["envelope"] = json_format.MessageToDict(envelope, preserving_proto_field_name=True)
            return found

        return Shown(line, lines, data, begins)

    def _path(self, envelope: Envelope, call: Call) -> str | None:
        if not call.id:
            return None
        if envelope.method:
            place = call.connection, envelope.method
            if envelope.path:
                _keep(self._named, place, envelope.path)
            if place in self._named:
                _keep(self._called, (call.connection, call.id), self._named[place])
        return self._called.get((call.connection, call.id))

    def _content(self, envelope: Envelope, path: str | None, call: Call) -> Shown:
        types = None if self._schema is None or path is None else self._schema.method(path)
        if types is not None:
            return TypedPayload(types[call.direction == "response"]).show(envelope.payload, call)
        try:
            return RawPayload().show(envelope.payload, call)
        except Malformed:  # a method's messages need not be protobuf
            content = envelope.payload.hex()
            return Shown(lambda: f"hex: {content}", lambda: content, lambda: {"hex": content})


def _keep(kept: OrderedDict[_Place, str], place: _Place, value: str) -> None:
    kept[place] = value
    kept.move_to_end(place)
    if len(kept) > _MOST_KEPT:
        kept.popitem(last=False)
