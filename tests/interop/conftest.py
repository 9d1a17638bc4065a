"""What the tests with real peers share: the programs of interop/, and the features for docs/interop.md.

A module says who its peer is and each test what it is about; the table in docs/interop.md is written from
that::

    @pytest.fixture
    def peer() -> Peer:
        return Peer("Momento", "momento (Rust), client", locked_version("momento"))

    async def test_get(feature: Feature, programs: Path) -> None:
        feature("get of a key that is there")
        ...

``feature`` is called first in a test, as often as needed; a feature passes when every test of it passed.
A test that is expected to fail (``xfail``) makes its feature fail, with the reason below the table. ``peer``
may depend on parameters. ``programs`` is the folder of the compiled programs: one executable for each member
of interop/Cargo.toml, called like the member. They are built before the first test when something changed;
the fixture skips where cargo is missing. ::

    pytest tests/interop --interop-table docs/interop.md

runs all of it and writes the table. Without the option ``test_table.py``, which always runs last, holds the
committed table to what the run found: cell by cell when only some tests ran, the whole text when all did.
"""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from collections.abc import Callable, Generator
from functools import cache
from pathlib import Path

import pytest
from tests.interop.table import Peer, Results

FOLDER = Path(__file__).parent
INTEROP = FOLDER.parents[1] / "interop"

Feature = Callable[[str], None]

RESULTS = pytest.StashKey[Results]()
COMPLETE = pytest.StashKey[bool]()
BUILD_ERRORS = pytest.StashKey[str]()
FEATURES = pytest.StashKey[list[tuple[Peer, str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--interop-table",
        type=Path,
        metavar="PAGE",
        help="write the table of the interop tests between the markers of this page",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RESULTS] = Results()
    config.stash[COMPLETE] = True
    config.stash[BUILD_ERRORS] = ""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the tests of the table last."""
    ours = [item for item in items if item.path.is_relative_to(FOLDER)]
    ours.sort(key=lambda item: item.path.name == "test_table.py")
    items[:] = [item for item in items if not item.path.is_relative_to(FOLDER)] + ours
    modules = {path.name for path in FOLDER.glob("test_*.py")}
    if {item.path.name for item in ours} != modules or any("::" in argument for argument in config.args):
        config.stash[COMPLETE] = False


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(FOLDER):
            item.config.stash[COMPLETE] = False


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the programs before the first test begins: the time limits of tests are not made for that."""
    cargo = shutil.which("cargo")
    needed = any("programs" in getattr(item, "fixturenames", ()) for item in session.items)
    if not needed or cargo is None or session.config.option.collectonly:
        return
    command = [
        cargo,
        "build",
        "--quiet",
        "--release",
        "--locked",
        "--manifest-path",
        str(INTEROP / "Cargo.toml"),
    ]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode:
        session.config.stash[BUILD_ERRORS] = built.stderr


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note what the test found out about the features that it named."""
    report = yield
    config = item.config
    expected = getattr(report, "wasxfail", None)
    if report.skipped and expected is None:
        config.stash[COMPLETE] = False
    elif report.when == "call" or report.failed:
        for peer, name in item.stash.get(FEATURES, []):
            reason = (expected or "") if report.skipped else ""
            config.stash[RESULTS].record(peer, name, passed=report.passed, reason=reason)
    return report


@pytest.fixture
def feature(request: pytest.FixtureRequest, peer: Peer) -> Feature:
    """Say which feature of the module's ``peer`` a test is about: a row of its table in docs/interop.md."""
    named = request.node.stash.setdefault(FEATURES, [])

    def name(feature: str) -> None:
        named.append((peer, feature))

    return name


@pytest.fixture(scope="session")
def programs(pytestconfig: pytest.Config) -> Path:
    """The folder of the compiled programs of interop/, built when something changed."""
    if shutil.which("cargo") is None:
        pytest.skip("cargo is not installed: the Rust peers cannot be built")
    if pytestconfig.stash[BUILD_ERRORS]:
        pytest.fail(
            f"the programs of interop/ do not build:\n{pytestconfig.stash[BUILD_ERRORS]}", pytrace=False
        )
    return INTEROP / "target" / "release"


@cache
def _locked() -> dict[str, list[str]]:
    versions: dict[str, list[str]] = {}
    for package in tomllib.loads((INTEROP / "Cargo.lock").read_text())["package"]:
        versions.setdefault(package["name"], []).append(package["version"])
    return versions


def locked_version(crate: str, line: str = "") -> str:
    """The version of a crate in interop/Cargo.lock; ``line`` is how it begins where there are several."""
    (version,) = (version for version in _locked()[crate] if version.startswith(line))
    return version
