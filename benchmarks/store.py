"""What every server here keeps: a dictionary, so that only the way to it is compared."""

from __future__ import annotations

__all__ = ["Store"]

Store = dict[bytes, bytes]
"""Values by key."""
