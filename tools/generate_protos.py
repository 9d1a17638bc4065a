"""Generates the Python modules of the project's .proto files, or checks that they are.

    python tools/generate_protos.py           write them
    python tools/generate_protos.py --check   exit with 1, naming them, if any differs from what is committed

Needs grpcio-tools and mypy-protobuf as the dependency group "protos" pins them: another compiler writes other
bytes, and a newer one writes modules that older protobuf runtimes refuse.
"""

from __future__ import annotations

import re
import sys
import tempfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent

# protoc imports by the path of the .proto file; a module of a package is imported by its package.
_IMPORT = re.compile(r"^import (\w+_pb2)( as \w+)?$", re.MULTILINE)


@dataclass(frozen=True)
class Place:
    """.proto files of a folder, and the folder of the modules made from them; paths from the root."""

    sources: str
    target: str
    package: str = ""
    """Where the modules are imported from; empty for programs that find them beside themselves."""
    pattern: str = "*.proto"
    """Which of the files."""

    def generate(self) -> dict[Path, str]:
        """The text of every generated module by its path."""
        sources = ROOT / self.sources
        names = sorted(path.name for path in sources.glob(self.pattern))
        services = [name for name in names if "\nservice " in (sources / name).read_text()]
        with tempfile.TemporaryDirectory() as directory:
            includes = [f"-I{sources}", f"-I{files('grpc_tools') / '_proto'}"]
            _run(*includes, f"--python_out={directory}", f"--pyi_out={directory}", *names)
            if services:
                _run(*includes, f"--grpc_python_out={directory}", *services)
            if services and self.package:
                # Types of the stubs. The plugin of this environment, which need not be on the PATH.
                plugin = f"--plugin={Path(sys.executable).parent / 'protoc-gen-mypy_grpc'}"
                _run(*includes, plugin, f"--mypy_grpc_out={directory}", *services)
            return {
                ROOT / self.target / path.name: self._absolute(path.read_text())
                for path in sorted(Path(directory).iterdir())
            }

    def kept(self) -> set[Path]:
        """The generated modules that are there."""
        target = ROOT / self.target
        return {path for pattern in ("*_pb2*.py", "*_pb2*.pyi") for path in target.glob(pattern)}

    def _absolute(self, text: str) -> str:
        return _IMPORT.sub(rf"from {self.package} import \1\2", text) if self.package else text


PLACES = [
    Place("proto", "src/protosocket/cache", "protosocket.cache", "*cache*.proto"),
    Place("proto", "src/protosocket/grpc", "protosocket.grpc", "envelope.proto"),
    Place("examples/rpc_protobuf", "examples/rpc_protobuf"),
    Place("examples/rmemstore", "examples/rmemstore"),
    Place("examples/grpc_orders", "examples/grpc_orders"),
    Place("tests/grpc_parity/protos", "tests/grpc_parity/protos", "tests.grpc_parity.protos"),
]


def _run(*arguments: str) -> None:
    if protoc.main(["protoc", *arguments]) != 0:
        raise SystemExit("generate_protos: protoc failed")


def _forgotten() -> set[str]:
    """Files that no place generates from, though it looks into their folder."""
    there = {path for place in PLACES for path in (ROOT / place.sources).glob("*.proto")}
    used = {path for place in PLACES for path in (ROOT / place.sources).glob(place.pattern)}
    return {str(path.relative_to(ROOT)) for path in there - used}


def main() -> None:
    """Write the modules or, with ``--check``, compare them."""
    if forgotten := sorted(_forgotten()):
        raise SystemExit(
            f"generate_protos: say in PLACES where the modules of these go: {' '.join(forgotten)}"
        )
    modules = {path: text for place in PLACES for path, text in place.generate().items()}
    stale = [path for path, text in modules.items() if not path.exists() or path.read_text() != text]
    left_over = sorted({path for place in PLACES for path in place.kept()} - modules.keys())
    if "--check" in sys.argv[1:]:
        if stale or left_over:
            names = " ".join(str(path.relative_to(ROOT)) for path in stale + left_over)
            raise SystemExit(f"generate_protos: run it again, these differ from their .proto files: {names}")
        return
    for path in stale:
        path.write_text(modules[path])
    for path in left_over:
        path.unlink()


if __name__ == "__main__":
    main()
