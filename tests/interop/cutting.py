"""A proxy that cuts its connections after a given number of bytes in one direction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from tests.places import reset_on_close

Direction = Literal["requests", "answers"]


@dataclass
class Cutting:
    """What the proxy does with the next connection, and what it saw on those that have ended."""

    direction: Direction = "requests"
    """Which way is counted; the other way everything passes until the cut."""

    after: int | None = None
    """The bytes that pass before both ends are cut off; ``None``: no cut."""

    reset: bool = False
    """Cut with a reset; otherwise with the end of the stream."""

    passed: dict[Direction, int] = field(default_factory=lambda: {"requests": 0, "answers": 0})
    """Bytes that passed on the last connection."""

    url: str = ""
    """Where the proxy listens."""


@asynccontextmanager
async def cutting(place: str, scheme: str) -> AsyncIterator[Cutting]:
    """A proxy for the server at ``place`` (``host:port``) whose addresses have this ``scheme``."""
    plan = Cutting()
    host, _, port = place.rpartition(":")

    async def relay(client_reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        server_reader, server = await asyncio.open_connection(host, int(port))
        after, reset = plan.after, plan.reset
        plan.passed = {"requests": 0, "answers": 0}

        async def pump(
            direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            left = after if direction == plan.direction else None
            while left != 0:
                try:
                    data = await reader.read(65536 if left is None else left)
                    writer.write(data)
                    await writer.drain()
                except OSError:
                    return
                if not data:
                    return
                plan.passed[direction] += len(data)
                if left is not None:
                    left -= len(data)

        pumps = [
            asyncio.create_task(pump("requests", client_reader, server)),
            asyncio.create_task(pump("answers", server_reader, client)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for each in pumps:
            each.cancel()
        for writer in (client, server):
            if reset:
                reset_on_close(writer.get_extra_info("socket"))
                writer.transport.abort()
            else:
                writer.close()

    async with await asyncio.start_server(relay, "127.0.0.1") as proxy:
        plan.url = f"{scheme}://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        yield plan
