"""Checks that a layer uses only the public names of the others, which import-linter cannot express.

A layer is a module or package directly inside ``protosocket``. An import of one layer from another may name
nothing that begins with an underscore (the native ``protosocket._core`` is a layer, so it may be named), and
takes things from the layer that defines them: only programs use what the package's root hands on.

Run it as ``python tools/check_private_imports.py``; it prints one line per fault and exits with 1 if any.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "protosocket"
USES_THE_ROOT = {"__main__", "cli"}


def imported(tree: ast.AST) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Every absolute import of ``tree`` at any depth: its line and the parts of the dotted name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, tuple(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield node.lineno, (*node.module.split("."), alias.name)


def faults(source: str, layer: str, layers: set[str]) -> Iterator[tuple[int, str]]:
    """What is wrong with the imports of ``source``, a module of ``layer``: line and text."""
    for line, (root, *names) in imported(ast.parse(source)):
        if root != PACKAGE.name or not names or names[0] == layer:
            continue
        if names[0] not in layers and layer not in USES_THE_ROOT:
            yield line, f"{names[0]} comes from the package's root; import it from the layer that defines it"
        elif private := next((name for name in names[1:] if name.startswith("_")), None):
            yield line, f"{'.'.join((root, *names))}: {private} is private to the layer {names[0]}"


def main() -> int:
    """Check every module of the package."""
    modules = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]
    layers = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in modules} | {"_core"}
    found = 0
    for path in modules:
        layer = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for line, text in faults(path.read_text(), layer, layers):
            print(f"{path.relative_to(PACKAGE.parent.parent)}:{line}: {text}")
            found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
