"""The decoders that are compared: ours, and the published crate's in a process of its own."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
from google.protobuf.message import DecodeError
from tests.interop.rpc_peers import ArrayRequest, MapRequest, ProtobufRequest
from tests.interop.streams import LIMIT, Case, Form

from protosocket._core import FrameStep, HeaderLayout, next_frame

End = Literal["clean", "incomplete", "refused"]


@dataclass(frozen=True)
class Message:
    """A message that was accepted."""

    consumed: int
    """Its bytes in the stream, with the prefix."""

    id: int
    control: int
    fields: tuple[str, int, str] | None
    """The command, the number and the body in hex; ``None`` for a Cancel and an End, which have none."""


@dataclass(frozen=True)
class Outcome:
    """What a decoder made of a stream."""

    messages: tuple[Message, ...]
    end: End
    """``clean`` when nothing is left; ``refused`` when the connection would end there."""


_LAYOUTS = {
    Form.PROTOBUF: HeaderLayout("protobuf", id=1, control=2),
    Form.ARRAY: HeaderLayout("messagepack", id=0, control=1),
    Form.MAP: HeaderLayout("messagepack", id="id", control="code"),
}
_DECODERS: dict[Form, Any] = {
    Form.PROTOBUF: ProtobufRequest.FromString,
    Form.ARRAY: msgspec.msgpack.Decoder(ArrayRequest).decode,
    Form.MAP: msgspec.msgpack.Decoder(MapRequest).decode,
}


def ours(case: Case) -> Outcome:
    """Frame, scan the header and decode as a connection of this package does."""
    layout, decode = _LAYOUTS[case.form], _DECODERS[case.form]
    framing: Literal["varint", "messagepack"] = "varint" if case.form is Form.PROTOBUF else "messagepack"
    messages: list[Message] = []
    unread = b""
    for piece in case.pieces:
        unread += piece
        while unread:
            step, header, total = next_frame(framing, unread, LIMIT)
            if step == FrameStep.INCOMPLETE:
                break
            if step != FrameStep.FRAME:
                return Outcome(tuple(messages), "refused")
            payload, unread = unread[header:total], unread[total:]
            try:
                id, control = layout.scan(payload)
                fields = None
                if control == 0:
                    request = decode(payload)
                    fields = (request.command, request.number, request.body.hex())
            except (ValueError, DecodeError, msgspec.DecodeError):
                return Outcome(tuple(messages), "refused")
            messages.append(Message(total, id, control, fields))
    return Outcome(tuple(messages), "incomplete" if unread else "clean")


def theirs(program: Path, cases: Iterable[Case]) -> Iterator[Outcome]:
    """What the decoder of a program of interop/ says of each case."""
    records = []
    for case in cases:
        lengths = [len(piece) for piece in case.pieces]
        encoding = 0 if case.form is Form.PROTOBUF else 1
        head = struct.pack(f"<BII{len(lengths)}I", encoding, LIMIT, len(lengths), *lengths)
        records.append(struct.pack("<I", len(head) + len(case.data)) + head + case.data)
    answered = subprocess.run([program, "decode"], input=b"".join(records), capture_output=True, check=True)
    for line in answered.stdout.splitlines():
        answer = json.loads(line)
        yield Outcome(tuple(_message(each) for each in answer["messages"]), _END[answer["end"][0]])


# A connection ends alike when a message is invalid, is too large, and when the decoder panics.
_END: dict[str, End] = {
    "clean": "clean",
    "incomplete": "incomplete",
    "invalid": "refused",
    "too large": "refused",
    "panic": "refused",
}


def _message(answer: dict[str, Any]) -> Message:
    fields = (answer["command"], answer["number"], answer["body"]) if answer["control"] == 0 else None
    return Message(answer["consumed"], answer["id"], answer["control"], fields)
