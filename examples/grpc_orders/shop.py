"""The shop: answers the four methods of orders.proto."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import grpc
from google.protobuf.any_pb2 import Any
from google.rpc.error_details_pb2 import PreconditionFailure
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status
from orders_pb2 import Event, Goods, Offer, Order, PlaceRequest, Stock, TrackRequest
from orders_pb2_grpc import OrdersServicer
from server_interceptors import caller

LOWEST_CENTS = 700


class Shop(OrdersServicer):
    """Keeps its stock and its orders in memory."""

    def __init__(self) -> None:
        self._stock = Counter[str]()
        self._orders: dict[str, Order] = {}

    async def Place(self, request: PlaceRequest, context: grpc.aio.ServicerContext) -> Order:
        goods = request.goods
        if goods.name == "cathedral":
            await self._build(context)
        if self._stock[goods.name] < goods.count:
            await context.abort_with_status(rpc_status.to_status(self._not_enough(goods)))
        self._stock[goods.name] -= goods.count
        order = Order(id=f"order-{len(self._orders) + 1}", goods=goods, buyer=caller.get())
        self._orders[order.id] = order
        await context.send_initial_metadata([("shop", "corner"), ("seal-bin", b"\x00\xff\x01")])
        context.set_trailing_metadata([("left", str(self._stock[goods.name]))])
        return order

    async def _build(self, context: grpc.aio.ServicerContext) -> None:
        """Takes centuries; whoever has a deadline hears of it, and the work is cancelled."""
        remaining = context.time_remaining()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            print(f"stopped building: {'no' if remaining is None else 'a'} deadline", flush=True)
            raise

    def _not_enough(self, goods: Goods) -> Status:
        failure = PreconditionFailure()
        failure.violations.add(
            type="STOCK", subject=goods.name, description=f"{self._stock[goods.name]} in stock"
        )
        detail = Any()
        detail.Pack(failure)
        return Status(
            code=grpc.StatusCode.FAILED_PRECONDITION.value[0],
            message=f"not enough {goods.name}",
            details=[detail],
        )

    async def Track(self, request: TrackRequest, context: grpc.aio.ServicerContext) -> AsyncIterator[Event]:
        if request.id not in self._orders:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no order {request.id}")
        for kind in (Event.KIND_PACKED, Event.KIND_SHIPPED, Event.KIND_DELIVERED):
            yield Event(kind=kind)

    async def Restock(self, requests: AsyncIterator[Goods], context: grpc.aio.ServicerContext) -> Stock:
        arrived = Counter[str]()
        async for goods in requests:
            arrived[goods.name] += goods.count
        self._stock += arrived
        return Stock(counts=arrived)

    async def Haggle(
        self, requests: AsyncIterator[Offer], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[Offer]:
        asked = 1000
        async for offer in requests:
            if offer.accepted or offer.cents >= asked:
                yield Offer(cents=offer.cents, accepted=True)
                return
            asked = max(LOWEST_CENTS, (asked + offer.cents) // 2)
            yield Offer(cents=asked)
