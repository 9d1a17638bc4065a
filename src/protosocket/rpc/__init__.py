"""RPC on message streams: unary and streaming calls, cancel, deadlines, pools; nothing added to the wire."""

from __future__ import annotations

from protosocket.errors import CancelledRemotely, DeadlineExceeded, Rejected, RpcError, Unavailable
from protosocket.rpc.client import Client, FirstCall, Greeting, connect
from protosocket.rpc.codec import Codec, MessagePackCodec, ProtobufCodec
from protosocket.rpc.handling import HandlingConnection
from protosocket.rpc.native_codec import NativeCodec
from protosocket.rpc.server import ServedConnection, serve
from protosocket.rpc.service import Service
from protosocket.rpc.tasks import task_factory

__all__ = [
    "CancelledRemotely",
    "Client",
    "Codec",
    "DeadlineExceeded",
    "FirstCall",
    "Greeting",
    "HandlingConnection",
    "MessagePackCodec",
    "NativeCodec",
    "ProtobufCodec",
    "Rejected",
    "RpcError",
    "ServedConnection",
    "Service",
    "Unavailable",
    "connect",
    "serve",
    "task_factory",
]
