"""What type checkers say of users' programs: nothing of right ones, and of wrong ones what is wrong."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import runpy
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import get_type_hints

import pytest
from tests.patience import HANG

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = Path(__file__).resolve().parent / "user_programs"
RIGHT = sorted(path.name for path in PROGRAMS.glob("right_*.py"))
WRONG = sorted(path.name for path in PROGRAMS.glob("wrong_*.py"))
CHECKERS = ("mypy", "pyright")
EXPECTED = re.compile(r"# error: (?P<mypy>[\w-]+), (?P<pyright>\w+)$")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(5 * HANG)]

Complaints = dict[str, list[tuple[int, str]]]
"""By program: the line and the rule."""


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=4 * HANG, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


@lru_cache
def complaints(checker: str) -> Complaints:
    """All that a checker says of all programs, in its strictest mode."""
    if importlib.util.find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed")
    found: Complaints = {}
    if checker == "mypy":
        options = ["--strict", "--config-file=", "--no-error-summary"]
        cache = f"--cache-dir={ROOT / '.mypy_cache' / 'user_programs'}"
        output = run(sys.executable, "-m", "mypy", *options, cache, "--hide-error-context", PROGRAMS)
        for line in output.splitlines():
            said = re.fullmatch(r"(.*\.py):(\d+): error: .* \[([\w-]+)\]", line)
            if said:
                found.setdefault(Path(said[1]).name, []).append((int(said[2]), said[3]))
            assert said or ": note: " in line, line
    else:
        output = run(
            sys.executable,
            "-m",
            "pyright",
            "--outputjson",
            "--pythonpath",
            sys.executable,
            "--project",
            PROGRAMS,
        )
        for said in json.loads(output)["generalDiagnostics"]:
            place = Path(said["file"]).name, said["range"]["start"]["line"] + 1
            found.setdefault(place[0], []).append((place[1], said["rule"]))
    return {name: sorted(each) for name, each in found.items()}


@pytest.mark.parametrize("program", RIGHT)
def test_right_programs_are_python(program: str) -> None:
    """What they say of types can be evaluated, too, such as ``rpc.UnaryCall[Response]``."""
    module = runpy.run_path(str(PROGRAMS / program))
    for found in module.values():
        if inspect.isfunction(found) and found.__module__ == module["__name__"]:
            get_type_hints(found)


@pytest.mark.parametrize("checker", CHECKERS)
@pytest.mark.parametrize("program", RIGHT)
def test_right_programs(program: str, checker: str) -> None:
    assert complaints(checker).get(program, []) == []


@pytest.mark.parametrize("checker", CHECKERS)
@pytest.mark.parametrize("program", WRONG)
def test_wrong_programs(program: str, checker: str) -> None:
    """Each error where a comment expects it, and no other; types that it makes unknown are no more."""
    expected = []
    for number, line in enumerate((PROGRAMS / program).read_text().splitlines(), 1):
        if said := EXPECTED.search(line):
            expected.append((number, said[checker]))
    assert expected
    said_of = complaints(checker).get(program, [])
    assert [each for each in said_of if not each[1].startswith("reportUnknown")] == expected
