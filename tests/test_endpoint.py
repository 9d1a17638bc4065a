"""Opening transports and listening: real sockets and real TLS, on both event loops and both transports."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import resource
import socket
import ssl
import stat
from typing import TYPE_CHECKING, Any, Literal, cast

import pytest
from tests.patience import HANG

from protosocket.connection.address import Address, parse_address
from protosocket.connection.endpoint import Listener, configure_socket, listen, open_transport, peer_name
from protosocket.connection.tls import TLS, TLSOption
from protosocket.errors import AddressError, ConnectError, OptionError
from protosocket.options import ConnectionOptions

if TYPE_CHECKING:
    from tests.conftest import Certificates

pytestmark = pytest.mark.every_loop

Transport = Literal["aiofastnet", "loop"]
LOCAL = Address("tcp", "127.0.0.1", 0)
LOCAL_TLS = Address("tls", "127.0.0.1", 0)


class Peer(asyncio.BufferedProtocol):
    """One end of a connection: keeps what it receives, sends it back if it is an ``echo``."""

    def __init__(self, options: ConnectionOptions, *, echo: bool = False) -> None:
        self.options = options
        self.echo = echo
        self.name = ""
        self.transport: asyncio.Transport | None = None
        self.received = bytearray()
        self.arrived = asyncio.Event()
        self.made = asyncio.Event()
        self.lost = asyncio.Event()
        self._buffer = bytearray(4096)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        configure_socket(transport, self.options)
        self.transport = cast(asyncio.Transport, transport)
        self.name = peer_name(transport)
        self.made.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        assert self.transport is not None
        self.received += self._buffer[:nbytes]
        self.arrived.set()
        if self.echo:
            self.transport.write(bytes(self._buffer[:nbytes]))


class Server:
    """A listener whose accepted connections echo; what the event loop had to complain about is kept."""

    def __init__(
        self, address: Address, options: ConnectionOptions, tls: TLSOption | None, **more: Any
    ) -> None:
        self._arguments = (address, self.accept, options, tls)
        self._more = more
        self._options = options
        self.accepted: asyncio.Queue[Peer] = asyncio.Queue()
        self.peers: list[Peer] = []
        self.complaints: list[dict[str, Any]] = []

    def accept(self) -> Peer:
        peer = Peer(self._options, echo=True)
        self.peers.append(peer)
        self.accepted.put_nowait(peer)
        return peer

    async def __aenter__(self) -> Server:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self.complaints.append(context))
        self.listener: Listener = await listen(*self._arguments, **self._more)
        self.address = self.listener.addresses[0]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.listener.close()
        await self.listener.wait_closed()
        for peer in self.peers:
            if peer.transport is not None:
                peer.transport.abort()
                await peer.lost.wait()


def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


@pytest.fixture
def options(transport: Transport) -> ConnectionOptions:
    return ConnectionOptions(transport=transport, connect_timeout=10, close_timeout=1)


@pytest.fixture
def server_tls(certificates: Certificates) -> TLS:
    return TLS(certificate=certificates.server_certificate, key=certificates.server_key)


@pytest.fixture
def client_tls(certificates: Certificates) -> TLS:
    return TLS(ca=certificates.ca)


async def connect(server: Server, options: ConnectionOptions, tls: TLSOption | None = None) -> Peer:
    _, protocol = await open_transport(server.address, lambda: Peer(options), options, tls)
    return protocol


async def close(peer: Peer) -> None:
    assert peer.transport is not None
    peer.transport.close()
    await peer.lost.wait()


async def exchange(peer: Peer) -> None:
    assert peer.transport is not None
    peer.transport.write(b"hello")
    while len(peer.received) < 5:
        peer.arrived.clear()
        await peer.arrived.wait()
    assert peer.received == b"hello"


def option(peer: Peer, level: int, name: int) -> int:
    assert peer.transport is not None
    value: int = peer.transport.get_extra_info("socket").getsockopt(level, name)
    return value


async def test_tcp(options: ConnectionOptions) -> None:
    async with Server(LOCAL, options, None) as server:
        assert server.address.port != 0
        peer = await connect(server, options)
        assert peer.made.is_set()
        await exchange(peer)
        accepted = await server.accepted.get()
        assert peer.name == str(server.address)
        assert re.fullmatch(r"tcp://127\.0\.0\.1:[1-9][0-9]*", accepted.name)
        assert accepted.name != peer.name
        await close(peer)
        await accepted.lost.wait()
    assert server.complaints == []


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_ipv6(options: ConnectionOptions) -> None:
    async with Server(parse_address("tcp://[::1]:0"), options, None) as server:
        assert str(server.address).startswith("tcp://[::1]:")
        peer = await connect(server, options)
        await exchange(peer)
        assert peer.name == str(server.address)
        await close(peer)


async def test_a_name_listens_on_every_address_with_one_port(options: ConnectionOptions) -> None:
    async with Server(parse_address("tcp://localhost:0"), options, None) as server:
        addresses = server.listener.addresses
        assert len({address.port for address in addresses}) == 1
        for address in (*addresses, Address("tcp", "localhost", addresses[0].port)):
            _, peer = await open_transport(address, lambda: Peer(options), options)
            await exchange(peer)
            await close(peer)


async def test_unix(options: ConnectionOptions, unix_path: str) -> None:
    address = Address("unix", path=unix_path)
    async with Server(address, options, None) as server:
        assert server.listener.addresses == (address,)
        peer = await connect(server, options)
        await exchange(peer)
        accepted = await server.accepted.get()
        assert peer.name == accepted.name == f"unix://{unix_path}"
        await close(peer)
    assert os.listdir(os.path.dirname(unix_path)) == []


async def test_tls(options: ConnectionOptions, server_tls: TLS, client_tls: TLS) -> None:
    async with Server(LOCAL_TLS, options, server_tls) as server:
        peer = await connect(server, options, client_tls)
        assert peer.made.is_set()
        await exchange(peer)
        accepted = await server.accepted.get()
        assert peer.name == str(server.address)
        assert accepted.name.startswith("tls://127.0.0.1:")
        await close(peer)
        await accepted.lost.wait()
    assert server.complaints == []


async def test_tls_with_contexts_of_your_own(
    options: ConnectionOptions, server_tls: TLS, client_tls: TLS
) -> None:
    async with Server(LOCAL_TLS, options, server_tls.server_context()) as server:
        peer = await connect(server, options, client_tls.client_context())
        await exchange(peer)
        await close(peer)


async def test_client_certificates(
    options: ConnectionOptions, server_tls: TLS, certificates: Certificates
) -> None:
    strict = TLS(
        certificate=certificates.server_certificate,
        key=certificates.server_key,
        ca=certificates.ca,
        require_client_certificate=True,
    )
    async with Server(LOCAL_TLS, options, strict) as server:
        known = TLS(
            certificate=certificates.client_certificate, key=certificates.client_key, ca=certificates.ca
        )
        peer = await connect(server, options, known)
        await exchange(peer)
        await close(peer)

        # In TLS 1.3 the client is done before the server has seen that there is no certificate.
        refused = await connect(server, options, TLS(ca=certificates.ca))
        await refused.lost.wait()

        old = TLS(ca=certificates.ca).client_context()
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(ConnectError, match="TLS handshake"):
            await connect(server, options, old)
    assert server.complaints == []


async def test_a_certificate_nobody_trusts(
    options: ConnectionOptions, server_tls: TLS, certificates: Certificates
) -> None:
    async with Server(LOCAL_TLS, options, server_tls) as server:
        for tls in (None, TLS(), TLS(ca=certificates.other_ca)):
            with pytest.raises(ConnectError, match=r"certificate was refused .*TLS\(ca=") as caught:
                await connect(server, options, tls)
            assert caught.value.address == str(server.address)
            assert str(server.address) in str(caught.value)
            assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
        peer = await connect(server, options, TLS(verify=False))
        await exchange(peer)
        await close(peer)
    assert server.complaints == []


async def test_a_certificate_for_another_name(
    options: ConnectionOptions, server_tls: TLS, certificates: Certificates
) -> None:
    async with Server(LOCAL_TLS, options, server_tls) as server:
        with pytest.raises(ConnectError, match=r"certificate was refused .*TLS\(server_hostname="):
            await connect(server, options, TLS(ca=certificates.ca, server_hostname="example.com"))
        peer = await connect(server, options, TLS(ca=certificates.ca, server_hostname="localhost"))
        await close(peer)


async def test_connection_refused(options: ConnectionOptions) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address("tcp", "127.0.0.1", taken.getsockname()[1])
    with pytest.raises(ConnectError, match="connection refused; nobody listens there") as caught:
        await open_transport(address, lambda: Peer(options), options)
    assert caught.value.address == str(address)
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


async def test_nobody_at_a_unix_path(options: ConnectionOptions, unix_path: str) -> None:
    with pytest.raises(ConnectError, match="no such socket file"):
        await open_transport(Address("unix", path=unix_path), lambda: Peer(options), options)
    with pytest.raises(ConnectError, match="too long"):
        await open_transport(Address("unix", path="/x" * 100), lambda: Peer(options), options)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 64 + ".invalid"])
async def test_a_name_that_does_not_exist(options: ConnectionOptions, host: str) -> None:
    with pytest.raises(ConnectError, match="cannot be resolved"):
        await open_transport(Address("tcp", host, 9), lambda: Peer(options), options)


async def test_tls_to_a_peer_that_speaks_something_else(options: ConnectionOptions, client_tls: TLS) -> None:
    async with Server(LOCAL, options, None) as server:  # sends the ClientHello back
        address = Address("tls", "127.0.0.1", server.address.port)
        with pytest.raises(ConnectError, match=r"TLS handshake|does not speak TLS"):
            await open_transport(address, lambda: Peer(options), options, client_tls)

    async def answer_in_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.close()

    for behaviour, text in (
        (answer_in_http, "does not speak TLS"),
        (hang_up, "hung up in the TLS handshake"),
    ):
        plain = await asyncio.start_server(behaviour, "127.0.0.1", 0)
        address = Address("tls", "127.0.0.1", plain.sockets[0].getsockname()[1])
        with pytest.raises(ConnectError, match=text):
            await open_transport(address, lambda: Peer(options), options, client_tls)
        plain.close()
        await plain.wait_closed()
    assert server.complaints == []


async def test_the_timeout_covers_the_tls_handshake(transport: Transport, client_tls: TLS) -> None:
    options = ConnectionOptions(transport=transport, connect_timeout=0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = Address("tls", "127.0.0.1", silent.getsockname()[1])
        with pytest.raises(ConnectError, match=r"no answer within 0\.05 s in the TLS handshake"):
            await open_transport(address, lambda: Peer(options), options, client_tls)


async def test_the_timeout_covers_the_connection(transport: Transport) -> None:
    options = ConnectionOptions(transport=transport, connect_timeout=0.05)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = Address("tcp", "127.0.0.1", full.getsockname()[1])
        with (
            socket.create_connection(full.getsockname()),  # takes the only place in the backlog
            pytest.raises(ConnectError, match=r"no answer within 0\.05 s in the connection"),
        ):
            await open_transport(address, lambda: Peer(options), options)


async def test_cancelling_leaves_nothing_open(options: ConnectionOptions, client_tls: TLS) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = Address("tls", "127.0.0.1", silent.getsockname()[1])
        attempt = asyncio.create_task(open_transport(address, lambda: Peer(options), options, client_tls))
        silent.setblocking(False)
        accepted, _ = await asyncio.get_running_loop().sock_accept(silent)
        with accepted:
            hello = await asyncio.get_running_loop().sock_recv(accepted, 65536)
            assert hello.startswith(b"\x16\x03")
            attempt.cancel()
            with pytest.raises(asyncio.CancelledError):
                await attempt
            assert await asyncio.get_running_loop().sock_recv(accepted, 65536) == b""


async def test_a_listener_shrugs_off_what_is_no_tls(
    transport: Transport, server_tls: TLS, client_tls: TLS, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ConnectionOptions(transport=transport, connect_timeout=0.2)
    async with Server(LOCAL_TLS, options, server_tls) as server:
        port = server.address.port
        loop = asyncio.get_running_loop()
        for first_words in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01"):
            for hangs_up in (True, False):  # a peer that stays and says nothing more is cut off in time
                with socket.socket() as stranger:
                    stranger.setblocking(False)
                    await loop.sock_connect(stranger, ("127.0.0.1", port))
                    await loop.sock_sendall(stranger, first_words)
                    if hangs_up:
                        stranger.shutdown(socket.SHUT_WR)
                    try:
                        while await loop.sock_recv(stranger, 4096):
                            pass
                    except ConnectionResetError:
                        pass
        peer = await connect(server, options, client_tls)
        await exchange(peer)
        await close(peer)
        assert len([peer for peer in server.peers if peer.made.is_set()]) == 1
    assert server.complaints == []
    assert capfd.readouterr().err == ""


async def test_a_listener_survives_running_out_of_descriptors() -> None:
    options = ConnectionOptions(transport="aiofastnet")  # the loops' own ways of doing so are their own
    async with Server(LOCAL, options, None) as server:
        with socket.socket() as waiting:
            waiting.setblocking(False)
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            lowest_free = os.dup(0)
            os.close(lowest_free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
            try:
                with pytest.raises(BlockingIOError):
                    waiting.connect(("127.0.0.1", server.address.port))
                while not server.complaints:  # noqa: ASYNC110 - a complaint sets no event
                    await asyncio.sleep(0)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            accepted = await server.accepted.get()
            await accepted.made.wait()
    assert [complaint["exception"].errno for complaint in server.complaints] == [errno.EMFILE]


async def test_socket_options_are_set_on_both_sides(transport: Transport) -> None:
    options = ConnectionOptions(transport=transport, nodelay=False, keepalive=60)
    async with Server(LOCAL, options, None) as server:
        plain = ConnectionOptions(transport=transport)
        peer = await connect(server, plain)
        assert option(peer, socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        assert option(peer, socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
        accepted = await server.accepted.get()
        await accepted.made.wait()
        assert option(accepted, socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0
        assert option(accepted, socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0
        assert option(accepted, socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
        assert option(accepted, socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 20
        assert option(accepted, socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3
        await close(peer)


async def test_closing_stops_accepting_and_keeps_connections(options: ConnectionOptions) -> None:
    async with Server(LOCAL, options, None) as server:
        peer = await connect(server, options)
        await (await server.accepted.get()).made.wait()
        server.listener.close()
        server.listener.close()
        async with asyncio.timeout(HANG):
            await server.listener.wait_closed()
        with pytest.raises(ConnectError, match="refused"):
            await connect(server, options)
        await exchange(peer)
        await close(peer)
        again = await listen(server.address, server.accept, options)
        again.close()
        await again.wait_closed()


async def test_wait_closed_waits_for_close(options: ConnectionOptions) -> None:
    listener = await listen(LOCAL, lambda: Peer(options), options)
    waiting = asyncio.create_task(listener.wait_closed())
    await asyncio.sleep(0)
    assert not waiting.done()
    listener.close()
    async with asyncio.timeout(HANG):
        await waiting


async def test_a_taken_port(options: ConnectionOptions) -> None:
    async with Server(LOCAL, options, None) as server:
        with pytest.raises(ConnectError, match="somebody is listening there already") as caught:
            await listen(server.address, server.accept, options)
        assert caught.value.address == str(server.address)


async def test_a_port_shared_on_purpose(options: ConnectionOptions) -> None:
    async with (
        Server(LOCAL, options, None, reuse_port=True) as one,
        Server(one.address, options, None, reuse_port=True) as other,
    ):
        assert one.address == other.address


async def test_addresses_that_are_not_ours(options: ConnectionOptions) -> None:
    def never() -> Peer:
        raise AssertionError("nobody connects")

    with pytest.raises(ConnectError, match="no such address"):
        await listen(parse_address("tcp://192.0.2.1:0"), never, options)
    with pytest.raises(ConnectError, match="cannot be resolved"):
        await listen(parse_address("tcp://no-such-host.invalid:0"), never, options)


async def test_a_stale_unix_socket_is_replaced(options: ConnectionOptions, unix_path: str) -> None:
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(unix_path)
        crashed.listen()
    async with Server(Address("unix", path=unix_path), options, None) as server:
        peer = await connect(server, options)
        await exchange(peer)
        await close(peer)


async def test_a_live_unix_socket_is_left_alone(options: ConnectionOptions, unix_path: str) -> None:
    address = Address("unix", path=unix_path)
    async with Server(address, options, None) as server:
        with pytest.raises(ConnectError, match="somebody is listening there already"):
            await listen(address, server.accept, options)
        peer = await connect(server, options)
        await exchange(peer)
        await close(peer)


async def test_other_files_at_a_unix_path_are_left_alone(options: ConnectionOptions, unix_path: str) -> None:
    os.mkdir(unix_path)
    with pytest.raises(ConnectError, match="not a socket"):
        await listen(Address("unix", path=unix_path), lambda: Peer(options), options)
    assert stat.S_ISDIR(os.lstat(unix_path).st_mode)
    with pytest.raises(ConnectError, match="directory does not exist"):
        await listen(Address("unix", path=f"{unix_path}.d/s"), lambda: Peer(options), options)


async def test_a_unix_socket_of_a_successor_is_left_alone(options: ConnectionOptions, unix_path: str) -> None:
    address = Address("unix", path=unix_path)
    first = await listen(address, lambda: Peer(options), options)
    os.unlink(unix_path)
    async with Server(address, options, None) as second:
        first.close()
        await first.wait_closed()
        peer = await connect(second, options)
        await exchange(peer)
        await close(peer)


async def test_misuse_is_refused_before_anything_is_opened(
    options: ConnectionOptions, unix_path: str
) -> None:
    def never() -> Peer:
        raise AssertionError("nothing is opened")

    with pytest.raises(AddressError, match="port 0 is for listening"):
        await open_transport(LOCAL, never, options)
    with pytest.raises(OptionError, match="tls settings are for tls://"):
        await open_transport(Address("tcp", "127.0.0.1", 1), never, options, TLS())
    with pytest.raises(OptionError, match="tls settings are for tls://"):
        await listen(Address("unix", path=unix_path), never, options, TLS())
    with pytest.raises(OptionError, match="needs a certificate"):
        await listen(LOCAL_TLS, never, options)
    with pytest.raises(OptionError, match="reuse_port"):
        await listen(Address("unix", path=unix_path), never, options, reuse_port=True)
    with pytest.raises(OptionError, match="backlog"):
        await listen(LOCAL, never, options, backlog=0)
    assert os.listdir(os.path.dirname(unix_path)) == []
