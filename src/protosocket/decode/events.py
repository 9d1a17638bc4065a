"""What decoding yields: messages, and problems with the place where they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Frame", "Problem", "ProblemKind"]

ProblemKind = Literal["capture", "gap", "invalid", "malformed", "too large", "truncated", "undecoded"]


@dataclass(frozen=True, slots=True)
class Frame:
    """A message: ``payload`` after ``header`` bytes of prefix, ``offset`` bytes into its direction."""

    offset: int
    header: int
    payload: bytes

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return self.header + len(self.payload)


@dataclass(frozen=True, slots=True)
class Problem:
    """``size`` bytes (0: unknown) that are no message, ``offset`` bytes into their direction, and why.

    The kind is ``capture`` (the file is damaged), ``gap`` (bytes that were sent are not in the capture),
    ``invalid`` and ``too large`` (no message begins like this), ``truncated`` (the end came within a
    message), ``malformed`` (a message whose content is not of the expected type) or ``undecoded`` (what
    follows another problem and cannot be told apart any more).
    """

    kind: ProblemKind
    offset: int
    size: int
    reason: str
