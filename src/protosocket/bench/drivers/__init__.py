"""The systems a load generator can drive, one a file; ``protosocket.bench.driver`` finds them by name."""

__all__: list[str] = []
