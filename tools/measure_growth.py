"""Counts how the cost of the worst inputs grows with their length: instructions at n and at 2 n bytes.

    python tools/measure_growth.py           print both, and their ratio: about 2 is linear, 4 is the square

Two programs have the inputs, `rust/core/examples/worst_inputs.rs` and `tests/worst_inputs.py`. They run
under valgrind's callgrind, which cuts its counts where a program asks for its parent's process id: before and
after each reading. Needs valgrind and cargo.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Growth:
    """Instructions for an input and for one of twice its length."""

    single: int
    double: int

    @property
    def ratio(self) -> float:
        """How often the first fits into the second."""
        return self.double / self.single


def core_growth() -> dict[str, Growth]:
    """The parsers of the core, by input."""
    build = ["cargo", "build", "--quiet", "--release", "--locked", "--package", "protosocket-core"]
    subprocess.run([*build, "--example", "worst_inputs"], check=True, cwd=ROOT)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return _growth([str(target / "release" / "examples" / "worst_inputs")])


def python_growth() -> dict[str, Growth]:
    """The parsers behind the names of the package, by input."""
    program = [sys.executable, "-m", "tests.worst_inputs"]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([*program, "make", folder], check=True, cwd=ROOT)
        return _growth([*program, "read", folder])


def _growth(command: list[str]) -> dict[str, Growth]:
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / "counts"
        tool = ["valgrind", "--tool=callgrind", "--dump-before=getppid", f"--callgrind-out-file={output}"]
        done = subprocess.run(
            [*tool, *command],
            check=True,
            capture_output=True,
            text=True,
            cwd=ROOT,
            # Hashes that are the same in each run.
            env=os.environ | {"PYTHONHASHSEED": "0"},
        )
        names = done.stdout.split()
        # What was counted before the first cut and between two readings is nobody's.
        counts = [_total(output.with_name(f"counts.{2 * cut}")) for cut in range(1, 2 * len(names) + 1)]
        return {
            name: Growth(single, double)
            for name, single, double in zip(names, counts[::2], counts[1::2], strict=True)
        }


def _total(file: Path) -> int:
    return int(re.findall(r"^(?:totals|summary): (\d+)", file.read_text(), re.MULTILINE)[-1])


def main() -> None:
    """Print the figures."""
    for name, growth in (core_growth() | python_growth()).items():
        print(f"{name:36} {growth.single:14} {growth.double:14} {growth.ratio:8.2f}")


if __name__ == "__main__":
    main()
