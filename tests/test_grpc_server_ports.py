"""Where a gRPC server listens: every kind of address, TLS, and gRPC itself beside protosocket."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from tests.conftest import Certificates
from tests.grpc_raw import service
from tests.patience import HANG

import protosocket.grpc
from protosocket.errors import OptionError


async def echo(request: bytes, context: Any) -> bytes:
    return request


async def count(request: bytes, context: Any) -> AsyncIterator[bytes]:
    for number in range(int(request)):
        yield b"%d" % number


HANDLERS = (service(echo=("unary_unary", echo), count=("unary_stream", count)),)


@asynccontextmanager
async def running(server: protosocket.grpc.Server) -> AsyncIterator[None]:
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)


async def said(channel: grpc.aio.Channel, text: bytes = b"hello") -> bytes:
    async with channel:
        call: Any = channel.unary_unary("/raw.Test/echo")
        answer: bytes = await call(text, timeout=HANG)
        return answer


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "[::]"])
async def test_hosts(host: str) -> None:
    server = protosocket.grpc.server(handlers=HANDLERS)
    port = server.add_insecure_port(f"{host}:0")
    async with running(server):
        assert await said(protosocket.grpc.insecure_channel(f"127.0.0.1:{port}")) == b"hello"


async def test_unix_sockets(unix_path: str) -> None:
    server = protosocket.grpc.server(handlers=HANDLERS)
    assert server.add_insecure_port(f"unix:{unix_path}") == 1
    async with running(server):
        assert await said(protosocket.grpc.insecure_channel(f"unix:{unix_path}")) == b"hello"


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "unix"])
async def test_peers_are_named_as_in_grpc(host: str, unix_path: str) -> None:
    async def peer(request: bytes, context: Any) -> bytes:
        return bytes(context.peer().encode())

    names: list[bytes] = []
    for module in (grpc.aio, protosocket.grpc):
        server = module.server(handlers=[service(echo=("unary_unary", peer))])
        target = f"unix:{unix_path}{len(names)}"
        if host != "unix":
            port = server.add_insecure_port(f"{host}:0")
            target = f"{host}:{port}"
        else:
            server.add_insecure_port(target)
        await server.start()
        name = await said(module.insecure_channel(target))
        names.append(name.rstrip(b"0123456789"))
        await server.stop(None)
    assert names[0] == names[1]


async def test_memory() -> None:
    server = protosocket.grpc.server(handlers=HANDLERS)
    assert server.add_insecure_port("memory://a-grpc-server") == 1
    async with running(server):
        assert await said(protosocket.grpc.insecure_channel("memory://a-grpc-server")) == b"hello"


async def test_a_port_is_kept_from_the_moment_it_is_known() -> None:
    server = protosocket.grpc.server(handlers=HANDLERS)
    port = server.add_insecure_port("127.0.0.1:0")
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))
    await server.stop(None)
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))


async def test_an_address_that_somebody_has() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = protosocket.grpc.server(options=[("grpc.so_reuseport", 0)])
        with pytest.raises(RuntimeError, match=f"Failed to bind to address 127.0.0.1:{port}: .*in use"):
            server.add_insecure_port(f"127.0.0.1:{port}")


async def test_two_servers_share_a_port_unless_told_otherwise() -> None:
    first, second = (protosocket.grpc.server(handlers=HANDLERS) for _ in range(2))
    port = first.add_insecure_port("127.0.0.1:0")
    assert second.add_insecure_port(f"127.0.0.1:{port}") == port
    async with running(first), running(second):
        assert await said(protosocket.grpc.insecure_channel(f"127.0.0.1:{port}")) == b"hello"


async def test_a_port_after_the_start_is_refused() -> None:
    server = protosocket.grpc.server()
    async with running(server):
        with pytest.raises(ValueError, match="before the server is started"):
            server.add_insecure_port("127.0.0.1:0")


@pytest.mark.parametrize(
    "option",
    [
        ("grpc.max_receive_message_length", -2),
        ("grpc.max_send_message_length", "1"),
        ("grpc.keepalive_time_ms", 0),
        ("grpc.http2.lookahead_bytes", 0),
    ],
)
def test_options_that_make_no_sense(option: tuple[str, Any]) -> None:
    with pytest.raises(OptionError, match=option[0]):
        protosocket.grpc.server(options=[option])


# TLS.


def pair_of(certificates: Certificates) -> tuple[bytes, bytes]:
    return certificates.server_key.read_bytes(), certificates.server_certificate.read_bytes()


@pytest.mark.parametrize("module", [grpc, protosocket.grpc], ids=["grpc's", "ours"])
async def test_credentials_of_either_make(certificates: Certificates, module: Any) -> None:
    server = protosocket.grpc.server(handlers=HANDLERS)
    ours = module.ssl_server_credentials([pair_of(certificates)])
    port = server.add_secure_port("localhost:0", ours)
    grpc_port = server.add_secure_grpc_port("localhost:0", ours)
    theirs = module.ssl_channel_credentials(certificates.ca.read_bytes())
    async with running(server):
        assert await said(protosocket.grpc.secure_channel(f"localhost:{port}", theirs)) == b"hello"
        assert await said(grpc.aio.secure_channel(f"localhost:{grpc_port}", theirs)) == b"hello"


async def test_client_certificates_are_looked_at_only_where_required(certificates: Certificates) -> None:
    roots = certificates.ca.read_bytes()
    server = protosocket.grpc.server(handlers=HANDLERS)
    free = protosocket.grpc.ssl_server_credentials([pair_of(certificates)], roots)
    strict = protosocket.grpc.ssl_server_credentials([pair_of(certificates)], roots, True)
    free_port = server.add_secure_port("localhost:0", free)
    strict_port = server.add_secure_port("localhost:0", strict)
    nobody = protosocket.grpc.ssl_channel_credentials(roots)
    key, chain = certificates.client_key.read_bytes(), certificates.client_certificate.read_bytes()
    somebody = protosocket.grpc.ssl_channel_credentials(roots, key, chain)
    async with running(server):
        assert await said(protosocket.grpc.secure_channel(f"localhost:{free_port}", nobody)) == b"hello"
        assert await said(protosocket.grpc.secure_channel(f"localhost:{strict_port}", somebody)) == b"hello"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await said(protosocket.grpc.secure_channel(f"localhost:{strict_port}", nobody))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_credentials_that_are_none(certificates: Certificates) -> None:
    server = protosocket.grpc.server()
    _, chain = pair_of(certificates)
    with pytest.raises(ValueError, match="not PEM, or do not belong together"):
        server.add_secure_port("localhost:0", protosocket.grpc.ssl_server_credentials([(b"no key", chain)]))
    other = (certificates.client_key.read_bytes(), chain)
    with pytest.raises(ValueError, match="not PEM, or do not belong together"):
        server.add_secure_port("localhost:0", grpc.ssl_server_credentials([other]))
    with pytest.raises(ValueError, match="use protosocket"):
        server.add_secure_port("localhost:0", grpc.local_server_credentials())


async def test_a_client_without_tls_gets_nothing_from_a_secure_port(certificates: Certificates) -> None:
    server = protosocket.grpc.server(handlers=HANDLERS)
    credentials = grpc.ssl_server_credentials([pair_of(certificates)])
    port = server.add_secure_port("localhost:0", credentials)
    async with running(server):
        context = ssl.create_default_context(cafile=certificates.ca)
        _, writer = await asyncio.open_connection("localhost", port, ssl=context)
        assert writer.get_extra_info("ssl_object").version() in ("TLSv1.2", "TLSv1.3")
        writer.close()
        await writer.wait_closed()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await said(protosocket.grpc.insecure_channel(f"localhost:{port}"))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


# Both worlds.


class Shout(grpc.aio.ServerInterceptor):
    """Sees the calls of both worlds."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        self.seen.append(handler_call_details.method)
        return await continuation(handler_call_details)


async def test_the_same_handlers_over_grpc_itself() -> None:
    shout = Shout()
    server = protosocket.grpc.server(handlers=HANDLERS, interceptors=[shout])
    handler: Any = grpc.unary_unary_rpc_method_handler(echo)
    server.add_registered_method_handlers("raw.Registered", {"echo": handler})
    ports = {
        protosocket.grpc: server.add_insecure_port("127.0.0.1:0"),
        grpc.aio: server.add_insecure_grpc_port("127.0.0.1:0"),
    }
    async with running(server):
        for module, port in ports.items():
            async with module.insecure_channel(f"127.0.0.1:{port}") as channel:
                items: Any = channel.unary_stream("/raw.Test/count")
                assert [item async for item in items(b"3")] == [b"0", b"1", b"2"]
                registered: Any = channel.unary_unary("/raw.Registered/echo")
                assert await registered(b"both") == b"both"
    assert shout.seen == ["/raw.Test/count", "/raw.Registered/echo"] * 2


async def test_both_worlds_are_stopped_together() -> None:
    started = asyncio.Event()
    release = asyncio.Event()

    async def wait(request: bytes, context: Any) -> bytes:
        started.set()
        await release.wait()
        return b"done"

    server = protosocket.grpc.server(handlers=[service(wait=("unary_unary", wait))])
    port = server.add_insecure_grpc_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method: Any = channel.unary_unary("/raw.Test/wait")
        call = asyncio.ensure_future(_answer(method))
        await started.wait()
        stopping = asyncio.create_task(server.stop(10))
        assert await server.wait_for_termination(0.01)
        release.set()
        assert await call == b"done"
        await stopping
        assert not await server.wait_for_termination(1)


async def _answer(method: Any) -> Any:
    return await method(b"")
