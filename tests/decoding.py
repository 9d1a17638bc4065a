"""Runs ``protosocket decode`` in tests, on messages of the cache."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from tests.oracle.framing import Framing, frame
from tests.packets import pcap

from protosocket.cache.protosocket_cache_pb2 import (
    CacheCommand,
    CacheResponse,
    GetCommand,
    GetResponse,
    Unary,
)
from protosocket.cli import main


class Decoded:
    """What a run printed, and its exit code."""

    def __init__(self, code: int, output: str, errors: str) -> None:
        self.code = code
        self.output = output
        self.errors = errors

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.splitlines()]

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [record for record in self.records if "problem" not in record]

    @property
    def problems(self) -> list[tuple[str, int, int]]:
        return [(r["problem"], r["offset"], r["size"]) for r in self.records if "problem" in r]


def run_decode(path: Path, *arguments: str) -> Decoded:
    """Run it in this process; also in a test that runs it many times."""
    output, errors = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
        pytest.raises(SystemExit) as left,
    ):
        main(["decode", str(path), *arguments])
    return Decoded(int(left.value.code or 0), output.getvalue(), errors.getvalue())


def run_quietly(path: Path, *arguments: str) -> list[dict[str, Any]]:
    """The records."""
    return run_decode(path, *arguments).records


def varint_framed(*messages: Message) -> bytes:
    return b"".join(frame(Framing.VARINT, message.SerializeToString()) for message in messages)


def get(id: int, key: bytes = b"key") -> CacheCommand:
    return CacheCommand(message_id=id, unary=Unary(get=GetCommand(namespace="n", key=key)))


def ids(decoded: Decoded) -> list[int]:
    return [message["id"] for message in decoded.messages]


def request(*numbers: int, key: bytes = b"one") -> bytes:
    return varint_framed(*(get(number, key) for number in numbers))


def response(*numbers: int) -> bytes:
    return varint_framed(
        *(CacheResponse(message_id=number, get=GetResponse(value=b"1")) for number in numbers)
    )


def decode_packets(path: Path, packets: Sequence[bytes], *arguments: str, link: int = 101) -> Decoded:
    """What a capture of these packets says of the cache."""
    path.write_bytes(pcap(packets, link))
    return run_decode(path, "--cache", "--json", *arguments)


def said(decoded: Decoded) -> list[tuple[str, int]]:
    """Messages by direction and id; no problem is among them."""
    assert (decoded.code, decoded.problems) == (0, [])
    return [(message["direction"], message["id"]) for message in decoded.messages]
