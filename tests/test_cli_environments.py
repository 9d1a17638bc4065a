"""The programs in odd environments: closed, full and ASCII standard streams, few descriptors, no reader."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ANYWHERE = "tcp://127.0.0.1:0"

WORKLOAD = Path(__file__).parent / "workloads" / "one_second.toml"

CLOSED = {"no stdin": "<&-", "no stdout": ">&-", "no stderr": "2>&-", "no streams": "<&- >&- 2>&-"}
LIMITS = {"few files": "ulimit -n 10"}


class Environment:
    """Something unusual about a process that is to be started."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.redirections = CLOSED.get(name, "")
        if name.startswith("full"):
            self.redirections = {"full stdout": ">/dev/full", "full stderr": "2>/dev/full"}[name]
        self.first = LIMITS.get(name, ":")
        self.variables = {}
        if name == "ascii":
            self.variables = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0", "NO_COLOR": "1"}
        if name == "bare":
            self.variables = {"HOME": "", "TERM": "", "TMPDIR": "/nowhere", "PATH": ""}

    def __repr__(self) -> str:
        return self.name

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the program, with standard streams that are pipes where nothing else is said."""
        script = f'{self.first}; exec "$@" {self.redirections}'
        return subprocess.Popen(
            ["/bin/bash", "-c", script, "bash", sys.executable, "-m", "protosocket", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | self.variables,
        )

    def run(self, *arguments: str) -> tuple[int, bytes, str]:
        """The program's exit code, output and errors; the latter are always in order."""
        with self.start(*arguments) as process:
            output, errors = process.communicate(timeout=300)
        return process.returncode, output, in_order(errors)


def in_order(errors: bytes) -> str:
    """Standard error, in which no fault of ours may show."""
    text = errors.decode()
    for fault in ("Traceback", "Exception ignored", "Assertion", "never awaited", "was destroyed"):
        assert fault not in text, text
    return text


OFTEN = ["no streams", "few files", "full stdout", "ascii"]
SELDOM = ["no stdin", "no stdout", "no stderr", "full stderr", "bare"]


@pytest.fixture(params=[*OFTEN, *(pytest.param(name, marks=pytest.mark.slow) for name in SELDOM)])
def environment(request: pytest.FixtureRequest) -> Environment:
    return Environment(request.param)


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A router that has a value under "key", with characters that ASCII does not have."""
    started = []
    url = ""
    try:
        for arguments in (["storage"], ["router", "--storage"]):
            process = Environment("plain").start(*arguments, *([url] if url else []), "--listen", ANYWHERE)
            started.append(process)
            assert process.stdout is not None
            url = process.stdout.readline().decode().split()[-1]
        assert Environment("plain").run("cache", "set", "key", "µ", "--router", url) == (0, b"", "")
        yield url
    finally:
        for process in started:
            process.terminate()
            process.communicate()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize(
    "program",
    [
        "storage",
        pytest.param("router", marks=pytest.mark.slow),
        pytest.param("router --workers 2", marks=pytest.mark.slow),
        pytest.param("router --grpc-listen", marks=pytest.mark.slow),
    ],
)
def test_a_server_serves_and_ends_or_says_why_not(
    environment: Environment, program: str, router: str
) -> None:
    port = free_port()
    url = f"tcp://127.0.0.1:{port}"
    arguments = ["storage", "--listen", url]
    if program.startswith("router"):
        # The other router takes this one for its storage, with whom it needs no more than a connection.
        arguments = ["router", "--storage", router, "--listen", url]
    if program.endswith("2"):
        arguments += ["--workers", "2"]
    if program.endswith("listen"):
        arguments[-2:] = ["--grpc-listen", f"grpc://127.0.0.1:{port}"]
    with environment.start(*arguments) as process:
        # What ends by itself is not to be ended while it starts.
        while process.poll() is None and environment.name != "full stdout":
            try:
                socket.create_connection(("127.0.0.1", port)).close()
            except ConnectionRefusedError:
                time.sleep(0.01)
            else:
                process.send_signal(signal.SIGTERM)
                break
        errors = process.communicate(timeout=300)[1]
    text = in_order(errors)
    if environment.name.startswith("few files"):
        assert process.returncode == 3
        assert "open files" in text.splitlines()[-1]
        assert text.count("\n") == 1
    elif environment.name == "full stdout":
        assert (process.returncode, text) == (3, "protosocket: No space left on device\n")
    else:
        assert (process.returncode, text) == (0, "")


def test_a_value_is_written_or_it_is_said_why_not(environment: Environment, router: str) -> None:
    code, output, errors = environment.run("cache", "get", "key", "--router", router)
    if environment.name.startswith("few files"):
        assert (code, output) == (3, b"")
        assert "open files" in errors
    elif environment.name in ("no stdout", "no streams"):
        assert (code, output) == (3, b"")
        assert "standard output is closed" in errors or environment.name == "no streams"
    elif environment.name == "full stdout":
        assert (code, errors) == (3, "protosocket: No space left on device\n")
    else:
        assert (code, output, errors) == (0, "µ".encode(), "")


def test_nothing_is_stored_in_place_of_a_standard_input_that_is_closed(router: str) -> None:
    code, _, errors = Environment("no stdin").run("cache", "set", "key", "-", "--router", router)
    assert (code, errors) == (3, "protosocket: standard input is closed, so there is nothing to read\n")
    assert Environment("plain").run("cache", "get", "key", "--router", router) == (0, "µ".encode(), "")


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hex dump of one message of text that ASCII does not have, many times over."""
    file = tmp_path_factory.mktemp("dump") / "ünï.hex"
    message = "0a04" + "µµ".encode().hex()
    file.write_text(f"06{message}" * 20_000)
    return file


def test_messages_are_printed_or_it_is_said_why_not(environment: Environment, dump: Path) -> None:
    code, output, errors = environment.run("decode", str(dump))
    if environment.name in ("no stdout", "no streams"):
        assert (code, output) == (3, b"")
    elif environment.name == "full stdout":
        assert (code, errors) == (3, "protosocket: No space left on device\n")
    else:
        assert (code, errors) == (0, "")
        assert output.count(b"\n") == 20_000


def test_nobody_reads_on(dump: Path) -> None:
    with Environment("plain").start("decode", str(dump)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() != b""
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    # As a shell says it of what ends by SIGPIPE.
    assert process.returncode == 141


def test_what_the_system_refuses_is_told_where_standard_output_is_closed() -> None:
    both = Environment("no stdout")
    both.first = LIMITS["few files"]
    code, output, errors = both.run("cache", "set", "key", "value", "--router", "tcp://127.0.0.1:1")
    assert (code, output) == (3, b"")
    assert "open files" in errors


@pytest.mark.parametrize("option", ["--help", pytest.param("--version", marks=pytest.mark.slow)])
def test_help_is_printed_or_it_is_said_why_not(environment: Environment, option: str) -> None:
    code, output, errors = environment.run(option)
    if environment.name == "full stdout":
        assert (code, errors) == (3, "protosocket: No space left on device\n")
    else:
        assert (code, errors) == (0, "")
        assert output or environment.name in ("no stdout", "no streams")


@pytest.mark.parametrize("arguments", ["cache get key --router µ", "no-such-programµ"])
def test_an_error_is_told_or_the_exit_code_says_it(environment: Environment, arguments: str) -> None:
    code, output, errors = environment.run(*arguments.split())
    if environment.name == "no stdout" and arguments.startswith("cache"):
        assert (code, output) == (3, b"")
    elif environment.name in ("no stderr", "no streams", "full stderr"):
        assert code in (2, 3)
        assert (output, errors) == (b"", "")
    elif environment.name == "few files" and arguments.startswith("cache"):
        assert (code, output) == (3, b"")
    else:
        assert (code, output) == (2, b"")
        assert re.search("(protosocket|Error): .+", errors.splitlines()[-1])


@pytest.mark.slow
def test_a_benchmark_ends_with_its_report(environment: Environment, tmp_path: Path) -> None:
    (tmp_path / "workload.toml").write_text(WORKLOAD.read_text())
    code, _, errors = environment.run(
        "bench", "run", str(tmp_path / "workload.toml"), "--json", str(tmp_path / "report.json")
    )
    if environment.name.startswith("few files"):
        assert code == 3
        assert errors.startswith("protosocket: ")
    elif environment.name == "full stdout":
        assert (code, errors) == (3, "protosocket: No space left on device\n")
    else:
        assert (code, errors) == (0, "")
        assert (tmp_path / "report.json").stat().st_size


def test_a_program_whose_folder_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    script = f'cd {folder}; rmdir {folder}; exec "$@"'
    for arguments, expected in (("--version",), 0), (("decode", "here"), 2):
        done = subprocess.run(
            [
                "/bin/bash",
                "-c",
                script,
                "bash",
                str(Path(sys.executable).with_name("protosocket")),
                *arguments,
            ],
            capture_output=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == expected
        in_order(done.stderr)


BLOCKING = """
import protosocket.grpc
channel = protosocket.grpc.sync_insecure_channel("127.0.0.1:1")
channel.close()
"""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_a_blocking_channel_where_a_standard_stream_is_closed(closed: str) -> None:
    done = subprocess.run(
        ["/bin/bash", "-c", f'exec "$@" {closed}', "bash", sys.executable, "-c", BLOCKING],
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, in_order(done.stderr)) == (0, "")
