"""A pytest plugin for the native module's debug build: the garbage collector runs wherever it may.

That build aborts where Python code runs while native state is borrowed. The collector may run Python code
wherever it has its turn, so here it always does.
"""

from __future__ import annotations

import gc
from typing import Any

import pytest

from protosocket import _core


def _collected(phase: str, info: dict[str, Any]) -> None:
    """Python code."""


def pytest_configure(config: pytest.Config) -> None:
    """Begin, unless another build was imported."""
    assert hasattr(_core, "call_while_borrowed"), f"{_core.__file__} is no debug build"
    gc.callbacks.append(_collected)
    gc.set_threshold(1)
