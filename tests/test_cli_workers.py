"""``protosocket router --workers``: several processes, one port, one cache."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from protosocket.cache import Hit
from protosocket.cache.protosocket_client import ProtosocketCacheClient
from protosocket.errors import CacheUnavailable

ANYWHERE = "tcp://127.0.0.1:0"


@contextmanager
def program(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server program and where it listens; stopped by SIGTERM, which it has to take well."""
    with subprocess.Popen(
        [sys.executable, "-m", "protosocket", *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().removeprefix("listening on ").strip()
        finally:
            process.terminate()
            assert process.wait(20) == 0


def children(pid: int) -> list[int]:
    """The workers of a program; multiprocessing has a process of its own beside them."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        pids = [int(child) for child in file.read().split()]
    return [child for child in pids if b"spawn_main" in _command_line(child)]


def _command_line(pid: int) -> bytes:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read()


@pytest.mark.slow
def test_routers_on_one_port() -> None:
    async def use(url: str) -> None:
        async with ProtosocketCacheClient(url, connections=8) as cache:
            await asyncio.gather(*(cache.set("a", b"%d" % n, b"%d" % n, ttl=60) for n in range(32)))
            found = await asyncio.gather(*(cache.get("a", b"%d" % n) for n in range(32)))
            assert found == [Hit(b"%d" % n) for n in range(32)]

    with (
        program("storage", "--listen", ANYWHERE) as (_, storage),
        program("router", "--listen", ANYWHERE, "--storage", storage, "--workers", "2") as (router, url),
    ):
        workers = children(router.pid)
        assert len(workers) == 2
        asyncio.run(use(url))
        os.kill(workers[0], signal.SIGKILL)
        for _ in range(100):
            # What the kernel gave to the dead one before it noticed is lost.
            with suppress(CacheUnavailable):
                asyncio.run(use(url))
                break
        else:
            pytest.fail("the router did not come back")


def test_workers_share_a_protosocket_port_only() -> None:
    command = (sys.executable, "-m", "protosocket", "router", "--workers", "2", "--storage", ANYWHERE)
    refused = subprocess.run(
        [*command, "--grpc-listen", "grpc://127.0.0.1:0"], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2
    assert refused.stderr.startswith("protosocket: --workers is for --listen;")
