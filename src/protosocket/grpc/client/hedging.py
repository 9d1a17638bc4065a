"""Hedging by the service config: a call is made several times, and the first good answer counts."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from protosocket.grpc.client.call import ClientCall
from protosocket.grpc.client.first_message import FirstMessage
from protosocket.grpc.client.method import Method
from protosocket.grpc.client.retry_loop import attempt_unary
from protosocket.grpc.client.retry_policy import STOP, Throttle, pushback_of
from protosocket.grpc.client.service_config import HedgingPolicy
from protosocket.grpc.wire.status import code_of

__all__ = ["hedge_unary"]


async def hedge_unary(
    call: ClientCall, method: Method, first: FirstMessage, policy: HedgingPolicy, throttle: Throttle
) -> None:
    """Make ``call`` again after each ``policy.delay`` until one attempt succeeds or fails for good.

    An attempt that fails with one of ``policy.codes`` brings the next one forward. The others are cancelled.
    """
    loop = asyncio.get_running_loop()
    running: set[asyncio.Task[Any]] = set()
    made, is_stopped, due, end = 0, False, loop.time(), None
    try:
        while True:
            may_go_on = made < policy.attempts and not is_stopped and (made == 0 or throttle.allows)
            if may_go_on and loop.time() >= due:
                made += 1
                running.add(loop.create_task(attempt_unary(call, method, first, made)))
                due = loop.time() + policy.delay
                continue
            if not running and not may_go_on:
                call.finish(end)
                return
            left = max(0.0, due - loop.time()) if may_go_on else None
            if not running:
                await asyncio.sleep(left or 0.0)
                continue
            done, running = await asyncio.wait(running, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                end = task.result()
                code = code_of(end)
                if code not in policy.codes:
                    if code is grpc.StatusCode.OK:
                        throttle.succeeded()
                    call.finish(end)
                    return
                throttle.failed()
                pushback = pushback_of(end)
                is_stopped = is_stopped or pushback == STOP
                due = loop.time() + max(0.0, pushback or 0.0)
    finally:
        for task in running:
            task.cancel()
