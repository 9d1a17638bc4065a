"""Latencies into HDR histograms, in bulk, and percentiles out of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from hdrh.histogram import HdrHistogram

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Percentiles", "histogram_of", "merge", "percentiles"]

LOWEST_MICROSECONDS = 1
HIGHEST_MICROSECONDS = 3_600_000_000
SIGNIFICANT_DIGITS = 3


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    """Latencies in milliseconds, exact to three digits; all 0 if nothing was measured."""

    p50_ms: float = 0.0
    p90_ms: float = 0.0
    p99_ms: float = 0.0
    p999_ms: float = 0.0
    max_ms: float = 0.0
    mean_ms: float = 0.0


def histogram_of(seconds: np.ndarray[Any, np.dtype[np.float64]]) -> HdrHistogram:
    """A histogram of latencies given in seconds; it counts whole microseconds.

    One ``record_value`` takes microseconds in Python, so equal values are recorded together.
    """
    histogram = HdrHistogram(LOWEST_MICROSECONDS, HIGHEST_MICROSECONDS, SIGNIFICANT_DIGITS)
    microseconds = np.clip(np.rint(seconds * 1e6), LOWEST_MICROSECONDS, HIGHEST_MICROSECONDS).astype(np.int64)
    values, counts = np.unique(microseconds, return_counts=True)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        histogram.record_value(value, count)
    return histogram


def merge(encoded: Iterable[str]) -> HdrHistogram:
    """One histogram of several in HdrHistogram's own compressed text form."""
    whole = HdrHistogram(LOWEST_MICROSECONDS, HIGHEST_MICROSECONDS, SIGNIFICANT_DIGITS)
    for text in encoded:
        whole.decode_and_add(text)
    return whole


def percentiles(histogram: HdrHistogram) -> Percentiles:
    """The percentiles that are reported."""
    total = histogram.get_total_count()
    if total == 0:
        return Percentiles()
    # The smallest value that at least this share is not above. The library rounds to the nearest rank, which
    # of few values leaves out the largest; a share that is a whole rank already cannot be rounded.
    ranks = [100.0 * math.ceil(round(share * total, 6)) / total for share in (0.5, 0.9, 0.99, 0.999)]
    values = histogram.get_percentile_to_value_dict(ranks)
    p50, p90, p99, p999 = (values[rank] / 1e3 for rank in ranks)
    return Percentiles(
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        p999_ms=p999,
        max_ms=histogram.get_max_value() / 1e3,
        mean_ms=round(histogram.get_mean_value() / 1e3, 4),
    )
