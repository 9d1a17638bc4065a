"""When the requests of an open loop are due: random or even spacing at given rates, the same for the same
seed.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["arrivals"]


def arrivals(
    phases: Iterable[tuple[float, float]], spacing: Literal["poisson", "fixed"], seed: str, part: int = 0
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The times (seconds from the start, rising) at which requests are due.

    ``phases`` are (seconds, requests per second) one after the other. ``poisson``: as many independent users
    make them, so also several at once. ``fixed``: evenly. ``part`` numbers the processes that share a run.
    """
    rng = np.random.default_rng([zlib.crc32(seed.encode()), 2, part])
    start = 0.0
    pieces = [np.zeros(0)]
    for seconds, rate in phases:
        if spacing == "fixed":
            due = np.arange(round(seconds * rate)) / rate
        else:
            # A Poisson process over a stretch of time: how many is Poisson, when is uniform.
            due = np.sort(rng.random(rng.poisson(seconds * rate))) * seconds
        pieces.append(start + due)
        start += seconds
    return np.concatenate(pieces)
