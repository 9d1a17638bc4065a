"""The entry point of the programs: help, version, exit codes, and what it says when something is missing."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from tests.patience import HANG

from protosocket.cli import main

CLI = Path(__file__).parent.parent / "src" / "protosocket" / "cli"
COMMANDS = sorted(
    path.stem for path in CLI.glob("*.py") if path.stem != "main" and not path.stem.startswith("_")
)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The exit code, standard output and standard error of the program."""
    with pytest.raises(SystemExit) as exit_info:
        main(arguments)
    captured = capsys.readouterr()
    code = exit_info.value.code
    assert isinstance(code, int)
    return code, captured.out, captured.err


def run_without(missing: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The program in a process of its own where no module ``missing`` can be found."""
    script = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from protosocket.cli.main import main\n"
        f"main({list(arguments)!r})"
    )
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=HANG, check=False
    )


def test_help_lists_every_program(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--help")
    assert (code, err) == (0, "")
    listed = [line.split()[0] for line in out.partition("Commands:\n")[2].splitlines()]
    assert sorted(listed) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_program_explains_itself(capsys: pytest.CaptureFixture[str], command: str) -> None:
    code, out, err = run(capsys, command, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: protosocket {command} ")


def test_version_is_that_of_the_installed_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == (0, f"protosocket, version {metadata.version('protosocket')}\n", "")


def test_arguments_that_make_no_sense_exit_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "no-such-program")
    assert (code, out) == (2, "")
    assert "no-such-program" in err


def test_module_and_console_script_are_the_same_program() -> None:
    script = Path(sys.executable).with_name("protosocket")
    by_script, by_module = (
        subprocess.run(
            [*program, "--version"], capture_output=True, text=True, timeout=HANG, check=True
        ).stdout
        for program in ([script], [sys.executable, "-m", "protosocket"])
    )
    assert by_script == by_module


def test_help_imports_no_optional_package_but_click() -> None:
    for optional in ("grpc", "hdrh", "matplotlib", "momento_wire_types", "numpy", "psutil", "rich"):
        assert run_without(optional, "--help").returncode == 0


def test_without_click_one_line_says_what_to_install() -> None:
    done = run_without("click", "--help")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == 'protosocket: click is not installed: pip install "protosocket[cli]"\n'


def test_without_an_optional_package_one_line_says_what_to_install() -> None:
    done = run_without("grpc", "cache", "get", "key", "--router", "tcp://127.0.0.1:1", "--transport", "grpc")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == 'protosocket: grpcio is not installed: pip install "protosocket[grpc]"\n'
    options = ("--momento-listen", "grpc://127.0.0.1:0", "--storage", "memory://nowhere")
    done = run_without("momento_wire_types", "router", *options)
    assert (done.returncode, done.stdout) == (3, "")
    text = 'protosocket: momento-wire-types is not installed: pip install "protosocket[momento]"\n'
    assert done.stderr.endswith(text)


@pytest.mark.parametrize(
    ("arguments", "expected", "text"),
    [
        (["cache", "get", "key", "--router", "tcp://127.0.0.1:1"], 3, "127.0.0.1"),
        (["cache", "get", "key", "--router", "nonsense"], 2, "nonsense"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    capsys: pytest.CaptureFixture[str], arguments: list[str], expected: int, text: str
) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (expected, "")
    assert err.startswith("protosocket: ")
    assert err.count("\n") == 1
    assert text in err
