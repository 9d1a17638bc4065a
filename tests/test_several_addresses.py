"""Names with several addresses, of which some are down: which is tried when, and what is said if all fail."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from tests.places import echo
from tests.test_endpoint import has_ipv6

from protosocket import ConnectionOptions, codecs, connect, listen
from protosocket.errors import ConnectError

pytestmark = pytest.mark.every_loop

NAME = "several.test"


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Those of ``NAME``, in the order in which the resolver gives them."""
    found: list[str] = []
    real = socket.getaddrinfo

    def look_up(host: Any, *arguments: Any, **options: Any) -> Any:
        if host != NAME:
            return real(host, *arguments, **options)
        if options.get("flags", 0) & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "not a number")
        return [info for each in found for info in real(each, *arguments, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return found


def free_port(*hosts: str) -> int:
    """A port that nobody uses at any of ``hosts``."""
    for _ in range(100):
        with contextlib.ExitStack() as stack:
            port = 0
            try:
                for host in hosts:
                    sock = stack.enter_context(socket.socket(_family(host)))
                    sock.bind((host, port))
                    port = sock.getsockname()[1]
            except OSError:
                continue
            return port
    raise AssertionError(f"no port is free at all of {hosts}")


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


@contextlib.contextmanager
def black_holes(*hosts: str, port: int) -> Iterator[None]:
    """Something at ``hosts`` that answers no SYN: its backlog is full."""
    with contextlib.ExitStack() as stack:
        for host in hosts:
            hole = stack.enter_context(socket.socket(_family(host)))
            hole.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            hole.bind((host, port))
            hole.listen(0)
            stack.enter_context(socket.create_connection((host, port), timeout=60))
        yield


async def reaches(port: int, options: ConnectionOptions) -> bool:
    async with connect(f"tcp://{NAME}:{port}", codecs.Lines(), options=options) as connection:
        await connection.send("hello")
        return await connection.receive() == "hello"


async def test_the_first_drops_packets(
    transport: Literal["aiofastnet", "loop"], addresses: list[str]
) -> None:
    addresses += ["127.0.0.2", "127.0.0.1"]
    options = ConnectionOptions(transport=transport, connect_timeout=5)
    port = free_port(*addresses)
    with black_holes("127.0.0.2", port=port):
        async with listen(f"tcp://127.0.0.1:{port}", codecs.Lines(), echo, options=options):
            assert await reaches(port, options)


async def test_the_first_drops_packets_and_there_is_little_time(addresses: list[str]) -> None:
    addresses += ["127.0.0.2", "127.0.0.1"]
    options = ConnectionOptions(connect_timeout=0.24)
    port = free_port(*addresses)
    with black_holes("127.0.0.2", port=port):
        async with listen(f"tcp://127.0.0.1:{port}", codecs.Lines(), echo):
            # A busy machine may take longer.
            for _ in range(100):
                with contextlib.suppress(ConnectError):
                    assert await reaches(port, options)
                    return
    raise AssertionError("the second was never tried")


async def test_the_first_refuses(addresses: list[str]) -> None:
    addresses += ["127.0.0.2", "127.0.0.1"]
    port = free_port(*addresses)
    async with listen(f"tcp://127.0.0.1:{port}", codecs.Lines(), echo):
        assert await reaches(port, ConnectionOptions())


async def why_not(port: int, timeout: float) -> str:
    with pytest.raises(ConnectError) as caught:
        await reaches(port, ConnectionOptions(connect_timeout=timeout))
    text = str(caught.value)
    prefix = f"cannot connect to tcp://{NAME}:{port}: "
    assert text.startswith(prefix)
    return text.removeprefix(prefix)


async def test_all_refuse(addresses: list[str]) -> None:
    addresses += ["127.0.0.2", "127.0.0.1"]
    assert await why_not(free_port(*addresses), 60) == (
        "connection refused; nobody listens there: is the server running? (tried 127.0.0.2, 127.0.0.1)"
    )


async def test_all_drop_packets(addresses: list[str]) -> None:
    addresses += ["127.0.0.2", "127.0.0.3"]
    port = free_port(*addresses)
    with black_holes(*addresses, port=port):
        assert re.fullmatch(
            r"no answer within 1 s in the connection; check address and firewall or raise connect_timeout"
            r" \(tried 127\.0\.0\.2, 127\.0\.0\.3\)",
            await why_not(port, 1),
        )


async def test_each_fails_in_its_own_way(addresses: list[str]) -> None:
    addresses += ["127.0.0.2", "127.0.0.1"]
    port = free_port(*addresses)
    with black_holes("127.0.0.2", port=port):
        assert await why_not(port, 1) == (
            "none of its 2 addresses could be reached within 1 s "
            "(127.0.0.2: no answer; 127.0.0.1: connection refused)"
        )


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_the_families_take_turns(addresses: list[str]) -> None:
    addresses += ["127.0.0.2", "127.0.0.3", "127.0.0.4", "::1"]
    port = free_port(*addresses)
    with black_holes(*addresses, port=port):
        assert "(tried 127.0.0.2, ::1, 127.0.0.3" in await why_not(port, 2)


async def test_an_address_that_is_listed_twice_is_one(addresses: list[str]) -> None:
    addresses += ["127.0.0.1", "127.0.0.1"]
    assert "tried" not in await why_not(free_port("127.0.0.1"), 60)


async def test_the_slower_of_two_is_let_go_of(addresses: list[str]) -> None:
    """Whoever wins, and whenever it is cancelled, one connection is open at most."""
    addresses += ["127.0.0.2", "127.0.0.1"]
    loop = asyncio.get_running_loop()
    port = free_port(*addresses)
    with (
        socket.create_server(("127.0.0.2", port)) as one,
        socket.create_server(("127.0.0.1", port)) as other,
    ):
        for server in (one, other):
            server.setblocking(False)
        for turns in range(30):
            opening = loop.create_task(connect(f"tcp://{NAME}:{port}", codecs.Lines()).__aenter__())
            for _ in range(turns):
                await asyncio.sleep(0)
            opening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await (await opening).close()
        for server in (one, other):
            with contextlib.suppress(BlockingIOError):
                while True:
                    accepted, _ = server.accept()
                    accepted.settimeout(60)
                    with accepted, contextlib.suppress(ConnectionResetError):
                        assert accepted.recv(1) == b""
