"""Checks the file of ``protosocket bench talk --json``: four measured columns, no errors, no empty figure.

It looks for a benchmark that did not run or did not count, never for a speed: the machines differ.

Run it as ``python tools/check_talk.py FILE``; it prints one line per fault and exits with 1 if there is any.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

COLUMNS = ["grpc-unary", "grpc-stream", "protosocket-backend", "protosocket"]
FIGURES = [
    "ops_per_second",
    "p50_ms",
    "p99_ms",
    "p999_ms",
    "client_cpu_us_per_op",
    "router_cpu_us_per_op",
    "storage_cpu_us_per_op",
    "wire_bytes_per_op",
]


def faults(report: Any) -> Iterator[str]:
    """What is wrong with ``report``, the parsed JSON."""
    for key in ("machine", "commit"):
        if not report.get(key):
            yield f"{key} is missing"
    names = [column.get("name") for column in report.get("columns", [])]
    if names != COLUMNS:
        yield f"the columns are {names}, not {COLUMNS}"
    for column in report.get("columns", []):
        name = column.get("name")
        if column.get("errors") != 0:
            yield f"{name}: errors is {column.get('errors')}, not 0"
        for figure in FIGURES:
            value = column.get(figure)
            if not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
                yield f"{name}: {figure} is {value}, not a positive number"
        if not column.get("p50_ms", 0) <= column.get("p99_ms", 0) <= column.get("p999_ms", 0):
            yield f"{name}: the percentiles do not rise"


def main() -> int:
    """Check the file that the first argument names."""
    found = list(faults(json.loads(Path(sys.argv[1]).read_text())))
    print("\n".join(found) or f"{len(COLUMNS)} columns measured without errors")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
