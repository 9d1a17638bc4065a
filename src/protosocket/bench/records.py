"""What the calls of one loop gave: appended cheaply while it runs, counted in bulk afterwards."""

from __future__ import annotations

from array import array
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec.structs import replace

from protosocket.bench.jobs import Interval, LoadResult
from protosocket.bench.latency import histogram_of, percentiles

if TYPE_CHECKING:
    from protosocket.bench.driver import Verdict
    from protosocket.bench.watch import Cost

__all__ = ["Records"]

LATE_SECONDS = 0.001

Floats = np.ndarray[Any, np.dtype[np.float64]]


class Records:
    """Times are seconds of ``time.perf_counter()``: when a call was to begin, began, and was answered.

    An array of doubles costs a few ten nanoseconds an append and nothing in the garbage collector. A loop
    appends to ``intended``, ``ended`` and, if it can be late, ``started`` once for every answer.
    """

    def __init__(self) -> None:
        self.intended = array("d")
        self.started = array("d")
        self.ended = array("d")
        self._misses = array("d")
        self._errors: list[tuple[float, str]] = []
        self._example: str | None = None

    def wrong(self, verdict: Verdict, intended: float, started: float, ended: float) -> None:
        """An answer that is not right; a miss is still an answer with a latency."""
        if verdict == "miss":
            self._misses.append(intended)
            self.intended.append(intended)
            self.started.append(started)
            self.ended.append(ended)
        else:
            self._errors.append((intended, str(verdict)))

    def failed(self, error: BaseException, intended: float) -> None:
        """A call that raised."""
        kind = type(error).__name__
        self._errors.append((intended, kind))
        if self._example is None:
            self._example = f"{kind}: {error}"[:500]

    def unanswered(self, intended: float, count: int = 1) -> None:
        """Calls that were still without an answer when the loop was ended."""
        self._errors.extend([(intended, "unanswered")] * count)

    def closed(self, begin: float, end: float, cost: Cost, interval: float) -> LoadResult:
        """The result of a closed loop: what was answered in (begin, end]."""
        intended, ended = np.frombuffer(self.intended), np.frombuffer(self.ended)
        inside = (ended > begin) & (ended <= end)
        return self._result(ended[inside], (ended - intended)[inside], begin, end, cost, interval)

    def open(self, begin: float, end: float, offered: int, cost: Cost, interval: float) -> LoadResult:
        """The result of an open loop: the ``offered`` calls that were due in [begin, end)."""
        intended, ended = np.frombuffer(self.intended), np.frombuffer(self.ended)
        inside = (intended >= begin) & (intended < end)
        delays = (np.frombuffer(self.started) - intended)[inside]
        result = self._result(intended[inside], (ended - intended)[inside], begin, end, cost, interval)
        answered = int(((ended > begin) & (ended <= end)).sum())
        return replace(
            result,
            ops_per_second=answered / result.seconds,
            offered=offered,
            late=int((delays > LATE_SECONDS).sum()),
            start_delay=percentiles(histogram_of(delays)),
        )

    def _result(
        self, times: Floats, latencies: Floats, begin: float, end: float, cost: Cost, interval: float
    ) -> LoadResult:
        seconds = end - begin
        histogram = histogram_of(latencies)
        misses = np.frombuffer(self._misses)
        return LoadResult(
            operations=len(latencies),
            seconds=seconds,
            ops_per_second=len(latencies) / seconds,
            # A call that never ended has no time in the window to be counted at; it counts wherever it began.
            errors=dict(
                Counter(kind for at, kind in self._errors if begin <= at < end or kind == "unanswered")
            ),
            misses=int(((misses >= begin) & (misses < end)).sum()),
            latency=percentiles(histogram),
            histogram=histogram.encode().decode(),
            cost=cost,
            error_example=self._example,
            intervals=tuple(_slices(times - begin, latencies, seconds, interval)),
        )


def _slices(times: Floats, latencies: Floats, seconds: float, interval: float) -> list[Interval]:
    if interval <= 0:
        return []
    slices = []
    for start in np.arange(0.0, seconds, interval).tolist():
        length = min(interval, seconds - start)
        inside = (times >= start) & (times < start + length)
        histogram = histogram_of(latencies[inside])
        slices.append(
            Interval(
                start=start,
                ops_per_second=float(inside.sum()) / length,
                latency=percentiles(histogram),
                histogram=histogram.encode().decode(),
            )
        )
    return slices
