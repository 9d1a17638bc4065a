"""The benchmark: workload files, load generators, and the talk's four columns measured on this machine."""

__all__: list[str] = []
