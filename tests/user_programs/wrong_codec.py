"""Codecs that are none, of messages that are none."""

from __future__ import annotations

import protosocket
from protosocket import codecs, rpc
from protosocket.cache.protosocket_cache_pb2 import CacheCommand as Command


class Half:
    def encode(self, message: str, /) -> bytes:
        return message.encode()


protosocket.connect("tcp://127.0.0.1:7300", Half())  # error: arg-type, reportArgumentType
codecs.Protobuf(send=Command, receive=str)  # error: type-var, reportArgumentType
rpc.ProtobufCodec(send=Command, receive=Command, id="message_id")  # error: call-arg, reportCallIssue
rpc.connect("tcp://127.0.0.1:7300", codecs.Lines())  # error: arg-type, reportArgumentType
