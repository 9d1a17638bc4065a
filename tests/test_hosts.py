"""Ways to write a host: what is shown, connected to, and looked for in a certificate."""

from __future__ import annotations

import contextlib
import socket
import ssl
from pathlib import Path
from typing import Any, Literal

import pytest
import trustme
from tests.grpc_raw import service
from tests.places import echo
from tests.test_endpoint import has_ipv6

import protosocket.grpc
from protosocket import TLS, Connection, ConnectionOptions, codecs, connect, listen
from protosocket.errors import ConnectError

pytestmark = pytest.mark.every_loop


def link_local() -> str | None:
    """A link-local address of this machine with its interface, ``fe80::1%eth0``."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/if_inet6").read_text().splitlines():
            digits, _, _, scope, flags, interface = line.split()
            # Not one that is still being tried (0x40) or was found to be another's (0x08).
            if scope == "20" and not int(flags, 16) & 0x48:
                return f"{socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits))}%{interface}"
    return None


LINK_LOCAL = link_local() or ""
needs_link_local = pytest.mark.skipif(not LINK_LOCAL, reason="this machine has no link-local IPv6 address")


@pytest.fixture
def options(transport: Literal["aiofastnet", "loop"]) -> ConnectionOptions:
    return ConnectionOptions(transport=transport)


class Authority:
    """Signs certificates for any name, and sees which name clients ask for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ca = trustme.CA()
        self._ca.cert_pem.write_to_path(folder / "ca.pem")
        self.asked: list[str | None] = []

    def server(self, *names: str) -> ssl.SSLContext:
        path = self._folder / "server.pem"
        self._ca.issue_cert(*names).private_key_and_cert_chain_pem.write_to_path(path)
        context = TLS(certificate=path).server_context()
        context.sni_callback = lambda _, name, __: self.asked.append(name)
        return context

    def client(self, server_hostname: str | None = None) -> TLS:
        return TLS(ca=self._folder / "ca.pem", server_hostname=server_hostname)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def says_hello(url: str, options: ConnectionOptions, tls: TLS | None = None) -> str:
    """A message there and back; who the other end was."""
    async with connect(url, codecs.Lines(), options=options, tls=tls) as connection:
        await connection.send("hello")
        assert await connection.receive() == "hello"
        return connection.peer


@needs_link_local
@pytest.mark.parametrize("scheme", ["tcp", "tls"])
async def test_link_local(options: ConnectionOptions, authority: Authority, scheme: str) -> None:
    peers: list[str] = []

    async def served(connection: Connection[str, str]) -> None:
        peers.append(connection.peer)
        await echo(connection)

    address, _, interface = LINK_LOCAL.partition("%")
    secured = scheme == "tls"
    async with listen(
        f"{scheme}://[{LINK_LOCAL}]:0",
        codecs.Lines(),
        served,
        options=options,
        tls=authority.server(address) if secured else None,
    ) as server:
        (url,) = server.addresses
        port = url.rpartition(":")[2]
        assert url == f"{scheme}://[{LINK_LOCAL}]:{port}"
        number = socket.if_nametoindex(interface)
        for written in (LINK_LOCAL, f"{address.upper()}%25{interface}", f"{address}%{number}"):
            tls = authority.client() if secured else None
            peer = await says_hello(f"{scheme}://[{written}]:{port}", options, tls)
            assert peer == url
            assert peers.pop().startswith(f"{scheme}://[{LINK_LOCAL}]:")


@needs_link_local
@pytest.mark.parametrize("written", ["[{}]:{}", "ipv6:[{}]:{}", "ipv6:%5B{}%5D:{}", "dns:///[{}]:{}"])
async def test_link_local_targets_of_grpc(written: str) -> None:
    peers: list[str] = []

    async def handler(request: bytes, context: Any) -> bytes:
        peers.append(context.peer())
        return request

    server = protosocket.grpc.server(handlers=(service(echo=("unary_unary", handler)),))
    port = server.add_insecure_port(f"[{LINK_LOCAL}]:0")
    await server.start()
    try:
        for policy in ("pick_first", "round_robin"):
            options = [("grpc.lb_policy_name", policy)]
            target = written.format(LINK_LOCAL, port)
            async with protosocket.grpc.insecure_channel(target, options=options) as channel:
                call: Any = channel.unary_unary("/raw.Test/echo")
                assert await call(b"x", timeout=60) == b"x"
            address, _, interface = LINK_LOCAL.partition("%")
            assert peers.pop().startswith(f"ipv6:%5B{address}%25{interface}%5D:")
    finally:
        await server.stop(None)


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_ipv4_mapped(options: ConnectionOptions, authority: Authority) -> None:
    async with listen(
        "tls://[::ffff:127.0.0.1]:0", codecs.Lines(), echo, options=options, tls=authority.server("127.0.0.1")
    ) as server:
        (url,) = server.addresses
        assert url.startswith("tls://127.0.0.1:")
        mapped = url.replace("127.0.0.1", "[::ffff:7f00:1]")
        for written in (url, mapped):
            assert await says_hello(written, options, authority.client()) == url
        assert await says_hello(url, options, authority.client("::ffff:127.0.0.1")) == url
        assert authority.asked == [None] * 3


@pytest.mark.parametrize(
    "written",
    [
        "bücher.example",
        "BÜCHER.Example",
        "xn--bcher-kva.example",
        "XN--bcher-KVA.example",
        "bücher.example.",
        "xn--bcher-kva.example.",
    ],
)
async def test_names_in_certificates(options: ConnectionOptions, authority: Authority, written: str) -> None:
    async with listen(
        "tls://127.0.0.1:0", codecs.Lines(), echo, options=options, tls=authority.server("bücher.example")
    ) as server:
        await says_hello(server.addresses[0], options, authority.client(written))
        assert authority.asked == ["xn--bcher-kva.example"]


@pytest.mark.parametrize("written", ["other.example", "example", "bücher.example.com", "127.0.0.1", "::1"])
async def test_names_that_are_not_in_the_certificate(
    options: ConnectionOptions, authority: Authority, written: str
) -> None:
    async with listen(
        "tls://127.0.0.1:0", codecs.Lines(), echo, options=options, tls=authority.server("bücher.example")
    ) as server:
        with pytest.raises(ConnectError, match="certificate was refused"):
            await says_hello(server.addresses[0], options, authority.client(written))


@pytest.mark.parametrize("host", ["localhost", "LocalHost", "localhost."])
async def test_localhost(
    options: ConnectionOptions, authority: Authority, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo
    if host.endswith("."):
        # Not every resolver finds it in the hosts file.
        monkeypatch.setattr(
            socket,
            "getaddrinfo",
            lambda name, *more, **options: real(name.removesuffix("."), *more, **options),
        )
    async with listen(
        "tls://127.0.0.1:0", codecs.Lines(), echo, options=options, tls=authority.server("localhost")
    ) as server:
        port = server.addresses[0].rpartition(":")[2]
        await says_hello(f"tls://{host}:{port}", options, authority.client())
        assert authority.asked == ["localhost"]
