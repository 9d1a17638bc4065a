"""What an HTTP/2 client is told that meets a port that does not speak it."""

from __future__ import annotations

from typing import Final

__all__ = ["http2_goodbye"]

_SETTINGS: Final = 0x4
_GOAWAY: Final = 0x7
_INTERNAL_ERROR: Final = 0x2


def http2_goodbye(text: str) -> bytes:
    """A server's SETTINGS, and a GOAWAY before the first stream with ``text`` as its debug data.

    RFC 9113, sections 4.1, 6.5 and 6.8. gRPC clients put the text into the errors of their calls.
    """
    data = text.encode()
    goaway = (0).to_bytes(4) + _INTERNAL_ERROR.to_bytes(4) + data
    return _frame(_SETTINGS, b"") + _frame(_GOAWAY, goaway)


def _frame(kind: int, payload: bytes) -> bytes:
    """A frame without flags on stream 0."""
    return len(payload).to_bytes(3) + bytes([kind, 0]) + (0).to_bytes(4) + payload
