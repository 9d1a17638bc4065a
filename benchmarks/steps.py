"""Divides a run's time among its windows and tells how far it has come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protosocket.bench.jobs import Closed, Open

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DRAIN_SECONDS", "Steps", "closed", "open_loop"]

WARMUP = 0.2
# Shorter windows would measure nothing but their own beginning.
SHORTEST = 0.2
# What is still unanswered so long after a window is an error.
DRAIN_SECONDS = 5.0


class Steps:
    """``take`` begins a window of one part of the run and gives its seconds."""

    def __init__(self, seconds: float, progress: Callable[[str, float], None]) -> None:
        self._seconds = seconds
        self._progress = progress
        self._done = 0.0

    def share(self, part: float, windows: int) -> float:
        """The seconds of each of ``windows`` windows that together take ``part`` of the run."""
        return max(SHORTEST, self._seconds * part / max(1, windows))

    def begin(self, text: str, seconds: float) -> None:
        """A window of ``seconds`` begins; ``text`` says which."""
        self._progress(text, min(1.0, self._done / self._seconds))
        self._done += seconds


def closed(concurrency: int, seconds: float) -> Closed:
    """A closed loop that takes ``seconds``, a fifth of them warm-up."""
    return Closed(
        concurrency=concurrency,
        seconds=seconds * (1 - WARMUP),
        warmup=seconds * WARMUP,
        drain=DRAIN_SECONDS,
    )


def open_loop(rate: float, seconds: float, warmup: float = WARMUP) -> Open:
    """An open loop with random arrivals that takes ``seconds``, the part ``warmup`` of them warm-up."""
    return Open(phases=((seconds * (1 - warmup), rate),), warmup=seconds * warmup, drain=DRAIN_SECONDS)
