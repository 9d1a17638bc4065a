"""RPC on message streams: unary and streaming calls, cancel, deadlines, pools; nothing added to the wire."""

from __future__ import annotations

from protosocket._core import UnaryCall
from protosocket.errors import CancelledRemotely, DeadlineExceeded, Rejected, RpcError, Unavailable
from protosocket.rpc import codec
from protosocket.rpc.client import Client, FirstCall, Greeting, connect
from protosocket.rpc.codec import *  # noqa: F403  a codec is made known by its own file
from protosocket.rpc.handling import HandlingConnection
from protosocket.rpc.native_codec import NativeCodec
from protosocket.rpc.server import ServedConnection, serve
from protosocket.rpc.service import Handler, Service
from protosocket.rpc.tasks import task_factory

__all__ = [
    "CancelledRemotely",
    "Client",
    "DeadlineExceeded",
    "FirstCall",
    "Greeting",
    "Handler",
    "HandlingConnection",
    "NativeCodec",
    "Rejected",
    "RpcError",
    "ServedConnection",
    "Service",
    "UnaryCall",
    "Unavailable",
    "connect",
    "serve",
    "task_factory",
]
__all__ += codec.__all__
