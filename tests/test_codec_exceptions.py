"""What becomes of an exception that a codec raises: a cause with its traceback, or the end of the program."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest
from tests.patience import HANG
from tests.rpc_support import ARRAY, InArray, Service, served

import protosocket
from protosocket import rpc
from protosocket.codecs import Decoded, Incomplete
from protosocket.errors import EncodeError, InvalidMessage

pytestmark = pytest.mark.every_loop


def printed(error: BaseException) -> str:
    """What Python prints of an exception."""
    return "".join(traceback.format_exception(error))


def unreadable(kind: type[BaseException]) -> Any:
    """A class of messages whose constructor raises ``kind`` when one with an id is decoded."""

    def raise_kind() -> None:
        raise kind("on purpose")

    class Unreadable(msgspec.Struct, array_like=True):
        id: int = 0
        code: int = 0
        body: bytes = b""

        def __post_init__(self) -> None:
            if self.id:
                raise_kind()

    return Unreadable


def reading(response: Any = InArray, request: Any = InArray) -> Any:
    """A codec with these classes of messages, which are the same on the wire."""
    return rpc.MessagePackCodec(send=request, receive=response, id="id", control="code")


async def test_what_a_clients_codec_raises_is_the_cause_with_its_traceback() -> None:
    async with served(ARRAY) as (url, _):
        async with rpc.connect(url, reading(unreadable(LookupError))) as client:
            with pytest.raises(InvalidMessage, match="on purpose") as unary:
                await client.unary(ARRAY.make(b"echo"), timeout=HANG)
        async with rpc.connect(url, reading(unreadable(LookupError))) as client:
            with pytest.raises(InvalidMessage, match="on purpose") as stream:
                async for _ in client.stream(ARRAY.make(b"count 3"), timeout=HANG):
                    pass
    for caught in (unary, stream):
        cause = caught.value.__cause__
        assert type(cause) is LookupError
        assert "in raise_kind\n" in printed(cause)


class Own:
    """A codec of one byte a message, which raises what it is told."""

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    def encode(self, message: int) -> bytes:
        if message > 255:
            raise self.kind("on purpose")
        return bytes([message])

    def decode(self, unread: memoryview) -> Decoded[int] | Incomplete:
        if not unread:
            return Incomplete(1)
        if unread[0] > 127:
            raise self.kind("on purpose")
        return Decoded(unread[0], 1)


async def test_what_a_streams_codec_raises_is_the_cause_with_its_traceback() -> None:
    accepted: asyncio.Queue[Any] = asyncio.Queue()

    async def serve(connection: protosocket.Connection[int, int]) -> None:
        with pytest.raises(InvalidMessage) as caught:
            async for _ in connection:
                pass
        accepted.put_nowait(caught.value)

    codec = Own(LookupError)
    async with (
        protosocket.listen("tcp://127.0.0.1:0", codec, serve) as server,
        protosocket.connect(server.addresses[0], codec) as connection,
    ):
        with pytest.raises(EncodeError, match="on purpose") as caught:
            await connection.send(256)
        await connection.send(128)
        errors = [caught.value, await asyncio.wait_for(accepted.get(), HANG)]
    for error, name in zip(errors, ("encode", "decode"), strict=True):
        assert type(error.__cause__) is LookupError
        assert f"in {name}\n" in printed(error.__cause__)


@pytest.mark.parametrize("side", ["client", "server", "stream", "sender"])
def test_what_stops_the_program_is_no_invalid_message(side: str) -> None:
    async def stream(number: int) -> None:
        codec = Own(KeyboardInterrupt)

        async def serve(connection: protosocket.Connection[int, int]) -> None:
            async for _ in connection:
                pass

        async with (
            protosocket.listen("tcp://127.0.0.1:0", codec, serve) as server,
            protosocket.connect(server.addresses[0], codec) as connection,
        ):
            await connection.send(number)
            await asyncio.sleep(HANG)

    async def call(mine: Any, its: Any) -> None:
        async with (
            rpc.serve("tcp://127.0.0.1:0", lambda: Service(ARRAY), its) as server,
            rpc.connect(server.addresses[0], mine) as client,
        ):
            await client.unary(ARRAY.make(b"echo"), timeout=HANG)

    stops = unreadable(KeyboardInterrupt)
    main: Callable[[], Coroutine[Any, Any, None]] = {
        "client": lambda: call(reading(response=stops), ARRAY.codec),
        "server": lambda: call(ARRAY.codec, reading(request=stops)),
        "stream": lambda: stream(128),
        "sender": lambda: stream(256),
    }[side]
    with pytest.raises(KeyboardInterrupt, match="on purpose"):
        asyncio.run(main())
