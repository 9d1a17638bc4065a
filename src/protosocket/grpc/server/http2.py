"""An HTTP/2 client that meets a port of another protocol: it gets an answer that its user can read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

__all__ = ["Http2Refusal"]

# RFC 9113, section 6.
_HEADERS: Final = 0x1
_SETTINGS: Final = 0x4
_GOAWAY: Final = 0x7

_ACK: Final = 0x1
_END_STREAM: Final = 0x1
_END_HEADERS: Final = 0x4

_HEADER_SIZE: Final = 9
_NO_ERROR: Final = 0

_UNAVAILABLE: Final = 14
"""Of gRPC's status codes."""

_PATIENCE: Final = 5.0
"""Seconds for the client to make its call, and to hang up once it has its answer."""


class Http2Refusal(asyncio.BufferedProtocol):
    """Ends the first call of a gRPC client with ``UNAVAILABLE`` and ``text``, and asks it to go away.

    It takes the connection over after the client's preface. A GOAWAY alone would not do: gRPC then connects
    again at once, for ever. ``ended`` is called with the loss of the connection.
    """

    def __init__(
        self, transport: asyncio.Transport, text: str, ended: Callable[[Exception | None], None]
    ) -> None:
        self._transport = transport
        self._text = text
        self._ended = ended
        self._room = bytearray(16 * 1024)
        self._unread = b""
        transport.set_protocol(self)
        transport.write(_frame(_SETTINGS) + _frame(_SETTINGS, _ACK))
        self._timer = asyncio.get_running_loop().call_later(_PATIENCE, transport.abort)

    def get_buffer(self, sizehint: int) -> bytearray:
        """Where the transport may write to."""
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        """Look for the first call."""
        self._unread += self._room[:nbytes]
        while len(self._unread) >= _HEADER_SIZE:
            size = int.from_bytes(self._unread[:3])
            if len(self._unread) < _HEADER_SIZE + size:
                return
            kind, stream = self._unread[3], int.from_bytes(self._unread[5:9])
            self._unread = self._unread[_HEADER_SIZE + size :]
            if kind == _HEADERS:
                self._refuse(stream)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._timer.cancel()
        self._ended(exc)

    def _refuse(self, stream: int) -> None:
        headers = (
            _header(":status", "200")
            + _header("content-type", "application/grpc")
            + _header("grpc-status", str(_UNAVAILABLE))
            + _header("grpc-message", self._text)
        )
        goaway = stream.to_bytes(4) + _NO_ERROR.to_bytes(4) + self._text.encode()
        answer = _frame(_HEADERS, _END_STREAM | _END_HEADERS, stream, headers)
        self._transport.write(answer + _frame(_GOAWAY, payload=goaway))


def _frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def _header(name: str, value: str) -> bytes:
    """RFC 7541, section 6.2.2: a literal that is not indexed, with a new name; both under 127 bytes long."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
