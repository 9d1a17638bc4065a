"""The package as a whole: what it exports, how its files are laid out, and that it installs from source."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from importlib import import_module, metadata, resources
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "protosocket"
SOURCES = [
    path
    for folder in (PACKAGE, ROOT / "tests", ROOT / "tools")
    for path in sorted(folder.rglob("*.py"))
    if "_pb2" not in path.name
]
OURS = [path for path in SOURCES if path.is_relative_to(PACKAGE)]
INITS = [path for path in OURS if path.name == "__init__.py"]
# Packages that need what an extra brings.
EXTRAS = ("bench", "cli", "decode", "drivers", "grpc", "momento")
# The native module has no Python source; running __main__ is all there is to it.
EXPORTING = [
    path for path in OURS if (path.name != "__main__.py" and not path.stem.startswith("_")) or path in INITS
]


def name_of(path: Path) -> str:
    """The dotted name of the module in ``path``."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def relative(path: Path) -> str:
    """How a test names ``path``."""
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_first_sentence_says_what_the_file_is_for(path: Path) -> None:
    text = path.read_text()
    first = (ast.get_docstring(ast.parse(text)) or "").partition("\n\n")[0]
    assert first, "no docstring"


@pytest.mark.parametrize("path", INITS, ids=relative)
def test_package_init_only_hands_on_names(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 40
    # An AugAssign is `__all__ += module.__all__`.
    allowed = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, ast.If)
    assert all(isinstance(node, allowed) for node in ast.parse(path.read_text()).body)


@pytest.mark.parametrize("path", EXPORTING, ids=relative)
def test_all_names_what_is_there(path: Path) -> None:
    """Its order is the linter's business (RUF022)."""
    module = import_module(name_of(path))
    exported = module.__all__
    assert len(set(exported)) == len(exported)
    assert [name for name in exported if not hasattr(module, name)] == []


def test_type_information_is_shipped() -> None:
    assert resources.files("protosocket").joinpath("py.typed").is_file()
    assert resources.files("protosocket").joinpath("_core.pyi").is_file()


def test_version_has_one_source() -> None:
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]
    assert metadata.version("protosocket") == cargo["package"]["version"]
    assert "version" in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dynamic"]
    for member in cargo["members"]:
        package = tomllib.loads((ROOT / member / "Cargo.toml").read_text())["package"]
        assert package["version"] == {"workspace": True}


def test_locked_files_name_no_mirror() -> None:
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    sources = {package["source"] for package in lock["package"] if "source" in package}
    assert sources == {"registry+https://github.com/rust-lang/crates.io-index"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_installs_from_source_into_an_empty_environment(tmp_path: Path) -> None:
    """``pip install .`` without extras: the library works, and the program says what it is missing."""

    def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert run(sys.executable, "-m", "venv", tmp_path / "venv").returncode == 0
    python = tmp_path / "venv" / "bin" / "python"
    installed = run(python, "-m", "pip", "install", "--quiet", str(ROOT))
    assert installed.returncode == 0, installed.stderr

    names = [name_of(path) for path in INITS if not set(path.relative_to(PACKAGE).parts) & set(EXTRAS)]
    imported = run(python, "-W", "error", "-c", f"import protosocket._core, {', '.join(names)}")
    assert imported.returncode == 0, imported.stderr
    program = run(python, "-m", "protosocket", "--version")
    assert program.returncode == 3
    assert program.stderr.splitlines() == [
        'protosocket: click is not installed: pip install "protosocket[cli]"'
    ]
