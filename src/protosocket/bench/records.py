"""What the calls of one loop gave: appended cheaply while it runs, counted in bulk afterwards."""

from __future__ import annotations

from array import array
from collections import Counter
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec.structs import replace

from protosocket._core import Stopwatch
from protosocket.bench.jobs import Interval, LoadResult
from protosocket.bench.latency import histogram_of, percentiles

if TYPE_CHECKING:
    from protosocket.bench.driver import Verdict
    from protosocket.bench.watch import Cost

__all__ = ["Records"]

LATE_SECONDS = 0.001
# Some hundred microseconds' work, ten times a second at the talk's rate.
COMPACTED = 8192

Floats = np.ndarray[Any, np.dtype[np.float64]]


class Records:
    """Times are seconds of ``time.perf_counter()``: when a call was to begin, began, and was answered.

    An open loop appends to ``intended``, ``started`` and ``ended`` once for every answer, and calls
    ``compact`` now and then. A worker of a closed loop makes each call when the one before was answered, so
    one moment a call is enough: see ``chain``.
    """

    def __init__(self) -> None:
        self._chains: list[Stopwatch] = []
        # An append to a list is the quickest way to keep a number, but it keeps four times its size.
        self.intended: list[float] = []
        self.started: list[float] = []
        self.ended: list[float] = []
        self._compact: list[Floats] = []
        self._misses = array("d")
        self._errors: list[tuple[float, str]] = []
        self._example: str | None = None

    def compact(self, least: int = COMPACTED) -> None:
        """Keep what the lists hold in less memory, if it is at least so much."""
        if len(self.ended) >= least:
            lists = self.intended, self.started, self.ended
            self._compact.append(np.stack([np.fromiter(times, float, len(times)) for times in lists]))
            for times in lists:
                times.clear()

    def chain(self) -> Stopwatch:
        """A worker's moments: when its first call began, then when each was answered and the next one began.

        A void one says that what ends or begins there is no call that was answered.
        """
        self._chains.append(Stopwatch(perf_counter()))
        return self._chains[-1]

    def missed(self, intended: float) -> None:
        """An answer said that there is nothing; it has a latency like any other."""
        self._misses.append(intended)

    def wrong(self, verdict: Verdict, intended: float) -> None:
        """An answer that is not one to what was asked."""
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
        chains = [np.frombuffer(chain.moments()) for chain in self._chains]
        ended = np.concatenate([np.empty(0), *(times[1:] for times in chains)])
        latencies = np.concatenate([np.empty(0), *(np.diff(times) for times in chains)])
        inside = (ended > begin) & (ended <= end) & ~np.isnan(latencies)
        return self._result(ended[inside], latencies[inside], begin, end, cost, interval)

    def open(self, begin: float, end: float, offered: int, cost: Cost, interval: float) -> LoadResult:
        """The result of an open loop: the ``offered`` calls that were due in [begin, end)."""
        self.compact(0)
        intended, started, ended = np.concatenate(self._compact, axis=1)
        inside = (intended >= begin) & (intended < end)
        delays = (started - intended)[inside]
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
