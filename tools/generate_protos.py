"""Generates the Python modules of proto/*.proto into src/protosocket/cache/, or checks that they are.

    python tools/generate_protos.py           write them
    python tools/generate_protos.py --check   exit with 1, naming them, if any differs from what is committed

Needs grpcio-tools and mypy-protobuf as the dependency group "protos" pins them: another compiler writes other
bytes, and a newer one writes modules that older protobuf runtimes refuse.
"""

from __future__ import annotations

import re
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "proto"
TARGET = ROOT / "src" / "protosocket" / "cache"
PACKAGE = "protosocket.cache"

# protoc imports by the path of the .proto file; our modules live in a package.
_IMPORT = re.compile(r"^import (\w+_pb2)( as \w+)?$", re.MULTILINE)


def generate() -> dict[str, str]:
    """The text of every generated module by its file name."""
    names = sorted(path.name for path in SOURCES.glob("*.proto"))
    services = [name for name in names if "\nservice " in (SOURCES / name).read_text()]
    with tempfile.TemporaryDirectory() as directory:
        includes = [f"-I{SOURCES}", f"-I{files('grpc_tools') / '_proto'}"]
        _run(*includes, f"--python_out={directory}", f"--pyi_out={directory}", *names)
        # The plugin of this environment, which need not be on the PATH.
        plugin = f"--plugin={Path(sys.executable).parent / 'protoc-gen-mypy_grpc'}"
        _run(*includes, plugin, f"--grpc_python_out={directory}", f"--mypy_grpc_out={directory}", *services)
        return {path.name: _absolute(path.read_text()) for path in sorted(Path(directory).iterdir())}


def _run(*arguments: str) -> None:
    if protoc.main(["protoc", *arguments]) != 0:
        raise SystemExit("generate_protos: protoc failed")


def _absolute(text: str) -> str:
    return _IMPORT.sub(rf"from {PACKAGE} import \1\2", text)


def main() -> None:
    """Write the modules or, with ``--check``, compare them."""
    modules = generate()
    stale = [
        name
        for name, text in modules.items()
        if not (TARGET / name).exists() or (TARGET / name).read_text() != text
    ]
    kept = {path.name for pattern in ("*_pb2*.py", "*_pb2*.pyi") for path in TARGET.glob(pattern)}
    left_over = sorted(kept - modules.keys())
    if "--check" in sys.argv[1:]:
        if stale or left_over:
            raise SystemExit(
                f"generate_protos: run it again, these differ from proto/: {' '.join(stale + left_over)}"
            )
        return
    for name, text in modules.items():
        (TARGET / name).write_text(text)
    for name in left_over:
        (TARGET / name).unlink()


if __name__ == "__main__":
    main()
