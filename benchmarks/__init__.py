"""This project and its peers on the same cache-like call, measured in one run: ``python -m benchmarks``."""
