"""Opening a transport to an address, and listening on one."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import stat
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from protosocket.connection.accepting import Acceptor
from protosocket.connection.address import Address
from protosocket.connection.dialing import Dialing, resolve
from protosocket.connection.handover import hand_over
from protosocket.connection.host import certificate_name, shown_host
from protosocket.connection.memory import MemoryListener, MemoryTransport, open_memory_transport
from protosocket.connection.tls import TLS, TLSOption, client_context, server_context
from protosocket.errors import AddressError, ConnectError, OptionError
from protosocket.options import ConnectionOptions

__all__ = [
    "HeldPort",
    "Listener",
    "configure_socket",
    "hold_port",
    "listen",
    "open_transport",
    "peer_name",
]

P = TypeVar("P", bound=asyncio.BufferedProtocol)

_INTERNET = (socket.AF_INET, socket.AF_INET6)
_KEEPALIVE_PROBES = 3
# macOS has its own name for the idle time.
_KEEPALIVE_IDLE: int = getattr(socket, "TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE")


class _Accepting(Protocol):
    def close(self) -> None: ...


class _AsyncioServer:
    """A server of asyncio's own, which is closed one turn after it stopped to accept.

    A connection that was accepted gets its transport in the next turn. If the server is closed by then, that
    fails, and nobody closes the connection (``Server._attach``).
    """

    __slots__ = ("_loop", "_server", "_sock")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, server: asyncio.AbstractServer
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._server = server

    def close(self) -> None:
        self._loop.remove_reader(self._sock)
        self._loop.call_soon(self._server.close)


class Listener:
    """Sockets that accept connections until ``close``; made by ``listen``."""

    __slots__ = ("_addresses", "_closed", "_servers", "_unix_file")

    def __init__(
        self,
        addresses: tuple[Address, ...],
        servers: Sequence[_Accepting],
        unix_file: _UnixFile | None = None,
    ) -> None:
        self._addresses = addresses
        self._servers = servers
        self._unix_file = unix_file
        self._closed = asyncio.Event()

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where it listens, with the ports the system chose; a host name may stand for several addresses."""
        return self._addresses

    def close(self) -> None:
        """Stop accepting and remove the Unix socket file; accepted connections live on. May be repeated.

        A connection whose TLS handshake is under way may still reach its protocol afterwards.
        """
        if self._closed.is_set():
            return
        if self._unix_file is not None:
            self._unix_file.remove()
        for server in self._servers:
            server.close()
        # They hold what makes protocols, which holds who listens.
        self._servers = ()
        self._closed.set()

    async def wait_closed(self) -> None:
        """Wait until ``close`` was called and the listening sockets are closed.

        It does not wait for accepted connections. Cancelling it changes nothing.
        """
        await self._closed.wait()
        # uvloop closes its descriptors at the end of the turn in which it is asked to.
        await asyncio.sleep(0)


async def open_transport(
    address: Address,
    protocol_factory: Callable[[], P],
    options: ConnectionOptions,
    tls: TLSOption | None = None,
) -> tuple[asyncio.Transport, P]:
    """Connect to ``address`` and return the transport with its protocol, whose ``connection_made`` has run.

    ``tls`` is for ``tls://`` addresses; without it the server is checked against the system's roots. With
    TLS 1.3 a server that refuses our certificate says so only after this returned: the connection is lost.

    ``options.connect_timeout`` covers the name lookup, the connection (to the first address of the name that
    answers: the next is tried as soon as one has failed, or a quarter of a second later, or of the time there
    is) and the TLS handshake. Raises ``ConnectError``, whose text names the address, the cause and a
    remedy; ``AddressError`` for port 0; ``OptionError`` for TLS settings that cannot be used. Cancelling
    leaves nothing open.
    """
    if address.scheme in ("tcp", "tls") and address.port == 0:
        raise AddressError(f"{str(address)!r}: port 0 is for listening; give the server's port")
    _refuse_tls_elsewhere(address, tls)
    context = client_context(tls) if address.scheme == "tls" else None
    hostname = _expected_name(address, tls)

    dialing = Dialing(address, options.connect_timeout)
    try:
        if address.scheme == "memory":
            return await open_memory_transport(address.path, protocol_factory)
        async with asyncio.timeout(options.connect_timeout):
            sock = await dialing.connect()
            if context is not None:
                dialing.stage = "the TLS handshake"
            protocol = _make_protocol(sock, protocol_factory)
            transport = await hand_over(sock, protocol, options, context, hostname)
    except OSError as error:
        text = dialing.why_not(error)
        raise ConnectError(f"cannot connect to {address}: {text}", address=str(address)) from error
    configure_socket(transport, options)
    return transport, protocol


async def listen(
    address: Address,
    protocol_factory: Callable[[], asyncio.BufferedProtocol],
    options: ConnectionOptions,
    tls: TLSOption | None = None,
    *,
    reuse_port: bool = False,
    backlog: int = 1024,
) -> Listener:
    """Listen on ``address`` and give every accepted connection a protocol of its own.

    Port 0 lets the system choose (``Listener.addresses`` says what). ``reuse_port`` lets several processes
    listen on one port; ``backlog`` is how many connections may wait to be accepted. ``tls`` is required for
    ``tls://`` addresses; an accepted peer has ``options.connect_timeout`` seconds for its handshake, and a
    peer that fails it never reaches a protocol. A Unix socket file that nobody listens on is replaced.

    Accepted connections are set up by their protocol: its ``connection_made`` calls ``configure_socket``.

    Raises ``ConnectError`` when the address cannot be had, somebody listening there included;
    ``OptionError`` for settings that cannot be used. Cancelling leaves nothing open.
    """
    if backlog < 1:
        raise OptionError(f"backlog is a whole number of at least 1, not {backlog!r}")
    if reuse_port and address.scheme not in ("tcp", "tls"):
        raise OptionError(f"reuse_port is for tcp:// and tls:// addresses, not for {address}")
    _refuse_tls_elsewhere(address, tls)
    context = server_context(tls) if address.scheme == "tls" else None

    try:
        if address.scheme == "memory":
            return Listener((address,), [MemoryListener(address.path, protocol_factory)])
        with contextlib.ExitStack() as undo:
            unix_file: _UnixFile | None = None
            if address.scheme == "unix":
                sockets = [_bind_unix(undo, address.path, backlog)]
                unix_file = _UnixFile(address.path)
                undo.callback(unix_file.remove)
            else:
                sockets = await _bind_internet(undo, address, reuse_port, backlog)
            addresses = tuple(_local_address(sock, address) for sock in sockets)
            servers = [
                await _start_server(undo, sock, protocol_factory, options, context, backlog)
                for sock in sockets
            ]
            undo.pop_all()
    except OSError as error:
        text = _why_not_listening(error)
        raise ConnectError(f"cannot listen on {address}: {text}", address=str(address)) from error
    return Listener(addresses, servers, unix_file)


class HeldPort:
    """A port that nobody listens on yet, kept for the processes that will; made by ``hold_port``."""

    __slots__ = ("_addresses", "_sockets")

    def __init__(self, addresses: tuple[Address, ...], sockets: Sequence[socket.socket]) -> None:
        self._addresses = addresses
        self._sockets = sockets

    @property
    def addresses(self) -> tuple[Address, ...]:
        """What is kept, with the port the system chose; a host name may stand for several addresses."""
        return self._addresses

    def release(self) -> None:
        """Let others have the port. May be repeated."""
        for sock in self._sockets:
            sock.close()


async def hold_port(address: Address) -> HeldPort:
    """Keep the port of a ``tcp://`` or ``tls://`` address for listeners with ``reuse_port``.

    Raises ``ConnectError`` when it cannot be had, as when somebody listens there who does not share it.
    Cancelling keeps nothing.
    """
    try:
        with contextlib.ExitStack() as undo:
            # Bound but not listening: the kernel gives no connection to these.
            sockets = await _bind_internet(undo, address, reuse_port=True, backlog=None)
            undo.pop_all()
    except OSError as error:
        text = _why_not_listening(error)
        raise ConnectError(f"cannot listen on {address}: {text}", address=str(address)) from error
    return HeldPort(tuple(_local_address(sock, address) for sock in sockets), sockets)


def configure_socket(transport: asyncio.BaseTransport, options: ConnectionOptions) -> None:
    """Set TCP_NODELAY and keepalive probes as ``options`` says; does nothing for a Unix socket.

    For ``connection_made`` of accepted connections; ``open_transport`` has done it for its own.
    """
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family not in _INTERNET:
        return
    # A connection that is gone already refuses; its protocol hears of that by connection_lost.
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(options.nodelay))
        if options.keepalive is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, _KEEPALIVE_IDLE, int(options.keepalive))
            interval = max(1, int(options.keepalive / _KEEPALIVE_PROBES))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPALIVE_PROBES)


def peer_name(transport: asyncio.BaseTransport) -> str:
    """Who is at the other end, for error texts and logs: ``tcp://127.0.0.1:50312``, ``unix:///run/x.sock``.

    The accepted side of a Unix socket gives its own path, since the peer has no name; that of a memory
    connection the address and a running number.
    ``"unknown peer"`` when the transport cannot tell, as after the connection was lost.
    """
    if isinstance(transport, MemoryTransport):
        return str(transport.get_extra_info("peer"))
    name = transport.get_extra_info("peername")
    if isinstance(name, tuple):
        scheme = "tcp" if transport.get_extra_info("sslcontext") is None else "tls"
        host = shown_host(name)
        return f"{scheme}://[{host}]:{name[1]}" if ":" in host else f"{scheme}://{host}:{name[1]}"
    name = name or transport.get_extra_info("sockname")
    return f"unix://{os.fsdecode(name)}" if name and not isinstance(name, tuple) else "unknown peer"


class _UnixFile:
    """The file of a Unix socket we bound; removed only while it is still ours."""

    __slots__ = ("_identity", "_path")

    def __init__(self, path: str) -> None:
        # Absolute, since the working directory may have changed when it is removed.
        self._path = os.path.abspath(path)
        self._identity = self._stat()

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            if self._stat() == self._identity:
                os.unlink(self._path)

    def _stat(self) -> tuple[int, int]:
        status = os.lstat(self._path)
        return status.st_dev, status.st_ino


def _refuse_tls_elsewhere(address: Address, tls: TLSOption | None) -> None:
    if tls is not None and address.scheme != "tls":
        raise OptionError(f"tls settings are for tls:// addresses, but this is {address}")


def _expected_name(address: Address, tls: TLSOption | None) -> str:
    """Whose certificate the server has to show."""
    asked = tls.server_hostname if isinstance(tls, TLS) else None
    return certificate_name(asked or address.host) if address.scheme == "tls" else ""


def _make_protocol(sock: socket.socket, protocol_factory: Callable[[], P]) -> P:
    try:
        return protocol_factory()
    except BaseException:
        sock.close()
        raise


async def _start_server(
    undo: contextlib.ExitStack,
    sock: socket.socket,
    protocol_factory: Callable[[], asyncio.BufferedProtocol],
    options: ConnectionOptions,
    context: ssl.SSLContext | None,
    backlog: int,
) -> _Accepting:
    """Accept on ``sock``; ``undo`` has the loop forget it, which must come before it is closed."""
    if options.transport != "loop":
        acceptor = Acceptor(sock, protocol_factory, options, context, backlog)
        undo.callback(acceptor.close)
        return acceptor
    loop = asyncio.get_running_loop()
    # It watches nothing, and waits for nothing, before `undo` knows of it.
    later: dict[str, Any] = {"sock": sock, "backlog": backlog, "start_serving": False}
    if sock.family == socket.AF_UNIX:
        server = await loop.create_unix_server(protocol_factory, **later)
    elif context is None:
        server = await loop.create_server(protocol_factory, **later)
    else:
        server = await loop.create_server(
            protocol_factory,
            **later,
            ssl=context,
            ssl_handshake_timeout=options.connect_timeout,
            ssl_shutdown_timeout=options.close_timeout,
        )
    undo.callback(server.close)
    await server.start_serving()
    return _AsyncioServer(loop, sock, server) if isinstance(loop, asyncio.BaseEventLoop) else server


async def _bind_internet(
    undo: contextlib.ExitStack, address: Address, reuse_port: bool, backlog: int | None
) -> list[socket.socket]:
    """Sockets at every address the host stands for, on one port; ``undo`` closes them.

    They listen, unless ``backlog`` is None.
    """
    sockets: list[socket.socket] = []
    port = address.port
    unavailable = OSError("the name has no address")
    for family, kind, protocol, _, target in dict.fromkeys(await resolve(address, socket.AI_PASSIVE)):
        try:
            sock = undo.enter_context(socket.socket(family, kind, protocol))
        except OSError as error:
            unavailable = error
            continue
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # [::] means IPv6 only on every system; IPv4 has an address of its own.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            sock.bind((target[0], port, *target[2:]))
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            # One family of a name like localhost may be switched off; the others will do.
            unavailable = error
            sock.close()
            continue
        if backlog is not None:
            sock.listen(backlog)
        port = sock.getsockname()[1]
        sockets.append(sock)
    if not sockets:
        raise unavailable
    return sockets


def _bind_unix(undo: contextlib.ExitStack, path: str, backlog: int) -> socket.socket:
    """A socket that listens at ``path``; ``undo`` closes it."""
    sock = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    sock.setblocking(False)
    try:
        sock.bind(path)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        _remove_stale_socket(path)
        sock.bind(path)
    # At once, so that another process that starts now sees that somebody listens.
    sock.listen(backlog)
    return sock


def _remove_stale_socket(path: str) -> None:
    """Remove the socket file at ``path`` if nobody listens on it; else raise ``OSError``."""
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise FileExistsError(errno.EEXIST, "a file that is not a socket has that path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            pass  # Its backlog is full, so somebody listens.
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _local_address(sock: socket.socket, asked: Address) -> Address:
    if asked.scheme == "unix":
        return asked
    name = sock.getsockname()
    return Address(asked.scheme, shown_host(name), name[1])


def _why_not_listening(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"the host name cannot be resolved ({error.strerror}); 0.0.0.0 and [::] mean every interface"
    if error.errno == errno.EADDRINUSE:
        return "somebody is listening there already; stop it or choose another address"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine has no such address; 0.0.0.0 and [::] mean every interface"
    if isinstance(error, PermissionError):
        return f"{error.strerror}; ports under 1024 and some directories need more rights"
    if isinstance(error, FileNotFoundError):
        return "its directory does not exist"
    return error.strerror or str(error)
