"""Connect for Python (connectrpc) over HTTP/2: pyqwest as the client, granian as the server.

HTTP/2 without TLS by prior knowledge, one connection; compression off on both sides; google's upb messages,
which are quicker here than its default; granian with one worker on uvloop, one runtime thread, no access log,
and streams enough for every call in flight.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from connectrpc.client import ConnectClient
from connectrpc.compat import google_protobuf_binary_codec, google_protobuf_codecs
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from connectrpc.server import ConnectASGIApplication
from connectrpc.server import Endpoint as Method
from pyqwest import Client, HTTPTransport, HTTPVersion

from benchmarks.client import CacheDriver
from benchmarks.program import free_port, run_program
from benchmarks.protobuf_messages import answer, get_command, read_set, set_command, verdicts
from protosocket.cache.protosocket_cache_pb2 import CacheCommand, CacheResponse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from benchmarks.store import Store
    from protosocket.bench.driver import Driver, Endpoint
    from protosocket.bench.operations import Operations

__all__ = ["application", "driver", "serve"]

SERVICE = "protosocket.cache.Cache"


def method(name: str, idempotency: IdempotencyLevel) -> MethodInfo[CacheCommand, CacheResponse]:
    """What the plugin of protoc would generate."""
    return MethodInfo(
        name=name,
        service_name=SERVICE,
        input=CacheCommand,
        output=CacheResponse,
        idempotency_level=idempotency,
        stream_type=StreamType.UNARY,
    )


GET = method("Get", IdempotencyLevel.NO_SIDE_EFFECTS)
SET = method("Set", IdempotencyLevel.IDEMPOTENT)


class Cache:
    """A cache."""

    def __init__(self) -> None:
        self._store: Store = {}

    async def handle(self, request: CacheCommand, context: Any) -> CacheResponse:
        """One call."""
        return answer(self._store, request)


class CacheApplication(ConnectASGIApplication[Cache]):
    """What the plugin of protoc would generate."""

    @property
    def path(self) -> str:
        """Where the service is."""
        return f"/{SERVICE}"


def methods(service: Cache) -> Mapping[str, Any]:
    """The methods by their paths."""
    return {
        f"/{SERVICE}/{info.name}": Method.unary(method=info, function=service.handle) for info in (GET, SET)
    }


def application() -> CacheApplication:
    """The application that granian runs."""
    return CacheApplication(
        service=Cache(), endpoints=methods, compressions=(), codecs=google_protobuf_codecs()
    )


async def serve(announce: Callable[[str], None]) -> None:
    """Serve until cancelled."""
    port = free_port()
    arguments = [
        *(sys.executable, "-m", "granian", "--host", "127.0.0.1", "--port", str(port)),
        *("--interface", "asgi", "--factory", "--http", "2", "--no-ws", "--workers", "1"),
        *("--loop", "uvloop", "--runtime-threads", "1", "--no-log"),
        *("--http2-max-concurrent-streams", "1024"),
        f"{__name__}:application",
    ]
    await run_program(arguments, port, announce, f"http://127.0.0.1:{port}")


class ConnectDriver(CacheDriver):
    """Calls through a Connect client."""

    stored = staticmethod(read_set)
    verdicts = staticmethod(verdicts)

    async def start(self) -> None:
        """Connect with a first call."""
        self._transport = HTTPTransport(
            http_version=HTTPVersion.HTTP2,
            enable_gzip=False,
            enable_brotli=False,
            enable_zstd=False,
            enable_otel=False,
            follow_redirects=False,
        )
        self._client = ConnectClient(
            self.endpoint.urls[0],
            codec=google_protobuf_binary_codec(),
            accept_compression=(),
            send_compression=None,
            http_client=Client(self._transport),
        )
        await self.get(b"")

    def get(self, key: bytes) -> Awaitable[CacheResponse]:
        """One call."""
        return self._client.execute_unary(request=get_command(key), method=GET)

    def set(self, key: bytes, value: bytes) -> Awaitable[CacheResponse]:
        """One call."""
        return self._client.execute_unary(request=set_command(key, value), method=SET)

    async def close(self) -> None:
        """Close the client."""
        await self._client.close()


def driver(endpoint: Endpoint, operations: Operations) -> Driver:
    """A client of ``endpoint``."""
    return ConnectDriver(endpoint, operations)
