"""Server streaming: clients follow a price for as long as they like; leaving the loop ends the stream.

    python examples/prices.py

Both ends are in it, and it ends by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import msgspec

from protosocket import rpc


class Follow(msgspec.Struct, array_like=True):
    """A request; the first two fields are the codec's."""

    id: int = 0
    control: int = 0
    symbol: str = ""


class Price(msgspec.Struct, array_like=True):
    """A response."""

    id: int = 0
    control: int = 0
    cents: int = 0


CODEC = rpc.MessagePackCodec(send=Follow, receive=Price, id="id", control="control")


class Market:
    """Where prices come from: the same for every connection."""

    def __init__(self) -> None:
        self.followers: set[asyncio.Queue[int]] = set()
        self.nobody_follows = asyncio.Event()

    def publish(self, cents: int) -> None:
        for queue in self.followers:
            queue.put_nowait(cents)


class Prices(rpc.Service):
    """One connection to the market."""

    def __init__(self, market: Market) -> None:
        self.market = market

    async def stream(self, request: Follow) -> AsyncIterator[Price]:
        if request.symbol != "ACME":
            raise rpc.Rejected(f"no such symbol: {request.symbol}")
        queue: asyncio.Queue[int] = asyncio.Queue()
        self.market.followers.add(queue)
        try:
            while True:
                yield Price(cents=await queue.get())
        finally:
            # The client left the loop, its deadline passed, or its connection was lost.
            self.market.followers.remove(queue)
            if not self.market.followers:
                self.market.nobody_follows.set()


async def trade(market: Market) -> None:
    cents = 1000
    while True:
        cents += 5
        market.publish(cents)
        await asyncio.sleep(0.01)


async def main() -> None:
    market = Market()
    async with (
        rpc.serve("tcp://127.0.0.1:0", lambda: Prices(market), CODEC) as server,
        rpc.connect(server.addresses[0], CODEC) as client,
    ):
        trading = asyncio.create_task(trade(market))

        # aclosing tells the server at once; without it, when the iterator is collected.
        async with aclosing(client.stream(Follow(symbol="ACME"))) as prices:
            seen = 0
            async for price in prices:
                print(f"ACME is at {price.cents / 100:.2f}")
                seen += 1
                if seen == 3:
                    break
        await market.nobody_follows.wait()
        print("the server has ended the stream")

        try:
            async for _ in client.stream(Follow(symbol="ACME"), timeout=0.05):
                pass
        except rpc.DeadlineExceeded:
            print("a deadline covers the whole stream")

        try:
            async for _ in client.stream(Follow(symbol="NONE")):
                pass
        except rpc.CancelledRemotely:
            print("an unknown symbol is refused")
        trading.cancel()


asyncio.run(main())
