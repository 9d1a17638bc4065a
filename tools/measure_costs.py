"""Counts what a message costs in instructions, allocations and system calls, which no other load disturbs.

    python tools/measure_costs.py            print what each path costs, and what it cost when it was accepted
    python tools/measure_costs.py --accept   write the figures to tests/costs.json, where a test holds them

Each path runs twice under valgrind's callgrind, with a small and a large number of operations; the difference
is the cost of an operation in steady state. Needs valgrind and cargo.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ACCEPTED = ROOT / "tests" / "costs.json"
CORE_COUNTS = (1_000, 11_000)
PYTHON_COUNTS = (640, 2_560)
PYTHON_KINDS = ("upb", "native", "stream", "grpc", "grpc-stream")

# What the loops and transports call for every read, write and wait; called by their names in libc.
_SYSTEM_CALLS = ("send", "recv", "read", "write", "writev", "sendmsg", "recvmsg", "epoll_wait", "epoll_pwait")
_ALLOCATIONS = ("malloc", "calloc", "realloc")


@dataclass(frozen=True)
class Cost:
    """Of one message in the core, one call (client and server) or one item of a stream in Python."""

    instructions: float
    allocations: float
    system_calls: float


def core_paths() -> list[str]:
    """The paths of the core, by name."""
    return subprocess.run([_core_program()], check=True, capture_output=True, text=True).stdout.split()


def measure_core(path: str) -> Cost:
    """What a message costs on a path of the core."""
    small, large = CORE_COUNTS
    few, many = _both(lambda count: _instructions([_core_program(), path, str(count)]), CORE_COUNTS)
    allocated = [
        int(subprocess.run([_core_program(), path, str(count)], check=True, capture_output=True).stdout)
        for count in CORE_COUNTS
    ]
    operations = large - small
    return Cost((many.total - few.total) / operations, (allocated[1] - allocated[0]) / operations, 0.0)


def measure_python(kind: str) -> Cost:
    """What a call costs, client and server together, or an item of a stream."""
    small, large = PYTHON_COUNTS
    program = str(ROOT / "tools" / "calls_in_process.py")
    few, many = _both(lambda count: _instructions([sys.executable, program, kind, str(count)]), PYTHON_COUNTS)
    operations = large - small
    return Cost(
        (many.total - few.total) / operations,
        (many.allocations - few.allocations) / operations,
        (many.system_calls - few.system_calls) / operations,
    )


def measure_all() -> dict[str, Cost]:
    """Every path by its name: ``core/...`` and ``python/...``."""
    costs = {f"core/{path}": measure_core(path) for path in core_paths()}
    return costs | {f"python/{kind}": measure_python(kind) for kind in PYTHON_KINDS}


def accepted() -> dict[str, Cost]:
    """What ``--accept`` wrote."""
    return {name: Cost(**cost) for name, cost in json.loads(ACCEPTED.read_text()).items()}


@dataclass(frozen=True)
class _Count:
    total: int
    allocations: int
    system_calls: int


def _core_program() -> str:
    build = ["cargo", "build", "--quiet", "--release", "--locked"]
    subprocess.run([*build, "--package", "protosocket-core", "--example", "costs"], check=True, cwd=ROOT)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return str(target / "release" / "examples" / "costs")


def _both(run: Callable[[int], _Count], counts: tuple[int, int]) -> list[_Count]:
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(run, counts))


def _instructions(command: list[str]) -> _Count:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "callgrind.out"
        subprocess.run(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={file}", *command],
            check=True,
            capture_output=True,
            # Hashes that are the same in each run, and every allocation seen.
            env=os.environ | {"PYTHONHASHSEED": "0", "PYTHONMALLOC": "malloc"},
        )
        return _read(file.read_text())


def _read(text: str) -> _Count:
    """The totals of a callgrind file: its format compresses names to numbers when they come again."""
    total = int(re.findall(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)[-1])
    names: dict[str, str] = dict(re.findall(r"^c?fn=\((\d+)\) (.+)$", text, re.MULTILINE))
    called: dict[str, int] = {}
    for number, count in re.findall(r"^cfn=\((\d+)\).*\ncalls=(\d+)", text, re.MULTILINE):
        name = names[number].partition("@")[0].partition("'")[0]
        called[name] = called.get(name, 0) + int(count)
    return _Count(
        total,
        sum(called.get(name, 0) for name in _ALLOCATIONS),
        sum(called.get(name, 0) for name in _SYSTEM_CALLS),
    )


def main() -> None:
    """Print the figures or, with ``--accept``, write them as well."""
    costs = measure_all()
    before = accepted() if ACCEPTED.exists() else {}
    print(f"{'path':20} {'instructions':>14} {'allocations':>12} {'system calls':>13}   accepted")
    for name, cost in costs.items():
        old = f"{before[name].instructions:.0f}" if name in before else "-"
        figures = f"{cost.instructions:14.0f} {cost.allocations:12.2f} {cost.system_calls:13.3f}"
        print(f"{name:20} {figures}   {old}")
    if "--accept" in sys.argv[1:]:
        rounded = {
            name: {figure: round(value, 3) for figure, value in asdict(cost).items()}
            for name, cost in costs.items()
        }
        ACCEPTED.write_text(json.dumps(rounded, indent=2) + "\n")


if __name__ == "__main__":
    main()
