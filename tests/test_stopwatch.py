"""The native stopwatch of the load generator keeps moments of Python's own clock."""

from __future__ import annotations

from math import isnan
from time import perf_counter

import numpy as np

from protosocket._core import Stopwatch


def test_laps_are_moments_of_perf_counter_in_order() -> None:
    begun = perf_counter()
    watch = Stopwatch(begun)
    assert isnan(watch.last)
    kept = []
    for _ in range(1000):
        watch.lap()
        # It was started a moment after it was told the time, and is early by that.
        assert watch.last <= perf_counter()
        kept.append(watch.last)
    assert np.frombuffer(watch.moments()).tolist() == kept
    assert begun <= kept[0]
    assert kept == sorted(kept)


def test_a_void_is_no_moment() -> None:
    watch = Stopwatch(5.0)
    watch.lap()
    first = watch.last
    watch.void()
    assert isnan(watch.last)
    watch.lap()
    moments = np.frombuffer(watch.moments())
    assert first >= 5.0
    assert moments[0] == first
    assert isnan(moments[1])
    assert moments[2] >= first
    assert Stopwatch(0.0).moments() == b""
