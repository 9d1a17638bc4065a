"""How long a test waits for what should happen at once, before it says that it hangs."""

from __future__ import annotations

__all__ = ["HANG"]

HANG = 120.0
"""Seconds. A machine that is busy three times over must never reach it; a test's own limit (``timeout`` in
pyproject.toml) is longer, so that a hang is told by what waited."""
