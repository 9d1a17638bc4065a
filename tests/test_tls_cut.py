"""TLS that ends without close_notify, which anybody in between can bring about, is no proper end."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Literal

import pytest
from tests.conftest import Certificates
from tests.rpc_support import PROTOBUF

from protosocket import TLS, Connection, ConnectionOptions, codecs, connect, listen, rpc
from protosocket.errors import ConnectionClosed

pytestmark = pytest.mark.every_loop

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
CUT = r"the TLS connection to tls://127\.0\.0\.1:[0-9]+ was cut off.* without close_notify"


@pytest.fixture
def options(transport: Literal["aiofastnet", "loop"]) -> ConnectionOptions:
    return ConnectionOptions(transport=transport)


@pytest.fixture(params=VERSIONS, ids=["1.2", "1.3"])
def version(request: pytest.FixtureRequest) -> ssl.TLSVersion:
    found: ssl.TLSVersion = request.param
    return found


def speak(end: ssl.SSLSocket, data: bytes, how: str) -> None:
    """Send ``data``, and end the connection: by a bare FIN ("cut"), or as TLS says ("closed")."""
    end.sendall(data)
    if how == "closed":
        end.settimeout(60)
        # It sends close_notify, and waits for the other's.
        with contextlib.suppress(OSError):
            end.unwrap()
        end.close()
        return
    end.settimeout(0.1)
    # What the peer has sent is taken first, so that closing sends FIN and no reset.
    with contextlib.suppress(TimeoutError):
        end.recv(65536)
    with socket.socket(fileno=end.detach()) as beneath:
        beneath.shutdown(socket.SHUT_WR)
        beneath.settimeout(60)
        with contextlib.suppress(OSError):
            while beneath.recv(65536):
                pass


def as_client(url: str, certificates: Certificates, version: ssl.TLSVersion, data: bytes, how: str) -> None:
    context = ssl.create_default_context(cafile=certificates.ca)
    context.maximum_version = version
    host, _, port = url.removeprefix("tls://").rpartition(":")
    plain = socket.create_connection((host, int(port)))
    speak(context.wrap_socket(plain, server_hostname=host), data, how)


@contextlib.asynccontextmanager
async def as_server(
    certificates: Certificates, version: ssl.TLSVersion, data: bytes, how: str
) -> AsyncIterator[str]:
    """The URL of a server that does the same with one connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server_certificate, certificates.server_key)
    context.maximum_version = version

    def serve() -> None:
        accepted, _ = listening.accept()
        speak(context.wrap_socket(accepted, server_side=True), data, how)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(asyncio.to_thread(serve))
        yield f"tls://127.0.0.1:{listening.getsockname()[1]}"
        await serving


async def read_all(connection: Connection[str, str]) -> list[str | ConnectionClosed]:
    """The messages, and the error if it ends with one."""
    found: list[str | ConnectionClosed] = []
    try:
        async for message in connection:
            found.append(message)  # noqa: PERF401 - what came before an error is kept
    except ConnectionClosed as error:
        found.append(error)
    return found


@pytest.mark.parametrize("how", ["cut", "closed"])
async def test_the_side_that_listens(
    options: ConnectionOptions, certificates: Certificates, version: ssl.TLSVersion, how: str
) -> None:
    ended: asyncio.Future[list[str | ConnectionClosed]] = asyncio.get_running_loop().create_future()

    async def handler(connection: Connection[str, str]) -> None:
        ended.set_result(await read_all(connection))

    tls = TLS(certificate=certificates.server_certificate, key=certificates.server_key)
    async with listen("tls://127.0.0.1:0", codecs.Lines(), handler, tls=tls, options=options) as server:
        await asyncio.to_thread(as_client, server.addresses[0], certificates, version, b"one\ntwo\n", how)
        check(await ended, how)


@pytest.mark.parametrize("how", ["cut", "closed"])
async def test_the_side_that_connects(
    options: ConnectionOptions, certificates: Certificates, version: ssl.TLSVersion, how: str
) -> None:
    tls = TLS(ca=certificates.ca)
    async with (
        as_server(certificates, version, b"one\ntwo\n", how) as url,
        connect(url, codecs.Lines(), tls=tls, options=options) as connection,
    ):
        check(await read_all(connection), how)
        with pytest.raises(ConnectionClosed, match=CUT if how == "cut" else "is closed"):
            await connection.send("late")


def check(found: list[str | ConnectionClosed], how: str) -> None:
    assert found[:2] == ["one", "two"]
    if how == "closed":
        assert len(found) == 2
    else:
        (error,) = found[2:]
        assert isinstance(error, ConnectionClosed)
        assert re.match(CUT, str(error))
        assert error.peer.startswith("tls://127.0.0.1:")


async def test_in_the_middle_of_a_message(options: ConnectionOptions, certificates: Certificates) -> None:
    async with (
        as_server(certificates, VERSIONS[1], b"one\ntw", "cut") as url,
        connect(url, codecs.Lines(), tls=TLS(ca=certificates.ca), options=options) as connection,
    ):
        one, error = await read_all(connection)
        assert one == "one"
        assert re.match(CUT, str(error))
        assert "in the middle of a message" in str(error)


async def test_calls_in_flight(options: ConnectionOptions, certificates: Certificates) -> None:
    async with (
        as_server(certificates, VERSIONS[1], b"", "cut") as url,
        rpc.connect(url, PROTOBUF.codec, tls=TLS(ca=certificates.ca), options=options) as client,
    ):
        with pytest.raises(ConnectionClosed, match=CUT):
            await client.unary(PROTOBUF.make(b"hello"))


async def test_a_proper_end_behind_much_that_waits(
    options: ConnectionOptions, certificates: Certificates
) -> None:
    """Whoever does not read at once loses nothing, or is told."""
    many = b"".join(b"%d\n" % number for number in range(100_000))
    async with (
        as_server(certificates, VERSIONS[1], many, "closed") as url,
        connect(url, codecs.Lines(), tls=TLS(ca=certificates.ca), options=options) as connection,
    ):
        found: list[str] = []
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                found.append(message)
                if len(found) % 10_000 == 1:
                    await asyncio.sleep(0.01)
            assert len(found) == 100_000
        assert found == [str(number) for number in range(len(found))]
