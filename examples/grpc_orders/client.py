"""A customer of the shop: calls of all four kinds, metadata, deadlines, errors, health, reflection.

    python examples/grpc_orders/client.py [ADDRESS]

ADDRESS is where the server listens (default: 127.0.0.1:50051).
"""

from __future__ import annotations

import asyncio
import sys

import grpc
from client_interceptors import with_token
from google.rpc.error_details_pb2 import PreconditionFailure
from grpc.aio import insecure_channel
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from grpc_status import rpc_status
from orders_pb2 import Event, Goods, Offer, PlaceRequest, TrackRequest
from orders_pb2_grpc import OrdersStub


async def restock(orders: OrdersStub) -> None:
    """Client streaming, from an iterator."""
    goods = [Goods(name="tea", count=3), Goods(name="jam", count=2), Goods(name="tea", count=4)]
    stock = await orders.Restock(iter(goods), timeout=10)
    print("came in:", ", ".join(f"{count} {name}" for name, count in sorted(stock.counts.items())))


async def place(orders: OrdersStub) -> str:
    """Unary, with metadata in both directions."""
    call = orders.Place(
        PlaceRequest(goods=Goods(name="tea", count=5)), timeout=10, metadata=[("coupon-bin", b"\x07")]
    )
    order = await call
    print(f"{order.id}: {order.goods.count} {order.goods.name} for {order.buyer}")
    first, last = dict(await call.initial_metadata()), dict(await call.trailing_metadata())
    print(f"from the {first['shop']} shop, sealed {first['seal-bin'].hex()}, {last['left']} left")
    return order.id


async def place_too_much(orders: OrdersStub) -> None:
    """An error with details."""
    try:
        await orders.Place(PlaceRequest(goods=Goods(name="jam", count=3)), timeout=10)
    except grpc.aio.AioRpcError as error:
        status = rpc_status.from_call(error)
        failure = PreconditionFailure()
        status.details[0].Unpack(failure)
        print(f"{error.code().name}: {error.details()}: {failure.violations[0].description}")


async def place_with_deadline(orders: OrdersStub) -> None:
    """A deadline that passes."""
    try:
        await orders.Place(PlaceRequest(goods=Goods(name="cathedral", count=1)), timeout=0.2)
    except grpc.aio.AioRpcError as error:
        print(error.code().name)


async def track(orders: OrdersStub, identifier: str) -> None:
    """Server streaming, iterated; then one that does not exist, read."""
    async for event in orders.Track(TrackRequest(id=identifier), timeout=10):
        print(Event.Kind.Name(event.kind).removeprefix("KIND_").lower())
    call = orders.Track(TrackRequest(id="order-0"), timeout=10)
    try:
        await call.read()
    except grpc.aio.AioRpcError as error:
        print(f"{error.code().name}: {error.details()}")


async def haggle(orders: OrdersStub) -> None:
    """Both directions, written and read as it goes."""
    call = orders.Haggle(timeout=10)
    ours = 500
    while True:
        await call.write(Offer(cents=ours))
        theirs = await call.read()
        print(f"{ours}? {'yes' if theirs.accepted else theirs.cents}")
        if theirs.accepted:
            break
        ours += 100
    await call.done_writing()
    print(f"haggled: {(await call.code()).name}")


async def ask_without_token(address: str) -> None:
    """An interceptor of the server refuses."""
    async with insecure_channel(address) as channel:
        call = OrdersStub(channel).Place(PlaceRequest(), timeout=10)
        print(f"without a token: {(await call.code()).name}: {await call.details()}")


async def look_around(channel: grpc.aio.Channel) -> None:
    """Health and reflection, as every gRPC tool asks for them."""
    answer = await HealthStub(channel).Check(HealthCheckRequest(service="orders.v1.Orders"), timeout=10)
    print("health:", HealthCheckResponse.ServingStatus.Name(answer.status))
    question = ServerReflectionRequest(list_services="")
    async for reply in ServerReflectionStub(channel).ServerReflectionInfo(iter([question]), timeout=10):
        print("serves:", " ".join(sorted(each.name for each in reply.list_services_response.service)))


async def main(address: str = "127.0.0.1:50051") -> None:
    diary: list[str] = []
    async with insecure_channel(address, interceptors=with_token("token-of-ada", diary)) as channel:
        orders = OrdersStub(channel)
        await restock(orders)
        identifier = await place(orders)
        await place_too_much(orders)
        await place_with_deadline(orders)
        await track(orders, identifier)
        await haggle(orders)
        await look_around(channel)
    await ask_without_token(address)
    print("diary:", " ".join(diary))


asyncio.run(main(*sys.argv[1:]))
