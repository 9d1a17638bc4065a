"""Credit windows: how much of one call may be under way in one direction; arithmetic only.

Each side says in its Hello how much may be sent to it in every call before it grants more. Both sides count
a message as its payload plus ``MESSAGE_COST`` bytes, so that a stream of empty messages is bounded too. A
sender may send while its window is open, and one message may overdraw it; the receiver grants what its user
has taken, once that is at least half of the window. So what waits unread is never more than the window and
one message.
"""

from __future__ import annotations

from typing import Final

__all__ = ["MESSAGE_COST", "ReceiveWindow", "SendWindow"]

MESSAGE_COST: Final = 32
"""Bytes that a message counts beyond its payload: about what it costs to hold one."""


class SendWindow:
    """What the sender of one call's messages may still send."""

    __slots__ = ("left",)

    def __init__(self, window: int) -> None:
        self.left = window
        """Bytes; sending is allowed while it is above 0."""

    def take(self, payload: int) -> bool:
        """A message of ``payload`` bytes is sent now; false if the next one has to wait for a grant."""
        self.left = left = self.left - payload - MESSAGE_COST
        return left > 0

    def grant(self, credit: int) -> bool:
        """The receiver gave ``credit`` bytes back; true if that opens a window that was shut."""
        was_shut = self.left <= 0
        self.left += credit
        return was_shut and self.left > 0


class ReceiveWindow:
    """What the receiver of one call's messages owes their sender."""

    __slots__ = ("_half", "_taken")

    def __init__(self, window: int) -> None:
        self._half = (window + 1) // 2
        self._taken = 0

    def take(self, payload: int) -> int:
        """The user took a message of ``payload`` bytes; the credit to grant the sender now, else 0."""
        self._taken = taken = self._taken + payload + MESSAGE_COST
        if taken < self._half:
            return 0
        self._taken = 0
        return taken
