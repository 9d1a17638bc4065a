"""What the header of an RPC message says: its id and its control code."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Malformed(ValueError):
    """The message's fields cannot be walked, or its id or control code is not a number."""


class Control(enum.IntEnum):
    """What a message asks of the peer's RPC layer."""

    NORMAL = 0
    CANCEL = 1
    END = 2

    @classmethod
    def from_wire(cls, value: int) -> Control:
        """The control code for a number on the wire: an unknown one is a Cancel."""
        return cls(value) if value in (0, 1, 2) else cls.CANCEL


@dataclass(frozen=True)
class Header:
    """The id (0 to 2^64 - 1) and the control code of a message."""

    id: int = 0
    control: Control = Control.NORMAL
