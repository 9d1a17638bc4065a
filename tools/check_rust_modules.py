"""Checks the Rust crates: no file over 500 lines, no function over 80, no circle of modules, rooms in order.

    python tools/check_rust_modules.py

A module uses another one where a ``use`` or a path in its code leads there; that a ``mod.rs`` declares its
files and hands their names on (``pub use``) is no use. Tests are left out of circles, and not of lengths. It
prints a line per fault and exits with 1 if any.
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

# The rooms of rust/py (some of rust/core have their names): each uses those before it, and none beside it.
ROOMS = (
    ("guarded", "errors"),
    ("asyncio_glue", "stopwatch"),
    ("native",),
    ("codec",),
    ("connection",),
    ("rpc",),
    ("relay", "cache"),
)
RANKS = {room: rank for rank, rooms in enumerate(ROOMS) for room in rooms}

_FUNCTION = re.compile(r"(?P<indent> *)(pub(\([a-z:]+\))? )?(const |unsafe |async )*fn (?P<name>\w+)")
_TESTS = re.compile(r"^#\[cfg\(test\)\]\n(pub )?mod \w+ \{.*?^\}\n", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"//.*")
_PATH = re.compile(r"\b(?:crate|self|super)(?:::(?:\w+))+")
_USE = re.compile(r"(\bpub(?:\([^)]*\))?\s+)?\buse\s+([^;]+);")


def main() -> int:
    """Print what is wrong; 1 if anything is."""
    mistakes = [mistake for crate in CRATES for mistake in (*lengths(crate), *imports(crate))]
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


def imports(crate: Path) -> Iterator[str]:
    """Modules that use each other, and rooms that use one behind them."""
    modules = {_name(path.relative_to(crate)): path for path in crate.rglob("*.rs") if path.stem != "tests"}
    uses = {name: set(_used(name, path.read_text(), modules)) for name, path in modules.items()}
    for name, others in uses.items():
        room, place = name.partition("::")[0], modules[name].relative_to(ROOT)
        for other in sorted(others):
            its = other.partition("::")[0]
            if its != room and room in RANKS and its in RANKS and RANKS[its] >= RANKS[room]:
                yield f"{place}: {room} stands beside or before {its} and must not use crate::{other}"
    while True:
        try:
            TopologicalSorter(uses).prepare()
            return
        except CycleError as error:
            circle: list[str] = error.args[1]
            yield f"{crate.relative_to(ROOT)}: these use each other: {' <- '.join(circle)}"
            # Without one of its uses there may be other circles.
            uses[circle[1]].discard(circle[0])


def _name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return "::".join(parts[:-1] if parts[-1] == "mod" else parts)


def _used(name: str, source: str, modules: dict[str, Path]) -> Iterator[str]:
    code = _COMMENT.sub("", _TESTS.sub("", source))
    paths = [(leaf, bool(public)) for public, tree in _USE.findall(code) for leaf in _leaves(tree)]
    paths += [(path, False) for path in _PATH.findall(_USE.sub("", code))]
    for path, is_handed_on in paths:
        found = _resolved(name.split("::"), path.split("::"), modules)
        if found in (None, name) or (is_handed_on and found.startswith(f"{name}::")):
            continue
        yield found


def _leaves(tree: str, prefix: str = "") -> Iterator[str]:
    """The paths that a ``use`` names: ``a::{b, c::d}`` gives ``a::b`` and ``a::c::d``."""
    head, brace, rest = tree.partition("{")
    if not brace:
        yield (prefix + tree.strip()).partition(" as ")[0].removesuffix("::self").removesuffix("::*")
        return
    depth, item = 0, ""
    for character in rest[: rest.rindex("}")] + ",":
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and not depth:
            if item.strip():
                yield from _leaves(item, prefix + head.strip())
            item = ""
        else:
            item += character


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
