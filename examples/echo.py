"""Messages over TCP: a server that sends back what it gets, and a client, in one program.

    python examples/echo.py

Notes are msgspec Structs, so nothing has to be generated.
"""

from __future__ import annotations

import asyncio

import msgspec

import protosocket
from protosocket.codecs import MessagePack


class Note(msgspec.Struct, array_like=True):
    number: int
    text: str


CODEC: MessagePack[Note, Note] = MessagePack(send=Note, receive=Note)


async def echo(connection: protosocket.Connection[Note, Note]) -> None:
    """Runs once for each connection, which is closed when it returns."""
    async for note in connection:
        await connection.send(note)


async def main() -> None:
    async with (
        protosocket.listen("tcp://127.0.0.1:0", CODEC, echo) as server,
        protosocket.connect(server.addresses[0], CODEC) as connection,
    ):
        # Nobody waits for an answer before sending the next: messages sent in one go leave in one write.
        for number in range(100):
            await connection.send(Note(number, "hello"))
        for number in range(100):
            note = await connection.receive()
            assert note == Note(number, "hello")
        statistics = connection.statistics()
        print(f"{statistics.messages_received} notes came back, {statistics.bytes_received} bytes")


asyncio.run(main())
