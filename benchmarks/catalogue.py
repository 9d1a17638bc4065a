"""Every system that is compared: its name, its file, and what it needs to be there."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.util
import inspect
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from protosocket.bench.driver import Driver, Endpoint
    from protosocket.bench.operations import Operations

__all__ = ["RUST_BINARY", "SYSTEMS", "System", "SystemModule"]

HERE = Path(__file__).parent
RUST = HERE / "rust"
RUST_BINARY = RUST / "target" / "release" / "protosocket-benchmark"
CRATES = ("protosocket-rpc", "protosocket-prost", "prost", "tokio")


class SystemModule(Protocol):
    """What a file of ``benchmarks/systems`` offers. Its docstring says how the system was tuned."""

    async def serve(self, announce: Callable[[str], None]) -> None:
        """Listen on a free port of 127.0.0.1, call ``announce`` with the URL, serve until cancelled."""
        ...

    def driver(self, endpoint: Endpoint, operations: Operations) -> Driver:
        """A client for the load generator, not started yet."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One system; ``name`` is also its file's.

    ``packages`` are the distributions it uses, ``programs`` executables, ``attributes`` names
    (``module:attribute``) that a version of this project may not have yet: without one of them it is skipped.
    ``sweep`` systems are also measured against message size, connections and offered load;
    ``multiplexed`` ones carry many calls at once on one connection, the others have a connection per call
    in flight. ``own_load`` is the Rust
    crate, whose client is its own load generator. ``tries``: how often it is started until its first call is
    answered.
    """

    name: str
    title: str
    kind: Literal["ours", "peer", "floor"]
    packages: tuple[str, ...]
    programs: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    sweep: bool = False
    multiplexed: bool = True
    own_load: bool = False
    tries: int = 1

    @property
    def module(self) -> str:
        """The importable name of its file."""
        return f"benchmarks.systems.{self.name}"

    def versions(self) -> dict[str, str]:
        """The installed versions of its packages, or of the crates it is built from."""
        if self.own_load:
            locked = tomllib.loads((RUST / "Cargo.lock").read_text())["package"]
            return {crate["name"]: crate["version"] for crate in locked if crate["name"] in CRATES}
        found = {}
        for package in self.packages:
            try:
                found[package] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                continue
        return found

    def missing(self) -> str | None:
        """Why it cannot be measured here, or None if it can."""
        absent = [package for package in self.packages if package not in self.versions()]
        if absent:
            return f"not installed: {', '.join(absent)} (pip install -r benchmarks/requirements.txt)"
        for program in self.programs:
            if shutil.which(program) is None:
                return f"no program {program} on the PATH"
        for attribute in self.attributes:
            module, _, name = attribute.partition(":")
            if importlib.util.find_spec(module) is None or not hasattr(importlib.import_module(module), name):
                return f"this checkout has no {attribute.replace(':', '.')}"
        if self.own_load and not RUST_BINARY.exists():
            return "not built: cargo build --release --manifest-path benchmarks/rust/Cargo.toml"
        return None

    def tuning(self) -> str:
        """What its file says about how it was tuned: the docstring without its first sentence."""
        path = HERE / "systems" / f"{self.name}.py"
        text = inspect.cleandoc(ast.get_docstring(ast.parse(path.read_text())) or "")
        return " ".join(text.partition("\n\n")[2].split())


SYSTEMS: tuple[System, ...] = (
    System(
        name="protosocket_async",
        title="protosocket, protobuf, async handler",
        kind="ours",
        packages=("protosocket", "protobuf", "aiofastnet", "uvloop"),
        sweep=True,
    ),
    System(
        name="protosocket_sync",
        title="protosocket, protobuf, plain function",
        kind="ours",
        packages=("protosocket", "protobuf", "aiofastnet", "uvloop"),
    ),
    System(
        name="protosocket_native",
        title="protosocket, native protobuf",
        kind="ours",
        packages=("protosocket", "protobuf", "aiofastnet", "uvloop"),
        attributes=("protosocket.rpc:NativeCodec", "protosocket.codecs:NativeMessages"),
        sweep=True,
    ),
    System(
        name="protosocket_busy",
        title="protosocket, native protobuf, busy polling",
        kind="ours",
        packages=("protosocket", "protobuf", "aiofastnet", "uvloop"),
        attributes=("protosocket.rpc:NativeCodec", "protosocket.options:ConnectionOptions"),
    ),
    System(
        name="protosocket_messagepack",
        title="protosocket, MessagePack (msgspec)",
        kind="ours",
        packages=("protosocket", "msgspec", "aiofastnet", "uvloop"),
    ),
    System(
        name="protosocket_grpc",
        title="gRPC stubs and servicers over protosocket",
        kind="ours",
        packages=("protosocket", "grpcio", "protobuf", "aiofastnet", "uvloop"),
    ),
    System(
        name="rust_crate",
        title="protosocket in Rust, both sides",
        kind="floor",
        packages=(),
        own_load=True,
    ),
    System(
        name="grpc_unary",
        title="grpc.aio, unary",
        kind="peer",
        packages=("grpcio", "protobuf", "uvloop"),
        sweep=True,
    ),
    System(
        name="grpc_stream",
        title="grpc.aio, one bidirectional stream",
        kind="peer",
        packages=("grpcio", "protobuf", "uvloop"),
        sweep=True,
    ),
    System(
        name="grpclib_unary",
        title="grpclib, unary",
        kind="peer",
        packages=("grpclib", "h2", "protobuf", "uvloop"),
    ),
    System(
        name="connectrpc_http2",
        title="Connect, HTTP/2",
        kind="peer",
        packages=("connectrpc", "pyqwest", "granian", "protobuf", "uvloop"),
    ),
    System(
        name="thriftpy2_asyncio",
        title="thriftpy2, asyncio",
        kind="peer",
        packages=("thriftpy2", "uvloop"),
        multiplexed=False,
    ),
    System(
        name="pyzmq_asyncio",
        title="pyzmq, asyncio",
        kind="peer",
        packages=("pyzmq", "msgspec", "uvloop"),
    ),
    System(
        name="pyzmq_drained",
        title="pyzmq, drained by hand",
        kind="peer",
        packages=("pyzmq", "msgspec", "uvloop"),
    ),
    System(name="pycapnp_rpc", title="pycapnp", kind="peer", packages=("pycapnp", "uvloop"), tries=10),
    System(
        name="redis_pool",
        title="redis-py, pool",
        kind="peer",
        packages=("redis", "hiredis", "uvloop"),
        programs=("redis-server",),
        multiplexed=False,
    ),
    System(
        name="redis_pipelined",
        title="redis-py, one pipelined connection",
        kind="peer",
        packages=("redis", "hiredis", "uvloop"),
        programs=("redis-server",),
    ),
    System(
        name="picows_websocket",
        title="picows WebSocket, msgspec",
        kind="peer",
        packages=("picows", "msgspec", "uvloop"),
    ),
    System(name="echo", title="raw TCP echo, uvloop", kind="floor", packages=("uvloop",)),
)
"""In the order of the report."""
