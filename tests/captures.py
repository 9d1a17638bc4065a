"""Captures for tests: written segment by segment, or recorded from the cache's programs while they run."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import dpkt  # type: ignore[import-untyped]
import grpc
from tests.patience import HANG

from protosocket.cache.cache_service_pb2_grpc import CacheStub
from protosocket.cache.protosocket_cache_pb2 import (
    CacheCommand,
    CacheResponse,
    GetCommand,
    GetResponse,
    Unary,
)

CLIENT_PORT, SERVER_PORT = 40000, 7300
RAW_IP = 101
SYN, FIN, PUSH, ACK = 2, 1, 8, 16
To = Literal["server", "client"]


@dataclass
class Wire:
    """A TCP connection whose packets are made one by one; ``packets`` are IP packets in their order."""

    client_port: int = CLIENT_PORT
    server_port: int = SERVER_PORT
    start: dict[To, int] = field(default_factory=lambda: {"server": 1000, "client": 0xFFFFFFF0})
    """Sequence numbers; those to the client wrap around soon."""
    version: int = 4
    packets: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sent: dict[To, int] = {"server": 0, "client": 0}

    def open(self) -> Wire:
        """The three packets that begin a connection."""
        self.add("server", -1, b"", SYN, acknowledge=None)
        self.add("client", -1, b"", SYN | ACK)
        self.add("server", 0, b"")
        return self

    def send(self, to: To, *payloads: bytes) -> Wire:
        """Segments in order, one for each of ``payloads``."""
        for payload in payloads:
            self.add(to, self.sent[to], payload)
        return self

    def skip(self, to: To, count: int) -> Wire:
        """The sender sends as many bytes, and nobody captures them."""
        self.sent[to] += count
        return self

    def acknowledge(self, to: To) -> Wire:
        """A segment without content, by whom bytes went ``to``: it has them all."""
        other: To = "client" if to == "server" else "server"
        self.add(other, self.sent[other], b"")
        return self

    def add(
        self, to: To, offset: int, payload: bytes, flags: int = PUSH | ACK, acknowledge: int | None = -1
    ) -> None:
        """A segment whose bytes begin at ``offset``; it acknowledges all that was sent the other way."""
        other: To = "client" if to == "server" else "server"
        got = 0 if acknowledge is None else self.start[other] + 1 + self.sent[other]
        ports = (self.client_port, self.server_port)
        segment = dpkt.tcp.TCP(
            sport=ports[to == "client"],
            dport=ports[to == "server"],
            seq=(self.start[to] + 1 + offset) & 0xFFFFFFFF,
            ack=got & 0xFFFFFFFF,
            flags=flags,
            data=payload,
        )
        if self.version == 4:
            packet = dpkt.ip.IP(src=b"\x7f\0\0\1", dst=b"\x7f\0\0\1", p=6, ttl=64, data=segment)
            packet.len = len(packet)
        else:
            host = bytes(15) + b"\1"
            size = len(segment)
            packet = dpkt.ip6.IP6(src=host, dst=host, nxt=6, p=6, hlim=64, plen=size, data=segment)
            packet.extension_hdrs, packet.all_extension_headers = {}, []
        self.packets.append(bytes(packet))
        self.sent[to] = max(self.sent[to], offset + len(payload))


def write_pcap(path: Path, packets: Iterable[bytes], *, link: int = RAW_IP, snap: int = 1 << 18) -> Path:
    """A capture of these packets, a millisecond between any two, of each only ``snap`` bytes."""
    with path.open("wb") as file:
        writer = dpkt.pcap.Writer(file, linktype=link, snaplen=snap)
        for number, packet in enumerate(packets):
            writer.writepkt_time(packet[:snap], 1_700_000_000 + number / 1000)
    return path


class Tape(list[bytes]):
    """Packets with the times at which they came."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []
        self.lock = threading.Lock()
        """Held by who adds packets."""

    def append(self, packet: bytes) -> None:
        self.times.append(time.time())
        super().append(packet)

    def write(self, path: Path) -> None:
        """Make a capture file of it."""
        with path.open("wb") as file:
            writer = dpkt.pcap.Writer(file, linktype=RAW_IP)
            for moment, packet in zip(self.times, self, strict=True):
                writer.writepkt_time(packet, moment)


class Recorder:
    """A TCP proxy to the local port ``target`` that puts what goes through it on a tape, as packets."""

    def __init__(self, target: int, tape: Tape) -> None:
        self._target = target
        self._tape = tape
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def close(self) -> None:
        """Accept no more, and wait until every connection has ended."""
        self._socket.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(HANG)
            assert not thread.is_alive()
        self._socket.close()

    def _start(self, function: Callable[..., None], *arguments: object) -> None:
        self._threads.append(threading.Thread(target=function, args=arguments))
        self._threads[-1].start()

    def _accept(self) -> None:
        while True:
            try:
                client, address = self._socket.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            wire = Wire(address[1], self.port, packets=self._tape)
            with self._tape.lock:
                wire.open()
            passing = (
                threading.Thread(target=self._pass_on, args=(wire, client, server, "server")),
                threading.Thread(target=self._pass_on, args=(wire, server, client, "client")),
            )
            self._start(self._until_over, passing, (client, server))

    def _until_over(self, passing: Sequence[threading.Thread], ends: Sequence[socket.socket]) -> None:
        for thread in passing:
            thread.start()
        for thread in passing:
            thread.join()
        for end in ends:
            end.close()

    def _pass_on(self, wire: Wire, source: socket.socket, target: socket.socket, to: To) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                with self._tape.lock:
                    wire.send(to, *(data[at : at + 1448] for at in range(0, len(data), 1448)))
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


@dataclass(frozen=True)
class Demo:
    """A capture of the cache at work: programs of clients, a router and a storage."""

    path: Path
    router: int
    """Its port in the capture."""
    storage: int
    keys: tuple[str, ...] = ("greeting", "big", "greeting", "big", "nothing")
    """What five connections asked for, one after the other: two sets, two gets, and a miss."""
    big: int = 100_000
    """The size of the value under the key big."""


def record_demo(how: str, folder: Path) -> Demo:
    """Run the demo with ``how`` to record it: ``dumpcap`` (on the loopback interface) or a ``proxy``."""
    tape = Tape()
    with contextlib.ExitStack() as stack:
        storage = router = stack.enter_context(_server("storage", "--max-memory", "1MiB"))
        if how == "proxy":
            storage = _recorder(stack, storage, tape)
        router = stack.enter_context(_server("router", "--storage", f"tcp://127.0.0.1:{storage}"))
        if how == "proxy":
            router = _recorder(stack, router, tape)
        demo = Demo(folder / f"{how}.pcap", router, storage)
        if how == "dumpcap":
            stack.enter_context(_dumpcap(demo))
        _use_the_cache(demo)
    if how == "proxy":
        tape.write(demo.path)
    return demo


async def record_grpc(path: Path) -> int:
    """Calls of the cache's gRPC service over protosocket, recorded: the server's port in the capture.

    Two calls of Get are answered, one more is refused with NOT_FOUND.
    """
    from protosocket import grpc as over_protosocket

    async def get(request: CacheCommand, context: Any) -> CacheResponse:
        if request.unary.get.key == b"nothing":
            await context.abort(grpc.StatusCode.NOT_FOUND, "none")
        return CacheResponse(get=GetResponse(value=request.unary.get.key))

    handler = grpc.unary_unary_rpc_method_handler(
        get,
        request_deserializer=CacheCommand.FromString,
        response_serializer=CacheResponse.SerializeToString,
    )
    tape = Tape()
    server = over_protosocket.server()
    methods = grpc.method_handlers_generic_handler("protosocket.cache.Cache", {"Get": handler})
    server.add_generic_rpc_handlers((methods,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    recorder = Recorder(port, tape)
    async with over_protosocket.insecure_channel(f"127.0.0.1:{recorder.port}") as channel:
        stub = CacheStub(channel)
        for key in (b"a", b"b", b"nothing"):
            call = stub.Get(CacheCommand(unary=Unary(get=GetCommand(key=key))), timeout=HANG)
            if key == b"nothing":
                with contextlib.suppress(grpc.RpcError):
                    await call
            else:
                assert (await call).get.value == key
    await server.stop(None)
    await asyncio.to_thread(recorder.close)
    tape.write(path)
    return recorder.port


def why_no_loopback_capture() -> str | None:
    """Why dumpcap cannot capture here, None if it can."""
    if shutil.which("dumpcap") is None:
        return "dumpcap is not installed (Debian: apt-get install tshark)"
    listed = subprocess.run(["dumpcap", "-i", "lo", "-L"], capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        return "dumpcap may not capture on the loopback interface: it needs root or the group wireshark"
    return None


def _use_the_cache(demo: Demo) -> None:
    there = ("--router", f"tcp://127.0.0.1:{demo.router}")
    big = b"x" * demo.big
    assert _run("cache", "set", "greeting", "hello", *there) == b""
    assert _run("cache", "set", "big", "-", *there, content=big) == b""
    assert _run("cache", "get", "greeting", *there) == b"hello"
    assert _run("cache", "get", "big", *there) == big
    assert _run("cache", "get", "nothing", *there, code=1) == b""


def _run(*arguments: str, content: bytes = b"", code: int = 0) -> bytes:
    done = subprocess.run(
        [sys.executable, "-m", "protosocket", *arguments],
        input=content,
        capture_output=True,
        timeout=HANG,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout


@contextlib.contextmanager
def _server(*arguments: str) -> Iterator[int]:
    """A server program; gives its port."""
    command = [sys.executable, "-m", "protosocket", *arguments, "--listen", "tcp://127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening on tcp://127.0.0.1:")
        yield int(line.rpartition(":")[2])
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def _recorder(stack: contextlib.ExitStack, target: int, tape: Tape) -> int:
    recorder = Recorder(target, tape)
    stack.callback(recorder.close)
    return recorder.port


@contextlib.contextmanager
def _dumpcap(demo: Demo) -> Iterator[None]:
    """dumpcap, until the last answer of the demo is in its file."""
    ports = f"tcp port {demo.router} or tcp port {demo.storage}"
    command = ["dumpcap", "-q", "-P", "-i", "lo", "-f", ports, "-w", str(demo.path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("File: "):
                break
        yield
        until = time.monotonic() + HANG
        while demo.path.read_bytes().count(b"Key not found") < 2:
            assert time.monotonic() < until, "dumpcap did not see the last answer"
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=HANG)
