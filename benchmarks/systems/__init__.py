"""The systems that are compared, one a file; ``benchmarks.catalogue`` lists them."""
