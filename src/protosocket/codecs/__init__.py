"""Codecs: what a message is on the wire, and what it is in Python."""

from __future__ import annotations

from protosocket.codecs.bytes import Bytes
from protosocket.codecs.lines import Lines
from protosocket.codecs.messagepack import MessagePack
from protosocket.codecs.native import Native
from protosocket.codecs.native_classes import NativeMessage
from protosocket.codecs.native_messages import NativeMessages, messages_of, which_oneof
from protosocket.codecs.protobuf import Protobuf
from protosocket.connection import Codec, Decoded, FramedCodec, Incomplete, Invalid, Skip

__all__ = [
    "Bytes",
    "Codec",
    "Decoded",
    "FramedCodec",
    "Incomplete",
    "Invalid",
    "Lines",
    "MessagePack",
    "Native",
    "NativeMessage",
    "NativeMessages",
    "Protobuf",
    "Skip",
    "messages_of",
    "which_oneof",
]
