"""The programs' options: whatever is given, the answer is an exit code and a few lines, no traceback."""

from __future__ import annotations

import importlib.metadata
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import click
import pytest

from protosocket.cache.auth import read_tokens
from protosocket.cli import main
from protosocket.cli._commands import commands
from protosocket.cli._missing import to_install
from protosocket.errors import OptionError
from protosocket.options import ConnectionOptions, parse_size

NOWHERE = "tcp://127.0.0.1:1"

# Arguments that make sense as far as they go, and end soon: nobody listens there, the address is somebody
# else's, a folder does not exist.
BASES = {
    "storage": ["storage", "--listen", "tcp://192.0.2.1:1", "--token-file", "TOKENS"],
    "router": ["router", "--listen", "tcp://192.0.2.1:1", "--storage", "unix:///n", "--token-file", "TOKENS"],
    "cache get": ["cache", "get", "key", "--router", NOWHERE],
    "cache set": ["cache", "set", "key", "value", "--router", NOWHERE],
    "cache touch": ["cache", "touch", "key", "--router", NOWHERE],
    "cache delete": ["cache", "delete", "key", "--router", NOWHERE],
    "decode": ["decode", "DUMP"],
    "bench talk": ["bench", "talk", "--json", "/nowhere/a.json", "--markdown", "/nowhere/a.md"],
    "bench run": ["bench", "run", "/nowhere/workload.toml"],
}  # fmt: skip

ODD = [
    "", " ", ",", "-", "-1", "0", "1e999", "nan", "inf", "9" * 30, "9" * 5000, "x" * 100_000, "é☃", "k\udcff",
    "/", "/dev/null", "/nowhere/x", "%s{}", "a\nb", "\x1b[31m", "tcp://", "tcp://[::1", "tcp://h:99999", "tls://é:1",
    "unix://", "unix://" + "p" * 5000, "grpc://", "grpc://h", "memory://", "17000000TiB", "1KiB", "0.1", "٣",
]  # fmt: skip


def found(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every program, by what is written for it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from found(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


PROGRAMS = dict(found(commands))


def test_every_program_is_tried() -> None:
    assert set(PROGRAMS) == set(BASES)


def values_of(parameter: click.Parameter) -> list[list[str]]:
    """Odd values as arguments, for what takes any."""
    if isinstance(parameter, click.Option):
        if parameter.is_flag:
            return [[parameter.opts[0]], [f"{parameter.opts[0]}=x"]]
        # Two words, so that an empty one and one that looks like an option are values.
        return [[parameter.opts[0], value] for value in ODD]
    return [["--", value] for value in ODD]


TRIALS = [
    pytest.param(name, parameter, id=f"{name} {parameter.opts[0]}")
    for name, command in PROGRAMS.items()
    for parameter in command.params
]


@pytest.mark.parametrize(("name", "parameter"), TRIALS)
def test_odd_values(
    name: str,
    parameter: click.Parameter,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    # A router waits for its storages, none of which is there.
    monkeypatch.setattr("protosocket.cli.router._CONNECT_SECONDS", 0.001)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO())))
    (tmp_path / "TOKENS").write_text("secret\n")
    (tmp_path / "DUMP").write_text("02 0801\n")
    for arguments in values_of(parameter):
        base = list(BASES[name])
        if isinstance(parameter, click.Argument):
            del base[len(name.split()) + PROGRAMS[name].params.index(parameter)]
        with pytest.raises(SystemExit) as left:
            main([*base, *arguments])
        out, err = capsys.readouterr()
        told = (arguments[-1][:40], left.value.code, err[-300:])
        assert "Traceback" not in err, told
        # A value that makes sense leaves the program to its end, which is a failure but for "decode".
        assert left.value.code in ((0, 1, 2, 3) if name == "decode" else (2, 3)), told
        if left.value.code not in (0, 1):
            assert out == ""
            assert re.match(r"(protosocket|Error): \S", err.splitlines()[-1]), told
        assert len(err) < 3000, told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["DUMP", "TOKENS"]


def test_what_makes_no_sense_exits_with_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for arguments in (
        ["storage", "--listen", "nonsense"],
        ["storage", "--listen", "tcp://127.0.0.1:0", "--max-memory", "17000000TiB"],
        ["router", "--listen", "tcp://127.0.0.1:0", "--storage", ","],
        ["cache", "get", "key", "--router", ""],
        ["cache", "get", "key", "--router", NOWHERE, "--timeout", "nan"],
        ["cache", "get", "key", "--router", NOWHERE, "--namespace", "k\udcff"],
        ["decode", str(tmp_path / "none")],
        ["decode", "--limit", "17000000TiB"],
        ["bench", "talk", "--json", "-", "--markdown", "-"],
        ["bench", "run", str(tmp_path / "none")],
    ):
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert left.value.code == 2, arguments
        assert capsys.readouterr().err.splitlines()[-1].startswith(("protosocket: ", "Error: "))


@pytest.mark.parametrize("text", ["17000000TiB", "9" * 18 + "TiB", "8388608TiB"])
def test_a_size_beyond_what_a_machine_addresses(text: str) -> None:
    with pytest.raises(OptionError, match="more than a machine can address"):
        parse_size(text)
    assert parse_size("8388607TiB") == 8388607 * 2**40


@pytest.mark.parametrize(
    "name", ["receive_limit", "send_queue_messages", "send_queue_bytes", "read_budget_messages"]
)
def test_a_limit_beyond_what_a_machine_addresses(name: str) -> None:
    with pytest.raises(OptionError, match=f"{name} is at most 9223372036854775807"):
        ConnectionOptions(**cast(Any, {name: 2**63}))
    ConnectionOptions(**cast(Any, {name: 2**63 - 1}))


@pytest.mark.parametrize("begin", [b"\xef\xbb\xbf", b""])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_file_of_tokens_as_editors_write_it(tmp_path: Path, begin: bytes, end: bytes) -> None:
    file = tmp_path / "tokens"
    file.write_bytes(begin + b"first" + end + (b"second" if end else b""))
    assert read_tokens(file) == ["first", "second"][: 2 if end else 1]


def test_a_file_of_tokens_that_begins_with_a_comment(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_bytes(b"\xef\xbb\xbf# who may\nfirst\n")
    assert read_tokens(file) == ["first"]


@pytest.mark.parametrize("content", ["first".encode("utf-16"), b"\xff\n"])
def test_a_file_of_tokens_in_another_encoding(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "tokens"
    file.write_bytes(content)
    with pytest.raises(OptionError, match="cannot be read"):
        read_tokens(file)


def optional_requirements() -> dict[str, set[str]]:
    """The packages that extras bring, each with the extras that do."""
    brought: dict[str, set[str]] = {}
    for requirement in importlib.metadata.requires("protosocket") or ():
        match = re.match(r"([\w.-]+).*extra == ['\"](\w+)['\"]", requirement)
        if match:
            brought.setdefault(match[1].lower(), set()).add(match[2])
    return brought


def test_what_is_missing_is_named_as_it_can_be_installed() -> None:
    modules: dict[str, str] = {}
    for module, packages in importlib.metadata.packages_distributions().items():
        for package in packages:
            modules.setdefault(package.lower(), module)
            # Some packages bring several modules; the one that is imported is the one the table knows.
            if to_install(module):
                modules[package.lower()] = module
    for package, extras in optional_requirements().items():
        text = to_install(modules[package])
        assert text is not None, package
        extra = text.partition("[")[2].partition("]")[0]
        assert text == f'{package} is not installed: pip install "protosocket[{extra}]"'
        assert extra in extras
    assert to_install("protosocket.nothing") is None
    assert to_install("") is None


WORKLOAD = Path(__file__).parent / "workloads" / "one_second.toml"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["run", "talk"])
def test_a_report_on_standard_output(name: str, tmp_path: Path) -> None:
    (tmp_path / "workload.toml").write_text(WORKLOAD.read_text())
    arguments = {
        "run": ["run", "workload.toml"],
        "talk": ["talk", "--seconds", "1", "--column", "protosocket"],
    }[name]
    done = subprocess.run(
        [sys.executable, "-m", "protosocket", "bench", *arguments, "--json", "-"],
        cwd=tmp_path,
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)
    assert b"p99" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["workload.toml"]
