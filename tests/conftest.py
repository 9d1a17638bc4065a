"""What tests share: the event loops and transports they run on, certificates, paths for Unix sockets.

An async test runs on uvloop. A test or module marked ``every_loop`` runs on uvloop and on asyncio's own
loop; with the ``transport`` fixture also on aiofastnet's transports and on the loop's.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import pytest
import trustme
import uvloop
from hypothesis import HealthCheck, settings
from tests.places import place, some_place  # noqa: F401 - fixtures

from protosocket.limited_log import limited_log

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


# A busy machine is slow at random: no example fails for that.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "every_loop: run on uvloop and on asyncio's own event loop")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts like this what it runs in the background, and what tests start would inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, LoopFactory]:
    factories: dict[str, LoopFactory] = {"uvloop": uvloop.new_event_loop}
    if item.get_closest_marker("every_loop") is not None:
        factories["asyncio"] = asyncio.new_event_loop
    return factories


@pytest.fixture(params=["aiofastnet", "loop"])
def transport(request: pytest.FixtureRequest) -> Literal["aiofastnet", "loop"]:
    """A value for ``ConnectionOptions.transport``; the test runs once with each."""
    return cast(Literal["aiofastnet", "loop"], request.param)


@dataclass(frozen=True)
class Certificates:
    """PEM files: a server's certificate for localhost, 127.0.0.1 and ::1, a client's, and who signed both."""

    ca: Path
    server_certificate: Path
    server_key: Path
    client_certificate: Path
    client_key: Path
    other_ca: Path
    """Somebody who signed neither."""


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    paths = Certificates(
        ca=folder / "ca.pem",
        server_certificate=folder / "server.pem",
        server_key=folder / "server.key",
        client_certificate=folder / "client.pem",
        client_key=folder / "client.key",
        other_ca=folder / "other-ca.pem",
    )
    authority.cert_pem.write_to_path(paths.ca)
    trustme.CA().cert_pem.write_to_path(paths.other_ca)
    server = authority.issue_cert("localhost", "127.0.0.1", "::1")
    server.cert_chain_pems[0].write_to_path(paths.server_certificate)
    server.private_key_pem.write_to_path(paths.server_key)
    client = authority.issue_cert("client@protosocket.test")
    client.cert_chain_pems[0].write_to_path(paths.client_certificate)
    client.private_key_pem.write_to_path(paths.client_key)
    return paths


@pytest.fixture
def unix_path() -> Iterator[str]:
    """A path for a Unix socket, short enough for the system's limit of about a hundred bytes."""
    folder = tempfile.mkdtemp(prefix="ps-")
    yield os.path.join(folder, "s")
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def log_of_one_test() -> None:
    """What other tests have logged does not count towards the limit on records."""
    limited_log.forget()
