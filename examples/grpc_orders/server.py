"""The shop's server, with health checks and reflection.

    python examples/grpc_orders/server.py [ADDRESS]

ADDRESS is where to listen (default: 127.0.0.1:50051). It prints where that is and serves until Ctrl-C or
SIGTERM.
"""

from __future__ import annotations

import asyncio
import signal
import sys

import orders_pb2
from grpc.aio import server
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from orders_pb2_grpc import add_OrdersServicer_to_server
from server_interceptors import Authentication, Count
from shop import Shop

ORDERS = orders_pb2.DESCRIPTOR.services_by_name["Orders"].full_name
OWNERS = {"token-of-ada": "Ada"}


async def main(address: str = "127.0.0.1:50051") -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)

    count = Count()
    serving = server(interceptors=[Authentication(OWNERS), count])
    add_OrdersServicer_to_server(Shop(), serving)
    healthy = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, serving)
    reflection.enable_server_reflection([ORDERS, health.SERVICE_NAME, reflection.SERVICE_NAME], serving)

    port = serving.add_insecure_port(address)
    await serving.start()
    await healthy.set(ORDERS, health_pb2.HealthCheckResponse.SERVING)
    print(f"listening on {address.rpartition(':')[0]}:{port}", flush=True)

    await stopped.wait()
    await healthy.enter_graceful_shutdown()
    await serving.stop(grace=5)
    for method, calls in sorted(count.calls.items()):
        if method.startswith("/orders."):
            print(f"{method}: {calls}")


asyncio.run(main(*sys.argv[1:]))
