"""The codecs, ours and the user's: what they take, refuse and report, and every way of cutting a stream."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import msgspec
import pytest
from google.protobuf.struct_pb2 import Struct
from google.protobuf.wrappers_pb2 import StringValue
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.places import Place, Raw, until, write_raw

from protosocket import Connection, codecs
from protosocket.codecs import Decoded, Incomplete, Invalid, Skip
from protosocket.errors import EncodeError, InvalidMessage, MessageTooLarge, OptionError

TCP = Place("tcp", "tcp://127.0.0.1:0")
MEMORY = Place("memory", "memory://codec")


class Netstrings:
    """A codec of one's own: ``5:hello,``; line feeds between messages are passed over."""

    def encode(self, message: bytes) -> bytes:
        return b"%d:%s," % (len(message), message)

    def decode(self, unread: memoryview) -> Decoded[bytes] | Incomplete | Skip | Invalid:
        if unread[0] == 10:
            return Skip(1)
        head, colon, _ = bytes(unread[:10]).partition(b":")
        if not head.isdigit():
            return Invalid("a netstring begins with its length")
        if not colon:
            return Incomplete() if len(unread) < 10 else Invalid("the length is too long")
        end = len(head) + 1 + int(head)
        if len(unread) <= end:
            return Incomplete(end + 1)
        if unread[end] != 44:
            return Invalid("a netstring ends with a comma")
        return Decoded(bytes(unread[len(head) + 1 : end]), end + 1)


class Point(msgspec.Struct, array_like=True):
    x: int
    name: str


class Encodable:
    """No text, though it has its method."""

    def encode(self, encoding: str) -> bytes:
        return b"encoded"


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=300)
CASES: dict[str, tuple[Any, Any, st.SearchStrategy[Any]]] = {
    "bytes": (codecs.Bytes(), None, st.binary(max_size=300)),
    "lines": (codecs.Lines(), None, TEXT),
    "protobuf": (
        codecs.Protobuf(send=StringValue, receive=StringValue),
        None,
        st.builds(lambda text: StringValue(value=text), TEXT),
    ),
    "messagepack": (
        codecs.MessagePack(send=Point, receive=Point),
        None,
        st.builds(Point, st.integers(-(2**63), 2**64 - 1), TEXT),
    ),
    "own": (Netstrings(), None, st.binary(max_size=300)),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("transport", ["aiofastnet", "loop"])
def test_messages_cut_anywhere_arrive_equal(name: str, transport: Any) -> None:
    """A raw socket echoes what a connection sends, in pieces of random sizes."""
    codec, _, messages = CASES[name]

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.lists(messages, min_size=1, max_size=20), st.lists(st.integers(1, 400), min_size=1, max_size=30)
    )
    def check(sent: list[Any], cuts: list[int]) -> None:
        asyncio.run(exchange(sent, cuts))

    async def exchange(sent: list[Any], cuts: list[int]) -> None:
        async def handler(connection: Connection[Any, Any]) -> None:
            for message in sent:
                await connection.send(message)
            received.set_result([await connection.receive() for _ in sent])

        received = asyncio.get_running_loop().create_future()
        place = Place("tcp", "tcp://127.0.0.1:0", transport)
        async with place.listen(codec, handler) as server, await Raw().connect(server) as raw:
            loop = asyncio.get_running_loop()
            sizes = iter(cuts * 1000)
            while not received.done():
                taking = asyncio.ensure_future(loop.sock_recv(raw.socket, next(sizes)))
                await asyncio.wait([taking, received], return_when=asyncio.FIRST_COMPLETED)
                if not taking.done():
                    taking.cancel()
                    await asyncio.wait([taking])
                    break
                await raw.send(taking.result())
            assert await received == sent

    check()


async def sent_raw(codec: Any, data: bytes, **options: Any) -> tuple[list[Any], Exception | None]:
    """The messages a server makes of ``data``, and what ended the connection unless that was the peer."""
    outcome = asyncio.get_running_loop().create_future()

    async def handler(connection: Connection[Any, Any]) -> None:
        messages = []
        try:
            async for message in connection:
                messages.append(message)  # noqa: PERF401 - those before an error count
        except Exception as error:
            outcome.set_result((messages, error))
        else:
            outcome.set_result((messages, None))

    async with TCP.listen(codec, handler, **options) as server, await Raw().connect(server) as raw:
        await raw.send(data)
        raw.socket.shutdown(1)
        result: tuple[list[Any], Exception | None] = await outcome
        return result


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(CASES)), st.binary(max_size=60))
@example("protobuf", b"\x03\xff\xff\xff")
@example("messagepack", b"\xce\x00\x00\x00\x01\xc1")
def test_garbage_gives_messages_or_a_named_error(name: str, data: bytes) -> None:
    codec, _, _ = CASES[name]
    _, error = asyncio.run(sent_raw(codec, data, receive_limit=50))
    assert error is None or type(error).__module__ == "protosocket.errors"


@pytest.mark.parametrize(
    ("codec", "data", "messages", "kind", "text"),
    [
        (codecs.Lines(), b"a\r\n\nb\n", ["a", "", "b"], None, ""),
        (codecs.Lines(encoding="latin-1"), b"\xe4\n", ["ä"], None, ""),
        (codecs.Lines(), b"a\n\xff\n", ["a"], InvalidMessage, "utf-8"),
        (codecs.Lines(), b"a\n" + b"x" * 50 + b"\n", ["a", "x" * 50], None, ""),
        (codecs.Lines(), b"a\n" + b"x" * 51, ["a"], MessageTooLarge, "over the receive limit of 50"),
        (CASES["messagepack"][0], b"\xce\0\0\0\x04\x92\x07\xa1x", [Point(7, "x")], None, ""),
        (CASES["messagepack"][0], b"\xcf", [], InvalidMessage, "0xce"),
        (CASES["messagepack"][0], b"\xce\0\0\0\x01\xc0", [], InvalidMessage, "Expected"),
        (CASES["messagepack"][0], b"\xce\0\0\0\x33", [], MessageTooLarge, "of 51 bytes"),
        (CASES["protobuf"][0], b"\0\x03\x0a\x01x", [StringValue(), StringValue(value="x")], None, ""),
        (CASES["protobuf"][0], b"\x02\xff\xff", [], InvalidMessage, "pars|wire|Error"),
        (Netstrings(), b"1:a,\n\n0:,", [b"a", b""], None, ""),
        (Netstrings(), b"1:a,x", [b"a"], InvalidMessage, "no message: a netstring begins with its length"),
        (Netstrings(), b"1:ab", [], InvalidMessage, "ends with a comma"),
        (Netstrings(), b"1:a,48:", [b"a"], MessageTooLarge, "of 52 bytes"),
        (Netstrings(), b"1:a,48:" + b"x" * 48 + b",", [b"a"], MessageTooLarge, "of 52 bytes"),
    ],
)
async def test_what_is_taken_and_what_is_refused(
    codec: Any, data: bytes, messages: list[Any], kind: type[Exception] | None, text: str
) -> None:
    received, error = await sent_raw(codec, data, receive_limit=50)
    assert received == messages
    if kind is None:
        assert error is None
    else:
        assert type(error) is kind
        assert re.search(text, str(error))


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (Decoded(b"x", 0), "took 0 of 5"),
        (Decoded(b"x", -1), "took -1 of 5"),
        (Decoded(b"x", 6), "took 6 of 5"),
        (Skip(0), "took 0 of 5"),
        (Skip(6), "took 6 of 5"),
        (None, "it gives Decoded, Incomplete, Skip or Invalid"),
        (ZeroDivisionError("oops"), "ZeroDivisionError: oops"),
    ],
)
async def test_a_codec_that_lies_ends_its_connection(answer: Any, text: str) -> None:
    class Liar(Netstrings):
        def decode(self, unread: memoryview) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

    received, error = await sent_raw(Liar(), b"hello")
    assert received == []
    assert type(error) is InvalidMessage
    assert text in str(error)


async def test_a_codec_that_needs_less_than_there_is_is_asked_again_with_more() -> None:
    seen: list[int] = []

    class Slow(Netstrings):
        def decode(self, unread: memoryview) -> Any:
            seen.append(len(unread))
            return Incomplete(1) if len(unread) < 5 else Decoded(bytes(unread), len(unread))

    async with MEMORY.pair(Slow()) as (client, served):
        for number, piece in enumerate((b"a", b"b", b"cde"), 1):
            write_raw(client, piece)
            await until(lambda: served.statistics().reads == number)  # noqa: B023 - called at once
        assert await served.receive() == b"abcde"
    assert seen == [1, 2, 5]


async def test_a_view_kept_by_a_codec_keeps_its_bytes() -> None:
    class Lazy(Netstrings):
        def decode(self, unread: memoryview) -> Any:
            step = super().decode(unread)
            return Decoded(unread[2:3], step.consumed) if isinstance(step, Decoded) else step

    async with MEMORY.pair(Lazy()) as (client, served):
        views = []
        for letter in b"abc" * 50:
            await client.send(bytes([letter]))
            views.append(await served.receive())
        assert b"".join(views) == b"abc" * 50


async def test_a_codec_with_state_is_made_for_each_connection() -> None:
    made = []

    class Counting(Netstrings):
        def __init__(self) -> None:
            made.append(self)
            self.count = 0

        def fresh(self) -> Counting:
            return Counting()

        def encode(self, message: bytes) -> bytes:
            self.count += 1
            return super().encode(b"%d" % self.count)

    codec = Counting()
    for _ in range(2):
        async with MEMORY.pair(codec) as (client, served):
            await client.send(b"")
            await client.send(b"")
            assert [await served.receive(), await served.receive()] == [b"1", b"2"]
    assert codec.count == 0


@pytest.mark.parametrize("codec", [codecs.Lines(), codecs.Bytes(), Netstrings()])
async def test_a_slow_drip_costs_in_proportion(codec: Any) -> None:
    """A long message, a few bytes at a time: ten times the length may not cost a hundred times."""
    costs = []
    for size in (20_000, 200_000):
        message: Any = b"x" * size
        if isinstance(codec, Netstrings):
            data = codec.encode(message)
        elif isinstance(codec, codecs.Lines):
            data, message = b"x" * size + b"\n", "x" * size
        else:
            data = bytes([size & 127 | 128, size >> 7 & 127 | 128, size >> 14]) + b"x" * size
        async with MEMORY.pair(codec) as (client, served):
            protocol = served._protocol  # noqa: SLF001
            started = time.process_time()
            for at in range(0, len(data), 10):
                piece = data[at : at + 10]
                with memoryview(protocol.get_buffer(-1)) as room:
                    room[: len(piece)] = piece
                protocol.buffer_updated(len(piece))
            costs.append(time.process_time() - started)
            assert await served.receive() == message
            assert client.peer
    assert costs[1] < 40 * costs[0] + 0.05


@pytest.mark.parametrize(
    ("codec", "message"),
    [
        (codecs.Bytes(), "text"),
        (codecs.Lines(), b"bytes"),
        (codecs.Lines(), "two\nlines"),
        (codecs.Lines(), "ends\r"),
        (codecs.Lines(), "\r"),
        (codecs.Lines(), StringValue(value="no str")),
        (codecs.Lines(), Encodable()),
        (codecs.Lines(encoding="shift_jis"), "¥5"),  # which is written as a backslash
        (codecs.Lines(encoding="raw_unicode_escape"), "\\u0041"),
        (codecs.Lines(encoding="ascii"), "ä"),
        (codecs.Lines(), "\ud800"),
        (codecs.Protobuf(send=StringValue, receive=StringValue), b"bytes"),
        (codecs.MessagePack(), object()),
        (codecs.MessagePack(), 2**64),
        (Netstrings(), "text"),
    ],
)
async def test_what_cannot_be_sent(codec: Any, message: Any) -> None:
    async with MEMORY.pair(codec) as (client, _):
        with pytest.raises(EncodeError, match="cannot be encoded") as caught:
            await client.send(message)
        assert caught.value.__cause__ is not None
        assert client.statistics().send_queue_bytes == 0
        assert not client.closed


ENCODINGS = [
    "utf-8",
    "ascii",
    "latin-1",
    "cp1252",
    "shift_jis",
    "gb18030",
    "utf-7",
    "iso2022_jp",
    "hz",
    "idna",
]


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(ENCODINGS),
    st.lists(
        st.text(st.characters() | st.sampled_from("\r\n\0 \\~{+\x0b\x1c\x85\u2028¥\ufeff"), max_size=20)
    ),
)
def test_lines_arrive_as_they_were_sent_or_are_not_sent(encoding: str, lines: list[str]) -> None:
    async def exchange() -> None:
        sent = []
        async with MEMORY.pair(codecs.Lines(encoding=encoding)) as (client, served):
            for line in lines:
                try:
                    await client.send(line)
                except EncodeError:
                    continue
                sent.append(line)
            assert [await served.receive() for _ in sent] == sent
            plain = [line for line in lines if line.isascii() and line.isalnum() and line.islower()]
            assert [line for line in plain if line not in sent] == []

    asyncio.run(exchange())


def test_codecs_that_make_no_sense() -> None:
    for encoding in ("utf-16", "utf-32", "cp037", "utf-8-sig"):
        with pytest.raises(OptionError, match="single byte 10"):
            codecs.Lines(encoding=encoding)
    for name in ("klingon", "", "utf\08", "rot13", "base64", "undefined", None, 8):
        with pytest.raises(OptionError, match="no text encoding named"):
            codecs.Lines(encoding=name)  # type: ignore[arg-type]
    for wrong in (StringValue(), str, None):
        with pytest.raises(OptionError, match="send is a protobuf message class"):
            codecs.Protobuf(send=wrong, receive=StringValue)  # type: ignore[arg-type, type-var]
        with pytest.raises(OptionError, match="receive is a protobuf message class"):
            codecs.Protobuf(send=StringValue, receive=wrong)  # type: ignore[arg-type, type-var]
    with pytest.raises(OptionError, match="receive is a type msgspec can decode"):
        codecs.MessagePack(receive=dict[str, Any] | Point | Struct)
