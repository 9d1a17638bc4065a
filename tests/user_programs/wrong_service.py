"""Services whose methods are not what the server calls."""

from __future__ import annotations

import msgspec

from protosocket import rpc


class Message(msgspec.Struct, array_like=True):
    id: int = 0
    control: int = 0


CODEC = rpc.MessagePackCodec(send=Message, receive=Message, id="id", control="control")


class NoRequest(rpc.Service):
    def unary(self) -> Message:  # error: override, reportIncompatibleMethodOverride
        return Message()


class Lists(rpc.Service):
    async def stream(self, _: Message) -> list[Message]:  # error: override, reportIncompatibleMethodOverride
        return []


class Calls(rpc.Service):
    async def unary(self, request: Message) -> Message:
        return request

    def select(self, request: Message) -> rpc.Handler:
        return self.unary(request)  # error: return-value, reportReturnType


class NoService:
    async def unary(self, request: Message) -> Message:
        return request


rpc.serve("tcp://127.0.0.1:0", NoService, CODEC)  # error: arg-type, reportArgumentType
