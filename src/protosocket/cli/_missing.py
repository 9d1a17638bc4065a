"""What to install for a program whose optional package is missing."""

from __future__ import annotations

__all__ = ["to_install"]

# The name of a module: that of its package on PyPI, and the smallest extra of ours that brings it.
_PACKAGES = {
    "click": ("click", "cli"),
    "grpc": ("grpcio", "grpc"),
    "momento_wire_types": ("momento-wire-types", "momento"),
    "hdrh": ("hdrhistogram", "bench"),
    "matplotlib": ("matplotlib", "bench"),
    "numpy": ("numpy", "bench"),
    "psutil": ("psutil", "bench"),
    "rich": ("rich", "bench"),
}


def to_install(module: str) -> str | None:
    """A sentence for a ``module`` that was not found; None for one that no package of ours has to bring."""
    known = _PACKAGES.get(module.partition(".")[0])
    if known is None:
        return None
    package, extra = known
    return f'{package} is not installed: pip install "protosocket[{extra}]"'
