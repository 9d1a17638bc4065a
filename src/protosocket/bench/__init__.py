"""The benchmark: workload files, load generators, and the talk's four columns measured on this machine."""

from __future__ import annotations

__all__: list[str] = []
