"""Metadata that a caller gives: checked as gRPC checks it, before it is sent."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import grpc

from protosocket.grpc.wire.envelope import pack

__all__ = ["checked"]

# A peer takes 1 MiB beside a message: metadata before the messages and after them, and the status.
_MOST: Final = 256 * 1024

_KEY: Final = re.compile(r"[0-9a-z_.-]+", re.ASCII)
_TEXT: Final = re.compile(r"[\x20-\x7e]*", re.ASCII)


def checked(metadata: Iterable[tuple[str, str | bytes]] | None) -> list[Any]:
    """``metadata`` as the envelope carries it.

    Keys are lower-case letters, digits and ``_ . -``; values are printable ASCII text, or bytes where the key
    ends in ``-bin``. Raises ``TypeError`` for a value of the wrong type, ``ValueError`` for what is no
    sequence of pairs, and ``grpc.aio.InternalError`` for characters that may not stand there, and for more
    than 256 KiB, each pair counted as its key, its value and 32 bytes.
    """
    if not metadata:
        return []
    packed = pack((key, _value(key, value)) for key, value in metadata)
    size = sum(len(datum.key) + len(datum.value) + 32 for datum in packed)
    if size > _MOST:
        raise grpc.aio.InternalError(f"metadata was invalid: it has {size} bytes, and {_MOST} are the most")
    return packed


def _value(key: str, value: object) -> str | bytes:
    if not isinstance(key, str):
        raise TypeError(f"Expected a str as metadata key, not {type(key)}")
    if not _KEY.fullmatch(key):
        raise grpc.aio.InternalError(f"metadata was invalid: {key!r} is no key; write it in lower case")
    if key.endswith("-bin"):
        if not isinstance(value, bytes):
            raise TypeError(f'Binary metadata key="{key}" expected bytes, got {type(value)}')
        return value
    # gRPC takes bytes that are text, too.
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    if not isinstance(text, str):
        raise TypeError(f"Expected str, not {type(value)}")
    if not _TEXT.fullmatch(text):
        raise grpc.aio.InternalError(f"metadata was invalid: the value of {key!r} is no printable ASCII")
    return text
