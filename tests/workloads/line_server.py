"""A line server for ``line_driver``, as a program: keeps values, and misbehaves on request.

``python line_server.py [--stall SECONDS --after N] [--fail-every N] [--truncate-every N] [--mute]``
"""

from __future__ import annotations

import argparse
import asyncio
import time


class Server(asyncio.Protocol):
    """One connection."""

    values: dict[bytes, bytes] = {}  # noqa: RUF012 - shared by all connections
    count = 0

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self.rest = (self.rest + data).split(b"\n")
        if not self.options.mute:
            self.transport.write(b"".join(map(self.answer, lines)))

    def answer(self, line: bytes) -> bytes:
        options = self.options
        verb, key, value = line.split(b" ")
        if verb == b"SET":
            self.values[key] = value
            return b"+\n"
        if verb == b"DELETE":
            self.values.pop(key, None)
            return b"+\n"
        Server.count += 1
        if options.stall and Server.count == options.after:
            time.sleep(options.stall)
        if options.fail_every and Server.count % options.fail_every == 0:
            return b"!refused\n"
        found = self.values.get(key)
        if found is None:
            return b"-\n"
        if options.truncate_every and Server.count % options.truncate_every == 0:
            found = found[:-2]
        return b"+" + found + b"\n"


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--stall", type=float, default=0.0)
    parser.add_argument("--after", type=int, default=0)
    parser.add_argument("--fail-every", type=int, default=0)
    parser.add_argument("--truncate-every", type=int, default=0)
    parser.add_argument("--mute", action="store_true")
    options = parser.parse_args()
    server = await asyncio.get_running_loop().create_server(lambda: Server(options), "127.0.0.1", 0)
    print(f"listening on tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
