"""A proxy between a client and a server that notes the protobuf messages which pass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.interop.processes import Serving
from tests.oracle.framing import Decoder, Framing


class Recorder:
    """What went through ``recording``: connections, and the messages in each direction."""

    def __init__(self) -> None:
        self.connections = 0
        self.sent: list[bytes] = []
        self.answered: list[bytes] = []


@asynccontextmanager
async def recording(server: Serving) -> AsyncIterator[tuple[str, Recorder]]:
    """A URL that leads to the server, and what goes through it."""
    recorder = Recorder()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, messages: list[bytes]) -> None:
        decoder = Decoder(Framing.VARINT, 1 << 22)
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                messages += decoder.feed(data)
                writer.write(data)
                await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recorder.connections += 1
        host, _, port = server.place.rpartition(":")
        back, forth = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pump(reader, forth, recorder.sent), pump(back, writer, recorder.answered))

    async with await asyncio.start_server(connect, "127.0.0.1", 0) as proxy:
        host, port = proxy.sockets[0].getsockname()
        yield f"tcp://{host}:{port}", recorder
