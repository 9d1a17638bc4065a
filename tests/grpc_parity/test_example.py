"""The orders example, as written for grpc.aio and with the two lines changed: one test file for both."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.patience import HANG

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = "examples/grpc_orders"
DIFF = ROOT / EXAMPLE / "over_protosocket.diff"


@pytest.fixture(params=["grpc.aio", "protosocket"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The example's folder, over gRPC or with the diff applied as the README says."""
    there = tmp_path / EXAMPLE
    shutil.copytree(ROOT / EXAMPLE, there, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    if request.param == "protosocket":
        subprocess.run(["git", "apply", there / DIFF.name], cwd=tmp_path, check=True, timeout=HANG)
    return there


@dataclass
class Serving:
    address: str
    said: list[str] = field(default_factory=list)
    """What it printed after that, once it has ended."""


@contextmanager
def serving(program: Path) -> Iterator[Serving]:
    """The server's program; SIGTERM has to end it well."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", program, "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening on "), line
        server = Serving(line.removeprefix("listening on ").strip())
        yield server
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=HANG)
        assert (process.returncode, _errors(errors)) == (0, [])
        server.said = output.splitlines()
    finally:
        process.kill()
        process.communicate()


def _errors(text: str) -> list[str]:
    """Lines of standard error, without those of gRPC's own log below errors."""
    return [line for line in text.splitlines() if not re.match(r"[IW]\d{4} |WARNING: All log messages", line)]


def run(program: Path, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", program, *arguments],
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )
    assert (done.returncode, _errors(done.stderr)) == (0, []), done.stdout
    return done.stdout.splitlines()


def test_the_example_says_what_it_should(project: Path) -> None:
    with serving(project / "server.py") as server:
        assert run(project / "client.py", server.address) == [
            "came in: 2 jam, 7 tea",
            "order-1: 5 tea for Ada",
            "from the corner shop, sealed 00ff01, 2 left",
            "FAILED_PRECONDITION: not enough jam: 2 in stock",
            "DEADLINE_EXCEEDED",
            "packed",
            "shipped",
            "delivered",
            "NOT_FOUND: no order order-0",
            "500? 750",
            "600? 700",
            "700? yes",
            "haggled: OK",
            "health: SERVING",
            "serves: grpc.health.v1.Health grpc.reflection.v1alpha.ServerReflection orders.v1.Orders",
            "without a token: UNAUTHENTICATED: who are you?",
            "diary: Restock Place Place Place Track Track Haggle Check ServerReflectionInfo",
        ]
    assert server.said == [
        "stopped building: a deadline",
        "/orders.v1.Orders/Haggle: 1",
        "/orders.v1.Orders/Place: 4",
        "/orders.v1.Orders/Restock: 1",
        "/orders.v1.Orders/Track: 2",
    ]


def test_the_diff_is_one_line_on_each_side() -> None:
    lines = DIFF.read_text().splitlines()
    assert [line for line in lines if re.match(r"[-+](?![-+])", line)] == [
        "-from grpc.aio import insecure_channel",
        "+from protosocket.grpc import insecure_channel",
        "-from grpc.aio import server",
        "+from protosocket.grpc import server",
    ]


def test_the_example_knows_nothing_of_this_project() -> None:
    for path in sorted((ROOT / EXAMPLE).glob("*.py")):
        assert "protosocket" not in path.read_text()


def test_every_page_that_shows_the_diff_shows_this_one() -> None:
    shown = {
        page: re.findall(r"^```diff\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
        for page in ("README.md", "examples/README.md")
    }
    assert shown["examples/README.md"] == [DIFF.read_text()]
    assert all(block == DIFF.read_text() for block in shown["README.md"])
