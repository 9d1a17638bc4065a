"""The systems a load generator can drive, one a file; ``protosocket.bench.driver`` finds them by name."""

from __future__ import annotations

__all__: list[str] = []
