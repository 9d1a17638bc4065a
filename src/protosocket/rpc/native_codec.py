"""The RPC codec of native messages: the wire of ``ProtobufCodec`` at a fraction of its cost."""

from __future__ import annotations

from typing import Generic, TypeVar

from google.protobuf.message import Message

from protosocket._core import WireCodec
from protosocket.codecs import NativeMessage, messages_of
from protosocket.rpc.codec import Codec
from protosocket.rpc.layouts import protobuf_layout

__all__ = ["NativeCodec"]

S = TypeVar("S", bound=NativeMessage)
R = TypeVar("R", bound=NativeMessage)


class NativeCodec(Codec[S, R], Generic[S, R]):
    """Messages of classes made by ``NativeMessages``; the peer may as well use ``ProtobufCodec``.

    ``send`` is the request's class and ``receive`` the response's, as the client sees them; a server takes
    the same codec. ``id`` and ``control`` are the names, in the ``.proto``, of the top-level fields that
    carry the message id and the control code, in both; ``receive_id`` and ``receive_control`` where the
    response's have other names. Ids are set on the wire, not in your objects: leave both fields alone in what
    you send; in what you receive they hold what was on the wire. Raises ``OptionError`` for classes or fields
    that cannot do this.

    ``light`` is for protocols on top of this one: the names of a field of bytes, the payload, and of a
    number, the method. A message that says nothing but these is exchanged without an object for it:
    ``bytes`` and ``(method, bytes)`` are sent as such; one received is ``bytes`` at a client and
    ``(id, method, bytes)`` at a server.
    """

    def __init__(
        self,
        *,
        send: type[S],
        receive: type[R],
        id: str,
        control: str,
        receive_id: str | None = None,
        receive_control: str | None = None,
        light: tuple[str, str] | None = None,
    ) -> None:
        requests, responses = messages_of("send", send), messages_of("receive", receive)
        self.send = send
        self.receive = receive
        self._requests = protobuf_layout(requests.protobuf_class(send), id, control)
        self._responses = protobuf_layout(
            responses.protobuf_class(receive), receive_id or id, receive_control or control
        )
        self._encode_request = requests.wire_encoder()
        self._decode_request = requests.wire_decoder(send)
        self._encode_response = responses.wire_encoder()
        self._decode_response = responses.wire_decoder(receive)
        self._light = None if light is None else _numbers(requests.protobuf_class(send), id, *light)

    def client_wire(self) -> WireCodec:
        """The native codec of a client."""
        encode, decode = self._encode_request, self._decode_response
        light = self._light and (*self._light, False)
        return WireCodec("varint", encode, decode, self._requests, self._responses, self.send, light)

    def server_wire(self) -> WireCodec:
        """The native codec of a server."""
        encode, decode = self._encode_response, self._decode_request
        light = self._light and (*self._light, True)
        return WireCodec("varint", encode, decode, self._responses, self._requests, self.receive, light)


def _numbers(kind: type[Message], id: str, payload: str, method: str) -> tuple[int, int, int]:
    fields = kind.DESCRIPTOR.fields_by_name
    return fields[id].number, fields[payload].number, fields[method].number
