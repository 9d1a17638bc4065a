"""Sending the first message of a call, which may have to wait for a connection or for room."""

from __future__ import annotations

import asyncio

import grpc

from protosocket.errors import ConnectionClosed, EncodeError, Unavailable
from protosocket.grpc.client.call import ClientCall
from protosocket.grpc.client.call_channel import CallChannel
from protosocket.grpc.client.connection import ClientConnection
from protosocket.grpc.client.first_message import FirstMessage, timeout_fields
from protosocket.grpc.wire.status import EXPIRED, failure

__all__ = ["send_first", "start"]


def send_first(call: ClientCall, connection: ClientConnection, first: FirstMessage) -> bool:
    """Send ``first`` unless the connection cannot take it now. Raises ``EncodeError``."""
    left = call.time_remaining()
    fields = {} if left is None else timeout_fields(left)
    request = connection.request(
        first.path, first.streams, payload=first.payload, metadata=first.metadata, **fields
    )
    handle = call.begin(connection, request, left)
    if not handle:
        return False
    connection.knows(first.path, first.streams)
    call.begun(connection, handle)
    return True


async def start(call: ClientCall, channel: CallChannel, first: FirstMessage) -> None:
    """Send the call as soon as the channel lets it, or end it with what prevents that."""
    try:
        async with asyncio.timeout_at(call.deadline):
            await channel.add_call_credentials(first)
            while True:
                connection = await channel.until_ready(first.wait_for_ready)
                if send_first(call, connection, first):
                    return
                try:
                    await connection.until_room()
                except ConnectionClosed:
                    # The channel may hear of it later than this, and would give the same one at once.
                    await asyncio.sleep(0)
    except TimeoutError:
        call.finish(EXPIRED)
    except Unavailable as error:
        call.finish(failure(grpc.StatusCode.UNAVAILABLE, str(error)))
    except (EncodeError, grpc.aio.AioRpcError) as error:
        call.fail(error)
