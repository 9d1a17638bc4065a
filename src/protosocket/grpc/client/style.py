"""Iterating or reading and writing: a call does one or the other."""

from __future__ import annotations

import enum

from grpc import aio

__all__ = ["Style", "mixed"]


class Style(enum.Enum):
    """How one direction of a call is used."""

    UNKNOWN = enum.auto()
    ITERATOR = enum.auto()
    READ_WRITE = enum.auto()


def mixed() -> aio.UsageError:
    """What is raised for a call that is used in both ways."""
    return aio.UsageError("The iterator and read/write APIs may not be mixed on a single RPC.")
