"""What a message costs, in instructions, allocations and system calls: no more than was accepted.

``python tools/measure_costs.py`` prints the figures; with ``--accept`` it writes those that are held here.
"""

from __future__ import annotations

import importlib.util
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.tricks import needs_tricks

ROOT = Path(__file__).resolve().parent.parent

# Another compiler, or another build of the interpreter, moves them by less than this.
INSTRUCTIONS = 1.15
ALLOCATIONS = 1.05
# How messages fall into batches depends a little on timing.
SYSTEM_CALLS = 1.5

pytestmark = [
    needs_tricks("the figures are those of the tricks"),
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed"),
    pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo is not installed"),
]


def load() -> Any:
    spec = importlib.util.spec_from_file_location("measure_costs", ROOT / "tools" / "measure_costs.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


costs = load()


def hold(name: str, cost: Any) -> None:
    accepted = costs.accepted()[name]
    assert cost.instructions <= accepted.instructions * INSTRUCTIONS, (cost, accepted)
    assert cost.allocations <= accepted.allocations * ALLOCATIONS + 0.01, (cost, accepted)
    assert cost.system_calls <= accepted.system_calls * SYSTEM_CALLS, (cost, accepted)


def test_the_paths_of_the_core() -> None:
    paths = costs.core_paths()
    assert {f"core/{path}" for path in paths} == {
        name for name in costs.accepted() if name.startswith("core/")
    }
    for path in paths:
        hold(f"core/{path}", costs.measure_core(path))


@pytest.mark.skipif(
    platform.python_version_tuple()[:2] != ("3", "11"), reason="the figures are Python 3.11's"
)
@pytest.mark.parametrize("kind", costs.PYTHON_KINDS)
def test_calls_in_python(kind: str) -> None:
    hold(f"python/{kind}", costs.measure_python(kind))
