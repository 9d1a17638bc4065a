"""Messages from captures and hex dumps: what ``protosocket decode`` prints."""

from __future__ import annotations

from protosocket.decode.connections import Direction, Event
from protosocket.decode.events import Problem
from protosocket.decode.framing import Framer, Framing
from protosocket.decode.packets import LeftOut
from protosocket.decode.readers import FRAMINGS, cache_reader, grpc_reader, reader_of
from protosocket.decode.reading import Reader
from protosocket.decode.report import json_line, text_lines
from protosocket.decode.schema import load_schema
from protosocket.decode.sources import capture_events, dump_events, is_capture
from protosocket.rpc.layouts import RpcFields

__all__ = [
    "FRAMINGS",
    "Direction",
    "Event",
    "Framer",
    "Framing",
    "LeftOut",
    "Problem",
    "Reader",
    "RpcFields",
    "cache_reader",
    "capture_events",
    "dump_events",
    "grpc_reader",
    "is_capture",
    "json_line",
    "load_schema",
    "reader_of",
    "text_lines",
]
