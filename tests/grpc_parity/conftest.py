"""The fixture that runs a test on grpc.aio, which proves the test right, and on protosocket.grpc."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from importlib import import_module

import pytest
import pytest_asyncio
from tests.grpc_parity.world import World

IMPLEMENTATIONS = {"grpc.aio": "grpc.aio", "protosocket": "protosocket.grpc"}

PATIENCE = 10.0
"""Seconds; no test takes more than one of them unless something hangs."""


@pytest_asyncio.fixture(params=list(IMPLEMENTATIONS))
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    module = import_module(IMPLEMENTATIONS[request.param])
    loop = asyncio.get_running_loop()
    watchdog = loop.call_later(PATIENCE, _give_up, request.function.__name__)
    world = World(request.param, module)
    yield world
    await world.end()
    watchdog.cancel()


def _give_up(test: str) -> None:
    """A call that never ends fails its test, not the whole run."""
    for task in asyncio.all_tasks():
        if getattr(task.get_coro(), "__name__", "") == test:
            task.cancel(f"the test took more than {PATIENCE} seconds")


@pytest.fixture
def free_address() -> Iterator[str]:
    """An address at which nobody listens, and which nobody else gets while the test runs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"
