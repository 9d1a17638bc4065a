"""The cache's messages; operations on items and answers to them, bytes in these, are shown by field."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format, text_format
from google.protobuf.message import DecodeError, Message

from protosocket.cache.cache_items_pb2 import ItemAnswer, ItemOperation
from protosocket.cache.protosocket_cache_pb2 import CacheCommand, CacheResponse
from protosocket.decode.payloads import Call, Malformed, Shown, TypedPayload

__all__ = ["CachePayload"]

_HEADER = ("message_id", "control_code")


class CachePayload:
    """Reads both directions."""

    def __init__(self) -> None:
        self._plain = {
            "request": TypedPayload(CacheCommand, _HEADER),
            "response": TypedPayload(CacheResponse, _HEADER),
        }

    def show(self, payload: bytes, call: Call) -> Shown:
        """The command or response; for one of items, what is in it follows."""
        shown = self._plain[call.direction].show(payload, call)
        try:
            found = _command(payload) if call.direction == "request" else _response(payload)
        except DecodeError as error:
            raise Malformed(f"no operation on an item, and no answer to one: {error}") from error
        if found is None:
            return shown
        rest, item = found

        def data() -> dict[str, Any]:
            said = json_format.MessageToDict(item, preserving_proto_field_name=True)
            return {**shown.data(), "item": said}

        def text(*, one_line: bool) -> list[str]:
            return [text_format.MessageToString(part, as_one_line=one_line) for part in (rest, item)]

        return Shown(
            lambda: " ".join(filter(None, text(one_line=True))), lambda: "".join(text(one_line=False)), data
        )


def _command(payload: bytes) -> tuple[Message, Message] | None:
    """The namespace and the key of a command on an item, and the operation."""
    unary = CacheCommand.FromString(payload).unary
    if not unary.HasField("item"):
        return None
    operation = ItemOperation.FromString(unary.item.operation)
    unary.item.ClearField("operation")
    return unary, operation


def _response(payload: bytes) -> tuple[Message, Message] | None:
    """What is left of a response about an item, and the answer."""
    response = CacheResponse.FromString(payload)
    if not response.HasField("item"):
        return None
    answer = ItemAnswer.FromString(response.item.answer)
    for field in (*_HEADER, "item"):
        response.ClearField(field)
    return response, answer
