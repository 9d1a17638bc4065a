"""README and docs: every complete Python example runs, every command and link leads somewhere.

A block that begins with ```` ```python ```` is a script and runs as one, with warnings as errors. A block
marked ```` ```python notest ```` cannot run by itself; it must still be Python. In ```` ```console ````
blocks the lines after ``$`` are commands; of this project's own, the subcommand, its options and the make
target must exist.
"""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from tests.patience import HANG

from protosocket.cli._commands import commands

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(?P<info>[^\n`]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
PLACE = re.compile(r"(?<![\w/])(?:rust|src|tests|tools|proto|docs)/[\w/.-]++(?!\*)")
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    info: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(*infos: str) -> list[Block]:
    """Every block of every page whose fence says one of ``infos``."""
    return [
        Block(page, text.count("\n", 0, match.start()) + 1, match["info"].strip(), match["text"])
        for page in PAGES
        for text in [page.read_text()]
        for match in FENCE.finditer(text)
        if match["info"].strip() in infos
    ]


def console_commands() -> list[tuple[Block, list[str]]]:
    """Every command of the console blocks, split into words; a line that ends in a backslash goes on."""
    return [
        (block, shlex.split(line.removeprefix("$ "), comments=True))
        for block in blocks("console")
        for line in block.text.replace("\\\n", " ").splitlines()
        if line.startswith("$ ")
    ]


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_files_that_a_page_names_are_there(page: str) -> None:
    named = {name.rstrip(".") for name in PLACE.findall((ROOT / page).read_text()) if "NAME" not in name}
    assert named
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_example_runs(block: Block, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    # The empty lines make a traceback show the page's own line numbers.
    script.write_text("\n" * block.line + block.text)
    done = subprocess.run(
        [sys.executable, "-W", "error", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("block", blocks("python notest"), ids=str)
def test_fragment_is_python(block: Block) -> None:
    compile(block.text, str(block), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST)


def test_fragments_are_the_exception() -> None:
    assert len(blocks("python notest")) <= len(blocks("python"))


@pytest.mark.parametrize(("block", "words"), console_commands(), ids=str)
def test_command_exists(block: Block, words: list[str]) -> None:
    while "=" in words[0]:  # VARIABLE=value before the program
        words = words[1:]
    program, *arguments = words
    if program == "make":
        assert {word for word in arguments if "=" not in word} <= TARGETS, block
    elif Path(program).name == "protosocket":
        check_protosocket(arguments)
    elif words[:3] == ["python", "-m", "protosocket"]:
        check_protosocket(words[3:])


def check_protosocket(arguments: list[str]) -> None:
    """Follow ``arguments`` down the subcommands: each must exist, and the options of the last one too."""
    command: click.Command = commands
    context = click.Context(command)
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        name, *arguments = arguments
        found = command.get_command(context, name)
        assert found is not None, f"{context.command_path} {name}"
        command, context = found, click.Context(found, info_name=name, parent=context)
    options = {
        option
        for parameter in command.get_params(context)
        for option in parameter.opts + parameter.secondary_opts
    }
    used = {word.partition("=")[0] for word in arguments if word.startswith("-")}
    assert used <= options, f"{context.command_path}: {used - options}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    links = LINK.findall(page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link).resolve() for link in LINK.findall(index.read_text())}
    pages = {page for page in PAGES if page.is_relative_to(index.parent)} - {index}
    assert sorted(pages - linked) == []
