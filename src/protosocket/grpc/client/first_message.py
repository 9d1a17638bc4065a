"""The first message of a call, as it waits for the connection that sends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import grpc

__all__ = ["LONGEST", "FirstMessage", "timeout_fields"]

LONGEST: Final = 1e9
"""Seconds, 31 years: a longer timeout, ``math.inf`` too, is no longer than that."""


@dataclass(slots=True)
class FirstMessage:
    """What the first message of a call says."""

    path: str
    streams: bool
    """The answer may be a stream."""
    payload: bytes | None
    """``None``: the requests follow one by one."""
    metadata: list[Any]
    wait_for_ready: bool
    credentials: grpc.CallCredentials | None


def timeout_fields(timeout: float) -> dict[str, int]:
    """``timeout`` (seconds) as the envelope has it."""
    milliseconds, microseconds = divmod(int(timeout * 1e6), 1000)
    return {"timeout_ms": milliseconds, "timeout_us": microseconds}
