"""Messages from captures and hex dumps: what ``protosocket decode`` prints."""

from __future__ import annotations

from protosocket.decode.connections import Connection, Direction, Event
from protosocket.decode.events import Frame, Problem
from protosocket.decode.framing import Framer, Framing
from protosocket.decode.header import RpcFields
from protosocket.decode.readers import (
    cache_reader,
    grpc_reader,
    line_reader,
    messagepack_reader,
    protobuf_reader,
)
from protosocket.decode.reading import Reader, Record
from protosocket.decode.report import json_line, text_lines
from protosocket.decode.schema import Schema, load_schema
from protosocket.decode.sources import capture_events, dump_events, is_capture

__all__ = [
    "Connection",
    "Direction",
    "Event",
    "Frame",
    "Framer",
    "Framing",
    "Problem",
    "Reader",
    "Record",
    "RpcFields",
    "Schema",
    "cache_reader",
    "capture_events",
    "dump_events",
    "grpc_reader",
    "is_capture",
    "json_line",
    "line_reader",
    "load_schema",
    "messagepack_reader",
    "protobuf_reader",
    "text_lines",
]
