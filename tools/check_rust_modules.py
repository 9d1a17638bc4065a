"""Checks the Rust crates: no file over 500 lines, no function over 80, no circle of modules.

    python tools/check_rust_modules.py

A module uses another one where a ``use`` or a path in its code leads there; that a ``mod.rs`` declares its
files is no use. Tests are left out of circles, and not of lengths. It prints a line per fault and exits with
1 if any.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CRATES = [ROOT / "rust" / name / "src" for name in ("core", "py")]
MAX_FILE = 500
MAX_FUNCTION = 80

_FUNCTION = re.compile(r"(?P<indent> *)(pub(\([a-z:]+\))? )?(const |unsafe |async )*fn (?P<name>\w+)")
_TESTS = re.compile(r"^#\[cfg\(test\)\]\n(pub )?mod \w+ \{.*?^\}\n", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"//.*")
_PATH = re.compile(r"\b(?:crate|self|super)(?:::(?:\w+))+")
_USE = re.compile(r"^ *(?:pub(?:\([a-z]+\))? )?use ([\w:]+)(?:::\{|;| as)", re.MULTILINE)


def main() -> int:
    """Print what is wrong; 1 if anything is."""
    mistakes = [mistake for crate in CRATES for mistake in (*lengths(crate), *circles(crate))]
    print(*mistakes, sep="\n", end="\n" if mistakes else "")
    return bool(mistakes)


def lengths(crate: Path) -> Iterator[str]:
    """What is too long."""
    for path in sorted(crate.rglob("*.rs")):
        place, lines = path.relative_to(ROOT), path.read_text().splitlines()
        if len(lines) > MAX_FILE:
            yield f"{place}: {len(lines)} lines, over {MAX_FILE}"
        for at, line in enumerate(lines):
            found = _FUNCTION.match(line)
            if found is None or found["indent"] + "}" not in lines[at:] or line.endswith((";", "}")):
                continue
            length = lines[at:].index(found["indent"] + "}") + 1
            if length > MAX_FUNCTION:
                yield f"{place}:{at + 1}: {found['name']} has {length} lines, over {MAX_FUNCTION}"


def circles(crate: Path) -> Iterator[str]:
    """Modules that use each other, the first circle there is."""
    modules = {_name(path.relative_to(crate)): path for path in crate.rglob("*.rs") if path.stem != "tests"}
    uses = {name: set(_used(name, path.read_text(), modules)) for name, path in modules.items()}
    try:
        TopologicalSorter(uses).prepare()
    except CycleError as error:
        yield f"{crate.relative_to(ROOT)}: these use each other: {' <- '.join(error.args[1])}"


def _name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return "::".join(parts[:-1] if parts[-1] == "mod" else parts)


def _used(name: str, source: str, modules: dict[str, Path]) -> Iterator[str]:
    code = _COMMENT.sub("", _TESTS.sub("", source))
    for path in (*_USE.findall(code), *_PATH.findall(code)):
        found = _resolved(name.split("::"), path.split("::"), modules)
        if found is not None and found != name:
            yield found


def _resolved(here: list[str], path: list[str], modules: dict[str, Path]) -> str | None:
    """The longest beginning of a path that is a module of the crate."""
    if path[0] == "crate":
        path = path[1:]
    elif path[0] in ("self", "super"):
        while path and path[0] in ("self", "super"):
            here = here[:-1] if path[0] == "super" else here
            path = path[1:]
        path = here + path
    elif "::".join([*here, path[0]]) in modules:
        path = here + path
    else:
        return None
    while path and "::".join(path) not in modules:
        path = path[:-1]
    return "::".join(path) or None


if __name__ == "__main__":
    sys.exit(main())
